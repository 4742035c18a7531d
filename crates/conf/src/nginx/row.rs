//! What a row of the directive tables says.

/// A directive.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Where it may stand: a union of the constants of [`context`].
    pub contexts: u16,
    /// What follows its name.
    pub arity: Arity,
    /// What we do with it.
    pub support: Support,
    /// What it is for, in one line.
    pub doc: &'static str,
}

/// Blocks in which a directive may stand.
#[allow(missing_docs, reason = "nginx's words")]
pub mod context {
    pub const MAIN: u16 = 1;
    pub const EVENTS: u16 = 2;
    pub const HTTP: u16 = 4;
    pub const SERVER: u16 = 8;
    pub const LOCATION: u16 = 16;
    pub const UPSTREAM: u16 = 32;
    pub const SERVER_IF: u16 = 64;
    pub const LOCATION_IF: u16 = 128;
    pub const LIMIT_EXCEPT: u16 = 256;
    /// `http`, `server` and `location`.
    pub const WEB: u16 = HTTP | SERVER | LOCATION;
    /// Where rewriting may stand.
    pub const REWRITE: u16 = SERVER | SERVER_IF | LOCATION | LOCATION_IF;

    /// The names of the contexts in a union.
    pub fn names(contexts: u16) -> impl Iterator<Item = &'static str> {
        [
            (MAIN, "main"),
            (EVENTS, "events"),
            (HTTP, "http"),
            (SERVER, "server"),
            (LOCATION, "location"),
            (UPSTREAM, "upstream"),
            (SERVER_IF, "if in server"),
            (LOCATION_IF, "if in location"),
            (LIMIT_EXCEPT, "limit_except"),
        ]
        .into_iter()
        .filter(move |(bit, _)| contexts & bit != 0)
        .map(|(_, name)| name)
    }
}

/// What follows a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// `on` or `off`.
    Flag,
    /// So many words, from and to.
    Words(usize, usize),
    /// So many words and a block.
    Block(usize, usize),
}

/// Any number of words.
pub(super) const MANY: usize = usize::MAX;

/// What we do with a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It acts as in nginx.
    Supported,
    /// It has no effect and needs none: why.
    Harmless(&'static str),
    /// It has no effect, answers are correct all the same, and somebody will miss something: what. A warning.
    Degraded(&'static str),
    /// It would change answers and does not act yet: an error. What it belongs to.
    Rejected(&'static str),
}

impl Row {
    /// Whether a block may hold it more than once.
    pub fn repeats(&self) -> bool {
        const REPEATED: &[&str] = &[
            "access_log",
            "add_header",
            "allow",
            "deny",
            "env",
            "error_log",
            "error_page",
            "include",
            "index",
            "listen",
            "load_module",
            "location",
            "log_format",
            "proxy_cache_path",
            "proxy_hide_header",
            "proxy_pass_header",
            "proxy_set_header",
            "return",
            "break",
            "if",
            "map",
            "geo",
            "split_clients",
            "rewrite",
            "set",
            "server",
            "server_name",
            "types",
            "upstream",
        ];
        // Those that do not act are not worth a second complaint.
        !matches!(self.support, Support::Supported) || REPEATED.contains(&self.name)
    }
}
