//! Streams: one exchange each. The bytes are made when the stream is open, so that they are as fresh as the connection.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::RngExt;

use super::{Agent, Transmit};
use crate::wire::{
    self,
    message::encode_ack,
    networkdb::{Envelope, Presence, open},
    stream::{self, Frame, PushPull, encode_user},
};

/// A host that does not answer within that is tried again rather than waited for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(u64);

/// What a stream of ours is for.
#[derive(Debug)]
pub(super) enum Exchange {
    PushPull {
        join: bool,
    },
    Ping {
        seq: u32,
        message: Vec<u8>,
    },
    BulkSync {
        peer: String,
        networks: Vec<String>,
        unsolicited: bool,
    },
    User {
        payload: Vec<u8>,
    },
}

/// What to write to a stream of ours.
#[derive(Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub bytes: Vec<u8>,
    /// Whether a frame comes back; else the stream is closed when all is written.
    pub expects_reply: bool,
}

impl Agent {
    pub(super) fn connect(&mut self, to: SocketAddr, exchange: Exchange) {
        // The attempts of probes and reconnection are repeated; those of the others are worth waiting for.
        let patient = matches!(exchange, Exchange::BulkSync { .. } | Exchange::User { .. });
        let timeout = if patient {
            5 * CONNECT_TIMEOUT
        } else {
            CONNECT_TIMEOUT
        };
        self.connect_within(to, exchange, timeout);
    }

    pub(super) fn connect_within(&mut self, to: SocketAddr, exchange: Exchange, timeout: Duration) {
        self.last_stream += 1;
        let stream = StreamId(self.last_stream);
        self.streams.insert(stream, (to, exchange));
        self.transmits.push_back(Transmit::Connect {
            stream,
            to,
            timeout,
        });
    }

    /// Joins under way to an address.
    pub(super) fn attempts(&self, to: SocketAddr) -> usize {
        let is_join = |exchange: &Exchange| matches!(exchange, Exchange::PushPull { join: true });
        self.streams
            .values()
            .filter(|(at, exchange)| *at == to && is_join(exchange))
            .count()
    }

    /// Whether `bytes` hold a whole frame, and how long it is. An error means: close the stream.
    pub fn frame_len(&mut self, bytes: &[u8]) -> Result<Option<usize>, wire::Error> {
        let len = stream::frame_len(bytes, &self.keys);
        self.rejected_streams += u64::from(len.is_err());
        len
    }

    /// A stream of ours is open. `None`: close it, it has no use any more.
    pub fn handle_connected(&mut self, now: Instant, id: StreamId) -> Option<Outgoing> {
        let (_, exchange) = self.streams.get(&id)?;
        let (message, expects_reply) = match exchange {
            Exchange::PushPull { join } => (self.local_state(now, *join), true),
            Exchange::Ping { message, .. } => (message.clone(), true),
            Exchange::BulkSync {
                peer,
                networks,
                unsolicited,
            } => {
                let (peer, networks) = (peer.clone(), networks.clone());
                let sync = self
                    .db
                    .bulk_sync_message(now, &peer, networks, *unsolicited);
                (encode_user(&sync), false)
            }
            Exchange::User { payload } => (encode_user(payload), false),
        };
        match self.seal(&message) {
            Ok(bytes) => Some(Outgoing {
                bytes,
                expects_reply,
            }),
            Err(error) => {
                tracing::warn!(%error, "cannot send over a stream");
                self.handle_stream_failed(now, id);
                None
            }
        }
    }

    /// Everything was written to a stream that expects no reply.
    pub fn handle_stream_done(&mut self, id: StreamId) {
        self.streams.remove(&id);
    }

    /// A stream of ours could not be opened, broke, or took too long.
    pub fn handle_stream_failed(&mut self, now: Instant, id: StreamId) {
        let Some((to, exchange)) = self.streams.remove(&id) else {
            return;
        };
        tracing::debug!(%to, ?id, "stream failed");
        if let Exchange::BulkSync {
            peer,
            unsolicited: true,
            ..
        } = exchange
        {
            self.db.sync_failed(now, &peer);
        }
    }

