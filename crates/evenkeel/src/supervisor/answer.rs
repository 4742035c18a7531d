//! Answers to clients of the control socket, and what the names that they say stand for.

use super::history::History;
use super::{End, Supervisor, maintenance, roles};
use evenkeel_bus::{Reply, Request, ToVrrp};
use evenkeel_vrrp::{Command, Event, InstanceId};
use tokio::sync::oneshot;

impl Supervisor {
    pub(super) async fn answer(&mut self, request: Request, answer: oneshot::Sender<Reply>) {
        let reply = match request {
            Request::Status => return self.answer_status(answer),
            Request::Stats => return self.answer_stats(answer),
            Request::Why { instance, limit } => match self.unknown_subject(instance.as_deref()) {
                Some(message) => Reply::Failed { message },
                None => Reply::Why(self.history.last(&self.meant_by(instance), limit.min(History::KEPT))),
            },
            Request::Reload => return self.reload(Some(answer)).await,
            Request::Failover { instance } => self.command(&instance, Command::Failover, "hands over to its peer"),
            Request::Failback { instance } => self.command(&instance, Command::Failback, "may be master again"),
            Request::Server { server, state } => self.administer(&server, state),
            Request::MaintenanceOn { seconds, strict } => self.begin_maintenance(seconds, strict),
            Request::MaintenanceOff => self.end_maintenance("evenkeel maintenance off"),
            Request::Stop => {
                self.end = Some(End::Stop);
                Reply::Done { message: "stopping".to_owned() }
            }
        };
        // A client that is gone needs no answer.
        let _ = answer.send(reply);
    }

    pub(super) fn command(&self, name: &str, command: fn(InstanceId) -> Command, what: &str) -> Reply {
        if let Some(message) = self.unknown_instance(Some(name)) {
            return Reply::Failed { message };
        }
        // Of a group any member: they go together.
        let member = self.group(name).and_then(|group| Some(group.members.first()?.0 as usize));
        let named = self.compiled.vrrp.instances.iter().position(|instance| instance.name == name);
        let at = named.or(member);
        let (Some(at), Some(process)) = (at, &self.vrrp.process) else {
            return Reply::Failed { message: "the vrrp role does not run now: see `evenkeel status`".to_owned() };
        };
        process.send(ToVrrp::Event(Event::Command(command(InstanceId(u32::try_from(at).unwrap_or(u32::MAX))))));
        Reply::Done { message: format!("{name} {what}") }
    }

    /// What to tell somebody who asks for reasons of something that is not there.
    pub(super) fn unknown_subject(&self, name: Option<&str>) -> Option<String> {
        let is_other = |name| {
            let is_session = self.compiled.bfd.sessions.iter().any(|session| session.name == name);
            let is_peer = self.compiled.peer.peers.iter().any(|peer| peer.name == name);
            is_session || is_peer || name == maintenance::SUBJECT
        };
        if name.is_some_and(is_other) { None } else { self.unknown_instance(name) }
    }

    /// What to tell somebody who named an instance that is not there.
    pub(super) fn unknown_instance(&self, name: Option<&str>) -> Option<String> {
        let name = name?;
        let names: Vec<&str> = self.compiled.vrrp.instances.iter().map(|instance| instance.name.as_str()).collect();
        let is_group = self.group(name).is_some();
        if is_group || names.contains(&name) || (name == roles::PROXY && self.compiled.site.is_some()) {
            return None;
        }
        Some(match names.as_slice() {
            [] => format!("no instance `{name}`: this node has no virtual router"),
            names => format!("no instance `{name}`; there is {}", names.join(", ")),
        })
    }

    pub(super) fn group(&self, name: &str) -> Option<&evenkeel_vrrp::config::Group> {
        self.compiled.vrrp.groups.iter().find(|group| group.name == name)
    }

    /// The instances that a name stands for: itself, or the members of the group; none stands for all.
    pub(super) fn meant_by(&self, name: Option<String>) -> Vec<String> {
        let Some(name) = name else { return Vec::new() };
        let instances = &self.compiled.vrrp.instances;
        match self.group(&name).filter(|_| instances.iter().all(|instance| instance.name != name)) {
            Some(group) => {
                let members = group.members.iter().filter_map(|id| instances.get(id.0 as usize));
                members.map(|instance| instance.name.clone()).collect()
            }
            None => vec![name],
        }
    }
}
