//! What is true, and what an agent may therefore tell its user.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bytes::Bytes;
use gossip::Event;

/// How long an erased row may still be reported by somebody who can hear the rest.
const NEWS: Duration = Duration::from_secs(2);

#[derive(Default)]
pub struct Oracle {
    /// Every row that was ever written, by its value, which is unique.
    written: BTreeMap<Bytes, (String, String, String)>,
    /// What is true now: owner and value by network and key.
    pub truth: BTreeMap<(String, String), (String, Bytes)>,
    erased: BTreeMap<Bytes, Instant>,
    alive: BTreeSet<String>,
    /// The newest serial number that each user has seen of each key.
    seen: BTreeMap<(String, String, String), u64>,
    serial: u64,
    /// Until then old news is forgiven: a partition is there, or was healed just now.
    pub confused_until: Option<Instant>,
}

fn serial(value: &Bytes) -> u64 {
    let text = String::from_utf8_lossy(value);
    text.split(' ')
        .next()
        .and_then(|s| s.parse().ok())
        .expect("a serial number")
}

impl Oracle {
    pub fn boots(&mut self, name: &str) {
        self.alive.insert(name.to_owned());
    }

    /// Its rows die with a node.
    pub fn gone(&mut self, name: &str) {
        self.alive.remove(name);
        self.truth.retain(|_, (owner, _)| owner != name);
    }

    pub fn write(&mut self, owner: &str, network: &str, key: &str, ip: &str) -> Bytes {
        self.serial += 1;
        let value = Bytes::from(format!("{} {ip}", self.serial));
        let row = (owner.to_owned(), network.to_owned(), key.to_owned());
        self.written.insert(value.clone(), row);
        self.truth
            .insert((network.into(), key.into()), (owner.into(), value.clone()));
        value
    }

    pub fn erase(&mut self, now: Instant, network: &str, key: &str) {
        if let Some((_, value)) = self.truth.remove(&(network.into(), key.into())) {
            self.erased.insert(value, now);
        }
    }

    /// A node's rows in a network are erased when it leaves the network.
    pub fn leaves(&mut self, now: Instant, owner: &str, network: &str) {
        let rows = self
            .truth
            .iter()
            .filter(|((at, _), (by, _))| at == network && by == owner);
        let keys: Vec<String> = rows.map(|((_, key), _)| key.clone()).collect();
        for key in keys {
            self.erase(now, network, &key);
        }
    }

    /// The invariants that hold at every moment.
    pub fn check(&mut self, now: Instant, user: &str, event: &Event) {
        let Event::EntrySet {
            network,
            key,
            owner,
            value,
            ..
        } = event
        else {
            return;
        };
        let row = (owner.clone(), network.clone(), key.clone());
        assert_eq!(
            self.written.get(value),
            Some(&row),
            "no false owner: nobody wrote that"
        );
        assert_ne!(owner, user, "users are not told of their own rows");

        let seen = self
            .seen
            .entry((user.into(), network.clone(), key.clone()))
            .or_default();
        assert!(
            *seen <= serial(value),
            "no resurrection: {user} had seen a newer row of {key}"
        );
        *seen = serial(value);

        let confused = self.confused_until.is_some_and(|until| now <= until);
        if let Some(erased) = self.erased.get(value)
            && !confused
        {
            assert!(
                now <= *erased + NEWS,
                "no resurrection: {key} was erased {:?} ago",
                now - *erased
            );
        }
    }

    /// What the user of a node should hold to be true.
    pub fn view(
        &self,
        user: &str,
        networks: &[String],
    ) -> BTreeMap<(String, String), (String, Bytes)> {
        let rows = self.truth.iter();
        rows.filter(|((network, _), (owner, _))| networks.contains(network) && owner != user)
            .map(|(key, row)| (key.clone(), row.clone()))
            .collect()
    }
}
