//! The laws: what must hold at every instant, after settling, and while a master goes in good order.
//!
//! Machines that run the model of keepalived are under the same laws, but for what it is known not to do, however well
//! its neighbours behave:
//! - Its first advert comes before its addresses, so that of it "who advertises holds" is not demanded.
//! - Told to stop it lets go before anybody else can have the addresses: the law that a handover leaves no gap begins to
//!   hold when its successor's skew is over.
//! - It has no `failover`: as master it is made to go by stopping it.

use crate::daemon::Seen;
use crate::guest::Whose;
use crate::node::Node;
use crate::scenario::{LINK, primary};
use crate::world::{Broken, World};
use evenkeel_vrrp::config::Preempt;
use evenkeel_vrrp::{Action, StateName, timers};
use evenkeel_wire::Family;
use evenkeel_wire::ipv4;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Addresses of which some node must serve each, at every instant, where clients look for it.
pub(crate) struct Watch {
    pub(crate) addresses: Vec<IpAddr>,
    /// Who could serve them.
    pub(crate) component: Vec<usize>,
    /// From when on. A keepalived that is told to stop lets go first: until its successor's skew is over nobody answers,
    /// and no neighbour can do anything about that.
    pub(crate) from: Duration,
    /// Since when each of them is looked for where it is not.
    pub(crate) astray: BTreeMap<IpAddr, Duration>,
}

impl Node {
    /// Within this time an address that was removed by hand is back.
    pub(crate) const REPAIR_TIME: Duration = Duration::from_secs(1);
    /// And within this one if nobody reported it: addresses are compared with the next deadline after the period, and a
    /// master has one each second.
    pub(crate) const UNREPORTED_REPAIR_TIME: Duration = Duration::from_millis(6_500);
}

impl World {
    /// At every instant: what a router wants done fits what it said before.
    pub(crate) fn check_action(&self, n: usize, action: &Action) -> Result<(), Broken> {
        let node = &self.nodes[n];
        let name = node.name();
        let acts = match action {
            Action::SendAdvert { .. } | Action::Announce { .. } | Action::Probe { .. } | Action::Stopped => true,
            Action::Hold { addresses, .. } => !addresses.is_empty(),
            Action::Notify { .. }
            | Action::NotifyGroup { .. }
            | Action::Explain(_)
            | Action::Unclaimed { .. }
            | Action::Compare => false,
        };
        if node.stopped && acts {
            return Err(format!("a router does nothing after Stopped: {name} wants {action:?}"));
        }
        match action {
            Action::SendAdvert { instance, source, packet, .. } => {
                let advert = match source {
                    IpAddr::V4(_) => ipv4::Header::parse(packet).map(|(_, advert)| advert),
                    IpAddr::V6(_) => Some(&packet[..]),
                };
                let Some(&[_, _, priority, ..]) = advert else {
                    return Err(format!("an advert is a packet of its family: {name} sends {packet:?}"));
                };
                let held = node.holds_all(instance.0 as usize);
                // A keepalived that becomes master sends its first advert before it adds the addresses.
                if priority != 0 && !held && node.is_ours() {
                    return Err(format!(
                        "who advertises holds: {name} advertises priority {priority} without its addresses"
                    ));
                }
            }
            // A machine's own address, which unicast peers are told after a fault, is always there.
            Action::Announce { instance, addresses, .. }
                if !node.holds_all(instance.0 as usize)
                    && !addresses.iter().all(|it| is_primary(node, it.prefix.address())) =>
            {
                return Err(format!("who announces holds: {name} announces addresses that it has not"));
            }
            Action::Explain(transition) => {
                let Some(known) = node.state(transition.instance) else { return Ok(()) };
                if known != transition.from {
                    let from = transition.from;
                    return Err(format!(
                        "transitions follow one another: {name} leaves {from:?}, but it was in {known:?}"
                    ));
                }
            }
            Action::Hold { .. }
            | Action::Announce { .. }
            | Action::Probe { .. }
            | Action::Notify { .. }
            | Action::NotifyGroup { .. }
            | Action::Unclaimed { .. }
            | Action::Compare
            | Action::Stopped => {}
        }
        Ok(())
    }

