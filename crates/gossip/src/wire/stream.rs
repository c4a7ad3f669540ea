//! Streams: one request per connection, each a frame of its own.
//!
//! `0a ‖ u32 n ‖ sealed(n bytes)`, with the first five bytes authenticated too; inside it a compressed message. Without keys
//! the compressed message stands alone, and its end is found by reading the msgpack.

use super::{
    Error, compress,
    crypto::{Keyring, OVERHEAD},
    kind,
    message::{NodeState, Ping, PushPullHeader, decode_number},
    msgpack::{MapWriter, Reader},
};

/// memberlist's limit for an encrypted frame, and for what a user message or a user state may hold.
pub const MAX_FRAME: usize = 20 * 1024 * 1024;

/// memberlist's limit for a decompressed frame.
pub const MAX_INFLATED: usize = 2 * MAX_FRAME;

const HEADER: usize = 5;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushPull {
    pub join: bool,
    pub nodes: Vec<NodeState>,
    pub user_state: Vec<u8>,
}

/// What a stream carries, in either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    Ping(Ping),
    Ack { seq: u32 },
    PushPull(PushPull),
    User(Vec<u8>),
    Err(String),
}

impl PushPull {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![kind::PUSH_PULL];
        PushPullHeader {
            nodes: self.nodes.len() as u32,
            user_state_len: self.user_state.len() as u32,
            join: self.join,
        }
        .encode(&mut out);
        for node in &self.nodes {
            node.encode(&mut out);
        }
        out.extend_from_slice(&self.user_state);
        out
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let header = PushPullHeader::decode(reader)?;
        // Grown as rows really arrive: the count is only a claim.
        let mut nodes = Vec::new();
        for _ in 0..header.nodes {
            nodes.push(NodeState::decode(reader)?);
        }
        let user_state = raw_tail(reader, header.user_state_len)?;
        Ok(Self {
            join: header.join,
            nodes,
            user_state,
        })
    }
}

pub fn encode_user(payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind::USER];
    MapWriter::new(&mut out, 1).uint("UserMsgLen", payload.len() as u64);
    out.extend_from_slice(payload);
    out
}

pub fn encode_err(text: &str) -> Vec<u8> {
    let mut out = vec![kind::ERR];
    MapWriter::new(&mut out, 1).raw("Error", text.as_bytes());
    out
}

fn raw_tail(reader: &Reader<'_>, len: u32) -> Result<Vec<u8>, Error> {
    let len = len as usize;
    if len > MAX_FRAME {
        return Err(Error::TooLarge("user data"));
    }
    Ok(reader.rest().get(..len).ok_or(Error::Truncated)?.to_vec())
}

/// Compresses (always, as memberlist does on streams) and encrypts one message.
pub fn seal(message: &[u8], keys: &Keyring, nonce: [u8; 12]) -> Result<Vec<u8>, Error> {
    let body = compress::encode(message).ok_or(Error::Malformed("message"))?;
    if keys.is_empty() {
        return Ok(body);
    }
    let len = body.len() + OVERHEAD;
    if len > MAX_FRAME {
        return Err(Error::TooLarge("stream frame"));
    }
    let mut out = vec![kind::ENCRYPT];
    out.extend_from_slice(&(len as u32).to_be_bytes());
    let aad = out.clone();
    keys.seal(nonce, &aad, &body, &mut out)?;
    Ok(out)
}

/// How long the frame at the start of `bytes` is; `None` when more must arrive to know. Refuses at the first byte what the
/// keys do not allow, and at the fifth what is too long, so that nothing is buffered for it.
pub fn frame_len(bytes: &[u8], keys: &Keyring) -> Result<Option<usize>, Error> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    match (first == kind::ENCRYPT, keys.is_empty()) {
        (true, true) => return Err(Error::Undecryptable),
        (false, false) => return Err(Error::Unencrypted),
        (false, true) => return plain_len(bytes),
        (true, false) => {}
    }
    let Some(len) = bytes.get(1..HEADER).and_then(|len| len.first_chunk::<4>()) else {
        return Ok(None);
    };
    let len = u32::from_be_bytes(*len) as usize;
    if len > MAX_FRAME {
        return Err(Error::TooLarge("stream frame"));
    }
    Ok(Some(HEADER + len))
}

fn plain_len(bytes: &[u8]) -> Result<Option<usize>, Error> {
    if bytes.len() > MAX_FRAME {
        return Err(Error::TooLarge("stream frame"));
    }
    let mut reader = Reader::new(&bytes[1..]);
    let parsed = match bytes[0] {
        kind::PUSH_PULL => PushPull::decode(&mut reader).map(|p| p.user_state.len()),
        kind::USER => decode_number(&mut reader, "UserMsgLen")
            .and_then(|len| raw_tail(&reader, len).map(|raw| raw.len())),
        _ => reader.map(|_, _| Ok(())).map(|()| 0),
    };
    match parsed {
        Ok(tail) => Ok(Some(bytes.len() - reader.rest().len() + tail)),
        Err(Error::Truncated) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens a whole frame.
pub fn open(frame: &[u8], keys: &Keyring) -> Result<Frame, Error> {
    let opened;
    let mut body = frame;
    if !keys.is_empty() {
        let (header, sealed) = frame.split_at_checked(HEADER).ok_or(Error::Truncated)?;
        if header[0] != kind::ENCRYPT {
            return Err(Error::Unencrypted);
        }
        opened = keys.open(header, sealed)?;
        body = &opened;
    }
    let inflated;
    if body.first() == Some(&kind::COMPRESS) {
        inflated = compress::decode(&body[1..], MAX_INFLATED)?;
        body = &inflated;
    }
    decode(body)
}

fn decode(body: &[u8]) -> Result<Frame, Error> {
    let (&first, rest) = body.split_first().ok_or(Error::Truncated)?;
    let reader = &mut Reader::new(rest);
    Ok(match first {
        kind::PING => Frame::Ping(Ping::decode(reader)?),
        kind::ACK => Frame::Ack {
            seq: decode_number(reader, "SeqNo")?,
        },
        kind::PUSH_PULL => Frame::PushPull(PushPull::decode(reader)?),
        kind::USER => {
            let len = decode_number(reader, "UserMsgLen")?;
            Frame::User(raw_tail(reader, len)?)
        }
        kind::ERR => {
            let mut text = String::new();
            reader.map(|key, value| {
                if key == b"Error" {
                    text = value.string("Error")?;
                }
                Ok(())
            })?;
            Frame::Err(text)
        }
        _ => return Err(Error::Malformed("stream message type")),
    })
}
