//! Which of the kernel's modules are in the guest, and the lists by which `modprobe` there finds them: a package that is
//! not installed has none.

use super::{MODULE_FOLDERS, MODULES, archive::Archive, kernel};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A module in the package.
struct Module {
    /// Below `kernel`.
    path: String,
    depends: Vec<String>,
    aliases: Vec<String>,
    content: Vec<u8>,
}

/// Adds the modules with `modules.dep` and `modules.alias`.
pub(super) fn add(archive: &mut Archive) -> Result<()> {
    let (folder, release) = kernel::modules()?;
    let mut files = BTreeMap::new();
    find(&folder, &folder, &mut files)?;
    let wanted = |path: &str, name: &str| {
        MODULES.contains(&name) || MODULE_FOLDERS.iter().any(|folder| path.starts_with(&format!("{folder}/")))
    };
    let mut loaded: BTreeMap<String, Module> = BTreeMap::new();
    let mut waiting: Vec<String> =
        files.iter().filter(|(name, path)| wanted(path, name)).map(|(name, _)| name.clone()).collect();
    while let Some(name) = waiting.pop() {
        if loaded.contains_key(&name) {
            continue;
        }
        // What is not among the files is built into the kernel.
        if let Some(path) = files.get(&name) {
            let module = read(&folder, path)?;
            waiting.extend(module.depends.iter().cloned());
            loaded.insert(name, module);
        }
    }
    let top = format!("/lib/modules/{release}");
    let (mut dependencies, mut aliases) = (String::new(), String::new());
    for (name, module) in &loaded {
        let mut all = Vec::new();
        let mut seen = BTreeSet::new();
        gather(name, &loaded, &mut seen, &mut all);
        // Whoever reads the list loads its last one first.
        all.reverse();
        let paths: Vec<String> = all.iter().map(|module| format!("kernel/{}", module.path)).collect();
        dependencies += &format!("kernel/{}: {}\n", module.path, paths.join(" "));
        for alias in &module.aliases {
            aliases += &format!("alias {alias} {name}\n");
        }
        archive.file(&format!("{top}/kernel/{}", module.path), &module.content);
    }
    archive.file(&format!("{top}/modules.dep"), dependencies.as_bytes());
    archive.file(&format!("{top}/modules.alias"), aliases.as_bytes());
    Ok(())
}

/// All that a module needs, each after what it needs itself.
fn gather<'a>(
    name: &str,
    loaded: &'a BTreeMap<String, Module>,
    seen: &mut BTreeSet<&'a str>,
    all: &mut Vec<&'a Module>,
) {
    let Some(module) = loaded.get(name) else {
        return;
    };
    for dependency in &module.depends {
        if let Some(found) = loaded.get(dependency)
            && seen.insert(dependency)
        {
            gather(dependency, loaded, seen, all);
            all.push(found);
        }
    }
}

/// Names of modules (with underscores, as the kernel has them) and their paths.
fn find(top: &Path, folder: &Path, files: &mut BTreeMap<String, String>) -> Result<()> {
    for path in kernel::entries(folder)? {
        if path.is_dir() {
            find(top, &path, files)?;
            continue;
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((name, _)) = file.split_once(".ko") else {
            continue;
        };
        let below = path.strip_prefix(top).unwrap_or(&path).to_string_lossy().into_owned();
        files.insert(name.replace('-', "_"), below);
    }
    Ok(())
}

fn read(folder: &Path, path: &str) -> Result<Module> {
    let file = folder.join(path);
    let content = if path.ends_with(".xz") { unpacked(&file)? } else { fs::read(&file).context(path.to_owned())? };
    let list = |text: Option<String>| {
        text.unwrap_or_default().split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
    };
    let depends = list(fields(&content, "depends=").into_iter().next());
    let aliases = fields(&content, "alias=");
    Ok(Module { path: path.trim_end_matches(".xz").to_owned(), depends, aliases, content })
}

fn unpacked(file: &PathBuf) -> Result<Vec<u8>> {
    let output = Command::new("xz").arg("-dc").arg(file).stdin(Stdio::null()).output().context("run xz")?;
    if !output.status.success() {
        bail!("xz -dc {}: {}", file.display(), output.status);
    }
    Ok(output.stdout)
}

/// The values of a name in a module's description, which is a list of `name=value` texts that end with zero bytes.
fn fields(content: &[u8], name: &str) -> Vec<String> {
    let mut values = Vec::new();
    for text in content.split(|byte| *byte == 0) {
        if let Some(value) = text.strip_prefix(name.as_bytes())
            && let Ok(value) = std::str::from_utf8(value)
        {
            values.push(value.to_owned());
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_of_a_module_is_read() {
        let content = b"\x7fELF\0license=GPL\0alias=rtnl-link-veth\0depends=\0alias=b\0";
        assert_eq!(fields(content, "alias="), ["rtnl-link-veth", "b"]);
        assert_eq!(fields(content, "depends="), [""]);
    }
}
