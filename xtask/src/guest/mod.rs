//! The guest: Debian's kernel in a virtual machine, for what the kernel of the machine at hand may not have (IPVS above all).
//!
//! It boots from an initramfs that is built here: the test binaries, the programs they call with their libraries, and the
//! kernel's modules. To have something else in it, add it to one of the lists below.

mod archive;
mod kernel;
mod modules;
mod system;

use crate::steps::{cargo, target};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub(crate) use kernel::fetch;

/// Programs of this machine that are in the guest, with the libraries they need. The guest's `sh` and everything else that
/// busybox has is busybox's.
const PROGRAMS: &[&str] = &["ipvsadm", "ip", "nft", "tcpdump", "ethtool"];

/// Files of the repository that are in the guest, and where.
const FILES: &[(&str, &str)] = &[];

/// Folders of the kernel's modules that are in the guest; the kernel loads from them what it needs.
const MODULE_FOLDERS: &[&str] =
    &["net/netfilter", "net/ipv4", "net/ipv6", "net/bridge", "net/802", "net/llc", "net/sched"];

/// Single modules that are in the guest, wherever they stand. What they depend on comes with them.
const MODULES: &[&str] =
    &["veth", "tun", "dummy", "macvlan", "ipvlan", "vxlan", "vrf", "bonding", "virtio_pci", "virtio_net"];

/// The guest boots in ten seconds and its tests take two minutes, on a busy machine several; this much means that it hangs.
const LIMIT: Duration = Duration::from_secs(480);

/// What the guest's own `init` prints at the end.
const END: &str = "guest: exit ";

/// What the guest is to run.
pub(crate) enum Inside<'a> {
    /// The test binaries of the crate `evenkeel-guest`, with these words for each (a filter).
    Tests(&'a [&'a str]),
    /// A program of the crate, built for speed.
    Program(&'a str),
    /// A line of shell.
    Shell(&'a str),
}

/// The machine that the guest is.
pub(crate) enum Hardware<'a> {
    /// Two processors and no network: the guest has namespaces of its own to send packets between.
    Plain,
    /// One processor, whose clock counts its instructions, one nanosecond for each; and a network card, whose frames come and
    /// go as datagrams.
    Measured {
        /// The card's hardware address.
        mac: &'a str,
        /// The socket that it reads.
        socket: &'a Path,
        /// The socket that it writes to.
        peer: &'a Path,
    },
}

/// What keeps this machine from running the guest.
pub(crate) fn missing() -> Option<String> {
    if !cfg!(target_arch = "x86_64") {
        return Some("a machine of kind x86_64".to_owned());
    }
    let mut missing: Vec<&str> = PROGRAMS.iter().copied().filter(|program| !crate::setup::exists(program)).collect();
    missing.extend(["qemu-system-x86_64", "busybox"].into_iter().filter(|program| !crate::setup::exists(program)));
    if kernel::image().is_err() {
        missing.push("Debian's cloud kernel");
    }
    (!missing.is_empty()).then(|| missing.join(", "))
}

/// `cargo xtask guest`.
pub(crate) fn run(inside: &Inside<'_>) -> Result<()> {
    boot_built(inside, &Hardware::Plain, |line| println!("{line}"))
}

/// Builds what is in the guest, boots it, and hands every line of output to `each`.
pub(crate) fn boot_built(inside: &Inside<'_>, hardware: &Hardware<'_>, each: impl FnMut(&str)) -> Result<()> {
    if let Some(missing) = missing() {
        bail!("the guest needs {missing} (cargo xtask setup)");
    }
    let mut build = cargo(&["build", "--quiet", "--package", "evenkeel"]);
    if !build.status().context("run cargo build")?.success() {
        bail!("cargo build --package evenkeel failed");
    }
    boot(inside, hardware, each)
}

