//! All that the lab knows at one moment: what its hosts reported, what was done to them, and what came of it. Pure.

use super::act::{Act, Task, name_all};
use super::message::{Node, Outcome, Report, Sample};
use super::topology::Host;
use super::trial::{Finding, Trial};
use evenkeel_wire::{Instant, Mac};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Seconds of traffic that are kept, and shown as a curve.
pub(super) const HISTORY: usize = 120;
/// Lines of the log that are kept.
const LOG: usize = 200;
/// Of two things that happened at most so far apart, the later one may be heard of first.
pub(super) const LATE: Duration = Duration::from_millis(200);
/// Findings that are kept.
const FINDINGS: usize = 50;
/// A report of a host counts as what is now for so long. Older than that it is not shown as a fact.
const FRESH: Duration = Duration::from_millis(2500);

/// The lab at one moment.
#[derive(Clone, Debug)]
pub(super) struct Model {
    began: Instant,
    hosts: BTreeMap<Host, HostView>,
    neighbour: Option<Mac>,
    broken: BTreeSet<Act>,
    trial: Option<Trial>,
    findings: VecDeque<Finding>,
    log: VecDeque<LogLine>,
    /// Lines that were not taken by [`Model::unread`] yet.
    n_unread: usize,
    seconds: VecDeque<Second>,
    n_requests: u64,
    n_failed: u64,
    last_failure: Option<(Instant, Outcome)>,
}

/// What a host reported.
#[derive(Clone, Debug, Default)]
struct HostView {
    node: Option<Node>,
    /// The last line of the daemon's log.
    line: Option<String>,
    heard_at: Instant,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LogLine {
    /// Since the lab began.
    pub at: Duration,
    /// Who it is about.
    pub who: &'static str,
    /// What happened.
    pub text: String,
}

/// The requests that ended within one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Second {
    number: u64,
    /// Pages from each web server, in the order of [`Host::SERVERS`].
    pub pages: [u64; 2],
    /// Requests that got no page.
    pub n_failed: u64,
}

impl Model {
    /// A lab of which nothing is known yet.
    pub(super) fn new(now: Instant) -> Self {
        Model {
            began: now,
            hosts: BTreeMap::new(),
            neighbour: None,
            broken: BTreeSet::new(),
            trial: None,
            findings: VecDeque::new(),
            log: VecDeque::new(),
            n_unread: 0,
            seconds: VecDeque::new(),
            n_requests: 0,
            n_failed: 0,
            last_failure: None,
        }
    }

    /// A host reported something.
    pub(super) fn hear(&mut self, now: Instant, host: Host, report: Report) {
        match report {
            Report::Failed { reason } => self.note(now, host.name(), reason),
            Report::DaemonEnded { how } => {
                let view = self.hosts.entry(host).or_default();
                view.node = None;
                // Its last words are only worth a line when it did not end well.
                let words = view
                    .line
                    .take()
                    .filter(|_| how.starts_with("exit status"))
                    .map_or(String::new(), |line| format!(": {line}"));
                self.note(now, host.name(), format!("the daemon ended: {how}{words}"));
            }
            // The decisions come with their reasons; the daemon's own log would say them a second time.
            Report::Line { text } => self.hosts.entry(host).or_default().line = Some(text),
            Report::Node(node) => self.hear_node(now, host, node),
            Report::Explained { decision, age } => {
                let states = match (decision.from, decision.to) {
                    (Some(from), Some(to)) if decision.changed_state() => format!("{} -> {}: ", upper(from), upper(to)),
                    (_, Some(to)) => format!("{}: ", upper(to)),
                    (_, None) => String::new(),
                };
                let text = format!("{states}{}; {}", decision.trigger, decision.decision);
                self.note(now - age, host.name(), text);
            }
            Report::Sample(sample) => self.hear_sample(now, &sample),
            Report::Neighbour(mac) => self.hear_neighbour(now, mac),
        }
    }

    fn hear_node(&mut self, now: Instant, host: Host, node: Option<Node>) {
        let view = self.hosts.entry(host).or_default();
        let before = view.node.take();
        view.heard_at = now;
        view.node = node;
        let conflict = |node: &Option<Node>| node.as_ref().and_then(|node| node.conflict.clone());
        let (had, has) = (conflict(&before), conflict(&view.node));
        if had.is_none()
            && let Some(conflict) = has
        {
            self.note(now, host.name(), format!("SPLIT BRAIN: {conflict}"));
        } else if had.is_some() && view_is_clear(&self.hosts[&host]) {
            self.note(now, host.name(), "the conflict is over".to_owned());
        }
    }

    fn hear_neighbour(&mut self, now: Instant, mac: Option<Mac>) {
        if mac == self.neighbour {
            return;
        }
        self.neighbour = mac;
        let text = match (self.client_uses(), mac) {
            (Some(host), _) => format!("sends to {host} now"),
            (None, Some(mac)) => format!("sends to {mac} now"),
            (None, None) => "finds nobody at the address".to_owned(),
        };
        self.note(now, Host::Client.name(), text);
    }

