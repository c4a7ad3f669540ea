//! Who wants what: the union of all owners' rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::key::{Item, Key};
use crate::{LinkKind, Ns, Row};

/// One owner's row for an object.
#[derive(Clone, Debug, PartialEq)]
struct Claim {
    owner: Arc<str>,
    row: Row,
}

/// An object before and after; `None` where it is not wanted (or not there).
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub key: Key,
    pub old: Option<Row>,
    pub new: Option<Row>,
}

impl Change {
    pub fn to(old: Option<Row>, new: Row) -> Change {
        Change {
            key: new.key(),
            old,
            new: Some(new),
        }
    }

    pub fn away(old: Row) -> Change {
        Change {
            key: old.key(),
            old: Some(old),
            new: None,
        }
    }

    pub fn reversed(self) -> Change {
        Change {
            key: self.key,
            old: self.new,
            new: self.old,
        }
    }
}

/// The newest claim on a key is the one that holds.
#[derive(Debug, Default)]
pub struct Desired {
    owners: BTreeMap<Arc<str>, BTreeSet<Key>>,
    claims: BTreeMap<Key, Vec<Claim>>,
    /// Namespace and name of every wanted veth's peer, and the link that it belongs to.
    peers: BTreeMap<(Ns, String), Key>,
    /// Namespace and name of every wanted link's parent, and the links on it.
    children: BTreeMap<(Ns, String), BTreeSet<Key>>,
}

/// What `set` overwrote.
#[derive(Debug, Default)]
pub struct Undo {
    owners: BTreeMap<Arc<str>, BTreeSet<Key>>,
    claims: BTreeMap<Key, Vec<Claim>>,
}

impl Desired {
    /// Replaces the owners' rows. Returns what that changes, in key order, and how to take it back.
    pub fn set(&mut self, owners: Vec<(String, Vec<Row>)>) -> (Vec<Change>, Undo) {
        let mut undo = Undo::default();
        for (owner, rows) in owners {
            let owner: Arc<str> = owner.into();
            let former = self.owners.remove(&owner).unwrap_or_default();
            undo.owners
                .entry(owner.clone())
                .or_insert_with(|| former.clone());
            let rows: BTreeMap<Key, Row> = rows.into_iter().map(|row| (row.key(), row)).collect();
            for key in former.iter().filter(|key| !rows.contains_key(key)) {
                let claims = self.touch(&mut undo, key);
                claims.retain(|claim| claim.owner != owner);
            }
            if !rows.is_empty() {
                self.owners
                    .insert(owner.clone(), rows.keys().cloned().collect());
            }
            for (key, row) in rows {
                let old = self.claims.get(&key).into_iter().flatten();
                if old.into_iter().any(|c| c.owner == owner && c.row == row) {
                    continue;
                }
                let claims = self.touch(&mut undo, &key);
                claims.retain(|claim| claim.owner != owner);
                claims.push(Claim {
                    owner: owner.clone(),
                    row,
                });
            }
        }
        let mut changes = Vec::new();
        for (key, before) in &undo.claims {
            let old = before.last().map(|c| c.row.clone());
            self.claims.retain_if(key);
            let new = self.get(key).cloned();
            self.index(old.as_ref(), new.as_ref());
            if old != new {
                let key = key.clone();
                changes.push(Change { key, old, new });
            }
        }
        (changes, undo)
    }

    fn touch(&mut self, undo: &mut Undo, key: &Key) -> &mut Vec<Claim> {
        let claims = self.claims.entry(key.clone()).or_default();
        undo.claims
            .entry(key.clone())
            .or_insert_with(|| claims.clone());
        claims
    }

    pub fn undo(&mut self, undo: Undo) {
        for (owner, keys) in undo.owners {
            if keys.is_empty() {
                self.owners.remove(&owner);
            } else {
                self.owners.insert(owner, keys);
            }
        }
        for (key, before) in undo.claims {
            let old = before.last().map(|c| c.row.clone());
            let new = self.get(&key).cloned();
            self.claims.insert(key.clone(), before);
            self.claims.retain_if(&key);
            self.index(new.as_ref(), old.as_ref());
        }
    }

    fn index(&mut self, old: Option<&Row>, new: Option<&Row>) {
        if let Some(peer) = old.and_then(peer) {
            self.peers.remove(&peer);
        }
        if let Some((row, peer)) = new.and_then(|row| Some((row, peer(row)?))) {
            self.peers.insert(peer, row.key());
        }
        if let Some((row, parent)) = old.and_then(|row| Some((row, parent(row)?)))
            && let Some(children) = self.children.get_mut(&parent)
        {
            children.remove(&row.key());
            if children.is_empty() {
                self.children.remove(&parent);
            }
        }
        if let Some((row, parent)) = new.and_then(|row| Some((row, parent(row)?))) {
            self.children.entry(parent).or_default().insert(row.key());
        }
    }

    pub fn get(&self, key: &Key) -> Option<&Row> {
        Some(&self.claims.get(key)?.last()?.row)
    }

    /// The link whose peer this is.
    pub fn link_of_peer(&self, ns: &Ns, name: &str) -> Option<&Key> {
        self.peers.get(&(ns.clone(), name.to_owned()))
    }

    /// The links that are wanted on this one.
    pub fn children_of(&self, ns: &Ns, name: &str) -> impl Iterator<Item = &Key> {
        let children = self.children.get(&(ns.clone(), name.to_owned()));
        children.into_iter().flatten()
    }

