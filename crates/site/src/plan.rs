//! What a request gets, as nginx finds it out: rewriting of the server, the location, its rewriting, and again when that
//! changed the path.

use crate::locations::{CompiledHandler, CompiledLocation};
use crate::pass::{CompiledPass, Target};
use crate::pattern::Pattern;
use crate::script::End;
use crate::site::{CompiledScope, CompiledServer, Site};
use crate::template::{Template, Values, Variable};
use crate::uri;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// How often a path may change: nginx's `NGX_HTTP_MAX_URI_CHANGES`.
const MOST_CHANGES: u8 = 10;
/// Variables that follow from one another deeper than this follow from themselves.
const DEEPEST: u8 = 30;

/// What of a request decides what it gets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'r> {
    /// As sent.
    pub method: &'r str,
    /// As sent: a path, or an absolute URI.
    pub target: &'r str,
    /// The `Host` header as sent, `None` without one.
    pub host: Option<&'r str>,
    /// Who asks; `None` on a Unix socket.
    pub client: Option<IpAddr>,
}

/// What else may decide it: values of variables that the plan does not know, and files.
pub trait Facts: Values {
    /// What is at a path.
    fn look(&self, path: &Path) -> Look;
}

/// What is at a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field says it")]
pub struct Look {
    pub exists: bool,
    pub is_file: bool,
    pub is_directory: bool,
    pub is_executable: bool,
}

/// What a request gets.
#[derive(Clone, Debug)]
pub struct Plan<'s> {
    /// The server that answers.
    pub server: &'s CompiledServer,
    /// Values in force.
    pub scope: &'s CompiledScope,
    /// `$uri`: the path decoded and normalised, or what it was rewritten to. Empty when the request was rejected.
    pub uri: Vec<u8>,
    /// `$request_uri`: the target as sent, from its path on.
    pub request_uri: String,
    /// `$args`: what follows `?`; `None` without one.
    pub args: Option<Vec<u8>>,
    /// `$host`: from the target, else the header, else the server's name.
    pub host: String,
    /// What to do.
    pub answer: Answer<'s>,
    /// The method, when it is no longer the client's: an error page is asked for with GET.
    pub method: Option<&'static str>,
    /// The status that the answer has whatever its own: that of the error whose page it is.
    pub status: Option<u16>,
    client: Option<IpAddr>,
    pub(crate) site: &'s Site,
    pub(crate) handler: &'s CompiledHandler,
    /// Of the location: what an `if` without a handler of its own goes back to.
    pub(crate) of_location: &'s CompiledHandler,
    /// The request no longer is the client's: an index file, an error page, a path that was rewritten.
    pub(crate) is_internal: bool,
    /// The target goes to an upstream as it was sent.
    pub(crate) is_as_sent: bool,
    /// The location's own name is a part of the path.
    pub(crate) has_location: bool,
    /// The path was written with `%`.
    pub(crate) was_quoted: bool,
    /// Rewriting wants the location looked for again.
    pub(crate) uri_changed: bool,
    /// An error page is on its way already.
    pub(crate) in_error_page: bool,
    is_located: bool,
    n_changes_left: u8,
    captures: RefCell<Vec<Option<Vec<u8>>>>,
    slots: RefCell<Vec<Option<Value>>>,
    depth: Cell<u8>,
}

/// The value of a variable that has been found out: it may be none.
type Value = Option<Vec<u8>>;

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
        /// `root` and the path. When the path ends with `/`: a directory, in which each of `index` is looked for;
        /// the one that exists is planned anew with [`Site::redirect`], else the answer is 403 (or 404 without the directory).
        path: PathBuf,
        /// `index`.
        index: &'s [String],
    },
    /// Look for files ([`Site::try_files`]).
    TryFiles,
    /// `return`.
    Return {
        /// The status; 444 closes the connection.
        status: u16,
        /// The body, or for 301, 302, 303, 307 and 308 the target (see [`Plan::redirect_target`]). Rendered, it may hold
        /// what a client sent, decoded (`$uri`): a line end in it must not reach a header.
        text: Cow<'s, Template>,
    },
    /// A redirect: to a proxied location that ends with `/`, or by `rewrite`.
    Redirect {
        /// Its status.
        status: u16,
        /// Where to, relative to the site or not.
        target: Vec<u8>,
    },
    /// An error, for which there may be a page ([`Site::on_error`]).
    Error {
        /// Its status.
        status: u16,
        /// For the error log.
        why: Option<&'static str>,
    },
}

/// A plan's variables, and beyond them those of the request.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a, 's> {
    pub(crate) plan: &'a Plan<'s>,
    pub(crate) facts: &'a dyn Values,
}

