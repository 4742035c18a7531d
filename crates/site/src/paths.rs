//! Where files are: `root`, `alias` and `try_files`.

use crate::config::Scope;
use crate::config::answer::{Otherwise, TryFiles};
use crate::errors::split_args;
use crate::plan::{Answer, Facts, Known, Plan};
use crate::site::{CompileError, Compiler, Site};
use crate::template::{Template, Values};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// `root` or `alias`, compiled.
#[derive(Clone, Debug)]
pub(crate) struct CompiledRoot {
    path: Template,
    /// `alias`: what it replaces of the path.
    alias: Option<Replaced>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replaced {
    /// As much as the location's name.
    Start(usize),
    /// All of it: the location is an expression.
    Whole,
}

/// `try_files`, compiled.
#[derive(Clone, Debug)]
pub(crate) struct CompiledTry {
    /// Paths, and whether a directory is looked for.
    paths: Vec<(Template, bool)>,
    otherwise: CompiledOtherwise,
}

#[derive(Clone, Debug)]
enum CompiledOtherwise {
    Status(u16),
    Named(String),
    Path(Template),
}

impl CompiledRoot {
    pub(crate) fn new(scope: &Scope, compiler: &Compiler<'_>) -> Result<CompiledRoot, CompileError> {
        Ok(match &scope.alias {
            Some(alias) => CompiledRoot {
                path: compiler.template("alias", &alias.path)?,
                alias: Some(alias.replaces.map_or(Replaced::Whole, Replaced::Start)),
            },
            None => CompiledRoot { path: compiler.template("root", &scope.root.to_string_lossy())?, alias: None },
        })
    }

    /// Appends `$document_root`.
    pub(crate) fn write_root(&self, values: &dyn Values, out: &mut Vec<u8>) {
        self.path.render(values, out);
    }

    /// Appends where a path of this location is. False when it was rewritten, and an alias cannot say.
    pub(crate) fn write_path(&self, plan: &Plan<'_>, path: &[u8], values: &dyn Values, out: &mut Vec<u8>) -> bool {
        self.path.render(values, out);
        match self.alias {
            None => out.extend_from_slice(path),
            Some(_) if !plan.has_location => return false,
            Some(Replaced::Start(length)) => out.extend_from_slice(path.get(length..).unwrap_or_default()),
            Some(Replaced::Whole) => {}
        }
        true
    }
}

impl CompiledTry {
    pub(crate) fn new(files: &TryFiles, compiler: &Compiler<'_>) -> Result<CompiledTry, CompileError> {
        let paths = files.paths.iter().map(|path| {
            let (path, is_directory) = path.strip_suffix('/').map_or((path.as_str(), false), |path| (path, true));
            Ok((compiler.template("try_files", path)?, is_directory))
        });
        let otherwise = match &files.otherwise {
            Otherwise::Status(status) => CompiledOtherwise::Status(*status),
            Otherwise::Named(name) => CompiledOtherwise::Named(name.clone()),
            Otherwise::Path(path) => CompiledOtherwise::Path(compiler.template("try_files", path)?),
        };
        Ok(CompiledTry { paths: paths.collect::<Result<_, CompileError>>()?, otherwise })
    }
}

impl Site {
    /// [`Answer::TryFiles`]: the first path of the list that is there, or what comes otherwise.
    pub fn try_files<'s>(&'s self, plan: &mut Plan<'s>, method: &str, facts: &dyn Facts) {
        let scope = plan.scope;
        let Some(files) = &scope.try_files else { return };
        for (template, wants_directory) in &files.paths {
            let mut name = plan.render(template, facts);
            let replaced = match scope.root.alias {
                Some(Replaced::Start(length)) => length,
                Some(Replaced::Whole) | None => 0,
            };
            let mut file = Vec::new();
            scope.root.path.render(&Known { plan, facts }, &mut file);
            // A name below the location loses what the alias replaces.
            let below = plan.uri.get(..replaced).is_some_and(|start| replaced > 0 && name.starts_with(start));
            let rest = if below { name.split_off(replaced) } else { name };
            file.extend_from_slice(&rest);
            let look = facts.look(Path::new(OsStr::from_bytes(&file)));
            if !look.exists || look.is_directory != *wants_directory {
                continue;
            }
            match scope.root.alias {
                None => plan.uri = rest,
                Some(Replaced::Start(length)) => {
                    plan.uri.truncate(length);
                    plan.uri.extend_from_slice(&rest);
                }
                Some(Replaced::Whole) => {}
            }
            plan.answer = plan.content(method, facts);
            return;
        }
        match &files.otherwise {
            CompiledOtherwise::Status(status) => plan.answer = Answer::Error { status: *status, why: None },
            CompiledOtherwise::Named(name) => self.to_named(plan, name.as_bytes(), method, facts),
            CompiledOtherwise::Path(path) => {
                let target = plan.render(path, facts);
                let (path, args) = split_args(&target);
                // nginx has arguments then, if only empty ones.
                plan.args = args.or(Some(Vec::new()));
                self.redirect(plan, path, method, facts);
            }
        }
    }
}

impl<'s> Plan<'s> {
    /// The file of the path.
    pub(crate) fn file(&self, method: &str, facts: &dyn Values) -> Answer<'s> {
        if !matches!(method, "GET" | "HEAD" | "POST") {
            return Answer::Error { status: 405, why: None };
        }
        let mut path = Vec::new();
        if !self.scope.root.write_path(self, &self.uri, &Known { plan: self, facts }, &mut path) {
            let why = "\"alias\" cannot be used in a location where the URI was rewritten";
            return Answer::Error { status: 500, why: Some(why) };
        }
        Answer::File { path: PathBuf::from(OsStr::from_bytes(&path)), index: &self.scope.values.index }
    }
}
