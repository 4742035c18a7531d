//! Giving privileges away, and what the scheduler and the memory manager grant.
//!
//! The order for a role: `become_user` (or `become_user_keeping`), `no_new_privileges`, `die_with_parent`,
//! `sandbox::proxy`. A change of user clears the wish to die with the parent, so that comes after. A role that stays root
//! calls `keep_only` instead of the first.
//!
//! Capabilities belong to threads. What takes privileges away therefore refuses to run in a process that already has
//! several threads, because the others would keep theirs.

use crate::Error;
use crate::error::During;
use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// A user as `/etc/passwd` and `/etc/group` describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Id of its own group.
    pub gid: u32,
    /// Ids of all its groups, its own first.
    pub groups: Vec<u32>,
}

/// A capability that a role may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Change addresses, routes, firewalls.
    NetAdmin,
    /// Open raw and packet sockets.
    NetRaw,
    /// Listen on ports below 1024.
    NetBindService,
    /// Ask for real-time scheduling.
    SysNice,
    /// Lock memory without limit.
    IpcLock,
    /// Load and use eBPF programs.
    Bpf,
    /// Let eBPF programs do what shows kernel memory.
    Perfmon,
}

/// Looks a user up by name, in the files and not in any directory service. `None` when there is no such user.
pub fn lookup_user(name: &str) -> Result<Option<User>, Error> {
    let passwd = fs::read_to_string("/etc/passwd").during(|| "read /etc/passwd")?;
    // Without a group file the user still has its own group.
    let group = fs::read_to_string("/etc/group").unwrap_or_default();
    Ok(find_user(name, &passwd, &group))
}

/// Whether this process's user namespace knows the user's ids. The one that an unprivileged person makes knows a single
/// user, root, and to become anybody else is refused there.
pub fn is_known_here(user: &User) -> bool {
    let knows = |path: &str, id: u32| fs::read_to_string(path).is_ok_and(|map| maps(&map, id));
    knows("/proc/self/uid_map", user.uid) && knows("/proc/self/gid_map", user.gid)
}

/// Becomes `user` for good: its ids and its groups. Nothing of root's powers is left afterwards, in any set.
pub fn become_user(user: &User) -> Result<(), Error> {
    become_user_keeping(user, &[])
}

/// Becomes `user` but keeps `kept`, and nothing else. Give it the user root to only give up the other capabilities.
pub fn become_user_keeping(user: &User, kept: &[Capability]) -> Result<(), Error> {
    refuse_threads(|| format!("become user {}", user.name))?;
    // The bounding set can only be narrowed while CAP_SETPCAP is there, which the change of user takes.
    narrow_bounding_set(set_of(kept))?;
    rustix::thread::set_keep_capabilities(true).during(|| "keep capabilities across a change of user")?;
    set_ids(user)?;
    set_capabilities(set_of(kept))
}

/// Has a program run as `user` with these groups and no others. What is to be asked for as that user (to die with the
/// parent, say) is asked for after this.
pub fn run_as(command: &mut Command, user: &User, groups: &[u32]) {
    let (uid, gid, groups) = (user.uid, user.gid, groups.to_vec());
    let become_ = move || {
        // SAFETY: the list of groups is valid for the length given.
        succeeded(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })?;
        // SAFETY: takes integers only.
        succeeded(unsafe { libc::setresgid(gid, gid, gid) })?;
        // SAFETY: takes integers only.
        succeeded(unsafe { libc::setresuid(uid, uid, uid) })
    };
    // SAFETY: between fork and exec it only makes system calls; the list was allocated before.
    unsafe { command.pre_exec(become_) };
}

/// Gives up every capability, in all five sets.
pub fn drop_all_capabilities() -> Result<(), Error> {
    keep_only(&[])
}

/// Gives up every capability but these, in all five sets. Programs executed later get none, unless they run as root, when
/// they get these.
pub fn keep_only(kept: &[Capability]) -> Result<(), Error> {
    refuse_threads(|| "give up capabilities")?;
    narrow_bounding_set(set_of(kept))?;
    set_capabilities(set_of(kept))
}

