//! Routes and policy rules: asked for, made, taken away, and heard of when somebody else takes them away.

use super::socket::{ROUTE, Socket};
use super::{Netlink, There, route_wire, rule_wire};
use crate::Error;
use crate::error::During;
use evenkeel_wire::Family;
use evenkeel_wire::route::{Route, Rule};
use rustix::io::Errno;
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};

impl Netlink {
    /// The interfaces' indexes by their names.
    pub(crate) fn indexes(&mut self) -> Result<HashMap<String, u32>, Error> {
        Ok(self.links()?.into_iter().map(|link| (link.name, link.index)).collect())
    }

    /// Every route of both families in all tables, but for cached ones.
    pub(crate) fn routes(&mut self) -> Result<Vec<There>, Error> {
        let mut all = Vec::new();
        for family in [libc::AF_INET, libc::AF_INET6] {
            let mut fixed = [0; 12];
            fixed[0] = family as u8;
            let list = self.socket.dump(route_wire::GET_ROUTE, &fixed, |message| route_wire::route(message.payload));
            // A kernel without IPv6 has no such routes.
            match list.during(|| "list routes") {
                Err(_) if family == libc::AF_INET6 => {}
                list => all.append(&mut list?),
            }
        }
        Ok(all)
    }

    /// Every policy rule of both families.
    pub fn rules(&mut self) -> Result<Vec<Rule>, Error> {
        let mut all = Vec::new();
        for family in [Family::V4, Family::V6] {
            let number = if family == Family::V4 { libc::AF_INET } else { libc::AF_INET6 };
            let mut fixed = [0; 12];
            fixed[0] = number as u8;
            let list = self.socket.dump(rule_wire::GET_RULE, &fixed, |message| rule_wire::rule(message.payload));
            // A kernel without policy routing has no rules to list.
            all.append(&mut list.unwrap_or_default());
        }
        Ok(all)
    }

    /// Makes a route. One that is there already is no error, unless it was to be the only one.
    pub fn make_route(&mut self, route: &Route) -> Result<(), Error> {
        let indexes = self.indexes()?;
        let request = route_wire::add(route, &|name| indexes.get(name).copied())
            .map_err(|name| Error::new(format!("add route {route} on {name}"), Errno::NODEV))?;
        self.order(&request, |_| format!("add route {route}"))
    }

    pub(crate) fn delete_route(&mut self, there: &There) -> Result<(), Error> {
        match self.order(&route_wire::delete(there), |_| format!("remove route {}", there.route)) {
            Err(error) if is_absent(&error) => Ok(()),
            outcome => outcome,
        }
    }

    /// Makes a rule. One that is there already is no error.
    pub fn add_rule(&mut self, rule: &Rule) -> Result<(), Error> {
        match self.order(&rule_wire::add(rule), |_| format!("add rule {rule}")) {
            Err(error) if error.cause().raw_os_error() == Some(Errno::EXIST.raw_os_error()) => Ok(()),
            outcome => outcome,
        }
    }

    /// Takes a rule away. One that is not there is no error.
    pub fn delete_rule(&mut self, rule: &Rule) -> Result<(), Error> {
        match self.order(&rule_wire::delete(rule), |_| format!("remove rule {rule}")) {
            Err(error) if is_absent(&error) => Ok(()),
            outcome => outcome,
        }
    }

    /// Whether two rules are the same to the kernel.
    pub(crate) fn is_same_rule(one: &Rule, other: &Rule) -> bool {
        rule_wire::normal(one) == rule_wire::normal(other)
    }
}

/// What taking a route or a rule away answers when it is not there (any more).
fn is_absent(error: &Error) -> bool {
    let absent = [Errno::SRCH, Errno::NOENT, Errno::NODEV].map(|errno| Some(errno.raw_os_error()));
    absent.contains(&error.cause().raw_os_error())
}

/// Bits of RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_ROUTE and RTNLGRP_IPV6_RULE (groups 7, 8, 11 and 19).
const GROUPS: u32 = 1 << 6 | 1 << 7 | 1 << 10 | 1 << 18;

/// Room for some ten thousand changes that nobody has read yet.
const RECEIVE_BUFFER: usize = 8 * 1024 * 1024;

/// A route or rule of a given protocol went, or messages were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

/// A non-blocking socket that hears of routes and rules that go. Only opened by who has some: with a routing daemon on the
/// same machine there is much to hear.
#[derive(Debug)]
pub struct RoutingMonitor {
    socket: Socket,
}

impl RoutingMonitor {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> Result<Self, Error> {
        let socket = Socket::listen(ROUTE, GROUPS, RECEIVE_BUFFER).during(|| "open a netlink socket for routes")?;
        Ok(RoutingMonitor { socket })
    }

    /// Reads all that has come, and says whether a route or rule of one of `protocols` went meanwhile.
    pub fn receive(&mut self, protocols: &[u8]) -> Result<Option<Lost>, Error> {
        let mut lost = None;
        loop {
            let received = self.socket.receive(|message| {
                let protocol = match message.kind {
                    route_wire::DELETE_ROUTE => message.payload.get(5).copied(),
                    rule_wire::DELETE_RULE => rule_wire::rule(message.payload).map(|rule| rule.protocol),
                    _ => None,
                };
                if protocol.is_some_and(|protocol| protocols.contains(&protocol)) {
                    lost = Some(Lost);
                }
            });
            let Err(cause) = received else { continue };
            match cause.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::AGAIN) => return Ok(lost),
                Some(Errno::NOBUFS) => lost = Some(Lost),
                _ => return Err(Error::new("read a change of routes or rules", cause)),
            }
        }
    }
}

impl AsFd for RoutingMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
