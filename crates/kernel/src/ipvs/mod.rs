//! IPVS, the layer-4 balancer inside the kernel, through its generic netlink family.
//!
//! [`Ipvs`] is the [`Plane`](evenkeel_balance::table::Plane) of kernels that have it. It also answers with the kernel's own
//! records, which say more than the plane's table: schedulers that we have no word for, and counters in the kernel's order.

mod counters;
mod daemon;
mod destination;
mod numbers;
mod plane;
mod service;
#[cfg(test)]
mod tests;

pub use daemon::{Info, SyncDaemon, SyncState, Timeouts};
pub use destination::DestinationRecord;
pub use service::{Mask, PersistenceRecord, ServiceRecord};

use crate::Error;
use crate::error::During;
use crate::netlink::generic::Family;
use evenkeel_balance::table::{Destination, DestinationKey, Protocol, ServiceKey};
use numbers::{FAMILY, VERSION, command};
use std::io;
use std::net::{IpAddr, SocketAddr};

/// A connection to IPVS of the network namespace in which it was opened.
#[derive(Debug)]
pub struct Ipvs {
    family: Family,
}

impl Ipvs {
    /// Opens it in the calling thread's network namespace. Where IPVS is a module, the kernel loads it when asked for the
    /// family by name, so nobody needs to run `modprobe`, nor the right to.
    ///
    /// # Errors
    /// `NotFound` when this kernel has no IPVS.
    pub fn open() -> Result<Self, Error> {
        match Family::open(FAMILY, VERSION) {
            Ok(family) => Ok(Ipvs { family }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let cause =
                    io::Error::new(io::ErrorKind::NotFound, "this kernel has no IPVS, built in or as module ip_vs");
                Err(Error::new("open IPVS", cause))
            }
            Err(error) => Err(Error::new("open IPVS", error)),
        }
    }

    /// The version of the kernel's part and the size of its table of connections.
    pub fn info(&mut self) -> Result<Info, Error> {
        let order = self.family.order(command::GET_INFO);
        let answer = self.family.ask(&order, daemon::parse_info).during(|| "read the version of IPVS")?;
        answer.ok_or_else(|| nothing("read the version of IPVS"))
    }

    /// All services, in the kernel's order.
    pub fn services(&mut self) -> Result<Vec<ServiceRecord>, Error> {
        let question = self.family.question(command::GET_SERVICE);
        self.family.list(&question, service::parse).during(|| "list services")
    }

    /// One service.
    ///
    /// # Errors
    /// `ESRCH` when there is none.
    pub fn service(&mut self, key: &ServiceKey) -> Result<ServiceRecord, Error> {
        let operation = || format!("read service {}", service_name(key));
        let order = service::name(self.family.order(command::GET_SERVICE), key);
        self.family.ask(&order, service::parse).during(operation)?.ok_or_else(|| nothing(operation()))
    }

    /// The destinations of a service, in the kernel's order; none when there is no such service.
    pub fn destinations(&mut self, key: &ServiceKey) -> Result<Vec<DestinationRecord>, Error> {
        let question = service::name(self.family.question(command::GET_DEST), key);
        let family = key.family();
        let list = self.family.list(&question, |message| destination::parse(message, family));
        list.during(|| format!("list the destinations of service {}", service_name(key)))
    }

    /// Adds a service; one that is there is an error (`EEXIST`).
    pub fn add_service(&mut self, record: &ServiceRecord) -> Result<(), Error> {
        let order = service::describe(self.family.order(command::NEW_SERVICE), record);
        self.family.socket().request(&order).during(|| format!("add service {}", service_name(&record.key)))
    }

    /// Changes a service; one that is not there is an error (`ESRCH`).
    pub fn edit_service(&mut self, record: &ServiceRecord) -> Result<(), Error> {
        let order = service::describe(self.family.order(command::SET_SERVICE), record);
        self.family.socket().request(&order).during(|| format!("edit service {}", service_name(&record.key)))
    }

    /// Removes a service with its destinations; one that is not there is an error (`ESRCH`).
    pub fn remove_service(&mut self, key: &ServiceKey) -> Result<(), Error> {
        let order = service::name(self.family.order(command::DEL_SERVICE), key);
        self.family.socket().request(&order).during(|| format!("remove service {}", service_name(key)))
    }

    /// Adds a destination; one that is there is an error (`EEXIST`).
    pub fn add_destination(
        &mut self,
        service: &ServiceKey,
        key: &DestinationKey,
        destination: &Destination,
    ) -> Result<(), Error> {
        let order = service::name(self.family.order(command::NEW_DEST), service);
        let order = destination::describe(order, key, destination);
        self.family.socket().request(&order).during(|| destination_operation("add", service, key))
    }

