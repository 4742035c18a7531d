use super::server::{self, Story, wait_for_end};
use super::{PATIENT, SHORT, check, failed, passed};
use evenkeel_balance::Says;
use evenkeel_balance::config::{Probe, Target};
use socket2::{Domain, Socket, Type};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

#[test]
fn tcp_passes_where_somebody_listens() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let address = server::on(address, wait_for_end);
        assert_eq!(passed(&check(Probe::Tcp, address, PATIENT)), ("connected".to_owned(), None));
    }
}

#[test]
fn tcp_runs_into_its_timeout_where_nobody_answers() {
    // A listener whose queue is full drops what comes.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let _fills = TcpStream::connect(address).unwrap();
    assert_eq!(failed(&check(Probe::Tcp, address, SHORT)), "TCP connection timeout after 200ms");
}

#[test]
fn tcp_comes_from_the_configured_source() {
    let (tell, told) = mpsc::channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        while let Ok((_, peer)) = listener.accept() {
            let _ = tell.send(peer);
        }
    });
    let port = server::closed_port().port();
    let with = |change: fn(&mut Target, u16)| {
        let mut check = check(Probe::Tcp, address, PATIENT);
        change(check.target.as_mut().unwrap(), port);
        check
    };
    let both = with(|target, port| {
        target.source = Some([127, 0, 0, 9].into());
        target.source_port = Some(port);
    });
    for _ in 0..2 {
        passed(&both);
        assert_eq!(told.recv().unwrap(), SocketAddr::from(([127, 0, 0, 9], port)));
    }
    let elsewhere = with(|target, _| target.source = Some([192, 0, 2, 1].into()));
    assert_eq!(failed(&elsewhere), "TCP connection failed: bind to 192.0.2.1:0: cannot assign requested address");
    let interface = with(|target, _| target.interface = Some("absent0".to_owned()));
    assert_eq!(failed(&interface), "TCP connection failed: bind to interface absent0: no such device");
}

#[test]
fn smtp_follows_the_dialogue() {
    let (tell, told) = mpsc::channel();
    let address = server::tcp(move |mut stream| {
        let _ = stream.write_all(b"220-mail.test\r\n220 at your service\r\n");
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while let Some(Ok(line)) = lines.next() {
            let reply: &[u8] = if line == "QUIT" { b"221 bye\r\n" } else { b"250-hello\r\n250 ok\r\n" };
            let _ = tell.send(line);
            let _ = stream.write_all(reply);
        }
    });
    assert_eq!(passed(&check(smtp(), address, PATIENT)).0, "SMTP dialogue complete");
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["HELO check.test", "QUIT"]);
}

#[test]
fn smtp_fails_for_a_reason_that_names_what() {
    let rows: [(Story, &str); 6] = [
        (
            |mut stream| {
                let _ = stream.write_all(b"554 go away\r\n");
                wait_for_end(stream);
            },
            r#"Bad greeting banner: "554 go away\r\n""#,
        ),
        (
            |mut stream| {
                let _ = stream.write_all(b"220 a\r\n501 no name\r\n");
                wait_for_end(stream);
            },
            r#"Bad HELO response: "501 no name\r\n""#,
        ),
        (
            |mut stream| {
                let _ = stream.write_all(b"+OK POP3 ready\r\n");
                wait_for_end(stream);
            },
            r#"Bad greeting banner: "+OK POP3 ready\r\n""#,
        ),
        (drop, r#"Bad greeting banner: connection closed after """#),
        (wait_for_end, r#"Read timeout after 200ms, "" received"#),
        (
            |mut stream| while stream.write_all(&[b'2'; 4096]).is_ok() {},
            r#"Bad greeting banner: "222222222222222222222222222222222222222222222222222222222222...""#,
        ),
    ];
    for (at, (story, expected)) in rows.into_iter().enumerate() {
        let timeout = if expected.contains("timeout") { SHORT } else { PATIENT };
        assert_eq!(failed(&check(smtp(), server::tcp(story), timeout)), expected, "row {at}");
    }
    let refused = check(smtp(), server::closed_port(), PATIENT);
    assert_eq!(failed(&refused), "Could not connect: connection refused");
}

#[test]
fn an_agents_first_line_decides() {
    let rows: [(Story, Result<Option<Says>, &str>); 7] = [
        (|mut stream| _ = stream.write_all(b"up 75%\n"), Ok(Some(Says::Percent(75)))),
        (|mut stream| _ = stream.write_all(b"drain\r\ndown\n"), Ok(Some(Says::Drain))),
        (|mut stream| _ = stream.write_all(b"up"), Ok(None)),
        (
            |mut stream| {
                let _ = stream.write_all(b"ready\n");
                wait_for_end(stream);
            },
            Ok(Some(Says::Ready)),
        ),
        (|mut stream| _ = stream.write_all(b"down # disk full\n"), Err("agent says down: disk full")),
        (drop, Err("agent says nothing")),
        (
            |mut stream| while stream.write_all(b"what ").is_ok() {},
            Err(r#"agent says nothing known: "what what what what what what what what what what what what ...""#),
        ),
    ];
    for (at, (story, expected)) in rows.into_iter().enumerate() {
        let check = check(Probe::Agent { send: None }, server::tcp(story), PATIENT);
        match expected {
            Ok(says) => assert_eq!(passed(&check).1, says, "row {at}"),
            Err(reason) => assert_eq!(failed(&check), reason, "row {at}"),
        }
    }
    let silent = check(Probe::Agent { send: None }, server::tcp(wait_for_end), SHORT);
    assert_eq!(failed(&silent), r#"agent: read timeout after 200ms, "" received"#);
}

#[test]
fn an_agent_that_expects_something_gets_it() {
    let address = server::tcp(|mut stream| {
        let mut line = String::new();
        let _ = BufReader::new(&stream).read_line(&mut line);
        let _ = stream.write_all(if line == "web1\n" { b"up\n" } else { b"down\n" });
    });
    passed(&check(Probe::Agent { send: Some("web1\n".to_owned()) }, address, PATIENT));
}

fn smtp() -> Probe {
    Probe::Smtp { helo: "check.test".to_owned() }
}
