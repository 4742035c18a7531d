//! Requests that go to an upstream.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use evenkeel_site::config::{HttpVersion, ListenAddress, NextUpstream, Scope, UpstreamServer};
use std::sync::atomic::Ordering;
use std::time::Duration;
use support::{constant, echoing, origin, proxying, refusing, scope, start, upstream};

#[test]
fn both_sides_keep_their_connections() {
    let origin = echoing("a");
    let proxy = start(proxying(scope(), upstream(&[origin.address])));
    let mut client = proxy.client();
    for _ in 0..5 {
        let response = client.ask("GET /x?y=1 HTTP/1.1\r\nHost: example.com\r\nX-Other: kept\r\nTE: trailers\r\n\r\n");
        assert_eq!(response.status, 200);
        assert_eq!(response.text(), "a\nGET /x?y=1 HTTP/1.1\r\nHost: example.com\r\nX-Other: kept\r\n\r\n");
        assert_eq!(response.header("connection"), Some("keep-alive"));
    }
    assert_eq!(origin.n_connections.load(Ordering::SeqCst), 1);
    assert_eq!(proxy.status().requests, 5);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = echoing("a");
    let proxy = start(proxying(scope(), upstream(&[origin.address])));
    let mut client = proxy.client();
    client.send(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcPOST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    for (path, body) in [("GET /1", ""), ("POST /2", "abc"), ("POST /3", "xyz"), ("GET /4", "")] {
        let text = client.response(false).text();
        assert!(text.contains(path) && text.ends_with(&format!("\r\n\r\n{body}")), "{text}");
    }
}

#[test]
fn nginx_headers_are_set_dropped_and_passed() {
    let origin = constant(
        "HTTP/1.1 200 Fine\r\nDate: x\r\nServer: y\r\nX-Pad: z\r\nX-Accel-Buffering: no\r\nx-lower:  v \r\nContent-Length: 2\r\nContent-Type: text/x\r\nLocation: http://backend/y\r\nKeep-Alive: timeout=5\r\n\r\nok",
    );
    let proxy = start(proxying(scope(), upstream(&[origin.address])));
    let response = proxy.get("/");
    let date = response.header("date").unwrap().to_owned();
    assert_eq!(
        response.head,
        format!(
            "HTTP/1.1 200 Fine\r\nServer: {}\r\nDate: {date}\r\nContent-Type: text/x\r\nContent-Length: 2\r\nLocation: http://example.com:{}/y\r\nConnection: keep-alive\r\nx-lower: v\r\n\r\n",
            evenkeel_site::SERVER_WITH_VERSION,
            proxy.address.port()
        )
    );
    assert!(date.ends_with(" GMT"));
}

#[test]
fn set_headers_replace_the_clients_and_an_empty_value_drops() {
    let origin = echoing("a");
    let headers = [
        ("Host", "$proxy_host"),
        ("X-Real-IP", "$remote_addr"),
        ("Accept", ""),
        ("X-Forwarded-For", "$proxy_add_x_forwarded_for"),
    ];
    let scope =
        Scope { proxy_headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(), ..scope() };
    let proxy = start(proxying(scope, upstream(&[origin.address])));
    let response = proxy.client().ask("GET / HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nX-Real-IP: forged\r\nX-Forwarded-For: 1.2.3.4\r\nX_Real_IP: forged\r\n\r\n");
    assert_eq!(
        response.text(),
        "a\nGET / HTTP/1.1\r\nHost: backend\r\nX-Real-IP: 127.0.0.1\r\nX-Forwarded-For: 1.2.3.4, 127.0.0.1\r\n\r\n"
    );
}

#[test]
fn bodies_of_every_framing_reach_clients_of_both_versions() {
    let table = [
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: r\r\n\r\n",
            "hello world",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "ok",
        ),
    ];
    for (answer, body) in table {
        let origin = constant(answer);
        let proxy = start(proxying(scope(), upstream(&[origin.address])));
        let mut client = proxy.client();
        for _ in 0..2 {
            assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(), body, "{answer}");
        }
        let old = proxy.client().ask("GET / HTTP/1.0\r\n\r\n");
        assert_eq!((old.text().as_str(), old.header("transfer-encoding")), (body, None), "{answer}");
    }
    let closing = origin(|_, client| {
        client.request();
        client.send("HTTP/1.0 200 OK\r\n\r\nto the end");
    });
    let proxy = start(proxying(scope(), upstream(&[closing.address])));
    let mut client = proxy.client();
    for _ in 0..2 {
        let response = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((response.text().as_str(), response.header("transfer-encoding")), ("to the end", Some("chunked")));
    }
}

