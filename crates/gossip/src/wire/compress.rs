//! `09 ‖ {Algo, Buf}` with LZW in the form of Go's `compress/lzw`: least significant bit first, 8-bit literals.

use weezl::{BitOrder, LzwStatus, decode::Decoder, encode::Encoder};

use super::{
    Error, kind,
    msgpack::{MapWriter, Reader},
};

const LITERAL_BITS: u8 = 8;

/// `None` when the encoder fails, which it does for no input.
pub fn encode(plain: &[u8]) -> Option<Vec<u8>> {
    let packed = Encoder::new(BitOrder::Lsb, LITERAL_BITS)
        .encode(plain)
        .ok()?;
    let mut out = vec![kind::COMPRESS];
    MapWriter::new(&mut out, 2)
        .uint("Algo", 0)
        .raw("Buf", &packed);
    Some(out)
}

/// Inflates what follows the type byte, to at most `limit` bytes.
pub fn decode(body: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    let (mut algo, mut packed) = (0u8, &[][..]);
    Reader::new(body).map(|key, value| {
        match key {
            b"Algo" => algo = value.uint("Algo")?,
            b"Buf" => packed = value.raw("Buf")?,
            _ => {}
        }
        Ok(())
    })?;
    if algo != 0 {
        return Err(Error::Malformed("compression algorithm"));
    }
    inflate(packed, limit)
}

fn inflate(mut packed: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    let mut decoder = Decoder::new(BitOrder::Lsb, LITERAL_BITS);
    let mut out = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let step = decoder.decode_bytes(packed, &mut chunk);
        packed = &packed[step.consumed_in..];
        out.extend_from_slice(&chunk[..step.consumed_out]);
        if out.len() > limit {
            return Err(Error::TooLarge("decompressed message"));
        }
        match step.status {
            Ok(LzwStatus::Done) => return Ok(out),
            Ok(LzwStatus::Ok) => {}
            Ok(LzwStatus::NoProgress) => return Err(Error::Truncated),
            Err(_) => return Err(Error::Malformed("LZW stream")),
        }
    }
}
