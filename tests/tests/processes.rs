//! keepalived as a set of processes: names, pid files, scripts at both ends, beside the real program.

use evenkeel_e2e::{Lan, Machine, able_to_run, wait_for};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(15);

const INSTANCE: &str = "vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    virtual_ipaddress {
        10.0.0.100
    }
}
";

/// The real program and ours, on a LAN each.
fn twins() -> ([Machine; 2], [Lan; 2]) {
    let lans = [Lan::new(), Lan::new()];
    let real = lans[0].machine("host", "eth0", "10.0.0.10/24");
    let ours = lans[1].machine("host", "eth0", "10.0.0.10/24").with_evenkeel();
    ([real, ours], lans)
}

/// Starts keepalived in the foreground on both, waits for what is `ready`, looks with `look`, stops, and says what each
/// look showed and how each ended.
fn both(conf: &str, words: &[&str], ready: &str, look: &str) -> [(String, Option<i32>); 2] {
    both_after("true", conf, words, ready, look)
}

/// The same, on machines where `setup` was run first.
fn both_after(setup: &str, conf: &str, words: &[&str], ready: &str, look: &str) -> [(String, Option<i32>); 2] {
    let (machines, _lans) = twins();
    machines.each_ref().map(|machine| {
        machine.shell(setup);
        machine.write("/etc/keepalived/keepalived.conf", conf);
        let mut daemon = machine.spawn("keepalived.log", &[&["keepalived", "-n", "-l", "-D"], words].concat());
        let is_ready = || machine.run(&["sh", "-c", ready]).status.success().then_some(());
        assert!(wait_for(PATIENCE, is_ready).is_some(), "{}: {}", machine.name(), machine.logs());
        let seen = machine.shell(look);
        machine.shell("kill -TERM $(cat $(find /run /tmp -name 'keepalived*.pid' -o -name own.pid))");
        let status = daemon.wait().expect("it ends");
        (seen + &machine.shell("find /run -name '*.pid'; cat /tmp/hooks 2>/dev/null; true"), status.code())
    })
}

#[test]
fn pid_files_are_where_keepalived_has_them() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    let bfd = "bfd_instance b {\n    neighbor_ip 10.0.0.77\n}\n";
    let rows: [(&str, &str, &[&str], u32); 7] = [
        ("without a word", "", &[], 2),
        ("use_pid_dir", "use_pid_dir\n", &[], 2),
        ("instance", "instance One\n", &[], 2),
        ("the command line", "instance One\n", &["-p", "/tmp/own.pid", "-r", "/tmp/vrrp.pid"], 2),
        ("BFD", bfd, &[], 3),
        ("BFD by the command line", bfd, &["-b", "/tmp/bfd.pid"], 3),
        ("every process", "", &["--all"], 4),
    ];
    for (what, head, words, n_files) in rows {
        let find = "find /run /tmp -name '*.pid' | sort";
        let ready = format!("test $(find /run /tmp -name '*.pid' | wc -l) = {n_files}");
        let [real, ours] = both(&format!("{head}{INSTANCE}"), words, &ready, find);
        assert_eq!(ours, real, "{what}");
    }
}

#[test]
fn in_a_namespace_the_daemon_sees_its_own_pid_files_in_the_common_folder() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    let setup = "mkdir -p /run/netns && ip netns add blue && ip -n blue link set lo up &&                  ip -n blue link add eth0 type veth peer name far && ip -n blue link set far up &&                  ip -n blue addr add 10.0.0.10/24 dev eth0 && ip -n blue link set eth0 up";
    let ready = "test -e /run/keepalived/blue/vrrp.pid -a -e /run/keepalived/blue/keepalived.pid";
    let look = "find /run/keepalived -name '*.pid' | sort;                 nsenter -t $(cat /run/keepalived/blue/keepalived.pid) -m -r find /run/keepalived -name '*.pid' | sort;                 nsenter -t $(cat /run/keepalived/blue/vrrp.pid) -m -r find /run/keepalived -name '*.pid' | sort";
    let [real, ours] = both_after(setup, &format!("net_namespace blue\n{INSTANCE}"), &[], ready, look);
    assert_eq!(ours, real);
    assert_eq!(ours.0.lines().filter(|line| *line == "/run/keepalived/keepalived.pid").count(), 2, "{}", ours.0);
}

#[test]
fn options_without_effect_say_so() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let host = lan.machine("host", "eth0", "10.0.0.10/24").with_evenkeel();
    host.write("/etc/keepalived/keepalived.conf", INSTANCE);
    let mut daemon = host.spawn("keepalived.log", &["keepalived", "-n", "-l", "-X", "--perf=run", "--debug", "-x"]);
    host.await_holding("10.0.0.100", PATIENCE);
    let log = host.read("/tmp/keepalived.log");
    for option in ["perf", "debug", "snmp"] {
        assert!(log.contains(&format!("the option {option} has no effect: ")), "{option}: {log}");
    }
    host.shell("kill $(cat /run/keepalived.pid)");
    daemon.wait().expect("it ends");
}

