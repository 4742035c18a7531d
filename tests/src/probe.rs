//! Clients that measure what a user of the address sees.

use crate::Machine;
use crate::machine::enter_network;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Runs `job` on a thread of its own in the machine's network, to its end.
pub fn on<T: Send>(machine: &Machine, job: impl FnOnce() -> T + Send) -> T {
    let network = machine.network();
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            enter_network(&network);
            job()
        });
        thread.join().expect("the job does not panic")
    })
}

/// One `GET` on a new connection; status and body.
pub fn get(address: &str, host: &str, path: &str, limit: Duration) -> io::Result<(u16, String)> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("no end of head"))?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok((status.ok_or_else(|| io::Error::other("no status"))?, body.to_owned()))
}

/// Asks again and again until the answer is 200 with a body that holds `text`, or fails the test.
pub fn await_page(client: &Machine, address: &str, text: &str, limit: Duration) {
    on(client, || {
        let mut last = String::new();
        let found = crate::wait_until(limit, || match get(address, "lab", "/", Duration::from_millis(500)) {
            Ok((200, body)) if body.contains(text) => true,
            other => {
                last = format!("{other:?}");
                false
            }
        });
        assert!(found, "no page with {text:?} from {address} after {limit:?}, last: {last}");
    });
}

/// What a stream of numbered datagrams met.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// Datagrams sent.
    pub sent: usize,
    /// Datagrams that no echo came back for.
    pub lost: usize,
    /// The longest time between two echoes.
    pub longest_gap: Duration,
}

/// A client that sends 1,000 datagrams a second to an address and counts the echoes.
pub struct DatagramProbe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Loss>,
}

impl DatagramProbe {
    /// Starts probing from `client`.
    pub fn start(client: &Machine, target: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let network = client.network();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            enter_network(&network);
            probe(target, &stopped).expect("a datagram socket")
        });
        DatagramProbe { stop, thread }
    }

    /// Ends it, waiting for echoes on their way.
    pub fn finish(self) -> Loss {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the probe does not panic")
    }
}

fn probe(target: SocketAddr, stop: &AtomicBool) -> io::Result<Loss> {
    const PERIOD: Duration = Duration::from_millis(1);
    let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    let start = Instant::now();
    let mut echoed: Vec<bool> = Vec::new();
    let mut last_echo = start;
    let mut longest_gap = Duration::ZERO;
    let mut buffer = [0; 64];
    let mut collect = |echoed: &mut Vec<bool>| {
        while let Ok((length, _)) = socket.recv_from(&mut buffer) {
            let Ok(number) = <[u8; 8]>::try_from(&buffer[..length]) else { continue };
            if let Some(slot) = echoed.get_mut(u64::from_be_bytes(number) as usize) {
                *slot = true;
                longest_gap = longest_gap.max(last_echo.elapsed());
                last_echo = Instant::now();
            }
        }
    };
    while !stop.load(Ordering::Relaxed) {
        let number = echoed.len();
        echoed.push(false);
        // An unreachable address is a lost datagram, not the end of the measurement.
        let _ = socket.send_to(&(number as u64).to_be_bytes(), target);
        let next_at = start + PERIOD * (number as u32 + 1);
        while Instant::now() < next_at {
            collect(&mut echoed);
            std::thread::sleep(Duration::from_micros(100));
        }
    }
    let until = Instant::now() + Duration::from_millis(200);
    while Instant::now() < until {
        collect(&mut echoed);
        std::thread::sleep(PERIOD);
    }
    let lost = echoed.iter().filter(|echo| !**echo).count();
    Ok(Loss { sent: echoed.len(), lost, longest_gap })
}

