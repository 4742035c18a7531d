//! A role tries what it must not be able to do.
//!
//! Privileges are given away for good and by a process with one thread, so each case runs in a process of its own: this
//! program, started again with the name of the case.
#![allow(clippy::unwrap_used)]

mod support;

use evenkeel_kernel::addresses::Address;
use evenkeel_kernel::netlink::Netlink;
use evenkeel_kernel::netns::{self, Mount, NetNs};
use evenkeel_kernel::poll::Poller;
use evenkeel_kernel::privilege::{self, Capability, User};
use evenkeel_kernel::sandbox;
use evenkeel_kernel::scheduling::Scheduling;
use evenkeel_kernel::vrrp_socket::{Interface, VrrpSocket};
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, WaitOptions, getrlimit, setrlimit};
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// Chooses the case in a process that was started again.
const CASE: &str = "EVENKEEL_PRIVILEGE_CASE";

const CASES: &[(&str, fn())] = &[
    ("a_proxy_can_do_nothing_but_serve", a_proxy_can_do_nothing_but_serve),
    ("a_balancer_keeps_the_table_and_runs_nothing", a_balancer_keeps_the_table_and_runs_nothing),
    ("a_user_without_capabilities_is_no_root", a_user_without_capabilities_is_no_root),
    ("a_vrrp_role_keeps_the_network_and_nothing_else", a_vrrp_role_keeps_the_network_and_nothing_else),
    ("what_a_child_starts_dies_with_it", what_a_child_starts_dies_with_it),
    ("a_program_starts_in_a_namespace_with_mounts_of_its_own", a_program_starts_in_a_namespace_with_its_own_mounts),
    ("the_scheduler_and_the_memory_manager_grant_what_is_asked", the_scheduler_and_the_memory_manager_grant),
    ("an_unprivileged_person_can_build_a_network", an_unprivileged_person_can_build_a_network),
];

