//! Golden bytes: what Docker's own encoders produced for known inputs, and what we must produce and understand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test fails"
)]

use std::net::SocketAddr;

use gossip::{
    records::PeerRecord,
    wire::{
        Error, compound, compress,
        crypto::Keyring,
        kind,
        message::{
            self, Accusation, Alive, IndirectPing, Message, NodeState, Ping, PushPullHeader, State,
            VERSIONS, encode_ack, encode_nack,
        },
        msgpack::Reader,
        networkdb::{
            Change, Envelope, MessageType, NetworkEvent, NodeEvent, Presence, TableEvent, open,
            parts, wrap,
        },
        packet,
        stream::{self, Frame, encode_err, encode_user},
    },
};
use prost::Message as _;

const NODE: &str = "aabbccddeeff";
const OTHER: &str = "001122334455";
const KEY: &[u8] = b"0123456789abcdef";
const NONCE: [u8; 12] = *b"NONCE-12byte";

const PING: &str = "0085a44e6f6465ac616162626363646465656666a55365714e6f2aaa536f7572636541646472a40a000002aa536f757263654e6f6465ac303031313232333334343535aa536f75726365506f7274cd1f0a";
const INDIRECT_PING: &str = "0188a44e61636bc3a44e6f6465ac616162626363646465656666a4506f7274cd1f0aa55365714e6f2aaa536f7572636541646472a40a000002aa536f757263654e6f6465ac303031313232333334343535aa536f75726365506f7274cd1f0aa6546172676574a40a000002";
const ALIVE: &str = "0486a441646472a40a000002ab496e6361726e6174696f6e01a44d657461a0a44e6f6465ac616162626363646465656666a4506f7274cd1f0aa356736ea6010502000000";
const COMPOUND: &str = "0702005100440085a44e6f6465ac616162626363646465656666a55365714e6f2aaa536f7572636541646472a40a000002aa536f757263654e6f6465ac303031313232333334343535aa536f75726365506f7274cd1f0a0486a441646472a40a000002ab496e6361726e6174696f6e01a44d657461a0a44e6f6465ac616162626363646465656666a4506f7274cd1f0aa356736ea6010502000000";
const COMPRESSED: &str = "0982a4416c676f00a3427566da0090000f080010050011008548397943a60cab3061c4881933864cc33266cc949a5226ce4215aaa6bca923674c992016e590520000808090234b9659d890150c183162c8903163060d1a356ac0246912ca1b39749a7d5040c01029946454b274b92a899b3161e4b8094327cd1b370148352943270c28850c1d429448d162198c66481945aa54c1282b73dc980a506060cb80";
const CRC: &str = "0cc67b74790982a4416c676f00a3427566da0090000f080010050011008548397943a60cab3061c4881933864cc33266cc949a5226ce4215aaa6bca923674c992016e590520000808090234b9659d890150c183162c8903163060d1a356ac0246912ca1b39749a7d5040c01029946454b274b92a899b3161e4b8094327cd1b370148352943270c28850c1d429448d162198c66481945aa54c1282b73dc980a506060cb80";
const UDP_ENCRYPTED: &str = "014e4f4e43452d3132627974651ef5b62e52dfdec34f4a0cdb00b435a9267021a9666c7ccb223b27c3b8cc89f513dc902f7e5c1f9e08ab3240b418aaf61b00831d1f6a9d5ee73b5464237b27c7f9cc588a0696205e0971c1a9f72cfa8d1e2d8677605d4359a317717c06537789ced21f8b03fc51c9f3f7fed464c2b8706b0e6bf1d80d22eb8ccc6a75535c6d2d4ab97e0674f1047ab535da284c9fa989c5cc101c02cda01c550a8feb48aecf4a03a8a2820bf868af41ce5501c53eb58f006846a6";
const TCP_ENCRYPTED: &str = "0a0000007c014e4f4e43452d3132627974651bb1691b47b13367ad641ed2da1727dc41be03dc826eedf99efca3c39b2f0dd45898fdbbe43f1410198a049350416a365908282abbe44b08079ce8cd022a1da2817c5d5b02a6401a01c0a124ed6c1675df893f9421ddfb0724c115907278f777c733c394a3fe1cb42f92dfee4cef8c";

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn keys() -> Keyring {
    Keyring::new(&[KEY.to_vec()]).unwrap()
}

fn addr() -> SocketAddr {
    "10.0.0.2:7946".parse().unwrap()
}

fn ping() -> Ping {
    Ping {
        seq: 42,
        node: NODE.into(),
        source: Some(addr()),
        source_node: OTHER.into(),
    }
}

fn alive() -> Alive {
    Alive {
        incarnation: 1,
        node: NODE.into(),
        addr: addr(),
        meta: vec![],
        versions: VERSIONS,
    }
}

/// The message encodes to the vector, and the vector decodes to the message.
fn check(encoded: Vec<u8>, message: Message, vector: &str) {
    assert_eq!(hex::encode(&encoded), vector);
    assert_eq!(message::decode(&bytes(vector)), Ok(message));
}

