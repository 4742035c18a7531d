//! The servers: a thread that accepts one connection after another and lets a function do what it likes with each.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

/// What a server does with one connection.
pub(super) type Story = fn(TcpStream);

/// A server that treats every connection so, until the test's process ends.
pub(super) fn tcp(story: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    on("127.0.0.1:0", story)
}

pub(super) fn on(address: &str, story: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind(address).expect("a port");
    let address = listener.local_addr().expect("its number");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            story(stream);
        }
    });
    address
}

/// Reads up to the empty line of a request.
pub(super) fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        bytes.push(byte[0]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads a request, answers, closes.
pub(super) fn answer(mut stream: TcpStream, bytes: &[u8]) {
    request(&mut stream);
    let _ = stream.write_all(bytes);
}

/// Reads until the client has gone, whichever way it goes.
pub(super) fn wait_for_end(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    while matches!(stream.read(&mut buffer), Ok(1..)) {}
}

/// Closes with RST instead of FIN.
pub(super) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).expect("linger is settable");
    drop(stream);
}

/// A UDP server: each datagram is answered by what the function makes of it.
pub(super) fn udp(answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("its number");
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            for answer in answers(&buffer[..length]) {
                let _ = socket.send_to(&answer, peer);
            }
        }
    });
    address
}

/// A port on which nobody listens: it was somebody's a moment ago.
pub(super) fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number")
}
