//! Sockets to listen on and log files, opened with the supervisor's rights and handed to the proxy.

use evenkeel_site::config::{Config, ErrorLog, ErrorLogTarget, Listen, ListenAddress, Location, Scope};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// nginx's own on Linux.
const BACKLOG: u32 = 511;

/// nginx tries five times, half a second apart: the daemon before may still be closing.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// Everything that is open for the proxy.
#[derive(Debug, Default)]
pub struct Listeners {
    sockets: BTreeMap<ListenAddress, Socket>,
    /// Socket files that were made for this set and that nobody uses before it takes its place.
    made: Vec<PathBuf>,
}

/// A socket that could not be had, in nginx's words.
#[derive(Debug, thiserror::Error)]
#[error("bind() to {} failed ({})", display(.address), errno(.cause))]
pub struct BindError {
    address: ListenAddress,
    cause: io::Error,
}

impl Listeners {
    /// The set for `config`: sockets that are open stay, missing ones are bound. On error the sockets that were open are
    /// as before.
    pub async fn bind(&self, config: &Config) -> Result<Listeners, BindError> {
        let mut sockets = BTreeMap::new();
        let mut made = Vec::new();
        for listen in own_sockets(config) {
            let existing = self.sockets.get(&listen.address).map(Socket::try_clone);
            let result = match existing {
                Some(socket) => socket,
                None => bind_patiently(listen).await.inspect(|_| {
                    if let ListenAddress::Unix(path) = &listen.address {
                        made.push(path.clone());
                    }
                }),
            };
            match result {
                Ok(socket) => drop(sockets.insert(listen.address.clone(), socket)),
                Err(cause) => {
                    Listeners { sockets, made }.abandon();
                    return Err(BindError { address: listen.address.clone(), cause });
                }
            }
        }
        Ok(Listeners { sockets, made })
    }

    /// Copies of the sockets in the order of `Config::sockets`.
    pub fn descriptors(&self, config: &Config) -> io::Result<Vec<OwnedFd>> {
        let sockets = own_sockets(config).filter_map(|listen| self.sockets.get(&listen.address));
        sockets.map(|socket| socket.try_clone().map(OwnedFd::from)).collect()
    }

    /// Where they listen.
    pub fn addresses(&self) -> impl Iterator<Item = &ListenAddress> {
        self.sockets.keys()
    }

    /// Closes a set that does not come into use. What it shares with the one in use stays open there.
    pub fn abandon(self) {
        self.made.iter().for_each(|path| drop(std::fs::remove_file(path)));
    }

    /// Makes way for `next`; socket files that are no longer used are removed.
    pub fn replace(&mut self, next: Listeners) {
        for address in self.sockets.keys().filter(|address| !next.sockets.contains_key(*address)) {
            if let ListenAddress::Unix(path) = address {
                let _ = std::fs::remove_file(path);
            }
        }
        self.sockets = next.sockets;
    }
}

/// The listens that do not share a wildcard's socket.
fn own_sockets(config: &Config) -> impl Iterator<Item = &Listen> {
    config.sockets().into_iter().filter_map(|index| config.listens.get(index))
}

