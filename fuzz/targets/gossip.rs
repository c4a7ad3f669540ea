//! What the gossip's decoders are held to, whatever the bytes: no panic, no endless loop, no memory out of proportion, and
//! what was understood can be said again.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use gossip::{
    agent::{Agent, Config, Transmit},
    wire::{compress, crypto::Keyring, kind, message::Message, networkdb, packet, stream},
};
use rand::{SeedableRng, rngs::StdRng};

/// A datagram in plain text: compound, compression, checksum, and every message in them.
pub fn datagram(data: &[u8]) {
    let keys = Keyring::default();
    let Ok(decoded) = packet::decode(data, &keys) else {
        return;
    };
    for message in decoded.messages {
        let again = match &message {
            Message::Ping(ping) => ping.encode(),
            Message::IndirectPing(ping) => ping.encode(),
            Message::Alive(alive) => alive.encode(),
            Message::Suspect(said) => said.encode(kind::SUSPECT),
            Message::Dead(said) => said.encode(kind::DEAD),
            _ => continue,
        };
        let again = packet::decode(&again, &keys).expect("our own bytes");
        assert_eq!(again.messages, [message]);
    }
}

/// A stream in plain text, as it grows.
pub fn stream(data: &[u8]) {
    let keys = Keyring::default();
    let Ok(Some(len)) = stream::frame_len(data, &keys) else {
        return;
    };
    if len <= data.len() {
        let opened = stream::open(&data[..len], &keys);
        let longer = stream::open(data, &keys);
        assert_eq!(opened, longer, "what follows the frame is not part of it");
    }
}

/// Anything where encrypted bytes are expected.
pub fn sealed(data: &[u8]) {
    let keys = Keyring::new(&[b"0123456789abcdef".to_vec(), vec![1; 32]]).expect("good keys");
    let _ = packet::decode(data, &keys);
    if let Ok(Some(len)) = stream::frame_len(data, &keys) {
        assert!(len <= stream::MAX_FRAME + 5);
        let _ = stream::open(data, &keys);
    }
}

/// What follows the type byte of a compressed message.
pub fn inflate(data: &[u8]) {
    const LIMIT: usize = 1 << 16;
    if let Ok(plain) = compress::decode(data, LIMIT) {
        assert!(plain.len() <= LIMIT);
        let again = compress::encode(&plain).expect("any bytes");
        assert_eq!(compress::decode(&again[1..], LIMIT), Ok(plain));
    }
}

/// NetworkDB's envelopes.
pub fn networkdb(data: &[u8]) {
    if let Ok(networkdb::Envelope::Compound(compound)) = networkdb::open(data) {
        for part in networkdb::parts(&compound) {
            let _ = networkdb::open(part);
        }
    }
}

/// A node that is told things: `[0 datagram | 1 stream | 2 NetworkDB message | 3 time goes by] ‖ u16 length ‖ bytes`, and so
/// on. It must stay itself, with bounded queues.
pub fn agent(mut data: &[u8]) {
    let mut now = Instant::now();
    let from = SocketAddr::from(([10, 0, 0, 2], 7946));
    let config = Config {
        node_name: "aabbccddeeff".into(),
        advertise: SocketAddr::from(([10, 0, 0, 1], 7946)),
        keys: Vec::new(),
        rng: StdRng::seed_from_u64(1),
    };
    let mut agent = Agent::new(now, config).expect("no keys");
    agent.join_network(now, "n1");
    agent.set_entry(now, "n1", "t", "ours", "value".into());
    while let Some(([what, high, low], rest)) = data.split_first_chunk::<3>() {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (bytes, rest) = rest.split_at(len);
        data = rest;
        match what % 4 {
            0 => agent.handle_datagram(now, from, bytes),
            1 => {
                let _ = agent.handle_stream(now, from, bytes);
            }
            2 => {
                let mut user = vec![kind::USER];
                user.extend_from_slice(bytes);
                agent.handle_datagram(now, from, &user);
            }
            _ => {
                now += Duration::from_millis(10 * len as u64);
                agent.handle_timeout(now);
            }
        }
        while let Some(transmit) = agent.poll_transmit() {
            if let Transmit::Connect { stream, .. } = transmit {
                let _ = agent.handle_connected(now, stream);
                agent.handle_stream_failed(now, stream);
            }
        }
        while agent.poll_event().is_some() {}
    }
    agent.handle_timeout(now + Duration::from_secs(1));
    assert!(
        agent.stats().entries >= 1,
        "our own entry cannot be taken away"
    );
    assert!(
        agent
            .cluster_peers()
            .iter()
            .any(|peer| peer.name == "aabbccddeeff")
    );
}