impl Values for Known<'_, '_> {
    fn write(&self, variable: &Variable, out: &mut Vec<u8>) -> bool {
        match self.plan.variable(variable, self, out) {
            Some(found) => found,
            None => self.facts.write(variable, out),
        }
    }
}

impl Site {
    /// What a request gets that came in at a listen, by index in `Config::listens`.
    ///
    /// # Panics
    /// When there is no such listen.
    pub fn plan<'s>(&'s self, listen: usize, request: &Request<'_>, facts: &dyn Facts) -> Plan<'s> {
        let fallback = self.default_server(listen);
        // The listen's own rule for slashes is its default server's: the name is not known before the target is read.
        let parsed = uri::parse(request.target, fallback.merge_slashes);
        let named = parsed.as_ref().ok().and_then(|parsed| parsed.authority).or(request.host);
        let host = named.map(uri::host);
        let bad_host = matches!(host, Some(None));
        let host = host.flatten();
        let (server, by_name) = if bad_host { (fallback, None) } else { self.server(listen, host.as_deref()) };
        let Ok(parsed) = parsed else {
            return self.rejected(server, request.target, 400);
        };
        if bad_host {
            return self.rejected(server, &parsed.raw, 400);
        }
        if matches!(request.method, "TRACE" | "CONNECT") {
            return self.rejected(server, &parsed.raw, 405);
        }
        let mut plan = self.rejected(server, &parsed.raw, 404);
        if let (Some(pattern), Some(host)) = (by_name, host.as_deref()) {
            plan.match_text(pattern, host.as_bytes());
        }
        if let Some(host) = host {
            plan.host = host.into_owned();
        }
        plan.uri = parsed.path.into_owned();
        // A `?` with nothing after it is no arguments.
        plan.args = parsed.args.filter(|args| !args.is_empty()).map(|args| args.as_bytes().to_vec());
        plan.was_quoted = parsed.quoted;
        plan.client = request.client;
        self.start_over(&mut plan, request.method, facts);
        plan
    }

    /// An internal redirect: the path and arguments are looked up anew in the same server.
    pub fn redirect<'s>(&'s self, plan: &mut Plan<'s>, path: Vec<u8>, method: &str, facts: &dyn Facts) {
        if !plan.count_change() {
            return;
        }
        plan.uri = path;
        plan.is_internal = true;
        plan.is_as_sent = false;
        self.start_over(plan, method, facts);
    }

    fn rejected<'s>(&'s self, server: &'s CompiledServer, raw: &str, status: u16) -> Plan<'s> {
        Plan {
            server,
            scope: &server.fallback,
            uri: Vec::new(),
            request_uri: raw.to_owned(),
            args: None,
            host: server.name.clone(),
            answer: Answer::Error { status, why: None },
            method: None,
            status: None,
            client: None,
            site: self,
            handler: &CompiledHandler::Static,
            of_location: &CompiledHandler::Static,
            is_internal: false,
            is_as_sent: true,
            has_location: true,
            was_quoted: false,
            uri_changed: false,
            in_error_page: false,
            is_located: false,
            n_changes_left: MOST_CHANGES + 1,
            captures: RefCell::default(),
            slots: RefCell::default(),
            depth: Cell::new(0),
        }
    }

    fn start_over<'s>(&'s self, plan: &mut Plan<'s>, method: &str, facts: &dyn Facts) {
        plan.scope = &plan.server.fallback;
        plan.handler = &CompiledHandler::Static;
        plan.has_location = true;
        if let End::Answered(answer) = plan.server.rewrite.run(plan, facts) {
            plan.answer = answer;
            return;
        }
        self.locate(plan, method, facts);
    }

    fn locate<'s>(&'s self, plan: &mut Plan<'s>, method: &str, facts: &dyn Facts) {
        loop {
            plan.uri_changed = false;
            let location = match plan.find_location() {
                Ok(location) => location,
                Err(answer) => {
                    plan.answer = answer;
                    return;
                }
            };
            if !self.enter(plan, location, facts) {
                return;
            }
            if !plan.uri_changed {
                break;
            }
            if !plan.count_change() {
                return;
            }
        }
        plan.arrive(method, facts);
    }

    /// Goes on in a named location, with the path as it is.
    pub(crate) fn to_named<'s>(&'s self, plan: &mut Plan<'s>, name: &[u8], method: &str, facts: &dyn Facts) {
        if !plan.count_change() {
            return;
        }
        let location = std::str::from_utf8(name).ok().and_then(|name| plan.server.locations.named(name));
        let Some(location) = location else {
            plan.answer = Answer::Error { status: 500, why: Some("could not find named location") };
            return;
        };
        plan.is_internal = true;
        plan.uri_changed = false;
        if !self.enter(plan, Some(location), facts) {
            return;
        }
        if !plan.uri_changed {
            plan.arrive(method, facts);
        } else if plan.count_change() {
            self.locate(plan, method, facts);
        }
    }

    /// Rewriting of a location; false when that answers the request.
    fn enter<'s>(&'s self, plan: &mut Plan<'s>, location: Option<&'s CompiledLocation>, facts: &dyn Facts) -> bool {
        let Some(location) = location else {
            plan.scope = &plan.server.fallback;
            plan.handler = &CompiledHandler::Static;
            return true;
        };
        plan.scope = &location.scope;
        plan.handler = &location.handler;
        plan.of_location = &location.handler;
        if location.rewrite.is_empty() {
            return true;
        }
        match location.rewrite.run(plan, facts) {
            End::Done => true,
            End::Answered(answer) => {
                plan.answer = answer;
                false
            }
        }
    }
}

