//! `evenkeel realserver`: makes this host a real server behind direct routing or tunnels: it has the virtual address, and
//! keeps quiet about it. What it found is kept and restored.

use super::print;
use crate::supervisor::runtime_directory;
use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use evenkeel_kernel::addresses::Address;
use evenkeel_kernel::netlink::Netlink;
use evenkeel_wire::Prefix;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where settings are.
const SYSCTLS: &str = "/proc/sys/net/ipv4/conf";
const STATE: &str = "realserver.json";

/// The kernel's ip-sysctl.rst: answer ARP only for addresses of the interface that was asked (1), and never name an
/// address of another interface when asking (2). The stricter of `all` and the interface counts.
const SETTINGS: [(&str, &str); 4] =
    [("lo/arp_ignore", "1"), ("lo/arp_announce", "2"), ("all/arp_ignore", "1"), ("all/arp_announce", "2")];

#[derive(Debug, Args)]
pub struct RealserverArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Take the virtual addresses on `lo`, and answer nobody who asks for them.
    Up(Addresses),
    /// Give them back; with the last one, settings are again what they were. Without addresses: all of them.
    Down(Addresses),
}

#[derive(Debug, Args)]
struct Addresses {
    /// Virtual addresses.
    #[arg(value_name = "VIP")]
    addresses: Vec<IpAddr>,
    /// Only print the shell commands that would do it.
    #[arg(long)]
    print: bool,
    /// Directory where what was found is kept [default: $EVENKEEL_RUNTIME_DIR or /run/evenkeel].
    #[arg(long, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
}

/// What was changed, and what stood there before.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    addresses: BTreeSet<IpAddr>,
    settings: BTreeMap<String, String>,
}

/// Runs the command.
pub fn main(args: RealserverArgs) -> Result<ExitCode> {
    match args.verb {
        Verb::Up(wanted) => up(wanted),
        Verb::Down(unwanted) => down(unwanted),
    }
}

fn up(wanted: Addresses) -> Result<ExitCode> {
    ensure!(!wanted.addresses.is_empty(), "name at least one virtual address");
    if wanted.print {
        return print(&commands_up(&wanted.addresses)).map(|()| ExitCode::SUCCESS);
    }
    let place = runtime_directory(wanted.runtime_dir).join(STATE);
    let mut state = load(&place)?;
    let mut text = String::new();
    // Quiet first: an address that is there and answered for, if only for a moment, draws other hosts' packets here.
    for (name, value) in SETTINGS {
        let found = read(name)?;
        if strict_enough(name, &found) {
            continue;
        }
        state.settings.entry(name.to_owned()).or_insert_with(|| found.clone());
        save(&place, &state)?;
        set(name, value)?;
        let _ = writeln!(text, "net.ipv4.conf.{}: {found} -> {value}", name.replace('/', "."));
    }
    let mut netlink = Netlink::open()?;
    let loopback = netlink.interface("lo")?;
    for address in &wanted.addresses {
        let prefix = Prefix::host(*address);
        if loopback.addresses.iter().any(|held| held.address() == *address) {
            continue;
        }
        state.addresses.insert(*address);
        save(&place, &state)?;
        netlink.add_address(loopback.index, &Address::new(prefix))?;
        let _ = writeln!(text, "lo: {prefix} added");
    }
    let notes = check(&mut netlink, &wanted.addresses)?;
    print(if text.is_empty() { "everything is as it should be\n" } else { &text })?;
    print(&notes)?;
    Ok(ExitCode::SUCCESS)
}

