//! The service on DBus, beside that of Debian's keepalived, on a message bus of the machine's own.

use evenkeel_e2e::{Lan, Machine, Service, able_to_run, wait_for, wait_until};
use std::collections::BTreeSet;
use std::process::Child;
use std::time::Duration;

/// Longer than any wait that the configurations here ask for.
const PATIENCE: Duration = Duration::from_secs(60);

const NAME: &str = "org.keepalived.Vrrp1";
const DAEMON: &str = "/org/keepalived/Vrrp1/Vrrp";
const VI_1: &str = "/org/keepalived/Vrrp1/Instance/eth0/50/IPv4";
const VI_2: &str = "/org/keepalived/Vrrp1/Instance/eth0/51/IPv4";

const CONF: &str = "global_defs {
    enable_dbus
}
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 50
    priority 150
    advert_int 1
    virtual_ipaddress {
        10.0.0.100
    }
}
";

const SECOND: &str = "vrrp_instance VI_2 {
    interface eth0
    virtual_router_id 51
    priority 150
    advert_int 1
    virtual_ipaddress {
        10.0.0.101
    }
}
";

/// As Debian's system.conf, but in the foreground, as root and with our policy alone.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <auth>EXTERNAL</auth>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
  </policy>
  <policy user="root">
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Monitoring"/>
  </policy>
  <include>/etc/bus-policy.conf</include>
</busconfig>
"#;

/// A process on a machine, until this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_bus(machine: &Machine) -> Running {
    machine.write("/etc/bus.conf", BUS);
    machine.write("/etc/bus-policy.conf", include_str!("../../docs/org.keepalived.Vrrp1.conf"));
    machine.shell("mkdir -p /run/dbus; rm -f /run/dbus/system_bus_socket");
    let bus = machine.spawn("bus.log", &["dbus-daemon", "--config-file=/etc/bus.conf", "--nofork", "--nopidfile"]);
    let is_there = || machine.path("/run/dbus/system_bus_socket").exists();
    assert!(wait_until(PATIENCE, is_there), "{}", machine.logs());
    Running(bus)
}

