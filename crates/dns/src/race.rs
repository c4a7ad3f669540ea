//! Which upstream is asked next, and when a query is given up.

use std::time::{Duration, Instant};

/// A silent upstream is not waited for longer before the next one is asked as well.
const HEDGE: Duration = Duration::from_millis(300);
/// After all were asked: how long until one is asked again, in turn (packets get lost).
const REPEAT: Duration = Duration::from_millis(1200);
/// Stub resolvers give up after 5 s: tell them before.
const GIVE_UP: Duration = Duration::from_secs(4);
/// As many as resolv.conf can name and Docker asks.
pub(crate) const MAX_UPSTREAMS: usize = 3;

/// One query against a list of upstreams, in the list's order.
#[derive(Debug)]
pub(crate) struct Race {
    /// By upstream: it refused or failed.
    failed: Vec<bool>,
    turn: usize,
    next: Instant,
    give_up: Instant,
}

impl Race {
    pub fn new(now: Instant, upstreams: usize) -> Self {
        Self {
            failed: vec![false; upstreams.min(MAX_UPSTREAMS)],
            turn: 0,
            next: now,
            give_up: now + GIVE_UP,
        }
    }

    /// The index of an upstream that is to be asked now.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<usize> {
        if now < self.next || self.is_lost(now) {
            return None;
        }
        let count = self.failed.len();
        while self.failed[self.turn % count] {
            self.turn += 1;
        }
        let index = self.turn % count;
        self.turn += 1;
        self.next = now + if self.turn < count { HEDGE } else { REPEAT };
        Some(index)
    }

    /// The upstream said that it cannot, or could not be asked: the next one that was not asked yet is, at once.
    pub fn handle_failure(&mut self, now: Instant, upstream: usize) {
        self.failed[upstream] = true;
        if self.turn < self.failed.len() {
            self.next = now;
        }
    }

    /// No upstream is left, or no time.
    pub fn is_lost(&self, now: Instant) -> bool {
        now >= self.give_up || self.failed.iter().all(|failed| *failed)
    }

    pub fn poll_timeout(&self) -> Instant {
        self.next.min(self.give_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(milliseconds, upstream asked)` until the race is lost, with the given upstreams failing when asked.
    fn run(upstreams: usize, failing: &[usize]) -> (Vec<(u128, usize)>, u128) {
        let start = Instant::now();
        let mut now = start;
        let mut race = Race::new(now, upstreams);
        let mut asked = Vec::new();
        while !race.is_lost(now) {
            match race.poll_transmit(now) {
                Some(index) => {
                    asked.push(((now - start).as_millis(), index));
                    if failing.contains(&index) {
                        race.handle_failure(now, index);
                    }
                }
                None => now = race.poll_timeout(),
            }
        }
        (asked, (now - start).as_millis())
    }

    #[test]
    fn a_silent_upstream_costs_less_than_a_second() {
        let (asked, end) = run(2, &[]);
        assert_eq!(asked, [(0, 0), (300, 1), (1500, 0), (2700, 1), (3900, 0)]);
        assert_eq!(end, 4000);
    }

    #[test]
    fn a_failing_upstream_costs_nothing() {
        assert_eq!(run(3, &[0, 1]).0[..3], [(0, 0), (0, 1), (0, 2)]);
        assert_eq!(run(3, &[0, 1, 2]), (vec![(0, 0), (0, 1), (0, 2)], 0));
        assert_eq!(
            run(2, &[1]).0,
            [(0, 0), (300, 1), (1500, 0), (2700, 0), (3900, 0)]
        );
    }

    #[test]
    fn the_only_upstream_is_asked_again() {
        assert_eq!(run(1, &[]).0, [(0, 0), (1200, 0), (2400, 0), (3600, 0)]);
        assert_eq!(run(0, &[]), (vec![], 0));
    }
}
