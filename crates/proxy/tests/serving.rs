//! Requests that are answered without an upstream, and the life of the proxy itself.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use evenkeel_proxy::Resources;
use evenkeel_site::config::{AccessLog, Handler, Scope};
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;
use support::{Running, echoing, location, open_logs, proxying, returns, scope, serving, start, upstream};

fn hello() -> Running {
    start(serving(scope(), vec![location("/", scope(), returns(200, "hello"))]))
}

/// A directory of files for one test.
fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("evenkeel-proxy-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(path.join("sub")).unwrap();
    path
}

#[test]
fn what_could_be_smuggled_is_answered_with_400_and_a_closed_connection() {
    let proxy = hello();
    let table = [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "G=T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /../etc HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    for (n, text) in table.iter().enumerate() {
        let mut client = proxy.client();
        let response = client.ask(text);
        assert_eq!(response.status, 400, "{text:?}");
        assert_eq!(response.header("connection"), Some("close"), "{text:?}");
        assert_eq!(client.read_to_end(), b"", "{text:?}");
        proxy.until("it is counted", |status| status.bad_requests == n as u64 + 1);
    }
}

#[test]
fn bad_chunks_are_refused_before_the_upstream_hears_of_them() {
    let origin = echoing("a");
    let proxy = start(proxying(scope(), upstream(&[origin.address])));
    for chunks in [
        "5\nhello\r\n0\r\n\r\n",
        "x\r\n",
        "5;a\rb\r\nhello\r\n",
        "5\r\nhelloX0\r\n\r\n",
        "-1\r\n",
        "fffffffffffffffff\r\n",
    ] {
        let mut client = proxy.client();
        let text = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        assert_eq!(client.ask(&text).status, 400, "{chunks:?}");
        assert_eq!(client.read_to_end(), b"");
    }
    assert_eq!(origin.n_connections.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[test]
fn too_much_of_anything_is_refused() {
    let origin = echoing("a");
    let proxy = start(proxying(scope(), upstream(&[origin.address])));
    let table = [
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(40_000)), 414),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(40_000)), 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n".to_owned(), 413),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), 505),
    ];
    for (text, status) in table {
        assert_eq!(proxy.client().ask(&text).status, status, "{}", &text[..40.min(text.len())]);
    }
}

#[test]
fn a_client_that_sends_its_head_too_slowly_is_closed() {
    let mut config = serving(scope(), vec![location("/", scope(), returns(200, "hello"))]);
    config.servers[0].client_header_timeout = Duration::from_millis(60);
    let proxy = start(config);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHo");
    assert_eq!(client.read_to_end(), b"");
}