/// Calls a method as `user`: what `dbus-send` prints, or how it failed.
fn call_as(machine: &Machine, user: &str, path: &str, method: &str, arguments: &[&str]) -> Result<String, String> {
    let destination = format!("--dest={NAME}");
    let words = ["setpriv", "--reuid", user, "--clear-groups", "dbus-send", "--system", "--print-reply=literal"];
    let output = machine.run(&[&words, [destination.as_str(), path, method].as_slice(), arguments].concat());
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn call(machine: &Machine, path: &str, method: &str) -> String {
    call_as(machine, "0", path, method, &[]).unwrap_or_else(|error| panic!("{method}: {error}\n{}", machine.logs()))
}

fn property(machine: &Machine, user: &str, path: &str, name: &str) -> Result<String, String> {
    let arguments = ["string:org.keepalived.Vrrp1.Instance", &format!("string:{name}")];
    let printed = call_as(machine, user, path, "org.freedesktop.DBus.Properties.Get", &arguments)?;
    Ok(printed.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// What an object has in keepalived's interfaces, one line for each thing, whoever wrote the XML.
fn members(machine: &Machine, path: &str) -> BTreeSet<String> {
    let xml = call(machine, path, "org.freedesktop.DBus.Introspectable.Introspect");
    let mut members = BTreeSet::new();
    let (mut interface, mut member) = (String::new(), String::new());
    for tag in xml.split('<').filter_map(|piece| piece.split('>').next()) {
        let mut words = tag.trim_end_matches('/').split_whitespace();
        let kind = words.next().unwrap_or_default();
        let mut attributes: Vec<&str> = words.collect();
        // GLib names what the standard methods return, zbus does not: the names are not on the wire.
        if attributes.contains(&"direction=\"out\"") {
            attributes.retain(|attribute| !attribute.starts_with("name="));
        }
        attributes.sort_unstable();
        let line = format!("{kind} {}", attributes.join(" "));
        match kind {
            "interface" => interface = line,
            "method" | "signal" | "property" => {
                member = line;
                members.insert(format!("{interface} {member}"));
            }
            "arg" => drop(members.insert(format!("{interface} {member} {line}"))),
            _ => {}
        }
    }
    members
}

/// What `dbus-monitor` saw of keepalived's signals: `PATH MEMBER [NUMBER]`.
fn signals(machine: &Machine) -> Vec<String> {
    let log = machine.read("/tmp/monitor.log");
    let mut signals = Vec::new();
    let mut lines = log.lines().peekable();
    while let Some(line) = lines.next() {
        let field = |name: &str| line.split_once(name).and_then(|(_, rest)| rest.split([';', ' ']).next());
        if line.starts_with("signal ") && field("interface=").is_some_and(|name| name.starts_with(NAME)) {
            let number = lines.peek().and_then(|next| next.trim().strip_prefix("uint32 ")).unwrap_or_default();
            let (path, member) = (field("path=").unwrap_or_default(), field("member=").unwrap_or_default());
            signals.push(format!("{path} {member} {number}").trim_end().to_owned());
        }
    }
    signals
}

fn await_signal(machine: &Machine, signal: &str) {
    let came = || signals(machine).last().is_some_and(|last| last == signal);
    assert!(wait_until(PATIENCE, came), "no {signal}: {:#?}\n{}", signals(machine), machine.logs());
}

/// All that one daemon shows in a life with a fault and a reload.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    daemon: BTreeSet<String>,
    instance: BTreeSet<String>,
    properties: Vec<String>,
    signals: Vec<String>,
}

fn life(lan: &Lan, node: &Machine) -> Shown {
    let _bus = start_bus(node);
    let _monitor = Running(node.spawn("monitor.log", &["dbus-monitor", "--system"]));
    assert!(wait_until(PATIENCE, || node.read("/tmp/monitor.log").contains("NameLost")), "{}", node.logs());
    node.write("/etc/keepalived/keepalived.conf", CONF);
    node.start_service(Service::Keepalived);
    let state = |number: u8| format!("{VI_1} VrrpStatusChange {number}");
    await_signal(node, &state(2));
    let mut properties = vec![property(node, "0", VI_1, "Name").expect("a name")];
    properties.push(property(node, "0", VI_1, "State").expect("a state"));
    lan.cable(node.name(), false);
    await_signal(node, &state(3));
    properties.push(property(node, "0", VI_1, "State").expect("a state"));
    lan.cable(node.name(), true);
    await_signal(node, &state(2));
    let (daemon, instance) = (members(node, DAEMON), members(node, VI_1));

    node.write("/etc/keepalived/keepalived.conf", &(CONF.to_owned() + SECOND));
    call(node, DAEMON, "org.keepalived.Vrrp1.Vrrp.ReloadConfig");
    await_signal(node, &format!("{VI_2} VrrpStatusChange 2"));
    node.stop_service(Service::Keepalived);
    await_signal(node, &format!("{DAEMON} VrrpStopped"));
    Shown { daemon, instance, properties, signals: signals(node) }
}

#[test]
fn objects_properties_and_signals_are_those_of_keepalived() {
    if !able_to_run(&["keepalived", "dbus-daemon", "dbus-monitor"]) {
        return;
    }
    let lans = [Lan::new(), Lan::new()];
    let [debian, evenkeel] = lans.each_ref().map(|lan| lan.machine("lb01", "eth0", "10.0.0.10/24"));
    let evenkeel = evenkeel.with_evenkeel();
    let (theirs, ours) = (life(&lans[0], &debian), life(&lans[1], &evenkeel));
    // Of what both announce one keeps its word.
    let tells_properties = |node: &Machine| node.read("/tmp/monitor.log").contains("member=PropertiesChanged");
    assert_eq!((tells_properties(&debian), tells_properties(&evenkeel)), (false, true));
    let debian = theirs;
    assert_eq!(ours.daemon, debian.daemon);
    // keepalived announces a string as the name and sends a structure. We announce what is sent.
    let as_string = |member: &String| member.replace("name=\"Name\" type=\"(s)\"", "name=\"Name\" type=\"s\"");
    assert_eq!(ours.instance.iter().map(as_string).collect::<BTreeSet<_>>(), debian.instance);
    assert_eq!(ours.properties, debian.properties);
    // Signals of two instances have no order among each other.
    let (mut ours, mut debian) = (ours.signals, debian.signals);
    for signals in [&mut ours, &mut debian] {
        signals.sort_by_key(|signal| signal.split(' ').next().map(str::to_owned));
    }
    assert_eq!(ours, debian);
    assert!(ours.len() >= 10, "{ours:#?}");
}

#[test]
fn a_process_without_rights_serves_root_and_outlives_every_message_bus() {
    if !able_to_run(&["dbus-daemon", "dbus-send"]) {
        return;
    }
    let lan = Lan::new();
    let lb = lan.machine("lb01", "eth0", "10.0.0.10/24").with_evenkeel();
    lb.write("/etc/keepalived/keepalived.conf", CONF);
    lb.start_service(Service::Keepalived);
    lb.await_holding("10.0.0.100", PATIENCE);
    let no_bus = || lb.logs().contains("connect to the message bus at unix:path=");
    assert!(wait_until(PATIENCE, no_bus), "{}", lb.logs());

    let await_master = || {
        let state = || property(&lb, "0", VI_1, "State").ok();
        let master = wait_for(PATIENCE, || state().filter(|state| state.contains("Master")));
        assert!(master.is_some(), "{:?}\n{}", state(), lb.logs());
    };
    let bus = start_bus(&lb);
    await_master();
    // The first number is the real user, the others are the effective one, the saved one and that of files.
    let status = lb.shell("cat /proc/$(pgrep -f '[-]-role dbus')/status");
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    assert_eq!(field("Uid:"), "65534\t65534\t65534\t65534", "{status}");
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        assert_eq!(field(set), "0000000000000000", "{status}");
    }
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1", "2"), "{status}");

    // By the policy in docs, others look and do not touch.
    assert!(property(&lb, "1", VI_1, "Name").is_ok_and(|name| name.contains("VI_1")));
    let garp = "org.keepalived.Vrrp1.Instance.SendGarp";
    let refused = call_as(&lb, "1", VI_1, garp, &[]);
    assert!(refused.as_ref().is_err_and(|error| error.contains("AccessDenied")), "{refused:?}");
    assert!(!lb.logs().contains("on DBus request"), "{}", lb.logs());

    call(&lb, VI_1, garp);
    let announced = || lb.shell("evenkeel why VI_1").contains("an announcement was asked for");
    assert!(wait_until(PATIENCE, announced), "{}", lb.logs());
    for (method, file) in [("PrintData", "data"), ("PrintStats", "stats")] {
        call(&lb, DAEMON, &format!("org.keepalived.Vrrp1.Vrrp.{method}"));
        let path = format!("/tmp/keepalived.{file}");
        assert!(wait_until(PATIENCE, || lb.read(&path).contains("VI_1")), "{path}\n{}", lb.logs());
    }
    lb.shell("rm /tmp/keepalived.stats");
    call(&lb, DAEMON, "org.keepalived.Vrrp1.Vrrp.PrintStatsClear");
    assert!(wait_until(PATIENCE, || lb.read("/tmp/keepalived.stats").contains("VI_1")), "{}", lb.logs());

    lb.shell("kill -9 $(pgrep dbus-daemon)");
    drop(bus);
    let lost = || lb.logs().contains("the message bus closed the connection");
    assert!(wait_until(PATIENCE, lost), "{}", lb.logs());
    assert!(lb.holds("10.0.0.100"));
    let _bus = start_bus(&lb);
    await_master();

    // One that does not read any more holds up neither the virtual routers nor the end.
    lb.shell("kill -STOP $(pgrep dbus-daemon)");
    lb.stop_service(Service::Keepalived);
    assert!(!lb.holds("10.0.0.100"));
    assert!(!lb.run(&["pgrep", "-f", "[-]-role"]).status.success(), "nobody is left\n{}", lb.logs());
}
