//! Linked as `keepalived` and `nginx`: the same words in, the same exit status and texts out as the real programs.

use evenkeel_e2e::{Lan, Machine, able_to_run};

/// The same command on a machine with the real programs and on one with ours.
struct Twins {
    real: Machine,
    ours: Machine,
    _lan: Lan,
}

impl Twins {
    fn new() -> Self {
        let lan = Lan::new();
        let real = lan.machine("real", "eth0", "10.0.0.10/24");
        let ours = lan.machine("ours", "eth0", "10.0.0.11/24").with_evenkeel();
        Twins { real, ours, _lan: lan }
    }

    fn write(&self, path: &str, text: &str) {
        self.real.write(path, text);
        self.ours.write(path, text);
    }

    fn same_exit_status(&self, what: &str, words: &[&str]) {
        let (real, ours) = (self.real.run(words), self.ours.run(words));
        let said = String::from_utf8_lossy(&ours.stderr).into_owned() + &String::from_utf8_lossy(&ours.stdout);
        assert_eq!(ours.status.code(), real.status.code(), "{what}: {words:?} said {said}");
    }

    /// Compares standard error, but for our warnings about directives that are accepted without effect, and for the
    /// time and process that Debian's build writes, since its first error log is standard error itself.
    fn same_stderr(&self, what: &str, words: &[&str]) {
        let (real, ours) = (self.real.run(words), self.ours.run(words));
        let text = |output: &std::process::Output| -> String {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            let lines = text.lines().filter(|line| !line.contains("has no effect"));
            lines.map(|line| without_time(line) + "\n").collect()
        };
        assert_eq!(text(&ours), text(&real), "{what}");
        assert_eq!(ours.status.code(), real.status.code(), "{what}");
    }
}

/// `2026/11/22 19:51:48 [emerg] 19#19: text` as `nginx: [emerg] text`.
fn without_time(line: &str) -> String {
    let timed = line.strip_prefix("20").and_then(|_| line.split_once(" [")).and_then(|(_, rest)| rest.split_once("] "));
    match timed.and_then(|(level, rest)| Some((level, rest.split_once(": ")?.1))) {
        Some((level, text)) => format!("nginx: [{level}] {text}"),
        None => line.to_owned(),
    }
}

const GOOD: &str = "vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 50
    virtual_ipaddress {
        10.0.0.100
    }
}
";

#[test]
fn keepalived_config_test_ends_with_the_same_status() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    let twins = Twins::new();
    let files = [
        ("a good file", GOOD.to_owned()),
        ("an unknown keyword", GOOD.replace("    interface", "    intreface eth1\n    interface")),
        ("a missing brace", GOOD.trim_end().trim_end_matches('}').to_owned()),
        ("an absent interface", GOOD.replace("eth0", "eth7")),
        ("a number out of range", GOOD.replace("50", "500")),
        (
            "a password that is too long",
            GOOD.replace(
                "    virtual_ip",
                "    authentication {\n        auth_type PASS\n        auth_pass 1234567890\n    }\n    virtual_ip",
            ),
        ),
    ];
    for (what, text) in files {
        twins.write("/etc/keepalived/keepalived.conf", &text);
        twins.same_exit_status(what, &["keepalived", "-t"]);
    }
}