impl<'s> Plan<'s> {
    /// Whether the request got as far as to a location, rather than being answered by the server itself.
    pub fn is_located(&self) -> bool {
        self.is_located
    }

    /// Whether [`Site::on_error`] would find a page.
    pub fn has_page(&self, status: u16) -> bool {
        self.lists_page(status) && self.may_have_page()
    }

    /// Whether the configuration names this status in an `error_page`.
    pub fn lists_page(&self, status: u16) -> bool {
        self.scope.values.error_pages.iter().any(|page| page.statuses.contains(&status))
    }

    /// One error has one page, unless the page's own errors may have some, too.
    pub(crate) fn may_have_page(&self) -> bool {
        !self.in_error_page && self.may_change()
    }

    fn may_change(&self) -> bool {
        self.n_changes_left > 0
    }

    /// Whether the path may change once more.
    fn count_change(&mut self) -> bool {
        self.n_changes_left = self.n_changes_left.saturating_sub(1);
        if self.n_changes_left == 0 {
            self.answer = Answer::Error { status: 500, why: Some("rewrite or internal redirection cycle") };
            return false;
        }
        true
    }

    fn find_location(&mut self) -> Result<Option<&'s CompiledLocation>, Answer<'s>> {
        self.is_located = true;
        let found = self.server.locations.find(&self.uri);
        if let Some(pattern) = found.pattern {
            self.match_text(pattern, &self.uri);
        }
        if let Some(location) = found.location {
            self.scope = &location.scope;
            if location.internal && !self.is_internal {
                return Err(Answer::Error { status: 404, why: None });
            }
        }
        match found.redirect {
            Some(name) => Err(Answer::Redirect { status: 301, target: with_args(name, self.args.as_deref()) }),
            None => Ok(found.location),
        }
    }

    /// What answers where the request has arrived.
    fn arrive(&mut self, method: &str, facts: &dyn Facts) {
        // Each place that a request arrives at asks anew, that of an error page, too.
        let rule = self.scope.values.access.iter().find(|rule| rule.clients.hold(self.client));
        if rule.is_some_and(|rule| !rule.allows) {
            self.answer = Answer::Error { status: 403, why: Some("access forbidden by rule") };
            return;
        }
        self.answer = match self.scope.try_files {
            Some(_) => Answer::TryFiles,
            None => self.content(method, facts),
        };
    }

