use crate::locations::CompiledHandler;
use crate::pass::{CompiledPass, Target};
use crate::pattern::Pattern;
use crate::site::{CompiledReturn, CompiledScope, CompiledServer, Site};
use crate::template::{Template, Variable};
use crate::uri;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What of a request decides what it gets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'r> {
    /// As sent.
    pub method: &'r str,
    /// As sent: a path, or an absolute URI.
    pub target: &'r str,
    /// The `Host` header as sent, `None` without one.
    pub host: Option<&'r str>,
}

/// What a request gets.
#[derive(Clone, Debug)]
pub struct Plan<'s> {
    /// The server that answers.
    pub server: &'s CompiledServer,
    /// Values in force.
    pub scope: &'s CompiledScope,
    /// `$uri`: the path decoded and normalised. Empty when the request was rejected.
    pub uri: Vec<u8>,
    /// `$request_uri`: the target as sent, from its path on.
    pub request_uri: String,
    /// `$args`: what follows `?`; `None` without one.
    pub args: Option<String>,
    /// `$host`: from the target, else the header, else the server's name.
    pub host: String,
    /// What to do.
    pub answer: Answer<'s>,
    /// Groups of the expressions that matched.
    pub captures: Captures<'s>,
}

/// What to do with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<'s> {
    /// Ask an upstream.
    Proxy {
        /// Names, and the rule for redirects.
        pass: &'s CompiledPass,
        /// Index in `Config::upstreams`.
        upstream: usize,
        /// What to send in the request line.
        target: Target,
    },
    /// Send a file. Methods are GET, HEAD and POST; nginx answers POST with 405 when the file exists, 404 otherwise.
    File {
        /// `root`.
        root: &'s Path,
        /// `root` and the path. When the path ends with `/`: a directory, in which each of `index` is looked for;
        /// the one that exists is planned anew with [`Site::replan`], else the answer is 403 (or 404 without the directory).
        path: PathBuf,
        /// `index`.
        index: &'s [String],
    },
    /// `return`.
    Return {
        /// The status; 444 closes the connection.
        status: u16,
        /// The body, or for 301, 302, 303, 307 and 308 the target (see [`Plan::redirect_target`]). Rendered, it may hold
        /// what a client sent, decoded (`$uri`): a line end in it must not reach a header.
        text: Option<&'s Template>,
    },
    /// A redirect to a proxied location that ends with `/`: status 301 and this target, relative to the site.
    Redirect301(String),
    /// An error page.
    Reject {
        /// Its status.
        status: u16,
    },
}

/// Groups of the expressions that matched a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures<'s> {
    /// `$1` and so on, of the last expression.
    numbered: Vec<Option<Vec<u8>>>,
    /// Of all expressions, the last with a name wins.
    named: Vec<(&'s str, Option<Vec<u8>>)>,
}

impl<'s> Captures<'s> {
    fn add(&mut self, pattern: &'s Pattern, text: &[u8]) {
        let Some(groups) = pattern.captures(text) else { return };
        self.numbered.clear();
        for (name, value) in groups {
            let value = value.map(<[u8]>::to_vec);
            if let Some(name) = name {
                self.named.push((name, value.clone()));
            }
            self.numbered.push(value);
        }
    }

    /// `$1` is number 1.
    pub fn number(&self, number: u8) -> Option<&[u8]> {
        self.numbered.get(usize::from(number).checked_sub(1)?)?.as_deref()
    }

    /// A named group.
    pub fn named(&self, name: &str) -> Option<&[u8]> {
        self.named.iter().rev().find(|(n, _)| *n == name)?.1.as_deref()
    }
}

impl Site {
    /// What a request gets that came in at a listen, by index in `Config::listens`.
    ///
    /// # Panics
    /// When there is no such listen.
    pub fn plan<'s>(&'s self, listen: usize, request: &Request<'_>) -> Plan<'s> {
        let fallback = self.default_server(listen);
        // The listen's own rule for slashes is its default server's: the name is not known before the target is read.
        let parsed = uri::parse(request.target, fallback.merge_slashes);
        let named = parsed.as_ref().ok().and_then(|parsed| parsed.authority).or(request.host);
        let host = named.map(uri::host);
        let bad_host = matches!(host, Some(None));
        let host = host.flatten();
        let (server, by_name) = if bad_host { (fallback, None) } else { self.server(listen, host.as_deref()) };
        let mut captures = Captures::default();
        if let (Some(pattern), Some(host)) = (by_name, host.as_deref()) {
            captures.add(pattern, host.as_bytes());
        }
        let host = host.map_or_else(|| server.name.clone(), Cow::into_owned);
        let Ok(parsed) = parsed else {
            return rejected(server, request.target, host, 400);
        };
        if bad_host {
            return rejected(server, &parsed.raw, host, 400);
        }
        if matches!(request.method, "TRACE" | "CONNECT") {
            return rejected(server, &parsed.raw, host, 405);
        }
        choose(server, request.method, &parsed, host, captures, Internal::No)
    }

    /// The plan after an index file was found: its path is looked up anew in the same server.
    pub fn replan<'s>(&'s self, plan: Plan<'s>, method: &str, path: Vec<u8>) -> Plan<'s> {
        let parsed = uri::Parsed {
            authority: None,
            raw: Cow::Borrowed(&plan.request_uri),
            path: Cow::Owned(path),
            args: plan.args.as_deref(),
            quoted: true,
        };
        choose(plan.server, method, &parsed, plan.host, plan.captures, Internal::Yes)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Internal {
    No,
    Yes,
}

fn rejected<'s>(server: &'s CompiledServer, raw: &str, host: String, status: u16) -> Plan<'s> {
    Plan {
        server,
        scope: &server.fallback,
        uri: Vec::new(),
        request_uri: raw.to_owned(),
        args: None,
        host,
        answer: Answer::Reject { status },
        captures: Captures::default(),
    }
}

