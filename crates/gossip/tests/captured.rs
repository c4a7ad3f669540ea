//! What a real dockerd 20.10 sent to a Pontoon node, from its join of a swarm to its leave: a service task with a published
//! port, a container with an alias, their ends, a peer that stopped to answer. `captured/*.hex` has the keys of a
//! swarm, each datagram, and each stream's bytes as one side wrote them; `captured/*.txt` what they say.
//!
//! `PONTOON_WRITE=1` writes the second files anew, to be read before it is committed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test fails"
)]

use std::{collections::BTreeMap, fs, path::Path};

use gossip::{
    records::{EndpointRecord, PeerRecord},
    wire::{
        crypto::Keyring,
        message::Message,
        networkdb::{Change, Envelope, MessageType, Presence, TableEvent, open, parts, wrap},
        packet,
        stream::{self, Frame},
    },
};
use prost::Message as _;

/// How often each thing was said.
#[derive(Default)]
struct Said(BTreeMap<String, usize>);

impl Said {
    fn say(&mut self, what: String) {
        *self.0.entry(what).or_default() += 1;
    }

    fn datagram(&mut self, bytes: &[u8], keys: &Keyring) {
        let decoded = packet::decode(bytes, keys).unwrap();
        assert_eq!(decoded.rejected, 0);
        for message in decoded.messages {
            match message {
                Message::User(payload) => self.networkdb("udp", &payload),
                // Sequence numbers only tell messages apart.
                Message::Ping(ping) => {
                    self.say(format!("udp ping {} from {}", ping.node, ping.source_node))
                }
                Message::Ack { .. } => self.say("udp ack".into()),
                other => self.say(format!("udp {other:?}")),
            }
        }
    }

    fn stream(&mut self, mut bytes: &[u8], keys: &Keyring) {
        while let Some(length) = stream::frame_len(bytes, keys).unwrap() {
            match stream::open(&bytes[..length], keys).unwrap() {
                Frame::PushPull(push_pull) => {
                    self.say(format!("tcp push/pull, join {}", push_pull.join));
                    for node in push_pull.nodes {
                        self.say(format!(
                            "tcp push/pull: {} {:?} at {}",
                            node.alive.node, node.state, node.alive.addr
                        ));
                    }
                    self.networkdb("tcp push/pull", &push_pull.user_state);
                }
                Frame::User(payload) => self.networkdb("tcp", &payload),
                Frame::Ping(ping) => {
                    self.say(format!("tcp ping {} from {}", ping.node, ping.source_node))
                }
                other => self.say(format!("tcp {other:?}")),
            }
            bytes = &bytes[length..];
        }
        assert!(bytes.is_empty(), "{} bytes are left", bytes.len());
    }

    /// What is decoded must encode to the same bytes: nothing in them was passed over.
    fn networkdb(&mut self, carrier: &str, bytes: &[u8]) {
        let again = match open(bytes).unwrap() {
            Envelope::Compound(data) => {
                for part in parts(&data) {
                    self.networkdb(carrier, part);
                }
                wrap(MessageType::Compound, data)
            }
            Envelope::BulkSync(sync) => {
                let kind = if sync.unsolicited { "asks" } else { "answers" };
                self.say(format!(
                    "{carrier} bulk sync {kind}: {}",
                    sync.networks.join(" ")
                ));
                if !sync.payload.is_empty() {
                    self.networkdb("bulk sync", &sync.payload);
                }
                wrap(MessageType::BulkSync, sync.encode_to_vec())
            }
            Envelope::Node(event) => {
                let presence = Presence::try_from(event.r#type).unwrap();
                self.say(format!(
                    "{carrier} node event: {presence:?} {}",
                    event.node_name
                ));
                wrap(MessageType::NodeEvent, event.encode_to_vec())
            }
            Envelope::Network(event) => {
                let presence = Presence::try_from(event.r#type).unwrap();
                self.say(format!(
                    "{carrier} network event: {presence:?} {} {}",
                    event.node_name, event.network_id
                ));
                wrap(MessageType::NetworkEvent, event.encode_to_vec())
            }
            Envelope::Confirmation(_) => panic!("Docker confirms nothing"),
            Envelope::PushPull(state) => {
                for entry in &state.networks {
                    let leaving = if entry.leaving { ", leaving" } else { "" };
                    self.say(format!(
                        "{carrier}: {} in {}{leaving}",
                        entry.node_name, entry.network_id
                    ));
                }
                wrap(MessageType::PushPull, state.encode_to_vec())
            }
            Envelope::Table(event) => {
                self.say(format!("{carrier} {}", table(&event)));
                wrap(MessageType::TableEvent, event.encode_to_vec())
            }
        };
        assert_eq!(hex::encode(again), hex::encode(bytes));
    }
}

fn table(event: &TableEvent) -> String {
    let change = Change::try_from(event.r#type).unwrap();
    let (record, again) = match event.table_name.as_str() {
        "overlay_peer_table" => {
            let record = PeerRecord::decode(event.value.clone()).unwrap();
            (format!("{record:?}"), record.encode_to_vec())
        }
        "endpoint_table" => {
            let record = EndpointRecord::decode(event.value.clone()).unwrap();
            (format!("{record:?}"), record.encode_to_vec())
        }
        other => panic!("table {other}"),
    };
    assert_eq!(again, event.value);
    let tomb = if event.residual_reap_time > 0 {
        ", a tombstone"
    } else {
        ""
    };
    format!(
        "{change:?}{tomb} by {} in {}: {record}",
        event.node_name, event.network_id
    )
}

fn check(name: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captured");
    let text = fs::read_to_string(dir.join(format!("{name}.hex"))).unwrap();
    let lines: Vec<_> = text
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(kind, bytes)| (kind, hex::decode(bytes).unwrap()))
        .collect();
    let of = |wanted: &str| {
        lines
            .iter()
            .filter(move |(kind, _)| *kind == wanted)
            .map(|(_, b)| b.clone())
            .collect::<Vec<_>>()
    };
    let keys = Keyring::new(&of("key")).unwrap();
    let mut said = Said::default();
    of("udp")
        .iter()
        .for_each(|datagram| said.datagram(datagram, &keys));
    of("tcp")
        .iter()
        .for_each(|stream| said.stream(stream, &keys));
    let listing: String = said
        .0
        .iter()
        .map(|(what, times)| format!("{times} × {what}\n"))
        .collect();
    let expected = dir.join(format!("{name}.txt"));
    if std::env::var_os("PONTOON_WRITE").is_some() {
        fs::write(&expected, &listing).unwrap();
    }
    assert_eq!(listing, fs::read_to_string(expected).unwrap());
}

#[test]
fn docker_is_understood_to_the_last_byte() {
    check("docker-20.10");
}

/// A third node died, and the other two probed it through each other.
#[test]
fn docker_s_indirect_probes_are_understood_to_the_last_byte() {
    check("docker-20.10-relay");
}
