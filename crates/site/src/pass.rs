use crate::config::{LocationMatch, ProxyPass, Scope};
use crate::plan::Plan;
use crate::uri;

/// `proxy_pass` in one location, with what follows from where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompiledPass {
    /// Index in `Config::upstreams`.
    pub upstream: usize,
    /// `$proxy_host`.
    pub host: String,
    /// `$proxy_port`.
    pub port: u16,
    uri: Option<String>,
    /// Length of what the location matched; zero where that is not fixed.
    matched: usize,
    /// `proxy_redirect default`: prefix, and what replaces it.
    redirect: Option<(String, String)>,
}

/// The URI to send to the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `proxy_pass` without a path: the target as the client sent it (from the path on, when it was absolute).
    AsSent,
    /// This one.
    Rewritten(String),
}

impl Target {
    /// The URI, given what the client sent.
    pub fn resolve<'a>(&'a self, sent: &'a str) -> &'a str {
        match self {
            Target::AsSent => sent,
            Target::Rewritten(uri) => uri,
        }
    }
}

impl CompiledPass {
    pub(crate) fn new(pass: &ProxyPass, location: &LocationMatch, scope: &Scope) -> CompiledPass {
        let name = match location {
            LocationMatch::Prefix(name) | LocationMatch::PrefixNoRegex(name) | LocationMatch::Exact(name) => name,
            LocationMatch::Regex { .. } | LocationMatch::Named(_) => "",
        };
        let redirect = match &pass.uri {
            Some(uri) => (format!("http://{}{uri}", pass.host), name.to_owned()),
            None => (format!("http://{}/", pass.host), "/".to_owned()),
        };
        CompiledPass {
            upstream: pass.upstream,
            host: pass.host.clone(),
            port: pass.port,
            uri: pass.uri.clone(),
            matched: name.len(),
            redirect: scope.proxy_redirect.then_some(redirect),
        }
    }

    /// What to send for a request: nginx escapes the path again when it was written with `%`, or is no longer the
    /// client's (an index file, an error page, a path that was rewritten).
    pub(crate) fn target(&self, plan: &Plan<'_>) -> Target {
        let (replacement, matched) = match &self.uri {
            None if plan.is_as_sent => return Target::AsSent,
            None => ("", 0),
            Some(uri) if plan.has_location => (uri.as_str(), self.matched),
            // `rewrite ... break`: the path is the upstream's already.
            Some(_) => ("", 0),
        };
        let rest = plan.uri.get(matched..).unwrap_or_default();
        let args = plan.args.as_deref().unwrap_or_default();
        let mut target = String::with_capacity(replacement.len() + rest.len() + args.len() + 1);
        target.push_str(replacement);
        match std::str::from_utf8(rest) {
            Ok(rest) if !plan.was_quoted && !plan.is_internal => target.push_str(rest),
            _ => uri::escape(rest, &mut target),
        }
        if !args.is_empty() {
            target.push('?');
            uri::escape_bytes(args, &mut target);
        }
        Target::Rewritten(target)
    }

    /// A `Location` (or the URL of a `Refresh`) from the upstream in the client's terms, as `proxy_redirect default`
    /// has it; `None` when it stays as it is.
    pub fn redirect(&self, location: &str) -> Option<String> {
        let (from, to) = self.redirect.as_ref()?;
        Some(format!("{to}{}", location.strip_prefix(from.as_str())?))
    }
}
