//! Clients and upstreams that mean harm, or do it by mistake.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use evenkeel_site::config::{Scope, UpstreamServer};
use support::{constant, echoing, origin, proxying, refusing, scope, start, upstream};

#[test]
fn the_body_of_a_refused_request_is_never_read_as_the_next_one() {
    let down = |address| UpstreamServer {
        down: true,
        ..UpstreamServer::new(evenkeel_site::config::ListenAddress::Tcp(address))
    };
    let mut dead = upstream(&[]);
    dead.servers = vec![down(refusing()), down(refusing())];
    let unasked = origin(|_, client| {
        client.request();
        client.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
        client.read_to_end();
    });
    for upstream in [dead, upstream(&[refusing()]), upstream(&[unasked.address])] {
        let proxy = start(proxying(scope(), upstream));
        let mut client = proxy.client();
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        let length = 200_000 + smuggled.len();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
        client.send(vec![b'x'; 200_000]);
        let response = client.response(false);
        assert_eq!((response.status, response.header("connection")), (502, Some("close")));
        // The proxy may have closed already.
        let _ = std::io::Write::write_all(&mut client.stream, smuggled.as_bytes());
        assert_eq!(client.read_to_end(), b"");
        assert_eq!(proxy.status().requests, 1);
    }
}

#[test]
fn what_a_client_encodes_cannot_end_a_header_to_the_upstream() {
    let origin = echoing("a");
    let mut scope = scope();
    scope.proxy_headers.push(("X-Path".to_owned(), "[$uri]".to_owned()));
    let proxy = start(proxying(scope, upstream(&[origin.address])));
    let text = proxy.get("/a%0d%0aX-Evil:%201%0d%0a%0d%0aGET%20/b").text();
    assert!(text.contains("\r\nX-Path: [/aX-Evil: 1GET /b]\r\n\r\n"), "{text}");
}

#[test]
fn a_configured_header_does_not_contradict_the_body() {
    let origin = echoing("a");
    let mut scope = scope();
    for (name, value) in [("Content-Length", "$http_x_length"), ("transfer-encoding", "chunked")] {
        scope.proxy_headers.push((name.to_owned(), value.to_owned()));
    }
    let proxy = start(proxying(scope, upstream(&[origin.address])));
    let text = proxy.client().ask("POST / HTTP/1.1\r\nHost: a\r\nX-Length: 1\r\nContent-Length: 3\r\n\r\nabc").text();
    assert_eq!(text, "a\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX-Length: 1\r\n\r\nabc");
}

#[test]
fn an_upgraded_connection_begins_after_the_body() {
    let echo = origin(|_, client| {
        let head = client.request().unwrap();
        assert_eq!(client.request_body(&head), b"body");
        client.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
        let bytes = client.exactly(3);
        client.send(bytes);
        client.read_to_end();
    });
    let mut scope = scope();
    scope.proxy_headers.push(("Upgrade".to_owned(), "$http_upgrade".to_owned()));
    scope.proxy_headers.push(("Connection".to_owned(), "upgrade".to_owned()));
    let proxy = start(proxying(scope, upstream(&[echo.address])));
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: Upgrade\r\nContent-Length: 4\r\n\r\nbodyabc");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.exactly(3), b"abc");
}

#[test]
fn an_upstream_that_answers_nonsense_costs_only_its_own_connection() {
    // (answer, status to the client, whether it gets a whole answer; otherwise it must be able to tell)
    let table = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", 502, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nabc", 502, true),
        ("HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 0\r\n\r\n", 502, true),
        ("HTTP/1.1 200 OK\r\nX: a\rY: b\r\nContent-Length: 0\r\n\r\n", 502, true),
        ("nonsense\r\n\r\n", 502, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 200, true),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil", 204, true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokXX", 200, false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 200, false),
    ];
    for (answer, status, whole) in table {
        let evil = constant(answer);
        let scope = Scope { client_max_body_size: 0, ..scope() };
        let proxy = start(proxying(scope, upstream(&[evil.address])));
        let mut client = proxy.client();
        if !whole {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let text = String::from_utf8(client.read_to_end()).unwrap();
            assert!(!text.ends_with("0\r\n\r\n"), "{answer}: {text}");
            continue;
        }
        for _ in 0..3 {
            let response = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(response.status, status, "{answer}");
            assert!(!response.text().contains("evil"), "{answer}");
        }
        assert_eq!(evil.n_connections.load(std::sync::atomic::Ordering::SeqCst), 3, "{answer}");
    }
}
