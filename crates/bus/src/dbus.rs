//! Between the supervisor, which knows how the virtual routers are, and the dbus role, which tells clients of DBus.

use evenkeel_vrrp::Report;
use serde::{Deserialize, Serialize};

/// From the supervisor to the dbus role. Closing the bus ends the role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToDbus {
    /// What there is to be served, in place of all that was before. Comes first.
    Serve {
        /// The name to own on the message bus; of the first message of this kind, for the life of the role.
        service: String,
        /// Path of the object of the whole daemon.
        daemon: String,
        /// The instances.
        instances: Vec<DbusInstance>,
    },
    /// An instance has another state.
    State {
        /// Path of its object.
        path: String,
        /// The state.
        state: Option<Report>,
    },
    /// Something happened to the daemon.
    Signal(DbusSignal),
}

/// From the dbus role to the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromDbus {
    /// The name is owned, and the objects are there.
    Ready,
    /// A client asks for something. It has its answer already, as with keepalived: that it was understood.
    Asked(DbusCall),
}

/// An instance as DBus shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbusInstance {
    /// Path of its object.
    pub path: String,
    /// Its name.
    pub name: String,
    /// What its scripts were told last; `None` before that.
    pub state: Option<Report>,
}

/// What is told about the whole daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DbusSignal {
    /// It has started.
    Started,
    /// Another configuration is in force.
    Reloaded,
    /// It stops.
    Stopped,
}

/// What a client may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DbusCall {
    /// Write the dump of the data.
    PrintData,
    /// Write the counters.
    PrintStats,
    /// Write the counters, and count anew.
    PrintStatsClear,
    /// Reload the configuration.
    Reload,
    /// Announce the addresses of an instance once more.
    Announce {
        /// Which one.
        instance: String,
    },
}
