//! rtnetlink against the real kernel, each test in a network namespace of its own.
#![allow(clippy::unwrap_used)]

mod support;

use evenkeel_kernel::addresses::{self, Address, Held, reconcile};
use evenkeel_kernel::netlink::{Change, Monitor, Netlink};
use evenkeel_kernel::netns::NetNs;
use evenkeel_wire::{Mac, Prefix};
use std::net::Ipv4Addr;
use support::{in_fresh_namespace, until_change};

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// IFA_F_NODAD.
const NO_DAD: u32 = 0x02;

fn switch_ipv6_on() {
    NetNs::current().unwrap().set_sysctl("net/ipv6/conf/eth0/disable_ipv6", "0").unwrap();
}

/// A link `eth0` that is up, and the index it has.
fn eth0(netlink: &mut Netlink) -> u32 {
    // No link-local addresses between those that the tests count.
    NetNs::current().unwrap().set_sysctl("net/ipv6/conf/default/disable_ipv6", "1").unwrap();
    netlink.add_veth("eth0", "wire").unwrap();
    for name in ["wire", "eth0"] {
        let index = netlink.interface(name).unwrap().index;
        netlink.set_up(index, true).unwrap();
    }
    netlink.interface("eth0").unwrap().index
}

#[test]
fn an_ipv6_address_has_the_flags_and_the_lifetime_that_were_asked_for() {
    in_fresh_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        let index = eth0(&mut netlink);
        switch_ipv6_on();
        let rows = [
            Address { flags: NO_DAD, preferred: Some(0), ..Address::new(prefix("2001:db8::100/128")) },
            Address { flags: NO_DAD, ..Address::new(prefix("2001:db8::101/64")) },
            Address { flags: NO_DAD | 0x200, ..Address::new(prefix("2001:db8::102/64")) },
            Address { flags: NO_DAD, preferred: Some(0), scope: 253, ..Address::new(prefix("fe80::100/128")) },
        ];
        let desired = rows.map(|address| Held::new(index, address));
        let made = reconcile(&mut netlink, &desired, |_| false).unwrap();
        assert_eq!((made.made.len(), made.refused.len()), (desired.len(), 0));
        let held = netlink.addresses().unwrap();
        for wanted in &desired {
            assert!(held.contains(wanted), "{wanted:?} is not in {held:?}");
        }
        let interface = netlink.interface("eth0").unwrap();
        assert!(desired.iter().all(|wanted| !interface.tentative.contains(&wanted.address.prefix)));
        assert_eq!(reconcile(&mut netlink, &desired, |_| false).unwrap().made, [], "all is as it should be");

        // An address whose lifetime became another one goes and comes.
        let mut changed = desired.clone();
        changed[1].address.preferred = Some(0);
        assert_eq!(reconcile(&mut netlink, &changed, |_| false).unwrap().made.len(), 2);
        assert!(netlink.addresses().unwrap().contains(&changed[1]));
    });
}

#[test]
fn an_address_is_tentative_until_nobody_has_objected() {
    in_fresh_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        let index = eth0(&mut netlink);
        let mut monitor = Monitor::open().unwrap();
        switch_ipv6_on();
        let address = prefix("2001:db8::1/64");
        netlink.add_address(index, &Address::new(address)).unwrap();
        let is_told = |change: &Change| matches!(change, Change::AddressAdded { prefix, .. } if *prefix == address);
        until_change(&mut monitor, is_told);
        assert!(netlink.interface("eth0").unwrap().tentative.contains(&address));
        // The second time the kernel says that it may be used.
        until_change(&mut monitor, is_told);
        assert!(!netlink.interface("eth0").unwrap().tentative.contains(&address));
    });
}

#[test]
fn the_kernel_tells_of_a_link_again_when_it_is_told_to() {
    in_fresh_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        let index = eth0(&mut netlink);
        let before = netlink.interface("eth0").unwrap();
        // What comes from now on has no other cause.
        let mut monitor = Monitor::open().unwrap();
        netlink.tell_again(index).unwrap();
        until_change(&mut monitor, |change| matches!(change, Change::Link(link) if link.index == index));
        assert_eq!(netlink.interface("eth0").unwrap().name, before.name);
    });
}

