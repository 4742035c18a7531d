//! vrrp_instance, authentication, auth_hmac.

use super::{Directive, MANY, does, kept, moot, rows};
use crate::keepalived::lower::balance::sync_daemon;
use crate::keepalived::lower::{flavour, hmac, instance, links, network, nothing, pacing};

rows! {
    in [Root] {
        "vrrp_instance" "NAME { ... }" 1..1 T1 Instance does(instance::begin) "One virtual router.";
    }
    in [Instance] {
        "state" "MASTER | BACKUP" 1..1 T1 line does(instance::state) "Wanted initial state.";
        "interface" "IF" 1..1 T1 line does(instance::interface) "Interface that adverts travel on and that holds the addresses.";
        "virtual_router_id" "1..255" 1..1 T1 line does(instance::virtual_router_id) "Number of the virtual router on its link; the same on both nodes.";
        "priority" "1..255" 1..1 T1 line does(instance::priority) "The highest one is master; 255 owns the addresses.";
        "advert_int" "0.01..255 s" 1..1 T1 line does(instance::advert_int) "Time between adverts: whole seconds in version 2, hundredths in version 3.";
        "version" "2 | 3" 1..1 T2 line does(instance::version) "Protocol version.";
        "preempt" "" 0..0 T4 line does(instance::preempt) "Take nopreempt back.";
        "nopreempt" "" 0..0 T1 line does(instance::nopreempt) "Do not take over from a lower-priority master.";
        "preempt_delay" "0..1000 s decimal" 1..1 T2 line does(instance::preempt_delay) "Wait before preempting a lower-priority master (every time, not only at startup).";
        "down_timer_adverts" "1..100" 1..1 T3 line does(instance::down_timer_adverts) "Adverts that may be missed before a backup takes over.";
        "timer_expired_backup" "[1..254]" 0..1 T3 line does(instance::timer_expired_backup) "With nopreempt: if own timer ran so late that another node must have taken over, go BACKUP.";
        "thread_timer_expired" "[1..254]" 0..1 T4 line does(instance::timer_expired_backup) "Old name of timer_expired_backup.";
        "owner_ignore_adverts" "[BOOL]" 0..1 T3 line does(instance::owner_ignore_adverts) "Address owner drops adverts.";
        "strict_mode" "[BOOL]" 0..1 T2 line does(instance::strict_mode) "vrrp_strict for this instance.";
        "debug" "0..4" 1..1 T4 line moot("keepalived does nothing with it either") "Stored, not used.";
        "native_ipv6" "" 0..0 T4 line does(instance::native_ipv6) "Speak IPv6, whatever the addresses are.";
        "use_vmac" "[[name] IF] [MAC|5 octets] [netlink_notify_msg] [group G]" 0..MANY T2 line does(flavour::use_vmac) "Use the virtual MAC address on an interface of its own.";
        "use_vmac_addr" "" 0..0 T3 line does(flavour::use_vmac_addr) "Also create VMACs for addresses that sit on other interfaces, or are of another family.";
        "vmac_xmit_base" "" 0..0 T2 line does(flavour::vmac_xmit_base) "Send and receive adverts on the interface below the one of its own.";
        "use_ipvlan" "[[name] IF] [ADDR] [bridge|private|vepa] [group G]" 0..MANY T3 line does(flavour::use_ipvlan) "Hold the addresses on an ipvlan of its own.";
        "vrf" "IF" 1..1 T3 line does(instance::vrf) "VRF for interface-less unicast instances.";
        "dont_track_primary" "" 0..0 T2 line does(instance::dont_track_primary) "Link state of the own interface does not cause FAULT.";
        "linkbeat_use_polling" "" 0..0 T4 line does(links::polls_own) "Poll the link state of this interface.";
        "promote_secondaries" "" 0..0 T3 line kept(instance::promote_secondaries, "addresses are reconciled: one that goes with another comes back") "Keep secondary addresses when the primary one goes.";
        "kernel_rx_buf_size" "BYTES" 1..1 T3 line moot("each socket may hold 2 MB, as `vrrp_rx_bufs_policy` says") "SO_RCVBUF share of this instance.";
        "virtual_ipaddress" "{ ADDRESS ... }" 0..0 T1 values does(instance::virtual_ipaddress) "The addresses of the virtual router, in the order of the advert.";
        "virtual_ipaddress_excluded" "{ ADDRESS ... }" 0..0 T2 values does(instance::virtual_ipaddress_excluded) "Addresses managed but not advertised.";
        "no_virtual_ipaddress" "" 0..0 T3 line does(instance::no_virtual_ipaddress) "Accept an instance without addresses.";
        "virtual_routes" "{ ROUTE ... }" 0..0 T2 values does(network::virtual_routes) "Routes that are there while it is master.";
        "virtual_rules" "{ RULE ... }" 0..0 T3 values does(network::virtual_rules) "Policy rules that are there while it is master.";
        "unicast_src_ip" "ADDR" 1..1 T2 line does(instance::unicast_src_ip) "Source address with unicast peers.";
        "unicast_peer" "{ ADDR [min_ttl N] [max_ttl N] ... }" 0..0 T2 values does(instance::unicast_peer) "Send to each peer instead of the multicast group.";
        "unicast_fault_no_peer" "" 0..0 T3 line does(instance::unicast_fault_no_peer) "Unicast keywords without peers = FAULT (else silently multicast).";
        "unicast_ttl" "0..255" 1..1 T3 line does(instance::unicast_ttl) "TTL/hop limit of unicast adverts.";
        "check_unicast_src" "" 0..0 T3 line does(instance::check_unicast_src) "Received source must be one of the peers.";
        "mcast_src_ip" "ADDR" 1..1 T2 line does(instance::mcast_src_ip) "Source of multicast adverts.";
        "mcast_dst_ip" "MCAST ADDR" 1..1 T3 line does(instance::mcast_dst_ip) "Alternative group for this instance.";
        "track_src_ip" "" 0..0 T3 line does(instance::track_src_ip) "FAULT while the configured source address is absent.";
        "old_unicast_checksum" "[never]" 0..1 T4 line does(instance::old_unicast_checksum) "Use, or never learn, the unicast checksum of keepalived before 1.3.7.";
        "v3_checksum_as_v2" "[BOOL]" 0..1 T3 line does(instance::v3_checksum_as_v2) "IPv4 VRRPv3 checksum without pseudo header.";
        "accept" "" 0..0 T2 line does(instance::accept) "Accept packets to the addresses also in strict mode.";
        "no_accept" "" 0..0 T3 line does(instance::no_accept) "Drop packets to and from the addresses, by a table of nftables.";
        "skip_check_adv_addr" "[BOOL]" 0..1 T3 line kept(instance::skip_check_adv_addr, "an advert with other addresses is counted and never refused") "Do not compare the address list of each advert.";
        "track_interface" "{ IF [weight W [reverse]] ... }" 0..0 T2 values does(instance::track_interface) "Other interfaces whose link state counts.";
        "track_script" "{ NAME [weight W [reverse|noreverse]] ... }" 0..0 T1 values does(instance::track_script) "Scripts that count.";
        "track_file" "{ NAME [weight W [reverse|noreverse]] ... }" 0..0 T2 values does(instance::track_file) "Files that count.";
        "track_process" "{ NAME [weight W [reverse|noreverse]] ... }" 0..0 T3 values does(instance::track_process) "Processes that count.";
        "track_bfd" "{ NAME [weight W [reverse|noreverse]] ... }" 0..0 T3 values does(instance::track_bfd) "BFD sessions that count.";
        "notify_master" "\"CMD\" [user [:][group]]" 1..4 T1 line does(instance::notify_master) "On entering MASTER.";
        "notify_backup" "\"CMD\" [user [:][group]]" 1..4 T1 line does(instance::notify_backup) "On entering BACKUP.";
        "notify_fault" "\"CMD\" [user [:][group]]" 1..4 T1 line does(instance::notify_fault) "On entering FAULT.";
        "notify_stop" "\"CMD\" [user [:][group]]" 1..4 T2 line does(instance::notify_stop) "At shutdown.";
        "notify_deleted" "[\"CMD\" [user [:][group]]]" 0..4 T3 line does(instance::notify_deleted) "A deleted instance reports DELETED instead of FAULT at reload.";
        "notify" "\"CMD\" [user [:][group]]" 1..4 T1 line does(instance::notify) "On every change, args INSTANCE NAME STATE PRIO appended.";
        "notify_master_rx_lower_pri" "\"CMD\" [user [:][group]]" 1..4 T3 line does(instance::notify_master_rx_lower_pri) "When a master sees a lower-priority advert.";
        "notify_priority_changes" "[BOOL]" 0..1 T3 line does(instance::notify_priority_changes) "Write priority changes to the FIFOs.";
        "smtp_alert" "[BOOL]" 0..1 T2 line does(instance::smtp_alert) "Mail on transitions.";
        "garp_master_delay" "SECONDS" 1..1 T2 line does(instance::garp_master_delay) "vrrp_garp_master_delay for this instance.";
        "garp_master_repeat" "N" 1..1 T3 line does(instance::garp_master_repeat) "vrrp_garp_master_repeat for this instance.";
        "garp_master_refresh" "SECONDS" 1..1 T2 line does(instance::garp_master_refresh) "vrrp_garp_master_refresh for this instance.";
        "garp_master_refresh_repeat" "N" 1..1 T3 line does(instance::garp_master_refresh_repeat) "vrrp_garp_master_refresh_repeat for this instance.";
        "garp_lower_prio_delay" "SECONDS" 1..1 T3 line does(instance::garp_lower_prio_delay) "vrrp_garp_lower_prio_delay for this instance.";
        "garp_lower_prio_repeat" "N" 1..1 T3 line does(instance::garp_lower_prio_repeat) "vrrp_garp_lower_prio_repeat for this instance.";
        "garp_extra_if" "[all] 0..86400" 1..2 T3 line does(pacing::garp_extra_if) "Announce on further interfaces periodically: those with a virtual MAC, or all.";
        "vmac_garp_intvl" "[all] 0..86400" 1..2 T4 line does(pacing::garp_extra_if) "Old name of garp_extra_if.";
        "lower_prio_no_advert" "[BOOL]" 0..1 T3 line does(instance::lower_prio_no_advert) "vrrp_lower_prio_no_advert for this instance.";
        "higher_prio_send_advert" "[BOOL]" 0..1 T3 line does(instance::higher_prio_send_advert) "vrrp_higher_prio_send_advert for this instance.";
        "lvs_sync_daemon_interface" "IF" 1..1 T4 line does(sync_daemon::of_instance) "Interface of the IPVS connection synchronisation.";
        "authentication" "{ ... }" 0..0 T1 Authentication does(nothing) "VRRPv2 legacy authentication block.";
    }
    in [Authentication] {
        "auth_type" "PASS | AH" 1..1 T1 line does(instance::auth_type) "Simple password or IPsec AH.";
        "auth_pass" "STRING" 1..1 T1 line does(instance::auth_pass) "Password of version 2, the first eight bytes of it.";
    }
    in [Instance] {
        "auth_hmac" "{ ... }" 0..0 T2 AuthHmac does(hmac::begin) "Adverts signed with HMAC-SHA-256, as keepalived 2.4.2 and later do.";
    }
    in [AuthHmac] {
        "key" "ID hex:... | ASCII | file:PATH" 2..2 T2 line does(hmac::key) "A key of 32 to 64 bytes and its number.";
        "active_key" "ID" 1..1 T2 line does(hmac::active_key) "The key that signs; all of them verify.";
        "time_window" "1..300 s" 1..1 T3 line does(hmac::time_window) "How far a sender's clock may be from ours; without it three advert_int, 5 to 300 seconds.";
        "anti_replay" "time | monotonic" 1..1 T3 line does(hmac::anti_replay) "Adverts must be newer than the last one and within the window, or only newer.";
        "mode" "enforce | permissive | receive-only" 1..1 T3 line does(hmac::mode) "Refuse what is not signed; or take it; or take it and sign nothing.";
    }
    in [Instance] {
        "track_proxy" "{ weight W [reverse] }" 0..0 Ours optional does(instance::track_proxy) "The local proxy counts: it runs, answers on its listeners, and each upstream has a live server.";
    }
}
