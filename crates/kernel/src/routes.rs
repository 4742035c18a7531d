//! Routes and policy rules as desired state: compute what should be there, compare, change.
//!
//! What another made is not touched: ours is what carries the protocol that the configuration names (keepalived's, unless
//! it says otherwise) where the configuration, now or before, has a route.

use crate::Error;
use crate::netlink::Netlink;
pub(crate) use crate::netlink::There;
use evenkeel_wire::route::{Route, Rule};

/// What a reconciliation did, in words: `added route 10.0.0.0/8 via 10.0.0.1`.
#[derive(Debug, Default)]
pub struct Reconciled {
    /// What was done, in order.
    pub done: Vec<String>,
    /// What the kernel refused.
    pub errors: Vec<Error>,
}

impl Reconciled {
    fn note(&mut self, outcome: Result<(), Error>, done: impl FnOnce() -> String) {
        match outcome {
            Ok(()) => self.done.push(done()),
            Err(error) => self.errors.push(error),
        }
    }
}

/// What should be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Routes.
    pub routes: Vec<Route>,
    /// Rules.
    pub rules: Vec<Rule>,
}

/// Takes away rules, then routes, that are in `known` and not `desired`; called before addresses go, which routes need.
pub fn remove(netlink: &mut Netlink, desired: &Desired, known: &Desired) -> Result<Reconciled, Error> {
    let mut result = Reconciled::default();
    if known.rules.iter().any(|rule| !desired.rules.contains(rule)) {
        for there in netlink.rules()? {
            let is_known = known.rules.iter().any(|rule| Netlink::is_same_rule(rule, &there));
            if is_known && !desired.rules.iter().any(|rule| Netlink::is_same_rule(rule, &there)) {
                result.note(netlink.delete_rule(&there), || format!("removed rule {there}"));
            }
        }
    }
    if !known.routes.is_empty() {
        let wanted = Matched::new(netlink, &desired.routes, known)?;
        for there in wanted.left_over {
            result.note(netlink.delete_route(&there), || format!("removed route {}", there.route));
        }
    }
    Ok(result)
}

/// Adds routes, then rules, that are `desired` and not there; called when the addresses are there that routes need.
pub fn add(netlink: &mut Netlink, desired: &Desired) -> Result<Reconciled, Error> {
    let mut result = Reconciled::default();
    if !desired.routes.is_empty() {
        let matched = Matched::new(netlink, &desired.routes, &Desired::default())?;
        for route in matched.missing {
            result.note(netlink.make_route(&route), || format!("added route {route}"));
        }
    }
    if !desired.rules.is_empty() {
        let there = netlink.rules()?;
        for rule in &desired.rules {
            if !there.iter().any(|there| Netlink::is_same_rule(rule, there)) {
                result.note(netlink.add_rule(rule), || format!("added rule {rule}"));
            }
        }
    }
    Ok(result)
}

/// Those of `desired` that the kernel lacks now.
pub fn missing(netlink: &mut Netlink, desired: &Desired) -> Result<Desired, Error> {
    let mut missing = Desired::default();
    if !desired.routes.is_empty() {
        missing.routes = Matched::new(netlink, &desired.routes, &Desired::default())?.missing;
    }
    if !desired.rules.is_empty() {
        let there = netlink.rules()?;
        let is_missing = |rule: &&Rule| !there.iter().any(|there| Netlink::is_same_rule(rule, there));
        missing.rules = desired.rules.iter().filter(is_missing).cloned().collect();
    }
    Ok(missing)
}

/// Desired routes and those of the kernel, matched one to one.
struct Matched {
    missing: Vec<Route>,
    left_over: Vec<There>,
}

impl Matched {
    fn new(netlink: &mut Netlink, desired: &[Route], known: &Desired) -> Result<Self, Error> {
        let index = netlink.indexes()?;
        let index_of = |name: &str| index.get(name).copied();
        let mut left_over = netlink.routes()?;
        let mut missing = Vec::new();
        for wanted in desired {
            match left_over.iter().position(|there| there.serves(wanted, &index_of)) {
                Some(at) => drop(left_over.swap_remove(at)),
                // The same route twice in a configuration is one route.
                None if missing.contains(wanted) => {}
                None => missing.push(wanted.clone()),
            }
        }
        left_over.retain(|there| known.routes.iter().any(|known| there.stands_at(known)));
        Ok(Matched { missing, left_over })
    }
}