/// From now on no program that is executed can have more privileges than this one (set-user-id, file capabilities).
pub fn no_new_privileges() -> Result<(), Error> {
    rustix::thread::set_no_new_privs(true).during(|| "forbid new privileges")
}

/// Be killed when the parent dies. The kernel means the *thread* that started this process, so start children from a
/// thread that stays. Returns whether the parent, which was `parent`, is still there: if it died before this call, nobody
/// will send the signal.
pub fn die_with_parent(parent: u32) -> Result<bool, Error> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).during(|| "ask to die with the parent")?;
    Ok(std::os::unix::process::parent_id() == parent)
}

/// Orphaned descendants become children of this process instead of init's, so that it can end them.
pub fn adopt_orphans() -> Result<(), Error> {
    // The value that is passed only has to be non-zero.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).during(|| "ask to adopt orphans")
}

/// Sets the name of the calling thread, which is the process's name when it is the first thread: at most 15 bytes.
pub fn name_process(name: &str) -> Result<(), Error> {
    let text = CString::new(name).map_err(io::Error::from).during(|| format!("name the process {name}"))?;
    rustix::thread::set_name(&text).during(|| format!("name the process {name}"))
}

/// Keeps every page of this process in memory once it has been touched, so that no timer waits for a disk.
pub fn lock_memory() -> Result<(), Error> {
    use rustix::mm::MlockAllFlags;
    // Who gives up the right to lock memory without limit could otherwise get no more of it.
    let unlimited = Rlimit { current: None, maximum: None };
    let _ = rustix::process::setrlimit(Resource::Memlock, unlimited);
    // ON_FAULT: locking what was never touched would make the process several times as large.
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    rustix::mm::mlockall(flags).during(|| "lock memory")
}

/// Allows at least `n` open files, as far as the hard limit or the privilege to raise it goes, and returns what is
/// allowed now.
pub fn raise_file_limit(n: u64) -> Result<u64, Error> {
    let now = rustix::process::getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= n) {
        return Ok(now.current.unwrap_or(u64::MAX));
    }
    let hard = now.maximum.map(|maximum| maximum.max(n));
    if rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(n), maximum: hard }).is_ok() {
        return Ok(n);
    }
    let reachable = now.maximum.map_or(n, |maximum| maximum.min(n));
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(reachable), maximum: now.maximum })
        .during(|| format!("allow {reachable} open files"))?;
    Ok(reachable)
}

fn find_user(name: &str, passwd: &str, group: &str) -> Option<User> {
    // name:password:uid:gid:comment:home:shell
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?;
    let uid = fields.get(2)?.parse().ok()?;
    let gid = fields.get(3)?.parse().ok()?;
    let mut groups = vec![gid];
    // name:password:gid:member,member
    for line in group.lines() {
        let fields: Vec<_> = line.split(':').collect();
        let [_, _, id, members] = fields[..] else { continue };
        let Ok(id) = id.parse() else { continue };
        if members.split(',').any(|member| member == name) && !groups.contains(&id) {
            groups.push(id);
        }
    }
    Some(User { name: name.to_owned(), uid, gid, groups })
}

/// Whether a map of user_namespaces(7) has the id: lines of first id inside, first id outside, number of ids.
fn maps(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let mut fields = line.split_whitespace().map(str::parse::<u64>);
        let (Some(Ok(first)), Some(Ok(_)), Some(Ok(n))) = (fields.next(), fields.next(), fields.next()) else {
            return false;
        };
        (first..first.saturating_add(n)).contains(&u64::from(id))
    })
}

