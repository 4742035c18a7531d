use crate::wait_until;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// A service as the articles start and stop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `systemctl ... keepalived`.
    Keepalived,
    /// `systemctl ... nginx`.
    Nginx,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::Keepalived => "keepalived",
            Service::Nginx => "nginx",
        }
    }
}

/// One machine on a [`Lan`](crate::Lan).
pub struct Machine {
    name: String,
    namespace: String,
    interface: String,
    init: Child,
    /// Process 1 of the machine, as numbered outside it.
    pid: u32,
    scratch: PathBuf,
}

/// Makes the machine's root and becomes its process 1, which reaps what its daemons leave behind.
const INIT: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t tmpfs tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount --rbind /dev dev
touch usr/local/bin/evenkeel
mount --bind "$3" usr/local/bin/evenkeel
mount -t sysfs sysfs sys
hostname "$2"
exec chroot . /bin/sh -c 'echo ready; while :; do sleep 1000; done'
"#;

/// What the articles' scripts call. Services are whatever stands at their usual paths.
const SYSTEMCTL: &str = r#"#!/bin/sh
verb=$1; service=$2
pid() { cat "/run/$service.pid" 2>/dev/null; }
stop() {
    p=$(pid) || return 0
    kill "$p" 2>/dev/null || return 0
    while kill -0 "$p" 2>/dev/null; do sleep 0.02; done
}
case $verb in
start) "/usr/sbin/$service" ;;
stop) stop ;;
restart) stop; "/usr/sbin/$service" ;;
reload) kill -HUP "$(pid)" ;;
*) exit 0 ;;
esac
"#;