#[test]
fn keepalived_config_test_ends_with_the_same_status_for_scripts() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    let twins = Twins::new();
    for machine in [&twins.real, &twins.ours] {
        machine.install("/opt/weak/ok.sh", "#!/bin/sh\n");
        machine.install("/opt/ok.sh", "#!/bin/sh\n");
        machine.shell("chmod 777 /opt/weak");
    }
    let (root, secure) = ("script_user root", "script_user root\n    enable_script_security");
    let rows = [
        ("scripts without script security", root, "/opt/ok.sh"),
        ("a script that others can change, without", root, "/opt/weak/ok.sh"),
        ("a safe script", secure, "/opt/ok.sh"),
        ("a script that others can change", secure, "/opt/weak/ok.sh"),
        ("a script that is not there", secure, "/opt/none.sh"),
        ("a folder", secure, "/opt"),
        ("a name in PATH", secure, "true"),
        ("a name that is not in PATH", secure, "no-such-program"),
        ("a line of shell", secure, "/usr/bin/sh -c 'exit 0'"),
        ("nobody to run it", "enable_script_security", "/opt/ok.sh"),
        ("a user that does not exist", "script_user nosuch\n    enable_script_security", "/opt/ok.sh"),
    ];
    for (what, global, script) in rows {
        let tracked = GOOD.replace("    virtual_ip", "    track_script {\n        chk\n    }\n    virtual_ip");
        let text =
            format!("global_defs {{\n    {global}\n}}\nvrrp_script chk {{\n    script \"{script}\"\n}}\n{tracked}");
        twins.write("/etc/keepalived/keepalived.conf", &text);
        twins.same_exit_status(what, &["keepalived", "-t"]);
    }
}

#[test]
fn nginx_test_says_the_same_in_the_same_place() {
    if !able_to_run(&["nginx"]) {
        return;
    }
    let twins = Twins::new();
    let good = "server {\n    listen 8080;\n    location / {\n        return 200 ok;\n    }\n}\n";
    let files = [
        ("a good file", good.to_owned()),
        ("an unknown directive", good.replace("listen", "lisden")),
        // On one line: nginx counts the line where it noticed, we the one of the directive.
        ("a missing semicolon", good.replace("8080;\n    location", "8080 location")),
        ("a missing brace", good.trim_end().trim_end_matches('}').to_owned()),
        ("one brace too many", format!("{good}}}\n")),
        ("a directive in the wrong place", good.replace("listen 8080;", "upstream x { server 10.0.0.1; }")),
        ("too few arguments", good.replace("listen 8080", "listen")),
        ("an unknown host", good.replace("return 200 ok", "proxy_pass http://no-such-host.invalid")),
        ("an empty upstream", format!("upstream kd {{ }}\n{good}")),
    ];
    for (what, text) in files {
        twins.write("/etc/nginx/conf.d/site.conf", &text);
        twins.same_stderr(what, &["nginx", "-t"]);
    }
}

#[test]
fn nginx_dumps_the_configuration_as_it_was_read() {
    if !able_to_run(&["nginx"]) {
        return;
    }
    let twins = Twins::new();
    twins.write("/etc/nginx/conf.d/site.conf", "server { listen 8080; }\n");
    let (real, ours) = (twins.real.run(&["nginx", "-T"]), twins.ours.run(&["nginx", "-T"]));
    assert_eq!(String::from_utf8_lossy(&ours.stdout), String::from_utf8_lossy(&real.stdout));
}

#[test]
fn nginx_signals_itself_through_the_pid_file() {
    if !able_to_run(&["nginx"]) {
        return;
    }
    let twins = Twins::new();
    twins.write("/etc/nginx/conf.d/site.conf", "server { listen 8080; return 200 one; }\n");
    for machine in [&twins.real, &twins.ours] {
        machine.shell("nginx");
        let ask = || machine.shell("curl -s http://127.0.0.1:8080/");
        assert_eq!(ask(), "one");
        machine.write("/etc/nginx/conf.d/site.conf", "server { listen 8080; return 200 two; }\n");
        machine.shell("nginx -s reload");
        assert!(evenkeel_e2e::wait_until(std::time::Duration::from_secs(5), || ask() == "two"), "{}", machine.name());
        machine.shell("mv /var/log/nginx/access.log /var/log/nginx/old.log; nginx -s reopen");
        let reopened = evenkeel_e2e::wait_until(std::time::Duration::from_secs(5), || {
            machine.path("/var/log/nginx/access.log").exists()
        });
        assert!(reopened, "{}", machine.name());
        machine.shell("nginx -s quit");
        let gone =
            evenkeel_e2e::wait_until(std::time::Duration::from_secs(5), || !machine.path("/run/nginx.pid").exists());
        assert!(gone, "{}", machine.name());
    }
    twins.same_exit_status("a signal without a daemon", &["nginx", "-s", "stop"]);
}

