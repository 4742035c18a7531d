//! What the tests share: fresh namespaces, and waiting for something to be readable.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

pub(crate) mod frames;
pub(crate) mod world;

use evenkeel_kernel::netlink::{Change, Interface, Monitor, Netlink};
use evenkeel_kernel::netns::NetNs;
use evenkeel_kernel::poll::{Poller, Token};
use std::os::fd::AsFd;
use std::time::Duration;

/// Whether the test can run. Without root it says that it does not, except under CI, where that is a failure.
pub(crate) fn is_root() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    assert!(std::env::var("CI").is_err_and(|_| true), "CI has to run these tests as root");
    println!("skipped: needs root");
    false
}

/// Runs a test in a namespace of its own. The host's is never touched.
pub(crate) fn in_fresh_namespace(test: impl FnOnce() + Send) {
    if is_root() {
        NetNs::create().unwrap().run(test).unwrap();
    }
}

/// Waits until something can be read. The limit is only there so that a broken test ends.
pub(crate) fn until_readable(fd: impl AsFd) {
    let poller = Poller::new().unwrap();
    poller.add(fd, Token(0)).unwrap();
    let mut ready = Vec::new();
    poller.wait(&mut ready, Some(Duration::from_secs(20))).unwrap();
    assert_eq!(ready, [Token(0)], "nothing came");
}

/// Waits for the value that `read` gives as soon as there is one.
pub(crate) fn awaited<F: AsFd, T>(source: &mut F, mut read: impl FnMut(&mut F) -> Option<T>) -> T {
    loop {
        if let Some(value) = read(source) {
            return value;
        }
        until_readable(&*source);
    }
}

/// A namespace with one link `eth0` that has an address and is up.
pub(crate) struct Host {
    pub(crate) namespace: NetNs,
    pub(crate) eth0: Interface,
}

/// Two hosts on one wire: 10.0.0.1/24 and 10.0.0.2/24.
pub(crate) fn two_hosts() -> [Host; 2] {
    let mut netlink = Netlink::open().unwrap();
    netlink.add_veth("a", "b").unwrap();
    let hosts = [host(&mut netlink, "a", 1), host(&mut netlink, "b", 2)];
    hosts.map(settled)
}

/// `n` hosts on a bridge in the calling thread's namespace, where their ports are called `port1` and so on.
pub(crate) fn hosts_on_a_bridge(n: u8) -> Vec<Host> {
    let monitors: Vec<_> = (1..=n).map(|_| Monitor::open().unwrap()).collect();
    let mut netlink = Netlink::open().unwrap();
    netlink.add_bridge("br0").unwrap();
    let bridge = netlink.interface("br0").unwrap().index;
    netlink.set_up(bridge, true).unwrap();
    let plug = |number: u8| {
        let (port, end) = (format!("port{number}"), format!("end{number}"));
        netlink.add_veth(&port, &end).unwrap();
        let port = netlink.interface(&port).unwrap().index;
        netlink.set_master(port, Some(bridge)).unwrap();
        netlink.set_up(port, true).unwrap();
        host(&mut netlink, &end, number)
    };
    let hosts: Vec<_> = (1..=n).map(plug).collect();
    // Ports come up in any order, so each has its own ears.
    for (number, mut monitor) in (1..=n).zip(monitors) {
        until_up(&mut monitor, &format!("port{number}"));
    }
    hosts.into_iter().map(settled).collect()
}

fn host(netlink: &mut Netlink, link: &str, number: u8) -> (Host, Monitor) {
    let namespace = NetNs::create().unwrap();
    // No IPv6 chatter on the wire: the tests count frames.
    namespace.set_sysctl("net/ipv6/conf/default/disable_ipv6", "1").unwrap();
    let link = netlink.interface(link).unwrap().index;
    netlink.rename(link, "eth0").unwrap();
    netlink.set_netns(link, &namespace).unwrap();
    let set_up = || {
        let monitor = Monitor::open().unwrap();
        let mut netlink = Netlink::open().unwrap();
        let eth0 = netlink.interface("eth0").unwrap();
        let address = evenkeel_kernel::addresses::Address::new(format!("10.0.0.{number}/24").parse().unwrap());
        netlink.add_address(eth0.index, &address).unwrap();
        netlink.set_up(eth0.index, true).unwrap();
        (eth0, monitor)
    };
    let (eth0, monitor) = namespace.run(set_up).unwrap();
    (Host { namespace, eth0 }, monitor)
}

/// Waits until packets pass.
fn settled((host, mut monitor): (Host, Monitor)) -> Host {
    until_up(&mut monitor, "eth0");
    host
}

/// Waits until the kernel says that the link is up. That it is listed as up is not enough: packets are dropped for
/// another moment.
pub(crate) fn until_up(monitor: &mut Monitor, name: &str) {
    until_change(monitor, |change| matches!(change, Change::Link(link) if link.name == name && link.up));
}

/// Waits for a change.
pub(crate) fn until_change(monitor: &mut Monitor, wanted: impl Fn(&Change) -> bool) -> Change {
    loop {
        match monitor.receive().unwrap() {
            Some(change) if wanted(&change) => return change,
            Some(_) => {}
            None => until_readable(&*monitor),
        }
    }
}
