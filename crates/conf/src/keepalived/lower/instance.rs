//! vrrp_instance with its authentication.

use super::garp::Zero;
use super::number::{Garbage, Grain};
use super::{At, AuthType, InstanceDraft, Kind, Lower, TrackDraft, TrackName, address, bfd, track};
use crate::Diagnostic;
use crate::keepalived::language::Node;
use evenkeel_vrrp::config::{Initial, OldChecksum, Priority, UnicastPeer, Vrid};
use std::time::Duration;

pub(in crate::keepalived) fn begin(lower: &mut Lower, node: &Node) {
    let Some(name) = node.argument(1) else { return };
    let duplicate = !lower.claim(Kind::Instance, &name.text);
    if duplicate {
        lower.say(
            Diagnostic::warning("repeated", name.span, format!("there is already a vrrp_instance `{}`", name.text))
                .so("this one is ignored, and its addresses are not served")
                .fix("give it another name"),
        );
    }
    lower.drafts.instances.push(InstanceDraft {
        name: At::of(name, name.text.clone()),
        state: None,
        interface: None,
        vrid: None,
        vrid_written: false,
        priority: None,
        advert: None,
        version: None,
        nopreempt: None,
        preempt_delay: None,
        down_adverts: None,
        strict: None,
        accept: false,
        no_accept: false,
        dont_track_primary: false,
        polls_link: false,
        flavour: None,
        xmit_base: false,
        vmac_addresses: false,
        own_macs: Vec::new(),
        unicast_source: None,
        multicast_source: None,
        group: None,
        native_ipv6: false,
        vrf: None,
        peers: Vec::new(),
        unicast: None,
        unicast_ttl: None,
        v3_checksum_as_v2: None,
        auth_type: None,
        auth_pass: None,
        hmac: None,
        check_unicast_src: false,
        old_checksum: None,
        owner_ignore_adverts: None,
        tracks: Vec::new(),
        notify: Default::default(),
        smtp_alert: None,
        skip_check_adv_addr: None,
        promote_secondaries: None,
        notify_priority_changes: None,
        notify_deleted: false,
        track_src_ip: None,
        unicast_fault_no_peer: None,
        timer_expired_backup: None,
        garp: Default::default(),
        lower_prio_no_advert: None,
        higher_prio_send_advert: None,
        addresses: Vec::new(),
        excluded: Vec::new(),
        routes: Vec::new(),
        rules: Vec::new(),
        no_addresses: false,
        duplicate,
    });
}

/// A keyword that sets one field of the draft from its line. `None` leaves the field as it was.
macro_rules! fields {
    ($($name:ident |$lower:ident, $node:ident| $value:expr;)*) => {$(
        pub(in crate::keepalived) fn $name($lower: &mut Lower, $node: &Node) {
            let value = $value;
            let Some(draft) = $lower.drafts.instances.last_mut() else { return };
            if value.is_some() {
                draft.$name = value;
            }
        }
    )*};
}

fields! {
    down_adverts |lower, node| lower.down_adverts(node);
    lower_prio_no_advert |lower, node| lower.boolean(node.argument(1));
    higher_prio_send_advert |lower, node| lower.boolean(node.argument(1));
    v3_checksum_as_v2 |lower, node| lower.boolean(node.argument(1));
    smtp_alert |lower, node| lower.boolean(node.argument(1));
    skip_check_adv_addr |lower, node| lower.boolean(node.argument(1));
    promote_secondaries |_lower, _node| Some(true);
    owner_ignore_adverts |lower, node| lower.boolean(node.argument(1));
    notify_priority_changes |lower, node| lower.boolean(node.argument(1));
    track_src_ip |_lower, _node| Some(true);
    unicast_fault_no_peer |_lower, _node| Some(true);
    timer_expired_backup |lower, node| match node.argument(1) {
        None => Priority::new(254),
        Some(word) => {
            let priority = lower.integer(word, 1..=254, Garbage::Refused);
            priority.and_then(|priority| u8::try_from(priority).ok()).and_then(Priority::new)
        }
    };
    unicast_ttl |lower, node| {
        let ttl = node.argument(1).and_then(|word| lower.integer(word, 0..=255, Garbage::Refused));
        ttl.and_then(|ttl| u8::try_from(ttl).ok())
    };
    version |lower, node| lower.version(node);
}

