//! Letters that wait for the mail server. Pure: the caller sends what it is handed and says what became of it.

use evenkeel_bus::Letter;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So many letters wait at most; the oldest one goes when one more comes.
const MOST: usize = 1000;
/// The first wait after a failure; each further one is twice as long.
const SHORTEST_WAIT: Duration = Duration::from_secs(5);
/// The longest one.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// A letter that could not be delivered for so long is given up.
const PATIENCE: Duration = Duration::from_secs(4 * 3600);

/// Letters in order. One at a time is tried. As long as the server takes none, the first one stays the first; one that only
/// some of its recipients could not get yet is passed by the others.
#[derive(Debug, Default)]
pub struct Queue {
    letters: VecDeque<Waiting>,
    /// The number of the letter that is being tried.
    trying: Option<u64>,
    last_number: u64,
    /// The server took nothing: nothing is tried before.
    paused_until: Option<Instant>,
    /// Failures in a row.
    n_failures: u32,
    n_dropped: u64,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    letter: Letter,
    since: Instant,
    settled: Vec<String>,
    due_at: Instant,
    n_tries: u32,
}

/// What to try now.
#[derive(Debug, PartialEq, Eq)]
pub struct Try {
    /// For [`Queue::tried`].
    pub number: u64,
    /// Who still has to get it.
    pub to: Vec<String>,
    /// What.
    pub letter: Letter,
}

/// What became of a letter that was tried.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nobody waits for it any more.
    Over,
    /// It is tried again after this.
    Again(Duration),
    /// It was tried for too long.
    GivenUp(String),
    /// It was pushed out meanwhile.
    Unknown,
}

impl Queue {
    /// Puts a letter behind the others. The number of letters that were dropped so far, when one was.
    pub fn push(&mut self, now: Instant, letter: Letter) -> Option<u64> {
        self.last_number += 1;
        let number = self.last_number;
        self.letters.push_back(Waiting { number, letter, since: now, settled: Vec::new(), due_at: now, n_tries: 0 });
        if self.letters.len() <= MOST {
            return None;
        }
        // The one that is being tried may have arrived already.
        let oldest = self.letters.iter().position(|waiting| Some(waiting.number) != self.trying)?;
        self.letters.remove(oldest);
        self.n_dropped += 1;
        Some(self.n_dropped)
    }

    /// The letter to try now for these recipients, if there is one; it counts as being tried from here on.
    pub fn next(&mut self, now: Instant, recipients: &[String]) -> Option<Try> {
        if self.trying.is_some() || self.paused_until.is_some_and(|until| now < until) {
            return None;
        }
        // Those who were to get it have it, or are no longer to.
        self.letters.retain(|waiting| !waiting.missing(recipients).is_empty());
        let waiting = self.letters.iter().find(|waiting| waiting.due_at <= now)?;
        self.trying = Some(waiting.number);
        Some(Try { number: waiting.number, to: waiting.missing(recipients), letter: waiting.letter.clone() })
    }

    /// What became of the letter `number`: who needs no further try, and whether that is everybody of `recipients`.
    pub fn tried(&mut self, now: Instant, number: u64, settled: Vec<String>, recipients: &[String]) -> Fate {
        if self.trying != Some(number) {
            return Fate::Unknown;
        }
        self.trying = None;
        let Some(at) = self.letters.iter().position(|waiting| waiting.number == number) else { return Fate::Unknown };
        let waiting = &mut self.letters[at];
        let got_somewhere = !settled.is_empty();
        waiting.settled.extend(settled);
        if got_somewhere {
            self.n_failures = 0;
            self.paused_until = None;
        }
        if waiting.missing(recipients).is_empty() {
            self.letters.remove(at);
            return Fate::Over;
        }
        if now.saturating_duration_since(waiting.since) >= PATIENCE {
            let subject = waiting.letter.subject.clone();
            self.letters.remove(at);
            return Fate::GivenUp(subject);
        }
        waiting.n_tries = waiting.n_tries.saturating_add(1);
        let wait = match got_somewhere {
            true => {
                waiting.due_at = now + wait_after(waiting.n_tries);
                wait_after(waiting.n_tries)
            }
            false => {
                self.n_failures = self.n_failures.saturating_add(1);
                self.paused_until = Some(now + wait_after(self.n_failures));
                wait_after(self.n_failures)
            }
        };
        Fate::Again(wait)
    }

    /// What was being tried is not known to have arrived.
    pub fn interrupted(&mut self) {
        self.trying = None;
    }

    /// Another server, or other recipients: everything is worth a try now.
    pub fn hurry(&mut self, now: Instant) {
        self.paused_until = None;
        self.n_failures = 0;
        for waiting in &mut self.letters {
            waiting.due_at = now;
        }
    }

    /// When [`Queue::next`] will have something, unless something is being tried.
    pub fn deadline(&self) -> Option<Instant> {
        if self.trying.is_some() {
            return None;
        }
        let first = self.letters.iter().map(|waiting| waiting.due_at).min()?;
        Some(self.paused_until.map_or(first, |until| until.max(first)))
    }

