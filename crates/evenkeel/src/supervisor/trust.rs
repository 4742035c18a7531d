//! Script security: what runs as root must be what only root can have written.
//!
//! As keepalived does, the whole path is looked at, as written and as resolved, once for each configuration. Without
//! `enable_script_security` a weakness is a remark of `check`; with it the script does not run. A script that is not there,
//! or that its user may not execute, never does: an instance that tracks it goes on without it.

use super::load::Compiled;
use super::script;
use evenkeel_balance::config::Probe;
use evenkeel_conf::keepalived::{CommandLine, NotifyCommands, Settings};
use evenkeel_kernel::privilege;
use evenkeel_vrrp::ScriptId;
use evenkeel_vrrp::config::TrackTarget;
use std::collections::BTreeSet;
use std::fmt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Runs scripts that name no user, where it exists.
const USUAL_USER: &str = "keepalived_script";

/// User and group, as the configuration names them.
type Identity = Option<(String, Option<String>)>;

/// A part of a path that somebody other than root can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weakness {
    /// Which part, from the root on.
    pub element: PathBuf,
    owner: u32,
    mode: u32,
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = user_name(self.owner).unwrap_or_else(|| format!("user {}", self.owner));
        let element = self.element.display();
        write!(f, "{element} (owner {owner}, mode {:04o}) can be changed by others than root", self.mode & 0o7777)?;
        write!(f, "; `chown root:root {element} && chmod go-w {element}` mends that")
    }
}

/// The first weak part of `path` as it is written, else of what it leads to. A directory with the sticky bit is strong.
pub fn weakness(path: &Path) -> Option<Weakness> {
    let resolved = std::fs::canonicalize(path).ok();
    let paths = [Some(path), resolved.as_deref()];
    paths.into_iter().flatten().find_map(|path| {
        let mut elements: Vec<_> = path.ancestors().filter(|element| !element.as_os_str().is_empty()).collect();
        elements.reverse();
        elements.into_iter().find_map(weak)
    })
}

fn weak(element: &Path) -> Option<Weakness> {
    let metadata = std::fs::metadata(element).ok()?;
    let mode = metadata.permissions().mode();
    let by_others = mode & 0o022 != 0 && !(metadata.is_dir() && mode & 0o1000 != 0);
    let (element, owner) = (element.to_owned(), metadata.uid());
    (owner != 0 || by_others).then_some(Weakness { element, owner, mode })
}

/// Takes out of a configuration the scripts that cannot or may not run; what was taken out, and what is odd about the others,
/// are remarks. Bare names are looked up, and folders resolved, once for each configuration, as keepalived does it.
pub fn enforce(compiled: &mut Compiled) {
    let Compiled { settings, vrrp, balance, remarks, .. } = compiled;
    if settings.script_user.is_none() && matches!(privilege::lookup_user(USUAL_USER), Ok(Some(_))) {
        settings.script_user = Some((USUAL_USER.to_owned(), None));
    }
    if settings.process.supplementary_groups {
        ask_for_all_groups(settings, balance);
    }
    let rules = Rules {
        usual: settings.script_user.clone(),
        is_strict: settings.script_security,
        keeps_links: settings.process.use_symlink_paths,
    };
    let mut refused = BTreeSet::new();
    for (id, script) in (0..).map(ScriptId).zip(&mut settings.scripts) {
        let own = script.command.user.clone().or(script.user.clone());
        match rules.judge(&mut script.command.words, &own) {
            Ok(remark) => remarks.extend(remark.map(|remark| format!("vrrp_script {}: {remark}", script.name))),
            Err(reason) => {
                remarks.push(format!("vrrp_script {} does not run and is not tracked: {reason}", script.name));
                refused.insert(id);
            }
        }
    }
    for instance in &mut vrrp.instances {
        instance.tracks.retain(|track| !matches!(track.target, TrackTarget::Script(id) if refused.contains(&id)));
    }
    enforce_for_servers(balance, &rules, remarks);
    for (keyword, hook) in
        [("startup_script", &mut settings.process.startup), ("shutdown_script", &mut settings.process.shutdown)]
    {
        rules.keep(&mut hook.command, keyword, remarks);
    }
    for fifo in [&mut settings.fifo, &mut settings.vrrp_fifo, &mut settings.lvs_fifo].into_iter().flatten() {
        let what = format!("the reader of {}", fifo.path);
        rules.keep(&mut fifo.reader, &what, remarks);
    }
    let of_instances = settings.instances.iter_mut().map(|instance| (&instance.name, &mut instance.notify));
    let of_groups = settings.groups.iter_mut().map(|group| (&group.name, &mut group.notify));
    for (name, notify) in of_instances.chain(of_groups) {
        let NotifyCommands { master, backup, fault, stop, deleted, master_rx_lower_pri, any } = notify;
        let what = format!("({name}) the notify script");
        for slot in [master, backup, fault, stop, deleted, master_rx_lower_pri, any] {
            rules.keep(slot, &what, remarks);
        }
    }
}

