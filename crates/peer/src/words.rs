//! What people asked of real servers, the same on every node: the latest change wins.
//!
//! Each change has a [`Stamp`]: the time of day where it was made, but always later than every change that was known there.
//! So a change that was made in the knowledge of another one is the later of the two, whatever the clocks say. Of two that
//! knew nothing of each other (the nodes were apart) the later one by the clocks wins, and of two at the same
//! millisecond that of the node with the greater number.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// When a change was made, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Milliseconds since 1970, or more where a later change was known.
    pub at_ms: u64,
    /// The number of the node, drawn when it first started.
    pub node: u64,
}

/// What was asked of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Asked {
    /// Take part as the checks say.
    Enabled,
    /// Keep connections and get no new ones.
    Drained,
    /// Leave the table.
    Disabled,
    /// Have this weight.
    Weight(u32),
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// Name of the pool: of its service, so that both nodes mean the same.
    pub pool: String,
    /// The server, as `address:port`.
    pub server: String,
    /// What it is to be.
    pub asked: Asked,
    /// When.
    pub stamp: Stamp,
}

/// The last word about each server. What was taken back is kept too: a node that was away has to learn of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    words: BTreeMap<(String, String), (Asked, Stamp)>,
}

impl Words {
    /// Servers that there may be words about. Of more, those that were taken back longest ago are forgotten, and then
    /// nothing more is learned.
    pub const MOST: usize = 4096;

    /// As they were kept.
    pub fn new(words: impl IntoIterator<Item = Word>) -> Self {
        let mut these = Words::default();
        these.merge(words);
        these
    }

    /// Somebody asks for something here, now, on the node of this number. `None` when there are words about too many
    /// servers.
    pub fn ask(&mut self, now_ms: u64, node: u64, pool: &str, server: &str, asked: Asked) -> Option<Word> {
        let latest = self.words.values().map(|(_, stamp)| stamp.at_ms).max().unwrap_or(0);
        let stamp = Stamp { at_ms: now_ms.max(latest.saturating_add(1)), node };
        let word = Word { pool: pool.to_owned(), server: server.to_owned(), asked, stamp };
        self.take(&word).then_some(word)
    }

    /// Takes in what another node knows. Those that are news come back.
    pub fn merge(&mut self, words: impl IntoIterator<Item = Word>) -> Vec<Word> {
        words.into_iter().filter(|word| self.take(word)).collect()
    }

    /// All of them, in the order of their names.
    pub fn all(&self) -> impl Iterator<Item = Word> {
        self.words.iter().map(|((pool, server), (asked, stamp))| Word {
            pool: pool.clone(),
            server: server.clone(),
            asked: *asked,
            stamp: *stamp,
        })
    }

    fn take(&mut self, word: &Word) -> bool {
        let key = (word.pool.clone(), word.server.clone());
        let known = self.words.get(&key);
        if known.is_some_and(|(_, stamp)| *stamp >= word.stamp) {
            return false;
        }
        if known.is_none() && self.words.len() >= Self::MOST && !self.forget_one() {
            return false;
        }
        self.words.insert(key, (word.asked, word.stamp));
        true
    }

    /// Forgets what was taken back longest ago.
    fn forget_one(&mut self) -> bool {
        let taken_back = self.words.iter().filter(|(_, (asked, _))| *asked == Asked::Enabled);
        let oldest = taken_back.min_by_key(|(_, (_, stamp))| *stamp).map(|(key, _)| key.clone());
        oldest.is_some_and(|key| self.words.remove(&key).is_some())
    }
}
