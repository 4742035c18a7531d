//! Variables that follow from others.

use crate::config::rewrite::{Computed, Map, MapKey, Rule, Share};
use crate::geo::CompiledGeo;
use crate::hashing::murmur2;
use crate::pattern::Pattern;
use crate::plan::Plan;
use crate::site::{CompileError, Compiler};
use crate::template::{Template, Values};
use std::collections::HashMap;

/// A variable that follows from others, compiled.
#[derive(Clone, Debug)]
pub(crate) struct CompiledVariable {
    source: Template,
    rule: CompiledRule,
    /// Where a value is kept once it is known; `None` for one that is looked up anew each time.
    pub(crate) place: Option<usize>,
}

#[derive(Clone, Debug)]
enum CompiledRule {
    Map(CompiledMap),
    Geo(CompiledGeo),
    /// Ends of the shares in the space of hashes; `None` is its end.
    Split(Vec<(Option<u32>, String)>),
}

#[derive(Clone, Debug)]
struct CompiledMap {
    hostnames: bool,
    exact: HashMap<Vec<u8>, usize>,
    /// Below the key, without its leading dot.
    suffix: HashMap<Vec<u8>, usize>,
    /// `www.*` is `www`.
    prefix: HashMap<Vec<u8>, usize>,
    /// In file order.
    regex: Vec<(Pattern, usize)>,
    values: Vec<Template>,
    default: Template,
}

impl CompiledVariable {
    pub(crate) fn new(computed: &Computed, index: usize, compiler: &Compiler<'_>) -> Result<Self, CompileError> {
        let what = format!("${}", computed.name);
        let (rule, volatile) = match &computed.rule {
            Rule::Map(map) => (CompiledRule::Map(CompiledMap::new(map, &what, compiler)?), map.volatile),
            Rule::Geo(geo) => (CompiledRule::Geo(CompiledGeo::new(geo)), false),
            Rule::Split(shares) => (CompiledRule::Split(split(shares)), false),
        };
        let place = (!volatile).then(|| compiler.own.place_of_computed(index));
        Ok(CompiledVariable { source: compiler.template(&what, &computed.source)?, rule, place })
    }

    /// Its value now.
    pub(crate) fn value(&self, plan: &Plan<'_>, values: &dyn Values) -> Vec<u8> {
        let mut source = Vec::new();
        self.source.render(values, &mut source);
        let mut out = Vec::new();
        match &self.rule {
            CompiledRule::Map(map) => map.find(&source, plan).render(values, &mut out),
            CompiledRule::Geo(geo) => out.extend_from_slice(geo.find(&source).as_bytes()),
            CompiledRule::Split(shares) => {
                let hash = murmur2(&source);
                if let Some((_, value)) = shares.iter().find(|(end, _)| end.is_none_or(|end| hash < end)) {
                    out.extend_from_slice(value.as_bytes());
                }
            }
        }
        out
    }
}

/// nginx's own arithmetic: each share ends a part of 2^32 - 1 after the one before it.
fn split(shares: &[Share]) -> Vec<(Option<u32>, String)> {
    let mut sum = 0u32;
    let shares = shares.iter().map(|share| {
        sum = sum.wrapping_add(share.part.unwrap_or(0));
        let end = share.part.map(|_| (u64::from(sum) * u64::from(u32::MAX) / 10_000) as u32);
        (end, share.value.clone())
    });
    shares.collect()
}

impl CompiledMap {
    fn new(map: &Map, what: &str, compiler: &Compiler<'_>) -> Result<CompiledMap, CompileError> {
        let mut compiled = CompiledMap {
            hostnames: map.hostnames,
            exact: HashMap::new(),
            suffix: HashMap::new(),
            prefix: HashMap::new(),
            regex: Vec::new(),
            values: Vec::new(),
            default: compiler.template(what, &map.default)?,
        };
        for (key, value) in &map.entries {
            let index = compiled.values.len();
            compiled.values.push(compiler.template(what, value)?);
            match key {
                MapKey::Regex { pattern, ignore_case } => {
                    compiled.regex.push((compiler.pattern(pattern, *ignore_case)?, index));
                }
                MapKey::Text(text) => compiled.add(text, index),
            }
        }
        Ok(compiled)
    }

    fn add(&mut self, text: &str, index: usize) {
        let names = match self.hostnames {
            true => (text.strip_prefix("*."), text.strip_prefix('.'), text.strip_suffix(".*")),
            false => (None, None, None),
        };
        match names {
            (Some(below), _, _) => drop(self.suffix.insert(below.into(), index)),
            (_, Some(name), _) => {
                self.exact.insert(name.into(), index);
                self.suffix.insert(name.into(), index);
            }
            (_, _, Some(above)) => drop(self.prefix.insert(above.into(), index)),
            (None, None, None) => drop(self.exact.insert(text.into(), index)),
        }
    }

    /// Exact text, longest `*.name`, longest `name.*`, first expression, default.
    fn find(&self, source: &[u8], plan: &Plan<'_>) -> &Template {
        let text = if self.hostnames { source.strip_suffix(b".").unwrap_or(source) } else { source };
        let lower = text.to_ascii_lowercase();
        let dots = || lower.iter().enumerate().filter(|(at, byte)| **byte == b'.' && *at > 0).map(|(at, _)| at);
        let by_suffix = || dots().find_map(|dot| self.suffix.get(&lower[dot + 1..]));
        let by_prefix = || dots().collect::<Vec<_>>().into_iter().rev().find_map(|dot| self.prefix.get(&lower[..dot]));
        let mut found = self.exact.get(&lower).copied();
        if self.hostnames {
            found = found.or_else(|| by_suffix().copied()).or_else(|| by_prefix().copied());
        }
        // nginx asks no expression about an empty text.
        if found.is_none() && !text.is_empty() {
            let matching = self.regex.iter().find(|(pattern, _)| pattern.is_match(text));
            if let Some((pattern, index)) = matching {
                plan.match_text(pattern, text);
                found = Some(*index);
            }
        }
        found.map_or(&self.default, |index| &self.values[index])
    }
}
