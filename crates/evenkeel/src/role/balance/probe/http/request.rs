//! The request, byte for byte as keepalived sends it.

use evenkeel_balance::config::{HttpVersion, Target, UrlProbe};
use std::net::IpAddr;

/// The request for a url.
///
/// Host is the configured virtual host as it stands, or the address with the port, and with the port also where it is the
/// default one: so keepalived 2.2.7 does it, and servers are configured for that.
pub(super) fn build(target: &Target, version: HttpVersion, url: &UrlProbe) -> Vec<u8> {
    let (minor, connection) = match version {
        HttpVersion::V10 => ("0", ""),
        HttpVersion::V10Close => ("0", "Connection: close\r\n"),
        HttpVersion::V11 => ("1", "Connection: close\r\n"),
    };
    let path = &url.path;
    let start = format!("GET {path} HTTP/1.{minor}\r\nUser-Agent: KeepAliveClient\r\n{connection}");
    let port = target.port;
    let request = match (&url.virtualhost, target.address) {
        (Some(host), _) => format!("{start}Host: {host}\r\n\r\n"),
        (None, IpAddr::V4(address)) => format!("{start}Host: {address}:{port}\r\n\r\n"),
        (None, IpAddr::V6(address)) => format!("{start}Host: [{address}]:{port}\r\n\r\n"),
    };
    request.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Captured from keepalived 2.2.7.
    #[test]
    fn requests_are_those_that_keepalived_sends() {
        let row = |address: &str, port, version, host: Option<&str>, expected: &str| {
            let target = Target {
                address: address.parse().unwrap(),
                port,
                source: None,
                source_port: None,
                interface: None,
                mark: None,
                via_dataplane: false,
            };
            let url = UrlProbe {
                path: "/a".to_owned(),
                virtualhost: host.map(str::to_owned),
                sni: None,
                statuses: Vec::new(),
                digest: None,
                regex: None,
                tls_compliant: false,
            };
            assert_eq!(String::from_utf8(build(&target, version, &url)).unwrap(), expected);
        };
        let v10 = HttpVersion::V10;
        row(
            "127.0.0.1",
            8000,
            v10,
            None,
            "GET /a HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: 127.0.0.1:8000\r\n\r\n",
        );
        row("127.0.0.1", 80, v10, None, "GET /a HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: 127.0.0.1:80\r\n\r\n");
        row("::1", 80, v10, None, "GET /a HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: [::1]:80\r\n\r\n");
        row("::1", 80, v10, Some("::2"), "GET /a HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: ::2\r\n\r\n");
        row(
            "127.0.0.1",
            8003,
            HttpVersion::V10Close,
            None,
            "GET /a HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nConnection: close\r\nHost: 127.0.0.1:8003\r\n\r\n",
        );
        row(
            "127.0.0.1",
            8001,
            HttpVersion::V11,
            Some("ho.st"),
            "GET /a HTTP/1.1\r\nUser-Agent: KeepAliveClient\r\nConnection: close\r\nHost: ho.st\r\n\r\n",
        );
    }
}