fn main() -> ExitCode {
    if let Ok(chosen) = std::env::var(CASE) {
        let (_, case) = CASES.iter().find(|(name, _)| *name == chosen).unwrap();
        case();
        return ExitCode::SUCCESS;
    }
    if !support::is_root() {
        return ExitCode::SUCCESS;
    }
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let mut code = ExitCode::SUCCESS;
    for (name, _) in CASES.iter().filter(|(name, _)| name.contains(&filter)) {
        let passed = again(name).status().unwrap().success();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// This program, to run one case.
fn again(case: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(CASE, case);
    command
}

fn nobody() -> User {
    let user = privilege::lookup_user("nobody").unwrap();
    user.unwrap_or(User { name: "nobody".to_owned(), uid: 65534, gid: 65534, groups: vec![65534] })
}

/// Moves this process into a network of its own, with an interface `eth0`.
fn fresh_network() -> u32 {
    NetNs::create().unwrap().enter().unwrap();
    let mut netlink = Netlink::open().unwrap();
    netlink.add_veth("eth0", "wire").unwrap();
    let index = netlink.interface("eth0").unwrap().index;
    netlink.set_up(index, true).unwrap();
    index
}

fn address() -> Address {
    Address::new("10.0.0.100/32".parse().unwrap())
}

#[track_caller]
fn refused<T>(what: &str, result: Result<T, impl Into<io::Error>>) {
    match result.map_err(Into::into) {
        Ok(_) => panic!("{what} is possible"),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{what}: {error}"),
    }
}

fn lock_proxy_user_in() {
    let user = nobody();
    privilege::become_user(&user).unwrap();
    privilege::drop_all_capabilities().unwrap();
    privilege::no_new_privileges().unwrap();
    assert_eq!(rustix::process::getuid().as_raw(), user.uid);
    let status = fs::read_to_string("/proc/self/status").unwrap();
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000")), "{status}");
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
}

fn root_is_out_of_reach(index: u32, opened_as_root: &mut Netlink, outside: &NetNs) {
    // The kernel asks for the capability when the socket is used, so one that was opened before is of no use either.
    refused("adding an address", opened_as_root.add_address(index, &address()));
    refused("opening a raw socket", VrrpSocket::open_v4(Interface::One("eth0".to_owned(), index), &[]));
    refused("opening a packet socket", rustix::net::socket(AddressFamily::PACKET, SocketType::DGRAM, None));
    refused("entering a namespace", outside.enter());
    refused("reading /etc/shadow", fs::read("/etc/shadow"));
    // SAFETY: takes an integer only.
    refused("becoming root", checked(unsafe { libc::setuid(0) }));
    refused("mounting", rustix::mount::mount_bind(c"/tmp", c"/tmp"));
    refused("listening on port 80", TcpListener::bind("127.0.0.1:80"));
    refused(
        "ending its parent",
        rustix::process::kill_process(rustix::process::getppid().unwrap(), rustix::process::Signal::TERM),
    );
}

fn a_proxy_can_do_nothing_but_serve() {
    let outside = NetNs::current().unwrap();
    let index = fresh_network();
    let mut netlink = Netlink::open().unwrap();
    lock_proxy_user_in();
    sandbox::proxy().unwrap();

    root_is_out_of_reach(index, &mut netlink, &outside);
    refused("opening a netlink socket", Netlink::open());
    refused("executing a program", Command::new("/bin/true").status());
    refused("making a user namespace", netns::unshare_user());
    // SAFETY: with this flag clone makes a process that shares nothing; should it be made, it ends at once.
    let clone = unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_NEWUSER | libc::SIGCHLD, 0, 0, 0, 0) };
    if clone == 0 {
        // SAFETY: ends the process that should not be.
        unsafe { libc::_exit(0) };
    }
    refused("making a process in a user namespace", checked(clone as i32));
    // SAFETY: the arguments are never looked at.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, 0) };
    refused("making an io_uring", checked(ring as i32));
    // SAFETY: takes integers only.
    let trace = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
    refused("tracing", checked(trace as i32));
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: takes no arguments; 39 is getpid, with the bit of the other set of calls.
        let x32 = unsafe { libc::syscall(0x4000_0000 | 39) };
        refused("the other set of calls", checked(x32 as i32));
    }

    // And it serves: listens, connects, starts threads, makes files of its own.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || std::net::TcpStream::connect(address).unwrap());
    listener.accept().unwrap();
    client.join().unwrap();
    std::os::unix::net::UnixStream::pair().unwrap();
    Poller::new().unwrap();
}

fn a_balancer_keeps_the_table_and_runs_nothing() {
    let outside = NetNs::current().unwrap();
    let index = fresh_network();
    let kept =
        [Capability::NetAdmin, Capability::NetRaw, Capability::NetBindService, Capability::Bpf, Capability::Perfmon];
    privilege::keep_only(&kept).unwrap();
    privilege::no_new_privileges().unwrap();
    sandbox::balance().unwrap();

    refused("executing a program", Command::new("/bin/true").status());
    refused("entering a namespace", outside.enter());
    refused("making a user namespace", netns::unshare_user());
    refused("mounting", rustix::mount::mount_bind(c"/tmp", c"/tmp"));
    // SAFETY: takes an integer only. Root may become root, but for the filter.
    refused("changing its user", checked(unsafe { libc::setuid(0) }));
    // SAFETY: takes integers only.
    let trace = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
    refused("tracing", checked(trace as i32));
    for family in [libc::AF_KEY, libc::AF_ALG, libc::AF_VSOCK, libc::AF_XDP] {
        // SAFETY: takes integers only.
        let socket = unsafe { libc::socket(family, libc::SOCK_RAW, 0) };
        refused("opening a socket of another kind", checked(socket));
    }

    // And it balances: changes the network, pings, looks at frames, and asks for programs of the kernel's.
    let mut netlink = Netlink::open().unwrap();
    netlink.add_address(index, &address()).unwrap();
    VrrpSocket::open_v4(Interface::One("eth0".to_owned(), index), &[]).unwrap();
    rustix::net::socket(AddressFamily::PACKET, SocketType::DGRAM, None).unwrap();
    // SAFETY: the attributes are none, which the kernel finds out before it looks at them.
    let bpf = unsafe { libc::syscall(libc::SYS_bpf, 0, std::ptr::null::<u8>(), 0) };
    assert_eq!(checked(bpf as i32).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    let listener = TcpListener::bind("127.0.0.1:80").unwrap();
    let address = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || std::net::TcpStream::connect(address).unwrap());
    listener.accept().unwrap();
    client.join().unwrap();
}

