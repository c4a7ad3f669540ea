//! How long a suspect may stay one: the more nodes confirm, the sooner it is dead (Lifeguard).

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

const SUSPICION_MULT: u32 = 4;
const MAX_TIMEOUT_MULT: u32 = 6;
const PROBE_INTERVAL: Duration = super::PROBE_INTERVAL;

#[derive(Debug)]
pub struct Suspicion {
    start: Instant,
    min: Duration,
    /// Confirmations that bring the timeout down to `min`.
    wanted: usize,
    /// Who said so, the first accuser included.
    accusers: BTreeSet<String>,
}

impl Suspicion {
    /// `nodes` counts the cluster, ourselves and the suspect included.
    pub fn new(now: Instant, nodes: usize, accuser: String) -> Self {
        let wanted = SUSPICION_MULT as usize - 2;
        let scale = (nodes.max(1) as f64).log10().max(1.0);
        Self {
            start: now,
            min: (SUSPICION_MULT * PROBE_INTERVAL).mul_f64(scale),
            // In a cluster too small to give them, none are waited for.
            wanted: if nodes < wanted + 2 { 0 } else { wanted },
            accusers: BTreeSet::from([accuser]),
        }
    }

    /// Whether this accuser is news that others should hear.
    pub fn confirm(&mut self, accuser: &str) -> bool {
        self.accusers.len() - 1 < self.wanted && self.accusers.insert(accuser.to_owned())
    }

    pub fn deadline(&self) -> Instant {
        if self.wanted == 0 {
            return self.start + self.min;
        }
        let confirmed = (self.accusers.len() - 1) as f64;
        let fraction = (confirmed + 1.0).ln() / (self.wanted as f64 + 1.0).ln();
        let max = self.min * MAX_TIMEOUT_MULT;
        let timeout = max - (max - self.min).mul_f64(fraction.min(1.0));
        self.start + timeout.max(self.min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirmations_shorten_the_timeout() {
        let now = Instant::now();
        let mut suspicion = Suspicion::new(now, 10, "a".into());
        let secs = |s: &Suspicion| (s.deadline() - now).as_secs();
        assert_eq!(secs(&suspicion), 24);
        assert!(
            !suspicion.confirm("a"),
            "the accuser does not confirm itself"
        );
        assert!(suspicion.confirm("b"));
        assert_eq!(secs(&suspicion), 11);
        assert!(suspicion.confirm("c"));
        assert_eq!(secs(&suspicion), 4);
        assert!(!suspicion.confirm("d"), "enough is enough");
    }

    #[test]
    fn a_small_cluster_waits_for_nobody() {
        let now = Instant::now();
        let suspicion = Suspicion::new(now, 3, "a".into());
        assert_eq!(suspicion.deadline() - now, Duration::from_secs(4));
    }
}
