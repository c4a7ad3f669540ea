//! One datagram: compound, then compression (only when it makes it smaller), then CRC, then encryption.

use super::{Error, compound, compress, crypto::Keyring, kind, message, message::Message};

/// memberlist's `UDPBufferSize` as Docker sets it.
pub const BUDGET: usize = 1400;

/// All that a single datagram may inflate to, nested compressions together.
pub const MAX_INFLATED: usize = 256 * 1024;

/// Compound and compress may contain each other; two of each is already more than anybody sends.
const MAX_LAYERS: u8 = 4;

/// Layers `messages` into the bytes to send. `crc` only towards nodes that speak protocol 5. `nonce` must be new for every
/// call; it is unused without keys.
pub fn encode<T: AsRef<[u8]>>(
    messages: &[T],
    crc: bool,
    keys: &Keyring,
    nonce: [u8; 12],
) -> Result<Vec<u8>, Error> {
    let mut body = match messages {
        [only] => only.as_ref().to_vec(),
        many => compound::encode(many),
    };
    if let Some(packed) = compress::encode(&body)
        && packed.len() < body.len()
    {
        body = packed;
    }
    if crc {
        let mut framed = vec![kind::HAS_CRC];
        framed.extend_from_slice(&crc32fast::hash(&body).to_be_bytes());
        framed.extend_from_slice(&body);
        body = framed;
    }
    if keys.is_empty() {
        return Ok(body);
    }
    let mut sealed = Vec::new();
    keys.seal(nonce, &[], &body, &mut sealed)?;
    Ok(sealed)
}

/// What a datagram said.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    pub messages: Vec<Message>,
    /// Parts that made no sense; the others count all the same, as in memberlist.
    pub rejected: usize,
}

pub fn decode(datagram: &[u8], keys: &Keyring) -> Result<Decoded, Error> {
    let opened;
    let mut body = datagram;
    if !keys.is_empty() {
        opened = keys.open(&[], datagram)?;
        body = &opened;
    }
    if body.first() == Some(&kind::HAS_CRC)
        && let Some((crc, rest)) = body[1..].split_first_chunk::<4>()
    {
        if crc32fast::hash(rest) != u32::from_be_bytes(*crc) {
            return Err(Error::Checksum);
        }
        body = rest;
    }
    let mut out = Decoded::default();
    let mut budget = MAX_INFLATED;
    unpack(body, 0, &mut budget, &mut out)?;
    Ok(out)
}

fn unpack(bytes: &[u8], layer: u8, budget: &mut usize, out: &mut Decoded) -> Result<(), Error> {
    let (&first, body) = bytes.split_first().ok_or(Error::Truncated)?;
    if layer > MAX_LAYERS {
        return Err(Error::TooLarge("nesting"));
    }
    match first {
        kind::COMPOUND => {
            for part in compound::decode(body)? {
                if unpack(part, layer + 1, budget, out).is_err() {
                    out.rejected += 1;
                }
            }
        }
        kind::COMPRESS => {
            let inner = compress::decode(body, *budget)?;
            *budget -= inner.len();
            unpack(&inner, layer + 1, budget, out)?;
        }
        _ => out.messages.push(message::decode(bytes)?),
    }
    Ok(())
}