/// The same for fields of `garp` and `notify`.
macro_rules! inner_fields {
    ($($name:ident => $field:ident . $inner:ident |$lower:ident, $node:ident| $value:expr;)*) => {$(
        pub(in crate::keepalived) fn $name($lower: &mut Lower, $node: &Node) {
            let value = $value;
            let Some(draft) = $lower.drafts.instances.last_mut() else { return };
            if value.is_some() {
                draft.$field.$inner = value;
            }
        }
    )*};
}

inner_fields! {
    garp_master_delay => garp.delay |lower, node| lower.garp_seconds(node);
    garp_master_repeat => garp.repeat |lower, node| lower.garp_count(node, Zero::IsOne);
    garp_master_refresh => garp.refresh |lower, node| lower.garp_seconds(node);
    garp_master_refresh_repeat => garp.refresh_repeat |lower, node| lower.garp_count(node, Zero::IsOne);
    garp_lower_prio_delay => garp.lower_prio_delay |lower, node| lower.garp_seconds(node);
    garp_lower_prio_repeat => garp.lower_prio_repeat |lower, node| lower.garp_count(node, Zero::IsNone);
    notify_master => notify.master |lower, node| {
        let before = lower.drafts.instances.last().and_then(|draft| draft.notify.master.clone());
        lower.command(node, before)
    };
    notify_backup => notify.backup |lower, node| {
        let before = lower.drafts.instances.last().and_then(|draft| draft.notify.backup.clone());
        lower.command(node, before)
    };
    notify_fault => notify.fault |lower, node| {
        let before = lower.drafts.instances.last().and_then(|draft| draft.notify.fault.clone());
        lower.command(node, before)
    };
    notify_stop => notify.stop |lower, node| {
        let before = lower.drafts.instances.last().and_then(|draft| draft.notify.stop.clone());
        lower.command(node, before)
    };
    notify_master_rx_lower_pri => notify.master_rx_lower_pri |lower, node| {
        let before = lower.drafts.instances.last().and_then(|draft| draft.notify.master_rx_lower_pri.clone());
        lower.command(node, before)
    };
    notify => notify.any |lower, node| {
        let before = lower.drafts.instances.last().and_then(|draft| draft.notify.any.clone());
        lower.command(node, before)
    };
}

/// Bare, or with a command.
pub(in crate::keepalived) fn notify_deleted(lower: &mut Lower, node: &Node) {
    let before = lower.drafts.instances.last_mut().and_then(|draft| draft.notify.deleted.take());
    let command = if node.words.len() > 1 { lower.command(node, before) } else { before };
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.notify_deleted = true;
    draft.notify.deleted = command;
}

/// keepalived's name of the field above.
pub(in crate::keepalived) fn down_timer_adverts(lower: &mut Lower, node: &Node) {
    down_adverts(lower, node);
}

pub(in crate::keepalived) fn state(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let state = match word.text.as_str() {
        "MASTER" => Initial::Master,
        "BACKUP" => Initial::Backup,
        other => {
            let upper = other.to_ascii_uppercase();
            let known = upper == "MASTER" || upper == "BACKUP";
            let fix = if known { format!("write `{upper}`") } else { "write `MASTER` or `BACKUP`".to_owned() };
            return lower.say(
                Diagnostic::warning("bad-value", word.span, format!("`{other}` is no state"))
                    .so("the line is ignored: the instance starts as BACKUP")
                    .fix(fix),
            );
        }
    };
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    let before = draft.state.replace(At::of(word, state));
    lower.replaced(node, before.map(|before| before.value).as_ref(), &state);
}

