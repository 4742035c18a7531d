//! `upstream`, and the upstreams that a `proxy_pass` implies.

use super::lexer::Word;
use super::listen::{Bad, split_port};
use super::lower::Lowering;
use super::tree::Directive;
use super::value::{self, Grain};
use evenkeel_site::config::{ListenAddress, LocationMatch, Method, ProxyPass, Upstream, UpstreamServer};

/// All `upstream` blocks of `http`.
pub(super) fn declare(lowering: &mut Lowering<'_>, directives: &[Directive]) {
    for directive in directives.iter().filter(|directive| directive.name.text == "upstream") {
        let Some(name) = directive.args.first() else { continue };
        let key = name.text.to_ascii_lowercase();
        if lowering.blocks.contains_key(&key) {
            lowering.error("duplicate", name.span, format!("duplicate upstream \"{}\"", name.text));
            continue;
        }
        let upstream = block(lowering, name, directive.block.as_deref().unwrap_or_default());
        lowering.blocks.insert(key, lowering.config.upstreams.len());
        lowering.config.upstreams.push(upstream);
    }
}

fn block(lowering: &mut Lowering<'_>, name: &Word, directives: &[Directive]) -> Upstream {
    let mut upstream = Upstream::new(name.text.clone(), Vec::new());
    let mut n_lines = 0;
    for directive in directives {
        match directive.name.text.as_str() {
            "server" => {
                n_lines += 1;
                upstream.servers.extend(server(lowering, directive));
            }
            "least_conn" => set_method(lowering, directive, &mut upstream, Method::LeastConn),
            "ip_hash" => set_method(lowering, directive, &mut upstream, Method::IpHash),
            "hash" => {
                let [key, rest @ ..] = directive.args.as_slice() else { continue };
                lowering.check_template(key);
                let consistent = match rest {
                    [] => false,
                    [word, ..] if word.text == "consistent" => true,
                    [word, ..] => {
                        lowering.error("invalid-value", word.span, format!("invalid parameter \"{}\"", word.text));
                        continue;
                    }
                };
                let method = Method::Hash { key: key.text.clone(), consistent };
                set_method(lowering, directive, &mut upstream, method);
            }
            "keepalive" => match lowering.number(directive) {
                Some(0) => lowering.invalid(directive, &directive.args[0], "invalid value \"0\""),
                Some(idle) => upstream.keepalive = usize::try_from(idle).unwrap_or(usize::MAX),
                None => {}
            },
            "keepalive_timeout" => {
                if let Some(time) = lowering.time(directive, Grain::Milliseconds) {
                    upstream.keepalive_timeout = time;
                }
            }
            "keepalive_requests" => {
                if let Some(requests) = lowering.number(directive) {
                    upstream.keepalive_requests = u32::try_from(requests).unwrap_or(u32::MAX);
                }
            }
            _ => {}
        }
    }
    let by_hash = matches!(upstream.method, Method::IpHash | Method::Hash { .. });
    for directive in directives.iter().filter(|directive| by_hash && directive.name.text == "server") {
        if let Some(word) = directive.args.iter().find(|word| word.text == "backup") {
            let message = "balancing method does not support parameter \"backup\"".to_owned();
            lowering.error("invalid-value", word.span, message);
        }
    }
    if n_lines == 0 {
        lowering.error("no-servers", name.span, "no servers are inside upstream".to_owned());
    } else if upstream.servers.iter().all(|server| server.backup) && !upstream.servers.is_empty() {
        lowering.error("no-servers", name.span, format!("no servers in upstream \"{}\"", name.text));
    }
    upstream
}

fn set_method(lowering: &mut Lowering<'_>, directive: &Directive, upstream: &mut Upstream, method: Method) {
    if upstream.method != Method::RoundRobin {
        lowering.warning("duplicate", directive.name.span, "load balancing method redefined".to_owned());
    }
    upstream.method = method;
}

fn server(lowering: &mut Lowering<'_>, directive: &Directive) -> Vec<UpstreamServer> {
    let [address, parameters @ ..] = directive.args.as_slice() else { return Vec::new() };
    let mut model = UpstreamServer::new(ListenAddress::Unix("".into()));
    for word in parameters {
        let (name, value) = word.text.split_once('=').map_or((word.text.as_str(), None), |(n, v)| (n, Some(v)));
        let number = || value.and_then(value::number).and_then(|number| u32::try_from(number).ok());
        let understood = match (name, value) {
            ("backup", None) => {
                model.backup = true;
                true
            }
            ("down", None) => {
                model.down = true;
                true
            }
            ("weight", Some(_)) => number().filter(|n| *n > 0).map(|weight| model.weight = weight).is_some(),
            ("max_fails", Some(_)) => number().map(|fails| model.max_fails = fails).is_some(),
            ("fail_timeout", Some(text)) => {
                value::time(text, Grain::Seconds).map(|timeout| model.fail_timeout = timeout).is_some()
            }
            ("max_conns", Some(_)) => number().map(|conns| model.max_conns = conns).is_some(),
            ("slow_start" | "route" | "service", Some(_)) | ("resolve" | "drain", None) => {
                lowering.unsupported(directive, word);
                true
            }
            _ => false,
        };
        if !understood {
            lowering.error("invalid-value", word.span, format!("invalid parameter \"{}\"", word.text));
        }
    }
    let named = address.text.clone();
    match lowering.addresses(&address.text, 80) {
        Ok(addresses) => addresses
            .into_iter()
            .map(|address| UpstreamServer { address, name: named.clone(), ..model.clone() })
            .collect(),
        Err(bad) => {
            report(lowering, address, &address.text, bad);
            Vec::new()
        }
    }
}

