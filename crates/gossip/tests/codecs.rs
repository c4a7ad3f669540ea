//! Decoders against what nobody should send: they are total, they are bounded, and what one encodes the other decodes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test fails"
)]

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::Bytes;
use gossip::{
    agent::{Agent, Config, Transmit},
    wire::{
        Error, compound, compress,
        crypto::Keyring,
        kind,
        message::{self, Accusation, Alive, IndirectPing, Message, NodeState, Ping, State},
        networkdb, packet,
        stream::{self, Frame, PushPull},
    },
};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

fn addr() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), 1..=u16::MAX).prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
}

fn name() -> impl Strategy<Value = String> {
    "[0-9a-f]{0,12}|.{0,40}"
}

fn blob(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..max)
}

prop_compose! {
    fn alive()(incarnation: u32, node in name(), addr in addr(), meta in blob(300), versions: [u8; 6]) -> Alive {
        Alive { incarnation, node, addr, meta, versions }
    }
}

prop_compose! {
    fn ping()(seq: u32, node in name(), source in prop::option::of(addr()), source_node in name()) -> Ping {
        Ping { seq, node, source, source_node }
    }
}

prop_compose! {
    fn push_pull()(
        join: bool,
        nodes in prop::collection::vec(
            (alive(), prop_oneof![Just(State::Alive), Just(State::Suspect), Just(State::Dead), Just(State::Left)]),
            0..20,
        ),
        user_state in blob(2000),
    ) -> PushPull {
        let nodes = nodes.into_iter().map(|(alive, state)| NodeState { alive, state, nil_meta: false }).collect();
        PushPull { join, nodes, user_state }
    }
}

/// A message and its bytes.
fn encoded() -> impl Strategy<Value = (Message, Vec<u8>)> {
    let accusation = || {
        (any::<u32>(), name(), name()).prop_map(|(incarnation, node, from)| Accusation {
            incarnation,
            node,
            from,
        })
    };
    prop_oneof![
        ping().prop_map(|m| (Message::Ping(m.clone()), m.encode())),
        (ping(), addr(), any::<bool>()).prop_map(|(p, target, nack)| {
            let Ping {
                seq,
                node,
                source,
                source_node,
            } = p;
            let ask = IndirectPing {
                seq,
                target,
                node,
                nack,
                source,
                source_node,
            };
            (Message::IndirectPing(ask.clone()), ask.encode())
        }),
        alive().prop_map(|m| (Message::Alive(m.clone()), m.encode())),
        accusation().prop_map(|m| (Message::Suspect(m.clone()), m.encode(kind::SUSPECT))),
        accusation().prop_map(|m| (Message::Dead(m.clone()), m.encode(kind::DEAD))),
        any::<u32>().prop_map(|seq| (Message::Ack { seq }, message::encode_ack(seq))),
        any::<u32>().prop_map(|seq| (Message::Nack { seq }, message::encode_nack(seq))),
        blob(300).prop_map(|m| {
            let mut bytes = vec![kind::USER];
            bytes.extend(&m);
            (Message::User(m), bytes)
        }),
    ]
}