/// Whether scripts run while nothing keeps those that others can change from running as root: keepalived calls that a
/// security violation, whatever the scripts are.
pub fn is_lax(compiled: &Compiled) -> bool {
    let Settings { scripts, instances, groups, process, fifo, vrrp_fifo, lvs_fifo, script_security, .. } =
        &compiled.settings;
    let notices = instances.iter().map(|instance| &instance.notify).chain(groups.iter().map(|group| &group.notify));
    let notifies = notices.into_iter().any(|notify| *notify != NotifyCommands::default());
    let hooks = process.startup.command.is_some() || process.shutdown.command.is_some();
    let readers = [fifo, vrrp_fifo, lvs_fifo].into_iter().flatten().any(|fifo| fifo.reader.is_some());
    let any = !scripts.is_empty() || notifies || hooks || readers;
    !script_security && (any || !compiled.balance.scripts.is_empty())
}

/// `set_supplementary_groups`: as if a colon stood before the group of every script.
fn ask_for_all_groups(settings: &mut Settings, balance: &mut evenkeel_balance::Config) {
    let ask = |user: &mut Identity| {
        if let Some((_, group)) = user
            && !group.as_ref().is_some_and(|group| group.starts_with(script::ALL_GROUPS))
        {
            *group = Some(format!("{}{}", script::ALL_GROUPS, group.take().unwrap_or_default()));
        }
    };
    ask(&mut settings.script_user);
    for script in &mut settings.scripts {
        ask(&mut script.user);
        ask(&mut script.command.user);
    }
    balance.scripts.iter_mut().for_each(|script| ask(&mut script.user));
    let process = &mut settings.process;
    let hooks = [&mut process.startup.command, &mut process.shutdown.command];
    let fifos = [&mut settings.fifo, &mut settings.vrrp_fifo, &mut settings.lvs_fifo];
    let readers = fifos.into_iter().flatten().map(|fifo| &mut fifo.reader);
    let of_instances = settings.instances.iter_mut().map(|instance| &mut instance.notify);
    let of_groups = settings.groups.iter_mut().map(|group| &mut group.notify);
    let notices = of_instances.chain(of_groups).flat_map(|notify| {
        let NotifyCommands { master, backup, fault, stop, deleted, master_rx_lower_pri, any } = notify;
        [master, backup, fault, stop, deleted, master_rx_lower_pri, any]
    });
    for command in hooks.into_iter().chain(readers).chain(notices).flatten() {
        ask(&mut command.user);
    }
}

/// The same for real servers: a check that may not run is no check, a notice nobody hears.
fn enforce_for_servers(config: &mut evenkeel_balance::Config, rules: &Rules, remarks: &mut Vec<String>) {
    let mut refused = BTreeSet::new();
    for (id, script) in (0..).map(evenkeel_balance::config::ScriptId).zip(&mut config.scripts) {
        let written = script.argv.join(" ");
        match rules.judge(&mut script.argv, &script.user) {
            Ok(remark) => remarks.extend(remark.map(|remark| format!("`{written}` of a virtual server: {remark}"))),
            Err(reason) => {
                remarks.push(format!("`{written}` of a virtual server does not run: {reason}"));
                refused.insert(id);
            }
        }
    }
    let forget = |slot: &mut Option<evenkeel_balance::config::ScriptId>| {
        slot.take_if(|id| refused.contains(id));
    };
    if refused.is_empty() {
        return;
    }
    for pool in config.pools.iter_mut().map(Arc::make_mut) {
        forget(&mut pool.quorum_up);
        forget(&mut pool.quorum_down);
        for server in &mut pool.servers {
            forget(&mut server.notify_up);
            forget(&mut server.notify_down);
            server
                .checks
                .retain(|check| !matches!(check.probe, Probe::Misc { script, .. } if refused.contains(&script)));
        }
    }
}

