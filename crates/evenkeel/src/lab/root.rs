//! The file system of a host: that of the machine, with a `/run`, `/etc`, `/code` and `/var/log` of its own in memory.
//!
//! So the files lie where the article has them, every program of the machine is at hand, and nothing of the machine is
//! written to.

use super::topology::Host;
use anyhow::{Context, Result};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind_recursive, unmount};
use rustix::process::{chdir, pivot_root};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Where the new root is put together. It is covered by it, and a host has its own in any case.
const STAGE: &str = "/run";
/// Where the machine's `/etc` is seen.
const HOST_ETC: &str = ".host-etc";
/// Where `evenkeel` is found by name, in [`super::exec`].
pub(super) const PROGRAMS: &str = "/run/bin";
/// What a host has of its own at the top.
const OWN: [&str; 6] = ["run", "etc", "code", "proc", "sys", "lost+found"];

/// Moves the calling process, the first one of its machine, into the host's file system.
pub(super) fn enter(host: Host) -> Result<()> {
    let root = Path::new(STAGE);
    mount_memory(root)?;
    let top = fs::read_dir("/").context("read /")?.filter_map(|entry| Some(entry.ok()?.path()));
    for path in top {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if OWN.contains(&name) {
            continue;
        }
        show(&path, &root.join(name)).with_context(|| format!("show {} to {host}", path.display()))?;
    }
    let etc = root.join("etc");
    fs::create_dir(&etc).context("make /etc")?;
    show(Path::new("/etc"), &root.join(HOST_ETC)).context("show /etc")?;
    for entry in fs::read_dir("/etc").context("read /etc")?.flatten() {
        let name = entry.file_name();
        if !["keepalived", "nginx", "hosts", "hostname"].iter().any(|own| name == *own) {
            symlink(Path::new("/").join(HOST_ETC).join(&name), etc.join(&name)).context("link into /etc")?;
        }
    }
    for name in ["run", "code", "proc", "sys"] {
        fs::create_dir(root.join(name)).with_context(|| format!("make /{name}"))?;
    }
    mount_kernel_view(root, "proc", "proc")?;
    mount_kernel_view(root, "sys", "sysfs")?;
    let log = root.join("var/log");
    if log.is_dir() {
        mount_memory(&log)?;
    }
    write_files(host, root)?;
    chdir(root).context("enter the new root")?;
    // With both arguments the same, the old root lies over the new one and is taken off (pivot_root(2)).
    pivot_root(".", ".").context("change the root")?;
    unmount(".", UnmountFlags::DETACH).context("leave the old root")?;
    chdir("/").context("enter /")?;
    rustix::system::sethostname(host.name().as_bytes()).context("set the host name")
}

fn mount_memory(at: &Path) -> Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", at, "tmpfs", flags, Some(c"mode=755,size=64m"))
        .with_context(|| format!("mount memory at {}", at.display()))
}

/// Shows what is at `path` also at `target`.
fn show(path: &Path, target: &Path) -> Result<()> {
    let kind = fs::symlink_metadata(path)?.file_type();
    if kind.is_symlink() {
        symlink(fs::read_link(path)?, target)?;
    } else if kind.is_dir() {
        fs::create_dir(target)?;
        // A directory that cannot be shown (an autofs without a server) stays empty.
        let _ = mount_bind_recursive(path, target);
    }
    Ok(())
}

/// Mounts `/proc` or `/sys` as seen from inside. A container may hide parts of its own and is then not allowed to mount
/// a whole one: the machine's has to do.
fn mount_kernel_view(root: &Path, name: &str, kind: &str) -> Result<()> {
    let at = root.join(name);
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if mount(kind, &at, kind, flags, None).is_ok() {
        return Ok(());
    }
    let outside = Path::new("/").join(name);
    mount_bind_recursive(&outside, &at).with_context(|| format!("show {}", outside.display()))
}

fn write_files(host: Host, root: &Path) -> Result<()> {
    let write = |path: &str, text: &str| -> Result<()> {
        let at = root.join(path.trim_start_matches('/'));
        if let Some(parent) = at.parent() {
            fs::create_dir_all(parent)?;
        }
        Ok(fs::write(at, text)?)
    };
    for (path, text) in host.files() {
        write(path, text).with_context(|| format!("write {path}"))?;
    }
    let hosts: String = Host::ALL.iter().map(|host| format!("{} {host}\n", host.address())).collect();
    write("/etc/hosts", &format!("127.0.0.1 localhost\n{hosts}")).context("write /etc/hosts")?;
    write("/etc/hostname", &format!("{host}\n")).context("write /etc/hostname")?;
    let log = root.join("var/log/nginx");
    fs::create_dir_all(&log).with_context(|| format!("make {}", log.display()))?;
    let programs = root.join(PROGRAMS.trim_start_matches('/'));
    fs::create_dir_all(&programs).context("make a directory for programs")?;
    let program = std::env::current_exe().context("find this program")?;
    symlink(program, programs.join("evenkeel")).context("link this program")
}
