use crate::config::{Handler, Location, LocationMatch};
use crate::pass::CompiledPass;
use crate::pattern::Pattern;
use crate::script::Script;
use crate::site::{CompileError, CompiledScope, Compiler};

/// The locations of one level, in the order in which nginx looks at them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Locations {
    all: Vec<CompiledLocation>,
    /// Sorted by name.
    exact: Vec<(String, usize)>,
    /// Longest first: the first that fits is the one.
    prefixes: Vec<(String, usize)>,
    /// In file order.
    regexes: Vec<(Pattern, usize)>,
    /// `@name`.
    named: Vec<(String, usize)>,
}

#[derive(Clone, Debug)]
pub(crate) struct CompiledLocation {
    pub(crate) scope: CompiledScope,
    pub(crate) rewrite: Script,
    pub(crate) internal: bool,
    pub(crate) handler: CompiledHandler,
    /// `^~`.
    no_regex: bool,
    nested: Locations,
}

#[derive(Clone, Debug)]
pub(crate) enum CompiledHandler {
    Proxy(CompiledPass),
    Static,
}

/// What a search found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found<'s> {
    pub(crate) location: Option<&'s CompiledLocation>,
    /// The last expression that matched: its groups are the captures.
    pub(crate) pattern: Option<&'s Pattern>,
    /// The path lacks only the final `/` of a proxied location: the client is sent there.
    pub(crate) redirect: Option<&'s str>,
}

enum Step {
    /// Nothing on this level.
    Nothing,
    /// A prefix, which an expression may still override.
    Prefix,
    /// Decided.
    Final,
}

impl Locations {
    pub(crate) fn new(locations: &[Location], compiler: &Compiler<'_>) -> Result<Locations, CompileError> {
        let mut compiled = Locations::default();
        for location in locations {
            let index = compiled.all.len();
            let mut no_regex = false;
            match &location.matches {
                LocationMatch::Exact(name) => compiled.exact.push((name.clone(), index)),
                LocationMatch::Prefix(name) => compiled.prefixes.push((name.clone(), index)),
                LocationMatch::PrefixNoRegex(name) => {
                    no_regex = true;
                    compiled.prefixes.push((name.clone(), index));
                }
                LocationMatch::Regex { pattern, ignore_case } => {
                    let regex = compiler.pattern(pattern, *ignore_case)?;
                    compiled.regexes.push((regex, index));
                }
                // Reached by `error_page` and `try_files` only.
                LocationMatch::Named(name) => compiled.named.push((name.clone(), index)),
            }
            let mut rewrite = Script::new(&location.rewrite, compiler)?;
            if let Handler::Return(answer) = &location.handler {
                rewrite.push_return(compiler.answer(answer)?);
            }
            compiled.all.push(CompiledLocation {
                scope: compiler.scope(&location.scope)?,
                rewrite,
                internal: location.internal,
                handler: compiler.handler(&location.handler, &location.matches, &location.scope)?,
                no_regex,
                nested: Locations::new(&location.nested, compiler)?,
            });
        }
        compiled.exact.sort();
        compiled.prefixes.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        Ok(compiled)
    }

    /// Exact; longest prefix, then those nested in it; unless `^~`, the first expression, then those nested in it.
    pub(crate) fn find(&self, path: &[u8]) -> Found<'_> {
        let mut found = Found::default();
        self.search(path, &mut found);
        found
    }

    /// `@name`.
    pub(crate) fn named(&self, name: &str) -> Option<&CompiledLocation> {
        self.named.iter().find(|(known, _)| known == name).map(|(_, index)| &self.all[*index])
    }

    fn search<'s>(&'s self, path: &[u8], found: &mut Found<'s>) -> Step {
        let mut step = Step::Nothing;
        let mut no_regex = false;
        match self.find_static(path) {
            Static::Exact(location) => {
                found.location = Some(location);
                return Step::Final;
            }
            Static::Redirect(location, name) => {
                found.location = Some(location);
                found.redirect = Some(name);
                return Step::Final;
            }
            Static::Prefix(location) => {
                found.location = Some(location);
                no_regex = location.no_regex;
                step = match location.nested.search(path, found) {
                    Step::Final => return Step::Final,
                    Step::Nothing | Step::Prefix => Step::Prefix,
                };
            }
            Static::Nothing => {}
        }
        if no_regex {
            return step;
        }
        for (pattern, index) in &self.regexes {
            if pattern.is_match(path) {
                let location = &self.all[*index];
                found.location = Some(location);
                found.pattern = Some(pattern);
                location.nested.search(path, found);
                return Step::Final;
            }
        }
        step
    }

    fn find_static(&self, path: &[u8]) -> Static<'_> {
        if let Ok(at) = self.exact.binary_search_by(|(name, _)| name.as_bytes().cmp(path)) {
            return Static::Exact(&self.all[self.exact[at].1]);
        }
        let longest = self.prefixes.iter().find(|(name, _)| path.starts_with(name.as_bytes()));
        // A location that is the whole path comes before one that has a slash more.
        if let Some((name, index)) = longest
            && name.len() == path.len()
        {
            return Static::Prefix(&self.all[*index]);
        }
        let lacks_slash = |name: &str| name.as_bytes().strip_suffix(b"/") == Some(path);
        let mut names = self.exact.iter().chain(&self.prefixes);
        if let Some((name, index)) = names
            .find(|(name, index)| lacks_slash(name) && matches!(self.all[*index].handler, CompiledHandler::Proxy(_)))
        {
            return Static::Redirect(&self.all[*index], name);
        }
        match longest {
            Some((_, index)) => Static::Prefix(&self.all[*index]),
            None => Static::Nothing,
        }
    }
}

enum Static<'s> {
    Exact(&'s CompiledLocation),
    Redirect(&'s CompiledLocation, &'s str),
    Prefix(&'s CompiledLocation),
    Nothing,
}
