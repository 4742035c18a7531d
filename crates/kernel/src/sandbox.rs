//! Seccomp filters: what a role cannot ask of the kernel, whatever its user may do.

use crate::Error;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};
use std::collections::BTreeMap;
use std::io;

/// Locks this process (all its threads, for good) out of everything that the proxy never does: executing programs,
/// entering or making namespaces, mounting, changing users, tracing, loading eBPF or modules, keys, and sockets that are raw, packet
/// or netlink. Such calls fail with "operation not permitted"; all others work as before.
///
/// A list of what is forbidden, not of what is allowed: the allowed calls of a TLS library, an allocator and a C library
/// change with their versions, and a proxy that dies of a new one is worse. What the list names is what an intruder needs to
/// get from a hijacked proxy to the machine.
pub fn proxy() -> Result<(), Error> {
    const KINDS: [(u8, SeccompCmpOp, i32); 4] = [
        (0, SeccompCmpOp::Eq, libc::AF_NETLINK),
        (0, SeccompCmpOp::Eq, libc::AF_PACKET),
        (1, SeccompCmpOp::MaskedEq(SOCKET_TYPE), libc::SOCK_RAW),
        (1, SeccompCmpOp::MaskedEq(SOCKET_TYPE), SOCK_PACKET),
    ];
    lock("proxy", &[FORBIDDEN, &[libc::SYS_bpf]].concat(), &KINDS)
}

/// The same for the balance role, but for what it is there for: eBPF, and raw, packet and netlink sockets.
pub fn balance() -> Result<(), Error> {
    lock("balance role", FORBIDDEN, &[])
}

fn lock(who: &str, calls: &[libc::c_long], sockets: &[(u8, SeccompCmpOp, i32)]) -> Result<(), Error> {
    let failed = |cause: String| Error::new(format!("lock the {who} into its sandbox"), io::Error::other(cause));
    for program in programs(calls, sockets).map_err(|error| failed(error.to_string()))? {
        seccompiler::apply_filter_all_threads(&program).map_err(|error| failed(error.to_string()))?;
    }
    Ok(())
}

/// Calls that are forbidden whatever their arguments.
const FORBIDDEN: &[libc::c_long] = &[
    // Programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Mounts and roots.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_open_by_handle_at,
    // Namespaces.
    libc::SYS_setns,
    libc::SYS_unshare,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Parts of the kernel with a history of holes, or that get round this filter (io_uring opens sockets by itself).
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // The machine.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_personality,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    // Users and capabilities.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
];

/// `clone`'s flags that make namespaces.
const NEW_NAMESPACES: &[i32] = &[
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// Families of sockets that no role needs.
const FAMILIES: &[i32] = &[libc::AF_KEY, libc::AF_ALG, libc::AF_VSOCK, libc::AF_XDP];

/// The bits of `socket`'s second argument that are the type; the others are flags.
const SOCKET_TYPE: u64 = 0xf;

/// The type that packet sockets had before they had a family.
const SOCK_PACKET: i32 = 10;

/// `sockets` are kinds that are forbidden: an argument of `socket`, how it compares, and with what.
fn programs(
    calls: &[libc::c_long],
    sockets: &[(u8, SeccompCmpOp, i32)],
) -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = calls.iter().map(|&call| (call, Vec::new())).collect();
    let families = FAMILIES.iter().map(|&family| argument(0, SeccompCmpOp::Eq, family));
    let kinds = sockets.iter().map(|(index, operator, value)| argument(*index, operator.clone(), *value));
    rules.insert(libc::SYS_socket, families.chain(kinds).collect::<Result<_, _>>()?);
    let clones = NEW_NAMESPACES.iter().map(|&flag| argument(0, SeccompCmpOp::MaskedEq(flag as u64), flag));
    rules.insert(libc::SYS_clone, clones.collect::<Result<_, _>>()?);
    // clone3 keeps its flags in memory, where no filter can look. "No such call" makes the C library use clone.
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);

    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = |rules, errno: i32| -> Result<BpfProgram, seccompiler::BackendError> {
        let refuse = SeccompAction::Errno(errno as u32);
        SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()
    };
    // Each filter takes effect at once, so the ones that are applied later have to be allowed by the earlier.
    let mut programs = vec![filter(clone3, libc::ENOSYS)?, filter(rules, libc::EPERM)?];
    if cfg!(target_arch = "x86_64") {
        programs.push(no_x32());
    }
    Ok(programs)
}

fn argument(index: u8, operator: SeccompCmpOp, value: i32) -> Result<SeccompRule, seccompiler::BackendError> {
    let condition = SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value as u64)?;
    SeccompRule::new(vec![condition])
}

/// Refuses the second set of system calls that some x86-64 kernels have (x32: the same calls with bit 30 set), which a list
/// of forbidden numbers would let through.
fn no_x32() -> BpfProgram {
    const LOAD: u16 = 0x20; // load the 32-bit word at k
    const JUMP_GE: u16 = 0x35; // skip jt instructions if it is at least k, else jf
    const RETURN: u16 = 0x06;
    let op = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    // The number of the call is the first word of what a filter sees.
    vec![
        op(LOAD, 0, 0, 0),
        op(JUMP_GE, 0, 1, 0x4000_0000),
        op(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        op(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}
