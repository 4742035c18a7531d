use crate::random::Random;
use crate::scenario::Quality;
use std::time::Duration;

/// Who hears whom, and how well.
#[derive(Clone, Debug)]
pub(crate) struct Lan {
    pub(crate) quality: Quality,
    /// `deaf[from][to]`: what `from` sends does not reach `to`.
    deaf: Vec<Vec<bool>>,
}

impl Lan {
    pub(crate) fn new(n_nodes: usize, quality: Quality) -> Self {
        Lan { quality, deaf: vec![vec![false; n_nodes]; n_nodes] }
    }

    pub(crate) fn reconnect(&mut self) {
        self.deaf.iter_mut().flatten().for_each(|deaf| *deaf = false);
    }

    pub(crate) fn partition(&mut self, groups: &[u8]) {
        for (from, row) in self.deaf.iter_mut().enumerate() {
            for (to, deaf) in row.iter_mut().enumerate() {
                *deaf = groups[from] != groups[to];
            }
        }
    }

    pub(crate) fn cut_one_way(&mut self, from: usize, to: usize) {
        self.deaf[from][to] = true;
    }

    pub(crate) fn reaches(&self, from: usize, to: usize) -> bool {
        from != to && !self.deaf[from][to]
    }

    /// After how long each copy of one message arrives; none when it is lost.
    pub(crate) fn arrivals(&self, random: &mut Random) -> impl Iterator<Item = Duration> + use<> {
        let Quality { loss_percent, duplicate_percent, delay, jitter } = self.quality;
        let mut arrival = || delay + random.span(Duration::ZERO, jitter);
        let first = arrival();
        let second = arrival();
        let lost = random.percent(loss_percent);
        let doubled = random.percent(duplicate_percent);
        [(!lost).then_some(first), (!lost && doubled).then_some(second)].into_iter().flatten()
    }
}
