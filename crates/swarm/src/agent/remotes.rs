//! The managers that this node knows, and which to try next. They outlive a restart in `state.json`, as Docker's do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use swarm_wire::pb;
use tracing::warn;

use crate::ca::files;

/// Of a manager that nothing bad is known of; SwarmKit's.
const DEFAULT_WEIGHT: i64 = 10;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Stored {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    node_id: String,
    #[serde(default)]
    addr: String,
}

/// Managers by address.
pub(super) struct Remotes {
    path: PathBuf,
    known: BTreeMap<String, Remote>,
}

struct Remote {
    node_id: String,
    weight: i64,
    /// 0: it works. Else the failures' order.
    failed: u64,
}

impl Remotes {
    /// What `state.json` in `dir` says, and `given`.
    pub fn load(dir: &Path, given: &[String]) -> Self {
        let path = dir.join("state.json");
        let stored: Vec<Stored> = std::fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let given = given.iter().map(|addr| (addr.clone(), String::new()));
        let stored = stored.into_iter().map(|peer| (peer.addr, peer.node_id));
        let known = given.chain(stored).filter(|(addr, _)| !addr.is_empty());
        Self {
            path,
            known: known
                .map(|(addr, node_id)| (addr, Remote::new(node_id, DEFAULT_WEIGHT)))
                .collect(),
        }
    }

    /// A session's word: these are the managers, and no others.
    pub fn replace(&mut self, managers: &[pb::WeightedPeer]) {
        let managers = managers.iter().filter_map(|manager| {
            let peer = manager.peer.as_ref().filter(|peer| !peer.addr.is_empty())?;
            Some((
                peer.addr.clone(),
                Remote::new(peer.node_id.clone(), manager.weight.max(1)),
            ))
        });
        let managers: BTreeMap<_, _> = managers.collect();
        if managers.is_empty() {
            return;
        }
        let same = managers.len() == self.known.len()
            && managers.iter().all(|(addr, new)| {
                self.known
                    .get(addr)
                    .is_some_and(|old| old.node_id == new.node_id)
            });
        self.known = managers;
        if !same {
            self.save();
        }
    }

    fn save(&self) {
        let peers = self.peers().into_iter().map(|peer| Stored {
            node_id: peer.node_id,
            addr: peer.addr,
        });
        let saved = serde_json::to_vec(&peers.collect::<Vec<_>>())
            .map_err(|error| crate::ca::Error::Other(error.to_string()))
            .and_then(|bytes| files::write(&self.path, &bytes, 0o600));
        if let Err(error) = saved {
            warn!(%error, "the list of managers could not be stored");
        }
    }

    pub fn peers(&self) -> Vec<pb::Peer> {
        let peers = self.known.iter().map(|(addr, remote)| pb::Peer {
            node_id: remote.node_id.clone(),
            addr: addr.clone(),
        });
        peers.collect()
    }

    /// Chooses by weight among those that work; `random` is in 0 to 1. When none does, the one that failed longest ago.
    pub fn select(&self, random: f64) -> Option<String> {
        let working = || self.known.iter().filter(|(_, remote)| remote.failed == 0);
        let total: i64 = working().map(|(_, remote)| remote.weight).sum();
        let mut point = random * total as f64;
        for (addr, remote) in working() {
            point -= remote.weight as f64;
            if point < 0.0 {
                return Some(addr.clone());
            }
        }
        let failed = self.known.iter().min_by_key(|(_, remote)| remote.failed);
        let chosen = working().next_back().or(failed);
        chosen.map(|(addr, _)| addr.clone())
    }

    /// A manager that failed is the last resort until it works again.
    pub fn observe(&mut self, addr: &str, works: bool) {
        let last = self.known.values().map(|remote| remote.failed).max();
        if let Some(remote) = self.known.get_mut(addr) {
            remote.failed = if works { 0 } else { last.unwrap_or(0) + 1 };
        }
    }

    pub fn all_failed(&self) -> bool {
        self.known.values().all(|remote| remote.failed > 0)
    }
}

impl Remote {
    fn new(node_id: String, weight: i64) -> Self {
        Self {
            node_id,
            weight,
            failed: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(node_id: &str, addr: &str) -> pb::WeightedPeer {
        pb::WeightedPeer {
            peer: Some(pb::Peer {
                node_id: node_id.into(),
                addr: addr.into(),
            }),
            weight: 10,
        }
    }

    #[test]
    fn the_list_is_stored_as_docker_stores_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut remotes = Remotes::load(dir.path(), &["a:1".into()]);
        assert_eq!(remotes.select(0.5).as_deref(), Some("a:1"));
        remotes.replace(&[manager("x", "b:2"), manager("y", "c:3"), manager("z", "")]);
        let text = std::fs::read_to_string(dir.path().join("state.json")).unwrap();
        assert_eq!(
            text,
            r#"[{"node_id":"x","addr":"b:2"},{"node_id":"y","addr":"c:3"}]"#
        );
        assert_eq!(Remotes::load(dir.path(), &[]).peers(), remotes.peers());
        remotes.replace(&[]);
        assert_eq!(remotes.peers().len(), 2);
    }

    #[test]
    fn a_manager_that_failed_is_avoided() {
        let dir = tempfile::tempdir().unwrap();
        let mut remotes = Remotes::load(dir.path(), &["a:1".into(), "b:2".into()]);
        assert_eq!(remotes.select(0.4).as_deref(), Some("a:1"));
        remotes.observe("a:1", false);
        assert_eq!(remotes.select(0.4).as_deref(), Some("b:2"));
        remotes.observe("a:1", true);
        assert_eq!(remotes.select(0.4).as_deref(), Some("a:1"));
        assert_eq!(remotes.select(1.0).as_deref(), Some("b:2"));
    }

    /// Regression: with all of them failed, a dead one was tried again and again while another had become the leader.
    #[test]
    fn when_all_have_failed_each_has_its_turn() {
        let dir = tempfile::tempdir().unwrap();
        let addrs = ["a:1".to_owned(), "b:2".to_owned(), "c:3".to_owned()];
        let mut remotes = Remotes::load(dir.path(), &addrs);
        let mut tried = Vec::new();
        for _ in 0..6 {
            let addr = remotes.select(0.0).unwrap();
            remotes.observe(&addr, false);
            tried.push(addr);
        }
        assert!(remotes.all_failed());
        assert_eq!(tried, [addrs.clone(), addrs].concat());
    }
}
