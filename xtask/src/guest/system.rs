//! The guest's files.

use super::{FILES, Inside, PROGRAMS, archive::Archive, modules, program, test_binaries};
use crate::steps::target;
use crate::{root, setup};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs first. `COMMANDS` becomes what is to be done; its status is the guest's.
const INIT: &str = r#"#!/bin/sh
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/ LANG=C CI=true EVENKEEL=/usr/local/bin/evenkeel
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t bpf bpf /sys/fs/bpf
exec >/dev/ttyS1 2>&1 </dev/null
ip link set lo up
status=0
COMMANDS
echo "guest: exit $status"
sync
poweroff -f
"#;

/// The finished initramfs.
pub(super) fn image(inside: &Inside<'_>) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    archive.device("/dev/console", 5, 1);
    for folder in ["/proc", "/sys", "/run", "/tmp", "/var", "/etc"] {
        archive.folder(folder);
    }
    archive.link("/var/run", "/run");
    archive.file("/bin/busybox", &fs::read(find("busybox")?).context("read busybox")?);
    archive.link("/bin/sh", "busybox");
    for applet in ["modprobe", "poweroff"] {
        archive.link(&format!("/sbin/{applet}"), "/bin/busybox");
    }
    archive.file("/etc/passwd", b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n");
    archive.file("/etc/group", b"root:x:0:\nnogroup:x:65534:\n");
    archive.file("/etc/nsswitch.conf", b"hosts: files\nservices: files\nprotocols: files\n");
    archive.file("/etc/hosts", b"127.0.0.1 localhost\n10.11.12.13 virtual.example\nfd00::aa six.example\n");
    for name in ["services", "protocols"] {
        // Where they are missing names of ports are numbers.
        archive.file(&format!("/etc/{name}"), &fs::read(Path::new("/etc").join(name)).unwrap_or_default());
    }
    for program in PROGRAMS {
        let path = find(program)?;
        add_program(&mut archive, &path, &format!("/usr/sbin/{program}"), Debug::Keep)?;
    }
    add_program(&mut archive, &target().join("debug/evenkeel"), "/usr/local/bin/evenkeel", Debug::Strip)?;
    archive.link("/evenkeel/ipvsadm", "/usr/local/bin/evenkeel");
    for (from, to) in FILES {
        archive.file(to, &fs::read(root().join(from)).with_context(|| format!("read {from}"))?);
    }
    modules::add(&mut archive)?;
    let commands = commands(&mut archive, inside)?;
    archive.file("/init", INIT.replace("COMMANDS", &commands).as_bytes());
    Ok(archive.finish())
}

fn commands(archive: &mut Archive, inside: &Inside<'_>) -> Result<String> {
    match inside {
        Inside::Shell(line) => Ok(format!("( {line}\n) || status=$?")),
        Inside::Program(name) => {
            let path = format!("/usr/local/bin/{name}");
            add_program(archive, &program(name)?, &path, Debug::Strip)?;
            Ok(format!("{path} || status=$?"))
        }
        Inside::Tests(words) => {
            let mut lines = String::new();
            for binary in test_binaries()? {
                let file = binary.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let name = file.rsplit_once('-').map_or(&*file, |(name, _)| name);
                let path = format!("/tests/{name}");
                add_program(archive, &binary, &path, Debug::Strip)?;
                let words: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', ""))).collect();
                lines += &format!("{path} --test-threads 1 --show-output {} || status=$?\n", words.join(" "));
            }
            Ok(lines)
        }
    }
}

/// Whether the lines of code stay in a program.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Debug {
    Keep,
    Strip,
}

/// Adds a program with its libraries.
fn add_program(archive: &mut Archive, from: &Path, to: &str, debug: Debug) -> Result<()> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    let content = match debug {
        Debug::Keep => read(from)?,
        Debug::Strip => stripped(from).map_or_else(|| read(from), Ok)?,
    };
    archive.file(to, &content);
    for library in libraries(from)? {
        if !archive.has(&library) {
            archive.file(&library, &read(Path::new(&library))?);
        }
    }
    Ok(())
}

/// The program without what debuggers read, which is most of it. `None` where there is no `strip`.
fn stripped(from: &Path) -> Option<Vec<u8>> {
    let to = target().join("guest/stripped");
    let status = Command::new("strip").arg("-o").arg(&to).arg(from).stdin(Stdio::null()).stderr(Stdio::null()).status();
    let content = status.is_ok_and(|status| status.success()).then(|| fs::read(&to).ok()).flatten();
    let _ = fs::remove_file(&to);
    content
}

/// Paths of the libraries of a program, as the loader finds them, and of the loader.
fn libraries(program: &Path) -> Result<Vec<String>> {
    let output = Command::new("ldd").arg(program).stdin(Stdio::null()).output().context("run ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut paths = Vec::new();
    for line in text.lines() {
        if line.contains("not found") {
            bail!("{}: {}", program.display(), line.trim());
        }
        paths.extend(line.split_whitespace().find(|word| word.starts_with('/')).map(str::to_owned));
    }
    Ok(paths)
}

fn find(program: &str) -> Result<PathBuf> {
    setup::find(program).with_context(|| format!("{program} is not installed (cargo xtask setup)"))
}
