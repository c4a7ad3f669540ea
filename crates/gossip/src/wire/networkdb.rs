//! NetworkDB's protobuf messages (package `networkdb`), and the envelope that each of them travels in.

use prost::{
    Message as _,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};

use super::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum MessageType {
    Invalid = 0,
    NetworkEvent = 1,
    TableEvent = 2,
    PushPull = 3,
    BulkSync = 4,
    Compound = 5,
    NodeEvent = 6,
    /// Ours, said to nodes of ours only: see [`Envelope::Confirmation`].
    Confirmation = 1000,
}

/// `NodeEvent.Type` and `NetworkEvent.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Presence {
    Invalid = 0,
    Join = 1,
    Leave = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Change {
    Invalid = 0,
    Create = 1,
    Update = 2,
    Delete = 3,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct GossipMessage {
    #[prost(enumeration = "MessageType", tag = "1")]
    pub r#type: i32,
    #[prost(bytes = "vec", tag = "2")]
    pub data: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct NodeEvent {
    #[prost(enumeration = "Presence", tag = "1")]
    pub r#type: i32,
    #[prost(uint64, tag = "2")]
    pub l_time: u64,
    #[prost(string, tag = "3")]
    pub node_name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct NetworkEvent {
    #[prost(enumeration = "Presence", tag = "1")]
    pub r#type: i32,
    #[prost(uint64, tag = "2")]
    pub l_time: u64,
    #[prost(string, tag = "3")]
    pub node_name: String,
    #[prost(string, tag = "4")]
    pub network_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct NetworkEntry {
    #[prost(string, tag = "1")]
    pub network_id: String,
    #[prost(uint64, tag = "2")]
    pub l_time: u64,
    #[prost(string, tag = "3")]
    pub node_name: String,
    #[prost(bool, tag = "4")]
    pub leaving: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct NetworkPushPull {
    #[prost(uint64, tag = "1")]
    pub l_time: u64,
    #[prost(message, repeated, tag = "2")]
    pub networks: Vec<NetworkEntry>,
    #[prost(string, tag = "3")]
    pub node_name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TableEvent {
    #[prost(enumeration = "Change", tag = "1")]
    pub r#type: i32,
    #[prost(uint64, tag = "2")]
    pub l_time: u64,
    #[prost(string, tag = "3")]
    pub node_name: String,
    #[prost(string, tag = "4")]
    pub network_id: String,
    #[prost(string, tag = "5")]
    pub table_name: String,
    #[prost(string, tag = "6")]
    pub key: String,
    #[prost(bytes = "bytes", tag = "7")]
    pub value: bytes::Bytes,
    /// Seconds that a tombstone has left to live; 0 in everything but deletes.
    #[prost(int32, tag = "8")]
    pub residual_reap_time: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct BulkSyncMessage {
    #[prost(uint64, tag = "1")]
    pub l_time: u64,
    #[prost(bool, tag = "2")]
    pub unsolicited: bool,
    #[prost(string, tag = "3")]
    pub node_name: String,
    #[prost(string, repeated, tag = "4")]
    pub networks: Vec<String>,
    #[prost(bytes = "vec", tag = "5")]
    pub payload: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SimpleMessage {
    #[prost(bytes = "vec", tag = "1")]
    pub payload: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct CompoundMessage {
    #[prost(message, repeated, tag = "1")]
    pub messages: Vec<SimpleMessage>,
}

/// Puts an encoded message into its envelope.
pub fn wrap(r#type: MessageType, data: Vec<u8>) -> Vec<u8> {
    GossipMessage {
        r#type: r#type.into(),
        data,
    }
    .encode_to_vec()
}

pub fn compound<T: AsRef<[u8]>>(messages: &[T]) -> Vec<u8> {
    let messages = messages
        .iter()
        .map(|m| SimpleMessage {
            payload: m.as_ref().to_vec(),
        })
        .collect();
    wrap(
        MessageType::Compound,
        CompoundMessage { messages }.encode_to_vec(),
    )
}

/// One enveloped message, opened.
#[derive(Debug, Clone, PartialEq)]
pub enum Envelope {
    Node(NodeEvent),
    Network(NetworkEvent),
    Table(TableEvent),
    BulkSync(BulkSyncMessage),
    PushPull(NetworkPushPull),
    /// Of an entry as it is said here, by a node that has acted upon it, to the entry's owner.
    Confirmation(TableEvent),
    /// An encoded [`CompoundMessage`]: see [`parts`].
    Compound(Vec<u8>),
}

pub fn open(bytes: &[u8]) -> Result<Envelope, Error> {
    let envelope = GossipMessage::decode(bytes).map_err(|_| Error::Malformed("gossip message"))?;
    let data = envelope.data.as_slice();
    let opened = match MessageType::try_from(envelope.r#type) {
        Ok(MessageType::NodeEvent) => NodeEvent::decode(data).map(Envelope::Node),
        Ok(MessageType::NetworkEvent) => NetworkEvent::decode(data).map(Envelope::Network),
        Ok(MessageType::TableEvent) => TableEvent::decode(data).map(Envelope::Table),
        Ok(MessageType::BulkSync) => BulkSyncMessage::decode(data).map(Envelope::BulkSync),
        Ok(MessageType::PushPull) => NetworkPushPull::decode(data).map(Envelope::PushPull),
        Ok(MessageType::Confirmation) => TableEvent::decode(data).map(Envelope::Confirmation),
        Ok(MessageType::Compound) => return Ok(Envelope::Compound(envelope.data)),
        Ok(MessageType::Invalid) | Err(_) => return Err(Error::Malformed("gossip message type")),
    };
    opened.map_err(|_| Error::Malformed("gossip message body"))
}

/// The envelopes in an encoded [`CompoundMessage`], borrowed one by one: a bulk sync holds 100,000 of them. What follows a
/// malformed part is left out.
pub fn parts(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let simple = next_bytes(&mut data)?;
        // An empty part is legal; its envelope is refused later.
        let mut simple = simple;
        Some(next_bytes(&mut simple).unwrap_or_default())
    })
}

/// The next length-delimited field 1.
fn next_bytes<'a>(data: &mut &'a [u8]) -> Option<&'a [u8]> {
    while !data.is_empty() {
        let (tag, wire_type) = decode_key(data).ok()?;
        if tag == 1 && wire_type == WireType::LengthDelimited {
            let len = usize::try_from(decode_varint(data).ok()?).ok()?;
            let (head, rest) = data.split_at_checked(len)?;
            *data = rest;
            return Some(head);
        }
        skip_field(wire_type, tag, data, DecodeContext::default()).ok()?;
    }
    None
}
