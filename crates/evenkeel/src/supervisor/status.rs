//! Answers about this node, pulled from the roles that live. What they do not say within a second is unknown.

use super::roles::RoleSlot;
use super::{Supervisor, load};
use evenkeel_bus::{
    BalanceView, GroupView, InstanceView, LatenessView, NodeStatus, PeerNodeView, ProxyHealth, ProxyView, Reply,
    RoleState, RoleView, SessionView, ToBalance, ToPeer, ToProxy, ToVrrp, WallTime,
};
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;
use tokio::sync::oneshot;

/// A role answers within this, or its part is unknown.
pub(super) const LIMIT: Duration = Duration::from_secs(1);

/// Questions that may be open; older ones are given up.
const MAX_OPEN: usize = 256;

/// What the vrrp role knows.
#[derive(Debug)]
pub struct OfVrrp {
    /// The virtual routers.
    pub routers: evenkeel_vrrp::Status,
    /// The BFD sessions.
    pub bfd: evenkeel_bfd::Status,
    /// How late their deadlines were served.
    pub lateness: LatenessView,
}

/// Questions that roles have yet to answer.
#[derive(Debug, Default)]
pub struct Questions {
    last: u64,
    vrrp: BTreeMap<u64, oneshot::Sender<OfVrrp>>,
    proxy: BTreeMap<u64, oneshot::Sender<evenkeel_site::Status>>,
    balance: BTreeMap<u64, oneshot::Sender<BalanceView>>,
    peers: BTreeMap<u64, oneshot::Sender<Vec<PeerNodeView>>>,
}

impl Questions {
    /// Asks the vrrp role. The answer never comes when it is dead or silent.
    pub fn ask_vrrp(&mut self, role: &RoleSlot<ToVrrp>) -> oneshot::Receiver<OfVrrp> {
        let (id, answer) = open(&mut self.last, &mut self.vrrp);
        match &role.process {
            Some(process) => process.send(ToVrrp::Status { id }),
            None => drop(self.vrrp.remove(&id)),
        }
        answer
    }

    /// Asks the proxy role.
    pub fn ask_proxy(&mut self, role: &RoleSlot<ToProxy>) -> oneshot::Receiver<evenkeel_site::Status> {
        let (id, answer) = open(&mut self.last, &mut self.proxy);
        match &role.process {
            Some(process) => process.send(ToProxy::Status { id }),
            None => drop(self.proxy.remove(&id)),
        }
        answer
    }

    /// Asks the balance role.
    pub fn ask_balance(&mut self, role: &RoleSlot<ToBalance>) -> oneshot::Receiver<BalanceView> {
        let (id, answer) = open(&mut self.last, &mut self.balance);
        match &role.process {
            Some(process) => process.send(ToBalance::Status { id }),
            None => drop(self.balance.remove(&id)),
        }
        answer
    }

    /// Asks the peer role.
    pub fn ask_peers(&mut self, role: &RoleSlot<ToPeer>) -> oneshot::Receiver<Vec<PeerNodeView>> {
        let (id, answer) = open(&mut self.last, &mut self.peers);
        match &role.process {
            Some(process) => process.send(ToPeer::Status { id }),
            None => drop(self.peers.remove(&id)),
        }
        answer
    }

    pub(super) fn peers_answered(&mut self, id: u64, peers: Vec<PeerNodeView>) {
        if let Some(answer) = self.peers.remove(&id) {
            let _ = answer.send(peers);
        }
    }

    pub(super) fn vrrp_answered(&mut self, id: u64, status: OfVrrp) {
        if let Some(answer) = self.vrrp.remove(&id) {
            let _ = answer.send(status);
        }
    }

    pub(super) fn balance_answered(&mut self, id: u64, status: BalanceView) {
        if let Some(answer) = self.balance.remove(&id) {
            let _ = answer.send(status);
        }
    }

    pub(super) fn proxy_answered(&mut self, id: u64, status: evenkeel_site::Status) {
        if let Some(answer) = self.proxy.remove(&id) {
            let _ = answer.send(status);
        }
    }
}

fn open<T>(last: &mut u64, questions: &mut BTreeMap<u64, oneshot::Sender<T>>) -> (u64, oneshot::Receiver<T>) {
    *last += 1;
    questions.retain(|_, answer| !answer.is_closed());
    while questions.len() >= MAX_OPEN {
        questions.pop_first();
    }
    let (answer, receiver) = oneshot::channel();
    questions.insert(*last, answer);
    (*last, receiver)
}

impl Supervisor {
    pub(super) fn answer_status(&mut self, answer: oneshot::Sender<Reply>) {
        let status = self.status();
        tokio::spawn(async move {
            let _ = answer.send(Reply::Status(Box::new(status.await)));
        });
    }

