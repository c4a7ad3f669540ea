//! Which upstream is asked next, and when a query is given up.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::Upstream;

/// A silent upstream is not waited for longer before the next one is asked as well.
const HEDGE: Duration = Duration::from_millis(300);
/// After all were asked: how long until one is asked again, in turn (packets get lost).
const REPEAT: Duration = Duration::from_millis(1200);
/// Stub resolvers give up after 5 s: tell them before.
const GIVE_UP: Duration = Duration::from_secs(4);
/// As many as resolv.conf can name and Docker asks.
pub(crate) const MAX_UPSTREAMS: usize = 3;
/// How long an upstream that was silent comes last.
const DISTRUST: Duration = Duration::from_secs(10);

/// One query against a list of upstreams, in the list's order.
#[derive(Debug)]
pub(crate) struct Race {
    entrants: Vec<Entrant>,
    turn: usize,
    hedge: Duration,
    next: Instant,
    give_up: Instant,
}

#[derive(Clone, Debug, Default)]
struct Entrant {
    asked: Option<Instant>,
    /// It refused, failed or is out of reach.
    failed: bool,
}

impl Race {
    pub fn new(now: Instant, upstreams: usize) -> Self {
        Self {
            entrants: vec![Entrant::default(); upstreams.min(MAX_UPSTREAMS)],
            turn: 0,
            hedge: HEDGE,
            next: now,
            give_up: now + GIVE_UP,
        }
    }

    /// All are asked at once.
    pub fn without_patience(mut self) -> Self {
        self.hedge = Duration::ZERO;
        self
    }

    /// The index of an upstream that is to be asked now.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<usize> {
        if now < self.next || self.is_lost(now) {
            return None;
        }
        let count = self.entrants.len();
        while self.entrants[self.turn % count].failed {
            self.turn += 1;
        }
        let index = self.turn % count;
        self.turn += 1;
        self.next = now
            + if self.turn < count {
                self.hedge
            } else {
                REPEAT
            };
        self.entrants[index].asked.get_or_insert(now);
        Some(index)
    }

    /// The upstream said that it cannot, or could not be asked: the next one that was not asked yet is, at once.
    pub fn handle_failure(&mut self, now: Instant, upstream: usize) {
        self.entrants[upstream].failed = true;
        if self.turn < self.entrants.len() {
            self.next = now;
        }
    }

    pub fn is_asked(&self, upstream: usize) -> bool {
        self.entrants[upstream].asked.is_some()
    }

    /// Those that have let others pass: asked a while ago, and not heard of.
    pub fn silent(&self, now: Instant) -> impl Iterator<Item = usize> {
        let entrants = self.entrants.iter().enumerate();
        let silent = entrants.filter(move |(_, entrant)| {
            !entrant.failed && entrant.asked.is_some_and(|asked| now >= asked + HEDGE)
        });
        silent.map(|(index, _)| index)
    }

    /// No upstream is left, or no time.
    pub fn is_lost(&self, now: Instant) -> bool {
        now >= self.give_up || self.entrants.iter().all(|entrant| entrant.failed)
    }

    pub fn poll_timeout(&self) -> Instant {
        self.next.min(self.give_up)
    }
}

/// Upstreams that were silent lately: nobody waits for them first.
#[derive(Debug, Default)]
pub(crate) struct Distrust(BTreeMap<Upstream, Instant>);

impl Distrust {
    /// The order in which to ask, and whether one of those that come last is due for another try: all at once then.
    pub fn order(&mut self, now: Instant, upstreams: &[Upstream]) -> (Vec<Upstream>, bool) {
        let mut order: Vec<_> = upstreams.iter().take(MAX_UPSTREAMS).copied().collect();
        let mut due = false;
        for upstream in &order {
            if let Some(until) = self.0.get_mut(upstream)
                && *until <= now
            {
                *until = now + DISTRUST;
                due = true;
            }
        }
        order.sort_by_key(|upstream| self.0.contains_key(upstream));
        (order, due)
    }

    pub fn handle_silence(&mut self, now: Instant, upstream: Upstream) {
        self.0.entry(upstream).or_insert(now + DISTRUST);
    }

    pub fn handle_sign_of_life(&mut self, upstream: &Upstream) {
        self.0.remove(upstream);
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

    #[test]
    fn one_that_was_silent_comes_last_until_it_is_heard_of() {
        let upstream = |n: u8| Upstream {
            addr: ([198, 18, 0, n], 53).into(),
            from_host: true,
        };
        let (first, second) = (upstream(1), upstream(2));
        let (mut distrust, now) = (Distrust::default(), Instant::now());
        let order = |distrust: &mut Distrust, seconds| {
            let (order, due) = distrust.order(now + Duration::from_secs(seconds), &[first, second]);
            (order[0] == first, due)
        };
        assert_eq!(order(&mut distrust, 0), (true, false));
        distrust.handle_silence(now, first);
        assert_eq!(order(&mut distrust, 9), (false, false));
        // One query tries it; those after it do not.
        assert_eq!(order(&mut distrust, 10), (false, true));
        assert_eq!(order(&mut distrust, 11), (false, false));
        distrust.handle_sign_of_life(&first);
        assert_eq!(order(&mut distrust, 12), (true, false));
    }
}