fn a_user_without_capabilities_is_no_root() {
    let outside = NetNs::current().unwrap();
    let index = fresh_network();
    let mut netlink = Netlink::open().unwrap();
    lock_proxy_user_in();
    root_is_out_of_reach(index, &mut netlink, &outside);
}

fn a_vrrp_role_keeps_the_network_and_nothing_else() {
    let index = fresh_network();
    let user = nobody();
    privilege::become_user_keeping(&user, &[Capability::NetAdmin, Capability::NetRaw]).unwrap();
    privilege::no_new_privileges().unwrap();
    let mut netlink = Netlink::open().unwrap();
    netlink.add_address(index, &address()).unwrap();
    VrrpSocket::open_v4(Interface::One("eth0".to_owned(), index), &[]).unwrap();

    refused("reading /etc/shadow", fs::read("/etc/shadow"));
    refused("mounting", rustix::mount::mount_bind(c"/tmp", c"/tmp"));
    // SAFETY: takes an integer only.
    refused("becoming root", checked(unsafe { libc::setuid(0) }));
    let status = fs::read_to_string("/proc/self/status").unwrap();
    // CAP_NET_ADMIN is number 12, CAP_NET_RAW 13.
    for (set, bits) in [("CapInh", 0), ("CapPrm", 0x3000), ("CapEff", 0x3000), ("CapBnd", 0x3000), ("CapAmb", 0)] {
        assert!(status.contains(&format!("{set}:\t{bits:016x}")), "{status}");
    }
    // What it starts has nothing.
    let child = Command::new("/bin/cat").arg("/proc/self/status").output().unwrap();
    assert!(String::from_utf8(child.stdout).unwrap().contains("CapEff:\t0000000000000000"));
}

fn what_a_child_starts_dies_with_it() {
    const MIDDLE: &str = "EVENKEEL_PRIVILEGE_MIDDLE";
    if std::env::var(MIDDLE).is_ok() {
        let mut sleeper = Command::new("/bin/sleep");
        sleeper.arg("1000").stdout(Stdio::null());
        netns::die_with_parent(&mut sleeper);
        println!("{}", sleeper.spawn().unwrap().id());
        // And dies without a word to it.
        return;
    }
    privilege::adopt_orphans().unwrap();
    let output = again("what_a_child_starts_dies_with_it").env(MIDDLE, "").output().unwrap();
    let sleeper = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    let sleeper = Pid::from_raw(sleeper).unwrap();
    let fd = rustix::process::pidfd_open(sleeper, PidfdFlags::empty()).unwrap();
    support::until_readable(fd.as_fd());
    let (_, status) = rustix::process::waitpid(Some(sleeper), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.terminating_signal(), Some(libc::SIGKILL));
    assert!(privilege::die_with_parent(std::os::unix::process::parent_id()).unwrap());
    assert!(!privilege::die_with_parent(1).unwrap() || std::os::unix::process::parent_id() == 1);
}

