//! What a service manager is told, by systemd's notification protocol (sd_notify(3)): units with `Type=notify`, as Debian's
//! keepalived has, count as started only then.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where systemd says that it listens. Not for roles and scripts: whoever else speaks there is not the daemon.
pub const VARIABLE: &str = "NOTIFY_SOCKET";

/// What the daemon is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Started, or done with a reload, whatever came of it.
    Ready,
    /// Taking a new configuration.
    Reloading,
    /// On its way out.
    Stopping,
}

/// Tells the service manager, if there is one.
pub fn tell(doing: Doing) {
    let Some(name) = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) else { return };
    if let Err(error) = send(&name, &words(doing)) {
        let name = name.to_string_lossy();
        tracing::warn!(target: "supervisor", "tell the service manager at {name}: {error}");
    }
}

fn words(doing: Doing) -> String {
    match doing {
        Doing::Ready => "READY=1".to_owned(),
        Doing::Reloading => {
            let now = evenkeel_kernel::clock::now().since_origin().as_micros();
            format!("RELOADING=1\nMONOTONIC_USEC={now}")
        }
        Doing::Stopping => "STOPPING=1".to_owned(),
    }
}

/// A leading `@` stands for the zero byte of an abstract name.
fn send(name: &OsStr, words: &str) -> io::Result<()> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not hold the daemon up.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(words.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_is_reached_by_path_and_by_abstract_name() {
        let name = format!("evenkeel-service-{}", std::process::id());
        let path = std::env::temp_dir().join(&name);
        let by_path = UnixDatagram::bind(&path).unwrap();
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (manager, name) in [(by_path, path.clone().into_os_string()), (by_name, format!("@{name}").into())] {
            send(&name, &words(Doing::Ready)).unwrap();
            let mut said = [0; 64];
            let length = manager.recv(&mut said).unwrap();
            assert_eq!(&said[..length], b"READY=1");
        }
        std::fs::remove_file(path).unwrap();
        assert!(words(Doing::Reloading).starts_with("RELOADING=1\nMONOTONIC_USEC="));
    }
}
