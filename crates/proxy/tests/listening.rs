//! Sockets and workers: who accepts, and which server answers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use evenkeel_proxy::{Proxy, Resources};
use evenkeel_site::config::{Listen, ListenAddress, Server, UpstreamServer};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use support::{Running, location, proxying, returns, scope, serving, start, upstream};

/// A path for the file of one test.
fn file(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("evenkeel-proxy-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

fn listen(address: ListenAddress, server: usize) -> Listen {
    Listen { address, backlog: None, reuseport: false, servers: vec![server] }
}

#[test]
fn an_address_beside_its_wildcard_shares_its_socket_and_has_its_own_server() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let tcp = |ip: [u8; 4]| ListenAddress::Tcp((ip, port).into());
    let mut config = serving(scope(), vec![location("/", scope(), returns(200, "any"))]);
    let locations = vec![location("/", scope(), returns(200, "one"))];
    config.servers.push(Server { locations, fallback: scope(), ..Server::default() });
    config.listens = vec![listen(tcp([127, 0, 0, 2]), 1), listen(tcp([0, 0, 0, 0]), 0)];
    let resources = Resources { listeners: vec![listener.into()], logs: Vec::new() };
    let mut proxy = Proxy::start(config, resources, Default::default()).unwrap();
    for (ip, text) in [([127, 0, 0, 1], "any"), ([127, 0, 0, 2], "one"), ([127, 0, 0, 3], "any")] {
        let running = Running { proxy, address: (ip, port).into() };
        assert_eq!(running.get("/").text(), text, "{ip:?}");
        proxy = running.proxy;
    }
}

#[test]
fn unix_sockets_work_on_both_sides() {
    let (front, back) = (file("front.sock"), file("back.sock"));
    let origin = UnixListener::bind(&back).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = origin.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.len());
        stream.write_all(&[head.as_bytes(), &request].concat()).unwrap();
    });
    let mut scope = scope();
    scope.proxy_headers.push(("X-Client".to_owned(), "$remote_addr:$remote_port $server_addr".to_owned()));
    let mut upstream = upstream(&[]);
    upstream.servers = vec![UpstreamServer::new(ListenAddress::Unix(back.clone()))];
    let mut config = proxying(scope, upstream);
    config.listens = vec![listen(ListenAddress::Unix(front.clone()), 0)];
    let listener = UnixListener::bind(&front).unwrap();
    let resources = Resources { listeners: vec![listener.into()], logs: Vec::new() };
    let proxy = Proxy::start(config, resources, Default::default()).unwrap();
    let mut client = UnixStream::connect(&front).unwrap();
    client.set_read_timeout(Some(support::PATIENCE)).unwrap();
    client.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("GET /x HTTP/1.1\r\nHost: a\r\nX-Client: unix:: unix:\r\n\r\n"), "{answer}");
    drop(proxy);
    for path in [front, back] {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn several_workers_serve_are_reconfigured_and_drain_as_one() {
    let mut config = serving(scope(), vec![location("/", scope(), returns(200, "old"))]);
    config.workers = Some(3);
    let proxy = start(config.clone());
    let mut clients: Vec<_> = (0..12).map(|_| proxy.client()).collect();
    for client in &mut clients {
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(), "old");
    }
    let status = proxy.status();
    assert_eq!((status.workers, status.workers_alive), (3, 3));
    assert_eq!((status.connections, status.requests, status.responses[1]), (12, 12, 12));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    config.servers[0].locations = vec![location("/", scope(), returns(200, "new"))];
    let resources = Resources { listeners: vec![listener.into()], logs: Vec::new() };
    proxy.proxy.reconfigure(config, resources, Default::default()).unwrap();
    for client in &mut clients {
        assert_eq!(client.read_to_end(), b"");
    }
    let proxy = Running { proxy: proxy.proxy, address };
    let mut clients: Vec<_> = (0..12).map(|_| proxy.client()).collect();
    for client in &mut clients {
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(), "new");
    }
    proxy.proxy.drain();
    for client in &mut clients {
        assert_eq!(client.read_to_end(), b"");
    }
    proxy.until("nobody is left", |status| status.connections == 0);
    assert!(proxy.proxy.is_drained());
    assert_eq!(proxy.status().requests, 24);
}

#[test]
fn a_configuration_that_a_worker_cannot_serve_changes_no_worker() {
    let mut config = serving(scope(), vec![location("/", scope(), returns(200, "old"))]);
    config.workers = Some(3);
    let proxy = start(config.clone());
    config.servers[0].locations = vec![location("/", scope(), returns(200, "new"))];
    // A plain file is no socket, which shows only when a worker takes the descriptor over.
    let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    let resources = Resources { listeners: vec![file.into()], logs: Vec::new() };
    let error = proxy.proxy.reconfigure(config.clone(), resources, Default::default()).unwrap_err();
    assert!(error.to_string().starts_with("take over the listeners"), "{error}");
    for _ in 0..12 {
        assert_eq!(proxy.get("/").text(), "old");
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let resources = Resources { listeners: vec![listener.into()], logs: Vec::new() };
    proxy.proxy.reconfigure(config, resources, Default::default()).unwrap();
    let proxy = Running { proxy: proxy.proxy, address };
    for _ in 0..12 {
        assert_eq!(proxy.get("/").text(), "new");
    }
}

#[test]
fn a_replaced_configuration_keeps_no_connections_to_its_upstreams() {
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let (left, was_left) = std::sync::mpsc::channel();
    let origin = support::origin(move |_, client| {
        if client.request().unwrap().contains("/hang") {
            client.read_to_end();
            return;
        }
        gone.lock().unwrap().recv().unwrap();
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold");
        left.send(client.request().is_none()).unwrap();
    });
    let proxy = start(proxying(scope(), upstream(&[origin.address])));
    let (mut busy, mut hanging) = (proxy.client(), proxy.client());
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    hanging.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n");
    proxy.until("both are under way", |status| status.upstreams[0].servers[0].requests == 2);
    let resources = Resources { listeners: vec![TcpListener::bind("127.0.0.1:0").unwrap().into()], logs: Vec::new() };
    let config = serving(scope(), vec![location("/", scope(), returns(200, "new"))]);
    proxy.proxy.reconfigure(config, resources, Default::default()).unwrap();
    go.send(()).unwrap();
    assert_eq!(busy.response(false).text(), "old");
    assert_eq!(was_left.recv_timeout(support::PATIENCE), Ok(true));
}