fn a_program_starts_in_a_namespace_with_its_own_mounts() {
    let namespace = NetNs::create().unwrap();
    let link = |path: &str| fs::read_link(path).unwrap();
    let there = namespace.run(|| link("/proc/thread-self/ns/net")).unwrap();
    let here = link("/proc/self/ns/net");
    let mounts = [
        Mount::Tmpfs("/run".into()),
        Mount::Tmpfs("/mnt".into()),
        Mount::Bind { source: "/run".into(), target: "/mnt".into() },
    ];
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "readlink /proc/self/ns/net && echo x > /run/evenkeel-test && ls /mnt"]);
    netns::in_namespace(&mut command, &namespace).unwrap();
    netns::private_mounts(&mut command, &mounts).unwrap();
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), there.to_str());
    assert_eq!(lines.next(), Some("evenkeel-test"));
    assert_ne!(there, here);
    assert_eq!(link("/proc/self/ns/net"), here);
    assert!(!std::path::Path::new("/run/evenkeel-test").exists());

    // What cannot be mounted is an error of the start.
    let mut command = Command::new("/bin/true");
    netns::private_mounts(&mut command, &[Mount::Tmpfs("/no/such/directory".into())]).unwrap();
    assert_eq!(command.status().unwrap_err().kind(), io::ErrorKind::NotFound);
}

fn the_scheduler_and_the_memory_manager_grant() {
    privilege::name_process("ek-vrrp").unwrap();
    assert_eq!(fs::read_to_string("/proc/self/comm").unwrap(), "ek-vrrp\n");
    privilege::lock_memory().unwrap();
    assert!(!fs::read_to_string("/proc/self/status").unwrap().contains("VmLck:\t       0 kB"));
    let own = std::process::id();
    let before = Scheduling::default();
    let after =
        Scheduling { nice: Some(5), realtime: Some(1), processors: vec![0], longest_run: Some(Duration::from_secs(9)) };
    assert!(after.apply(&before, own).is_empty());
    let nice = || rustix::process::getpriority_process(None).unwrap();
    let processors = || rustix::thread::sched_getaffinity(None).unwrap().count();
    assert_eq!((nice(), processors()), (5, 1));
    let limit = getrlimit(Resource::Rttime);
    assert_eq!((limit.current, limit.maximum), (Some(4_500_000), Some(9_000_000)));
    // SAFETY: takes an integer only.
    let policy = unsafe { libc::sched_getscheduler(0) };
    assert_eq!(policy, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK);
    let longest_run = after.longest_run;
    let later = Scheduling { nice: Some(3), processors: vec![1023], longest_run, ..Scheduling::default() };
    let errors = later.apply(&after, own);
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].starts_with("run on the processors [1023]: "), "{errors:?}");
    // SAFETY: takes an integer only.
    let policy = unsafe { libc::sched_getscheduler(0) };
    assert_eq!((policy, nice()), (libc::SCHED_OTHER, 3));
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: hard }).unwrap();
    assert_eq!(privilege::raise_file_limit(32).unwrap(), 64);
    assert_eq!(privilege::raise_file_limit(128).unwrap(), 128);
    // More than any system allows: what is reached is said, and is not less than before.
    let reached = privilege::raise_file_limit(1 << 40).unwrap();
    assert!(reached >= 128);
    assert_eq!(getrlimit(Resource::Nofile).current, Some(reached));
}

fn an_unprivileged_person_can_build_a_network() {
    privilege::become_user(&nobody()).unwrap();
    // A process that changed its user may not write its own maps; one that a user started may.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable).unwrap();
    if let Err(error) = netns::unshare_user() {
        println!("skipped: this system forbids it: {error}");
        return;
    }
    let index = fresh_network();
    let mut netlink = Netlink::open().unwrap();
    netlink.add_address(index, &address()).unwrap();
    netlink.add_bridge("br0").unwrap();
    let other = NetNs::create().unwrap();
    netlink.set_netns(index, &other).unwrap();
    other.set_sysctl("net/ipv4/ip_forward", "1").unwrap();
    other.run(|| evenkeel_kernel::firewall::drop_protocol(112).unwrap()).unwrap();
    let mut command = Command::new("/bin/true");
    netns::in_namespace(&mut command, &other).unwrap();
    netns::private_mounts(&mut command, &[Mount::Tmpfs("/run".into())]).unwrap();
    netns::die_with_parent(&mut command);
    assert!(command.status().unwrap().success());
}

fn checked(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