fn report(lowering: &mut Lowering<'_>, word: &Word, url: &str, bad: Bad) {
    let message = format!("{} in upstream \"{url}\"", bad.words());
    let rule = if bad == Bad::NotFound { "host-not-found" } else { "bad-address" };
    lowering.error(rule, word.span, message);
}

/// `proxy_pass http://NAME_OR_ADDRESS[:PORT][/URI]`.
pub(super) fn proxy_pass(
    lowering: &mut Lowering<'_>,
    directive: &Directive,
    location: &LocationMatch,
) -> Option<ProxyPass> {
    let word = directive.args.first()?;
    if word.text.contains('$') || word.text.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://")) {
        lowering.unsupported(directive, word);
        return None;
    }
    let Some(url) = word.text.get(7..).filter(|_| word.text[..7].eq_ignore_ascii_case("http://")) else {
        lowering.error("invalid-value", word.span, "invalid URL prefix".to_owned());
        return None;
    };
    let (server, uri) = split_uri(url);
    if uri.is_some() && matches!(location, LocationMatch::Regex { .. } | LocationMatch::Named(_)) {
        let message = "\"proxy_pass\" cannot have URI part in location given by regular expression, or inside named location, or inside \"if\" statement, or inside \"limit_except\" block";
        lowering.error("misplaced-uri", word.span, message.to_owned());
        return None;
    }
    let (upstream, host, port) = target(lowering, word, server)?;
    Some(ProxyPass { upstream, host, uri: uri.map(str::to_owned), port })
}

/// What names the server, and the URI when there is one. `unix:/path:/uri`.
fn split_uri(url: &str) -> (&str, Option<&str>) {
    if let Some(path) = url.strip_prefix("unix:") {
        return match path.find(':') {
            Some(colon) => {
                let uri = &path[colon + 1..];
                (&url[.."unix:".len() + colon], (!uri.is_empty()).then_some(uri))
            }
            None => (url, None),
        };
    }
    match url.find(['/', '?']) {
        Some(at) => (&url[..at], Some(&url[at..])),
        None => (url, None),
    }
}

/// Index of the upstream, `$proxy_host`, `$proxy_port`.
fn target(lowering: &mut Lowering<'_>, word: &Word, server: &str) -> Option<(usize, String, u16)> {
    if server.starts_with("unix:") {
        let index = implied(lowering, word, server)?;
        return Some((index, "localhost".to_owned(), 80));
    }
    let (host, port) = match split_port(server) {
        Ok(parts) => parts,
        Err(bad) => {
            report(lowering, word, server, bad);
            return None;
        }
    };
    let shown = match port {
        Some(port) if port != 80 => format!("{host}:{port}"),
        _ => host.to_owned(),
    };
    if let Some(index) = lowering.blocks.get(&host.to_ascii_lowercase()).copied() {
        if let Some(port) = port {
            let message = format!("upstream \"{host}\" may not have port {port}");
            lowering.error("bad-address", word.span, message);
        }
        return Some((index, shown, 80));
    }
    let index = implied(lowering, word, server)?;
    Some((index, shown, port.unwrap_or(80)))
}

/// One upstream for each server that a `proxy_pass` names directly, however many name it.
fn implied(lowering: &mut Lowering<'_>, word: &Word, server: &str) -> Option<usize> {
    let same = |(index, upstream): (usize, &Upstream)| {
        (upstream.name == server && !lowering.blocks.values().any(|block| *block == index)).then_some(index)
    };
    if let Some(index) = lowering.config.upstreams.iter().enumerate().find_map(same) {
        return Some(index);
    }
    match lowering.addresses(server, 80) {
        Ok(addresses) => {
            let servers = addresses.into_iter().map(UpstreamServer::new).collect();
            lowering.config.upstreams.push(Upstream::new(server, servers));
            Some(lowering.config.upstreams.len() - 1)
        }
        Err(bad) => {
            report(lowering, word, server, bad);
            None
        }
    }
}
