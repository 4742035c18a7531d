//! Files around a reload: when it is to be, that it is under way, and what was before and after, beside the real program.

use evenkeel_e2e::{Lan, Machine, able_to_run, wait_for};
use std::process::Child;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

const CONF: &str = "global_defs {
    script_user root
    reload_time_file /tmp/when
    reload_file /tmp/reading
    config_save_dir /tmp/saved
}
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    virtual_ipaddress {
        10.0.0.100
    }
}
";

/// One program at work on a LAN of its own.
struct Node {
    machine: Machine,
    daemon: Child,
    _lan: Lan,
}

impl Node {
    /// The real program, unless it is `ours`.
    fn start(ours: bool, head: &str) -> Self {
        let lan = Lan::new();
        let machine = lan.machine("host", "eth0", "10.0.0.10/24");
        let machine = if ours { machine.with_evenkeel() } else { machine };
        machine.write("/etc/keepalived/keepalived.conf", &format!("{head}{CONF}"));
        let daemon = machine.spawn("keepalived.log", &["keepalived", "-n", "-l", "-D"]);
        machine.await_holding("10.0.0.100", PATIENCE);
        Node { machine, daemon, _lan: lan }
    }

    fn await_shell(&self, what: &str, line: &str) {
        let is_so = || self.machine.run(&["sh", "-c", line]).status.success().then_some(());
        assert!(wait_for(PATIENCE, is_so).is_some(), "{what}: {}: {}", self.machine.name(), self.machine.logs());
    }

    fn data(&self) -> String {
        self.machine.shell("rm -f /tmp/keepalived_parent.data; kill -USR1 $(cat /run/keepalived.pid)");
        let written = || Some(self.machine.read("/tmp/keepalived_parent.data")).filter(|text| text.contains("umask"));
        wait_for(PATIENCE, written).unwrap_or_else(|| panic!("{}", self.machine.logs()))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.machine.run(&["sh", "-c", "kill $(cat /run/keepalived.pid)"]);
        let _ = self.daemon.wait();
    }
}

#[test]
fn a_reload_comes_when_the_file_says_and_takes_the_file_away() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    for ours in [false, true] {
        let node = Node::start(ours, "");
        let address = CONF.replace("10.0.0.100", "10.0.0.101");
        node.machine.write("/etc/keepalived/keepalived.conf", &address);
        node.machine.shell("date +%T -d 'now + 2 hours' >/tmp/when");
        node.await_shell("scheduled", "grep -q 'Scheduling reload for' /tmp/keepalived.log");
        let data = node.data();
        assert!(data.contains(" Reload time file = /tmp/when\n Reload scheduled for 20"), "{data}");
        assert!(data.contains("\n Reload_file = /tmp/reading\n"), "{data}");
        node.machine.shell("rm /tmp/when");
        node.await_shell("cancelled", "grep -q 'Cancelling reload' /tmp/keepalived.log");
        assert!(node.data().contains("\n No reload scheduled\n"));
        assert!(node.machine.holds("10.0.0.100"), "nothing was reloaded yet");
        node.machine.shell("date -u +'%y-%m-%d %TZ' -d 'now + 2 seconds' >/tmp/when");
        node.machine.await_holding("10.0.0.101", PATIENCE);
        node.await_shell("taken away", "test ! -e /tmp/when");
    }
}

#[test]
fn a_daily_reload_leaves_its_file_and_is_due_again_tomorrow() {
    if !able_to_run(&[]) {
        return;
    }
    let node = Node::start(true, "global_defs {\n    reload_repeat\n}\n");
    node.machine.shell("date +%T -d 'now + 2 seconds' >/tmp/when");
    node.await_shell("reloaded", "grep -q 'Reload finished' /tmp/keepalived.log");
    let tomorrow = node.machine.shell("echo $(date +%F -d tomorrow) $(cat /tmp/when)");
    node.await_shell("again", &format!("grep -q 'Scheduling reload for {}' /tmp/keepalived.log", tomorrow.trim()));
    assert!(node.data().contains(&format!("Reload time file = /tmp/when (repeat)\n Reload scheduled for {tomorrow}")));
}

#[test]
fn what_a_reload_read_and_the_state_around_it_are_kept_under_keepaliveds_names() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    for ours in [false, true] {
        let node = Node::start(ours, "# a remark\n");
        node.machine.shell("kill -HUP $(cat /run/keepalived.pid)");
        node.await_shell("kept", "test $(ls /tmp/saved | wc -l) = 4");
        let names = "cd /tmp/saved && ls | sed \"s/$(cat /run/keepalived.pid)/PARENT/;s/$(cat /run/vrrp.pid)/VRRP/\"";
        assert_eq!(
            node.machine.shell(names),
            "keepalived.conf.PARENT.0\nkeepalived.conf.PARENT.1\nkeepalived_vrrp.VRRP.1.post\nkeepalived_vrrp.VRRP.1.pre\n",
            "{}",
            node.machine.logs()
        );
        assert_eq!(node.machine.shell("stat -c %a /tmp/saved/* | sort -u"), "600\n");
        let read = node.machine.shell("cat /tmp/saved/keepalived.conf.*.1");
        assert!(read.starts_with("# /etc/keepalived/keepalived.conf\n") && read.contains("10.0.0.100"), "{read}");
        let state = node.machine.shell("cat /tmp/saved/keepalived_vrrp.*.1.pre");
        assert!(state.contains("VRRP Instance = VI_1") && state.contains("State = MASTER"), "{state}");
    }
}

#[test]
fn the_file_of_those_who_write_the_configuration_is_gone_once_it_was_read() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    for ours in [false, true] {
        let node = Node::start(ours, "");
        node.machine.shell("echo waiting >/tmp/reading");
        node.machine.shell("kill -HUP $(cat /run/keepalived.pid)");
        node.await_shell("gone", "test ! -e /tmp/reading");
        node.await_shell("reloaded", "grep -qE 'Reload (complete|finished)' /tmp/keepalived.log");
    }
}

#[test]
fn while_the_configuration_is_being_read_the_file_is_there_and_empty() {
    if !able_to_run(&["strace"]) {
        return;
    }
    let node = Node::start(true, "");
    node.machine.shell("echo waiting >/tmp/reading");
    let mut trace = node.machine.spawn(
        "strace.log",
        &["sh", "-c", "exec strace -e trace=openat,unlink,unlinkat -o /tmp/trace -p $(cat /run/keepalived.pid)"],
    );
    node.await_shell("traced", "grep -q attached /tmp/strace.log");
    node.machine.shell("kill -HUP $(cat /run/keepalived.pid)");
    node.await_shell("gone", "test ! -e /tmp/reading");
    let calls = wait_for(PATIENCE, || {
        let calls = node.machine.read("/tmp/trace");
        calls.lines().any(|line| line.contains("unlink") && line.contains("/tmp/reading")).then_some(calls)
    });
    let calls = calls.expect("the file is taken away");
    let place = |needle: &dyn Fn(&str) -> bool| calls.lines().position(needle);
    let emptied = place(&|line| line.contains("/tmp/reading") && line.contains("O_TRUNC"));
    let read = place(&|line| line.contains("/etc/keepalived/keepalived.conf"));
    let removed = place(&|line| line.contains("unlink") && line.contains("/tmp/reading"));
    assert!(emptied.is_some() && emptied < read && read < removed, "{calls}");
    let _ = trace.kill();
    let _ = trace.wait();
}
