//! Each lint on a file where it speaks, and on the nearest one where it is silent.

use crate::{fixture, text};
use evenkeel_conf::keepalived::{Host, NoHost, ScriptFile, lint, lint_pair};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// A machine with eth0, 10.0.0.1 and one script at `/c.sh`.
#[derive(Default)]
struct Machine(Option<ScriptFile>);

impl Host for Machine {
    fn script(&self, path: &Path) -> Option<ScriptFile> {
        self.0.clone().filter(|_| path == Path::new("/c.sh"))
    }

    fn interface_exists(&self, name: &str) -> Option<bool> {
        Some(name == "eth0")
    }

    fn has_address(&self, address: IpAddr) -> Option<bool> {
        Some(address == IpAddr::from([10, 0, 0, 1]))
    }
}

fn instance(lines: &str) -> String {
    let line = |keyword: &str, default: &str| {
        if lines.lines().any(|line| line.starts_with(keyword)) { String::new() } else { format!("{default}\n") }
    };
    let (interface, addresses) =
        (line("interface ", "interface eth0"), line("virtual_ipaddress", "virtual_ipaddress {\n10.0.0.100\n}"));
    format!("vrrp_instance a {{\nvirtual_router_id 1\n{interface}{addresses}{lines}\n}}\n")
}

const SCRIPT: &str = "vrrp_script c {\nscript \"/c.sh\"\ninterval 2\n}\n";

#[track_caller]
fn check(config: &str, host: &dyn Host, expected: &[&str]) {
    let loaded = text(config);
    assert!(!loaded.has_errors(), "{config}");
    let found: Vec<_> = lint(&loaded, host).iter().map(|d| d.rule).collect();
    assert_eq!(found, expected, "{config}");
}

#[test]
fn rules_about_peers() {
    let peer = |lines: &str| format!("peer {{\nkey sixteen-letters-or-more\n{lines}\n}}\n");
    for (lines, expected) in [
        ("address 10.0.0.1", ["peer-self"].as_slice()),
        ("address 10.0.0.2", &[]),
        ("address 10.0.0.2\nsource 10.0.0.1", &[]),
        ("address 10.0.0.2\nsource 10.0.0.3", &["peer-source"]),
    ] {
        check(&peer(lines), &Machine::default(), expected);
        check(&peer(lines), &NoHost, &[]);
    }
}

#[test]
fn rules_about_the_election() {
    for (lines, expected) in [
        ("state MASTER\npriority 100\nnopreempt", ["master-nopreempt"].as_slice()),
        ("state BACKUP\npriority 100\nnopreempt", &[]),
        ("state MASTER\npriority 100\npreempt_delay 5", &["master-preempt-delay"]),
        ("state BACKUP\npreempt_delay 5", &[]),
        ("nopreempt\npreempt_delay 5", &["nopreempt-delay"]),
        ("nopreempt\ntrack_proxy { weight -5 }", &["weight-nopreempt"]),
        ("nopreempt\ntrack_interface { eth0 weight 5 }", &["weight-nopreempt"]),
        ("nopreempt\ntrack_proxy", &[]),
        ("track_proxy { weight -5 }", &[]),
        ("strict_mode", &["strict-without-accept"]),
        ("strict_mode\naccept", &[]),
        ("strict_mode off", &[]),
        ("strict_mode\npriority 255", &[]),
        ("advert_int 10", &["slow-failover"]),
        ("advert_int 5", &[]),
    ] {
        check(&instance(lines), &NoHost, expected);
    }
    let two = format!(
        "global_defs {{\nvrrp_strict\n}}\n{}{}",
        instance(""),
        instance("").replace("instance a", "instance b").replace("id 1", "id 2").replace(".100", ".101")
    );
    check(&two, &NoHost, &["strict-without-accept"]);
}

#[test]
fn rules_about_addresses_and_peers() {
    for (lines, expected) in [
        ("interface eth9", ["no-such-interface"].as_slice()),
        ("track_interface {\neth8\n}", &["no-such-interface"]),
        ("virtual_ipaddress {\n10.0.0.5 dev eth7\n}", &["no-such-interface"]),
        ("unicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.2\n}", &[]),
        ("unicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.2\n10.0.0.1\n}", &["unicast-self"]),
        ("unicast_peer {\n10.0.0.1\n}", &["no-redundancy", "unicast-self"]),
        ("unicast_peer {\n}", &["no-redundancy"]),
        ("unicast_src_ip 10.0.0.1", &["unicast-without-peers"]),
        ("mcast_src_ip 10.0.0.100", &["source-is-virtual"]),
        ("mcast_src_ip 10.0.0.9", &["source-not-here"]),
        ("virtual_ipaddress {\n10.0.0.5 brd 10.0.0.5\n}", &["broadcast-is-address"]),
        ("virtual_ipaddress {\n10.0.0.5/24 brd 10.0.0.255\n}", &[]),
        ("virtual_ipaddress {\n10.0.0.5\n10.0.0.5/24\n}", &["repeated-address"]),
    ] {
        check(&instance(lines), &Machine::default(), expected);
    }
}