async fn bind_patiently(listen: &Listen) -> io::Result<Socket> {
    let mut tries = 1;
    loop {
        match bind(listen) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => {
                let address = display(&listen.address);
                tracing::debug!(target: "supervisor", "{address} is in use, trying again");
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}

fn bind(listen: &Listen) -> io::Result<Socket> {
    let backlog = i32::try_from(listen.backlog.unwrap_or(BACKLOG)).unwrap_or(i32::MAX);
    let socket = match &listen.address {
        ListenAddress::Tcp(address) => bind_tcp(*address, listen.reuseport)?,
        ListenAddress::Unix(path) => bind_unix(path)?,
    };
    socket.set_nonblocking(true)?;
    socket.listen(backlog)?;
    Ok(socket)
}

fn bind_tcp(address: SocketAddr, reuseport: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if reuseport {
        socket.set_reuse_port(true)?;
    }
    match address {
        // A virtual address may be on the peer now: the socket waits for it.
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => {
            // nginx: `ipv6only` is on unless told otherwise.
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)?;
        }
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn bind_unix(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(path)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            std::fs::remove_file(path)?;
            socket.bind(&address)?;
        }
        result => result?,
    }
    // As nginx: whoever reaches the directory may connect.
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    Ok(socket)
}

/// A socket that nobody listens on any more.
fn is_stale(path: &Path) -> bool {
    let is_socket = path.symlink_metadata().is_ok_and(|metadata| metadata.file_type().is_socket());
    is_socket
        && std::os::unix::net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// The address as nginx's messages write it.
pub fn display(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// `98: Address already in use`, as nginx writes errors.
pub fn errno(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    match error.raw_os_error() {
        Some(number) => format!("{number}: {text}"),
        None => text.to_owned(),
    }
}

/// Every log file that `config` writes to, each once.
pub fn log_paths(config: &Config) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut add = |path: &PathBuf| {
        if !paths.contains(path) {
            paths.push(path.clone());
        }
    };
    fn error_log(log: &ErrorLog) -> Option<&PathBuf> {
        match &log.target {
            ErrorLogTarget::File(path) => Some(path),
            ErrorLogTarget::Stderr => None,
        }
    }
    fn scope(scope: &Scope, add: &mut impl FnMut(&PathBuf)) {
        scope.access_logs.iter().for_each(|log| add(&log.path));
        error_log(&scope.error_log).into_iter().for_each(add);
    }
    fn locations(list: &[Location], add: &mut impl FnMut(&PathBuf)) {
        for location in list {
            scope(&location.scope, add);
            locations(&location.nested, add);
        }
    }
    error_log(&config.error_log).into_iter().for_each(&mut add);
    for server in &config.servers {
        scope(&server.fallback, &mut add);
        locations(&server.locations, &mut add);
    }
    paths
}

/// Opens a log file to append to, making it when it is not there.
pub fn open_log(path: &Path) -> Result<File, String> {
    let opened = OpenOptions::new().append(true).create(true).mode(0o644).open(path);
    opened.map_err(|error| format!("open() \"{}\" failed ({})", path.display(), errno(&error)))
}

/// Appends a line to a log file, if that can be done.
pub fn append(path: &Path, line: &str) {
    if let Ok(mut file) = open_log(path) {
        let _ = writeln!(file, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(address: &str) -> Listen {
        let address = ListenAddress::Tcp(address.parse().unwrap());
        Listen { address, backlog: None, reuseport: false, servers: vec![] }
    }

    #[test]
    fn an_address_that_is_not_here_can_be_bound() {
        // Documentation's address: nobody has it.
        assert!(bind(&listen("192.0.2.1:0")).is_ok());
    }

    #[tokio::test]
    async fn an_address_beside_its_wildcard_needs_no_socket_of_its_own() {
        let port = std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
        let listens = vec![listen(&format!("127.0.0.1:{port}")), listen(&format!("0.0.0.0:{port}"))];
        let config = Config { listens, ..Config::default() };
        let bound = Listeners::default().bind(&config).await.unwrap();
        assert_eq!(bound.addresses().collect::<Vec<_>>(), [&config.listens[1].address]);
        assert_eq!(bound.descriptors(&config).unwrap().len(), 1);
    }

    #[test]
    fn an_address_in_use_is_reported_in_nginxs_words() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        let cause = bind(&listen(&address.to_string())).unwrap_err();
        let error = BindError { address: ListenAddress::Tcp(address), cause };
        assert_eq!(error.to_string(), format!("bind() to {address} failed (98: Address already in use)"));
    }

    #[test]
    fn each_log_file_is_listed_once() {
        let log = |path: &str| ErrorLog { target: ErrorLogTarget::File(path.into()), ..ErrorLog::default() };
        let config = Config { error_log: log("/e"), ..Config::default() };
        assert_eq!(log_paths(&config), [PathBuf::from("/e")]);
        assert_eq!(log_paths(&Config::default()), [] as [PathBuf; 0]);
    }
}
