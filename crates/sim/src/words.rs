//! A trace in words.

use crate::node::Node;
use evenkeel_vrrp::config::{TrackTarget, VirtualAddress};
use evenkeel_vrrp::{Action, Event};
use evenkeel_wire::arp::Operation;
use evenkeel_wire::ipv4;
use std::any::Any;
use std::net::IpAddr;

pub(crate) fn event(event: &Event) -> String {
    match event {
        Event::Deadline => "deadline".to_owned(),
        Event::Interface(link) => {
            let state = if link.up { "up" } else { "down" };
            let addresses: Vec<_> = link.addresses.iter().map(ToString::to_string).collect();
            format!("{} is {state}, has {}", link.name, addresses.join(" "))
        }
        Event::InterfaceGone { index } => format!("interface {index} is gone"),
        Event::Packet { bytes, .. } => advert(bytes),
        Event::Packet6 { source, bytes, .. } => message((*source).into(), bytes),
        Event::Arp { arp, .. } => match arp.operation {
            Operation::Request if arp.sender_ip == arp.target_ip => {
                format!("announcement of {} by {}", arp.sender_ip, arp.sender_mac)
            }
            Operation::Request => format!("question for {} by {}", arp.target_ip, arp.sender_mac),
            Operation::Reply => format!("answer: {} is at {}", arp.sender_ip, arp.sender_mac),
        },
        Event::Neighbour { advert, .. } => {
            let what = if advert.solicited { "answer" } else { "announcement" };
            let mac = advert.mac.map_or_else(|| "nowhere".to_owned(), |mac| mac.to_string());
            format!("{what}: {} is at {mac}", advert.target)
        }
        Event::AddressVanished { address, .. } => format!("address {address} vanished"),
        Event::RouteVanished { instance, what } => format!("{}: {what} vanished", instance.0),
        Event::Static { group, whole, reason } => {
            format!("track_group {group} {}: {reason}", if *whole { "is whole" } else { "lacks something" })
        }
        Event::ScriptEnded { outcome, .. } => format!("script: {outcome:?}"),
        Event::File { name, value } => format!("file {name} holds {value}"),
        Event::Processes { name, well, detail } => format!("processes {name} well: {well} ({detail})"),
        Event::Bfd { session, up, reason } => format!("bfd {session} up: {up} ({reason})"),
        Event::Proxy { healthy, reason } => format!("proxy healthy: {healthy} ({reason})"),
        Event::Resume { instance, within } => format!("{}: resume within {within:?}", instance.0),
        Event::Delay(delay) => format!("nothing for {delay:?}"),
        Event::Clock { utc } => format!("the wall clock shows {utc:?}"),
        Event::Maintenance(maintenance) => format!("maintenance: {maintenance:?}"),
        Event::Command(command) => format!("command: {command:?}"),
        Event::Shutdown => "shutdown".to_owned(),
    }
}

pub(crate) fn action(action: &Action) -> String {
    match action {
        Action::SendAdvert { destination, packet, .. } if destination.is_ipv4() => {
            format!("send to {destination}: {}", advert(packet))
        }
        Action::SendAdvert { source, destination, packet, .. } => {
            format!("send to {destination}: {}", message(*source, packet))
        }
        Action::Hold { instance, addresses, .. } if addresses.is_empty() => format!("{}: hold nothing", instance.0),
        Action::Hold { instance, addresses, .. } => format!("{}: hold {}", instance.0, list(addresses)),
        Action::Announce { instance, addresses, count } => {
            format!("{}: announce {count} x {}", instance.0, list(addresses))
        }
        Action::Probe { address, .. } => format!("ask who has {address}"),
        Action::Unclaimed { vrid, .. } => format!("nobody here is virtual router {}", vrid.get()),
        Action::Notify { instance, state, priority } => format!("{}: notify {state:?} priority {priority}", instance.0),
        Action::NotifyGroup { group, state } => format!("group {}: notify {state:?}", group.0),
        Action::Explain(t) => {
            format!("{}: {:?} -> {:?}: {}; {}; {}", t.instance.0, t.from, t.to, t.trigger, t.rule, t.decision)
        }
        Action::Compare => "compare".to_owned(),
        Action::Stopped => "stopped".to_owned(),
    }
}

fn advert(packet: &[u8]) -> String {
    match ipv4::Header::parse(packet) {
        Some((header, bytes)) => message(header.source.into(), bytes),
        None => format!("packet {packet:02x?}"),
    }
}

fn message(source: IpAddr, bytes: &[u8]) -> String {
    match bytes {
        [version, vrid, priority, ..] => {
            format!("advert v{} of {source} for vrid {vrid}, priority {priority}", version >> 4)
        }
        _ => format!("packet of {source} {bytes:02x?}"),
    }
}

fn list(addresses: &[VirtualAddress]) -> String {
    let words: Vec<_> = addresses.iter().map(|address| address.prefix.address().to_string()).collect();
    words.join(" ")
}

pub(crate) fn configuration(node: &Node) -> Vec<String> {
    let line = |instance: &evenkeel_vrrp::config::Instance| {
        let tracks: Vec<_> = instance
            .tracks
            .iter()
            .map(|track| {
                let what = match &track.target {
                    TrackTarget::Interface(name) => name.as_str(),
                    TrackTarget::Script(_) => "script",
                    TrackTarget::Bfd(name) | TrackTarget::File(name) | TrackTarget::Processes(name) => name.as_str(),
                    TrackTarget::Proxy => "proxy",
                    TrackTarget::Static(_) => "static",
                };
                let reverse = if track.reverse { " reverse" } else { "" };
                format!("{what} weight {}{reverse}", track.weight)
            })
            .collect();
        format!(
            "-- {} {}: vrid {} {:?} priority {} interval {:?} {:?} state {:?}, {}, peers {:?}, tracks [{}]",
            node.name(),
            instance.name,
            instance.vrid.get(),
            instance.version,
            instance.priority.get(),
            instance.advert_interval.duration(),
            instance.preempt,
            instance.initial,
            list(&instance.addresses),
            instance.peers,
            tracks.join(", ")
        )
    };
    let group =
        |group: &evenkeel_vrrp::config::Group| format!("-- {} group {}: {:?}", node.name(), group.name, group.members);
    node.config.instances.iter().map(line).chain(node.config.groups.iter().map(group)).collect()
}

pub(crate) fn panic(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without words".to_owned())
}