    /// Changes a destination; one that is not there is an error (`ENOENT`).
    pub fn edit_destination(
        &mut self,
        service: &ServiceKey,
        key: &DestinationKey,
        destination: &Destination,
    ) -> Result<(), Error> {
        let order = service::name(self.family.order(command::SET_DEST), service);
        let order = destination::describe(order, key, destination);
        self.family.socket().request(&order).during(|| destination_operation("edit", service, key))
    }

    /// Removes a destination; one that is not there is an error (`ENOENT`).
    pub fn remove_destination(&mut self, service: &ServiceKey, key: &DestinationKey) -> Result<(), Error> {
        let order = service::name(self.family.order(command::DEL_DEST), service);
        let order = destination::name(order, key);
        self.family.socket().request(&order).during(|| destination_operation("remove", service, key))
    }

    /// Removes every service of the namespace, other people's among them.
    pub fn flush(&mut self) -> Result<(), Error> {
        let order = self.family.order(command::FLUSH);
        self.family.socket().request(&order).during(|| "remove all services")
    }

    /// Sets the counters of one service, or of all, to zero.
    pub fn zero(&mut self, key: Option<&ServiceKey>) -> Result<(), Error> {
        let mut order = self.family.order(command::ZERO);
        if let Some(key) = key {
            order = service::name(order, key);
        }
        self.family.socket().request(&order).during(|| match key {
            Some(key) => format!("zero the counters of service {}", service_name(key)),
            None => "zero all counters".to_owned(),
        })
    }

    /// How long connections are remembered.
    pub fn timeouts(&mut self) -> Result<Timeouts, Error> {
        let order = self.family.order(command::GET_CONFIG);
        let answer = self.family.ask(&order, daemon::parse_timeouts).during(|| "read the timeouts")?;
        answer.ok_or_else(|| nothing("read the timeouts"))
    }

    /// Changes how long connections are remembered; zeros leave their timeout as it is.
    pub fn set_timeouts(&mut self, timeouts: &Timeouts) -> Result<(), Error> {
        let order = daemon::describe_timeouts(self.family.order(command::SET_CONFIG), timeouts);
        self.family.socket().request(&order).during(|| "set the timeouts")
    }

    /// The sync daemons that run: none, the master, the backup, or both, master first.
    pub fn sync_daemons(&mut self) -> Result<Vec<SyncDaemon>, Error> {
        let question = self.family.question(command::GET_DAEMON);
        self.family.list(&question, daemon::parse).during(|| "list sync daemons")
    }

    /// Starts a sync daemon; one that runs already is an error (`EEXIST`).
    pub fn start_sync_daemon(&mut self, daemon: &SyncDaemon) -> Result<(), Error> {
        let order = daemon::describe(self.family.order(command::NEW_DAEMON), daemon);
        self.family.socket().request(&order).during(|| format!("start {}", daemon_name(daemon.state)))
    }

    /// Stops a sync daemon; one that does not run is an error (`ESRCH`).
    pub fn stop_sync_daemon(&mut self, state: SyncState) -> Result<(), Error> {
        let order = daemon::name(self.family.order(command::DEL_DAEMON), state);
        self.family.socket().request(&order).during(|| format!("stop {}", daemon_name(state)))
    }
}

/// An answer that said nothing.
fn nothing(operation: impl Into<String>) -> Error {
    Error::new(operation, io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer has no such thing"))
}

fn daemon_name(state: SyncState) -> &'static str {
    match state {
        SyncState::Master => "the master sync daemon",
        SyncState::Backup => "the backup sync daemon",
    }
}

fn destination_operation(verb: &str, service: &ServiceKey, key: &DestinationKey) -> String {
    let preposition = match verb {
        "add" => "to",
        "remove" => "from",
        _ => "of",
    };
    format!("{verb} destination {} {preposition} service {}", host_name(key.address, key.port), service_name(service))
}

/// `TCP 10.0.0.1:80`, `mark 7`.
fn service_name(key: &ServiceKey) -> String {
    match key {
        ServiceKey::Address { protocol, address, port } => {
            let protocol = match protocol {
                Protocol::Tcp => "TCP",
                Protocol::Udp => "UDP",
                Protocol::Sctp => "SCTP",
            };
            format!("{protocol} {}", host_name(*address, *port))
        }
        ServiceKey::Mark { mark, .. } => format!("mark {mark}"),
    }
}

fn host_name(address: IpAddr, port: u16) -> String {
    SocketAddr::new(address, port).to_string()
}