#[test]
fn datagram_messages() {
    check(ping().encode(), Message::Ping(ping()), PING);
    let ask = IndirectPing {
        seq: 42,
        target: addr(),
        node: NODE.into(),
        nack: true,
        source: Some(addr()),
        source_node: OTHER.into(),
    };
    check(
        ask.encode(),
        Message::IndirectPing(ask.clone()),
        INDIRECT_PING,
    );
    check(
        encode_ack(42),
        Message::Ack { seq: 42 },
        "0282a75061796c6f6164c0a55365714e6f2a",
    );
    check(
        encode_nack(42),
        Message::Nack { seq: 42 },
        "0b81a55365714e6f2a",
    );
    let said = Accusation {
        incarnation: 1,
        node: NODE.into(),
        from: OTHER.into(),
    };
    check(
        said.encode(kind::SUSPECT),
        Message::Suspect(said),
        "0383a446726f6dac303031313232333334343535ab496e6361726e6174696f6e01a44e6f6465ac616162626363646465656666",
    );
    let said = Accusation {
        incarnation: 1,
        node: NODE.into(),
        from: NODE.into(),
    };
    check(
        said.encode(kind::DEAD),
        Message::Dead(said),
        "0583a446726f6dac616162626363646465656666ab496e6361726e6174696f6e01a44e6f6465ac616162626363646465656666",
    );
    check(alive().encode(), Message::Alive(alive()), ALIVE);
}

#[test]
fn a_ping_without_a_source_omits_the_fields() {
    let ping = Ping {
        source: None,
        source_node: String::new(),
        ..ping()
    };
    assert_eq!(
        hex::encode(ping.encode()),
        "0082a44e6f6465ac616162626363646465656666a55365714e6f2a"
    );
    assert_eq!(message::decode(&ping.encode()), Ok(Message::Ping(ping)));
}

#[test]
fn stream_messages() {
    assert_eq!(hex::encode(encode_err("x")), "0d81a54572726f72a178");
    let user = encode_user(&[7; 300]);
    assert_eq!(
        hex::encode(&user[..15]),
        "0881aa557365724d73674c656ecd012c07"[..30]
    );
    let sealed = stream::seal(&user, &Keyring::default(), NONCE).unwrap();
    assert_eq!(
        stream::open(&sealed, &Keyring::default()),
        Ok(Frame::User(vec![7; 300]))
    );

    let header = PushPullHeader {
        nodes: 1,
        user_state_len: 200,
        join: true,
    };
    let mut encoded = Vec::new();
    header.encode(&mut encoded);
    assert_eq!(
        hex::encode(&encoded),
        "83a44a6f696ec3a54e6f64657301ac5573657253746174654c656eccc8"
    );
    assert_eq!(
        PushPullHeader::decode(&mut Reader::new(&encoded)),
        Ok(header.clone())
    );
    // What go-msgpack 2 (Docker 29) writes instead: signed integers.
    let signed = bytes("83a44a6f696ec3a54e6f64657301ac5573657253746174654c656ed100c8");
    assert_eq!(
        PushPullHeader::decode(&mut Reader::new(&signed)),
        Ok(header)
    );
    let mut signed = bytes("0881aa557365724d73674c656ed1012c");
    signed.extend([9; 300]);
    assert_eq!(
        stream::open(&signed, &Keyring::default()),
        Ok(Frame::User(vec![9; 300]))
    );
}

#[test]
fn node_states() {
    for (nil_meta, vector) in [
        (
            false,
            "87a441646472a40a000002ab496e6361726e6174696f6e01a44d657461a0a44e616d65ac616162626363646465656666a4506f7274cd1f0aa5537461746500a356736ea6010502000000",
        ),
        (
            true,
            "87a441646472a40a000002ab496e6361726e6174696f6e01a44d657461c0a44e616d65ac616162626363646465656666a4506f7274cd1f0aa5537461746500a356736ea6010502000000",
        ),
    ] {
        let row = NodeState {
            alive: alive(),
            state: State::Alive,
            nil_meta,
        };
        let mut encoded = Vec::new();
        row.encode(&mut encoded);
        assert_eq!(hex::encode(&encoded), vector);
        assert_eq!(NodeState::decode(&mut Reader::new(&encoded)), Ok(row));
    }
}

#[test]
fn layers_of_a_datagram() {
    let both = [ping().encode(), alive().encode()];
    assert_eq!(hex::encode(compound::encode(&both)), COMPOUND);
    // Two LZW encoders may differ, but each must read the other.
    let inflated = compress::decode(&bytes(COMPRESSED)[1..], 4096).unwrap();
    assert_eq!(hex::encode(&inflated), COMPOUND);
    let ours = compress::encode(&bytes(COMPOUND)).unwrap();
    assert_eq!(compress::decode(&ours[1..], 4096).unwrap(), bytes(COMPOUND));

    let expected = vec![Message::Ping(ping()), Message::Alive(alive())];
    for vector in [COMPOUND, COMPRESSED, CRC] {
        let decoded = packet::decode(&bytes(vector), &Keyring::default()).unwrap();
        assert_eq!((decoded.messages, decoded.rejected), (expected.clone(), 0));
    }
    let decoded = packet::decode(&bytes(UDP_ENCRYPTED), &keys()).unwrap();
    assert_eq!(decoded.messages, expected);

    let mut sealed = Vec::new();
    keys().seal(NONCE, &[], &bytes(CRC), &mut sealed).unwrap();
    assert_eq!(hex::encode(sealed), UDP_ENCRYPTED);
    let ours = packet::encode(&both, true, &keys(), NONCE).unwrap();
    assert_eq!(packet::decode(&ours, &keys()).unwrap().messages, expected);
}

