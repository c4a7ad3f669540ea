//! A sparse set of numbers as disjoint, never adjacent runs: memory grows with the gaps, not with the numbers.

use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub(crate) struct Spans {
    /// First number of a run to its last one, both inside.
    runs: BTreeMap<u128, u128>,
}

impl Spans {
    /// The last number of the run that holds `n`.
    fn end_of_run(&self, n: u128) -> Option<u128> {
        self.run_at(n).map(|(_, last)| last)
    }

    fn run_at(&self, n: u128) -> Option<(u128, u128)> {
        let (&first, &last) = self.runs.range(..=n).next_back()?;
        (n <= last).then_some((first, last))
    }

    /// Adds `n`; false when it is there already.
    pub fn insert(&mut self, n: u128) -> bool {
        if self.run_at(n).is_some() {
            return false;
        }
        let before = n.checked_sub(1).and_then(|b| self.run_at(b));
        let after = n.checked_add(1).and_then(|a| self.run_at(a));
        if let Some((first, _)) = after {
            self.runs.remove(&first);
        }
        let first = before.map_or(n, |(first, _)| first);
        self.runs.insert(first, after.map_or(n, |(_, last)| last));
        true
    }

    pub fn remove(&mut self, n: u128) {
        let Some((first, last)) = self.run_at(n) else {
            return;
        };
        self.runs.remove(&first);
        if first < n {
            self.runs.insert(first, n - 1);
        }
        if n < last {
            self.runs.insert(n + 1, last);
        }
    }

    /// The lowest number in `from..=to` that is not in the set.
    pub fn first_gap(&self, from: u128, to: u128) -> Option<u128> {
        let gap = match self.end_of_run(from) {
            Some(last) => last.checked_add(1)?,
            None => from,
        };
        (gap <= to).then_some(gap)
    }

    /// How many numbers the set holds.
    pub fn count(&self) -> u128 {
        self.runs
            .iter()
            .map(|(first, last)| last - first + 1)
            .fold(0, u128::saturating_add)
    }
}
