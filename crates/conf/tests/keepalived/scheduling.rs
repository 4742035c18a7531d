//! How the processes of the roles are scheduled.

use crate::{rules, text};
use evenkeel_conf::keepalived::Scheduling;
use std::time::Duration;

#[test]
fn each_role_has_its_own_words_for_the_same_things() {
    for role in ["vrrp", "checker"] {
        let loaded = text(&format!(
            "global_defs {{\n{role}_priority -20\n{role}_rt_priority 99\n{role}_cpu_affinity 0 2 5\n\
             {role}_rlimit_rttime 1500\n{role}_no_swap\n}}\n"
        ));
        assert_eq!(rules(&loaded), [""; 0]);
        let expected = Scheduling {
            nice: Some(-20),
            realtime: Some(99),
            processors: vec![0, 2, 5],
            longest_run: Some(Duration::from_micros(1500)),
            no_swap: true,
        };
        let (vrrp, checker) = (&loaded.settings.vrrp_scheduling, &loaded.settings.checker_scheduling);
        let (this, other) = if role == "vrrp" { (vrrp, checker) } else { (checker, vrrp) };
        assert_eq!((this, other), (&expected, &Scheduling::default()), "{role}");
    }
}

#[test]
fn what_the_kernel_cannot_do_is_refused_with_its_line() {
    for line in [
        "checker_priority 20",
        "checker_priority -21",
        "vrrp_rt_priority 100",
        "vrrp_cpu_affinity 0 x",
        "checker_cpu_affinity 1024",
    ] {
        let loaded = text(&format!("global_defs {{\n{line}\n}}\n"));
        assert_eq!(rules(&loaded).len(), 1, "{line}");
    }
    let old = text("global_defs {\nchecker_rlimit_rtime 20\n}\n");
    assert_eq!(rules(&old), ["old-spelling:2"]);
    assert_eq!(old.settings.checker_scheduling.longest_run, Some(Duration::from_micros(20)));
}