#[test]
fn return_answers_with_text_redirect_or_page() {
    let text = || {
        vec![
            location("/text", scope(), returns(200, "host $host uri $uri")),
            location("/move", scope(), returns(301, "/there?a=$arg_b")),
            location("/gone", scope(), Handler::Return(evenkeel_site::config::Return { status: 404, text: None })),
            location("/drop", scope(), Handler::Return(evenkeel_site::config::Return { status: 444, text: None })),
        ]
    };
    let proxy = start(serving(scope(), text()));
    assert_eq!(proxy.get("/text/a%20b").text(), "host example.com uri /text/a b");
    let moved = proxy.get("/move?b=1");
    let location = format!("http://example.com:{}/there?a=1", proxy.address.port());
    assert_eq!((moved.status, moved.header("location")), (301, Some(location.as_str())));
    assert_eq!(proxy.get("/gone").body, evenkeel_site::error_page(404, true));
    let mut dropped = proxy.client();
    dropped.send("GET /drop HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(dropped.read_to_end(), b"");
}

#[test]
fn files_are_sent_with_their_type_and_validators() {
    let root = directory("files");
    std::fs::write(root.join("a.html"), "0123456789").unwrap();
    std::fs::write(root.join("sub/index.html"), "index").unwrap();
    std::fs::create_dir(root.join("empty")).unwrap();
    std::fs::write(root.join("big"), vec![7; 1_000_000]).unwrap();
    let types = [("html".to_owned(), "text/html".to_owned())].into_iter().collect();
    let scope = Scope { root: root.clone(), types: std::sync::Arc::new(types), ..scope() };
    let proxy = start(serving(scope.clone(), vec![location("/", scope, Handler::Static)]));

    let response = proxy.get("/a.html");
    assert_eq!((response.text().as_str(), response.header("content-type")), ("0123456789", Some("text/html")));
    let tag = response.header("etag").unwrap();
    let modified = response.header("last-modified").unwrap();
    for validator in [format!("If-None-Match: {tag}"), format!("If-Modified-Since: {modified}")] {
        let text = format!("GET /a.html HTTP/1.1\r\nHost: a\r\n{validator}\r\n\r\n");
        assert_eq!(proxy.client().ask(&text).status, 304, "{validator}");
    }
    let head = proxy.client().ask("HEAD /a.html HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.status, head.header("content-length")), (200, Some("10")));
    let part = proxy.client().ask("GET /a.html HTTP/1.1\r\nHost: a\r\nRange: bytes=2-4\r\n\r\n");
    assert_eq!((part.status, part.text().as_str(), part.header("content-range")), (206, "234", Some("bytes 2-4/10")));
    for (validator, status) in [(tag, 206), (modified, 206), ("\"0-0\"", 200)] {
        let text = format!("GET /a.html HTTP/1.1\r\nHost: a\r\nRange: bytes=2-4\r\nIf-Range: {validator}\r\n\r\n");
        assert_eq!(proxy.client().ask(&text).status, status, "{validator}");
    }
    assert_eq!(proxy.get("/sub/").text(), "index");
    assert_eq!(proxy.get("/big").body.len(), 1_000_000);
    let slash = proxy.get("/sub?x");
    let target = format!("http://example.com:{}/sub/?x", proxy.address.port());
    assert_eq!((slash.status, slash.header("location")), (301, Some(target.as_str())));
    for (path, status) in [("/none", 404), ("/empty/", 403), ("/none/", 404), ("/a.html/x", 404), ("/%2e%2e/x", 400)] {
        assert_eq!(proxy.get(path).status, status, "{path}");
    }
    let post = proxy.client().ask("POST /a.html HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(post.status, 405);
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn each_request_is_one_line_in_the_access_log() {
    let root = directory("log");
    let path = root.join("access.log");
    let scope = Scope { access_logs: vec![AccessLog { path: path.clone(), format: 0 }], ..scope() };
    let origin = echoing("a");
    let config = proxying(scope, upstream(&[origin.address]));
    let proxy = start(config.clone());
    proxy.client().ask("GET /x HTTP/1.1\r\nHost: a\r\nUser-Agent: me\r\n\r\n");
    proxy.client().ask("nonsense\r\n\r\n");
    let lines = || std::fs::read_to_string(&path).unwrap_or_default();
    proxy.until("both lines are written", |_| lines().lines().count() == 2);
    let text = lines();
    let (first, second) = text.split_once('\n').unwrap();
    assert!(first.starts_with("127.0.0.1 - - ["), "{first}");
    assert!(first.contains("\"GET /x HTTP/1.1\" 200 ") && first.ends_with("\"-\" \"me\""), "{first}");
    assert!(second.contains("\"nonsense\" 400 "), "{second}");

    std::fs::rename(&path, root.join("access.log.1")).unwrap();
    proxy.proxy.reopen_logs(open_logs(&config));
    proxy.get("/y");
    proxy.until("the new file is used", |_| lines().contains("GET /y"));
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn draining_closes_idle_connections_and_finishes_the_rest() {
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let slow = support::origin(move |_, client| {
        client.request();
        gone.lock().unwrap().recv().unwrap();
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow");
        client.read_to_end();
    });
    let proxy = start(proxying(scope(), upstream(&[slow.address])));
    let mut idle = proxy.client();
    let mut busy = proxy.client();
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    proxy.until("both are connected", |status| status.connections == 2 && status.upstreams[0].servers[0].requests == 1);
    proxy.proxy.drain();
    assert_eq!(idle.read_to_end(), b"");
    assert!(!proxy.proxy.is_drained());
    go.send(()).unwrap();
    assert_eq!(busy.response(false).text(), "slow");
    assert_eq!(busy.read_to_end(), b"");
    proxy.until("nobody is left", |status| status.connections == 0);
    assert!(proxy.proxy.is_drained());
    assert!(std::net::TcpStream::connect(proxy.address).is_err());
}

#[test]
fn old_connections_finish_under_the_old_configuration() {
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let slow = support::origin(move |_, client| {
        client.request();
        gone.lock().unwrap().recv().unwrap();
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold");
    });
    let proxy = start(proxying(scope(), upstream(&[slow.address])));
    let mut busy = proxy.client();
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    proxy.until("it is under way", |status| status.upstreams[0].servers[0].requests == 1);

    let mut broken = serving(scope(), vec![]);
    broken.listens[0].servers = vec![7];
    let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
    let resources = |listener: TcpListener| Resources { listeners: vec![listener.into()], logs: Vec::new() };
    assert!(proxy.proxy.reconfigure(broken, resources(listener()), Default::default()).is_err());

    let next = listener();
    let address = next.local_addr().unwrap();
    let config = serving(scope(), vec![location("/", scope(), returns(200, "new"))]);
    proxy.proxy.reconfigure(config, resources(next), Default::default()).unwrap();
    go.send(()).unwrap();
    let response = busy.response(false);
    assert_eq!((response.text().as_str(), busy.read_to_end().len()), ("old", 0));
    let moved = Running { proxy: proxy.proxy, address };
    assert_eq!(moved.get("/").text(), "new");
    assert!(std::net::TcpStream::connect(proxy.address).is_err());
}

#[test]
fn an_idle_connection_makes_room_for_a_new_one() {
    let mut config = serving(scope(), vec![location("/", scope(), returns(200, "hello"))]);
    config.worker_connections = 2;
    let proxy = start(config);
    let mut clients: Vec<_> = (0..2).map(|_| proxy.client()).collect();
    for client in &mut clients {
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    }
    assert_eq!(proxy.get("/").text(), "hello");
    assert_eq!(clients[0].read_to_end(), b"");
}