#[test]
fn an_address_that_was_added_is_listed_with_its_properties_until_it_is_deleted() {
    in_fresh_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        let index = eth0(&mut netlink);
        let address = Address {
            broadcast: Some(Ipv4Addr::new(10, 0, 1, 255)),
            label: Some("eth0:vip".to_owned()),
            scope: 253,
            ..Address::new(prefix("10.0.1.100/24"))
        };
        netlink.add_address(index, &Address::new(prefix("10.0.0.10/24"))).unwrap();
        netlink.add_address(index, &address).unwrap();
        netlink.add_address(index, &address).unwrap();

        let interface = netlink.interface("eth0").unwrap();
        // The kernel puts what reaches less far first.
        assert_eq!(interface.addresses, [prefix("10.0.1.100/24"), prefix("10.0.0.10/24")]);
        assert!(interface.mac != Mac::default());
        assert_eq!(interface.mtu, 1500);
        let held = netlink.addresses().unwrap();
        let of_eth0: Vec<_> = held.into_iter().filter(|held| held.index == index).collect();
        // The second has the kernel's label, the interface's name, which is as good as none.
        assert_eq!(of_eth0, [Held::new(index, address), Held::new(index, Address::new(prefix("10.0.0.10/24")))]);

        netlink.delete_address(index, prefix("10.0.1.100/24")).unwrap();
        netlink.delete_address(index, prefix("10.0.1.100/24")).unwrap();
        netlink.delete_address(9999, prefix("10.0.1.100/24")).unwrap();
        assert_eq!(netlink.interface("eth0").unwrap().addresses, [prefix("10.0.0.10/24")]);
    });
}

#[test]
fn a_refusal_names_the_operation_and_the_object() {
    in_fresh_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        let index = eth0(&mut netlink);
        netlink.add_address(index, &Address::new(prefix("10.0.0.1/24"))).unwrap();
        let nearby = Address { scope: 253, ..Address::new(prefix("10.0.0.100/24")) };
        for (result, text) in [
            (
                netlink.add_address(9999, &Address::new(prefix("10.0.0.100/32"))),
                "add 10.0.0.100/32 to interface 9999: no such device",
            ),
            (netlink.rename(index, "lo"), "rename eth0 to lo: file exists"),
            (netlink.set_isolated(index, true), "isolate bridge port eth0: operation not supported"),
            (netlink.interface("eth7").map(drop), "find interface eth7: no such device"),
            // Here the kernel adds a word of its own, if it is new enough.
            (netlink.add_address(index, &nearby), "add 10.0.0.100/24 to eth0: invalid argument"),
        ] {
            let error = result.unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
    });
}

#[test]
fn two_thousand_addresses_come_and_go_in_one_call_each() {
    in_fresh_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        let index = eth0(&mut netlink);
        let all: Vec<_> =
            (0..2000u16).map(|n| Prefix::host(Ipv4Addr::new(10, 1, (n >> 8) as u8, n as u8).into())).collect();
        let adds: Vec<_> =
            all.iter().map(|&prefix| addresses::Change::Add(Held::new(index, Address::new(prefix)))).collect();
        let started = std::time::Instant::now();
        assert!(netlink.apply(&adds).iter().all(Result::is_ok));
        println!("2000 addresses added in {:?}", started.elapsed());
        assert_eq!(netlink.interface("eth0").unwrap().addresses, all);
        let deletes: Vec<_> =
            all.iter().map(|&prefix| addresses::Change::Delete { index, prefix, peer: None }).collect();
        assert!(netlink.apply(&deletes).iter().all(Result::is_ok));
        assert_eq!(netlink.interface("eth0").unwrap().addresses, []);
    });
}

#[test]
fn reconciling_repairs_what_is_ours_and_leaves_the_rest() {
    in_fresh_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        let index = eth0(&mut netlink);
        let foreign = Held { protocol: 0, ..Held::new(index, Address::new(prefix("192.0.2.1/24"))) };
        let left_over = Held::new(index, Address::new(prefix("10.0.0.99/32")));
        let wanted = Held::new(index, Address::new(prefix("10.0.0.100/32")));
        for held in [&foreign, &left_over] {
            assert!(netlink.apply(&[addresses::Change::Add(held.clone())])[0].is_ok());
        }
        let ours = |held: &Held| held.protocol == addresses::PROTOCOL;

        let desired = [wanted.clone()];
        let result = reconcile(&mut netlink, &desired, ours).unwrap();
        let gone = addresses::Change::Delete { index, prefix: left_over.address.prefix, peer: None };
        assert_eq!(result.made, [gone, addresses::Change::Add(wanted.clone())]);
        assert!(result.refused.is_empty());
        assert_eq!(reconcile(&mut netlink, &desired, ours).unwrap().made, []);

        netlink.delete_address(index, wanted.address.prefix).unwrap();
        assert_eq!(reconcile(&mut netlink, &desired, ours).unwrap().made, [addresses::Change::Add(wanted)]);

        reconcile(&mut netlink, &[], ours).unwrap();
        assert_eq!(netlink.interface("eth0").unwrap().addresses, [prefix("192.0.2.1/24")]);
    });
}

#[test]
fn an_address_that_the_kernel_took_along_is_put_back() {
    in_fresh_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        let index = eth0(&mut netlink);
        let primary = Held::new(index, Address::new(prefix("10.0.0.1/24")));
        let secondary = Held::new(index, Address::new(prefix("10.0.0.2/24")));
        NetNs::current().unwrap().set_sysctl("net/ipv4/conf/eth0/promote_secondaries", "0").unwrap();
        reconcile(&mut netlink, &[primary, secondary.clone()], |_| false).unwrap();
        let ours = |held: &Held| held.protocol == addresses::PROTOCOL;
        // Without the first address of the network the kernel takes the second away as well.
        reconcile(&mut netlink, std::slice::from_ref(&secondary), ours).unwrap();
        assert_eq!(netlink.interface("eth0").unwrap().addresses, [secondary.address.prefix]);
    });
}