pub(in crate::keepalived) fn interface(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    if word.text.len() > 15 || word.text.contains('/') {
        return lower.refuse(word, format!("`{}` is no name of an interface", word.text));
    }
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    let before = draft.interface.replace(At::of(word, word.text.clone()));
    lower.replaced(node, before.map(|before| before.value).as_ref(), &word.text);
}

pub(in crate::keepalived) fn virtual_router_id(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let vrid = small(lower, node).and_then(Vrid::new);
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.vrid_written = true;
    let Some(vrid) = vrid else { return };
    let before = draft.vrid.replace(At::of(word, vrid));
    lower.replaced(node, before.map(|before| before.value).as_ref(), &vrid);
}

pub(in crate::keepalived) fn priority(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let Some(priority) = small(lower, node).and_then(Priority::new) else { return };
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    let before = draft.priority.replace(At::of(word, priority));
    lower.replaced(node, before.map(|before| before.value).as_ref(), &priority);
}

/// 1 to 255.
fn small(lower: &mut Lower, node: &Node) -> Option<u8> {
    u8::try_from(lower.integer(node.argument(1)?, 1..=255, Garbage::Refused)?).ok()
}

pub(in crate::keepalived) fn advert_int(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let range = Duration::from_millis(10)..=Duration::from_secs(255);
    let Some(value) = lower.seconds(word, range, Grain::Microsecond) else { return };
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    let before = draft.advert.replace(At::of(word, value));
    lower.replaced(node, before.map(|before| before.value).as_ref(), &value);
}

pub(in crate::keepalived) fn nopreempt(lower: &mut Lower, node: &Node) {
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.nopreempt = node.span();
}

/// An old switch: clears nopreempt.
pub(in crate::keepalived) fn preempt(lower: &mut Lower, _: &Node) {
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.nopreempt = None;
}

pub(in crate::keepalived) fn preempt_delay(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let Some(value) = lower.seconds(word, Duration::ZERO..=Duration::from_secs(1000), Grain::Microsecond) else {
        return;
    };
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.preempt_delay = Some(At::of(word, value));
}

pub(in crate::keepalived) fn strict_mode(lower: &mut Lower, node: &Node) {
    let Some(keyword) = node.words.first() else { return };
    let strict = lower.boolean(node.argument(1)).map(|strict| At::of(keyword, strict));
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.strict = strict;
}

pub(in crate::keepalived) fn no_accept(lower: &mut Lower, _: &Node) {
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.no_accept = true;
    draft.accept = false;
}

pub(in crate::keepalived) fn accept(lower: &mut Lower, _: &Node) {
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.accept = true;
    draft.no_accept = false;
}

pub(in crate::keepalived) fn dont_track_primary(lower: &mut Lower, _: &Node) {
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.dont_track_primary = true;
}

pub(in crate::keepalived) fn check_unicast_src(lower: &mut Lower, _: &Node) {
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.check_unicast_src = true;
}

pub(in crate::keepalived) fn old_unicast_checksum(lower: &mut Lower, node: &Node) {
    let Some(keyword) = node.words.first() else { return };
    let old_checksum = match node.argument(1) {
        None => At::of(keyword, OldChecksum::Always),
        Some(word) if word.text == "never" => At::of(keyword, OldChecksum::Never),
        Some(word) => return lower.refuse(word, format!("`{}` is not `never`", word.text)),
    };
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.old_checksum = Some(old_checksum);
}

pub(in crate::keepalived) fn unicast_src_ip(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let Some(source) = lower.address(word) else { return };
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.unicast_source = Some(At::of(word, source));
}

pub(in crate::keepalived) fn mcast_src_ip(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let Some(source) = lower.address(word) else { return };
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.multicast_source = Some(At::of(word, source));
}

pub(in crate::keepalived) fn mcast_dst_ip(lower: &mut Lower, node: &Node) {
    let Some(group) = lower.multicast_group(node) else { return };
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.group = Some(group);
}

pub(in crate::keepalived) fn native_ipv6(lower: &mut Lower, _: &Node) {
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.native_ipv6 = true;
}

pub(in crate::keepalived) fn vrf(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.vrf = Some(At::of(word, word.text.clone()));
}