fn set_ids(user: &User) -> Result<(), Error> {
    let become_ = || format!("become user {}", user.name);
    // These three are libc's and not the bare system calls, because libc changes the ids of all threads.
    // SAFETY: the list of groups is valid for the length given.
    succeeded(unsafe { libc::setgroups(user.groups.len(), user.groups.as_ptr()) }).during(become_)?;
    // SAFETY: takes integers only.
    succeeded(unsafe { libc::setresgid(user.gid, user.gid, user.gid) }).during(become_)?;
    // SAFETY: takes integers only.
    succeeded(unsafe { libc::setresuid(user.uid, user.uid, user.uid) }).during(become_)
}

fn set_of(kept: &[Capability]) -> CapabilitySet {
    let one = |capability: &Capability| match capability {
        Capability::NetAdmin => CapabilitySet::NET_ADMIN,
        Capability::NetRaw => CapabilitySet::NET_RAW,
        Capability::NetBindService => CapabilitySet::NET_BIND_SERVICE,
        Capability::SysNice => CapabilitySet::SYS_NICE,
        Capability::IpcLock => CapabilitySet::IPC_LOCK,
        Capability::Bpf => CapabilitySet::BPF,
        Capability::Perfmon => CapabilitySet::PERFMON,
    };
    kept.iter().map(one).collect()
}

/// Takes everything but `kept` out of the bounding set, and all out of the ambient set.
fn narrow_bounding_set(kept: CapabilitySet) -> Result<(), Error> {
    rustix::thread::clear_ambient_capability_set().during(|| "clear the ambient capabilities")?;
    for number in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        // The first number that the kernel does not know is an error, and ends the list.
        let Ok(present) = rustix::thread::capability_is_in_bounding_set(capability) else { break };
        if present && !kept.contains(capability) {
            match rustix::thread::remove_capability_from_bounding_set(capability) {
                Ok(()) => {}
                // Without CAP_SETPCAP the bounding set stays. That gives nobody anything: it limits what may be gained, and a
                // process that could not narrow it is not root.
                Err(rustix::io::Errno::PERM) => break,
                Err(cause) => return Err(Error::new(format!("give up capability {number}"), cause)),
            }
        }
    }
    Ok(())
}

fn set_capabilities(kept: CapabilitySet) -> Result<(), Error> {
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).during(|| "set capabilities")
}

fn refuse_threads<S: Into<String>>(operation: impl Fn() -> S) -> Result<(), Error> {
    // Where /proc is not mounted the rule stands but cannot be checked.
    let n_threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if n_threads > 1 {
        let cause = io::Error::other(format!("the process already has {n_threads} threads, which would keep theirs"));
        return Err(Error::new(operation(), cause));
    }
    Ok(())
}

fn succeeded(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_the_ids_of_its_ranges_and_no_others() {
        for (map, id, known) in [
            ("         0       1000          1\n", 0, true),
            ("         0       1000          1\n", 65534, false),
            ("         0          0 4294967295\n", 65534, true),
            ("0 1000 1\n1 100000 65536\n", 65534, true),
            ("0 1000 1\n1 100000 65533\n", 65534, false),
            ("0 1000\n", 0, false),
            ("", 0, false),
        ] {
            assert_eq!(maps(map, id), known, "{map:?} {id}");
        }
    }

    #[test]
    fn a_user_has_its_own_group_first_and_those_it_is_a_member_of() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www:/var/www:/usr/sbin/nologin\nodd\n";
        let group = "root:x:0:\nwww-data:x:33:www-data\nssl-cert:x:108:nobody,www-data\nodd\n";
        let user = find_user("www-data", passwd, group);
        let expected = User { name: "www-data".to_owned(), uid: 33, gid: 33, groups: vec![33, 108] };
        assert_eq!(user, Some(expected));
        assert_eq!(find_user("odd", passwd, group), None);
        assert_eq!(find_user("nobody", passwd, group), None);
    }

    #[test]
    fn a_process_with_threads_keeps_its_privileges_and_says_why() {
        // The test harness has a thread beside this one.
        let error = drop_all_capabilities().unwrap_err().to_string();
        assert!(error.starts_with("give up capabilities: the process already has "), "{error}");
    }
}