    pub(crate) fn content(&self, method: &str, facts: &dyn Facts) -> Answer<'s> {
        match self.handler {
            CompiledHandler::Proxy(pass) => Answer::Proxy { pass, upstream: pass.upstream, target: pass.target(self) },
            CompiledHandler::Static => self.file(method, facts),
        }
    }

    pub(crate) fn render(&self, template: &Template, facts: &dyn Values) -> Vec<u8> {
        let mut out = Vec::new();
        template.render(&Known { plan: self, facts }, &mut out);
        out
    }

    /// What is left of groups after an expression that did not match.
    pub(crate) fn forget_captures(&self) {
        self.captures.borrow_mut().clear();
    }

    /// Whether groups of the path are escaped where they become arguments: it was written with `%`, or has a `+`.
    pub(crate) fn escapes_groups(&self) -> bool {
        self.was_quoted || self.request_uri.split('?').next().is_some_and(|path| path.contains('+'))
    }

    /// Matches the path; its groups are `$1` and so on afterwards, or nothing is.
    pub(crate) fn match_uri(&self, pattern: &Pattern) -> bool {
        let matched = self.match_text(pattern, &self.uri);
        if !matched {
            self.forget_captures();
        }
        matched
    }

    /// Matches a text; when it does, its groups are `$1` and so on.
    pub(crate) fn match_text(&self, pattern: &Pattern, text: &[u8]) -> bool {
        let Some(groups) = pattern.captures(text) else { return false };
        let mut captures = self.captures.borrow_mut();
        captures.clear();
        for (slot, value) in groups {
            let value = value.map(<[u8]>::to_vec);
            if let Some(slot) = slot {
                self.set_slot(slot, value.clone());
            }
            captures.push(value);
        }
        true
    }

    pub(crate) fn set_slot(&self, slot: usize, value: Option<Vec<u8>>) {
        let mut slots = self.slots.borrow_mut();
        if slots.len() <= slot {
            slots.resize(slot + 1, None);
        }
        slots[slot] = Some(value);
    }

    /// Appends what is known of a slot: whether there is a value; `None` when nothing is known yet.
    fn slot(&self, slot: usize, out: &mut Vec<u8>) -> Option<bool> {
        let slots = self.slots.borrow();
        let value = slots.get(slot)?.as_ref()?;
        out.extend_from_slice(value.as_deref().unwrap_or_default());
        Some(value.is_some())
    }

    fn computed(&self, index: usize, values: &dyn Values, out: &mut Vec<u8>) -> bool {
        let computed = self.site.computed(index);
        if let Some(found) = computed.place.and_then(|place| self.slot(place, out)) {
            return found;
        }
        if self.depth.get() >= DEEPEST {
            return false;
        }
        self.depth.set(self.depth.get() + 1);
        let value = computed.value(self, values);
        self.depth.set(self.depth.get() - 1);
        out.extend_from_slice(&value);
        if let Some(place) = computed.place {
            self.set_slot(place, Some(value));
        }
        true
    }

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
    /// `values` are those of all variables, the plan's included.
    pub fn variable(&self, variable: &Variable, values: &dyn Values, out: &mut Vec<u8>) -> Option<bool> {
        let pass = match self.handler {
            CompiledHandler::Proxy(pass) => Some(pass),
            CompiledHandler::Static => None,
        };
        let port;
        let value: Option<&[u8]> = match variable {
            Variable::Capture(number) => {
                let captures = self.captures.borrow();
                let value = usize::from(*number).checked_sub(1).and_then(|at| captures.get(at)?.as_deref());
                out.extend_from_slice(value.unwrap_or_default());
                return Some(value.is_some());
            }
            Variable::Slot(slot) => {
                return Some(self.slot(*slot, out).unwrap_or_else(|| self.site.own().is_set_somewhere(*slot)));
            }
            Variable::Computed(index) => return Some(self.computed(*index, values, out)),
            Variable::Host => Some(self.host.as_bytes()),
            Variable::ServerName => Some(self.server.name.as_bytes()),
            Variable::DocumentUri => Some(&self.uri),
            Variable::RequestUri => Some(self.request_uri.as_bytes()),
            Variable::Args | Variable::QueryString => self.args.as_deref(),
            Variable::IsArgs => Some(if self.args.as_deref().unwrap_or_default().is_empty() { b"" } else { b"?" }),
            Variable::Arg(name) => self.argument(name),
            Variable::ProxyHost => pass.map(|pass| pass.host.as_bytes()),
            Variable::ProxyPort => {
                port = pass.map(|pass| pass.port.to_string());
                port.as_deref().map(str::as_bytes)
            }
            Variable::DocumentRoot => {
                self.scope.root.write_root(values, out);
                return Some(true);
            }
            Variable::RequestFilename => return Some(self.scope.root.write_path(self, &self.uri, values, out)),
            Variable::RequestMethod if self.method.is_some() => self.method.map(str::as_bytes),
            _ => return None,
        };
        out.extend_from_slice(value.unwrap_or_default());
        Some(value.is_some())
    }

    /// The first argument of that name, in whatever case; it counts only with a `=`.
    fn argument(&self, name: &str) -> Option<&[u8]> {
        let arguments = self.args.as_deref()?.split(|byte| *byte == b'&');
        let mut pairs = arguments.filter_map(|argument| {
            let at = argument.iter().position(|byte| *byte == b'=')?;
            Some((&argument[..at], &argument[at + 1..]))
        });
        pairs.find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }
}

fn with_args(path: &str, args: Option<&[u8]>) -> Vec<u8> {
    let mut target = String::with_capacity(path.len());
    uri::escape(path.as_bytes(), &mut target);
    let mut target = target.into_bytes();
    if let Some(args) = args.filter(|args| !args.is_empty()) {
        target.push(b'?');
        target.extend_from_slice(args);
    }
    target
}
