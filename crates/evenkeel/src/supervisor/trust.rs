//! Script security: what runs as root must be what only root can have written.
//!
//! As keepalived does, the whole path is looked at, as written and as resolved, once for each configuration. Without
//! `enable_script_security` a weakness is a remark of `check`; with it the script does not run: an instance that tracks it
//! goes on without it.

use super::load::Compiled;
use super::script;
use evenkeel_balance::config::Probe;
use evenkeel_conf::keepalived::{CommandLine, NotifyCommands};
use evenkeel_kernel::privilege;
use evenkeel_vrrp::ScriptId;
use evenkeel_vrrp::config::TrackTarget;
use std::collections::BTreeSet;
use std::fmt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

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

/// Takes out of a configuration what `enable_script_security` forbids; what was taken out is a remark.
pub fn enforce(compiled: &mut Compiled) {
    let settings = &mut compiled.settings;
    if settings.script_user.is_none() && matches!(privilege::lookup_user(USUAL_USER), Ok(Some(_))) {
        settings.script_user = Some((USUAL_USER.to_owned(), None));
    }
    if !settings.script_security {
        return;
    }
    let usual = settings.script_user.clone();
    let mut refused = BTreeSet::new();
    for (id, script) in (0..).map(ScriptId).zip(&settings.scripts) {
        let user = script.command.user.clone().or(script.user.clone()).or(usual.clone());
        if let Some(reason) = obstacle(&script.command, &user) {
            compiled.remarks.push(format!("vrrp_script {} does not run and is not tracked: {reason}", script.name));
            refused.insert(id);
        }
    }
    for instance in &mut compiled.vrrp.instances {
        instance.tracks.retain(|track| !matches!(track.target, TrackTarget::Script(id) if refused.contains(&id)));
    }
    enforce_for_servers(&mut compiled.balance, &usual, &mut compiled.remarks);
    for fifo in [&mut settings.lvs_fifo].into_iter().flatten() {
        let Some(reader) = &fifo.reader else { continue };
        if let Some(reason) = obstacle(reader, &reader.user.clone().or(usual.clone())) {
            compiled.remarks.push(format!(
                "the reader `{}` of {} is not started: {reason}",
                reader.words.join(" "),
                fifo.path
            ));
            fifo.reader = None;
        }
    }
    let of_instances = settings.instances.iter_mut().map(|instance| (&instance.name, &mut instance.notify));
    let of_groups = settings.groups.iter_mut().map(|group| (&group.name, &mut group.notify));
    for (name, notify) in of_instances.chain(of_groups) {
        let NotifyCommands { master, backup, fault, stop, master_rx_lower_pri, any } = notify;
        for slot in [master, backup, fault, stop, master_rx_lower_pri, any] {
            let Some(command) = slot else { continue };
            let user = command.user.clone().or(usual.clone());
            if let Some(reason) = obstacle(command, &user) {
                let words = command.words.join(" ");
                compiled.remarks.push(format!("({name}) the notify script `{words}` does not run: {reason}"));
                *slot = None;
            }
        }
    }
}

/// The same for real servers: a check that may not run is no check, a notice nobody hears.
fn enforce_for_servers(config: &mut evenkeel_balance::Config, usual: &Identity, remarks: &mut Vec<String>) {
    let mut refused = BTreeSet::new();
    for (id, script) in (0..).map(evenkeel_balance::config::ScriptId).zip(&config.scripts) {
        let command = CommandLine { words: script.argv.clone(), user: None };
        if let Some(reason) = obstacle(&command, &script.user.clone().or(usual.clone())) {
            remarks.push(format!("`{}` of a virtual server does not run: {reason}", script.argv.join(" ")));
            refused.insert(id);
        }
    }
    let forget = |slot: &mut Option<evenkeel_balance::config::ScriptId>| {
        slot.take_if(|id| refused.contains(id));
    };
    for pool in &mut config.pools {
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

/// Why this command may not run as this user.
fn obstacle(command: &CommandLine, user: &Identity) -> Option<String> {
    let program = command.words.first()?;
    // keepalived's `< /file` runs nothing.
    if program.starts_with('<') {
        return None;
    }
    let Some((name, group)) = user else {
        return Some(format!(
            "it names no user, there is no script_user and no user {USUAL_USER}, and enable_script_security lets nothing \
             become root by default; `script_user root` allows it"
        ));
    };
    // One that does not exist stops the script when it is to run.
    let user = script::identity(name, group.as_deref()).ok()?;
    let path = find(program)?;
    if user.uid != 0 && user.gid != 0 && !is_setuid_root(&path) {
        return None;
    }
    weakness(&path).map(|weakness| format!("{weakness} (enable_script_security)"))
}

fn user_name(uid: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
    })
}

/// The file that the name of a program means.
fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|path| path.is_file())
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
    fn a_refused_script_is_neither_run_nor_tracked_and_others_stay() {
        let path = std::env::temp_dir().join(format!("evenkeel-trust-{}", std::process::id()));
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        let script = |name: &str, program: &Path| ScriptCommand {
            name: name.to_owned(),
            command: command(program),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
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