fn with_script(script: &str, file: Option<ScriptFile>, expected: &[&str]) {
    check(&format!("{script}{}", instance("track_script {\nc\n}")), &Machine(file), expected);
}

fn says(text: &str) -> Option<ScriptFile> {
    Some(ScriptFile { executable: true, writable_element: None, text: Some(text.to_owned()) })
}

#[test]
fn rules_about_the_file_of_a_script() {
    with_script(SCRIPT, says("curl -fsS http://127.0.0.1/"), &[]);
    with_script(SCRIPT, None, &["script-missing"]);
    with_script(SCRIPT, Some(ScriptFile::default()), &["script-not-executable"]);
    with_script(&SCRIPT.replace("/c.sh", "sh /c.sh"), Some(ScriptFile::default()), &[]);
    let writable = ScriptFile { executable: true, writable_element: Some(PathBuf::from("/c.sh")), text: None };
    with_script(SCRIPT, Some(writable), &["script-writable"]);
    with_script(&SCRIPT.replace("interval 2", "interval 2\ntimeout 3"), says(""), &["script-timeout"]);
    with_script(&SCRIPT.replace("interval 2", "interval 2\ntimeout 2"), says(""), &[]);
}

#[test]
fn rules_about_what_a_script_does() {
    for (line, expected) in [
        ("systemctl stop keepalived", ["script-stops-failover"].as_slice()),
        ("  killall keepalived", &["script-stops-failover"]),
        ("/etc/init.d/keepalived stop", &["script-stops-failover"]),
        ("pkill -9 keepalived || exit 1", &["script-stops-failover"]),
        ("service keepalived stop", &["script-stops-failover"]),
        ("killall -0 keepalived", &["script-looks-at-process"]),
        ("# systemctl stop keepalived", &[]),
        ("systemctl status keepalived", &[]),
        ("systemctl restart nginx", &["script-restarts-service"]),
        ("/usr/local/nginx/sbin/nginx", &["script-restarts-service"]),
        ("/usr/local/nginx/sbin/nginx -t", &[]),
        ("systemctl is-active nginx", &[]),
        ("sleep 2", &["script-sleeps"]),
        ("sleep 0.5", &[]),
        ("A=`ps -C nginx --no-header | wc -l`", &["script-looks-at-process"]),
        ("pidof nginx && curl -f localhost", &[]),
        ("pidof nginx\ncurl -f localhost", &[]),
    ] {
        with_script(SCRIPT, says(line), expected);
    }
    with_script(&SCRIPT.replace("/c.sh", "killall -0 nginx"), None, &["script-looks-at-process"]);
}

#[test]
fn rules_about_commands_of_virtual_servers() {
    let misc = |command: &str| format!("real_server 10.0.0.9 80 {{\nMISC_CHECK {{\nmisc_path \"{command}\"\n}}\n}}");
    for (lines, file, expected) in [
        (misc("pidof nginx"), None, ["script-looks-at-process"].as_slice()),
        (misc("/bin/killall -0 nginx"), says(""), &["script-missing", "script-looks-at-process"]),
        (misc("sh -c 'ps ax | grep nginx'"), None, &["script-looks-at-process"]),
        (misc("curl -f http://10.0.0.9/"), None, &[]),
        (misc("/c.sh"), None, &["script-missing"]),
        (misc("/c.sh"), says("pgrep nginx"), &["script-looks-at-process"]),
        (misc("/c.sh"), says("systemctl stop keepalived"), &["script-stops-failover"]),
        (misc("/c.sh"), says("sleep 9"), &[]),
        (
            "real_server 10.0.0.9 80 {\nnotify_up /c.sh\n}".to_owned(),
            Some(ScriptFile::default()),
            &["script-not-executable"],
        ),
        ("quorum_down /c.sh".to_owned(), None, &["script-missing"]),
        ("quorum_down /c.sh".to_owned(), says("systemctl restart nginx"), &[]),
    ] {
        let text = crate::balance::virtual_server("10.0.0.100 80", &lines);
        check(&text, &Machine(file), expected);
    }
}

