use crate::guest;
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Programs that the tests run, and the Debian packages that have them.
const PROGRAMS: &[(&str, &str)] = &[
    ("keepalived", "keepalived"),
    ("bird", "bird2"),
    ("nginx", "nginx-light"),
    ("haproxy", "haproxy"),
    ("wrk", "wrk"),
    ("tshark", "tshark"),
    ("tcpdump", "tcpdump"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("curl", "curl"),
    ("ps", "procps"),
    ("killall", "psmisc"),
    ("ipvsadm", "ipvsadm"),
    ("busybox", "busybox-static"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("dbus-daemon", "dbus-daemon"),
    ("dbus-monitor", "dbus-bin"),
    ("dbus-send", "dbus-bin"),
    ("ethtool", "ethtool"),
    ("ifconfig", "net-tools"),
    ("clang", "clang"),
    ("llvm-strip", "llvm"),
];

/// Services of those packages. They must not run beside the tests.
const SERVICES: &[&str] = &["keepalived", "bird", "nginx", "haproxy", "ipvsadm"];

/// Where programs are, whatever `PATH` an unprivileged shell has.
const PLACES: &[&str] = &["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"];

/// Installs what is missing. Does nothing, and quickly, when nothing is.
pub(crate) fn run() -> Result<()> {
    let programs = programs();
    // Without it only the tests inside the guest are left out, and they say so.
    if let Err(error) = guest::fetch() {
        println!("setup: no kernel for the guest: {error:#}");
    }
    programs
}

fn programs() -> Result<()> {
    let missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !exists(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        println!("setup: everything is here");
        return Ok(());
    }
    let command = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    if !is_root() || !exists("apt-get") {
        println!("setup: missing {}; tests that need them are skipped. As root: {command}", missing.join(" "));
        return Ok(());
    }
    println!("setup: {command}");
    install(&missing)
}

pub(crate) fn exists(program: &str) -> bool {
    find(program).is_some()
}

/// Where a program is.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    PLACES.iter().map(|place| Path::new(place).join(program)).find(|path| path.exists())
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|of_process| of_process.uid() == 0)
}

fn install(packages: &[&str]) -> Result<()> {
    let keep_quiet = KeepServicesQuiet::new()?;
    // The lists may be older than the mirror, or absent in a fresh container; an install says it well enough if not.
    let _ = apt(&["-qq", "update"]);
    let mut words = vec!["-qq", "-y", "install", "--no-install-recommends"];
    words.extend(packages);
    let installed = apt(&words);
    drop(keep_quiet);
    installed?;
    if Path::new("/run/systemd/system").exists() {
        for service in SERVICES.iter().filter(|service| packages.iter().any(|package| package.starts_with(**service))) {
            let _ = Command::new("systemctl").args(["disable", "--now", service]).stderr(Stdio::null()).status();
        }
    }
    Ok(())
}

fn apt(words: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(words)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("run apt-get")?;
    if !status.success() {
        bail!("apt-get {}: {status}", words.join(" "));
    }
    Ok(())
}

/// While it lives, packages that are installed do not start their services (Debian's policy-rc.d).
struct KeepServicesQuiet {
    ours: bool,
}

impl KeepServicesQuiet {
    const PATH: &str = "/usr/sbin/policy-rc.d";

    fn new() -> Result<Self> {
        if Path::new(Self::PATH).exists() {
            return Ok(KeepServicesQuiet { ours: false });
        }
        fs::write(Self::PATH, "#!/bin/sh\nexit 101\n").with_context(|| format!("write {}", Self::PATH))?;
        fs::set_permissions(Self::PATH, fs::Permissions::from_mode(0o755))?;
        Ok(KeepServicesQuiet { ours: true })
    }
}

impl Drop for KeepServicesQuiet {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(Self::PATH);
        }
    }
}
