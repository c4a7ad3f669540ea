//! Which networks the nodes are in: network events, and the push/pull that repeats them.

use std::time::Instant;

use prost::Message as _;

use super::{NetworkDb, REAP_NETWORK};
use crate::wire::networkdb::{
    MessageType, NetworkEntry, NetworkEvent, NetworkPushPull, NodeEvent, Presence, wrap,
};

#[derive(Debug)]
pub struct Attachment {
    pub l_time: u64,
    /// When it can be forgotten, once the node left the network.
    leaving: Option<Instant>,
}

impl Attachment {
    pub fn is_live(&self) -> bool {
        self.leaving.is_none()
    }
    pub fn is_over(&self, now: Instant) -> bool {
        self.leaving.is_some_and(|at| at <= now)
    }
}

impl NetworkDb {
    /// Takes a network event and says whether it was news.
    pub(super) fn network_event(&mut self, now: Instant, event: &NetworkEvent) -> bool {
        if !self.network_clock.witness(event.l_time) {
            self.rejected += 1;
            return false;
        }
        let joins = match Presence::try_from(event.r#type) {
            Ok(Presence::Join) => true,
            Ok(Presence::Leave) => false,
            _ => return false,
        };
        let Some(peer) = self
            .peers
            .get_mut(&event.node_name)
            .filter(|peer| !peer.has_left())
        else {
            return false;
        };
        let network = &event.network_id;
        match peer.attachments.get_mut(network) {
            Some(known) if known.l_time >= event.l_time => return false,
            Some(known) => {
                known.l_time = event.l_time;
                known.leaving = (!joins).then(|| now + REAP_NETWORK);
            }
            None if joins => {
                let attachment = Attachment {
                    l_time: event.l_time,
                    leaving: None,
                };
                peer.attachments.insert(network.clone(), attachment);
            }
            None => return false,
        }
        if !joins {
            self.drop_rows_of(&event.node_name, Some(network));
        }
        true
    }

    pub(super) fn relay_network_event(&mut self, event: &NetworkEvent) {
        let name = format!("{}/{}", event.network_id, event.node_name);
        let message = wrap(MessageType::NetworkEvent, event.encode_to_vec());
        self.network_queue.push(Some(name), message);
    }

    /// Our part of a push/pull: where everybody is.
    pub fn local_state(&mut self, join: bool) -> Vec<u8> {
        if join {
            // Newer than whatever the other side made of our absence.
            let l_time = self.network_clock.tick();
            for network in self.networks.values_mut() {
                network.l_time = l_time;
            }
        }
        let ours = self.networks.iter().map(|(id, network)| NetworkEntry {
            network_id: id.clone(),
            l_time: network.l_time,
            node_name: self.name.clone(),
            leaving: network.leaving.is_some(),
        });
        let theirs = self.peers.iter().flat_map(|(name, peer)| {
            peer.attachments
                .iter()
                .map(|(id, attachment)| NetworkEntry {
                    network_id: id.clone(),
                    l_time: attachment.l_time,
                    node_name: name.clone(),
                    leaving: !attachment.is_live(),
                })
        });
        let state = NetworkPushPull {
            l_time: self.network_clock.now(),
            networks: ours.chain(theirs).collect(),
            node_name: self.name.clone(),
        };
        wrap(MessageType::PushPull, state.encode_to_vec())
    }

    /// Takes the other side's part. Peers that are new in our networks are asked for their entries soon.
    pub fn merge(&mut self, now: Instant, state: NetworkPushPull) {
        let hello = NodeEvent {
            r#type: Presence::Join.into(),
            l_time: state.l_time,
            node_name: state.node_name,
        };
        self.node_event(now, hello, false);
        for entry in state.networks {
            if entry.node_name == self.name {
                continue;
            }
            let known = |db: &Self| {
                db.peers
                    .get(&entry.node_name)
                    .is_some_and(|peer| peer.is_attached(&entry.network_id))
            };
            let was_known = known(self);
            let presence = if entry.leaving {
                Presence::Leave
            } else {
                Presence::Join
            };
            self.network_event(
                now,
                &NetworkEvent {
                    r#type: presence.into(),
                    l_time: entry.l_time,
                    node_name: entry.node_name.clone(),
                    network_id: entry.network_id.clone(),
                },
            );
            if !was_known && known(self) {
                self.sync_soon(now, &entry.network_id);
            }
        }
    }
}
