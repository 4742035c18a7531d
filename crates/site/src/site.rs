use crate::config::{Config, Handler, ListenAddress, LocationMatch, Method, Return, Scope, ServerName};
use crate::errors::CompiledPage;
use crate::locations::{CompiledHandler, Locations};
use crate::log::LogTemplate;
use crate::map::CompiledVariable;
use crate::names::Names;
use crate::pass::CompiledPass;
use crate::paths::{CompiledRoot, CompiledTry};
use crate::pattern::{Pattern, PatternError};
use crate::script::Script;
use crate::template::{Template, TemplateError, Values, Variable};
use crate::variables::Variables;

/// A configuration compiled: immutable, shared by all workers.
#[derive(Clone, Debug)]
pub struct Site {
    config: Config,
    servers: Vec<CompiledServer>,
    /// By listen.
    names: Vec<Names>,
    log_formats: Vec<LogTemplate>,
    own: Variables,
    computed: Vec<CompiledVariable>,
    /// By upstream: what its method goes by.
    keys: Vec<Key>,
}

#[derive(Clone, Debug)]
enum Key {
    None,
    Address,
    Text(Template),
}

/// A `server` block, compiled.
#[derive(Clone, Debug)]
pub struct CompiledServer {
    /// Index in `Config::servers`.
    pub index: usize,
    /// `$server_name`: the first name.
    pub name: String,
    /// Values for a request that no location matches.
    pub fallback: CompiledScope,
    pub(crate) merge_slashes: bool,
    pub(crate) rewrite: Script,
    pub(crate) locations: Locations,
}

/// Values in force, with what they hold compiled.
#[derive(Clone, Debug)]
pub struct CompiledScope {
    /// The values as configured.
    pub values: Scope,
    /// `values.proxy_headers`, in the same order.
    pub proxy_headers: Vec<HeaderTemplate>,
    /// `values.add_headers`.
    pub add_headers: Vec<AddedHeader>,
    pub(crate) error_pages: Vec<CompiledPage>,
    pub(crate) root: CompiledRoot,
    pub(crate) try_files: Option<CompiledTry>,
    is_observed: bool,
}

impl CompiledScope {
    /// Whether somebody will want to know times and heads: a log, or a header with a variable of the answer.
    pub fn is_observed(&self) -> bool {
        self.is_observed
    }
}

/// One `add_header`. A value that renders to nothing drops the header.
#[derive(Clone, Debug)]
pub struct AddedHeader {
    /// Its name, as written.
    pub name: String,
    /// Its value.
    pub value: Template,
    /// With every status, not only with those of success and of redirects.
    pub always: bool,
}

/// One `proxy_set_header`. A value that renders to nothing drops the header.
#[derive(Clone, Debug)]
pub struct HeaderTemplate {
    /// Its name, as written.
    pub name: String,
    /// Its value.
    pub value: Template,
}

/// A `return`, compiled.
#[derive(Clone, Debug)]
pub struct CompiledReturn {
    /// Status code; 444 closes the connection without an answer.
    pub status: u16,
    /// Body, or the target of a redirect.
    pub text: Option<Template>,
}

/// Why a configuration does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum CompileError {
    #[error("regular expression \"{pattern}\": {error}")]
    Pattern { pattern: String, error: PatternError },
    #[error("{what}: {error}")]
    Template { what: String, error: TemplateError },
    #[error("nobody listens at {0:?}")]
    Deserted(ListenAddress),
    #[error("{what} {index} does not exist")]
    Dangling { what: &'static str, index: usize },
}

impl Site {
    /// Compiles a configuration.
    pub fn new(config: Config) -> Result<Site, CompileError> {
        let compiler = Compiler::new(&config)?;
        let servers = config.servers.iter().enumerate().map(|(index, server)| {
            Ok(CompiledServer {
                index,
                name: server.names.first().map(name_text).unwrap_or_default(),
                fallback: compiler.scope(&server.fallback)?,
                merge_slashes: server.merge_slashes,
                rewrite: Script::new(&server.rewrite, &compiler)?,
                locations: Locations::new(&server.locations, &compiler)?,
            })
        });
        let servers = servers.collect::<Result<Vec<_>, CompileError>>()?;
        let names = config.listens.iter().map(|listen| {
            for index in &listen.servers {
                check_index("server", *index, config.servers.len())?;
            }
            Names::new(listen, &config.servers, &compiler)
        });
        let names = names.collect::<Result<Vec<_>, CompileError>>()?;
        let log_formats = config.log_formats.iter().map(|format| {
            LogTemplate::parse(format, &compiler.own)
                .map_err(|error| CompileError::Template { what: format!("log_format {}", format.name), error })
        });
        let log_formats = log_formats.collect::<Result<Vec<_>, CompileError>>()?;
        let computed = config.computed.iter().enumerate();
        let computed = computed.map(|(index, variable)| CompiledVariable::new(variable, index, &compiler));
        let computed = computed.collect::<Result<Vec<_>, CompileError>>()?;
        let keys = config.upstreams.iter().map(|upstream| {
            Ok(match &upstream.method {
                Method::RoundRobin | Method::LeastConn => Key::None,
                Method::IpHash => Key::Address,
                Method::Hash { key, .. } => Key::Text(compiler.template("hash", key)?),
            })
        });
        let keys = keys.collect::<Result<Vec<_>, CompileError>>()?;
        let own = compiler.own;
        Ok(Site { keys, config, servers, names, log_formats, own, computed })
    }

