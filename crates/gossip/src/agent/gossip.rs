//! What the whole cluster is told, and how it is packed.

use std::{net::SocketAddr, time::Instant};

use bytes::{BufMut, Bytes, BytesMut};
use rand::RngExt;

use super::{Agent, Transmit};
use crate::{
    broadcast::Round,
    wire::{
        crypto, kind,
        packet::{self, BUDGET},
    },
};

const COMPOUND_HEADER: usize = 2;
pub(super) const COMPOUND_OVERHEAD: usize = 2;

impl Agent {
    /// When the cluster's gossip is due.
    pub(super) fn gossip_at(&self) -> Option<Instant> {
        if self.swim.queue.is_empty() && !self.db.has_cluster_gossip() {
            return None;
        }
        let news = self.swim.queue.has_fresh() || self.db.has_fresh_cluster_gossip();
        // A goodbye is one hurry from the first word to the last.
        Some(self.rhythm.due(news || self.swim.has_left()))
    }

    pub(super) fn gossip(&mut self, now: Instant) {
        let targets = self.swim.gossip_targets(&mut self.rng);
        if targets.is_empty() {
            self.rhythm.rest(now);
            return;
        }
        let mut round = self.rhythm.round(now);
        if self.swim.has_left() {
            round = Round::All;
        }
        // As in memberlist, repetitions differ from target to target; news goes to all of them.
        let mut messages = Vec::new();
        for to in targets {
            if round == Round::All || messages.is_empty() {
                messages = self.broadcasts(round, 0);
            }
            if messages.is_empty() {
                return;
            }
            let crc = self.swim.checks_crc(to);
            self.send(to, &messages, crc);
        }
    }

    /// What fits into a packet of which `used` bytes are taken.
    pub(super) fn broadcasts(&mut self, round: Round, used: usize) -> Vec<Bytes> {
        let overhead = if self.keys.is_empty() {
            0
        } else {
            crypto::OVERHEAD
        };
        let mut limit = BUDGET.saturating_sub(used + COMPOUND_HEADER + overhead);
        let nodes = self.swim.cluster_size();
        let mut out = self
            .swim
            .queue
            .take(round, COMPOUND_OVERHEAD, &mut limit, nodes);
        for message in self
            .db
            .cluster_gossip(round, COMPOUND_OVERHEAD + 1, &mut limit)
        {
            let mut user = BytesMut::with_capacity(message.len() + 1);
            user.put_u8(kind::USER);
            user.put(message);
            out.push(user.freeze());
        }
        out
    }

    /// A message of NetworkDB's, alone in its datagram.
    pub(super) fn send_user(&mut self, to: SocketAddr, payload: &[u8]) {
        let message = [&[kind::USER], payload].concat();
        let crc = self.swim.checks_crc(to);
        self.send(to, &[message], crc);
    }

    pub(super) fn send<T: AsRef<[u8]>>(&mut self, to: SocketAddr, messages: &[T], crc: bool) {
        let nonce = self.rng.random();
        match packet::encode(messages, crc, &self.keys, nonce) {
            Ok(bytes) => self.transmits.push_back(Transmit::Datagram { to, bytes }),
            Err(error) => tracing::error!(%to, %error, "packet not sent"),
        }
    }
}
