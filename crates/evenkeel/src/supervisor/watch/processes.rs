//! How many processes run that answer a description.
//!
//! The kernel's process connector says when to look, where there is one; elsewhere /proc is read every second. What runs
//! is always read from /proc, so that nothing is missed when the connector could not tell everything.

use super::Teller;
use crate::readiness::Readiness;
use evenkeel_conf::keepalived::{Parameters, TrackedProcess};
use evenkeel_kernel::process_events::ProcessEvents;
use evenkeel_vrrp::Event;
use std::time::{Duration, Instant};

/// Without the connector, /proc is read so often.
const PERIOD: Duration = Duration::from_secs(1);
/// Processes begin and end in swarms: one look serves those of this time.
const PAUSE: Duration = Duration::from_millis(50);

/// Tells of each quorum now and whenever it is gained or lost. For ever.
pub(super) async fn watch(tracked: Vec<TrackedProcess>, teller: Teller) {
    let mut quorums: Vec<Quorum> = tracked.into_iter().map(Quorum::new).collect();
    let events = open();
    loop {
        let running = running();
        let now = Instant::now();
        for quorum in &mut quorums {
            let n_running = running.iter().filter(|process| answers(&quorum.tracked, process)).count();
            let Some(well) = quorum.count(now, n_running) else { continue };
            let name = quorum.tracked.name.clone();
            let words = if well { "as many as there should" } else { "not as many as there should" };
            tracing::info!(target: "script", "vrrp_track_process {name}: {n_running} processes, {words}");
            let detail = format!("{n_running} running");
            if !teller.tell(format!("process {name}"), Event::Processes { name, well, detail }).await {
                return;
            }
        }
        let due_at = quorums.iter().filter_map(Quorum::deadline).min();
        let due = async {
            match due_at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        match &events {
            Some((events, readiness)) => {
                tokio::select! {
                    readable = readiness.readable() => {
                        if readable.is_err() {
                            return;
                        }
                        tokio::time::sleep(PAUSE).await;
                        let _ = events.drain();
                        readiness.drained();
                    }
                    () = due => {}
                }
            }
            None => {
                tokio::select! {
                    () = tokio::time::sleep(PERIOD) => {}
                    () = due => {}
                }
            }
        }
    }
}

fn open() -> Option<(ProcessEvents, Readiness)> {
    let events = match ProcessEvents::open() {
        Ok(events) => events,
        Err(error) => {
            tracing::info!(target: "script", "{error}: tracked processes are counted every second");
            return None;
        }
    };
    let readiness = Readiness::of(&events).ok()?;
    Some((events, readiness))
}

/// A process, as /proc shows it.
#[derive(Clone, Debug, Default)]
struct Running {
    /// The kernel's name for it: 15 bytes.
    name: String,
    command_line: Vec<String>,
}

/// All processes but zombies.
fn running() -> Vec<Running> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit())));
    pids.filter_map(|entry| {
        let path = entry.path();
        let stat = std::fs::read(path.join("stat")).ok()?;
        let (name, is_zombie) = name_and_state(&String::from_utf8_lossy(&stat))?;
        if is_zombie {
            return None;
        }
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        let words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        let mut command_line: Vec<_> = words.collect();
        // The last word ends with a zero as well.
        command_line.pop();
        Some(Running { name, command_line })
    })
    .collect()
}

/// `PID (NAME) STATE ...`, where the name may hold any character.
fn name_and_state(stat: &str) -> Option<(String, bool)> {
    let (_, rest) = stat.split_once('(')?;
    let (name, rest) = rest.rsplit_once(") ")?;
    Some((name.to_owned(), rest.starts_with(['Z', 'X'])))
}

/// Whether a process is one of those that are counted.
fn answers(tracked: &TrackedProcess, process: &Running) -> bool {
    if !tracked.by_command_line {
        // The kernel keeps fifteen bytes of a name.
        let wanted = tracked.command.get(..15).unwrap_or(&tracked.command);
        return process.name == wanted;
    }
    let Some((command, parameters)) = process.command_line.split_first() else { return false };
    if *command != tracked.command {
        return false;
    }
    match &tracked.parameters {
        Parameters::Any => true,
        Parameters::Exact(listed) => parameters == listed.as_slice(),
        Parameters::Initial(listed) => parameters.starts_with(listed),
        Parameters::Partial(listed) => match listed.split_last() {
            Some((last, before)) => {
                parameters.starts_with(before)
                    && parameters.get(before.len()).is_some_and(|parameter| parameter.starts_with(last.as_str()))
            }
            None => true,
        },
    }
}

/// Judges counts, with the delays of one description.
struct Quorum {
    tracked: TrackedProcess,
    n_running: usize,
    /// What was told.
    told: Option<bool>,
    /// What is to be told then, unless it is over by then.
    pending: Option<(bool, Instant)>,
}