#[test]
fn rules_about_a_real_server_that_is_the_director() {
    for (lines, expected) in [
        ("lvs_method DR\nreal_server 10.0.0.100 80 {\n}", ["real-server-is-virtual"].as_slice()),
        ("lvs_method TUN\nreal_server 10.0.0.100 80 {\n}", &["real-server-is-virtual"]),
        ("lvs_method DR\nreal_server 10.0.0.1 80 {\n}", &["real-server-is-director"]),
        ("lvs_method DR\nreal_server 10.0.0.2 80 {\n}", &[]),
        ("lvs_method NAT\nreal_server 10.0.0.1 80 {\n}", &[]),
        ("lvs_method DR\nreal_server 10.0.0.1 80 {\nlvs_method NAT\n}", &[]),
    ] {
        check(&crate::balance::virtual_server("10.0.0.100 80", lines), &Machine::default(), expected);
    }
}

#[test]
fn the_scripts_of_the_articles_are_explained() {
    let nginx_check = "#!/bin/bash\nA=`ps -C nginx --no-header |wc -l`\nif [ $A -eq 0 ];then\n    /usr/local/nginx/sbin/nginx\n    sleep 2\n    if [ `ps -C nginx --no-header |wc -l` -eq 0 ];then\n        killall keepalived\n    fi\nfi\n";
    with_script(
        SCRIPT,
        says(nginx_check),
        &["script-stops-failover", "script-restarts-service", "script-sleeps", "script-looks-at-process"],
    );
    let rules = |name: &str| lint(&fixture(name), &NoHost).iter().map(|d| d.rule).collect::<Vec<_>>();
    assert_eq!(rules("seed_004_main.conf"), ["master-nopreempt"]);
    assert_eq!(rules("seed_004_backup.conf"), ["weight-nopreempt"]);
    assert_eq!(rules("seed_001_lb01.conf"), [""; 0]);
    assert_eq!(rules("seed_000_nopreempt.conf"), ["script-looks-at-process", "weight-nopreempt"]);
}

#[track_caller]
fn pair(mine: &str, peer: &str, expected: &[&str]) {
    let (mine, peer) = (text(mine), text(peer));
    let found: Vec<_> = lint_pair(&mine, &peer).iter().map(|d| d.rule).collect();
    assert_eq!(found, expected);
}

#[test]
fn rules_about_two_nodes() {
    for (mine, peer, expected) in [
        ("priority 150", "priority 100", [].as_slice()),
        ("priority 100", "priority 100", &["equal-priorities"]),
        ("priority 255", "priority 255", &["two-owners"]),
        ("priority 150\ntrack_proxy { weight -20 }", "priority 100\ntrack_proxy { weight -20 }", &["weight-too-small"]),
        ("priority 150\ntrack_proxy { weight -60 }", "priority 100\ntrack_proxy { weight -60 }", &[]),
        ("priority 150\ntrack_proxy { weight 20 }", "priority 100", &["weight-on-primary-only"]),
        ("priority 110\ntrack_proxy { weight 20 }", "priority 100\ntrack_proxy { weight 20 }", &[]),
        ("priority 150\ntrack_proxy", "priority 100", &[]),
        ("priority 150\nversion 3", "priority 100", &["versions-differ"]),
        ("priority 150\nadvert_int 2", "priority 100", &["intervals-differ"]),
        ("priority 150\nauthentication {\nauth_type PASS\nauth_pass a\n}", "priority 100", &["passwords-differ"]),
        (
            "priority 150\nvirtual_ipaddress {\n10.0.0.1\n10.0.0.2\n}",
            "priority 100\nvirtual_ipaddress {\n10.0.0.1\n10.0.0.3\n}",
            &["addresses-differ", "addresses-differ"],
        ),
        (
            "priority 150\nvirtual_ipaddress {\n10.0.0.1\n10.0.0.2\n}",
            "priority 100\nvirtual_ipaddress {\n10.0.0.2\n10.0.0.1\n}",
            &[],
        ),
        (
            "priority 150\nunicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.2\n}",
            "priority 100\nunicast_src_ip 10.0.0.3\nunicast_peer {\n10.0.0.1\n}",
            &["unicast-asymmetric"],
        ),
    ] {
        pair(&instance(mine), &instance(peer), expected);
    }
    pair(&instance(""), &instance("").replace("id 1", "id 2"), &["no-peer"]);
    let rules =
        |mine: &str, peer: &str| lint_pair(&fixture(mine), &fixture(peer)).iter().map(|d| d.rule).collect::<Vec<_>>();
    assert_eq!(rules("seed_004_main.conf", "seed_004_backup.conf"), ["equal-priorities"]);
    assert_eq!(rules("seed_001_lb01.conf", "seed_001_lb02.conf"), [""; 0]);
    assert_eq!(rules("seed_000_master.conf", "seed_000_slave.conf"), [""; 0]);
}