    fn hear_sample(&mut self, now: Instant, sample: &Sample) {
        self.n_requests += 1;
        if !sample.outcome.is_good() {
            self.n_failed += 1;
            self.last_failure = Some((now, sample.outcome));
        }
        if let Some(trial) = &mut self.trial {
            trial.window.add(sample);
        }
        let number = sample.ended.since(self.began).as_secs();
        self.reach_second(number);
        // Samples may arrive out of order across the turn of a second.
        let Some(second) = self.seconds.iter_mut().rev().find(|second| second.number == number) else { return };
        match sample.outcome {
            Outcome::Page(host) => second.pages[usize::from(host == Host::SERVERS[1])] += 1,
            _ => second.n_failed += 1,
        }
    }

    /// Fills the history up to this second, also where nothing came.
    fn reach_second(&mut self, number: u64) {
        let mut next = self.seconds.back().map_or(number, |last| last.number + 1);
        next = next.max(number.saturating_sub(HISTORY as u64));
        while next <= number {
            self.seconds.push_back(Second { number: next, ..Second::default() });
            next += 1;
        }
        while self.seconds.len() > HISTORY {
            self.seconds.pop_front();
        }
    }

    /// Does something to the lab. What has to be done comes back; what follows is measured from here.
    pub(super) fn begin(&mut self, now: Instant, act: Act) -> Vec<Task> {
        if let Some(trial) = self.trial.take() {
            let finding = trial.give_up(now, &self.view(now), "overtaken by the next act");
            self.keep(finding);
        }
        let tasks = act.tasks(&self.broken);
        self.trial = Some(Trial::begin(now, act, &self.broken, self.holders(now)));
        self.broken = act.breaks(&self.broken);
        self.note(now, "you", act.title().to_owned());
        tasks
    }

    /// Time passed. When what was done has settled, or has failed to, that is said once.
    pub(super) fn tick(&mut self, now: Instant) -> Option<Finding> {
        self.reach_second(now.since(self.began).as_secs());
        let view = self.view(now);
        let finding = self.trial.as_mut()?.judge(now, &view)?;
        self.trial = None;
        self.keep(finding.clone());
        Some(finding)
    }

    fn keep(&mut self, finding: Finding) {
        self.findings.push_back(finding);
        if self.findings.len() > FINDINGS {
            self.findings.pop_front();
        }
    }

    /// Adds a line to the log, where it belongs among those of the last moment.
    pub(super) fn note(&mut self, at: Instant, who: &'static str, text: String) {
        let at = at.since(self.began);
        let last = self.log.back().map_or(Duration::ZERO, |line| line.at);
        let is_later = |line: &&LogLine| line.at > at && last.saturating_sub(line.at) < LATE;
        let n_later = self.log.iter().rev().take(self.n_unread).take_while(is_later).count();
        self.n_unread = (self.n_unread + 1).min(LOG);
        self.log.insert(self.log.len() - n_later, LogLine { at, who, text });
        if self.log.len() > LOG {
            self.log.pop_front();
        }
    }

    fn view(&self, now: Instant) -> View {
        View {
            holders: self.holders(now),
            client_uses: self.client_uses(),
            n_conflicts: Host::BALANCERS
                .iter()
                .filter(|host| self.node(now, **host).is_some_and(|node| node.conflict.is_some()))
                .count(),
            master_since: Host::BALANCERS
                .into_iter()
                .filter_map(|host| Some((host, self.node(now, host)?)))
                .filter(|(_, node)| node.holding)
                .map(|(host, node)| (host, self.hosts[&host].heard_at - node.since))
                .collect(),
        }
    }

    /// What a daemon said of itself a moment ago.
    pub(super) fn node(&self, now: Instant, host: Host) -> Option<&Node> {
        let view = self.hosts.get(&host)?;
        view.node.as_ref().filter(|_| now.since(view.heard_at) <= FRESH)
    }

    /// Who says that it holds the address.
    pub(super) fn holders(&self, now: Instant) -> BTreeSet<Host> {
        Host::BALANCERS.into_iter().filter(|host| self.node(now, *host).is_some_and(|node| node.holding)).collect()
    }

    /// To whom the client sends what goes to the address.
    pub(super) fn client_uses(&self) -> Option<Host> {
        Host::with_mac(self.neighbour?)
    }

    /// What is done and not put right.
    pub(super) fn broken(&self) -> &BTreeSet<Act> {
        &self.broken
    }

    /// What was done last and has not settled.
    pub(super) fn trial(&self) -> Option<&Trial> {
        self.trial.as_ref()
    }

    /// What came of what was done, oldest first.
    pub(super) fn findings(&self) -> impl DoubleEndedIterator<Item = &Finding> {
        self.findings.iter()
    }

    /// What happened, oldest first.
    pub(super) fn log(&self) -> impl DoubleEndedIterator<Item = &LogLine> + ExactSizeIterator {
        self.log.iter()
    }