impl Quorum {
    fn new(tracked: TrackedProcess) -> Self {
        Quorum { tracked, n_running: 0, told: None, pending: None }
    }

    fn deadline(&self) -> Option<Instant> {
        self.pending.map(|(_, at)| at)
    }

    /// Takes a count in; what is to be told now.
    fn count(&mut self, now: Instant, n_running: usize) -> Option<bool> {
        let least = self.tracked.quorum as usize;
        let most = self.tracked.quorum_max.map_or(usize::MAX, |most| most as usize);
        // quorum_max 0 means that none may run.
        let well = if most == 0 { n_running == 0 } else { (least..=most).contains(&n_running) };
        // keepalived: the delay is that of the kind of event, a fork or an exit.
        let delay = if n_running > self.n_running { self.tracked.gained_after } else { self.tracked.lost_after };
        self.n_running = n_running;
        if self.told == Some(well) {
            self.pending = None;
            return None;
        }
        let due_at = match (self.told, self.pending) {
            // The first count is no change.
            (None, _) => now,
            (Some(_), Some((pending, at))) if pending == well => at,
            (Some(_), _) => now + delay,
        };
        if now < due_at {
            self.pending = Some((well, due_at));
            return None;
        }
        self.pending = None;
        self.told = Some(well);
        Some(well)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracked() -> TrackedProcess {
        TrackedProcess {
            weight: (0, false),
            name: "web".to_owned(),
            command: "nginx".to_owned(),
            parameters: Parameters::Any,
            by_command_line: false,
            quorum: 1,
            quorum_max: None,
            gained_after: Duration::ZERO,
            lost_after: Duration::ZERO,
        }
    }

    #[test]
    fn a_process_is_known_by_its_name_or_by_its_command_line() {
        let process = |name: &str, line: &str| Running {
            name: name.to_owned(),
            command_line: line.split_whitespace().map(str::to_owned).collect(),
        };
        let web = process("nginx", "/usr/sbin/nginx -g daemon");
        assert!(answers(&tracked(), &web));
        assert!(!answers(&tracked(), &process("nginx2", "nginx")));
        let long = TrackedProcess { command: "a-name-of-more-than-15".to_owned(), ..tracked() };
        assert!(answers(&long, &process("a-name-of-more-", "")));
        let listed = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let rows = [
            (Parameters::Any, true),
            (Parameters::Exact(listed(&["-g", "daemon"])), true),
            (Parameters::Exact(listed(&["-g"])), false),
            (Parameters::Initial(listed(&["-g"])), true),
            (Parameters::Initial(listed(&["daemon"])), false),
            (Parameters::Partial(listed(&["-g", "dae"])), true),
            (Parameters::Partial(listed(&["dae"])), false),
        ];
        for (parameters, expected) in rows {
            let command = "/usr/sbin/nginx".to_owned();
            let tracked = TrackedProcess { command, by_command_line: true, parameters, ..tracked() };
            assert_eq!(answers(&tracked, &web), expected, "{:?}", tracked.parameters);
        }
    }

    #[test]
    fn the_state_of_a_process_stands_behind_its_name() {
        assert_eq!(name_and_state("7 (a) b) S 1"), Some(("a) b".to_owned(), false)));
        assert_eq!(name_and_state("7 (gone) Z 1"), Some(("gone".to_owned(), true)));
        assert_eq!(name_and_state("7"), None);
    }

    #[test]
    fn a_quorum_has_two_ends() {
        let at = Instant::now();
        let judge =
            |quorum, quorum_max, n| Quorum::new(TrackedProcess { quorum, quorum_max, ..tracked() }).count(at, n);
        for (quorum, quorum_max, n, well) in [
            (1, None, 0, false),
            (1, None, 9, true),
            (2, Some(3), 1, false),
            (2, Some(3), 3, true),
            (2, Some(3), 4, false),
            (1, Some(0), 0, true),
            (1, Some(0), 1, false),
        ] {
            assert_eq!(judge(quorum, quorum_max, n), Some(well), "{quorum} {quorum_max:?} {n}");
        }
    }

    #[test]
    fn a_change_counts_after_its_delay_and_not_when_it_is_over_before() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let (gained_after, lost_after) = (Duration::from_secs(2), Duration::from_secs(5));
        let mut quorum = Quorum::new(TrackedProcess { gained_after, lost_after, ..tracked() });
        assert_eq!(quorum.count(at(0), 1), Some(true), "the first count is no change");
        assert_eq!(quorum.count(at(1), 0), None);
        assert_eq!(quorum.deadline(), Some(at(6)));
        assert_eq!(quorum.count(at(3), 1), None, "it is back");
        assert_eq!(quorum.deadline(), None);
        assert_eq!(quorum.count(at(4), 0), None);
        assert_eq!(quorum.count(at(9), 0), Some(false));
        assert_eq!(quorum.count(at(10), 1), None);
        assert_eq!(quorum.count(at(12), 1), Some(true));
    }
}