#[test]
fn answers_without_a_body_have_none() {
    for (method, answer) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"),
    ] {
        let origin = constant(answer);
        let proxy = start(proxying(scope(), upstream(&[origin.address])));
        let mut client = proxy.client();
        for _ in 0..2 {
            client.ask(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        }
        assert_eq!(origin.n_connections.load(Ordering::SeqCst), 1, "{answer}");
    }
}

fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|index| (index * 31 + index / 251) as u8).collect()
}

#[test]
fn large_bodies_pass_unchanged_both_ways() {
    let echo = origin(|_, client| {
        while let Some(head) = client.request() {
            let body = client.request_body(&head);
            client.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
            client.send(body);
        }
    });
    let scope = Scope { client_max_body_size: 0, ..scope() };
    let proxy = start(proxying(scope, upstream(&[echo.address])));
    let body = pattern(10_000_000);
    let mut client = proxy.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(&body);
    assert!(client.response(false).body == body, "with a length");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for chunk in body.chunks(70_001) {
        client.send(format!("{:x}\r\n", chunk.len()));
        client.send(chunk);
        client.send("\r\n");
    }
    client.send("0\r\n\r\n");
    assert!(client.response(false).body == body, "in chunks");
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
}

#[test]
fn an_answer_may_begin_before_the_request_has_ended() {
    let early = origin(|_, client| {
        client.request();
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n");
        for _ in 0..3 {
            let piece = client.exactly(100_000);
            client.send(piece);
        }
    });
    let proxy = start(proxying(scope(), upstream(&[early.address])));
    let body = pattern(300_000);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
    client.send(&body[..150_000]);
    client.head();
    assert!(client.exactly(100_000) == body[..100_000]);
    client.send(&body[150_000..]);
    assert!(client.exactly(200_000) == body[100_000..]);
}

#[test]
fn a_chunked_body_is_given_a_length_for_an_old_upstream() {
    let origin = echoing("a");
    let scope = Scope { proxy_http_version: HttpVersion::Http10, ..Scope::default() };
    let proxy = start(proxying(scope, upstream(&[origin.address])));
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    client.send("0\r\n\r\n");
    assert_eq!(
        client.response(false).text(),
        "a\nPOST / HTTP/1.0\r\nHost: backend\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc"
    );
}

#[test]
fn a_client_that_waits_for_permission_gets_it() {
    let origin = echoing("a");
    let proxy = start(proxying(scope(), upstream(&[origin.address])));
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("ok");
    assert_eq!(client.response(false).text(), "a\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok");
}

