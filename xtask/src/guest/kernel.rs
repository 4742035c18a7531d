//! Debian's kernel for virtual machines, fetched by `setup` and unpacked below `target`.

use crate::steps::target;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The package that depends on the newest of them.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// What is unpacked of it.
const PARTS: &[&str] = &[
    "./boot/vmlinuz-*",
    "./lib/modules/*/kernel/net/*",
    "./lib/modules/*/kernel/drivers/net/*",
    "./lib/modules/*/kernel/drivers/virtio/*",
    "./lib/modules/*/kernel/lib/*",
    "./lib/modules/*/kernel/crypto/*",
    "./lib/modules/*/kernel/arch/*",
];

fn folder() -> PathBuf {
    target().join("guest/kernel")
}

/// Where it stands what was unpacked.
fn parts_path() -> PathBuf {
    folder().join("parts")
}

/// Fetches and unpacks the kernel, unless one is there with all these parts.
pub(crate) fn fetch() -> Result<()> {
    let parts = PARTS.join("\n");
    if image().is_ok() && fs::read_to_string(parts_path()).is_ok_and(|known| known == parts) {
        return Ok(());
    }
    let scratch = target().join("guest/fetch");
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(scratch.join("kernel")).with_context(|| format!("create {}", scratch.display()))?;
    let package = download(&scratch).or_else(|_| {
        // The lists may be older than the mirror, or absent in a fresh container.
        let _ = succeed(Command::new("apt-get").args(["-qq", "update"]));
        download(&scratch)
    })?;
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("--fsys-tarfile").arg(&package).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut unpack = unpack.spawn().context("start dpkg-deb")?;
    let stream = unpack.stdout.take().context("standard output is piped")?;
    let mut tar = Command::new("tar");
    tar.arg("-x").arg("-C").arg(scratch.join("kernel")).arg("--wildcards").args(PARTS).stdin(stream);
    // Not every kernel has every one of these folders; what must be there is looked at below.
    let _ = tar.stderr(Stdio::null()).status().context("run tar")?;
    let _ = unpack.wait();
    let _ = fs::remove_dir_all(folder());
    fs::rename(scratch.join("kernel"), folder()).context("keep the unpacked kernel")?;
    let _ = fs::remove_dir_all(&scratch);
    fs::write(parts_path(), parts).with_context(|| format!("write {}", parts_path().display()))?;
    image().map(drop)
}

/// The kernel itself.
pub(super) fn image() -> Result<PathBuf> {
    only(&folder().join("boot"))
}

/// The folder of its modules, and its release (`6.1.0-56-cloud-amd64`).
pub(super) fn modules() -> Result<(PathBuf, String)> {
    let release = only(&folder().join("lib/modules"))?;
    let name = release.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((release.join("kernel"), name))
}

fn download(to: &Path) -> Result<PathBuf> {
    let name = package_name()?;
    println!("setup: apt-get download {name}");
    let mut download = Command::new("apt-get");
    // The user that apt otherwise becomes cannot write here.
    succeed(download.args(["-qq", "-o", "APT::Sandbox::User=root", "download", &name]).current_dir(to))?;
    let package = entries(to)?.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb"));
    package.with_context(|| format!("apt-get download {name} left no package"))
}

fn package_name() -> Result<String> {
    let output = Command::new("apt-cache").args(["depends", PACKAGE]).stdin(Stdio::null()).output();
    let output = output.context("run apt-cache")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut words = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let name = words.find(|name| name.starts_with("linux-image-"));
    name.map(str::to_owned).with_context(|| format!("no package {PACKAGE} is known here (apt-get update?)"))
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.with_context(|| format!("run {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{}: {status}", command.get_program().display());
    }
    Ok(())
}

fn only(folder: &Path) -> Result<PathBuf> {
    entries(folder)?.into_iter().next().with_context(|| format!("{} is empty", folder.display()))
}

pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in read {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}
