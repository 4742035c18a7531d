//! `listen` and the other places where an address is written.

use super::lexer::Word;
use super::lower::Lowering;
use super::tree::Directive;
use evenkeel_site::config::{Listen, ListenAddress};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// Why text is no address, in nginx's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    NoHost,
    InvalidHost,
    InvalidPort,
    NotFound,
    /// `unix:` without a path.
    NoPath,
}

impl Bad {
    pub(super) fn words(self) -> &'static str {
        match self {
            Bad::NoHost => "no host",
            Bad::InvalidHost => "invalid host",
            Bad::InvalidPort => "invalid port",
            Bad::NotFound => "host not found",
            Bad::NoPath => "no path in the unix domain socket",
        }
    }
}

/// A host as written and the port, when there is one; brackets stay.
pub(super) fn split_port(text: &str) -> Result<(&str, Option<u16>), Bad> {
    let host_end = match text.strip_prefix('[') {
        Some(inner) => inner.find(']').ok_or(Bad::InvalidHost)? + 2,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(host_end);
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Ok((host, None)),
        None => Err(Bad::InvalidHost),
        Some(port) => match super::value::number(port).and_then(|port| u16::try_from(port).ok()) {
            Some(port) if port > 0 => Ok((host, Some(port))),
            _ => Err(Bad::InvalidPort),
        },
    }
}

/// An address that needs no name server.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

impl Lowering<'_> {
    /// Addresses of a server of an upstream: `host`, `host:port`, `[v6]:port`, `unix:path`.
    pub(super) fn addresses(&self, text: &str, default_port: u16) -> Result<Vec<ListenAddress>, Bad> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(Bad::NoPath) } else { Ok(vec![ListenAddress::Unix(PathBuf::from(path))]) };
        }
        let (host, port) = split_port(text)?;
        let port = port.unwrap_or(default_port);
        if host.is_empty() {
            return Err(Bad::NoHost);
        }
        if let Some(ip) = literal(host) {
            return Ok(vec![ListenAddress::Tcp(SocketAddr::new(ip, port))]);
        }
        if host.starts_with('[') {
            return Err(Bad::InvalidHost);
        }
        let found = (self.options.resolve)(host, port);
        if found.is_empty() { Err(Bad::NotFound) } else { Ok(found.into_iter().map(ListenAddress::Tcp).collect()) }
    }

    /// One `listen` of a server.
    pub(super) fn listen(&mut self, directive: &Directive, server: usize) {
        let [address, parameters @ ..] = directive.args.as_slice() else { return };
        let Some(addresses) = self.listen_addresses(directive, address) else { return };
        let Some(options) = self.listen_options(directive, parameters) else { return };
        for address in addresses {
            self.add_listen(directive, address, &options, server);
        }
    }

    fn listen_addresses(&mut self, directive: &Directive, word: &Word) -> Option<Vec<ListenAddress>> {
        match listen_form(&word.text) {
            Form::Any(port) => {
                return Some(vec![ListenAddress::Tcp(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))]);
            }
            Form::Range => {
                self.unsupported(directive, word);
                return None;
            }
            Form::Address => {}
        }
        match self.addresses(&word.text, 80) {
            Ok(addresses) => Some(addresses),
            Err(bad) => {
                let message = format!("{} in \"{}\" of the \"listen\" directive", bad.words(), word.text);
                self.error("bad-address", word.span, message);
                None
            }
        }
    }

    fn listen_options(&mut self, directive: &Directive, parameters: &[Word]) -> Option<ListenOptions> {
        let mut options = ListenOptions::default();
        for word in parameters {
            let (name, value) = word.text.split_once('=').map_or((word.text.as_str(), None), |(n, v)| (n, Some(v)));
            match (name, value) {
                ("default_server" | "default", None) => options.is_default = true,
                ("reuseport", None) => options.reuseport = true,
                ("backlog", Some(value)) => match value.parse::<i32>() {
                    Ok(-1) => {}
                    Ok(backlog) if backlog > 0 => options.backlog = Some(backlog.unsigned_abs()),
                    _ => {
                        self.error("invalid-value", word.span, format!("invalid backlog \"{value}\""));
                        return None;
                    }
                },
                // nginx, too, binds an IPv6 socket for IPv6 only unless told otherwise.
                ("ipv6only", Some("on")) | ("bind" | "deferred", None) => {}
                ("rcvbuf" | "sndbuf" | "fastopen" | "setfib" | "accept_filter" | "so_keepalive", Some(_)) => {}
                ("ipv6only", Some("off")) | ("ssl" | "http2" | "quic" | "proxy_protocol" | "spdy", None) => {
                    self.unsupported(directive, word);
                    return None;
                }
                _ => {
                    self.error("invalid-value", word.span, format!("invalid parameter \"{}\"", word.text));
                    return None;
                }
            }
        }
        Some(options)
    }

    fn add_listen(&mut self, directive: &Directive, address: ListenAddress, options: &ListenOptions, server: usize) {
        let shown = show(&address);
        let Some(known) = self.config.listens.iter_mut().find(|listen| listen.address == address) else {
            self.config.listens.push(Listen {
                address,
                backlog: options.backlog,
                reuseport: options.reuseport,
                servers: vec![server],
            });
            self.has_default.push(options.is_default);
            return;
        };
        if known.servers.contains(&server) {
            let message = format!("a duplicate listen {shown}");
            return self.error("duplicate", directive.name.span, message);
        }
        if known.backlog.is_some() && options.backlog.is_some() {
            let message = format!("duplicate listen options for {shown}");
            return self.error("duplicate", directive.name.span, message);
        }
        known.backlog = known.backlog.or(options.backlog);
        known.reuseport |= options.reuseport;
        let at = self.config.listens.iter().position(|listen| listen.address == address).unwrap_or_default();
        let servers = &mut self.config.listens[at].servers;
        if !options.is_default {
            return servers.push(server);
        }
        servers.insert(0, server);
        if std::mem::replace(&mut self.has_default[at], true) {
            let message = format!("a duplicate default server for {shown}");
            self.error("duplicate", directive.name.span, message);
        }
    }
}

#[derive(Default)]
struct ListenOptions {
    is_default: bool,
    reuseport: bool,
    backlog: Option<u32>,
}

enum Form {
    /// `80`, `*:80`, `:80`, `*`
    Any(u16),
    /// `8000-8010`
    Range,
    Address,
}

fn listen_form(text: &str) -> Form {
    let port = |text: &str| super::value::number(text).and_then(|port| u16::try_from(port).ok()).filter(|p| *p > 0);
    let after_host = text.strip_prefix("*:").or(text.strip_prefix(':')).unwrap_or(text);
    if let Some(port) = port(after_host) {
        return Form::Any(port);
    }
    if text == "*" {
        return Form::Any(80);
    }
    let last = text.rsplit(':').next().unwrap_or_default();
    match last.split_once('-') {
        Some((from, to)) if port(from).is_some() && port(to).is_some() => Form::Range,
        _ => Form::Address,
    }
}

/// As nginx writes an address: `0.0.0.0:80`, `[::]:80`, `unix:/run/x`.
pub(super) fn show(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}