fn down(unwanted: Addresses) -> Result<ExitCode> {
    let place = runtime_directory(unwanted.runtime_dir).join(STATE);
    let mut state = load(&place)?;
    let addresses: Vec<IpAddr> =
        if unwanted.addresses.is_empty() { state.addresses.iter().copied().collect() } else { unwanted.addresses };
    if unwanted.print {
        return print(&commands_down(&addresses, &state)).map(|()| ExitCode::SUCCESS);
    }
    let mut text = String::new();
    let mut netlink = Netlink::open()?;
    let loopback = netlink.interface("lo")?;
    for address in addresses {
        let prefix = Prefix::host(address);
        if !state.addresses.contains(&address) {
            let _ = writeln!(text, "lo: {prefix} was not added by evenkeel, and stays as it is");
            continue;
        }
        netlink.delete_address(loopback.index, prefix)?;
        state.addresses.remove(&address);
        save(&place, &state)?;
        let _ = writeln!(text, "lo: {prefix} removed");
    }
    if state.addresses.is_empty() {
        for (name, found) in std::mem::take(&mut state.settings) {
            let now = read(&name)?;
            let ours = SETTINGS.iter().any(|(ours, value)| *ours == name && *value == now);
            if !ours {
                let _ = writeln!(text, "net.ipv4.conf.{}: somebody set {now}, and it stays", name.replace('/', "."));
                continue;
            }
            set(&name, &found)?;
            let _ = writeln!(text, "net.ipv4.conf.{}: {now} -> {found}", name.replace('/', "."));
        }
        remove(&place)?;
    }
    print(if text.is_empty() { "nothing was up\n" } else { &text })?;
    Ok(ExitCode::SUCCESS)
}

/// Looks whether the host now is what it should be, and notes what may be meant or not.
fn check(netlink: &mut Netlink, addresses: &[IpAddr]) -> Result<String> {
    let held = netlink.interface("lo")?.addresses;
    for address in addresses {
        ensure!(held.iter().any(|prefix| prefix.address() == *address), "lo does not have {address}");
    }
    for (name, _) in SETTINGS {
        let found = read(name)?;
        ensure!(strict_enough(name, &found), "net.ipv4.conf.{} is {found}", name.replace('/', "."));
    }
    let mut notes = String::new();
    // Elsewhere the address is answered for, whatever the settings say.
    for interface in netlink.interfaces()?.iter().filter(|interface| interface.name != "lo") {
        for address in addresses {
            if interface.addresses.iter().any(|prefix| prefix.address() == *address) {
                let _ = writeln!(
                    notes,
                    "{} has {address} too and answers for it, as only the active director should",
                    interface.name
                );
            }
        }
    }
    Ok(notes)
}

/// 1 and 2 both keep addresses of other interfaces to themselves; the other values of `arp_ignore` mean something else.
fn strict_enough(name: &str, value: &str) -> bool {
    if name.ends_with("arp_ignore") { matches!(value, "1" | "2") } else { value == "2" }
}

fn read(name: &str) -> Result<String> {
    let path = Path::new(SYSCTLS).join(name);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(text.trim().to_owned())
}

fn set(name: &str, value: &str) -> Result<()> {
    let path = Path::new(SYSCTLS).join(name);
    fs::write(&path, value).with_context(|| format!("set {} to {value}", path.display()))
}

fn load(place: &Path) -> Result<State> {
    let text = match fs::read_to_string(place) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(State::default()),
        Err(error) => return Err(error).with_context(|| format!("read {}", place.display())),
    };
    serde_json::from_str(&text).with_context(|| format!("understand {}", place.display()))
}

/// Written before the change it describes is made, so that nothing is forgotten if this process dies.
fn save(place: &Path, state: &State) -> Result<()> {
    let text = serde_json::to_string_pretty(state).context("describe what was changed")?;
    let new = place.with_extension("new");
    let write = || -> std::io::Result<()> {
        if let Some(directory) = place.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(&new, text + "\n")?;
        fs::rename(&new, place)
    };
    write().with_context(|| format!("write {}", place.display()))
}

fn remove(place: &Path) -> Result<()> {
    match fs::remove_file(place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", place.display()))
        }
        _ => Ok(()),
    }
}

fn commands_up(addresses: &[IpAddr]) -> String {
    let mut text = String::new();
    for (name, value) in SETTINGS {
        let _ = writeln!(text, "sysctl -w net.ipv4.conf.{}={value}", name.replace('/', "."));
    }
    for address in addresses {
        let _ = writeln!(text, "ip address add {} dev lo", Prefix::host(*address));
    }
    text
}

fn commands_down(addresses: &[IpAddr], state: &State) -> String {
    let mut text = String::new();
    for address in addresses {
        let _ = writeln!(text, "ip address del {} dev lo", Prefix::host(*address));
    }
    for (name, _) in SETTINGS {
        // What nobody found is what a kernel starts with.
        let found = state.settings.get(name).map_or("0", String::as_str);
        let _ = writeln!(text, "sysctl -w net.ipv4.conf.{}={found}", name.replace('/', "."));
    }
    text
}
