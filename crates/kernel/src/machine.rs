//! A machine inside this machine: processes, mounts and a host name of its own, beside a network from
//! [`netns`](crate::netns).

use crate::Error;
use crate::error::During;
use rustix::mount::MountPropagationFlags;
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Gives the calling thread mounts, a host name and System V objects of its own, and lets the next program that it starts
/// be the first process of a new machine: when that one dies, the kernel kills all others.
///
/// No mount made later goes out of here or comes in. After the first program, the thread can start no further thread.
pub fn unshare() -> Result<(), Error> {
    let flags = UnshareFlags::NEWPID | UnshareFlags::NEWNS | UnshareFlags::NEWUTS | UnshareFlags::NEWIPC;
    // SAFETY: file descriptors stay shared.
    unsafe { unshare_unsafe(flags) }.during(|| "make namespaces for a machine")?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change(c"/", private).during(|| "keep mounts private")
}
