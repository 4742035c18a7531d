//! How `lab exec` and `lab down` reach a lab that runs, and how a second lab sees the first: an abstract Unix socket.
//!
//! Its name is in no directory and goes with the process, however that ends, so there is no stale file to judge.

use super::topology::Host;
use super::world::News;
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

/// A question and its answer are short.
const LONGEST: u64 = 4096;
/// Who connects and asks nothing is let go.
const PATIENCE: Duration = Duration::from_secs(1);

/// The socket of this user's lab.
pub(super) struct Door {
    listener: UnixListener,
}

/// What a lab says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    /// Its process.
    pub pid: u32,
    /// The first process of the host asked for.
    pub host: Option<u32>,
    /// Whether its namespaces belong to a user namespace of their own.
    pub user_namespace: bool,
}

impl Door {
    /// Takes the name, unless another lab of this user has it. Call it before the process moves into a user namespace:
    /// the name is known in one network namespace only, and that is to be the user's.
    pub(super) fn open() -> Result<Self> {
        match UnixListener::bind_addr(&address()?) {
            Ok(listener) => Ok(Door { listener }),
            Err(error) if error.kind() == ErrorKind::AddrInUse => match ask("pid") {
                Ok(Answer { pid, .. }) => bail!("a lab is already running (pid {pid}): `evenkeel lab down` ends it"),
                Err(error) => bail!("a lab is already running, or something else has its name: {error:#}"),
            },
            Err(error) => Err(error).context("open the lab's socket"),
        }
    }

    /// Answers on a thread of its own, for ever.
    pub(super) fn serve(self, pids: BTreeMap<Host, u32>, user_namespace: bool, news: SyncSender<News>) -> Result<()> {
        thread::Builder::new().name("door".to_owned()).spawn(move || {
            for stream in self.listener.incoming() {
                // One client at a time: each is answered or let go within a second.
                let down = stream.map_err(anyhow::Error::from).and_then(|stream| {
                    check_same_user(&stream)?;
                    attend(stream, &pids, user_namespace)
                });
                if let Ok(Some(waiting)) = down {
                    let _ = news.send(News::Down);
                    // It is closed when this process is gone, which tells the other side.
                    drop(thread::spawn(move || drain(waiting)));
                }
            }
        })?;
        Ok(())
    }
}

/// Answers one question. A client that wants the lab down comes back, to wait for it.
fn attend(stream: UnixStream, pids: &BTreeMap<Host, u32>, user_namespace: bool) -> Result<Option<UnixStream>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut question = String::new();
    BufReader::new(&stream).take(LONGEST).read_line(&mut question)?;
    let question = question.trim_end();
    let host = Host::from_str(question, false).ok();
    let answer =
        Answer { pid: std::process::id(), host: host.and_then(|host| pids.get(&host).copied()), user_namespace };
    (&stream).write_all(&serde_json::to_vec(&answer)?)?;
    (&stream).write_all(b"\n")?;
    Ok((question == "down").then_some(stream))
}

/// Reads until the client goes.
fn drain(mut waiting: UnixStream) {
    let _ = waiting.set_read_timeout(None);
    let _ = waiting.read(&mut [0; 1]);
}

fn address() -> Result<SocketAddr> {
    let uid = rustix::process::geteuid().as_raw();
    SocketAddr::from_abstract_name(format!("evenkeel-lab-{uid}")).context("name the lab's socket")
}

fn check_same_user(stream: &UnixStream) -> Result<()> {
    let other = rustix::net::sockopt::socket_peercred(stream)?;
    ensure!(other.uid == rustix::process::geteuid(), "it belongs to another user");
    Ok(())
}

fn connect() -> Result<UnixStream> {
    let stream = UnixStream::connect_addr(&address()?).context("no lab is running")?;
    check_same_user(&stream)?;
    Ok(stream)
}

fn put(stream: &UnixStream, question: &str) -> Result<Answer> {
    let mut writer = stream;
    writer.write_all(format!("{question}\n").as_bytes())?;
    stream.set_read_timeout(Some(5 * PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream).take(LONGEST).read_line(&mut line).context("the lab does not answer")?;
    serde_json::from_str(&line).context("understand the lab's answer")
}

/// Asks the lab that runs; `question` may be the name of a host.
pub(super) fn ask(question: &str) -> Result<Answer> {
    put(&connect()?, question)
}

/// Ends the lab that runs, and returns its process id when it is gone.
pub(super) fn down() -> Result<u32> {
    let stream = connect()?;
    let answer = put(&stream, "down")?;
    stream.set_read_timeout(Some(10 * PATIENCE))?;
    let mut rest = &stream;
    match rest.read(&mut [0; 1]) {
        Ok(0) => Ok(answer.pid),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(answer.pid),
        Ok(_) | Err(_) => bail!("the lab (pid {}) does not end", answer.pid),
    }
}
