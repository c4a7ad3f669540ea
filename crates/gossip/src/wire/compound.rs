//! Several messages in one: `07 ‖ count ‖ count × u16 length ‖ bodies`.

use super::{Error, kind};

/// What one compound can hold.
pub const MAX_PARTS: usize = 255;

/// `parts` must be at most [`MAX_PARTS`] messages, each shorter than 64 KiB; what does not fit is left out.
pub fn encode<T: AsRef<[u8]>>(parts: &[T]) -> Vec<u8> {
    let parts: Vec<&[u8]> = parts
        .iter()
        .map(AsRef::as_ref)
        .filter(|part| part.len() <= usize::from(u16::MAX))
        .take(MAX_PARTS)
        .collect();
    let mut out = vec![kind::COMPOUND, parts.len() as u8];
    for part in &parts {
        out.extend_from_slice(&(part.len() as u16).to_be_bytes());
    }
    for part in &parts {
        out.extend_from_slice(part);
    }
    out
}

/// The parts of what follows the type byte. As in memberlist, parts that were cut off at the end are dropped silently.
pub fn decode(body: &[u8]) -> Result<Vec<&[u8]>, Error> {
    let (&count, rest) = body.split_first().ok_or(Error::Truncated)?;
    let (lengths, mut rest) = rest
        .split_at_checked(usize::from(count) * 2)
        .ok_or(Error::Truncated)?;
    let mut parts = Vec::new();
    for length in lengths.chunks_exact(2) {
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let Some((part, tail)) = rest.split_at_checked(length) else {
            break;
        };
        parts.push(part);
        rest = tail;
    }
    Ok(parts)
}