    /// At every instant: a kernel has an address exactly while its router is master or about to leave, and the router
    /// says so. What an earlier process held is left there until this one knows its links, and for a moment longer where it
    /// takes the place of one that died as master.
    pub(crate) fn check_node(&self, node: &Node) -> Result<(), Broken> {
        let Some(seen) = node.see(self.now) else {
            return Ok(());
        };
        let name = node.name();
        for (k, instance) in seen.into_iter().enumerate() {
            let state = instance.state;
            if state != node.states[k] {
                let told = node.states[k];
                return Err(format!("status and log agree: {name} is {state:?}, its last transition was to {told:?}"));
            }
            let may_hold = matches!(state, StateName::Master | StateName::Leaving);
            if may_hold != instance.holding {
                let holding = instance.holding;
                return Err(format!(
                    "an address is held while master or leaving: {name} is {state:?}, holding: {holding}"
                ));
            }
            for address in node.instance_addresses(k) {
                let has = node.addresses.contains(&address);
                let is_early = |by: &Duration| self.now < (*by).max(node.paused_until + Node::REPAIR_TIME);
                let awaits_repair = node.removed.get(&address).is_some_and(is_early);
                // What somebody added is noticed by one that has deadlines; that keepalived would is not known.
                let is_asleep = matches!(state, StateName::Init | StateName::Fault | StateName::Stopped);
                let was_added = node.added.get(&address).is_some_and(|by| is_early(by) || is_asleep || !node.is_ours());
                let resumes = node.resumes_until.get(&k).is_some_and(|until| self.now < *until);
                let left_there = has && state == StateName::Init && (node.starting || resumes);
                if has != instance.holding && (has || !awaits_repair) && !left_there && !was_added {
                    let says = if instance.holding { "says that it holds" } else { "says that it does not hold" };
                    let kernel = if has { "has it" } else { "has it not" };
                    return Err(format!(
                        "the kernel has an address exactly while the router holds it: {name} is {state:?} and {says} {address}, its kernel {kernel}"
                    ));
                }
            }
        }
        for group in &node.config.groups {
            let states = || group.members.iter().map(|member| node.states[member.0 as usize]);
            if states().any(|state| state == StateName::Fault) {
                let holds = |state| matches!(state, StateName::Master | StateName::Leaving);
                // One that was told to stop finishes its handover.
                if states().any(holds) && node.shutdown_at.is_none() {
                    let states: Vec<_> = states().collect();
                    return Err(format!("no member holds while another is in FAULT: {name} has {states:?}"));
                }
            }
        }
        let limit = self.scenario.down_interval * 2;
        let is_overdue = |at: &Duration| !node.stopped && self.now > (*at).max(node.paused_until) + limit;
        if let Some(at) = node.shutdown_at.filter(is_overdue) {
            return Err(format!("a shutdown ends: {name} was told at {at:?} and has not stopped"));
        }
        Ok(())
    }

    /// After settling: one master among those that reach one another, and it is the right one.
    pub(crate) fn check_settled(&self) -> Result<(), Broken> {
        self.nodes.iter().try_for_each(|node| self.check_node(node))?;
        self.nodes.iter().try_for_each(Self::check_groups)?;
        self.check_client()?;
        self.check_sessions()?;
        let mut seen = vec![false; self.nodes.len()];
        for n in 0..self.nodes.len() {
            if seen[n] {
                continue;
            }
            let component = self.component(n);
            component.iter().for_each(|n| seen[*n] = true);
            self.check_component(&component, None)?;
        }
        Ok(())
    }

    /// After settling: clients look for an address where it is, as far as ours are concerned. Not demanded: that a keepalived
    /// which lets go says so to a master that never heard of it; that one which is master cares for what others claim; and
    /// that it announces itself when one that was master beside it has failed.
    fn check_client(&self) -> Result<(), Broken> {
        for (address, asked) in &self.client {
            let mut holders = self.nodes.iter().filter(|node| node.serves(*address));
            let (Some(holder), None) = (holders.next(), holders.next()) else { continue };
            // Who cannot be heard cannot be answered.
            let component = self.component(holder.number);
            if self.nodes.iter().any(|node| node.is_up(LINK) && !component.contains(&node.number)) {
                continue;
            }
            let is_excused = match asked {
                Whose::Node(n) if *n == holder.number => true,
                Whose::Node(n) => !self.nodes[*n].is_ours() || !(holder.is_ours() || self.nodes[*n].is_eligible()),
                Whose::Guest => !holder.is_ours(),
            };
            if !is_excused {
                let name = holder.name();
                return Err(format!(
                    "clients look for an address where it is: {address} is with {name}, and is looked for at {asked:?}"
                ));
            }
        }
        Ok(())
    }

    /// After settling: the members of a group are in the same state.
    fn check_groups(node: &Node) -> Result<(), Broken> {
        for group in node.config.groups.iter().filter(|_| node.runs()) {
            let states: Vec<_> = group.members.iter().map(|member| node.states[member.0 as usize]).collect();
            if states.iter().any(|state| *state != states[0]) {
                let name = node.name();
                return Err(format!("the members of a group are in the same state: {name} has {states:?}"));
            }
        }
        Ok(())
    }

    /// After a handover: the old master is out, and somebody else is in.
    pub(crate) fn check_handed_over(&self, old: usize, instances: &[usize]) -> Result<(), Broken> {
        let node = &self.nodes[old];
        self.check_node(node)?;
        self.nodes.iter().try_for_each(Self::check_groups)?;
        let name = node.name();
        if node.shutdown_at.is_some() && !node.stopped {
            return Err(format!("a shutdown ends: {name} has not stopped"));
        }
        if let Some(k) = instances.iter().find(|k| node.states[**k] == StateName::Master) {
            return Err(format!("who hands over is no master afterwards: {name} is, of instance {}", k + 1));
        }
        let component = self.component(old);
        self.check_component(&component, Some(old))
    }