/// Builds the initramfs, boots, and hands every line of output to `each`.
pub(crate) fn boot(inside: &Inside<'_>, hardware: &Hardware<'_>, mut each: impl FnMut(&str)) -> Result<()> {
    let folder = target().join("guest");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let initramfs = folder.join("initramfs");
    let image = system::image(inside)?;
    fs::write(&initramfs, image).with_context(|| format!("write {}", initramfs.display()))?;
    let console = folder.join("console.log");
    File::create(&console).with_context(|| format!("write {}", console.display()))?;
    let outcome = Guest::start(&initramfs, &console, hardware)?.follow(&mut each);
    if outcome.is_err() {
        let text = fs::read(&console).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        for line in &lines[lines.len().saturating_sub(40)..] {
            println!("guest console: {}", line.trim_end());
        }
    }
    outcome
}

/// The test binaries of the crate, built now.
fn test_binaries() -> Result<Vec<PathBuf>> {
    let words = ["test", "--package", "evenkeel-guest", "--features", "inside", "--no-run", "--message-format=json"];
    let output = cargo(&words).stderr(Stdio::inherit()).output().context("run cargo test --no-run")?;
    if !output.status.success() {
        bail!("the tests of evenkeel-guest do not build");
    }
    let mut binaries = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else {
            continue;
        };
        let is_test = message["target"]["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "test"));
        if let Some(path) = message["executable"].as_str().filter(|_| is_test) {
            binaries.push(PathBuf::from(path));
        }
    }
    if binaries.is_empty() {
        bail!("evenkeel-guest has no tests");
    }
    Ok(binaries)
}

/// A program of the crate, built now.
fn program(name: &str) -> Result<PathBuf> {
    let words = ["build", "--quiet", "--release", "--package", "evenkeel-guest", "--features", "inside", "--bin", name];
    if !cargo(&words).status().context("run cargo build")?.success() {
        bail!("{name} of evenkeel-guest does not build");
    }
    Ok(target().join("release").join(name))
}

/// The running virtual machine. It ends with this value.
struct Guest {
    qemu: Child,
}

impl Guest {
    fn start(initramfs: &Path, console: &Path, hardware: &Hardware<'_>) -> Result<Self> {
        let mut command = Command::new("qemu-system-x86_64");
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-nic", "none", "-no-reboot"]);
        command.args(["-machine", "pc", "-accel", "tcg", "-cpu", "max", "-m", "1536"]);
        match hardware {
            Hardware::Plain => {
                command.args(["-smp", "2"]);
            }
            Hardware::Measured { mac, socket, peer } => {
                command.args(["-smp", "1", "-icount", "shift=0"]);
                let (socket, peer) = (socket.display(), peer.display());
                command.arg("-netdev").arg(format!(
                    "dgram,id=net,local.type=unix,local.path={socket},remote.type=unix,remote.path={peer}"
                ));
                // A driver takes no program for XDP while the card may hand it several buffers for one packet.
                let whole = "mrg_rxbuf=off,guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off";
                command.arg("-device").arg(format!("virtio-net-pci,netdev=net,mac={mac},{whole}"));
            }
        }
        command.arg("-kernel").arg(kernel::image()?).arg("-initrd").arg(initramfs);
        command.args(["-append", "console=ttyS0 quiet loglevel=5 panic=-1 oops=panic"]);
        // The kernel speaks on the first line, the tests on the second, so that neither is in the other's way.
        command.arg("-serial").arg(format!("file:{}", console.display())).args(["-serial", "stdio"]);
        let qemu = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("start qemu-system-x86_64")?;
        Ok(Guest { qemu })
    }

    /// Reads what the guest says, to its end or the limit.
    fn follow(mut self, each: &mut impl FnMut(&str)) -> Result<()> {
        let output = self.qemu.stdout.take().context("standard output is piped")?;
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(output);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
                if sender.send(text).is_err() {
                    return;
                }
                line.clear();
            }
        });
        let end_at = Instant::now() + LIMIT;
        let mut status = None;
        loop {
            match receiver.recv_timeout(end_at.saturating_duration_since(Instant::now())) {
                Ok(line) => match line.strip_prefix(END) {
                    Some(text) => status = Some(text.trim().to_owned()),
                    None => each(&line),
                },
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    bail!("the guest was ended after {} s: it hangs", LIMIT.as_secs());
                }
            }
        }
        match status.as_deref() {
            Some("0") => Ok(()),
            Some(status) => bail!("the guest's commands ended with status {status}"),
            None => bail!("the guest stopped before its commands ended (a kernel panic?)"),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}