fn choose<'s>(
    server: &'s CompiledServer,
    method: &str,
    parsed: &uri::Parsed<'_>,
    host: String,
    mut captures: Captures<'s>,
    internal: Internal,
) -> Plan<'s> {
    let mut scope = &server.fallback;
    let answer = if let Some(returns) = &server.returns {
        return_answer(returns)
    } else {
        let found = server.locations.find(&parsed.path);
        if let Some(pattern) = found.pattern {
            captures.add(pattern, &parsed.path);
        }
        if let Some(location) = found.location {
            scope = &location.scope;
        }
        match (found.redirect, found.location.map(|location| &location.handler)) {
            (Some(name), _) => Answer::Redirect301(with_args(name, parsed.args)),
            (None, Some(CompiledHandler::Return(returns))) => return_answer(returns),
            (None, Some(CompiledHandler::Proxy(pass))) => {
                Answer::Proxy { pass, upstream: pass.upstream, target: pass.target(parsed, internal == Internal::Yes) }
            }
            (None, Some(CompiledHandler::Static) | None) => file_answer(scope, method, &parsed.path),
        }
    };
    Plan {
        server,
        scope,
        uri: parsed.path.to_vec(),
        request_uri: parsed.raw.clone().into_owned(),
        args: parsed.args.map(str::to_owned),
        host,
        answer,
        captures,
    }
}

fn return_answer(returns: &CompiledReturn) -> Answer<'_> {
    Answer::Return { status: returns.status, text: returns.text.as_ref() }
}

fn file_answer<'s>(scope: &'s CompiledScope, method: &str, path: &[u8]) -> Answer<'s> {
    if !matches!(method, "GET" | "HEAD" | "POST") {
        return Answer::Reject { status: 405 };
    }
    Answer::File { root: &scope.values.root, path: below(&scope.values.root, path), index: &scope.values.index }
}

/// `root` and a normalised path. Written together rather than joined: the path is absolute, and a join would drop the root.
fn below(root: &Path, path: &[u8]) -> PathBuf {
    let mut bytes = root.as_os_str().as_bytes().to_vec();
    bytes.extend_from_slice(path);
    PathBuf::from(OsStr::from_bytes(&bytes))
}

fn with_args(path: &str, args: Option<&str>) -> String {
    let mut target = String::with_capacity(path.len());
    uri::escape(path.as_bytes(), &mut target);
    if let Some(args) = args.filter(|args| !args.is_empty()) {
        target.push('?');
        target.push_str(args);
    }
    target
}

impl Plan<'_> {
    /// `Location` for a target that the configuration or this crate made: one that starts with `/` gets scheme, host and
    /// port in front (`absolute_redirect`, `port_in_redirect`, `server_name_in_redirect`), any other stays.
    pub fn redirect_target(&self, target: &str, scheme: &str, port: u16) -> String {
        let values = &self.scope.values;
        if !values.absolute_redirect || !target.starts_with('/') {
            return target.to_owned();
        }
        let host = if values.server_name_in_redirect { &self.server.name } else { &self.host };
        let usual = if scheme == "https" { 443 } else { 80 };
        match values.port_in_redirect && port != usual && port != 0 {
            true => format!("{scheme}://{host}:{port}{target}"),
            false => format!("{scheme}://{host}{target}"),
        }
    }

    /// Appends the value of a variable that the plan knows; `None` when it is not the plan's, else whether it has a value.
    pub fn variable(&self, variable: &Variable, out: &mut Vec<u8>) -> Option<bool> {
        let pass = match &self.answer {
            Answer::Proxy { pass, .. } => Some(*pass),
            Answer::File { .. } | Answer::Return { .. } | Answer::Redirect301(_) | Answer::Reject { .. } => None,
        };
        let port;
        let value: Option<&[u8]> = match variable {
            Variable::Capture(number) => self.captures.number(*number),
            Variable::Named(name) => self.captures.named(name),
            Variable::Host => Some(self.host.as_bytes()),
            Variable::ServerName => Some(self.server.name.as_bytes()),
            Variable::DocumentUri => Some(&self.uri),
            Variable::RequestUri => Some(self.request_uri.as_bytes()),
            Variable::Args | Variable::QueryString => self.args.as_deref().map(str::as_bytes),
            Variable::IsArgs => Some(if self.args.as_deref().unwrap_or_default().is_empty() { b"" } else { b"?" }),
            Variable::Arg(name) => self.argument(name).map(str::as_bytes),
            Variable::ProxyHost => pass.map(|pass| pass.host.as_bytes()),
            Variable::ProxyPort => {
                port = pass.map(|pass| pass.port.to_string());
                port.as_deref().map(str::as_bytes)
            }
            Variable::DocumentRoot => Some(self.scope.values.root.as_os_str().as_bytes()),
            Variable::RequestFilename => {
                out.extend_from_slice(self.scope.values.root.as_os_str().as_bytes());
                Some(&self.uri)
            }
            _ => return None,
        };
        out.extend_from_slice(value.unwrap_or_default());
        Some(value.is_some())
    }

    /// The first argument of that name, in whatever case; it counts only with a `=`.
    fn argument(&self, name: &str) -> Option<&str> {
        let arguments = self.args.as_deref()?.split('&').filter_map(|argument| argument.split_once('='));
        arguments.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}