/// `ADDR [min_ttl N] [max_ttl N]` a line.
pub(in crate::keepalived) fn unicast_peer(lower: &mut Lower, node: &Node) {
    let mut peers = Vec::new();
    for line in &node.children {
        let Some((first, rest)) = line.words.split_first() else { continue };
        let Some(address) = lower.address(first) else { continue };
        let mut limited = UnicastPeer::new(address);
        let mut rest = rest.iter();
        while let Some(word) = rest.next() {
            let limit = match word.text.as_str() {
                "min_ttl" => &mut limited.min_ttl,
                "max_ttl" => &mut limited.max_ttl,
                other => {
                    let message = format!("`{other}` is not understood here");
                    lower.say(
                        Diagnostic::warning("extra-text", word.span, message)
                            .so("it is ignored")
                            .fix("write one peer on each line"),
                    );
                    continue;
                }
            };
            let ttl = rest.next().and_then(|word| lower.integer(word, 0..=255, Garbage::Refused));
            if let Some(ttl) = ttl.and_then(|ttl| u8::try_from(ttl).ok()) {
                *limit = ttl;
            }
        }
        peers.push(At::of(first, limited));
    }
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.peers.extend(peers);
    draft.unicast = node.span();
}

pub(in crate::keepalived) fn auth_type(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let auth_type = match word.text.as_str() {
        "PASS" => AuthType::Pass,
        "AH" => AuthType::Ah,
        other => return lower.refuse(word, format!("`{other}` is neither PASS nor AH")),
    };
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.auth_type = Some(At::of(word, auth_type));
}

pub(in crate::keepalived) fn auth_pass(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    if word.text.len() > 8 {
        lower.say(
            Diagnostic::warning("auth-pass-long", word.span, format!("the password has {} bytes", word.text.len()))
                .so("VRRP version 2 carries eight: the rest is cut off, here and in keepalived")
                .fix("use eight bytes or fewer, the same on both nodes"),
        );
    }
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.auth_pass = Some(At::of(word, word.text.clone()));
}

pub(in crate::keepalived) fn track_interface(lower: &mut Lower, node: &Node) {
    let tracks = track::lines(lower, node, TrackName::Interface);
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.tracks.extend(tracks);
}

pub(in crate::keepalived) fn track_script(lower: &mut Lower, node: &Node) {
    let tracks = track::lines(lower, node, TrackName::Script);
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.tracks.extend(tracks);
}

pub(in crate::keepalived) fn track_file(lower: &mut Lower, node: &Node) {
    let tracks = track::lines(lower, node, TrackName::File);
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.tracks.extend(tracks);
}

pub(in crate::keepalived) fn track_process(lower: &mut Lower, node: &Node) {
    let tracks = track::lines(lower, node, TrackName::Process);
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.tracks.extend(tracks);
}

pub(in crate::keepalived) fn track_bfd(lower: &mut Lower, node: &Node) {
    let tracks = bfd::tracks(lower, node);
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.tracks.extend(tracks);
}

/// Bare, or with `weight W [reverse]` between braces.
pub(in crate::keepalived) fn track_proxy(lower: &mut Lower, node: &Node) {
    let Some(keyword) = node.words.first() else { return };
    let words: Vec<_> = node.children.iter().flat_map(|line| line.words.clone()).collect();
    let (weight, reverse) = track::weight(lower, &words);
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.tracks.push(TrackDraft { target: At::of(keyword, TrackName::Proxy), weight, reverse });
}

pub(in crate::keepalived) fn virtual_ipaddress(lower: &mut Lower, node: &Node) {
    let addresses = address::of_instance(lower, node);
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.addresses.extend(addresses);
}

pub(in crate::keepalived) fn virtual_ipaddress_excluded(lower: &mut Lower, node: &Node) {
    let addresses = address::of_instance(lower, node);
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.excluded.extend(addresses);
}

pub(in crate::keepalived) fn no_virtual_ipaddress(lower: &mut Lower, _: &Node) {
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.no_addresses = true;
}
