//! The dbus role: connects to the system's message bus, gives every privilege away, then serves keepalived's objects there.
//! What they show and what becomes of a call is the supervisor's to know. A connection that is lost, or slow, ends the role:
//! its supervisor starts it again.

mod objects;

use crate::wire::Wire;
use anyhow::{Context, bail};
use evenkeel_bus::{Channel, ChannelError, DbusSignal, FromDbus, ToDbus};
use objects::{Daemon, Objects};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tokio::sync::mpsc;
use zbus::address::Transport;
use zbus::address::transport::UnixSocket;

/// The message bus answers, and takes what is said, within this.
const LIMIT: Duration = Duration::from_secs(10);
/// Calls that may wait for the supervisor; more are refused.
const MOST_CALLS: usize = 64;

/// Runs until the supervisor closes its end.
pub fn run(channel: Channel, parent: u32) -> anyhow::Result<()> {
    // Root alone may own the name, and the message bus asks the kernel whose connection it is: that of who connected.
    let user = rustix::process::geteuid().as_raw();
    let connected = connect();
    super::give_all_away(parent)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the event loop")?;
    let stream = connected?;
    runtime.block_on(serve(channel, stream, user))
}

/// A connection to the system's message bus, in which nothing has been said yet.
fn connect() -> anyhow::Result<UnixStream> {
    let address = zbus::Address::system().context("read DBUS_SYSTEM_BUS_ADDRESS")?;
    let Transport::Unix(unix) = address.transport() else { bail!("the message bus at {address} has no Unix socket") };
    let place = match unix.path() {
        UnixSocket::File(path) => path.as_os_str().as_bytes().to_vec(),
        UnixSocket::Abstract(name) => [b"\0", name.as_bytes()].concat(),
        _ => bail!("the message bus at {address} is none that a program connects to"),
    };
    let open = || -> io::Result<UnixStream> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // One that takes nobody in is an error at once.
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(std::ffi::OsStr::from_bytes(&place))?)?;
        Ok(socket.into())
    };
    open().with_context(|| format!("connect to the message bus at {address}"))
}

async fn serve(channel: Channel, stream: UnixStream, user: u32) -> anyhow::Result<()> {
    let mut wire = Wire::new(channel)?;
    let (service, daemon, instances) = loop {
        match first(&mut wire).await? {
            Some(ToDbus::Serve { service, daemon, instances }) => break (service, daemon, instances),
            Some(ToDbus::State { .. } | ToDbus::Signal(_)) => {}
            None => return Ok(()),
        }
    };
    let (calls, mut asked) = mpsc::channel(MOST_CALLS);
    let introduce = async {
        let stream = tokio::net::UnixStream::from_std(stream)?;
        let builder = zbus::connection::Builder::unix_stream(stream).user_id(user).method_timeout(LIMIT);
        let connection = builder.build().await.context("introduce the daemon to the message bus")?;
        let mut objects = Objects::new(connection.clone(), calls);
        // Whoever sees the name finds the objects.
        objects.replace(&daemon, instances).await?;
        let flags = zbus::fdo::RequestNameFlags::DoNotQueue.into();
        let named = connection.request_name_with_flags(service.as_str(), flags).await;
        named.with_context(|| format!("own the name {service}"))?;
        anyhow::Ok((connection, objects))
    };
    let (connection, mut objects) = in_time(introduce).await?;
    tracing::info!(target: "dbus", "Acquired DBus bus {service}");
    wire.send(&FromDbus::Ready, Vec::new())?;
    loop {
        let wants_write = wire.wants_write();
        tokio::select! {
            ready = wire.readable() => {
                ready?;
                match wire.receive() {
                    Ok(Some(received)) => in_time(obey(&mut objects, received.message)).await?,
                    Ok(None) => {}
                    Err(ChannelError::Closed) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            ready = wire.writable(), if wants_write => {
                ready?;
                wire.flush()?;
            }
            Some(call) = asked.recv() => wire.send(&FromDbus::Asked(call), Vec::new())?,
            () = connection.closed() => bail!("the message bus closed the connection"),
        }
    }
    tracing::info!(target: "dbus", "Released DBus");
    Ok(())
}

async fn obey(objects: &mut Objects, message: ToDbus) -> anyhow::Result<()> {
    match message {
        ToDbus::Serve { daemon, instances, service: _ } => objects.replace(&daemon, instances).await,
        ToDbus::State { path, state } => objects.set_state(&path, state).await,
        ToDbus::Signal(signal) => {
            let Some(emitter) = objects.daemon()? else { return Ok(()) };
            match signal {
                DbusSignal::Started => Daemon::vrrp_started(&emitter).await?,
                DbusSignal::Reloaded => Daemon::vrrp_reloaded(&emitter).await?,
                DbusSignal::Stopped => Daemon::vrrp_stopped(&emitter).await?,
            }
            Ok(())
        }
    }
}

/// A message; `None` when the supervisor lets go of this process.
async fn first(wire: &mut Wire) -> anyhow::Result<Option<ToDbus>> {
    loop {
        match wire.receive() {
            Ok(Some(received)) => return Ok(Some(received.message)),
            Ok(None) => wire.readable().await?,
            Err(ChannelError::Closed) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

async fn in_time<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    match tokio::time::timeout(LIMIT, work).await {
        Ok(outcome) => outcome,
        Err(_) => bail!("the message bus does not answer within {LIMIT:?}"),
    }
}
