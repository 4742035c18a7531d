//! Answers about this node, pulled from the roles that live. What they do not say within a second is unknown.

use super::roles::RoleSlot;
use super::{Supervisor, load};
use evenkeel_bus::{
    BalanceView, GroupView, InstanceView, NodeStatus, ProxyHealth, ProxyView, Reply, RoleState, RoleView, ToBalance,
    ToProxy, ToVrrp, WallTime,
};
use evenkeel_vrrp::{AdvertCounters, StateName};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;
use tokio::sync::oneshot;

/// A role answers within this, or its part is unknown.
const LIMIT: Duration = Duration::from_secs(1);

/// Questions that may be open; older ones are given up.
const MAX_OPEN: usize = 256;

/// Questions that roles have yet to answer.
#[derive(Debug, Default)]
pub struct Questions {
    last: u64,
    vrrp: BTreeMap<u64, oneshot::Sender<evenkeel_vrrp::Status>>,
    proxy: BTreeMap<u64, oneshot::Sender<evenkeel_site::Status>>,
    balance: BTreeMap<u64, oneshot::Sender<BalanceView>>,
}

impl Questions {
    /// Asks the vrrp role. The answer never comes when it is dead or silent.
    pub fn ask_vrrp(&mut self, role: &RoleSlot<ToVrrp>) -> oneshot::Receiver<evenkeel_vrrp::Status> {
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

    pub(super) fn vrrp_answered(&mut self, id: u64, status: evenkeel_vrrp::Status) {
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
                Some(instances) => Reply::Stats(stats(&instances)),
                None => Reply::Failed { message: "the vrrp role does not answer".to_owned() },
            };
            let _ = answer.send(reply);
        });
    }

    /// SIGUSR2: keepalived's statistics file.
    pub(super) fn write_stats(&mut self) {
        self.write_to("keepalived.stats", |status| stats(status.instances.as_deref().unwrap_or_default()));
    }

    /// SIGUSR1: in place of keepalived's dump, which is no stable format, the same facts as `status --json`.
    pub(super) fn write_data(&mut self) {
        self.write_to("keepalived.data", |status| serde_json::to_string_pretty(status).unwrap_or_default() + "\n");
    }

    /// keepalived's SIGRTMIN+2: the facts that it has in common with us, in its form.
    pub(super) fn write_json(&mut self) {
        self.write_to("keepalived.json", |status| json(status.instances.as_deref().unwrap_or_default()));
    }

    fn write_to(&mut self, name: &'static str, render: fn(&NodeStatus) -> String) {
        let status = self.status();
        tokio::spawn(async move {
            let text = render(&status.await);
            let path = std::env::temp_dir().join(name);
            let written = tempfile_beside(&path).and_then(|(mut file, temporary)| {
                std::io::Write::write_all(&mut file, text.as_bytes())?;
                std::fs::rename(temporary, &path)
            });
            match written {
                Ok(()) => tracing::info!(target: "supervisor", "wrote {}", path.display()),
                Err(error) => tracing::error!(target: "supervisor", "write {}: {error}", path.display()),
            }
        });
    }

    /// Everything about this node. The future does not borrow, so that the main loop goes on meanwhile.
    fn status(&mut self) -> impl Future<Output = NodeStatus> + use<> {
        let vrrp = self.questions.ask_vrrp(&self.vrrp);
        let proxy = self.questions.ask_proxy(&self.proxy);
        let balance = self.questions.ask_balance(&self.balance);
        let has_vrrp = !self.plan.without_vrrp && !self.compiled.vrrp.instances.is_empty();
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
        let mut node = NodeStatus {
            node: self.compiled.settings.router_id.clone().unwrap_or_else(load::host_name),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: WallTime::now(),
            pid: std::process::id(),
            uptime_seconds: self.started_at.elapsed().as_secs_f64(),
            files: self.compiled.files.clone(),
            configured_at: self.configured_at,
            reload_error: self.reload_error.clone(),
            roles,
            instances: None,
            groups: None,
            proxy: None,
            balance: None,
        };
        async move {
            let (vrrp, proxy, balance) = tokio::join!(
                tokio::time::timeout(LIMIT, vrrp),
                tokio::time::timeout(LIMIT, proxy),
                tokio::time::timeout(LIMIT, balance)
            );
            node.balance = balance.ok().and_then(Result::ok);
            let vrrp = vrrp.ok().and_then(Result::ok);
            let proxy = proxy.ok().and_then(Result::ok);
            node.at = WallTime::now();
            node.groups = match (&vrrp, has_vrrp) {
                (Some(status), _) => Some(status.groups.iter().map(|group| GroupView::new(group, node.at)).collect()),
                (None, true) => None,
                (None, false) => Some(Vec::new()),
            };
            node.instances = match (vrrp, has_vrrp) {
                (Some(status), _) => {
                    Some(status.instances.iter().map(|instance| InstanceView::new(instance, node.at)).collect())
                }
                (None, true) => None,
                (None, false) => Some(Vec::new()),
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

/// A new file, readable by root only, in a directory that others may write to: no link is followed.
fn tempfile_beside(path: &std::path::Path) -> std::io::Result<(std::fs::File, std::path::PathBuf)> {
    use std::os::unix::fs::OpenOptionsExt;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let _ = std::fs::remove_file(&temporary);
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    Ok((file, temporary))
}

/// Counters in the form of keepalived's statistics file.
fn stats(instances: &[InstanceView]) -> String {
    let mut out = String::new();
    for instance in instances {
        let AdvertCounters {
            advert_rcvd,
            advert_sent,
            become_master,
            release_master,
            packet_len_err,
            ip_ttl_err,
            invalid_type_rcvd,
            advert_interval_err,
            addr_list_err,
            invalid_authtype,
            authtype_mismatch,
            auth_failure,
            pri_zero_rcvd,
            pri_zero_sent,
            ..
        } = instance.counters;
        let _ = write!(
            out,
            "VRRP Instance: {}\n  Advertisements:\n    Received: {advert_rcvd}\n    Sent: {advert_sent}\n  \
             Became master: {become_master}\n  Released master: {release_master}\n  Packet Errors:\n    \
             Length: {packet_len_err}\n    TTL: {ip_ttl_err}\n    Invalid Type: {invalid_type_rcvd}\n    \
             Advertisement Interval: {advert_interval_err}\n    Address List: {addr_list_err}\n  \
             Authentication Errors:\n    Invalid Type: {invalid_authtype}\n    Type Mismatch: {authtype_mismatch}\n    \
             Failure: {auth_failure}\n  Priority Zero:\n    Received: {pri_zero_rcvd}\n    Sent: {pri_zero_sent}\n",
            instance.name
        );
    }
    out
}

/// The first version of keepalived's JSON: a list of `data` and `stats`, with the members that both programs know.
fn json(instances: &[InstanceView]) -> String {
    let state = |state| match state {
        StateName::Init | StateName::Stopped => 0,
        StateName::Backup => 1,
        StateName::Master | StateName::Leaving => 2,
        StateName::Fault => 3,
    };
    let list: Vec<_> = instances
        .iter()
        .map(|instance| {
            serde_json::json!({
                "data": {
                    "iname": instance.name,
                    "ifp_ifname": instance.interface,
                    "last_transition": instance.since.unix_millis() as f64 / 1000.0,
                    "vrid": instance.vrid,
                    "base_priority": instance.priority,
                    "effective_priority": instance.effective_priority,
                    "vipset": instance.holding,
                    "state": state(instance.state),
                    "version": instance.version,
                    "vips": instance.addresses,
                },
                "stats": instance.counters,
            })
        })
        .collect();
    serde_json::to_string(&list).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_of_an_instance_has_keepaliveds_names_and_numbers() {
        let now = WallTime::now();
        let instance = InstanceView {
            name: "VI_1".to_owned(),
            interface: "eth0".to_owned(),
            vrid: 51,
            version: 2,
            state: StateName::Master,
            since: now,
            since_seconds: 0.0,
            reason: String::new(),
            priority: 100,
            effective_priority: 80,
            addresses: vec!["10.0.0.100/24".to_owned()],
            holding: true,
            owner: None,
            peer: None,
            conflict: None,
            trackers: Vec::new(),
            counters: AdvertCounters { advert_sent: 7, ..AdvertCounters::default() },
        };
        let list: serde_json::Value = serde_json::from_str(&json(&[instance])).unwrap();
        let data = &list[0]["data"];
        assert_eq!((&data["iname"], &data["state"], &data["vrid"]), (&"VI_1".into(), &2.into(), &51.into()));
        assert_eq!(data["vips"][0], "10.0.0.100/24");
        assert_eq!(list[0]["stats"]["advert_sent"], 7);
        assert_eq!(json(&[]), "[]\n");
    }
}
