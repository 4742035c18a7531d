//! `evenkeel table`: what the kernel balances.

use crate::personality::ipvsadm::{Listing, list};
use crate::render::connections::Engines;
use crate::render::table::{self, Listed, View};
use evenkeel_balance::table::{Forward, ServiceKey, Traffic, Tunnel};
use evenkeel_kernel::ipvs::Ipvs;
use serde_json::{Value, json};
use std::process::ExitCode;

/// What to print, with the names that `ipvsadm -L` has for it.
#[derive(Clone, Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct TableArgs {
    /// Numbers instead of names of hosts and ports.
    #[arg(short, long)]
    numeric: bool,
    /// Counters.
    #[arg(long, group = "what")]
    stats: bool,
    /// Counters of a second.
    #[arg(long, group = "what")]
    rate: bool,
    /// Limits of connections.
    #[arg(long, group = "what")]
    thresholds: bool,
    /// Connections held by persistence; with `-c` the data of persistence engines.
    #[arg(long)]
    persistent_conn: bool,
    /// Kinds of tunnels.
    #[arg(long, group = "what")]
    tun_info: bool,
    /// Connections instead of services.
    #[arg(short = 'c', long = "connection", group = "what")]
    connections: bool,
    /// Timeouts instead of services.
    #[arg(long, group = "what")]
    timeout: bool,
    /// Sync daemons instead of services.
    #[arg(long, group = "what")]
    daemon: bool,
    /// Everything as one JSON document.
    #[arg(long, group = "what")]
    json: bool,
    /// Large numbers in full.
    #[arg(long)]
    exact: bool,
    /// In the kernel's order.
    #[arg(long)]
    nosort: bool,
    /// Sorted, as without it.
    #[arg(long, conflicts_with = "nosort")]
    sort: bool,
}

/// Prints the table.
pub fn main(args: &TableArgs) -> anyhow::Result<ExitCode> {
    let mut ipvs = Ipvs::open()?;
    let text = if args.json { format!("{:#}\n", json(&mut ipvs)?) } else { list(&mut ipvs, &listing(args))? };
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn listing(args: &TableArgs) -> Listing {
    if args.connections {
        return Listing::Connections {
            numeric: args.numeric,
            engines: if args.persistent_conn { Engines::Shown } else { Engines::Hidden },
        };
    }
    if args.timeout {
        return Listing::Timeouts;
    }
    if args.daemon {
        return Listing::SyncDaemons;
    }
    let view = match args {
        TableArgs { stats: true, .. } => View::Statistics,
        TableArgs { rate: true, .. } => View::Rates,
        TableArgs { thresholds: true, .. } => View::Thresholds,
        TableArgs { persistent_conn: true, .. } => View::Persistent,
        TableArgs { tun_info: true, .. } => View::Tunnels,
        _ => View::Weights,
    };
    Listing::Services { only: None, view, exact: args.exact, numeric: args.numeric, sorted: !args.nosort }
}

/// Services with their destinations, counters, timeouts and sync daemons.
fn json(ipvs: &mut Ipvs) -> anyhow::Result<Value> {
    let mut services: Vec<Listed> = Vec::new();
    for record in ipvs.services()? {
        let destinations = ipvs.destinations(&record.key)?;
        services.push((record, destinations));
    }
    table::sort(&mut services);
    let timeouts = ipvs.timeouts()?;
    let daemons: Vec<Value> = ipvs.sync_daemons()?.iter().map(|daemon| {
        json!({
            "state": format!("{:?}", daemon.state).to_lowercase(), "interface": daemon.interface, "syncid": daemon.sync_id,
            "maxlen": daemon.max_length, "group": daemon.group, "port": daemon.port, "ttl": daemon.ttl,
        })
    }).collect();
    Ok(json!({
        "services": services.iter().map(service).collect::<Vec<_>>(),
        "timeouts": { "tcp": timeouts.tcp, "tcp_fin": timeouts.tcp_fin, "udp": timeouts.udp },
        "sync_daemons": daemons,
    }))
}

fn service((record, destinations): &Listed) -> Value {
    let mut value = match record.key {
        ServiceKey::Address { protocol, address, port } => json!({
            "protocol": table::protocol_name(protocol).to_lowercase(), "address": address, "port": port,
        }),
        ServiceKey::Mark { family, mark } => json!({ "family": family, "fwmark": mark }),
    };
    value["scheduler"] = json!(record.scheduler);
    value["flags"] = json!(record.flags);
    value["persistence"] = record
        .persistence
        .as_ref()
        .map_or(Value::Null, |persistence| json!({ "timeout": persistence.timeout, "engine": record.engine }));
    value["traffic"] = traffic(&record.traffic);
    value["servers"] = destinations
        .iter()
        .map(|record| {
            json!({
                "address": record.key.address,
                "port": record.key.port,
                "weight": record.destination.weight,
                "method": method(record.destination.forward),
                "upper_threshold": record.destination.upper_threshold,
                "lower_threshold": record.destination.lower_threshold,
                "active": record.statistics.active,
                "inactive": record.statistics.inactive,
                "persistent": record.statistics.persistent,
                "traffic": traffic(&record.statistics.traffic),
            })
        })
        .collect();
    value
}

fn traffic(traffic: &Traffic) -> Value {
    json!(traffic)
}

fn method(forward: Forward) -> &'static str {
    match forward {
        Forward::Masquerade => "nat",
        Forward::Direct => "dr",
        Forward::Tunnel(Tunnel::Ipip) => "tun ipip",
        Forward::Tunnel(Tunnel::Gue { .. }) => "tun gue",
        Forward::Tunnel(Tunnel::Gre { .. }) => "tun gre",
        Forward::Local => "local",
    }
}
