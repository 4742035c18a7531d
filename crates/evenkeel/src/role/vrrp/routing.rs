//! Routes and rules that instances hold, and what is there whoever is master.

use evenkeel_kernel::Error;
use evenkeel_kernel::netlink::Netlink;
use evenkeel_kernel::routes::{self, Desired, Reconciled};
use evenkeel_vrrp::config::{Config, StaticGroup};
use evenkeel_vrrp::{Event, InstanceId};
use std::collections::{BTreeMap, BTreeSet};

/// What should be there, and what was said of it.
#[derive(Default)]
pub struct Routing {
    /// What each instance is to hold, as the core said last.
    holds: BTreeMap<InstanceId, Desired>,
    /// What is there from start to end.
    statics: Desired,
    /// All that the configuration names, and the one before it until its routes are gone.
    known: Desired,
    /// What the core was told of each group last.
    told: BTreeMap<String, bool>,
}

impl Routing {
    /// Takes a configuration over. What only the old one knew can still be taken away.
    pub fn configure(&mut self, config: &Config) {
        self.statics = Desired { routes: config.network.routes.clone(), rules: config.network.rules.clone() };
        let mut known = self.statics.clone();
        for instance in &config.instances {
            known.routes.extend(instance.routes.iter().cloned());
            known.rules.extend(instance.rules.iter().cloned());
        }
        known.routes.extend(std::mem::take(&mut self.known.routes));
        known.rules.extend(std::mem::take(&mut self.known.rules));
        self.known = known;
    }

    /// After the kernel was made so: what the old configuration knew is gone.
    pub fn forget_old(&mut self, config: &Config) {
        self.known = Desired::default();
        self.configure(config);
    }

    /// Before a configuration with `n_instances`: as [`Holdings`](super::holdings::Holdings) does with addresses.
    pub fn depart_all(&mut self, n_instances: usize) {
        let n_instances = u32::try_from(n_instances).unwrap_or(u32::MAX);
        let holds = std::mem::take(&mut self.holds).into_iter();
        self.holds = holds.map(|(id, held)| (InstanceId(id.0.saturating_add(n_instances)), held)).collect();
    }

    pub fn forget_departed(&mut self, n_instances: usize) {
        self.holds.retain(|id, _| id.departed(n_instances).is_none());
    }

    pub fn forget_all(&mut self) {
        self.holds.clear();
        self.statics = Desired::default();
    }

    /// Whether anything changed.
    pub fn hold(&mut self, id: InstanceId, desired: Desired) -> bool {
        let before =
            if desired == Desired::default() { self.holds.remove(&id) } else { self.holds.insert(id, desired.clone()) };
        before.unwrap_or_default() != desired
    }

    /// Whether there is anything to watch over.
    pub fn is_idle(&self) -> bool {
        self.known == Desired::default()
    }

    /// Protocols that our routes and rules carry.
    pub fn protocols(&self) -> Vec<u8> {
        let routes = self.known.routes.iter().map(|route| route.protocol);
        let all: BTreeSet<u8> = routes.chain(self.known.rules.iter().map(|rule| rule.protocol)).collect();
        all.into_iter().collect()
    }

    fn desired(&self) -> Desired {
        let mut all = self.statics.clone();
        // What two name is there once.
        for held in self.holds.values() {
            for route in &held.routes {
                if !all.routes.contains(route) {
                    all.routes.push(route.clone());
                }
            }
            for rule in &held.rules {
                if !all.rules.contains(rule) {
                    all.rules.push(rule.clone());
                }
            }
        }
        all
    }

    /// Takes away what is ours and not to be there.
    pub fn remove(&self, netlink: &mut Netlink, done: &mut Vec<String>) {
        if !self.is_idle() {
            tell(routes::remove(netlink, &self.desired(), &self.known), done);
        }
    }

    /// Puts there what is missing.
    pub fn add(&self, netlink: &mut Netlink, done: &mut Vec<String>) {
        if !self.is_idle() {
            tell(routes::add(netlink, &self.desired()), done);
        }
    }

    /// What is missing of what instances hold and want watched.
    pub fn lost(&self, netlink: &mut Netlink) -> Result<Vec<(InstanceId, String)>, Error> {
        let mut lost = Vec::new();
        for (id, held) in &self.holds {
            let missing = routes::missing(netlink, held)?;
            let routes = missing.routes.iter().filter(|route| route.tracked);
            lost.extend(routes.map(|route| (*id, format!("route {route}"))));
            let rules = missing.rules.iter().filter(|rule| rule.tracked);
            lost.extend(rules.map(|rule| (*id, format!("rule {rule}"))));
        }
        Ok(lost)
    }

    /// Whether something of what is there from start to end is missing.
    pub fn lacks_static(&self, netlink: &mut Netlink) -> Result<bool, Error> {
        Ok(routes::missing(netlink, &self.statics)? != Desired::default())
    }

    /// What the core has to hear of the groups. `absent` says which static addresses are missing, by their index.
    pub fn judge_groups(
        &mut self,
        netlink: &mut Netlink,
        config: &Config,
        absent: &BTreeMap<usize, String>,
    ) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        if config.network.groups.is_empty() {
            return Ok(events);
        }
        let missing = routes::missing(netlink, &self.statics)?;
        for group in &config.network.groups {
            let lacks = lacking(group, config, &missing, absent);
            let whole = lacks.is_empty();
            if self.told.insert(group.name.clone(), whole) != Some(whole) {
                let reason = if whole { "all is there".to_owned() } else { format!("{} is missing", lacks.join(", ")) };
                events.push(Event::Static { group: group.name.clone(), whole, reason });
            }
        }
        Ok(events)
    }
}

fn lacking(group: &StaticGroup, config: &Config, missing: &Desired, absent: &BTreeMap<usize, String>) -> Vec<String> {
    let addresses = group.addresses.iter().filter_map(|at| absent.get(at).cloned());
    let routes = group.routes.iter().filter_map(|at| config.network.routes.get(*at));
    let routes =
        routes.filter(|route| route.tracked && missing.routes.contains(route)).map(|route| format!("route {route}"));
    let rules = group.rules.iter().filter_map(|at| config.network.rules.get(*at));
    let rules = rules.filter(|rule| rule.tracked && missing.rules.contains(rule)).map(|rule| format!("rule {rule}"));
    addresses.chain(routes).chain(rules).collect()
}

fn tell(outcome: Result<Reconciled, Error>, done: &mut Vec<String>) {
    let errors = match outcome {
        Ok(Reconciled { done: made, errors }) => {
            done.extend(made);
            errors
        }
        Err(error) => vec![error],
    };
    for error in errors {
        tracing::error!(target: "vrrp", "{error}");
        done.push(format!("could not {error}"));
    }
}
