//! Which instances the vrrp role was master for when it died: its successor goes on where nobody can have taken over yet.

use evenkeel_bus::Explanation;
use evenkeel_vrrp::config::Instance;
use evenkeel_vrrp::{Event, InstanceId, StateName};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What the supervisor heard last, by the names of the instances.
#[derive(Debug, Default)]
pub struct Mastership {
    masters: BTreeMap<String, Life>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// The process that said so lives.
    Living,
    /// It died then.
    Died(Instant),
}

impl Mastership {
    /// A living role told of a decision.
    pub fn note(&mut self, explanation: &Explanation) {
        let Some(to) = explanation.to else { return };
        match to {
            StateName::Master => drop(self.masters.insert(explanation.instance.clone(), Life::Living)),
            // One that hands over may have a successor already.
            StateName::Init | StateName::Backup | StateName::Leaving | StateName::Fault | StateName::Stopped => {
                self.masters.remove(&explanation.instance);
            }
        }
    }

    /// Whether the instance is master, by its living process's word.
    pub fn is_master(&self, instance: &str) -> bool {
        self.masters.get(instance) == Some(&Life::Living)
    }

    /// The role is dead. What it never said anything about is as old as it was.
    pub fn role_died(&mut self, now: Instant) {
        for life in self.masters.values_mut().filter(|life| **life == Life::Living) {
            *life = Life::Died(now);
        }
    }

    /// Another configuration: its names may mean other virtual routers.
    pub fn forget_the_dead(&mut self) {
        self.masters.retain(|_, life| *life == Life::Living);
    }

    /// What a role that is started now is told.
    pub fn resumptions(&self, now: Instant, instances: &[Instance]) -> Vec<Event> {
        let numbered = (0..).map(InstanceId).zip(instances);
        numbered
            .filter_map(|(id, instance)| {
                let Life::Died(died_at) = self.masters.get(&instance.name)? else { return None };
                let within = undisputed(instance).checked_sub(now.duration_since(*died_at))?;
                (!within.is_zero()).then_some(Event::Resume { instance: id, within })
            })
            .collect()
    }
}

/// For how long after the death of a master none of its peers can have taken over: they wait for `down_adverts`
/// intervals after its last advert, which may be one interval old when it dies.
fn undisputed(instance: &Instance) -> Duration {
    instance.advert_interval.duration() * u32::from(instance.down_adverts.get() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_bus::WallTime;
    use evenkeel_vrrp::config::Vrid;

    fn told(instance: &str, to: StateName) -> Explanation {
        Explanation {
            instance: instance.to_owned(),
            at: WallTime::now(),
            from: Some(StateName::Backup),
            to: Some(to),
            trigger: String::new(),
            rule: String::new(),
            decision: String::new(),
            waited_seconds: 0.0,
            effects: Vec::new(),
        }
    }

    fn instances() -> Vec<Instance> {
        ["A", "B"].map(|name| Instance::new(name, "eth0", Vrid::new(1).unwrap())).into()
    }

    #[test]
    fn only_a_master_that_died_a_moment_ago_is_resumed() {
        let at = Instant::now();
        let after = |seconds| at + Duration::from_secs_f64(seconds);
        let mut mastership = Mastership::default();
        mastership.note(&told("A", StateName::Backup));
        mastership.note(&told("B", StateName::Master));
        assert_eq!(mastership.resumptions(at, &instances()), [], "it lives");
        mastership.role_died(at);
        let within = Duration::from_secs(1);
        assert_eq!(
            mastership.resumptions(after(1.0), &instances()),
            [Event::Resume { instance: InstanceId(1), within }],
            "peers wait three intervals of a second after an advert that may be one old"
        );
        assert_eq!(mastership.resumptions(after(2.0), &instances()), [], "a peer may have taken over");
    }

    #[test]
    fn a_successor_that_dies_without_a_word_makes_nothing_fresh() {
        let at = Instant::now();
        let mut mastership = Mastership::default();
        mastership.note(&told("A", StateName::Master));
        mastership.role_died(at);
        mastership.role_died(at + Duration::from_secs(2));
        assert_eq!(mastership.resumptions(at + Duration::from_secs(3), &instances()), []);
    }

    #[test]
    fn one_that_hands_over_or_has_another_configuration_is_not_resumed() {
        let at = Instant::now();
        for forget in [|m: &mut Mastership| m.note(&told("A", StateName::Leaving)), Mastership::forget_the_dead] {
            let mut mastership = Mastership::default();
            mastership.note(&told("A", StateName::Master));
            mastership.role_died(at);
            forget(&mut mastership);
            assert_eq!(mastership.resumptions(at, &instances()), []);
        }
    }
}
