//! The queue of messages that still have to be gossiped, as in memberlist: each is sent a number of times that grows with
//! the logarithm of the cluster, the least sent first, and a newer message about the same thing replaces the older.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;

/// memberlist's `RetransmitMult`.
const RETRANSMIT_MULT: u32 = 4;

/// In a small cluster memberlist gives up after 0.6 s, before the failure detector could notice that nobody heard. Longer
/// than a probe's interval leaves no gap between the two.
const MIN_TRANSMITS: u32 = 8;

/// A node that is alone keeps changing things without anybody to tell. What is dropped here reaches a later peer by bulk
/// sync.
const MAX_QUEUED: usize = 8192;

/// Fewest transmissions first, then the longest, then the newest.
type Rank = (u32, Reverse<usize>, Reverse<u64>);

#[derive(Debug, Default)]
pub struct Queue {
    items: BTreeMap<Rank, (Option<String>, Bytes)>,
    by_name: BTreeMap<String, Rank>,
    last_id: u64,
}

impl Queue {
    /// Queues `message`; a `name` makes it replace the queued one of that name.
    pub fn push(&mut self, name: Option<String>, message: impl Into<Bytes>) {
        let message = message.into();
        self.last_id += 1;
        let rank = (0, Reverse(message.len()), Reverse(self.last_id));
        if let Some(name) = &name
            && let Some(old) = self.by_name.insert(name.clone(), rank)
        {
            self.items.remove(&old);
        }
        self.items.insert(rank, (name, message));
        if self.items.len() > MAX_QUEUED
            && let Some((_, (Some(name), _))) = self.items.pop_last()
        {
            self.by_name.remove(&name);
        }
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether something waits for its first transmission.
    pub fn has_fresh(&self) -> bool {
        self.items
            .first_key_value()
            .is_some_and(|(rank, _)| rank.0 == 0)
    }

    /// Takes what fits into `limit` bytes, each message costing `overhead` more, for one round of gossip among `nodes` nodes.
    pub fn take(
        &mut self,
        round: Round,
        overhead: usize,
        limit: &mut usize,
        nodes: usize,
    ) -> Vec<Bytes> {
        let max_transmits = retransmit_limit(nodes);
        let mut out = Vec::new();
        let mut again = Vec::new();
        let Some((&(mut transmits, ..), _)) = self.items.first_key_value() else {
            return out;
        };
        while let Some(free) = limit.checked_sub(overhead).filter(|free| *free > 0) {
            let from = (transmits, Reverse(free), Reverse(u64::MAX));
            let Some((&rank, _)) = self.items.range(from..).next() else {
                break;
            };
            if round == Round::News && rank.0 > 0 {
                break;
            }
            if rank.0 != transmits {
                // Nothing of this tier fits any more: go on with the next.
                transmits = rank.0;
                continue;
            }
            let Some((name, message)) = self.items.remove(&rank) else {
                break;
            };
            *limit -= overhead + message.len();
            out.push(message.clone());
            if rank.0 + 1 < max_transmits {
                again.push(((rank.0 + 1, rank.1, rank.2), name, message));
            } else if let Some(name) = name {
                self.by_name.remove(&name);
            }
        }
        for (rank, name, message) in again {
            if let Some(name) = &name {
                self.by_name.insert(name.clone(), rank);
            }
            self.items.insert(rank, (name, message));
        }
        out
    }
}

/// What a round of gossip carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// What nobody was told yet.
    News,
    All,
}

/// When gossip goes out: news nearly at once, repetitions in memberlist's rhythm, however much news there is in between.
#[derive(Debug)]
pub struct Rhythm {
    news: Instant,
    all: Instant,
}

impl Rhythm {
    const INTERVAL: Duration = Duration::from_millis(200);
    /// News need not wait, but must not flood either.
    const PROMPT: Duration = Duration::from_millis(20);

    pub fn new(now: Instant) -> Self {
        Self {
            news: now,
            all: now,
        }
    }

    /// When the next round is due, given whether there is news.
    pub fn due(&self, news: bool) -> Instant {
        if news {
            self.news.min(self.all)
        } else {
            self.all
        }
    }

    /// Which round it is now.
    pub fn round(&mut self, now: Instant) -> Round {
        self.news = now + Self::PROMPT;
        if now < self.all {
            return Round::News;
        }
        self.all = now + Self::INTERVAL;
        Round::All
    }

    /// There was nobody to tell.
    pub fn rest(&mut self, now: Instant) {
        self.news = now + Self::INTERVAL;
        self.all = self.news;
    }
}

fn retransmit_limit(nodes: usize) -> u32 {
    let scaled = RETRANSMIT_MULT * ((nodes + 1) as f64).log10().ceil() as u32;
    scaled.max(MIN_TRANSMITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(queue: &mut Queue, mut limit: usize) -> Vec<Bytes> {
        queue.take(Round::All, 2, &mut limit, 3)
    }

    #[test]
    fn a_message_is_sent_as_often_as_the_cluster_needs() {
        let mut queue = Queue::default();
        queue.push(None, "once");
        for _ in 0..8 {
            assert_eq!(round(&mut queue, 100), ["once"]);
        }
        assert!(queue.is_empty());
    }

    #[test]
    fn the_newer_message_of_a_name_replaces_the_older() {
        let mut queue = Queue::default();
        queue.push(Some("a".into()), "old");
        round(&mut queue, 100);
        queue.push(Some("a".into()), "new");
        assert!(queue.has_fresh());
        assert_eq!(round(&mut queue, 100), ["new"]);
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn fewest_transmits_then_longest_first_and_only_what_fits() {
        let mut queue = Queue::default();
        queue.push(None, "sent before");
        round(&mut queue, 100);
        queue.push(None, "ab");
        queue.push(None, "abc");
        queue.push(None, "far too long for this round");
        assert_eq!(round(&mut queue, 10), ["abc", "ab"]);
        assert!(queue.has_fresh());
    }

    #[test]
    fn news_does_not_hurry_the_repetitions() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let mut rhythm = Rhythm::new(start);
        assert_eq!(rhythm.round(start), Round::All);
        queue.push(None, "old");
        round(&mut queue, 100);
        queue.push(None, "new");
        assert_eq!(rhythm.due(queue.has_fresh()) - start, Rhythm::PROMPT);
        let soon = start + Rhythm::PROMPT;
        assert_eq!(queue.take(rhythm.round(soon), 2, &mut 100, 3), ["new"]);
        assert_eq!(rhythm.due(queue.has_fresh()) - start, Rhythm::INTERVAL);
        assert_eq!(rhythm.round(start + Rhythm::INTERVAL), Round::All);
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut queue = Queue::default();
        for i in 0..2 * MAX_QUEUED {
            queue.push(Some(i.to_string()), "x");
        }
        assert_eq!(queue.len(), MAX_QUEUED);
        assert_eq!(queue.by_name.len(), MAX_QUEUED);
    }
}
