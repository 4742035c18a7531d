//! The hosts of the lab, their addresses and their files: the second seed article, word for word.

use clap::ValueEnum;
use evenkeel_wire::Mac;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;

/// The address that follows the service.
pub(super) const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
/// Length of the network that all hosts are on.
pub(super) const PREFIX_LENGTH: u8 = 24;
/// The network card of every host.
pub(super) const INTERFACE: &str = "eth0";
/// Where the daemon of a host keeps its control socket.
pub(super) const RUNTIME_DIR: &str = "/run/evenkeel";

/// A machine of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Host {
    /// Where the requests come from.
    Client,
    /// The balancer that holds the address while all is well.
    Lb01,
    /// Its backup.
    Lb02,
    /// A web server.
    Web01,
    /// The other one.
    Web02,
}

/// What a host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// Asks the address for a page, over and over.
    Probe,
    /// Runs the daemon with these arguments.
    Daemon(&'static [&'static str]),
}

impl Host {
    /// All of them, the client last: whoever asks comes after whoever answers.
    pub(super) const ALL: [Host; 5] = [Host::Web01, Host::Web02, Host::Lb01, Host::Lb02, Host::Client];
    /// The pair.
    pub(super) const BALANCERS: [Host; 2] = [Host::Lb01, Host::Lb02];
    /// The servers behind it.
    pub(super) const SERVERS: [Host; 2] = [Host::Web01, Host::Web02];

    /// Its host name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Host::Client => "client",
            Host::Lb01 => "lb01",
            Host::Lb02 => "lb02",
            Host::Web01 => "web01",
            Host::Web02 => "web02",
        }
    }

    /// Its own address.
    pub(super) fn address(self) -> Ipv4Addr {
        let last = match self {
            Host::Client => 1,
            Host::Lb01 => 10,
            Host::Lb02 => 11,
            Host::Web01 => 51,
            Host::Web02 => 52,
        };
        Ipv4Addr::new(10, 0, 0, last)
    }

    /// The Ethernet address of its card; the last figure is that of its IP address.
    pub(super) fn mac(self) -> Mac {
        Mac([2, 0, 0, 0, 0, self.address().octets()[3]])
    }

    /// The host with this Ethernet address.
    pub(super) fn with_mac(mac: Mac) -> Option<Self> {
        Host::ALL.into_iter().find(|host| host.mac() == mac)
    }

    /// What it runs.
    pub(super) fn service(self) -> Service {
        match self {
            Host::Client => Service::Probe,
            Host::Lb01 | Host::Lb02 => Service::Daemon(&[
                "run",
                "-f",
                "/etc/keepalived/keepalived.conf",
                "--nginx",
                "/etc/nginx/nginx.conf",
                "--runtime-dir",
                RUNTIME_DIR,
            ]),
            Host::Web01 | Host::Web02 => {
                Service::Daemon(&["run", "--nginx", "/etc/nginx/nginx.conf", "--runtime-dir", RUNTIME_DIR])
            }
        }
    }

    /// The files that make it what it is: path and text.
    pub(super) fn files(self) -> Vec<(&'static str, &'static str)> {
        const KEEPALIVED: &str = "/etc/keepalived/keepalived.conf";
        const SITE: &str = "/etc/nginx/conf.d/kd.test.conf";
        const PAGE: &str = "/code/index.html";
        let own: &[(&str, &str)] = match self {
            Host::Client => return Vec::new(),
            Host::Lb01 => &[
                (KEEPALIVED, include_str!("files/lb01.keepalived.conf")),
                (SITE, include_str!("files/lb.kd.test.conf")),
            ],
            Host::Lb02 => &[
                (KEEPALIVED, include_str!("files/lb02.keepalived.conf")),
                (SITE, include_str!("files/lb.kd.test.conf")),
            ],
            Host::Web01 => &[(SITE, include_str!("files/web01.kd.test.conf")), (PAGE, "web01 web01 web01\n")],
            Host::Web02 => &[(SITE, include_str!("files/web02.kd.test.conf")), (PAGE, "web02 web02 web02\n")],
        };
        let common = [
            ("/etc/nginx/nginx.conf", include_str!("files/nginx.conf")),
            ("/etc/nginx/mime.types", include_str!("files/mime.types")),
        ];
        common.into_iter().chain(own.iter().copied()).collect()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_balancers_have_a_keepalived_configuration() {
        for host in Host::ALL {
            let has = host.files().iter().any(|(path, _)| path.ends_with("keepalived.conf"));
            assert_eq!(has, Host::BALANCERS.contains(&host), "{host}");
        }
    }

    #[test]
    fn the_page_of_a_web_server_begins_with_its_name() {
        for host in Host::SERVERS {
            let page = host.files().into_iter().find(|(path, _)| *path == "/code/index.html");
            assert!(page.is_some_and(|(_, text)| text.starts_with(host.name())), "{host}");
        }
    }
}