#[test]
fn encrypted_stream() {
    let vector = bytes(TCP_ENCRYPTED);
    assert_eq!(stream::frame_len(&vector, &keys()), Ok(Some(vector.len())));
    assert_eq!(stream::frame_len(&vector[..4], &keys()), Ok(None));
    assert_eq!(stream::open(&vector, &keys()), Ok(Frame::Ping(ping())));
    let ours = stream::seal(&ping().encode(), &keys(), NONCE).unwrap();
    assert_eq!(stream::open(&ours, &keys()), Ok(Frame::Ping(ping())));
    // The length is authenticated too.
    let mut forged = vector.clone();
    forged.push(0);
    forged[4] += 1;
    assert_eq!(stream::open(&forged, &keys()), Err(Error::Undecryptable));
}

#[test]
fn version_0_of_the_encryption_is_padded() {
    // Made with AES-128-GCM over "hello" and eleven bytes of padding, as memberlist's protocol 1 does.
    let mut padded = b"hello".to_vec();
    padded.extend([11; 11]);
    let mut sealed = Vec::new();
    keys().seal(NONCE, &[], &padded, &mut sealed).unwrap();
    sealed[0] = 0;
    assert_eq!(keys().open(&[], &sealed), Ok(b"hello".to_vec()));
}

#[test]
fn every_key_of_the_ring_opens() {
    let old = b"fedcba9876543210".to_vec();
    let rotated = Keyring::new(&[old, KEY.to_vec()]).unwrap();
    assert!(packet::decode(&bytes(UDP_ENCRYPTED), &rotated).is_ok());
    let other = Keyring::new(&[vec![1; 32]]).unwrap();
    assert_eq!(
        packet::decode(&bytes(UDP_ENCRYPTED), &other),
        Err(Error::Undecryptable)
    );
    assert!(Keyring::new(&[vec![1; 15]]).is_err());
}

#[test]
fn networkdb_messages() {
    let record = PeerRecord {
        endpoint_ip: "10.0.1.5/24".into(),
        endpoint_mac: "02:42:0a:00:01:05".into(),
        tunnel_endpoint_ip: "192.168.1.10".into(),
        endpoint_ipv6: String::new(),
    };
    let value = record.encode_to_vec();
    assert_eq!(
        hex::encode(&value),
        "0a0b31302e302e312e352f3234121130323a34323a30613a30303a30313a30351a0c3139322e3136382e312e3130"
    );
    let table = TableEvent {
        r#type: Change::Create.into(),
        l_time: 5,
        node_name: NODE.into(),
        network_id: "n1".into(),
        table_name: "overlay_peer_table".into(),
        key: "ep1".into(),
        value: value.into(),
        residual_reap_time: 0,
    };
    let node = NodeEvent {
        r#type: Presence::Join.into(),
        l_time: 7,
        node_name: NODE.into(),
    };
    let network = NetworkEvent {
        r#type: Presence::Join.into(),
        l_time: 9,
        node_name: NODE.into(),
        network_id: "n1".into(),
    };
    let table_vector = "0802125f080110051a0c61616262636364646565666622026e312a126f7665726c61795f706565725f7461626c6532036570313a2e0a0b31302e302e312e352f3234121130323a34323a30613a30303a30313a30351a0c3139322e3136382e312e3130";
    for (encoded, envelope, vector) in [
        (
            wrap(MessageType::TableEvent, table.encode_to_vec()),
            Envelope::Table(table),
            table_vector,
        ),
        (
            wrap(MessageType::NodeEvent, node.encode_to_vec()),
            Envelope::Node(node),
            "08061212080110071a0c616162626363646465656666",
        ),
        (
            wrap(MessageType::NetworkEvent, network.encode_to_vec()),
            Envelope::Network(network),
            "08011216080110091a0c61616262636364646565666622026e31",
        ),
    ] {
        assert_eq!(hex::encode(&encoded), vector);
        assert_eq!(open(&encoded), Ok(envelope));
    }
    let both = gossip::wire::networkdb::compound(&[bytes(table_vector)]);
    assert_eq!(
        hex::encode(&both),
        format!("080512670a650a63{table_vector}")
    );
    let Ok(Envelope::Compound(data)) = open(&both) else {
        panic!("not a compound");
    };
    assert_eq!(parts(&data).collect::<Vec<_>>(), [bytes(table_vector)]);
}