    pub(super) fn answer_stats(&mut self, answer: oneshot::Sender<Reply>) {
        let status = self.status();
        tokio::spawn(async move {
            let reply = match status.await.instances {
                Some(instances) => Reply::Stats(super::dump::statistics(
                    instances.iter().map(|instance| (instance.name.as_str(), &instance.counters)),
                )),
                None => Reply::Failed { message: "the vrrp role does not answer".to_owned() },
            };
            let _ = answer.send(reply);
        });
    }

    /// Everything about this node. The future does not borrow, so that the main loop goes on meanwhile.
    pub(super) fn status(&mut self) -> impl Future<Output = NodeStatus> + use<> {
        let vrrp = self.questions.ask_vrrp(&self.vrrp);
        let proxy = self.questions.ask_proxy(&self.proxy);
        let balance = self.questions.ask_balance(&self.balance);
        let has_peers = !self.compiled.peer.peers.is_empty();
        let peers = self.questions.ask_peers(&self.peers.slot);
        let has_vrrp = self.wants_vrrp();
        let health = self.compiled.site.is_some().then(|| ProxyHealth {
            healthy: self.health.healthy,
            reason: self.health.reason.clone(),
            since_seconds: self.health_since.elapsed().as_secs_f64(),
        });
        let mut roles = Vec::new();
        if has_vrrp || self.vrrp.state != RoleState::Stopped {
            roles.push(view("vrrp", &self.vrrp, self.vrrp.process.as_ref().map(|p| p.pid)));
        }
        if health.is_some() || self.proxy.state != RoleState::Stopped {
            roles.push(view("proxy", &self.proxy, self.proxy.process.as_ref().map(|p| p.pid)));
        }
        if self.wants_balance() || self.balance.state != RoleState::Stopped {
            roles.push(view("balance", &self.balance, self.balance.process.as_ref().map(|p| p.pid)));
        }
        if self.mailer.state != RoleState::Stopped {
            roles.push(view("mail", &self.mailer, self.mailer.process.as_ref().map(|p| p.pid)));
        }
        if self.dbus.slot.state != RoleState::Stopped {
            roles.push(view("dbus", &self.dbus.slot, self.dbus.slot.process.as_ref().map(|p| p.pid)));
        }
        if self.peers.slot.state != RoleState::Stopped {
            roles.push(view("peer", &self.peers.slot, self.peers.slot.process.as_ref().map(|p| p.pid)));
        }
        let mut node = NodeStatus {
            node: self.compiled.settings.router_id.clone().unwrap_or_else(load::host_name),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: WallTime::now(),
            pid: std::process::id(),
            uptime_seconds: self.started_at.elapsed().as_secs_f64(),
            files: self.compiled.files.clone(),
            configured_at: self.configured_at,
            reload_error: self.reload_error.clone(),
            maintenance: self.maintenance.view(WallTime::now()),
            roles,
            lateness: None,
            instances: None,
            groups: None,
            bfd: None,
            peers: (!has_peers).then(Vec::new),
            proxy: None,
            balance: None,
        };
        async move {
            let (vrrp, proxy, balance, peers) = tokio::join!(
                tokio::time::timeout(LIMIT, vrrp),
                tokio::time::timeout(LIMIT, proxy),
                tokio::time::timeout(LIMIT, balance),
                tokio::time::timeout(LIMIT, peers)
            );
            node.peers = peers.ok().and_then(Result::ok).or(node.peers);
            node.balance = balance.ok().and_then(Result::ok);
            let vrrp = vrrp.ok().and_then(Result::ok);
            let proxy = proxy.ok().and_then(Result::ok);
            node.at = WallTime::now();
            match (vrrp, has_vrrp) {
                (Some(OfVrrp { routers, bfd, lateness }), _) => {
                    node.lateness = Some(lateness);
                    node.groups = Some(routers.groups.iter().map(|group| GroupView::new(group, node.at)).collect());
                    node.instances =
                        Some(routers.instances.iter().map(|instance| InstanceView::new(instance, node.at)).collect());
                    node.bfd = Some(bfd.sessions.iter().map(|session| SessionView::new(session, node.at)).collect());
                }
                (None, true) => {}
                (None, false) => {
                    (node.groups, node.instances, node.bfd) = (Some(Vec::new()), Some(Vec::new()), Some(Vec::new()));
                }
            };
            node.proxy = health.map(|health| ProxyView::new(health, proxy.as_ref()));
            node
        }
    }
}

fn view<To>(name: &str, role: &RoleSlot<To>, pid: Option<u32>) -> RoleView {
    RoleView {
        name: name.to_owned(),
        state: role.state,
        pid,
        since_seconds: role.since.elapsed().as_secs_f64(),
        restarts: role.restarts,
        last_exit: role.last_exit.clone(),
    }
}