fn ring(key: Option<u8>) -> Keyring {
    let keys: Vec<Vec<u8>> = key.into_iter().map(|byte| vec![byte; 16]).collect();
    Keyring::new(&keys).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn datagrams_survive_the_way(
        messages in prop::collection::vec(encoded(), 1..8),
        crc: bool,
        key in prop::option::of(any::<u8>()),
        nonce: [u8; 12],
    ) {
        let bytes: Vec<&[u8]> = messages.iter().map(|(_, bytes)| bytes.as_slice()).collect();
        let datagram = packet::encode(&bytes, crc, &ring(key), nonce).unwrap();
        let decoded = packet::decode(&datagram, &ring(key)).unwrap();
        let expected: Vec<Message> = messages.into_iter().map(|(message, _)| message).collect();
        prop_assert_eq!(decoded.messages, expected);
        prop_assert_eq!(decoded.rejected, 0);
    }

    #[test]
    fn streams_survive_the_way(state in push_pull(), key in prop::option::of(any::<u8>()), nonce: [u8; 12]) {
        let frame = stream::seal(&state.encode(), &ring(key), nonce).unwrap();
        // However the bytes arrive, the end is found, and not before it has come.
        for cut in [0, 1, 4, frame.len() / 2, frame.len() - 1] {
            let known = stream::frame_len(&frame[..cut], &ring(key));
            prop_assert!(matches!(known, Ok(None)) || known == Ok(Some(frame.len())));
        }
        let mut more = frame.clone();
        more.push(0);
        prop_assert_eq!(stream::frame_len(&more, &ring(key)), Ok(Some(frame.len())));
        prop_assert_eq!(stream::open(&frame, &ring(key)), Ok(Frame::PushPull(state.clone())));
        // Without compression too, as another implementation may send it.
        prop_assert_eq!(stream::frame_len(&state.encode(), &ring(None)), Ok(Some(state.encode().len())));
    }

    #[test]
    fn compression_is_lossless(plain in blob(10_000)) {
        let packed = compress::encode(&plain).unwrap();
        prop_assert_eq!(compress::decode(&packed[1..], plain.len()), Ok(plain));
    }

    #[test]
    fn garbage_is_refused_or_understood(first in 0..16u8, mut bytes in blob(600)) {
        bytes.insert(0, first);
        for keys in [ring(None), ring(Some(1))] {
            let _ = packet::decode(&bytes, &keys);
            let _ = stream::frame_len(&bytes, &keys);
            let _ = stream::open(&bytes, &keys);
        }
        if let Ok(networkdb::Envelope::Compound(data)) = networkdb::open(&bytes) {
            prop_assert!(networkdb::parts(&data).map(<[u8]>::len).sum::<usize>() <= data.len());
        }
    }

    #[test]
    fn damaged_messages_are_refused_or_understood(
        (_, mut bytes) in encoded(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut: prop::sample::Index,
    ) {
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = message::decode(&bytes);
        let _ = message::decode(&bytes[..cut.index(bytes.len())]);
    }
}

#[test]
fn a_bomb_does_not_go_off() {
    let zeros = compress::encode(&vec![0; 1 << 20]).unwrap();
    assert!(zeros.len() < 4096);
    let keys = Keyring::default();
    assert_eq!(
        packet::decode(&zeros, &keys),
        Err(Error::TooLarge("decompressed message"))
    );
    // Many small ones in a compound share one budget.
    let small = compress::encode(&vec![0; 100_000]).unwrap();
    let decoded = packet::decode(&compound::encode(&vec![small; 50]), &keys).unwrap();
    assert_eq!(decoded.rejected, 50);

    let mut nested = vec![kind::USER];
    for _ in 0..8 {
        nested = compress::encode(&nested).unwrap();
    }
    assert_eq!(
        packet::decode(&nested, &keys),
        Err(Error::TooLarge("nesting"))
    );

    // A claim of 4 billion nodes, or of 4 GiB of state, is only a claim.
    for claim in [
        "0683a44a6f696ec3a54e6f646573ceffffffffac5573657253746174654c656e00",
        "0683a44a6f696ec3a54e6f64657300ac5573657253746174654c656eceffffffff",
    ] {
        assert!(stream::open(&hex::decode(claim).unwrap(), &keys).is_err());
    }
    let sealed = ring(Some(1));
    assert!(stream::frame_len(&[kind::ENCRYPT, 0xff, 0xff, 0xff, 0xff], &sealed).is_err());
    assert_eq!(
        stream::frame_len(&[kind::COMPRESS], &sealed),
        Err(Error::Unencrypted)
    );
}

fn agent(now: Instant, node_name: &str, last_octet: u8) -> Agent {
    Agent::new(
        now,
        Config {
            node_name: node_name.into(),
            advertise: SocketAddr::from(([10, 0, 0, last_octet], 7946)),
            keys: vec![vec![1; 16]],
            rng: StdRng::seed_from_u64(last_octet.into()),
        },
    )
    .unwrap()
}

/// Lets two agents exchange everything for a while; returns the datagrams that `a` received.
fn converse(a: &mut Agent, b: &mut Agent, mut now: Instant, time: Duration) -> Vec<Vec<u8>> {
    let addrs = [
        SocketAddr::from(([10, 0, 0, 1], 7946)),
        SocketAddr::from(([10, 0, 0, 2], 7946)),
    ];
    let mut received = Vec::new();
    let end = now + time;
    while now < end {
        now += Duration::from_millis(10);
        let mut agents = [&mut *a, &mut *b];
        for agent in &mut agents {
            agent.handle_timeout(now);
        }
        for from in [0, 1] {
            while let Some(transmit) = agents[from].poll_transmit() {
                let to = 1 - from;
                match transmit {
                    Transmit::Datagram { bytes, .. } => {
                        agents[to].handle_datagram(now, addrs[from], &bytes);
                        if to == 0 {
                            received.push(bytes);
                        }
                    }
                    Transmit::Connect { stream, .. } => {
                        let out = agents[from].handle_connected(now, stream).unwrap();
                        let reply = agents[to].handle_stream(now, addrs[from], &out.bytes);
                        match reply {
                            Some(reply) => agents[from].handle_reply(now, stream, &reply),
                            None => agents[from].handle_stream_done(stream),
                        }
                    }
                }
            }
        }
    }
    received
}

#[test]
fn garbage_truncated_and_replayed_packets_change_nothing() {
    let start = Instant::now();
    let (mut a, mut b) = (
        agent(start, "aaaaaaaaaaaa", 1),
        agent(start, "bbbbbbbbbbbb", 2),
    );
    b.set_bootstrap(start, vec![SocketAddr::from(([10, 0, 0, 1], 7946))]);
    for agent in [&mut a, &mut b] {
        agent.join_network(start, "net");
    }
    b.set_entry(
        start,
        "net",
        "endpoint_table",
        "kept",
        Bytes::from_static(b"1"),
    );
    b.set_entry(
        start,
        "net",
        "endpoint_table",
        "gone",
        Bytes::from_static(b"2"),
    );
    let mut received = converse(&mut a, &mut b, start, Duration::from_secs(3));
    let now = start + Duration::from_secs(3);
    b.delete_entry(now, "net", "endpoint_table", "gone");
    received.extend(converse(&mut a, &mut b, now, Duration::from_secs(3)));
    let now = start + Duration::from_secs(6);
    while a.poll_event().is_some() {}
    let before = a.stats();
    assert_eq!(
        (before.members, before.entries, before.rejected_packets),
        (2, 1, 0)
    );

    // Everything again, backwards; then cut short; then with a flipped bit.
    let from = SocketAddr::from(([10, 0, 0, 2], 7946));
    for packet in received.iter().rev() {
        a.handle_datagram(now, from, packet);
        a.handle_datagram(now, from, &packet[..packet.len() - 1]);
        let mut flipped = packet.clone();
        flipped[packet.len() / 2] ^= 1;
        a.handle_datagram(now, from, &flipped);
        let stream = a.frame_len(packet);
        assert!(stream.is_err(), "a datagram is no stream");
    }
    assert_eq!(a.poll_event(), None);
    let after = a.stats();
    assert_eq!(after.rejected_packets, 2 * received.len() as u64);
    assert_eq!(
        (after.members, after.entries, after.queued),
        (2, 1, before.queued)
    );
    assert_eq!(after.streams, before.streams, "no connection was provoked");
}

/// The table events in a datagram.
fn events(datagram: &[u8]) -> Vec<networkdb::TableEvent> {
    fn of(payload: &[u8]) -> Vec<networkdb::TableEvent> {
        match networkdb::open(payload) {
            Ok(networkdb::Envelope::Table(event)) => vec![event],
            Ok(networkdb::Envelope::Compound(data)) => {
                networkdb::parts(&data).flat_map(of).collect()
            }
            _ => Vec::new(),
        }
    }
    let decoded = packet::decode(datagram, &ring(Some(1))).unwrap();
    let payloads = decoded
        .messages
        .into_iter()
        .filter_map(|message| match message {
            Message::User(payload) => Some(of(&payload)),
            _ => None,
        });
    payloads.flatten().collect()
}

/// Docker 29 may tell a peer's change as an UPDATE, which Docker 28 takes for a delete: it is understood and never sent.
#[test]
fn an_update_of_a_peer_is_taken_and_never_sent() {
    let now = Instant::now();
    let (mut a, mut b) = (agent(now, "aaaaaaaaaaaa", 1), agent(now, "bbbbbbbbbbbb", 2));
    let addrs = [1, 2].map(|octet| SocketAddr::from(([10, 0, 0, octet], 7946)));
    b.set_bootstrap(now, vec![addrs[0]]);
    for agent in [&mut a, &mut b] {
        agent.join_network(now, "net");
    }
    let set = |b: &mut Agent, a: &mut Agent, now, value: &'static [u8]| {
        b.set_entry(
            now,
            "net",
            "overlay_peer_table",
            "ep",
            Bytes::from_static(value),
        );
        converse(a, b, now, Duration::from_secs(3))
    };
    let mut sent = set(&mut b, &mut a, now, b"1");
    sent.extend(set(&mut b, &mut a, now + Duration::from_secs(3), b"2"));
    let sent: Vec<_> = sent.iter().flat_map(|datagram| events(datagram)).collect();
    let values: std::collections::BTreeSet<_> =
        sent.iter().map(|event| event.value.clone()).collect();
    assert_eq!(
        values,
        [Bytes::from_static(b"1"), Bytes::from_static(b"2")].into()
    );
    assert!(
        sent.iter()
            .all(|event| event.r#type == i32::from(networkdb::Change::Create)),
        "{sent:?}"
    );

    while a.poll_event().is_some() {}
    let update = networkdb::TableEvent {
        r#type: networkdb::Change::Update.into(),
        l_time: 1000,
        node_name: "bbbbbbbbbbbb".into(),
        network_id: "net".into(),
        table_name: "overlay_peer_table".into(),
        key: "ep".into(),
        value: Bytes::from_static(b"3"),
        residual_reap_time: 0,
    };
    let mut message = vec![kind::USER];
    message.extend(networkdb::wrap(
        networkdb::MessageType::TableEvent,
        prost::Message::encode_to_vec(&update),
    ));
    let datagram = packet::encode(&[message], true, &ring(Some(1)), [7; 12]).unwrap();
    a.handle_datagram(now + Duration::from_secs(6), addrs[1], &datagram);
    let told = std::iter::from_fn(|| a.poll_event()).find_map(|event| match event {
        gossip::Event::EntrySet { value, .. } => Some(value),
        _ => None,
    });
    assert_eq!(told.as_deref(), Some(&b"3"[..]));
}