#[test]
fn another_server_is_asked_when_one_refuses_or_hangs() {
    let silent = origin(|_, client| {
        client.request();
        client.request();
    });
    let good = echoing("good");
    for bad in [refusing(), silent.address] {
        let scope = Scope { proxy_read_timeout: Duration::from_millis(60), ..scope() };
        let proxy = start(proxying(scope, upstream(&[bad, good.address])));
        for _ in 0..3 {
            let response = proxy.client().ask("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
            assert!(response.text().starts_with("good\n") && response.text().ends_with("hi"), "{response:?}");
        }
        let status = proxy.status();
        let servers = &status.upstreams[0].servers;
        assert_eq!((servers[0].fails, servers[0].alive), (1, false), "{status:?}");
        assert_eq!(servers[1].requests, 3);
        assert!(servers[0].last_error.is_some());
    }
}

#[test]
fn a_post_that_was_sent_is_not_sent_again() {
    let breaking = origin(|_, client| {
        client.request();
    });
    let good = echoing("good");
    let proxy = start(proxying(scope(), upstream(&[breaking.address, good.address])));
    let response = proxy.client().ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(response.status, 502);
    assert_eq!(good.n_connections.load(Ordering::SeqCst), 0);
}

#[test]
fn a_status_can_be_a_reason_to_ask_another_server() {
    let bad = constant("HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\nbad");
    let good = echoing("good");
    let scope = Scope { proxy_next_upstream: NextUpstream { http_503: true, ..NextUpstream::default() }, ..scope() };
    let proxy = start(proxying(scope.clone(), upstream(&[bad.address, good.address])));
    assert!(proxy.get("/").text().starts_with("good"));
    let alone = start(proxying(scope, upstream(&[bad.address])));
    assert_eq!(alone.get("/").text(), "bad");
}

#[test]
fn failures_have_the_pages_of_nginx() {
    let silent = origin(|_, client| while client.request().is_some() {});
    let garbage = constant("SMTP ready\r\n\r\n");
    let scope = Scope { proxy_read_timeout: Duration::from_millis(60), ..scope() };
    for (address, status, title) in [
        (refusing(), 502, "502 Bad Gateway"),
        (garbage.address, 502, "502 Bad Gateway"),
        (silent.address, 504, "504 Gateway Time-out"),
    ] {
        let proxy = start(proxying(scope.clone(), upstream(&[address])));
        let mut client = proxy.client();
        for _ in 0..2 {
            let response = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!((response.status, response.body), (status, evenkeel_site::error_page(status, true)));
            assert!(response.head.starts_with(&format!("HTTP/1.1 {title}\r\n")), "{}", response.head);
        }
    }
}

#[test]
fn a_connection_that_the_upstream_closed_is_replaced_silently() {
    let once = origin(|_, client| {
        client.request();
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let proxy = start(proxying(scope(), upstream(&[once.address])));
    let mut client = proxy.client();
    for _ in 0..10 {
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    }
    assert_eq!(proxy.status().upstreams[0].servers[0].fails, 0);
}

#[test]
fn a_backup_is_used_while_the_main_server_is_down_and_left_when_it_returns() {
    let spare = echoing("spare");
    let main = refusing();
    let mut servers = upstream(&[main, spare.address]);
    servers.servers[0].fail_timeout = Duration::from_millis(100);
    servers.servers[1] = UpstreamServer { backup: true, ..UpstreamServer::new(ListenAddress::Tcp(spare.address)) };
    let proxy = start(proxying(scope(), servers));
    for _ in 0..3 {
        assert!(proxy.get("/").text().starts_with("spare"));
    }
    let listener = std::net::TcpListener::bind(main).unwrap();
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nmain");
        }
    });
    proxy.until("the main server is tried again", |_| proxy.get("/").text() == "main");
    assert_eq!(proxy.get("/").text(), "main");
}

#[test]
fn a_probe_finds_a_dead_server_before_a_request_does() {
    let good = echoing("good");
    let options = evenkeel_proxy::Options { probe_upstreams: Some(Duration::from_millis(50)) };
    let proxy = support::start_with(proxying(scope(), upstream(&[refusing(), good.address])), options);
    proxy.until("the refusing server is known", |status| !status.upstreams[0].servers[0].alive);
    let before = proxy.status().upstreams[0].servers[0].requests;
    assert!(proxy.get("/").text().starts_with("good"));
    assert_eq!(proxy.status().upstreams[0].servers[0].requests, before);
}

#[test]
fn an_upgraded_connection_carries_anything_both_ways() {
    let echo = origin(|_, client| {
        let head = client.request().unwrap();
        assert!(head.contains("\r\nUpgrade: websocket\r\n") && head.contains("\r\nConnection: upgrade\r\n"), "{head}");
        client.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello");
        let bytes = client.exactly(7);
        client.send(bytes);
        client.read_to_end();
    });
    let mut scope = scope();
    scope.proxy_headers.push(("Upgrade".to_owned(), "$http_upgrade".to_owned()));
    scope.proxy_headers.push(("Connection".to_owned(), "upgrade".to_owned()));
    let proxy = start(proxying(scope, upstream(&[echo.address])));
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nabc");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert!(head.contains("\r\nConnection: upgrade\r\n") && head.contains("\r\nUpgrade: websocket\r\n"), "{head}");
    assert_eq!(client.exactly(5), b"hello");
    client.send("\x00\x01\x02\x03");
    assert_eq!(client.exactly(7), b"abc\x00\x01\x02\x03");
}

#[test]
fn the_upstream_is_left_alone_when_the_client_has_gone() {
    let (left, was_left) = std::sync::mpsc::channel();
    let origin = origin(move |_, client| {
        client.request();
        left.send(client.request().is_none()).unwrap();
    });
    let proxy = start(proxying(scope(), upstream(&[origin.address])));
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    proxy.until("the request is under way", |status| status.upstreams[0].servers[0].requests == 1);
    drop(client);
    assert_eq!(was_left.recv_timeout(support::PATIENCE), Ok(true));
    proxy.until("the client is forgotten", |status| status.connections == 0);
}