    /// Forgets every letter, and says how many there were.
    pub fn clear(&mut self) -> usize {
        self.trying = None;
        self.paused_until = None;
        self.n_failures = 0;
        std::mem::take(&mut self.letters).len()
    }

    /// Nothing is being tried, and nothing would be right now.
    pub fn is_quiet(&self, now: Instant) -> bool {
        self.trying.is_none() && self.deadline().is_none_or(|at| now < at)
    }
}

impl Waiting {
    fn missing(&self, recipients: &[String]) -> Vec<String> {
        recipients.iter().filter(|recipient| !self.settled.contains(recipient)).cloned().collect()
    }
}

fn wait_after(n_failures: u32) -> Duration {
    SHORTEST_WAIT.saturating_mul(1 << n_failures.saturating_sub(1).min(10)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_bus::WallTime;

    fn letter(subject: &str) -> Letter {
        let at = WallTime::now();
        Letter { at, subject: subject.to_owned(), body: String::new() }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// A queue with these letters.
    fn queue(now: Instant, subjects: &[&str]) -> Queue {
        let mut queue = Queue::default();
        for subject in subjects {
            assert_eq!(queue.push(now, letter(subject)), None);
        }
        queue
    }

    #[test]
    fn a_server_that_is_down_gets_everything_in_order_when_it_is_back() {
        let (mut now, to) = (Instant::now(), names(&["a", "b"]));
        let mut queue = queue(now, &["1", "2"]);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let first = queue.next(now, &to).unwrap();
            assert_eq!((first.letter.subject.as_str(), &first.to), ("1", &to));
            assert_eq!(queue.next(now, &to), None, "one at a time");
            let Fate::Again(wait) = queue.tried(now, first.number, Vec::new(), &to) else { panic!("it is kept") };
            assert_eq!(queue.deadline(), Some(now + wait));
            assert_eq!(queue.next(now + wait - Duration::from_millis(1), &to), None);
            assert!(queue.is_quiet(now));
            waits.push(wait.as_secs());
            now += wait;
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300]);
        for subject in ["1", "2"] {
            let next = queue.next(now, &to).unwrap();
            assert_eq!(next.letter.subject, subject);
            assert_eq!(queue.tried(now, next.number, to.clone(), &to), Fate::Over);
        }
        assert_eq!((queue.next(now, &to), queue.deadline()), (None, None));
    }

    #[test]
    fn a_recipient_who_is_put_off_does_not_hold_the_others_up_and_gets_the_letter_once() {
        let (now, to) = (Instant::now(), names(&["a", "b"]));
        let mut queue = queue(now, &["1", "2"]);
        let first = queue.next(now, &to).unwrap();
        let Fate::Again(wait) = queue.tried(now, first.number, names(&["a"]), &to) else { panic!("b has not got it") };
        let second = queue.next(now, &to).unwrap();
        assert_eq!(second.letter.subject, "2");
        assert_eq!(queue.tried(now, second.number, to.clone(), &to), Fate::Over);
        let again = queue.next(now + wait, &to).unwrap();
        assert_eq!((again.letter.subject.as_str(), again.to), ("1", names(&["b"])));
        assert_eq!(queue.tried(now + wait, again.number, names(&["b"]), &to), Fate::Over);
    }

    #[test]
    fn a_letter_is_given_up_after_four_hours() {
        let (now, to) = (Instant::now(), names(&["a"]));
        let mut queue = queue(now, &["1"]);
        let number = queue.next(now, &to).unwrap().number;
        assert_eq!(queue.tried(now + PATIENCE, number, Vec::new(), &to), Fate::GivenUp("1".to_owned()));
        assert_eq!(queue.deadline(), None);
    }

    #[test]
    fn a_full_queue_drops_its_oldest_but_not_what_is_being_tried() {
        let (now, to) = (Instant::now(), names(&["a"]));
        let mut queue = Queue::default();
        for n in 0..MOST {
            assert_eq!(queue.push(now, letter(&n.to_string())), None);
        }
        let first = queue.next(now, &to).unwrap();
        assert_eq!(queue.push(now, letter("more")), Some(1));
        assert_eq!(queue.push(now, letter("more")), Some(2));
        assert_eq!(queue.tried(now, first.number, to.clone(), &to), Fate::Over);
        assert_eq!(queue.next(now, &to).unwrap().letter.subject, "3");
        assert_eq!(queue.letters.len(), MOST - 1);
    }

    #[test]
    fn other_recipients_and_a_dead_helper_change_who_gets_what_is_waiting() {
        let now = Instant::now();
        let mut queue = queue(now, &["1"]);
        let old = names(&["a"]);
        let number = queue.next(now, &old).unwrap().number;
        assert!(matches!(queue.tried(now, number, Vec::new(), &old), Fate::Again(_)));
        queue.hurry(now);
        let new = names(&["b"]);
        assert_eq!(queue.next(now, &new).unwrap().to, new);
        queue.interrupted();
        assert_eq!(queue.tried(now, number, new.clone(), &new), Fate::Unknown, "a late answer");
        assert_eq!(queue.next(now, &new).unwrap().number, number);
        assert_eq!(queue.clear(), 1);
        assert_eq!(queue.next(now, &new), None);
    }
}
