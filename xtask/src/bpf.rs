//! The program for XDP: made from its source, and the committed object compared with that.

use crate::root;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SOURCE: &str = "evenkeel.bpf.c";

/// What the compiler is told. Paths are relative and there is no mark of the compiler, so that the object depends on the
/// source alone, wherever it lies.
const FLAGS: &[&str] = &[
    "-target",
    "bpfel",
    // Atomics that return what was there, since Linux 5.12.
    "-mcpu=v3",
    "-O2",
    // Types for the loader and the kernel come from debugging information.
    "-g",
    "-fdebug-compilation-dir=.",
    "-fno-ident",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unused-function",
    "-Wno-visibility",
];

/// Writes the object anew.
pub(crate) fn build() -> Result<()> {
    let object = compile()?;
    fs::create_dir_all(folder()).with_context(|| format!("make {}", folder().display()))?;
    write(&object_path(), &object)?;
    write(&compiler_path(), version()?.as_bytes())?;
    println!("bpf: {} bytes in {}", object.len(), object_path().display());
    Ok(())
}

/// Fails when the committed object is not what the source gives.
pub(crate) fn check() -> Result<()> {
    let Ok(version) = version() else {
        return skip("needs clang (cargo xtask setup installs it)");
    };
    let made_by = fs::read_to_string(compiler_path()).with_context(|| format!("read {}", compiler_path().display()))?;
    if compile()? == fs::read(object_path()).with_context(|| format!("read {}", object_path().display()))? {
        println!("bpf: the object is what the source gives");
        return Ok(());
    }
    if version != made_by {
        return skip(&format!("the object was made by {}, here is {}", made_by.trim(), version.trim()));
    }
    bail!("{} is not what its source gives: cargo xtask bpf", object_path().display());
}

/// Under CI what cannot be proven is a failure.
fn skip(reason: &str) -> Result<()> {
    if std::env::var("CI").as_deref() == Ok("true") {
        bail!("the object for XDP is not proven: {reason}");
    }
    println!("skipped: the object for XDP: {reason}");
    Ok(())
}

fn folder() -> PathBuf {
    root().join("crates/xdp/object")
}

fn object_path() -> PathBuf {
    folder().join("evenkeel.bpf.o")
}

fn compiler_path() -> PathBuf {
    folder().join("compiler.txt")
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("write {}", path.display()))
}

/// The compiler's first line about itself.
fn version() -> Result<String> {
    let output = Command::new("clang").arg("--version").stdin(Stdio::null()).output().context("run clang")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().context("clang says nothing about itself")?;
    Ok(format!("{line}\n"))
}

fn compile() -> Result<Vec<u8>> {
    let made = std::env::temp_dir().join(format!("evenkeel-{}.bpf.o", std::process::id()));
    let mut clang = Command::new("clang");
    clang.current_dir(root().join("crates/xdp/src/bpf")).args(FLAGS).args(["-c", SOURCE, "-o"]).arg(&made);
    let outcome = run(&mut clang).and_then(|()| {
        // Lines and variables; the types stay.
        run(Command::new("llvm-strip").arg("-g").arg(&made))?;
        fs::read(&made).with_context(|| format!("read {}", made.display()))
    });
    let _ = fs::remove_file(&made);
    outcome
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("run {name}"))?;
    if !status.success() {
        bail!("{name}: {status}");
    }
    Ok(())
}
