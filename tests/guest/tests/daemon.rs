//! The whole daemon with IPVS: it programs, follows health, repairs, outlives its role, and leaves other people's alone.
#![allow(missing_docs, clippy::unwrap_used)]

use evenkeel_guest::{in_fresh_namespace, output};
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Emulated processors are slow, and a broken daemon must fail a test, not hang it.
const PATIENCE: Duration = Duration::from_secs(60);

const DIRECTORY: &str = "/tmp/daemon";

/// A running daemon; killed when the test ends early.
struct Daemon(Child);

impl Daemon {
    fn start(conf: &str) -> Self {
        std::fs::create_dir_all(DIRECTORY).unwrap();
        configure(conf);
        let log = std::fs::File::create(format!("{DIRECTORY}/log")).unwrap();
        let child = Command::new("evenkeel")
            .args(["run", "-f", "/tmp/daemon/conf", "--runtime-dir", "/tmp/daemon/run"])
            .env("EVENKEEL_STATE_DIR", "/tmp/daemon/state")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Daemon(child)
    }

    fn stop(mut self) {
        output(&format!("kill -TERM {}", self.0.id()));
        let status = self.0.wait().unwrap();
        assert!(status.success(), "{status}\n{}", log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn configure(conf: &str) {
    std::fs::write(format!("{DIRECTORY}/conf"), conf).unwrap();
}

fn log() -> String {
    std::fs::read_to_string(format!("{DIRECTORY}/log")).unwrap_or_default()
}

/// The kernel's table, by its own program, a line for each entry.
fn table() -> BTreeSet<String> {
    output("ipvsadm -Sn").lines().map(|line| line.trim().to_owned()).collect()
}

fn await_table(expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|line| (*line).to_owned()).collect();
    until(|| table() == expected, || format!("{:#?} is not {expected:#?}", table()));
}

fn until(mut condition: impl FnMut() -> bool, words: impl FnOnce() -> String) {
    let end_at = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end_at, "{}\n{}", words(), log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

const FOREIGN: &str = "-A -u 10.9.0.9:53 -s rr";
const SERVICE: &str = "-A -t 10.0.0.100:80 -s wrr";
const ONE: &str = "-a -t 10.0.0.100:80 -r 127.0.0.1:8001 -m -w 2";
const TWO: &str = "-a -t 10.0.0.100:80 -r 127.0.0.2:8001 -m -w 3";
const SORRY: &str = "-a -t 10.0.0.100:80 -r 127.0.0.9:80 -m -w 1";

fn conf(more: &str) -> String {
    let server = |address: &str, weight: u8| {
        format!(
            "real_server {address} 8001 {{\n weight {weight}\n TCP_CHECK {{\n  connect_timeout 2\n  retry 0\n  warmup 0\n }}\n}}\n"
        )
    };
    format!(
        "global_defs {{\n lb_plane ipvs\n}}\nvirtual_server 10.0.0.100 80 {{\n delay_loop 0.5\n lb_algo wrr\n lb_kind NAT\n \
         protocol TCP\n sorry_server 127.0.0.9 80\n {}{}}}\n{more}",
        server("127.0.0.1", 2),
        server("127.0.0.2", 3)
    )
}

/// Process id of the balance role.
fn role() -> Option<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let names = processes.map(|process| process.file_name().to_string_lossy().into_owned());
    let mut numbers = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let is_role = |number: &String| {
        let line = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        line.windows(14).any(|words| words == b"--role\0balance")
    };
    numbers.find(is_role)
}

#[test]
fn the_table_follows_health_and_is_kept_from_start_to_stop() {
    in_fresh_namespace(|| {
        output("ip link set lo up");
        output(&format!("ipvsadm {FOREIGN}"));
        let one = TcpListener::bind("127.0.0.1:8001").unwrap();
        let two = TcpListener::bind("127.0.0.2:8001").unwrap();
        let daemon = Daemon::start(&conf(""));
        await_table(&[FOREIGN, SERVICE, ONE, TWO]);

        // A server dies, then the other one; then they return.
        drop(two);
        await_table(&[FOREIGN, SERVICE, ONE]);
        drop(one);
        await_table(&[FOREIGN, SERVICE, SORRY]);
        let _one = TcpListener::bind("127.0.0.1:8001").unwrap();
        let _two = TcpListener::bind("127.0.0.2:8001").unwrap();
        await_table(&[FOREIGN, SERVICE, ONE, TWO]);

        // Somebody else edits what is ours.
        output("ipvsadm -d -t 10.0.0.100:80 -r 127.0.0.1:8001");
        output("ipvsadm -e -t 10.0.0.100:80 -r 127.0.0.2:8001 -m -w 9");
        await_table(&[FOREIGN, SERVICE, ONE, TWO]);
        let status = output("evenkeel status --json --runtime-dir /tmp/daemon/run");
        assert!(status.contains("\"repairs\"") && !status.contains("\"repairs\": 0"), "{status}");
        let why = output("evenkeel why --runtime-dir /tmp/daemon/run");
        assert!(why.contains("somebody else changed the table"), "{why}");
        assert!(why.contains("it is put right: add 127.0.0.1:8001 with weight"), "{why}");

        // The role dies: the kernel's table stays, and its successor takes it over.
        until(|| role().is_some(), || "no balance role".to_owned());
        let first = role().unwrap();
        output(&format!("kill -9 {first}"));
        let mut before = table();
        until(
            || {
                assert_eq!(std::mem::replace(&mut before, table()), table(), "no entry moves meanwhile");
                role().is_some_and(|now| now != first)
            },
            || "the role is not started again".to_owned(),
        );
        until(|| log().contains("0 changes made"), || "the successor does not take the table over".to_owned());
        await_table(&[FOREIGN, SERVICE, ONE, TWO]);

        // A thousand services more, and away again.
        let service = |n: usize| {
            format!(
                "virtual_server 10.1.{}.{} 80 {{\n lb_algo rr\n lb_kind DR\n protocol TCP\n real_server 10.2.0.1 80 {{\n }}\n}}\n",
                n / 250,
                n % 250 + 1
            )
        };
        configure(&conf(&(0..1000).map(service).collect::<String>()));
        output("evenkeel reload --runtime-dir /tmp/daemon/run");
        until(|| table().len() == 4 + 2000, || format!("{} entries", table().len()));
        configure(&conf(""));
        output("evenkeel reload --runtime-dir /tmp/daemon/run");
        await_table(&[FOREIGN, SERVICE, ONE, TWO]);

        daemon.stop();
        assert_eq!(table(), BTreeSet::from([FOREIGN.to_owned()]), "what somebody else made stays");
    });
}

#[test]
fn the_table_may_be_that_of_another_namespace() {
    in_fresh_namespace(|| {
        output("ip link set lo up");
        output("ip netns add blue");
        output("ip netns exec blue ip link set lo up");
        let _one = TcpListener::bind("127.0.0.1:8001").unwrap();
        let _two = TcpListener::bind("127.0.0.2:8001").unwrap();
        let daemon = Daemon::start(&format!("net_namespace_ipvs blue\n{}", conf("")));
        let there = || {
            output("ip netns exec blue ipvsadm -Sn").lines().map(|line| line.trim().to_owned()).collect::<BTreeSet<_>>()
        };
        let expected: BTreeSet<_> = [SERVICE, ONE, TWO].map(str::to_owned).into();
        until(|| there() == expected, || format!("{:?}", there()));
        assert_eq!(table(), BTreeSet::new(), "nothing is in the daemon's own");
        daemon.stop();
        assert_eq!(there(), BTreeSet::new());
        output("ip netns delete blue");
    });
}