/// Echoes datagrams on every address of a machine until dropped.
pub struct Echo {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// Echoes what comes to `port`.
    pub fn start(machine: &Machine, port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let network = machine.network();
        let (ready, started) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            enter_network(&network);
            // An answer may leave from another of the machine's addresses: the client counts numbers, not sources.
            // A socket of IPv6 hears IPv4 as well.
            let socket = UdpSocket::bind(("::", port)).expect("an echo socket");
            socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a read timeout");
            ready.send(()).expect("the starter waits");
            while !stopped.load(Ordering::Relaxed) {
                let mut buffer = [0; 64];
                if let Ok((length, client)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&buffer[..length], client);
                }
            }
        });
        started.recv().expect("the echo starts");
        Echo { stop, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Many TCP connections to one address, each of which exchanges a line with its server again and again.
pub struct Talkers {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Talk>,
}

/// How the connections fared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Talk {
    /// Connections that were opened.
    pub opened: usize,
    /// Which server each spoke with, by what it answers first.
    pub servers: Vec<String>,
    /// Indices of those that broke, or had no answer within ten seconds.
    pub broken: Vec<usize>,
    /// Lines exchanged.
    pub lines: usize,
}

impl Talkers {
    /// Opens `count` connections from `client`, and then says a line on each of them ten times a second. Returns when all
    /// are open.
    pub fn start(client: &Machine, target: SocketAddr, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let network = client.network();
        let stopped = stop.clone();
        let (ready, started) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            enter_network(&network);
            let mut streams = Vec::new();
            let mut talk = Talk::default();
            for index in 0..count {
                match open(target) {
                    Ok((stream, server)) => {
                        talk.opened += 1;
                        talk.servers.push(server);
                        streams.push(Some(stream));
                    }
                    Err(_) => {
                        talk.servers.push(String::new());
                        talk.broken.push(index);
                        streams.push(None);
                    }
                }
            }
            ready.send(()).expect("the starter waits");
            while !stopped.load(Ordering::Relaxed) {
                let round_at = Instant::now();
                for stream in streams.iter_mut().flatten() {
                    // What cannot be said shows when nothing is answered.
                    let _ = stream.write_all(b"line\n");
                }
                for (index, slot) in streams.iter_mut().enumerate() {
                    let Some(stream) = slot else { continue };
                    match stream.read_exact(&mut [0; 5]) {
                        Ok(()) => talk.lines += 1,
                        Err(_) => {
                            talk.broken.push(index);
                            *slot = None;
                        }
                    }
                }
                std::thread::sleep(Duration::from_millis(100).saturating_sub(round_at.elapsed()));
            }
            talk
        });
        started.recv().expect("the connections open");
        Talkers { stop, thread }
    }

    /// Ends it.
    pub fn finish(self) -> Talk {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the talkers do not panic")
    }
}

fn open(target: SocketAddr) -> io::Result<(TcpStream, String)> {
    let mut stream = TcpStream::connect_timeout(&target, Duration::from_secs(10))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut name = [0; 16];
    stream.read_exact(&mut name)?;
    Ok((stream, String::from_utf8_lossy(&name).trim_end().to_owned()))
}

/// Answers each TCP connection with the machine's name, padded to 16 bytes, and then with whatever it is sent.
pub struct Parrot {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Parrot {
    /// Listens on every address of the machine.
    pub fn start(machine: &Machine, port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let network = machine.network();
        let greeting = format!("{:<16}", machine.name());
        let (ready, started) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            enter_network(&network);
            let listener = std::net::TcpListener::bind(("0.0.0.0", port)).expect("a listening socket");
            listener.set_nonblocking(true).expect("a socket that does not block");
            ready.send(()).expect("the starter waits");
            let mut streams: Vec<TcpStream> = Vec::new();
            let mut buffer = [0; 4096];
            while !stopped.load(Ordering::Relaxed) {
                while let Ok((mut stream, _)) = listener.accept() {
                    let _ = stream.set_nodelay(true);
                    if stream.write_all(greeting.as_bytes()).is_ok() && stream.set_nonblocking(true).is_ok() {
                        streams.push(stream);
                    }
                }
                streams.retain_mut(|stream| match stream.read(&mut buffer) {
                    Ok(0) => false,
                    Ok(length) => stream.write_all(&buffer[..length]).is_ok(),
                    Err(error) => error.kind() == io::ErrorKind::WouldBlock,
                });
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        started.recv().expect("the parrot starts");
        Parrot { stop, thread: Some(thread) }
    }
}

impl Drop for Parrot {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
