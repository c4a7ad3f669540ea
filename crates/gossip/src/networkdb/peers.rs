//! The other nodes: whether they are there.

use std::{collections::BTreeMap, net::SocketAddr, time::Instant};

use prost::Message as _;
use rand::rngs::StdRng;

use super::{NetworkDb, PROOF_WAIT, REAP_NODE, attachments::Attachment};
use crate::{
    Event,
    wire::networkdb::{MessageType, NodeEvent, Presence, wrap},
};

#[derive(Debug)]
pub struct Peer {
    pub addr: SocketAddr,
    /// It is one of ours, and confirms entries.
    pub confirms: bool,
    /// Of the last node event.
    l_time: u64,
    /// SWIM holds it alive or suspect.
    up: bool,
    /// It said goodbye, or a successor has its address.
    left: bool,
    /// Since when it has been up, or not.
    since: Instant,
    /// By network.
    pub attachments: BTreeMap<String, Attachment>,
    /// It came back from failure; its entries stay hidden until it confirms them, or until then.
    pub unproven_until: Option<Instant>,
}

impl Peer {
    pub fn is_active(&self) -> bool {
        self.up && !self.left
    }
    pub fn is_failed(&self) -> bool {
        !self.up && !self.left
    }
    pub fn failed_since(&self) -> Option<Instant> {
        self.is_failed().then_some(self.since)
    }
    pub fn has_left(&self) -> bool {
        self.left
    }
    fn shown(&self) -> bool {
        self.is_active() && self.unproven_until.is_none()
    }
    pub fn is_attached(&self, network: &str) -> bool {
        self.attachments
            .get(network)
            .is_some_and(Attachment::is_live)
    }
}

impl NetworkDb {
    /// Active peers in a network.
    pub(super) fn attached(&self, network: &str) -> impl Iterator<Item = (&str, &Peer)> {
        let peers = self.peers.iter();
        peers
            .filter(move |(_, peer)| peer.is_active() && peer.is_attached(network))
            .map(|(name, peer)| (name.as_str(), peer))
    }

    /// Networks that we and the peer are both in.
    pub(super) fn common_networks(&self, name: &str) -> Vec<String> {
        let Some(peer) = self.peers.get(name) else {
            return Vec::new();
        };
        let joined = self.networks.iter().filter(|(_, n)| n.leaving.is_none());
        joined
            .map(|(id, _)| id.clone())
            .filter(|id| peer.is_attached(id))
            .collect()
    }

    pub fn failed_peers(&self) -> impl Iterator<Item = SocketAddr> {
        self.peers
            .values()
            .filter(|peer| peer.is_failed())
            .map(|peer| peer.addr)
    }

    /// SWIM holds the node alive.
    pub fn peer_up(
        &mut self,
        now: Instant,
        rng: &mut StdRng,
        name: &str,
        addr: SocketAddr,
        confirms: bool,
    ) {
        tracing::info!(node = name, %addr, "node joined");
        self.events.push_back(Event::NodeJoin {
            name: name.to_owned(),
            addr: addr.ip(),
        });
        let Some(peer) = self.peers.get_mut(name) else {
            let peer = Peer {
                addr,
                confirms,
                l_time: 0,
                up: true,
                left: false,
                since: now,
                attachments: BTreeMap::new(),
                unproven_until: None,
            };
            self.peers.insert(name.to_owned(), peer);
            return;
        };
        let returns = peer.is_failed();
        peer.addr = addr;
        peer.confirms = confirms;
        peer.up = true;
        peer.left = false;
        peer.since = now;
        if returns {
            peer.unproven_until = Some(now + PROOF_WAIT);
            self.came_back(rng, name);
        }
    }

    pub fn peer_failed(&mut self, now: Instant, name: &str) {
        self.peer_down(now, name, false);
    }

    pub fn peer_left(&mut self, now: Instant, name: &str) {
        self.peer_down(now, name, true);
        self.forget_left(name);
    }

    fn peer_down(&mut self, now: Instant, name: &str, left: bool) {
        let Some(peer) = self.peers.get_mut(name) else {
            return;
        };
        let (was_up, was_shown) = (peer.up, peer.shown());
        peer.up = false;
        peer.left |= left;
        if was_up {
            peer.since = now;
            let addr = peer.addr.ip();
            tracing::info!(node = name, %addr, left = peer.left, "node is gone");
            self.events.push_back(Event::NodeLeave {
                name: name.to_owned(),
                addr,
            });
        }
        if was_shown {
            self.announce_rows_of(name, false);
        }
        self.asked.remove(name);
    }

    /// A node that left has no entries and no networks. The user was told when it stopped being shown.
    fn forget_left(&mut self, name: &str) {
        if let Some(peer) = self.peers.get_mut(name) {
            peer.attachments.clear();
            peer.unproven_until = None;
        }
        self.drop_rows_of(name, None);
    }

    /// The node itself confirmed its entries, or had its chance to.
    pub(super) fn prove(&mut self, name: &str) {
        let Some(peer) = self.peers.get_mut(name) else {
            return;
        };
        if peer.unproven_until.take().is_some() && peer.is_active() {
            self.announce_rows_of(name, true);
        }
    }

    pub(super) fn prove_overdue(&mut self, now: Instant) {
        let overdue = |peer: &Peer| peer.unproven_until.is_some_and(|at| at <= now);
        let names: Vec<String> = self
            .peers
            .iter()
            .filter(|(_, peer)| overdue(peer))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            self.prove(&name);
        }
    }

    /// Says to all that we are here.
    pub fn announce(&mut self, presence: Presence) {
        let event = NodeEvent {
            r#type: presence.into(),
            l_time: self.network_clock.tick(),
            node_name: self.name.clone(),
        };
        let message = wrap(MessageType::NodeEvent, event.encode_to_vec());
        self.node_queue.push(Some(self.name.clone()), message);
    }

    pub(super) fn node_event(&mut self, now: Instant, event: NodeEvent, relay: bool) {
        if !self.network_clock.witness(event.l_time) {
            self.rejected += 1;
            return;
        }
        let Some(peer) = self.peers.get_mut(&event.node_name) else {
            return;
        };
        if peer.l_time >= event.l_time {
            return;
        }
        peer.l_time = event.l_time;
        let was_shown = peer.shown();
        let moved = match Presence::try_from(event.r#type) {
            Ok(Presence::Join) if peer.up && peer.left => {
                peer.left = false;
                true
            }
            Ok(Presence::Leave) if !peer.left => {
                peer.left = true;
                peer.since = now;
                if was_shown {
                    self.announce_rows_of(&event.node_name, false);
                }
                self.forget_left(&event.node_name);
                true
            }
            _ => false,
        };
        if moved && relay {
            let name = event.node_name.clone();
            let message = wrap(MessageType::NodeEvent, event.encode_to_vec());
            self.node_queue.push(Some(name), message);
        }
    }

    pub(super) fn reap_peers(&mut self, now: Instant) {
        for peer in self.peers.values_mut() {
            peer.attachments.retain(|_, a| !a.is_over(now));
        }
        self.peers
            .retain(|_, peer| peer.up || peer.since + REAP_NODE > now);
    }
}
