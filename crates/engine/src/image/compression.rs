//! Recognises a stream's compression by its first bytes.

use std::io::{BufRead, BufReader, Read};

use engine_types::{Error, Result};

use crate::error::Doing;

/// The uncompressed stream, whether it comes plain, gzipped or as zstd.
pub(crate) fn reader<'a>(stream: impl Read + 'a) -> Result<Box<dyn Read + 'a>> {
    let mut stream = BufReader::with_capacity(64 << 10, stream);
    // `fill_buf` may give fewer bytes than there are: the longest magic is read by hand.
    let mut magic = Vec::with_capacity(6);
    (&mut stream)
        .take(6)
        .read_to_end(&mut magic)
        .doing("read the archive")?;
    let unsupported = |name: &str| {
        Error::invalid(format!(
            "archives compressed with {name} are not supported: use gzip or zstd"
        ))
    };
    let whole = std::io::Cursor::new(magic.clone()).chain(stream);
    match magic.as_slice() {
        [0x1f, 0x8b, ..] => Ok(Box::new(flate2::bufread::MultiGzDecoder::new(whole))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Box::new(
            zstd::Decoder::with_buffer(whole).doing("read the archive")?,
        )),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Err(unsupported("xz")),
        [b'B', b'Z', b'h', ..] => Err(unsupported("bzip2")),
        _ => {
            fn plain<'a>(stream: impl BufRead + 'a) -> Box<dyn Read + 'a> {
                Box::new(stream)
            }
            Ok(plain(whole))
        }
    }
}