    /// Names of the veth peers that are wanted in a namespace, and their links.
    pub fn peers_in<'a>(&'a self, ns: &'a Ns) -> impl Iterator<Item = (&'a str, &'a Key)> {
        self.peers
            .range((ns.clone(), String::new())..)
            .take_while(move |((n, _), _)| n == ns)
            .map(|((_, name), key)| (name.as_str(), key))
    }

    /// The rows from `first` on, in key order.
    pub fn from<'a>(&'a self, first: &Key) -> impl Iterator<Item = (&'a Key, &'a Row)> + use<'a> {
        self.claims
            .range(first.clone()..)
            .filter_map(|(key, claims)| Some((key, &claims.last()?.row)))
    }

    /// The rows of one namespace, in key order.
    pub fn in_ns<'a>(&'a self, ns: &'a Ns) -> impl Iterator<Item = (&'a Key, &'a Row)> + use<'a> {
        self.from(&Key::first(ns))
            .take_while(move |(key, _)| key.ns == *ns)
    }

    /// Namespaces that something is wanted in.
    pub fn namespaces(&self) -> BTreeSet<Ns> {
        let mut found: Vec<&Ns> = self.claims.keys().map(|key| &key.ns).collect();
        found.dedup();
        found.extend(self.peers.keys().map(|(ns, _)| ns));
        found.into_iter().cloned().collect()
    }

    pub fn has_netns(&self, ns: &Ns) -> bool {
        self.claims.contains_key(&Key {
            ns: ns.clone(),
            item: Item::Netns,
        })
    }

    pub fn len(&self) -> usize {
        self.claims.len()
    }
}

fn peer(row: &Row) -> Option<(Ns, String)> {
    match row {
        Row::Link(link) => match &link.kind {
            LinkKind::Veth { peer } => Some((peer.ns.clone(), peer.name.clone())),
            _ => None,
        },
        _ => None,
    }
}

fn parent(row: &Row) -> Option<(Ns, String)> {
    match row {
        Row::Link(link) => link
            .parent()
            .map(|(ns, name)| (ns.clone(), name.to_owned())),
        _ => None,
    }
}

trait RetainIf {
    /// Drops the entry when nobody claims it any more.
    fn retain_if(&mut self, key: &Key);
}

impl RetainIf for BTreeMap<Key, Vec<Claim>> {
    fn retain_if(&mut self, key: &Key) {
        if self.get(key).is_some_and(Vec::is_empty) {
            self.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Mac;

    fn fdb(mac: u8, dst: u8) -> Row {
        Row::Fdb {
            ns: Ns::Named("n".into()),
            link: "vxlan0".into(),
            mac: Mac([2, 0, 0, 0, 0, mac]),
            dst: [192, 0, 2, dst].into(),
        }
    }

    fn own(owner: &str, rows: &[Row]) -> Vec<(String, Vec<Row>)> {
        vec![(owner.into(), rows.to_vec())]
    }

    #[test]
    fn a_row_goes_with_its_last_owner() {
        let mut desired = Desired::default();
        assert_eq!(desired.set(own("a", &[fdb(1, 1)])).0.len(), 1);
        assert_eq!(desired.set(own("b", &[fdb(1, 1)])).0, []);
        assert_eq!(desired.set(own("a", &[])).0, []);
        let (changes, _) = desired.set(own("b", &[]));
        assert_eq!(
            (changes.len(), changes[0].old.clone()),
            (1, Some(fdb(1, 1)))
        );
        assert_eq!(desired.len(), 0);
    }

    #[test]
    fn the_newest_claim_holds_and_the_older_one_returns() {
        let mut desired = Desired::default();
        desired.set(own("old", &[fdb(1, 1)]));
        let (changes, _) = desired.set(own("new", &[fdb(1, 2)]));
        assert_eq!(
            changes[0].clone().reversed().old,
            Some(fdb(1, 2)),
            "moved to the new place"
        );
        // Saying again what was said before is no news.
        assert_eq!(desired.set(own("old", &[fdb(1, 1)])).0, []);
        assert_eq!(desired.set(own("new", &[])).0[0].new, Some(fdb(1, 1)));
    }

    proptest! {
        #[test]
        fn undo_restores_and_changes_lead_from_before_to_after(
            steps in proptest::collection::vec(
                (0..3u8, proptest::collection::vec((0..4u8, 0..3u8), 0..5)), 1..12),
        ) {
            let mut desired = Desired::default();
            let mut model: BTreeMap<Key, Row> = BTreeMap::new();
            for (owner, rows) in steps {
                let rows: Vec<Row> = rows.into_iter().map(|(m, d)| fdb(m, d)).collect();
                let before = format!("{desired:?}");
                let (_, undo) = desired.set(vec![(owner.to_string(), rows.clone())]);
                desired.undo(undo);
                prop_assert_eq!(&before, &format!("{desired:?}"));

                let (changes, _) = desired.set(vec![(owner.to_string(), rows)]);
                for change in changes {
                    prop_assert_eq!(model.get(&change.key), change.old.as_ref());
                    match change.new {
                        Some(row) => model.insert(change.key, row),
                        None => model.remove(&change.key),
                    };
                }
                let ns = Ns::Named("n".into());
                let now: BTreeMap<Key, Row> =
                    desired.in_ns(&ns).map(|(k, r)| (k.clone(), r.clone())).collect();
                prop_assert_eq!(&now, &model);
            }
        }
    }
}