    /// What happened since this was asked last, oldest first, but for what happened after `until`.
    pub(super) fn unread(&mut self, until: Instant) -> Vec<LogLine> {
        let until = until.since(self.began);
        let first = self.log.len() - self.n_unread;
        let lines: Vec<LogLine> = self.log.range(first..).take_while(|line| line.at <= until).cloned().collect();
        self.n_unread -= lines.len();
        lines
    }

    /// Traffic, second by second. The newest second may not be over.
    pub(super) fn seconds(&self) -> impl DoubleEndedIterator<Item = &Second> + ExactSizeIterator {
        self.seconds.iter()
    }

    /// The last second that is over.
    pub(super) fn last_second(&self) -> Second {
        self.seconds.iter().rev().nth(1).copied().unwrap_or_default()
    }

    /// Requests since the lab began, and those of them that failed.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.n_requests, self.n_failed)
    }

    /// How the last request that failed did, and when.
    pub(super) fn last_failure(&self) -> Option<(Instant, Outcome)> {
        self.last_failure
    }

    /// One line: who has the address.
    pub(super) fn verdict(&self, now: Instant) -> String {
        let holders = self.holders(now);
        match (holders.len(), self.client_uses()) {
            (0, _) => "nobody holds the address".to_owned(),
            (1, _) => format!("the address is on {}", name_all(&holders)),
            (_, Some(used)) => format!("SPLIT BRAIN: {} hold the address, the client uses {used}", name_all(&holders)),
            (_, None) => format!("SPLIT BRAIN: {} hold the address", name_all(&holders)),
        }
    }
}

fn view_is_clear(view: &HostView) -> bool {
    view.node.as_ref().is_some_and(|node| node.conflict.is_none())
}

fn upper(state: impl std::fmt::Debug) -> String {
    format!("{state:?}").to_uppercase()
}

/// What a trial judges by.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct View {
    /// Who says that it holds the address.
    pub holders: BTreeSet<Host>,
    /// To whom the client sends.
    pub client_uses: Option<Host>,
    /// How many balancers report a conflict.
    pub n_conflicts: usize,
    /// Since when each holder has held it.
    pub master_since: BTreeMap<Host, Instant>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(millis))
    }

    fn holding(holding: bool) -> Report {
        Report::Node(Some(Node { holding, ..Node::default() }))
    }

    fn sample(millis: u64, outcome: Outcome) -> Report {
        Report::Sample(Sample { began: at(millis), ended: at(millis), outcome })
    }

    #[test]
    fn a_silent_host_is_not_shown_as_holding() {
        let mut model = Model::new(at(0));
        model.hear(at(10), Host::Lb01, holding(true));
        assert_eq!(model.verdict(at(20)), "the address is on lb01");
        assert_eq!(model.verdict(at(3000)), "nobody holds the address");
    }

    #[test]
    fn two_holders_are_called_a_split_brain() {
        let mut model = Model::new(at(0));
        model.hear(at(1), Host::Client, Report::Neighbour(Some(Host::Lb02.mac())));
        for host in Host::BALANCERS {
            model.hear(at(10), host, holding(true));
        }
        assert_eq!(model.verdict(at(20)), "SPLIT BRAIN: lb01 and lb02 hold the address, the client uses lb02");
    }

    #[test]
    fn seconds_without_a_request_are_part_of_the_history() {
        let mut model = Model::new(at(0));
        model.hear(at(100), Host::Client, sample(100, Outcome::Page(Host::Web01)));
        model.hear(at(3100), Host::Client, sample(3100, Outcome::TimedOut));
        model.hear(at(3101), Host::Client, sample(2999, Outcome::Page(Host::Web02)));
        let seconds: Vec<_> = model.seconds().map(|second| (second.pages, second.n_failed)).collect();
        assert_eq!(seconds, [([1, 0], 0), ([0, 0], 0), ([0, 1], 0), ([0, 0], 1)]);
        assert_eq!(model.totals(), (3, 1));
    }

    #[test]
    fn what_is_heard_late_comes_in_its_place_unless_the_later_was_read() {
        let mut model = Model::new(at(0));
        for millis in [1000, 1150, 1100] {
            model.note(at(millis), "you", millis.to_string());
        }
        let texts = |lines: Vec<LogLine>| lines.into_iter().map(|line| line.text).collect::<Vec<_>>();
        assert_eq!(texts(model.unread(at(1120))), ["1000", "1100"]);
        model.note(at(1050), "you", "1050".to_owned());
        assert_eq!(texts(model.unread(at(1200))), ["1050", "1150"]);
        assert_eq!(texts(model.unread(at(1200))), Vec::<String>::new());
        assert_eq!(model.log().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["1000", "1100", "1050", "1150"]);
    }

    #[test]
    fn history_and_log_are_bounded() {
        let mut model = Model::new(at(0));
        for second in 0..1000 {
            model.tick(at(second * 1000));
            model.note(at(second * 1000), "you", second.to_string());
        }
        model.hear(at(u64::MAX / 2), Host::Client, sample(u64::MAX / 2, Outcome::Refused));
        assert_eq!(model.seconds().len(), HISTORY);
        assert_eq!(model.log().len(), LOG);
    }
}
