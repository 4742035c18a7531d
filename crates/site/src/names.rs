use crate::config::{Listen, Server, ServerName};
use crate::pattern::Pattern;
use crate::site::{CompileError, Compiler};
use std::collections::HashMap;

/// Which server of one listen a host name belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    exact: HashMap<String, usize>,
    /// Below the key, without its leading dot: `*.example.com` is `example.com`.
    suffix: HashMap<String, usize>,
    /// `www.*` is `www`.
    prefix: HashMap<String, usize>,
    /// In file order.
    regex: Vec<(Pattern, usize)>,
    default: usize,
}

impl Names {
    /// The first server that claims a name has it, as in nginx (which also warns).
    pub(crate) fn new(listen: &Listen, servers: &[Server], compiler: &Compiler<'_>) -> Result<Names, CompileError> {
        let default = *listen.servers.first().ok_or_else(|| CompileError::Deserted(listen.address.clone()))?;
        let mut names =
            Names { exact: HashMap::new(), suffix: HashMap::new(), prefix: HashMap::new(), regex: Vec::new(), default };
        for index in in_file_order(&listen.servers) {
            for name in servers.get(index).map(|server| server.names.as_slice()).unwrap_or_default() {
                names.add(name, index, compiler)?;
            }
        }
        Ok(names)
    }

    pub(crate) fn default_server(&self) -> usize {
        self.default
    }

    fn add(&mut self, name: &ServerName, server: usize, compiler: &Compiler<'_>) -> Result<(), CompileError> {
        match name {
            ServerName::Exact(name) => {
                self.exact.entry(name.clone()).or_insert(server);
            }
            ServerName::Suffix(name) => {
                self.suffix.entry(name.trim_start_matches('.').to_owned()).or_insert(server);
            }
            ServerName::SuffixOrSelf(name) => {
                self.exact.entry(name.clone()).or_insert(server);
                self.suffix.entry(name.clone()).or_insert(server);
            }
            ServerName::Prefix(name) => {
                self.prefix.entry(name.trim_end_matches('.').to_owned()).or_insert(server);
            }
            // Server names are compared without regard to case, regular expressions too.
            ServerName::Regex(pattern) => self.regex.push((compiler.pattern(pattern, true)?, server)),
        }
        Ok(())
    }

    /// The server for a host (lower case, without port and trailing dot), and the expression that chose it.
    /// Exact name, longest `*.name`, longest `name.*`, first expression, default.
    pub(crate) fn find(&self, host: Option<&str>) -> (usize, Option<&Pattern>) {
        let Some(host) = host else { return (self.exact.get("").copied().unwrap_or(self.default), None) };
        let by_name = self.exact.get(host).copied();
        // Most configurations have no wildcards: then nobody has to look for dots.
        let dots_for = |names: &HashMap<String, usize>| dots(if names.is_empty() { "" } else { host });
        let by_suffix = || dots_for(&self.suffix).find_map(|dot| self.suffix.get(&host[dot + 1..]).copied());
        let by_prefix = || dots_for(&self.prefix).rev().find_map(|dot| self.prefix.get(&host[..dot]).copied());
        if let Some(server) = by_name.or_else(by_suffix).or_else(by_prefix) {
            return (server, None);
        }
        match self.regex.iter().find(|(pattern, _)| pattern.is_match(host.as_bytes())) {
            Some((pattern, server)) => (*server, Some(pattern)),
            None => (self.default, None),
        }
    }
}

/// [`Listen::servers`] begins with the default server, wherever it stands in the file.
fn in_file_order(servers: &[usize]) -> Vec<usize> {
    let mut sorted = servers.to_vec();
    sorted.sort_unstable();
    sorted
}

/// Places of dots that have something on both sides, from the left.
fn dots(host: &str) -> impl DoubleEndedIterator<Item = usize> {
    host.bytes().enumerate().filter(|(at, b)| *b == b'.' && *at > 0).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ListenAddress};

    fn names(servers: &[&[ServerName]], default: usize) -> Names {
        let servers: Vec<Server> =
            servers.iter().map(|names| Server { names: names.to_vec(), ..Server::default() }).collect();
        let mut order = vec![default];
        order.extend((0..servers.len()).filter(|index| *index != default));
        let listen =
            Listen { address: ListenAddress::Unix("x".into()), backlog: None, reuseport: false, servers: order };
        let config = Config { servers, ..Config::default() };
        let compiler = Compiler::new(&config).expect("valid");
        Names::new(&listen, &config.servers, &compiler).expect("valid")
    }

    #[test]
    fn a_host_finds_its_server() {
        let exact = |name: &str| ServerName::Exact(name.to_owned());
        let table = names(
            &[
                &[exact("_")],
                &[exact("www.example.com"), exact("example.org")],
                &[ServerName::Suffix(".example.com".to_owned())],
                &[ServerName::Suffix(".b.example.com".to_owned())],
                &[ServerName::Prefix("www.".to_owned()), ServerName::Prefix("www.example.".to_owned())],
                &[ServerName::Prefix("www.example.co.".to_owned())],
                &[ServerName::SuffixOrSelf("example.net".to_owned())],
                &[ServerName::Regex(r"^api\d+\.".to_owned())],
                &[ServerName::Regex("^api1".to_owned()), exact("www.example.com")],
                &[exact("")],
            ],
            0,
        );
        for (host, server) in [
            (Some("www.example.com"), 1),
            (Some("example.org"), 1),
            (Some("a.example.com"), 2),
            (Some("x.b.example.com"), 3),
            (Some("b.example.com"), 2),
            (Some("example.com"), 0),
            (Some("www.example.io"), 4),
            (Some("www.anything"), 4),
            (Some("www.example.co.uk"), 5),
            (Some("www"), 0),
            (Some("example.net"), 6),
            (Some("deep.down.example.net"), 6),
            (Some("api12.test"), 7),
            (Some("api1"), 8),
            (Some("nobody"), 0),
            (Some("_"), 0),
            (None, 9),
        ] {
            assert_eq!(table.find(host).0, server, "{host:?}");
        }
    }

    #[test]
    fn the_default_server_answers_what_nobody_claims() {
        let table = names(&[&[ServerName::Exact("a".to_owned())], &[ServerName::Exact("b".to_owned())]], 1);
        assert_eq!(table.find(Some("c")).0, 1);
        assert_eq!(table.find(None).0, 1);
        assert_eq!(table.find(Some("a")).0, 0);
    }
}
