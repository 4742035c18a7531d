//! Network namespaces, and programs that live in them: for the lab and the tests.
//!
//! A namespace lives as long as somebody holds its descriptor, is in it, or a link of it is wired into another; nothing has a name
//! in the file system, so nothing is left behind when its maker dies.

use crate::Error;
use crate::error::During;
use crate::netlink::Netlink;
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::process::Signal;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

/// A network namespace.
#[derive(Debug)]
pub struct NetNs {
    fd: OwnedFd,
}

impl NetNs {
    /// Makes an empty namespace, in which only `lo` is up. The calling thread stays where it is.
    pub fn create() -> Result<Self, Error> {
        let make = || -> Result<NetNs, Error> {
            // SAFETY: file descriptors stay shared.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.during(|| "make a network namespace")?;
            let namespace = NetNs::current()?;
            let mut netlink = Netlink::open()?;
            let loopback = netlink.interface("lo")?;
            netlink.set_up(loopback.index, true)?;
            Ok(namespace)
        };
        on_scratch_thread(make)
    }

    /// The namespace that the file stands for: `/run/netns/NAME` of `ip netns`, or `/proc/PID/ns/net`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).during(|| format!("open the network namespace {}", path.display()))?;
        Ok(NetNs { fd: file.into() })
    }

    /// The namespace that the calling thread is in.
    pub fn current() -> Result<Self, Error> {
        let path = "/proc/thread-self/ns/net";
        let file = File::open(path).during(|| format!("open {path}"))?;
        Ok(NetNs { fd: file.into() })
    }

    /// Moves the calling thread, and it alone, into this namespace. Its sockets stay where they were opened.
    pub fn enter(&self) -> Result<(), Error> {
        move_into_link_name_space(self.fd.as_fd(), Some(LinkNameSpaceType::Network))
            .during(|| "enter a network namespace")
    }

    /// Runs `f` in this namespace, on a thread that ends with it. Do not start programs there that die with their parent:
    /// the thread would be that parent. [`in_namespace`] is for programs.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T, Error> {
        on_scratch_thread(|| {
            self.enter()?;
            Ok(f())
        })
    }

    /// Sets a sysctl of this namespace: `net/ipv4/ip_forward` to `1`.
    pub fn set_sysctl(&self, path: &str, value: &str) -> Result<(), Error> {
        let file = Path::new("/proc/sys").join(path);
        self.run(|| fs::write(file, value))?.during(|| format!("set {path} to {value}"))
    }

    /// Another handle on the same namespace.
    pub fn try_clone(&self) -> Result<Self, Error> {
        Ok(NetNs { fd: self.fd.try_clone().during(|| "copy a descriptor")? })
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<NetNs> for OwnedFd {
    fn from(namespace: NetNs) -> Self {
        namespace.fd
    }
}

impl From<OwnedFd> for NetNs {
    fn from(fd: OwnedFd) -> Self {
        NetNs { fd }
    }
}

/// Something to mount before a program starts, that only it and its children see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    /// An empty file system in memory over this directory.
    Tmpfs(PathBuf),
    /// What is at `source` also at `target`, which must exist.
    Bind {
        /// What to show.
        source: PathBuf,
        /// Where.
        target: PathBuf,
    },
}

/// Makes the program start in `namespace`.
pub fn in_namespace(command: &mut Command, namespace: &NetNs) -> Result<(), Error> {
    let namespace = namespace.try_clone()?;
    let enter = move || Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?);
    // SAFETY: between fork and exec it only makes one system call.
    unsafe { command.pre_exec(enter) };
    Ok(())
}

/// Makes the program start with mounts of its own, in this order. What is mounted later outside, it still sees.
pub fn private_mounts(command: &mut Command, mounts: &[Mount]) -> Result<(), Error> {
    enum Prepared {
        Tmpfs(CString),
        Bind(CString, CString),
    }
    let text = |path: &Path| {
        CString::new(path.as_os_str().as_bytes())
            .map_err(io::Error::from)
            .during(|| format!("mount {}", path.display()))
    };
    let mut prepared = Vec::new();
    for mount in mounts {
        prepared.push(match mount {
            Mount::Tmpfs(target) => Prepared::Tmpfs(text(target)?),
            Mount::Bind { source, target } => Prepared::Bind(text(source)?, text(target)?),
        });
    }
    let mount_all = move || {
        // SAFETY: file descriptors stay shared.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
        rustix::mount::mount_change(c"/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
        for mount in &prepared {
            match mount {
                Prepared::Tmpfs(target) => {
                    rustix::mount::mount(c"tmpfs", target, c"tmpfs", MountFlags::NOSUID | MountFlags::NODEV, None)?;
                }
                Prepared::Bind(source, target) => rustix::mount::mount_bind_recursive(source, target)?,
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec it only makes system calls; everything they need was allocated before.
    unsafe { command.pre_exec(mount_all) };
    Ok(())
}

/// Gives the calling process, which has one thread yet, mounts of its own, in which what is at `source` is at `target`. What is
/// mounted later outside, it still sees.
pub fn show_at(source: &Path, target: &Path) -> Result<(), Error> {
    let during = || format!("mount {} at {}", source.display(), target.display());
    // SAFETY: file descriptors stay shared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.during(|| "make a mount namespace")?;
    rustix::mount::mount_change(c"/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC).during(during)?;
    rustix::mount::mount_bind(source, target).during(during)
}

/// Makes the program die with the thread that starts it (that is what the kernel looks at), even by SIGKILL. A program
/// that changes its user has to ask again: see [`privilege::die_with_parent`](crate::privilege::die_with_parent).
pub fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let ask = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the wish was known.
        if std::os::unix::process::parent_id() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: between fork and exec it only makes system calls.
    unsafe { command.pre_exec(ask) };
}

/// Becomes root of a new user namespace, with a network and mounts of its own, so that an unprivileged person may build a
/// network. Call it before the process has a second thread: the kernel refuses it afterwards.
pub fn unshare_user() -> Result<(), Error> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let flags = UnshareFlags::NEWUSER | UnshareFlags::NEWNET | UnshareFlags::NEWNS;
    // SAFETY: file descriptors stay shared.
    unsafe { unshare_unsafe(flags) }.during(|| "make a user namespace")?;
    let write = |path: &str, text: String| fs::write(path, text).during(|| format!("write {path}"));
    // Without this an unprivileged process may not map its group (user_namespaces(7)).
    write("/proc/self/setgroups", "deny".to_owned())?;
    write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", format!("0 {gid} 1"))
}

fn on_scratch_thread<T: Send>(f: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    thread::scope(|scope| match scope.spawn(f).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