/// What scripts are judged by.
struct Rules {
    /// Who runs a script that names nobody.
    usual: Identity,
    /// `enable_script_security`.
    is_strict: bool,
    /// `use_symlink_paths`.
    keeps_links: bool,
}

impl Rules {
    /// Empties the slot of a command that does not run.
    fn keep(&self, slot: &mut Option<CommandLine>, what: &str, remarks: &mut Vec<String>) {
        let Some(command) = slot else { return };
        let written = command.words.join(" ");
        match self.judge(&mut command.words, &command.user) {
            Ok(remark) => remarks.extend(remark.map(|remark| format!("{what} `{written}`: {remark}"))),
            Err(reason) => {
                remarks.push(format!("{what} `{written}` does not run: {reason}"));
                *slot = None;
            }
        }
    }

    /// Why a command does not run as its user; or what is to be said of it, after its program was looked up.
    fn judge(&self, words: &mut [String], own: &Identity) -> Result<Option<String>, String> {
        let Some(program) = words.first_mut() else { return Ok(None) };
        // keepalived's `< /file` runs nothing.
        if program.starts_with('<') {
            return Ok(None);
        }
        let user = match own.as_ref().or(self.usual.as_ref()) {
            Some((name, group)) => script::identity(name, group.as_deref())?,
            None if self.is_strict => {
                return Err(format!(
                    "it names no user, there is no script_user and no user {USUAL_USER}, and enable_script_security lets \
                     nothing become root by default; `script_user root` allows it"
                ));
            }
            None => daemon_user(),
        };
        let path = find(program, &user)?;
        let is_root = user.uid == 0 || user.gid == 0 || is_setuid_root(&path);
        let mut remark = None;
        if is_root && let Some(link) = linked_folder(&path).filter(|_| !self.keeps_links) {
            let what = format!(
                "{} is a symbolic link: keepalived does not run as root what is reached through it; write {}",
                link.display(),
                resolved(&path).display()
            );
            if self.is_strict {
                return Err(format!("{what} (enable_script_security)"));
            }
            remark = Some(what);
        }
        if is_root
            && self.is_strict
            && let Some(weakness) = weakness(&path)
        {
            return Err(format!("{weakness} (enable_script_security)"));
        }
        if remark.is_none() && lacks_interpreter(&path) {
            remark = Some(format!("{} does not begin with #!: it is run by /bin/sh", path.display()));
        }
        let path = if self.keeps_links { path } else { resolved(&path) };
        *program = path.to_string_lossy().into_owned();
        Ok(remark)
    }
}

fn daemon_user() -> privilege::User {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    privilege::User { name: format!("user {uid}"), uid, gid, groups: vec![gid] }
}

/// The first folder of a path, as it is written, that is a symbolic link.
fn linked_folder(path: &Path) -> Option<&Path> {
    let mut folders: Vec<_> = path.parent()?.ancestors().collect();
    folders.reverse();
    folders.into_iter().find(|folder| folder.is_symlink())
}

/// The same file by folders that are none but themselves. Its own name stays: programs go by it.
fn resolved(path: &Path) -> PathBuf {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return path.to_owned() };
    std::fs::canonicalize(folder).map_or_else(|_| path.to_owned(), |folder| folder.join(name))
}

/// Text that does not name its interpreter: the kernel does not run it.
fn lacks_interpreter(path: &Path) -> bool {
    use std::io::Read;
    let mut start = [0; 128];
    let n_read = std::fs::File::open(path).and_then(|mut file| file.read(&mut start)).unwrap_or(0);
    let start = &start[..n_read];
    !start.is_empty() && !start.starts_with(b"#!") && !start.starts_with(b"\x7fELF") && !start.contains(&0)
}

