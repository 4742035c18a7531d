//! Asks the daemon of a host what it does, and why, over its control socket, many times a second.

use super::message::{Node, Report};
use super::topology::RUNTIME_DIR;
use evenkeel_bus::{Channel, ChannelError, Explanation, NodeStatus, Reply, Request, WallTime};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc;

/// Between two questions.
const PERIOD: Duration = Duration::from_millis(50);
/// A daemon that gives no answer for so long gives none. It waits up to a second for its roles itself.
const LIMIT: Duration = Duration::from_secs(2);
/// Decisions asked for at a time.
const DECISIONS: usize = 20;

/// Watches on a thread of its own, for ever.
pub(super) fn start(reports: mpsc::Sender<Report>) -> std::io::Result<()> {
    thread::Builder::new().name("watch".to_owned()).spawn(move || {
        let mut told = None;
        loop {
            // An error is the end of one daemon; the next one is at the same place.
            let _ = watch_one(&reports, &mut told);
            if reports.blocking_send(Report::Node(None)).is_err() {
                return;
            }
            thread::sleep(PERIOD);
        }
    })?;
    Ok(())
}

fn watch_one(reports: &mpsc::Sender<Report>, told: &mut Option<Explanation>) -> Result<(), ChannelError> {
    let mut channel = Channel::new(UnixStream::connect(Path::new(RUNTIME_DIR).join("control.sock"))?)?;
    loop {
        if let Reply::Status(status) = ask(&mut channel, &Request::Status)? {
            let report = Report::Node(Some(read_status(&status)));
            reports.blocking_send(report).map_err(|_| ChannelError::Closed)?;
        }
        if let Reply::Why(decisions) = ask(&mut channel, &Request::Why { instance: None, limit: DECISIONS })? {
            for decision in untold(decisions, told) {
                let age = WallTime::now().since(decision.at);
                let report = Report::Explained { decision: Box::new(decision), age };
                reports.blocking_send(report).map_err(|_| ChannelError::Closed)?;
            }
        }
        thread::sleep(PERIOD);
    }
}

fn ask(channel: &mut Channel, request: &Request) -> Result<Reply, ChannelError> {
    channel.send_blocking(request, LIMIT)?;
    Ok(channel.receive_blocking(LIMIT)?.message)
}

/// Those decisions that come after the last one told, oldest first. Effects may be added to a decision later, so it is
/// known by when and why it was made.
fn untold(decisions: Vec<Explanation>, told: &mut Option<Explanation>) -> Vec<Explanation> {
    let is_told = |decision: &Explanation| {
        told.as_ref().is_some_and(|told| {
            (told.at, &told.instance, &told.trigger, told.to)
                == (decision.at, &decision.instance, &decision.trigger, decision.to)
        })
    };
    let from = decisions.iter().rposition(is_told).map_or(0, |at| at + 1);
    let new: Vec<Explanation> = decisions.into_iter().skip(from).collect();
    if let Some(last) = new.last() {
        *told = Some(last.clone());
    }
    new
}

/// The part of a status that the lab shows.
fn read_status(status: &NodeStatus) -> Node {
    let mut node = Node::default();
    if let Some(instance) = status.instances.as_ref().and_then(|instances| instances.first()) {
        node.state = format!("{:?}", instance.state).to_uppercase();
        node.since = span(instance.since_seconds);
        node.reason.clone_from(&instance.reason);
        node.priority = instance.effective_priority;
        node.holding = instance.holding;
        node.peer_age = instance.peer.as_ref().map(|peer| span(peer.age_seconds));
        node.conflict =
            instance.conflict.as_ref().map(|conflict| format!("{} is also at {}", conflict.address, conflict.mac));
    }
    if let Some(proxy) = &status.proxy {
        node.proxy_healthy = Some(proxy.health.healthy);
        node.proxy_reason.clone_from(&proxy.health.reason);
    }
    node
}

/// Seconds out of JSON, which may be any number.
fn span(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_vrrp::StateName;

    fn decision(trigger: &str, at: WallTime) -> Explanation {
        Explanation {
            instance: "VI_1".to_owned(),
            at,
            from: Some(StateName::Backup),
            to: Some(StateName::Master),
            trigger: trigger.to_owned(),
            rule: String::new(),
            decision: String::new(),
            waited_seconds: 0.0,
            effects: Vec::new(),
        }
    }

    #[test]
    fn each_decision_is_told_once() {
        let now = WallTime::now();
        let (a, b, c) = (decision("a", now), decision("b", now), decision("c", now));
        let mut told = None;
        assert_eq!(untold(vec![], &mut told), []);
        assert_eq!(untold(vec![a.clone(), b.clone()], &mut told), [a.clone(), b.clone()]);
        let mut done = b.clone();
        done.effects.push(evenkeel_bus::Effect::new("added 10.0.0.100/32", Duration::ZERO));
        assert_eq!(untold(vec![a, done.clone()], &mut told), []);
        assert_eq!(untold(vec![done, c.clone()], &mut told), [c]);
    }
}
