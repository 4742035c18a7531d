//! What FIFOs and scripts hear of virtual routers, beside what they hear of the real keepalived.

use evenkeel_e2e::{Lan, Machine, able_to_run, wait_for};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

const GLOBAL: &str = "global_defs {
    script_user root
    enable_script_security
    vrrp_notify_fifo /tmp/vrrp.fifo
    vrrp_notify_fifo_script \"/usr/bin/sh -c 'cat $0 >>/tmp/vrrp.lines'\"
    notify_fifo /tmp/all.fifo
    notify_fifo_script \"/usr/bin/sh -c 'cat $0 >>/tmp/all.lines'\"
}
";

fn instance(name: &str, vrid: u8, more: &str) -> String {
    format!(
        "vrrp_instance {name} {{
    interface eth0
    virtual_router_id {vrid}
    priority 150
{more}    virtual_ipaddress {{
        10.0.0.{vrid}
    }}
}}
"
    )
}

/// The lines about an instance in a file, in order.
fn heard(machine: &Machine, file: &str, name: &str) -> Vec<String> {
    let quoted = format!("\"{name}\"");
    machine.read(file).lines().filter(|line| line.contains(&quoted)).map(str::to_owned).collect()
}

#[test]
fn fifos_hear_of_every_state_over_a_reload_and_to_the_end() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    let lans = [Lan::new(), Lan::new()];
    let real = lans[0].machine("host", "eth0", "10.0.0.10/24");
    let ours = lans[1].machine("host", "eth0", "10.0.0.10/24").with_evenkeel();
    let deleted = "    notify_deleted \"/usr/bin/sh -c 'echo deleted >>/tmp/scripts'\"
    notify \"/usr/bin/sh -c 'echo $0 $@ >>/tmp/scripts'\"\n";
    let told = [real, ours].map(|machine| {
        let conf = |more: &str| format!("{GLOBAL}{}{more}", instance("VI_1", 51, ""));
        machine.write("/etc/keepalived/keepalived.conf", &conf(&instance("VI_2", 52, deleted)));
        let mut daemon = machine.spawn("keepalived.log", &["keepalived", "-n", "-l", "-D"]);
        let wait = |file: &str, name: &str, word: &str, n: usize| {
            let there = || {
                let lines = heard(&machine, file, name);
                (lines.iter().filter(|line| line.contains(word)).count() >= n).then_some(())
            };
            let read = || (machine.read("/tmp/vrrp.lines"), machine.logs());
            assert!(wait_for(PATIENCE, there).is_some(), "{}: {word} of {name}: {:?}", machine.name(), read());
        };
        wait("/tmp/vrrp.lines", "VI_1", "MASTER", 1);
        wait("/tmp/vrrp.lines", "VI_2", "MASTER", 1);
        let owners = machine.shell("stat -c '%F %U %G' /tmp/vrrp.fifo /tmp/all.fifo");
        machine.write("/etc/keepalived/keepalived.conf", &conf(""));
        machine.shell("kill -HUP $(cat /run/keepalived.pid)");
        wait("/tmp/vrrp.lines", "VI_2", "DELETED", 1);
        machine.shell("kill $(cat /run/keepalived.pid)");
        daemon.wait().expect("it ends");
        let lines =
            ["/tmp/vrrp.lines", "/tmp/all.lines"].map(|file| ["VI_1", "VI_2"].map(|name| heard(&machine, file, name)));
        let mut scripts: Vec<_> = machine.read("/tmp/scripts").lines().map(str::to_owned).collect();
        scripts.sort();
        (owners, lines, scripts)
    });
    let [mut theirs, mut ours] = told;
    // keepalived ends its readers, mostly before they have read the last line.
    theirs.1.iter_mut().for_each(|file| file[0].retain(|line| !line.contains("STOP")));
    for file in &mut ours.1 {
        assert_eq!(file[0].pop().as_deref(), Some("INSTANCE \"VI_1\" STOP 150"));
    }
    assert_eq!(ours, theirs);
    assert_eq!(ours.1[0][1], ["BACKUP", "MASTER", "DELETED"].map(|state| format!("INSTANCE \"VI_2\" {state} 150")));
    assert!(ours.2.contains(&"deleted".to_owned()), "{:?}", ours.2);
}

#[test]
fn after_a_reload_fifos_hear_the_states_again_when_that_is_asked_for() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let host = lan.machine("host", "eth0", "10.0.0.10/24").with_evenkeel();
    let global = GLOBAL.replace("script_user root", "script_user root\n    fifo_write_vrrp_states_on_reload");
    let fast = "    version 3\n    advert_int 0.1\n";
    host.write("/etc/keepalived/keepalived.conf", &format!("{global}{}", instance("VI_1", 51, fast)));
    let mut daemon = host.spawn("keepalived.log", &["keepalived", "-n", "-l"]);
    let n_masters = || {
        let lines = heard(&host, "/tmp/all.lines", "VI_1");
        lines.iter().filter(|line| *line == "INSTANCE \"VI_1\" MASTER 150").count()
    };
    assert!(wait_for(PATIENCE, || (n_masters() == 1).then_some(())).is_some(), "{}", host.logs());
    host.shell("kill -HUP $(cat /run/keepalived.pid)");
    assert!(wait_for(PATIENCE, || (n_masters() == 2).then_some(())).is_some(), "{}", host.logs());
    host.shell("kill $(cat /run/keepalived.pid)");
    daemon.wait().expect("it ends");
}

#[test]
fn a_script_that_lags_behind_hears_the_last_state() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let host = lan.machine("host", "eth0", "10.0.0.10/24").with_evenkeel();
    // The first run waits for the test; meanwhile states come and go.
    let notify = "    version 3
    advert_int 0.1
    track_interface {
        lo
    }
    notify \"/usr/bin/sh -c 'echo $2 >>/tmp/states; until test -e /tmp/go; do sleep 0.05; done'\"\n";
    let conf = format!("global_defs {{\n    script_user root\n}}\n{}", instance("VI_1", 51, notify));
    host.write("/etc/keepalived/keepalived.conf", &conf);
    let mut daemon = host.spawn("keepalived.log", &["keepalived", "-n", "-l"]);
    host.await_holding("10.0.0.51", PATIENCE);
    host.shell("ip link set lo down");
    host.await_release("10.0.0.51", PATIENCE);
    host.shell("ip link set lo up");
    host.await_holding("10.0.0.51", PATIENCE);
    assert_eq!(host.read("/tmp/states"), "BACKUP\n", "one runs, and the others wait");
    host.write("/tmp/go", "");
    let last = wait_for(PATIENCE, || Some(host.read("/tmp/states")).filter(|text| text.lines().count() > 1));
    assert_eq!(last.as_deref(), Some("BACKUP\nMASTER\n"), "what was over meanwhile is not told");
    host.shell("kill $(cat /run/keepalived.pid)");
    daemon.wait().expect("it ends");
}