#[test]
fn the_monitor_hears_addresses_and_links() {
    in_fresh_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        let index = eth0(&mut netlink);
        let mut monitor = Monitor::open().unwrap();
        let mut next = |wanted: fn(&Change) -> bool| until_change(&mut monitor, wanted);
        let vip = prefix("10.0.0.100/32");

        netlink.add_address(index, &Address::new(vip)).unwrap();
        let added = next(|change| !matches!(change, Change::Link(_) | Change::AddressRemoved { .. }));
        assert_eq!(added, Change::AddressAdded { index, prefix: vip });
        netlink.delete_address(index, vip).unwrap();
        let removed = next(|change| !matches!(change, Change::Link(_)));
        assert_eq!(removed, Change::AddressRemoved { index, prefix: vip });

        let wire = netlink.interface("wire").unwrap().index;
        netlink.set_up(wire, false).unwrap();
        let Change::Link(link) = next(|change| matches!(change, Change::Link(link) if link.name == "eth0" && !link.up))
        else {
            unreachable!()
        };
        assert_eq!(link.index, index);
        netlink.set_up(wire, true).unwrap();
        next(|change| matches!(change, Change::Link(link) if link.name == "eth0" && link.up));
        netlink.delete_link(index).unwrap();
        let gone = [(); 2].map(|()| next(|change| matches!(change, Change::LinkGone { .. })));
        assert!(gone.contains(&Change::LinkGone { index }) && gone.contains(&Change::LinkGone { index: wire }));
    });
}

#[test]
fn a_port_that_leaves_its_bridge_is_not_a_link_that_is_gone() {
    in_fresh_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        let index = eth0(&mut netlink);
        netlink.add_bridge("br0").unwrap();
        let bridge = netlink.interface("br0").unwrap().index;
        netlink.set_master(index, Some(bridge)).unwrap();
        let mut monitor = Monitor::open().unwrap();
        netlink.set_master(index, None).unwrap();
        // The end of what was heard: something that happened later.
        netlink.delete_link(bridge).unwrap();
        let gone = until_change(&mut monitor, |change| matches!(change, Change::LinkGone { .. }));
        assert_eq!(gone, Change::LinkGone { index: bridge });
    });
}

#[test]
fn more_changes_than_the_monitor_can_hold_are_an_overrun_and_not_an_end() {
    in_fresh_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        let index = eth0(&mut netlink);
        let mut monitor = Monitor::open().unwrap();
        let vip = prefix("10.0.0.100/32");
        let there_and_back = [
            addresses::Change::Add(Held::new(index, Address::new(vip))),
            addresses::Change::Delete { index, prefix: vip, peer: None },
        ];
        let changes: Vec<_> = there_and_back.iter().cycle().take(4000).cloned().collect();
        let mut heard = Vec::new();
        // Each round fills the buffer further; nothing is read in between.
        for _ in 0..20 {
            assert!(netlink.apply(&changes).iter().all(Result::is_ok));
        }
        while let Some(change) = monitor.receive().unwrap() {
            heard.push(change);
        }
        assert!(heard.contains(&Change::Overrun), "{} changes fitted", heard.len());
        netlink.add_address(index, &Address::new(vip)).unwrap();
        let added = until_change(&mut monitor, |change| matches!(change, Change::AddressAdded { .. }));
        assert_eq!(added, Change::AddressAdded { index, prefix: vip });
    });
}

#[test]
fn links_are_named_moved_and_addressed() {
    in_fresh_namespace(|| {
        let mut netlink = Netlink::open().unwrap();
        let index = eth0(&mut netlink);
        let mac = Mac([2, 0, 0, 0, 0, 7]);
        netlink.set_mac(index, mac).unwrap();
        netlink.add_address(index, &Address::new(prefix("10.0.0.10/24"))).unwrap();
        netlink.add_route(None, Ipv4Addr::new(10, 0, 0, 254), index).unwrap();
        netlink.add_route(Some(prefix("192.0.2.0/24")), Ipv4Addr::new(10, 0, 0, 253), index).unwrap();
        let routes = std::fs::read_to_string("/proc/thread-self/net/route").unwrap();
        assert!(routes.contains("00000000\tFE00000A") && routes.contains("000200C0\tFD00000A"), "{routes}");

        let other = NetNs::create().unwrap();
        netlink.set_up(index, false).unwrap();
        netlink.rename(index, "eth9").unwrap();
        netlink.set_netns(index, &other).unwrap();
        assert!(netlink.interface("eth9").is_err());
        let arrived = other.run(|| Netlink::open().unwrap().interface("eth9").unwrap()).unwrap();
        assert_eq!((arrived.mac, arrived.up, arrived.addresses), (mac, false, vec![]));
    });
}
