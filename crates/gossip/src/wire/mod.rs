//! The bytes on port 7946: memberlist messages in msgpack, their layers (compound, LZW, CRC, AES-GCM), the framing of
//! streams, and NetworkDB's protobuf messages inside them.
//!
//! ```text
//! datagram:  [encrypt [crc [compress [compound [message …]]]]]
//! stream:    0x0a len [encrypt [compress [message]]]
//! message:   ping … dead | user ─► networkdb::GossipMessage
//! ```
//!
//! Every decoder is total: it returns [`Error`] for bytes that make no sense, never panics, and allocates no more than a
//! small multiple of what arrived (decompression has its own limits, [`packet::MAX_INFLATED`] and [`stream::MAX_INFLATED`]).

pub mod compound;
pub mod compress;
pub mod crypto;
pub mod message;
pub mod msgpack;
pub mod networkdb;
pub mod packet;
pub mod stream;

/// Why bytes were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("message ends too early")]
    Truncated,
    #[error("malformed {0}")]
    Malformed(&'static str),
    #[error("{0} is over its limit")]
    TooLarge(&'static str),
    #[error("no key opens it")]
    Undecryptable,
    #[error("not encrypted, but a key is configured")]
    Unencrypted,
    #[error("checksum does not match")]
    Checksum,
}

/// First byte of a message.
pub mod kind {
    pub const PING: u8 = 0;
    pub const INDIRECT_PING: u8 = 1;
    pub const ACK: u8 = 2;
    pub const SUSPECT: u8 = 3;
    pub const ALIVE: u8 = 4;
    pub const DEAD: u8 = 5;
    pub const PUSH_PULL: u8 = 6;
    pub const COMPOUND: u8 = 7;
    pub const USER: u8 = 8;
    pub const COMPRESS: u8 = 9;
    pub const ENCRYPT: u8 = 10;
    pub const NACK: u8 = 11;
    pub const HAS_CRC: u8 = 12;
    pub const ERR: u8 = 13;
}