#[test]
fn nginxs_option_e_is_the_log_before_and_without_one_of_the_configuration() {
    if !able_to_run(&["nginx"]) {
        return;
    }
    let twins = Twins::new();
    let conf = "events {}\nhttp { access_log off; server { listen 8080; root /nowhere; } }\n";
    let named = format!("error_log /tmp/named.log;\n{conf}");
    let broken = conf.replace("listen", "lisden");
    // Configuration, where `-e` leads, and the other words.
    let rows: [(&str, &str, &str, &[&str]); 7] = [
        ("a good file", conf, "/tmp/e.log", &["-t"]),
        ("a broken file", &broken, "/tmp/e.log", &["-t"]),
        ("a broken file to run", &broken, "/tmp/e.log", &[]),
        ("a signal without a daemon", conf, "/tmp/e.log", &["-s", "stop"]),
        ("a log that cannot be opened", conf, "/nowhere/e.log", &["-t"]),
        ("a log that cannot be opened and is not needed", &named, "/nowhere/e.log", &["-t"]),
        ("a log relative to the prefix", &broken, "e.log", &["-t", "-p", "/tmp/"]),
    ];
    for (what, text, log, more) in rows {
        twins.write("/tmp/n.conf", text);
        let words = [&["nginx", "-c", "/tmp/n.conf", "-e", log], more].concat();
        twins.same_stderr(what, &words);
        let logs = [&twins.real, &twins.ours].map(|machine| {
            let text = machine.read("/tmp/e.log");
            // nginx's test leaves an empty pid file behind.
            machine.shell("rm -f /tmp/e.log /run/nginx.pid");
            text.lines().map(without_time).collect::<Vec<_>>()
        });
        assert_eq!(logs[1], logs[0], "{what}");
    }

    // Nobody names another log: what happens later goes there too, and only that.
    twins.write("/tmp/n.conf", conf);
    for machine in [&twins.real, &twins.ours] {
        machine.shell("nginx -c /tmp/n.conf -e /tmp/e.log && curl -s http://127.0.0.1:8080/x >/tmp/page; nginx -c /tmp/n.conf -s stop");
        let missing = || machine.read("/tmp/e.log").contains("\"/nowhere/x\" failed (2: No such file or directory)");
        assert!(evenkeel_e2e::wait_until(std::time::Duration::from_secs(5), missing), "{}", machine.name());
        let log = machine.read("/tmp/e.log");
        assert!(!log.contains("[notice]"), "{}: {log}", machine.name());
    }
}

#[test]
fn an_error_log_has_nothing_below_its_level() {
    if !able_to_run(&["nginx"]) {
        return;
    }
    let twins = Twins::new();
    for (level, is_told) in [("crit", false), ("error", false), ("notice", true)] {
        let conf = format!(
            "daemon off;\nerror_log stderr {level};\nevents {{}}\nhttp {{ access_log off; server {{ listen 8080; return 200; }} }}\n"
        );
        twins.write("/tmp/n.conf", &conf);
        for machine in [&twins.real, &twins.ours] {
            let mut daemon = machine.spawn("nginx.log", &["nginx", "-c", "/tmp/n.conf"]);
            machine.shell("until curl -s http://127.0.0.1:8080/; do sleep 0.02; done; kill $(cat /run/nginx.pid)");
            daemon.wait().expect("it ends");
            let log = machine.read("/tmp/nginx.log");
            assert_eq!(log.contains("[notice]"), is_told, "{} at {level}: {log}", machine.name());
            assert_eq!(log.is_empty(), !is_told, "{} at {level}: {log}", machine.name());
        }
    }
}
