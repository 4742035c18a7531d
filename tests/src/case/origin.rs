//! Servers behind the programs: they keep what they are asked, and answer what a case says.

use super::Answer;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

pub(super) const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// What is said now, and what was asked since somebody looked.
#[derive(Default)]
pub(super) struct Script {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    answers: Vec<Answer>,
    asked: Vec<Vec<u8>>,
}

impl Script {
    pub(super) fn set(&self, answers: Vec<Answer>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).answers = answers;
    }

    /// Each request in order, with the origin's name before it.
    pub(super) fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).asked)
    }

    fn asked(&self, name: &str, request: &Request) -> Vec<u8> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked.push([format!("origin {name}: ").as_bytes(), &request.bytes].concat());
        let said = |answer: &&Answer| answer.origin == name && answer.path == request.path;
        state.answers.iter().find(said).map_or_else(|| usual(name, request), |answer| answer.text.clone())
    }
}

fn usual(name: &str, request: &Request) -> Vec<u8> {
    let body = format!("{name} {}\n", request.line);
    let length = body.len();
    let body = if request.line.starts_with("HEAD ") { "" } else { &body };
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nX-Origin: {name}\r\n\r\n{body}").into_bytes()
}

/// Listens at port 9001 and those after it, one for each origin.
pub(super) fn listen(address: &str, script: &Arc<Script>) -> std::io::Result<()> {
    for (port, name) in (9001..).zip(NAMES) {
        let listener = TcpListener::bind((address, port))?;
        let script = Arc::clone(script);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let script = Arc::clone(&script);
                std::thread::spawn(move || {
                    // A connection that ends too early is for the program to see, not for us.
                    let _ = serve(stream, name, &script);
                });
            }
        });
    }
    Ok(())
}

struct Request {
    bytes: Vec<u8>,
    line: String,
    /// Without its arguments.
    path: String,
}

fn serve(stream: TcpStream, name: &str, script: &Script) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    while let Some(request) = read(&mut reader)? {
        let answer = script.asked(name, &request);
        match answer.as_slice() {
            b"drop" => return Ok(()),
            b"hang" => {
                let _ = reader.read_to_end(&mut Vec::new());
                return Ok(());
            }
            answer => writer.write_all(answer)?,
        }
        let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        let framed = head.contains("\r\ncontent-length:") || head.contains("\r\ntransfer-encoding: chunked");
        let bodiless = request.line.starts_with("HEAD ") || head.contains(" 204 ") || head.contains(" 304 ");
        if !(framed || bodiless) || head.contains("\r\nconnection: close") {
            return Ok(());
        }
    }
    Ok(())
}

fn read(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut bytes = Vec::new();
    let mut line = String::new();
    let mut length = 0;
    let mut chunked = false;
    loop {
        let start = bytes.len();
        if reader.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&bytes[start..]).trim_end().to_owned();
        if start == 0 {
            line.clone_from(&text);
        }
        let lower = text.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length: ") {
            length = value.parse().unwrap_or(0);
        }
        chunked |= lower == "transfer-encoding: chunked";
        if text.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    bytes.extend_from_slice(&body);
    if chunked {
        read_chunks(reader, &mut bytes)?;
    }
    let target = line.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    Ok(Some(Request { bytes, line, path }))
}

/// Decoded: where the borders of chunks are is nobody's concern.
fn read_chunks(reader: &mut BufReader<TcpStream>, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk)?;
        bytes.extend_from_slice(&chunk[..size]);
        if size == 0 {
            return Ok(());
        }
    }
}

/// Somewhere nobody listens.
pub(super) fn dead(address: &str) -> String {
    format!("{address}:9009")
}

/// Origins by what stands for them in a configuration.
pub(super) fn places(address: &str) -> Vec<(String, String)> {
    let names = (9001..).zip(NAMES).map(|(port, name)| {
        let place = SocketAddr::new(address.parse().expect("a loopback address"), port).to_string();
        (format!("ORIGIN_{}", name.to_uppercase()), place)
    });
    names.chain([("DEAD".to_owned(), dead(address))]).collect()
}
