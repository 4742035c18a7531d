//! What is said about interfaces as such: when their changes count, and which are polled.

use super::number::Grain;
use super::{At, Drafts, Lower};
use crate::Diagnostic;
use crate::keepalived::language::Node;
use evenkeel_vrrp::config::{Beat, Instance, LinkDelay, Links, Polled};
use std::time::Duration;

/// As it was written.
#[derive(Debug, Default)]
pub(in crate::keepalived) struct LinksDraft {
    delays: Vec<At<LinkDelay>>,
    polled: Vec<At<Polled>>,
    polls_all: bool,
}

/// `interface_up_down_delays { IF DOWN [UP] ... }`. Without UP there is none of it, whatever the manual says (keepalived,
/// observed).
pub(in crate::keepalived) fn interface_up_down_delays(lower: &mut Lower, node: &Node) {
    for line in &node.children {
        let Some((first, times)) = line.words.split_first() else { continue };
        if times.is_empty() {
            lower.refuse(first, format!("`{}` has no delay", first.text));
            continue;
        }
        let mut delays = [Duration::ZERO; 2];
        let mut is_right = true;
        for (delay, word) in delays.iter_mut().zip(times) {
            match lower.seconds(word, Duration::ZERO..=Duration::from_secs(255), Grain::Microsecond) {
                Some(seconds) => *delay = seconds,
                None => is_right = false,
            }
        }
        if is_right {
            let [down, up] = delays;
            let delay = LinkDelay { interface: first.text.clone(), down, up };
            let delays = &mut lower.drafts.links.delays;
            delays.retain(|known| known.value.interface != delay.interface);
            delays.push(At::of(first, delay));
        }
    }
}

/// `linkbeat_interfaces { IF [MII|ETHTOOL|IOCTL] ... }`
pub(in crate::keepalived) fn linkbeat_interfaces(lower: &mut Lower, node: &Node) {
    for line in &node.children {
        let Some((first, rest)) = line.words.split_first() else { continue };
        let mut beat = Beat::default();
        for word in rest {
            match word.text.as_str() {
                "MII" => beat = Beat::Mii,
                "ETHTOOL" => beat = Beat::Ethtool,
                "IOCTL" => beat = Beat::Ioctl,
                other => lower.say(
                    Diagnostic::warning("extra-text", word.span, format!("`{other}` is no way to poll an interface"))
                        .so("it is ignored")
                        .fix("write `MII`, `ETHTOOL` or `IOCTL`, one interface on each line"),
                ),
            }
        }
        let polled = Polled { interface: first.text.clone(), beat };
        lower.drafts.links.polled.push(At::of(first, polled));
    }
}

/// Outside every block.
pub(in crate::keepalived) fn polls_all(lower: &mut Lower, _: &Node) {
    lower.drafts.links.polls_all = true;
}

/// In a vrrp_instance: its own interface.
pub(in crate::keepalived) fn polls_own(lower: &mut Lower, _: &Node) {
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.polls_link = true;
}

pub(super) fn finish(drafts: &Drafts, instances: &[Instance], lower: &mut Lower) -> Links {
    for delay in &drafts.links.delays {
        let of_it = |instance: &&Instance| instance.interface == delay.value.interface;
        let limit = |instance: &Instance| {
            evenkeel_vrrp::timers::advert_interval(instance.version, instance.advert_interval)
                * (u32::from(instance.down_adverts.get()) - 1)
        };
        let longest = delay.value.down.max(delay.value.up);
        let Some(limit) = instances.iter().filter(of_it).map(limit).min().filter(|limit| longest >= *limit) else {
            continue;
        };
        let message = format!("a delay of {} s on `{}`", longest.as_secs_f64(), delay.value.interface);
        lower.say(
            Diagnostic::warning("link-delay-cut", delay.span, message)
                .so(format!(
                    "it is cut to a little less than {} s: a peer would take over before it ends",
                    limit.as_secs_f64()
                ))
                .fix("write less than `down_timer_adverts` - 1 times `advert_int`"),
        );
    }
    let mut polled: Vec<Polled> = drafts.links.polled.iter().map(|polled| polled.value.clone()).collect();
    for draft in drafts.instances.iter().filter(|draft| draft.polls_link) {
        if let Some(interface) = &draft.interface {
            polled.push(Polled { interface: interface.value.clone(), beat: Beat::default() });
        }
    }
    let delays = drafts.links.delays.iter().map(|delay| delay.value.clone()).collect();
    Links { delays, polled, polls_all: drafts.links.polls_all }
}
