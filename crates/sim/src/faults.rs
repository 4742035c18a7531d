//! What goes wrong by chance, and what stays wrong.

use crate::random::Random;
use crate::scenario::{Clock, Edit, Fault, LINK, OTHER_LINK, Report};
use std::time::Duration;

/// A list of mishaps, most of them with the cure some time later.
pub(crate) fn faults(random: &mut Random, n_nodes: usize, advert: Duration, chaos: Duration) -> Vec<(Duration, Fault)> {
    let mut faults = Vec::new();
    for _ in 0..random.below(9) {
        let at = random.span(advert, chaos);
        let mut cured_at = at + random.span(advert / 4, advert * 12);
        let node = random.below(n_nodes);
        let instance = random.below(2);
        let (fault, cure) = match random.below(20) {
            0 => (Fault::PowerOff(node), Some(Fault::Start(node))),
            1 => {
                // A supervisor starts its role again at once, most of the time.
                if random.below(2) == 0 {
                    cured_at = at + random.span(advert / 100, advert * 2);
                }
                (Fault::Kill(node), Some(Fault::Start(node)))
            }
            2 => (Fault::Link { node, name: LINK, up: false }, Some(Fault::Link { node, name: LINK, up: true })),
            3 => {
                let link = |up| Fault::Link { node, name: OTHER_LINK, up };
                (link(false), Some(link(true)))
            }
            4 | 5 => (Fault::Script { node, works: false }, Some(Fault::Script { node, works: true })),
            6 => (Fault::Proxy { node, healthy: false }, Some(Fault::Proxy { node, healthy: true })),
            7 => (partition(random, n_nodes), Some(Fault::Reconnect)),
            8 => {
                let to = (node + 1 + random.below(n_nodes - 1)) % n_nodes;
                (Fault::OneWay { from: node, to }, Some(Fault::Reconnect))
            }
            9 => (Fault::Shutdown(node), Some(Fault::Start(node))),
            10 => (Fault::Failover { node, instance }, Some(Fault::Failback { node, instance })),
            11 => {
                let report = random.pick(&[Report::Comes, Report::Lost]);
                (Fault::RemoveAddress { node, instance, report }, None)
            }
            12 => (Fault::Reload { node, edit: Edit::Priority(1 + random.below(254) as u8) }, None),
            13 => (Fault::Reload { node, edit: Edit::WithoutLast }, Some(Fault::Reload { node, edit: Edit::Original })),
            14 => {
                let value = random.pick(&[1, 10, 100, -100, 1000]);
                (Fault::File { node, value }, Some(Fault::File { node, value: 0 }))
            }
            15 => (Fault::Processes { node, well: false }, Some(Fault::Processes { node, well: true })),
            16 => {
                let clock = random.pick(&[Clock::Runs, Clock::Stands]);
                (Fault::Pause { node, lasts: random.span(advert / 10, advert * 8), clock }, None)
            }
            17 => (Fault::WallClock(node), None),
            18 => (Fault::AddAddress { node, instance }, None),
            _ => {
                let priority = random.pick(&[None, Some(1), Some(99), Some(200), Some(254)]);
                (Fault::Guest { instance, priority }, Some(Fault::GuestLeaves))
            }
        };
        faults.push((at, fault));
        // Some cures come only with the general healing.
        if let Some(cure) = cure
            && random.percent(70)
        {
            faults.push((cured_at, cure));
        }
    }
    faults
}

fn partition(random: &mut Random, n_nodes: usize) -> Fault {
    Fault::Partition((0..n_nodes).map(|_| random.below(2) as u8).collect())
}

/// What is still wrong when the nodes must have agreed: they have to live with it.
pub(crate) fn lasting(random: &mut Random, n_nodes: usize) -> Vec<Fault> {
    let mut lasting = Vec::new();
    if random.percent(20) {
        lasting.push(partition(random, n_nodes));
    }
    for node in 0..n_nodes {
        if random.percent(10) {
            lasting.push(match random.below(8) {
                0 => Fault::PowerOff(node),
                1 => Fault::Kill(node),
                2 => Fault::Link { node, name: LINK, up: false },
                3 => Fault::Link { node, name: OTHER_LINK, up: false },
                4 => Fault::Script { node, works: false },
                5 => Fault::File { node, value: 100 },
                6 => Fault::Processes { node, well: false },
                _ => Fault::Proxy { node, healthy: false },
            });
        }
    }
    lasting
}