fn user_name(uid: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
    })
}

/// The file that a program's name means to `user`, who must be able to execute it.
fn find(program: &str, user: &privilege::User) -> Result<PathBuf, String> {
    if program.contains('/') {
        let path = PathBuf::from(program);
        let metadata = std::fs::metadata(&path).map_err(|error| format!("{program}: {}", reason(&error)))?;
        if !metadata.is_file() {
            return Err(format!("{program} is no file"));
        }
        if !may_execute(&metadata, user) {
            let (mode, name) = (metadata.permissions().mode() & 0o7777, &user.name);
            return Err(format!("{name} may not execute {program} (mode {mode:04o}); `chmod +x {program}` mends that"));
        }
        return Ok(path);
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let runs = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|found| found.is_file() && may_execute(&found, user));
    let found = std::env::split_paths(&folders).map(|folder| folder.join(program)).find(runs);
    found.ok_or_else(|| format!("{program} is in no folder of PATH ({})", folders.to_string_lossy()))
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "it does not exist".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// As the kernel decides it, but for the folders above.
fn may_execute(metadata: &std::fs::Metadata, user: &privilege::User) -> bool {
    let mode = metadata.permissions().mode();
    if user.uid == 0 {
        return mode & 0o111 != 0;
    }
    match () {
        () if metadata.uid() == user.uid => mode & 0o100 != 0,
        () if user.groups.contains(&metadata.gid()) || user.gid == metadata.gid() => mode & 0o010 != 0,
        () => mode & 0o001 != 0,
    }
}

fn is_setuid_root(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.uid() == 0 && metadata.permissions().mode() & 0o4000 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_conf::keepalived::ScriptCommand;
    use evenkeel_vrrp::config::{Instance, Track, Vrid};
    use std::fs::{self, Permissions};
    use std::time::Duration;

    fn command(program: &Path) -> CommandLine {
        CommandLine { words: vec![program.display().to_string()], user: None }
    }

    fn strict(keeps_links: bool) -> Rules {
        Rules { usual: None, is_strict: true, keeps_links }
    }

    fn obstacle(command: &CommandLine, user: &Identity) -> Option<String> {
        strict(false).judge(&mut command.words.clone(), user).err()
    }

    fn root() -> Identity {
        Some(("root".to_owned(), None))
    }

    #[test]
    fn every_part_of_a_path_is_looked_at_as_written_and_as_resolved() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: needs root");
            return;
        }
        let directory = PathBuf::from(format!("/run/evenkeel-trust-{}", std::process::id()));
        let (open, shut) = (directory.join("open"), directory.join("shut"));
        fs::create_dir_all(&open).unwrap();
        fs::create_dir_all(&shut).unwrap();
        let chmod = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        for directory in [&open, &shut] {
            fs::write(directory.join("script"), "#!/bin/sh\n").unwrap();
            chmod(&directory.join("script"), 0o755);
        }
        chmod(&open, 0o777);
        let link = shut.join("link");
        std::os::unix::fs::symlink(open.join("script"), &link).unwrap();
        let weak = |path: &Path| weakness(path).map(|weakness| weakness.element);
        assert_eq!(weak(&shut.join("script")), None);
        assert_eq!(weak(&open.join("script")), Some(open.clone()));
        assert_eq!(weak(&link), Some(open.clone()), "what it leads to counts as well");
        let text = weakness(&open.join("script")).unwrap().to_string();
        let (name, mend) = (open.display(), "chown root:root");
        assert_eq!(
            text,
            format!(
                "{name} (owner root, mode 0777) can be changed by others than root; `{mend} {name} && chmod go-w {name}` mends that"
            )
        );
        chmod(&open, 0o1777);
        assert_eq!(weak(&open.join("script")), None, "nobody else removes a file from a directory with the sticky bit");
        chmod(&open.join("script"), 0o775);
        assert_eq!(weak(&open.join("script")), Some(open.join("script")));

        let weak_script = command(&open.join("script"));
        assert!(obstacle(&weak_script, &root()).is_some_and(|text| text.contains("mode 0775")));
        let nobody = Some(("nobody".to_owned(), None));
        assert_eq!(obstacle(&weak_script, &nobody), None, "who is not root gives nothing away");
        assert!(obstacle(&weak_script, &None).is_some_and(|text| text.contains("script_user root")));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_cannot_run_is_found_out_before_it_is_to_run() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: needs root");
            return;
        }
        let folder = PathBuf::from(format!("/run/evenkeel-find-{}", std::process::id()));
        fs::create_dir_all(folder.join("real")).unwrap();
        let make = |name: &str, text: &str, mode| {
            let path = folder.join("real").join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        };
        make("good", "#!/bin/sh\n", 0o755);
        make("plain", "exit 0\n", 0o755);
        make("shut", "#!/bin/sh\n", 0o644);
        make("roots", "#!/bin/sh\n", 0o700);
        std::os::unix::fs::symlink(folder.join("real"), folder.join("link")).unwrap();
        let path = |name: &str| folder.join(name).display().to_string();
        let judge = |rules: &Rules, program: &str, user: &str| {
            let mut words = [program.to_owned()];
            let verdict = rules.judge(&mut words, &Some((user.to_owned(), None)));
            verdict.map(|remark| (words[0].clone(), remark.unwrap_or_default()))
        };
        let refused = |program: &str, user: &str| judge(&strict(false), program, user).unwrap_err();
        assert_eq!(judge(&strict(false), &path("real/good"), "root"), Ok((path("real/good"), String::new())));
        assert!(refused(&path("real/none"), "root").ends_with("it does not exist"));
        assert!(refused(&path("real/shut"), "root").contains("chmod +x"));
        assert!(refused(&path("real/roots"), "nobody").starts_with("nobody may not execute"));
        assert!(refused(&path("real"), "root").ends_with("is no file"));
        assert!(refused("no-such-program", "root").contains("in no folder of PATH"));
        assert!(refused(&path("real/good"), "no-such-user").contains("does not exist"));
        let link = refused(&path("link/good"), "root");
        assert!(link.contains(&format!("{} is a symbolic link", path("link"))) && link.contains(&path("real/good")));
        assert_eq!(judge(&strict(true), &path("link/good"), "root"), Ok((path("link/good"), String::new())));
        let nobody = judge(&strict(false), &path("link/good"), "nobody").unwrap();
        assert_eq!(nobody.0, path("real/good"), "the folder is resolved");
        let lax = Rules { is_strict: false, ..strict(false) };
        assert!(judge(&lax, &path("link/good"), "root").unwrap().1.contains("symbolic link"));
        assert!(judge(&lax, &path("real/plain"), "root").unwrap().1.contains("does not begin with #!"));
        assert!(judge(&lax, "sh", "root").unwrap().0.ends_with("/sh"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_refused_script_is_neither_run_nor_tracked_and_others_stay() {
        let path = std::env::temp_dir().join(format!("evenkeel-trust-{}", std::process::id()));
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        let script = |name: &str, program: &Path| ScriptCommand {
            name: name.to_owned(),
            command: command(program),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            weight: 0,
            user: root(),
        };
        let compile = |secure: bool| {
            let mut compiled = Compiled::default();
            compiled.settings.script_security = secure;
            compiled.settings.scripts = vec![script("weak", &path), script("strong", Path::new("</etc/passwd"))];
            let mut instance = Instance::new("VI_1", "eth0", Vrid::new(1).unwrap());
            let track = |id| Track { target: TrackTarget::Script(ScriptId(id)), weight: 0, reverse: false };
            instance.tracks = vec![track(0), track(1)];
            compiled.vrrp.instances = vec![instance];
            enforce(&mut compiled);
            compiled
        };
        let secure = compile(true);
        let tracked: Vec<_> = secure.vrrp.instances[0].tracks.iter().map(|track| track.target.clone()).collect();
        assert_eq!(tracked, [TrackTarget::Script(ScriptId(1))]);
        assert!(
            secure.remarks[0].starts_with("vrrp_script weak does not run and is not tracked"),
            "{:?}",
            secure.remarks
        );
        let lax = compile(false);
        assert_eq!((lax.vrrp.instances[0].tracks.len(), lax.remarks.len()), (2, 0));
        fs::remove_file(path).unwrap();
    }
}
