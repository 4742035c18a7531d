//! What reviewers would otherwise have to look for: rules that the manifests, the map and the text must keep.

mod manifests;
mod map;
mod text;

use crate::root;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Prints every problem; an error when there is one.
pub(crate) fn run() -> Result<()> {
    let problems = problems()?;
    for problem in &problems {
        println!("tidy: {problem}");
    }
    match problems.len() {
        0 => Ok(()),
        1 => bail!("one thing to tidy up"),
        n => bail!("{n} things to tidy up"),
    }
}

fn problems() -> Result<Vec<String>> {
    let files = files()?;
    let mut problems = manifests::problems(&metadata()?);
    problems.extend(map::problems(&files));
    for file in &files {
        problems.extend(text::problems(file));
    }
    problems.extend(text::generated(&files));
    Ok(problems)
}

/// A file of the repository, whose text is empty when it is no UTF-8.
struct File {
    /// From the top of the repository, with slashes.
    path: String,
    text: String,
}

/// What git has and what it would take in.
fn files() -> Result<Vec<File>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .context("run git")?;
    if !output.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let names = String::from_utf8(output.stdout).context("file names are UTF-8")?;
    let paths = names.split('\0').filter(|name| !name.is_empty());
    let mut files: Vec<File> = paths
        // A file that is deleted and not yet committed as such is still listed.
        .filter(|path| root().join(path).is_file())
        .map(|path| {
            let text = std::fs::read_to_string(root().join(path)).unwrap_or_default();
            File { path: path.to_owned(), text }
        })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    Ok(files)
}

fn metadata() -> Result<serde_json::Value> {
    let cargo: PathBuf = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()).into();
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .context("run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("read what cargo metadata says")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_repository_is_tidy() {
        let problems = super::problems().unwrap();
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}