    fn check_component(&self, component: &[usize], handed_over: Option<usize>) -> Result<(), Broken> {
        let seen: Vec<(&Node, Vec<Seen>)> = component
            .iter()
            .map(|n| &self.nodes[*n])
            .filter(|node| node.runs())
            .filter_map(|node| Some((node, node.see(self.now)?)))
            .collect();
        let n_instances = component.iter().map(|n| self.nodes[*n].config.instances.len()).max().unwrap_or_default();
        for k in 0..n_instances {
            let members: Vec<(&Node, Seen)> =
                seen.iter().filter_map(|(node, seen)| Some((*node, *seen.get(k)?))).collect();
            self.check_instance(&members, k, handed_over)?;
        }
        Ok(())
    }

    fn check_instance(&self, members: &[(&Node, Seen)], k: usize, handed_over: Option<usize>) -> Result<(), Broken> {
        let said: Vec<_> = members.iter().map(|(node, status)| format!("{} {:?}", node.name(), status.state)).collect();
        let said = said.join(", ");
        let eligible: Vec<_> = members.iter().filter(|(node, _)| node.is_eligible()).collect();
        if let Some((node, status)) =
            members.iter().find(|(node, s)| !node.is_eligible() && s.state == StateName::Master)
        {
            return Err(format!("a node with a fault is no master: {} is {:?}", node.name(), status.state));
        }
        let masters: Vec<_> = eligible.iter().filter(|(_, status)| status.state == StateName::Master).collect();
        let wanted = usize::from(!eligible.is_empty());
        if masters.len() != wanted {
            let found = masters.len();
            return Err(format!("a component has one master: instance {} has {found} among {said}", k + 1));
        }
        let Some((master, status)) = masters.first() else {
            return Ok(());
        };
        let preempts = |node: &Node| node.config.instances[k].preempt != Preempt::Never;
        let best = eligible.iter().filter(|(node, _)| preempts(node) && handed_over != Some(node.number));
        if let Some((other, better)) = best.max_by_key(|(_, status)| status.effective)
            && better.effective > status.effective
        {
            return Err(format!(
                "the highest priority that preempts is master: instance {} is with {} ({}), {} has {}",
                k + 1,
                master.name(),
                status.effective,
                other.name(),
                better.effective
            ));
        }
        Ok(())
    }

    /// While a master goes in good order: there is no instant at which nobody serves.
    pub(crate) fn check_watch(&mut self) -> Result<(), Broken> {
        let Some(mut watch) = self.watch.take() else {
            return Ok(());
        };
        let is_kept = if watch.from <= self.now { self.check_watched(&mut watch) } else { Ok(()) };
        self.watch = Some(watch);
        is_kept
    }

    fn check_watched(&self, watch: &mut Watch) -> Result<(), Broken> {
        // What one announces that lets go while it is under way may reach the client last. The other hears it too, and
        // answers it in a moment.
        let on_its_way = self.lan.quality.delay * 3 + timers::CONTRADICTED + Duration::from_millis(1);
        for address in &watch.addresses {
            if !watch.component.iter().any(|n| self.nodes[*n].serves(*address)) {
                return Err(format!("a handover leaves no gap: nobody serves {address}"));
            }
            let asked = self.client.get(address);
            // A keepalived that lets go says nothing, and one that is master cares for nothing that is claimed.
            let is_keepalived = |n: &usize| !self.nodes[*n].is_ours() && self.nodes[*n].serves(*address);
            let is_left_by_keepalived = matches!(asked, Some(Whose::Node(n)) if !self.nodes[*n].is_ours())
                && watch.component.iter().any(is_keepalived);
            let is_found = matches!(asked, Some(Whose::Node(n)) if self.nodes[*n].serves(*address));
            if is_found || is_left_by_keepalived {
                watch.astray.remove(address);
            } else if self.now > *watch.astray.entry(*address).or_insert(self.now) + on_its_way {
                return Err(format!("a handover leaves no client behind: {address} is looked for at {asked:?}"));
            }
        }
        Ok(())
    }

    /// Nodes whose links are up and which reach one another, `n` among them.
    pub(crate) fn component(&self, n: usize) -> Vec<usize> {
        let both_up = |m: usize| self.nodes[n].is_up(LINK) && self.nodes[m].is_up(LINK);
        (0..self.nodes.len()).filter(|m| *m == n || (both_up(*m) && self.lan.reaches(n, *m))).collect()
    }
}

fn is_primary(node: &Node, address: IpAddr) -> bool {
    address == primary(node.number, Family::of(address))
}

impl Node {
    /// The kernel has all addresses of an instance, those aside that somebody removed and that are about to come back.
    fn holds_all(&self, instance: usize) -> bool {
        let held = |address| self.addresses.contains(address) || self.removed.contains_key(address);
        self.instance_addresses(instance).iter().all(held)
    }
}