impl Machine {
    pub(crate) fn start(name: &str, namespace: &str, interface: &str) -> Self {
        let scratch = std::env::temp_dir().join(namespace);
        fs::create_dir_all(&scratch).expect("a scratch directory");
        let mut init = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "ip", "netns", "exec", namespace])
            .args(["unshare", "-m", "-p", "-f", "-u", "--kill-child", "sh", "-c", INIT, "init"])
            .arg(&scratch)
            .arg(name)
            .arg(crate::evenkeel())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let mut line = String::new();
        let stdout = init.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the machine says it is ready");
        assert_eq!(line, "ready\n", "machine {name} did not start");
        let pid = only_child(init.id());
        let machine = Machine {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            interface: interface.to_owned(),
            init,
            pid,
            scratch,
        };
        machine.install("/usr/local/bin/systemctl", SYSTEMCTL);
        // The policy of a package installation has no place on these machines.
        machine.shell("rm -rf /etc/keepalived /etc/nginx/conf.d /etc/nginx/sites-enabled; mkdir -p /etc/keepalived /etc/nginx/conf.d /var/log/nginx");
        machine
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its network namespace, as `ip netns` knows it.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Puts evenkeel in keepalived's and nginx's place.
    pub fn with_evenkeel(self) -> Self {
        self.evenkeel_as(Service::Keepalived);
        self.evenkeel_as(Service::Nginx);
        self
    }

    /// Puts evenkeel in the place of one service.
    pub fn evenkeel_as(&self, service: Service) {
        let path = self.path(&format!("/usr/sbin/{}", service.name()));
        let _ = fs::remove_file(&path);
        std::os::unix::fs::symlink("/usr/local/bin/evenkeel", path).expect("a link to evenkeel");
    }

    /// Path of one of the machine's files, seen from outside.
    pub fn path(&self, inside: &str) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.pid)).join(inside.trim_start_matches('/'))
    }

    /// Writes a file, making its directories.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a file has a directory")).expect("directories");
        fs::write(&path, text).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
    }

    /// Writes an executable file.
    pub fn install(&self, path: &str, text: &str) {
        self.write(path, text);
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(0o755)).expect("chmod");
    }

    /// Reads a file; empty when it is not there.
    pub fn read(&self, path: &str) -> String {
        fs::read(self.path(path)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// A command that will run on the machine.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid.to_string(), "-m", "-n", "-p", "-u", "-r", "-w", "--"]).args(words);
        // Only what a service manager would give: the test's own environment stays outside.
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C");
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command on the machine to its end.
    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("nsenter runs")
    }

    /// Runs a shell line that must succeed; its standard output.
    pub fn shell(&self, line: &str) -> String {
        let output = self.run(&["sh", "-c", line]);
        assert!(
            output.status.success(),
            "{}: {line}: {}\n{}{}",
            self.name,
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts a command in the background; its output goes to `/tmp/LOG` on the machine.
    pub fn spawn(&self, log: &str, words: &[&str]) -> Child {
        let file = fs::File::create(self.path(&format!("/tmp/{log}"))).expect("a log file");
        self.command(words).stdout(file.try_clone().expect("dup")).stderr(file).spawn().expect("nsenter starts")
    }

    /// `systemctl start SERVICE`.
    pub fn start_service(&self, service: Service) {
        // Daemons keep the log of their start and, in the foreground modes, of their life.
        self.shell(&format!(
            "systemctl start {0} >>/tmp/{0}.log 2>&1 || {{ cat /tmp/{0}.log; exit 1; }}",
            service.name()
        ));
    }

    /// `systemctl stop SERVICE`.
    pub fn stop_service(&self, service: Service) {
        self.shell(&format!("systemctl stop {}", service.name()));
    }

    /// Whether the kernel of this machine has the address on any interface.
    pub fn holds(&self, address: &str) -> bool {
        let output = Command::new("ip").args(["-n", &self.namespace, "-o", "addr", "show"]).output().expect("ip runs");
        let family = if address.contains(':') { "inet6" } else { "inet" };
        let wanted = format!(" {family} {address}/");
        String::from_utf8_lossy(&output.stdout).contains(&wanted)
    }

    /// Waits until the machine holds the address, or fails the test.
    pub fn await_holding(&self, address: &str, limit: Duration) {
        assert!(
            wait_until(limit, || self.holds(address)),
            "{} does not hold {address} after {limit:?}\n{}",
            self.name,
            self.logs()
        );
    }

    /// Waits until the machine no longer holds the address, or fails the test.
    pub fn await_release(&self, address: &str, limit: Duration) {
        assert!(
            wait_until(limit, || !self.holds(address)),
            "{} still holds {address} after {limit:?}\n{}",
            self.name,
            self.logs()
        );
    }

    /// Everything in /tmp/*.log, for the message of a failed test.
    pub fn logs(&self) -> String {
        let output = self.run(&["sh", "-c", "for f in /tmp/*.log; do echo \"--- $f\"; tail -n 40 \"$f\"; done"]);
        format!("[{}]\n{}", self.name, String::from_utf8_lossy(&output.stdout))
    }

    /// `evenkeel status --json` on this machine, when a daemon answers.
    pub fn status(&self) -> Option<serde_json::Value> {
        let output = self.run(&["evenkeel", "status", "--json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).ok()).flatten()
    }

    /// Opens the network namespace, for a thread of the test to move into.
    pub fn network(&self) -> fs::File {
        fs::File::open(format!("/proc/{}/ns/net", self.pid)).expect("the machine's network namespace")
    }

    /// Ends every process on the machine at once and takes its interface away: the power went.
    pub fn power_off(&mut self) {
        // The cable first: a probe of the test may keep the network namespace alive, and its kernel would answer on.
        let _ = Command::new("ip").args(["-n", &self.namespace, "link", "del", &self.interface]).output();
        let _ = self.init.kill();
        let _ = self.init.wait();
        let _ = Command::new("ip").args(["netns", "del", &self.namespace]).output();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.power_off();
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

/// The process that `unshare --fork` started.
fn only_child(parent: u32) -> u32 {
    let mut found = None;
    wait_until(Duration::from_secs(5), || {
        let text = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        found = text.split_whitespace().next().and_then(|pid| pid.parse().ok());
        found.is_some()
    });
    found.expect("unshare has a child")
}

/// Moves the calling thread into a network namespace.
pub(crate) fn enter_network(namespace: &fs::File) {
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    use std::os::fd::AsFd;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("setns");
}