    /// The frame that came back on a stream of ours.
    pub fn handle_reply(&mut self, now: Instant, id: StreamId, frame: &[u8]) {
        let Some((to, exchange)) = self.streams.remove(&id) else {
            return;
        };
        match (exchange, stream::open(frame, &self.keys)) {
            (Exchange::PushPull { join }, Ok(Frame::PushPull(state))) => {
                let peer = self.merge(now, state);
                if join && let Some(peer) = peer {
                    self.db.announce(Presence::Join);
                    let networks = self.db.sync_scope(&peer);
                    self.bulk_sync(peer, networks, true);
                }
            }
            (Exchange::Ping { seq, .. }, Ok(Frame::Ack { seq: acked })) if seq == acked => {
                self.swim.stream_ack(seq);
            }
            (_, Ok(Frame::Err(text))) => tracing::debug!(%to, text, "the peer refused"),
            (_, Ok(_)) => self.rejected_streams += 1,
            (_, Err(error)) => {
                tracing::debug!(%to, %error, "reply refused");
                self.rejected_streams += 1;
            }
        }
        self.settle(now);
    }

    /// A frame on a stream that somebody opened to us, and what to answer before it is closed.
    pub fn handle_stream(
        &mut self,
        now: Instant,
        from: SocketAddr,
        frame: &[u8],
    ) -> Option<Vec<u8>> {
        let reply = match stream::open(frame, &self.keys) {
            Ok(Frame::Ping(ping)) if ping.node.is_empty() || ping.node == self.swim.name() => {
                Some(encode_ack(ping.seq))
            }
            Ok(Frame::PushPull(state)) => {
                let join = state.join;
                // Merged first: the answer then holds our refutation of what the other believed.
                self.merge(now, state);
                Some(self.local_state(now, join))
            }
            Ok(Frame::User(payload)) => {
                self.db.handle(now, &payload);
                None
            }
            Ok(Frame::Ping(_)) => None,
            Ok(Frame::Ack { .. } | Frame::Err(_)) => {
                self.rejected_streams += 1;
                None
            }
            Err(error) => {
                tracing::debug!(%from, %error, "stream refused");
                self.rejected_streams += 1;
                None
            }
        };
        self.settle(now);
        self.seal(&reply?)
            .inspect_err(|error| tracing::warn!(%error, "cannot answer"))
            .ok()
    }

    fn seal(&mut self, message: &[u8]) -> Result<Vec<u8>, wire::Error> {
        let nonce = self.rng.random();
        stream::seal(message, &self.keys, nonce)
    }

    fn local_state(&mut self, now: Instant, join: bool) -> Vec<u8> {
        let nodes = self.swim.states(now);
        let user_state = self.db.local_state(join);
        PushPull {
            join,
            nodes,
            user_state,
        }
        .encode()
    }

    /// Takes the other side's state; returns its name.
    fn merge(&mut self, now: Instant, state: PushPull) -> Option<String> {
        if !self.swim.compatible(&state.nodes) {
            tracing::warn!("push/pull with a cluster of another protocol version ignored");
            self.rejected_streams += 1;
            return None;
        }
        let user_state = match open(&state.user_state) {
            Ok(Envelope::PushPull(user_state)) => Some(user_state),
            _ => None,
        };
        let name = user_state.as_ref().map(|state| state.node_name.clone());
        let remote = state
            .nodes
            .iter()
            .find(|row| Some(&row.alive.node) == name.as_ref());
        let remote = remote.map(|row| row.alive.addr);
        self.swim.merge(now, &mut self.rng, state.nodes, remote);
        // NetworkDB must know the nodes before it hears where they are.
        self.settle(now);
        if let Some(user_state) = user_state {
            self.db.merge(now, user_state);
        }
        name
    }
}