#[test]
fn processes_have_the_names_that_the_configuration_gives() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    let rows =
        [("process_names", "keepalived keepalived_vrrp"), ("process_name KP\n    vrrp_process_name KV", "KP KV")];
    for (words, expected) in rows {
        let conf = format!("global_defs {{\n    {words}\n}}\n{INSTANCE}");
        let names = "for f in keepalived vrrp; do cat /proc/$(cat /run/$f.pid)/comm; done | tr '\\n' ' '";
        let [real, ours] = both(&conf, &[], "test -e /run/keepalived.pid -a -e /run/vrrp.pid && sleep 0.3", names);
        assert_eq!(ours, real, "{words}");
        assert_eq!(ours.0.trim(), expected);
    }
}

#[test]
fn scripts_run_at_both_ends_and_one_that_hangs_is_ended() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    let conf = format!(
        "global_defs {{
    script_user root
    startup_script \"/bin/sh -c 'echo start $(ls /run/vrrp.pid 2>&1 | wc -w) >>/tmp/hooks; exec sleep 1000'\"
    startup_script_timeout 1
    shutdown_script \"/bin/sh -c 'echo stop $(pgrep -x keepalived | wc -l) >>/tmp/hooks'\"
}}
{INSTANCE}"
    );
    let [real, ours] = both(&conf, &[], "test -e /run/vrrp.pid", "pgrep sleep | wc -l");
    assert_eq!(ours.1, real.1);
    let hooks = |text: &str| text.lines().filter(|line| line.starts_with("st")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(hooks(&ours.0), hooks(&real.0));
    assert_eq!(hooks(&ours.0).len(), 2, "{}", ours.0);
}

#[test]
fn words_of_the_command_line_end_with_keepaliveds_status_and_text() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    let (machines, _lans) = twins();
    let rows: [&[&str]; 12] = [
        &["-t"],
        &["-t", "extra"],
        &["-t", "-f", "/nowhere.conf"],
        &["-n", "-f", "/nowhere.conf"],
        &["--signum=STOP"],
        &["--signum=RELOAD"],
        &["--signum=DATA"],
        &["--signum=STATS"],
        &["--signum=STATS_CLEAR"],
        &["--signum=JSON"],
        &["--signum=TDATA"],
        &["--bogus"],
    ];
    for words in rows {
        let [real, ours] = machines.each_ref().map(|machine| {
            machine.write("/etc/keepalived/keepalived.conf", INSTANCE);
            let output = machine.run(&[&["keepalived"], words].concat());
            (output.status.code(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
        });
        assert_eq!(ours, real, "{words:?}");
    }
    for machine in &machines {
        let mut daemon = machine.spawn("keepalived.log", &["keepalived", "-n", "-l"]);
        assert!(wait_for(PATIENCE, || machine.path("/run/keepalived.pid").exists().then_some(())).is_some());
        let second = machine.run(&["keepalived", "-n", "-l"]);
        assert_eq!(second.status.code(), Some(0), "{}: a second one", machine.name());
        assert!(String::from_utf8_lossy(&second.stderr).contains("daemon is already running"), "{}", machine.name());
        machine.shell("kill $(cat /run/keepalived.pid)");
        daemon.wait().expect("it ends");
    }
}

#[test]
fn a_script_has_the_other_groups_of_its_user_where_a_colon_asks_for_them() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let host = lan.machine("host", "eth0", "10.0.0.10/24").with_evenkeel();
    host.shell("groupadd -f ga; groupadd -f gb; useradd -M -G ga,gb scripter; mkdir -m 1777 /tmp/n");
    for (nth, (global, user, expected)) in [
        ("", "scripter ga", "ga"),
        ("", "scripter :ga", "ga gb scripter"),
        ("set_supplementary_groups", "scripter", "ga gb scripter"),
        ("", "scripter", "scripter"),
    ]
    .into_iter()
    .enumerate()
    {
        let note = format!("/tmp/n/{nth}");
        let script = format!("    notify_backup \"/usr/bin/sh -c 'id -Gn >{note}'\" {user}\n");
        let instance = INSTANCE.replace("    virtual_ipaddress", &format!("{script}    virtual_ipaddress"));
        host.write("/etc/keepalived/keepalived.conf", &format!("global_defs {{\n    {global}\n}}\n{instance}"));
        let mut daemon = host.spawn("keepalived.log", &["keepalived", "-n", "-l"]);
        let text = wait_for(PATIENCE, || Some(host.read(&note)).filter(|text| text.ends_with('\n')));
        let mut groups: Vec<_> = text.as_deref().unwrap_or_default().split_whitespace().collect();
        groups.sort_unstable();
        assert_eq!(groups.join(" "), expected, "{global} {user}: {}", host.logs());
        host.shell("kill $(cat /run/keepalived.pid)");
        daemon.wait().expect("it ends");
    }
}
