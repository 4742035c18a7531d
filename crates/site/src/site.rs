use crate::config::{Config, ListenAddress, Location, LocationMatch, Return, Scope, ServerName};
use crate::locations::Locations;
use crate::log::LogTemplate;
use crate::names::Names;
use crate::pattern::{Pattern, PatternError};
use crate::template::{Template, TemplateError};
use std::collections::BTreeSet;

/// A configuration compiled: immutable, shared by all workers.
#[derive(Clone, Debug)]
pub struct Site {
    config: Config,
    servers: Vec<CompiledServer>,
    /// By listen.
    names: Vec<Names>,
    log_formats: Vec<LogTemplate>,
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
    pub(crate) returns: Option<CompiledReturn>,
    pub(crate) locations: Locations,
}

/// Values in force, with what they hold compiled.
#[derive(Clone, Debug)]
pub struct CompiledScope {
    /// The values as configured.
    pub values: Scope,
    /// `values.proxy_headers`, in the same order.
    pub proxy_headers: Vec<HeaderTemplate>,
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
                returns: server.returns.as_ref().map(|answer| compiler.answer(answer)).transpose()?,
                locations: Locations::new(&server.locations, &compiler)?,
            })
        });
        let servers = servers.collect::<Result<Vec<_>, CompileError>>()?;
        let names = config.listens.iter().map(|listen| {
            for index in &listen.servers {
                check_index("server", *index, config.servers.len())?;
            }
            Names::new(listen, &config.servers)
        });
        let names = names.collect::<Result<Vec<_>, CompileError>>()?;
        let log_formats = config.log_formats.iter().map(|format| {
            LogTemplate::parse(format, &compiler.named)
                .map_err(|error| CompileError::Template { what: format!("log_format {}", format.name), error })
        });
        let log_formats = log_formats.collect::<Result<Vec<_>, CompileError>>()?;
        Ok(Site { config, servers, names, log_formats })
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
    /// Variables that the regular expressions define.
    named: BTreeSet<String>,
}

impl<'c> Compiler<'c> {
    fn new(config: &'c Config) -> Result<Compiler<'c>, CompileError> {
        let mut compiler = Compiler { config, named: BTreeSet::new() };
        let mut named = BTreeSet::new();
        for server in &config.servers {
            for name in &server.names {
                if let ServerName::Regex(pattern) = name {
                    named.extend(compiler.pattern(pattern, true)?.group_names().map(str::to_owned));
                }
            }
            compiler.collect_names(&server.locations, &mut named)?;
        }
        compiler.named = named;
        Ok(compiler)
    }

    fn collect_names(&self, locations: &[Location], named: &mut BTreeSet<String>) -> Result<(), CompileError> {
        for location in locations {
            if let LocationMatch::Regex { pattern, ignore_case } = &location.matches {
                named.extend(self.pattern(pattern, *ignore_case)?.group_names().map(str::to_owned));
            }
            self.collect_names(&location.nested, named)?;
        }
        Ok(())
    }

    pub(crate) fn pattern(&self, pattern: &str, ignore_case: bool) -> Result<Pattern, CompileError> {
        compile_pattern(pattern, ignore_case)
    }

    fn template(&self, what: &str, text: &str) -> Result<Template, CompileError> {
        Template::parse(text, &self.named).map_err(|error| CompileError::Template { what: what.to_owned(), error })
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
        Ok(CompiledScope { values: scope.clone(), proxy_headers: proxy_headers.collect::<Result<_, CompileError>>()? })
    }

    pub(crate) fn upstream(&self, index: usize) -> Result<usize, CompileError> {
        check_index("upstream", index, self.config.upstreams.len())
    }
}

pub(crate) fn compile_pattern(pattern: &str, ignore_case: bool) -> Result<Pattern, CompileError> {
    Pattern::new(pattern, ignore_case).map_err(|error| CompileError::Pattern { pattern: pattern.to_owned(), error })
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
