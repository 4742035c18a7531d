//! The set-ups that people copy from articles, as the articles give them.

use crate::{Lan, Machine, Service};

/// Whose programs stand at `/usr/sbin/keepalived` and `/usr/sbin/nginx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs {
    /// Ours.
    Evenkeel,
    /// Debian's packages: to see that a scenario expects what the real programs do.
    Debian,
}

impl Programs {
    /// Puts them on a machine.
    pub fn install(self, machine: Machine) -> Machine {
        match self {
            Programs::Evenkeel => machine.with_evenkeel(),
            Programs::Debian => machine,
        }
    }
}

/// The second article: two balancers, two web servers, the address 10.0.0.100, and a client to look from.
pub struct Pair {
    /// Where requests come from.
    pub client: Machine,
    /// The balancer of higher priority.
    pub lb01: Machine,
    /// The other balancer.
    pub lb02: Machine,
    /// The first web server.
    pub web01: Machine,
    /// The second web server.
    pub web02: Machine,
    /// What they are plugged into.
    pub lan: Lan,
}

/// The address of the article.
pub const VIP: &str = "10.0.0.100";
/// Where its page is.
pub const PAGE: &str = "10.0.0.100:80";

impl Pair {
    /// The machines with the article's files, nothing started but the web servers.
    pub fn new(programs: Programs) -> Self {
        let lan = Lan::new();
        let pair = Pair {
            client: lan.machine("client", "eth0", "10.0.0.1/24"),
            lb01: programs.install(lan.machine("lb01", "eth0", "10.0.0.10/24")),
            lb02: programs.install(lan.machine("lb02", "eth0", "10.0.0.11/24")),
            web01: programs.install(lan.machine("web01", "eth0", "10.0.0.51/24")),
            web02: programs.install(lan.machine("web02", "eth0", "10.0.0.52/24")),
            lan,
        };
        pair.lb01.write("/etc/keepalived/keepalived.conf", include_str!("../files/001/lb01.conf"));
        pair.lb02.write("/etc/keepalived/keepalived.conf", include_str!("../files/001/lb02.conf"));
        for lb in [&pair.lb01, &pair.lb02] {
            lb.write("/etc/nginx/conf.d/kd.test.conf", include_str!("../files/001/kd.test.conf"));
        }
        for (web, page) in [(&pair.web01, "web01 web01 web01\n"), (&pair.web02, "web02 web02 web02\n")] {
            web.write("/etc/nginx/conf.d/kd.test.conf", include_str!("../files/001/web.conf"));
            web.write("/code/index.html", page);
            web.start_service(Service::Nginx);
        }
        pair
    }

    /// Starts proxy and keepalived on both balancers.
    pub fn start(&self) {
        for lb in [&self.lb01, &self.lb02] {
            lb.start_service(Service::Nginx);
            lb.start_service(Service::Keepalived);
        }
    }
}