    /// Appends what the method of an upstream goes by for this request ([`crate::Balancer::pick`]).
    pub fn balance_key(&self, upstream: usize, values: &dyn Values, out: &mut Vec<u8>) {
        match self.keys.get(upstream) {
            Some(Key::Text(key)) => key.render(values, out),
            Some(Key::Address) => drop(values.write(&Variable::BinaryRemoteAddr, out)),
            Some(Key::None) | None => {}
        }
    }

    /// Variables that the configuration defines.
    pub(crate) fn own(&self) -> &Variables {
        &self.own
    }

    /// By index in `Config::computed`.
    pub(crate) fn computed(&self, index: usize) -> &CompiledVariable {
        &self.computed[index]
    }

    /// The configuration it was compiled from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A `log_format` by its index in `Config::log_formats`.
    pub fn log_format(&self, index: usize) -> &LogTemplate {
        &self.log_formats[index]
    }

    /// The server for a host at a listen, and the expression that chose it. `host` as [`crate::uri::host`] leaves it.
    pub(crate) fn server(&self, listen: usize, host: Option<&str>) -> (&CompiledServer, Option<&Pattern>) {
        let (index, pattern) = self.names[listen].find(host);
        (&self.servers[index], pattern)
    }

    /// The server that answers at a listen what cannot be read far enough to know a host.
    ///
    /// # Panics
    /// When there is no such listen.
    pub fn default_server(&self, listen: usize) -> &CompiledServer {
        &self.servers[self.names[listen].default_server()]
    }
}

/// What compiling needs to know of the whole configuration.
pub(crate) struct Compiler<'c> {
    config: &'c Config,
    pub(crate) own: Variables,
}

impl<'c> Compiler<'c> {
    pub(crate) fn new(config: &'c Config) -> Result<Compiler<'c>, CompileError> {
        let own = Variables::of(config).map_err(|(pattern, error)| CompileError::Pattern { pattern, error })?;
        Ok(Compiler { config, own })
    }

    pub(crate) fn pattern(&self, pattern: &str, ignore_case: bool) -> Result<Pattern, CompileError> {
        let compiled = Pattern::new(pattern, ignore_case);
        let compiled = compiled.map_err(|error| CompileError::Pattern { pattern: pattern.to_owned(), error })?;
        Ok(compiled.with_slots(&self.own))
    }

    pub(crate) fn template(&self, what: &str, text: &str) -> Result<Template, CompileError> {
        Template::parse(text, &self.own).map_err(|error| CompileError::Template { what: what.to_owned(), error })
    }

    pub(crate) fn answer(&self, answer: &Return) -> Result<CompiledReturn, CompileError> {
        let text = answer.text.as_deref().map(|text| self.template("return", text)).transpose()?;
        Ok(CompiledReturn { status: answer.status, text })
    }

    pub(crate) fn scope(&self, scope: &Scope) -> Result<CompiledScope, CompileError> {
        for log in &scope.access_logs {
            check_index("log_format", log.format, self.config.log_formats.len())?;
        }
        let proxy_headers = scope.proxy_headers.iter().map(|(name, value)| {
            let value = self.template(&format!("proxy_set_header {name}"), value)?;
            Ok(HeaderTemplate { name: name.clone(), value })
        });
        let added = scope.add_headers.iter().map(|header| {
            let value = self.template(&format!("add_header {}", header.name), &header.value)?;
            Ok(AddedHeader { name: header.name.clone(), value, always: header.always })
        });
        let has_variables = scope.add_headers.iter().any(|header| header.value.contains('$'));
        Ok(CompiledScope {
            root: CompiledRoot::new(scope, self)?,
            try_files: scope.try_files.as_ref().map(|files| CompiledTry::new(files, self)).transpose()?,
            is_observed: has_variables || !scope.access_logs.is_empty(),
            values: scope.clone(),
            proxy_headers: proxy_headers.collect::<Result<_, CompileError>>()?,
            add_headers: added.collect::<Result<_, CompileError>>()?,
            error_pages: scope
                .error_pages
                .iter()
                .map(|page| CompiledPage::new(page, self))
                .collect::<Result<_, _>>()?,
        })
    }

    /// What answers in a location, or in an `if` of one.
    pub(crate) fn handler(
        &self,
        handler: &Handler,
        matches: &LocationMatch,
        scope: &Scope,
    ) -> Result<CompiledHandler, CompileError> {
        Ok(match handler {
            Handler::Proxy(pass) => {
                self.upstream(pass.upstream)?;
                CompiledHandler::Proxy(CompiledPass::new(pass, matches, scope))
            }
            // What a `return` answers is the end of the location's rewriting.
            Handler::Static | Handler::Return(_) => CompiledHandler::Static,
        })
    }

    /// An `if` has no name of its own: a `proxy_pass` in it may not have a path.
    pub(crate) fn handler_in_if(&self, handler: &Handler, scope: &Scope) -> Result<CompiledHandler, CompileError> {
        self.handler(handler, &LocationMatch::Named(String::new()), scope)
    }

    pub(crate) fn upstream(&self, index: usize) -> Result<usize, CompileError> {
        check_index("upstream", index, self.config.upstreams.len())
    }
}

fn check_index(what: &'static str, index: usize, len: usize) -> Result<usize, CompileError> {
    if index < len { Ok(index) } else { Err(CompileError::Dangling { what, index }) }
}

/// `$server_name` shows a name as it was written, but for the dot of `.example.com`.
fn name_text(name: &ServerName) -> String {
    match name {
        ServerName::Exact(name) | ServerName::SuffixOrSelf(name) => name.clone(),
        ServerName::Suffix(name) => format!("*{name}"),
        ServerName::Prefix(name) => format!("{name}*"),
        ServerName::Regex(pattern) => format!("~{pattern}"),
    }
}
