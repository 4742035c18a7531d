//! What a role recorded, and running the core over it again.
//!
//! A recording is a text of JSON lines. The first line says what the router was made of, each line after it what the
//! router was told and when, in seconds since the clock's origin:
//!
//! ```text
//! {"config":{"instances":[...],"scripts":[]},"seed":42}
//! {"at":0.000125,"event":{"Interface":{"index":2,"name":"eth0","up":true,...}}}
//! {"at":3.609532,"event":"Deadline"}
//! {"at":17.25,"config":{...}}
//! ```
//!
//! A line with `config` in place of `event` is a reload. A process that was started again appends another first line.
//! Since the core is a function of these lines, the actions that [`replay`] gives are those that the role performed.

use evenkeel_vrrp::{Action, Config, Event, Router};
use evenkeel_wire::Instant;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The first line: what the router was made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The configuration that [`Router::new`] was given.
    pub config: Config,
    /// The seed that it was given.
    pub seed: u64,
}

/// Any other line: what the router was told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Seconds since the clock's origin.
    pub at: f64,
    /// An event or a reload.
    #[serde(flatten)]
    pub input: Input,
}

/// What a router can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// [`Router::handle`].
    Event(Event),
    /// [`Router::reconfigure`].
    Config(Config),
}

/// One input and what the core did about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Line of the recording, from 1.
    pub line: usize,
    /// What was told, and when.
    pub entry: Entry,
    /// What the core wants done, in order.
    pub actions: Vec<Action>,
}

/// Why a text is no recording.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no first line.
    #[error("the recording is empty")]
    Empty,
    /// A line is not what it should be.
    #[error("line {line} is no {what}: {source}")]
    Line {
        /// Line, from 1.
        line: usize,
        /// `header` or `entry`.
        what: &'static str,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A time that is no time.
    #[error("line {line}: {at} is no time")]
    Time {
        /// Line, from 1.
        line: usize,
        /// What stands there.
        at: f64,
    },
}

/// Runs a router over a recording, a fresh one after each header. A last line that was cut short, as by the crash that
/// the recording is to explain, is left out.
pub fn replay(text: &str) -> Result<Vec<Step>, ReplayError> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut lines = whole.lines().enumerate().map(|(index, line)| (index + 1, line));
    let (_, first) = lines.next().ok_or(ReplayError::Empty)?;
    let header: Header =
        serde_json::from_str(first).map_err(|source| ReplayError::Line { line: 1, what: "header", source })?;
    let mut router = Router::new(header.config, header.seed);
    let mut steps = Vec::new();
    for (line, text) in lines.filter(|(_, text)| !text.trim().is_empty()) {
        if let Ok(header) = serde_json::from_str::<Header>(text) {
            router = Router::new(header.config, header.seed);
            continue;
        }
        let entry: Entry =
            serde_json::from_str(text).map_err(|source| ReplayError::Line { line, what: "entry", source })?;
        let at = Duration::try_from_secs_f64(entry.at).map_err(|_| ReplayError::Time { line, at: entry.at })?;
        let now = Instant::from_origin(at);
        let mut actions = Vec::new();
        match entry.input.clone() {
            Input::Event(event) => router.handle(now, event, &mut actions),
            Input::Config(config) => router.reconfigure(now, config, &mut actions),
        }
        steps.push(Step { line, entry, actions });
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> String {
        serde_json::to_string(&Header { config: Config::default(), seed: 7 }).unwrap()
    }

    #[test]
    fn every_input_is_one_step() {
        let reload = serde_json::to_string(&Entry { at: 2.5, input: Input::Config(Config::default()) }).unwrap();
        let header = header();
        let text = format!("{header}\n{{\"at\":1.25,\"event\":\"Deadline\"}}\n\n{header}\n{reload}\n");
        let steps = replay(&text).unwrap();
        let inputs: Vec<_> = steps.iter().map(|step| (step.line, step.entry.at, &step.entry.input)).collect();
        assert_eq!(inputs, [(2, 1.25, &Input::Event(Event::Deadline)), (5, 2.5, &Input::Config(Config::default()))]);
    }

    #[test]
    fn a_line_cut_short_by_a_crash_is_ignored() {
        let text = format!("{}\n{{\"at\":1,\"event\":\"Deadline\"}}\n{{\"at\":2,\"ev", header());
        assert_eq!(replay(&text).unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_recording_is_refused_with_its_line() {
        assert!(matches!(replay(""), Err(ReplayError::Empty)));
        assert!(matches!(replay("[]\n"), Err(ReplayError::Line { line: 1, what: "header", .. })));
        let text = format!("{}\nnothing\n", header());
        assert!(matches!(replay(&text), Err(ReplayError::Line { line: 2, what: "entry", .. })));
        let text = format!("{}\n{{\"at\":-1.0,\"event\":\"Deadline\"}}\n", header());
        assert!(matches!(replay(&text), Err(ReplayError::Time { line: 2, .. })));
    }
}
