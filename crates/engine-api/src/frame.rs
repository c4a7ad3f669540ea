//! How a process's output travels: raw from a terminal, in frames otherwise.
//!
//! ```text
//!  0        1 2 3    4..8            8..
//!  stream   0 0 0    length, u32 BE  payload        stream: 1 stdout, 2 stderr
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use engine::StdStream;

use crate::version::ApiVersion;

/// One terminal's stream, or two streams in frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    pub tty: bool,
}

impl Framing {
    /// Since 1.42 the content type tells the two apart.
    pub fn content_type(self, version: ApiVersion) -> &'static str {
        if self.tty || !version.at_least(42) {
            "application/vnd.docker.raw-stream"
        } else {
            "application/vnd.docker.multiplexed-stream"
        }
    }

    /// `payload` as it goes over the wire. One chunk of a pipe or a log line never comes near 4 GiB.
    pub fn encode(self, stream: StdStream, payload: Bytes) -> Bytes {
        if self.tty {
            return payload;
        }
        let mut frame = BytesMut::with_capacity(8 + payload.len());
        frame.put_u8(stream as u8);
        frame.put_bytes(0, 3);
        frame.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
        frame.put(payload);
        frame.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_streams_are_framed() {
        let framing = Framing { tty: false };
        assert_eq!(
            &framing.encode(StdStream::Stderr, Bytes::from_static(b"hi\n"))[..],
            b"\x02\0\0\0\0\0\0\x03hi\n"
        );
        assert_eq!(
            &framing.encode(StdStream::Stdout, Bytes::from(vec![b'x'; 0x1234]))[..8],
            b"\x01\0\0\0\0\0\x12\x34"
        );
    }

    #[test]
    fn a_terminal_is_raw() {
        let framing = Framing { tty: true };
        assert_eq!(
            &framing.encode(StdStream::Stdout, Bytes::from_static(b"hi"))[..],
            b"hi"
        );
    }

    #[test]
    fn the_content_type_depends_on_the_version() {
        let raw = "application/vnd.docker.raw-stream";
        let framed = "application/vnd.docker.multiplexed-stream";
        for (tty, minor, expected) in [(true, 51, raw), (false, 51, framed), (false, 41, raw)] {
            assert_eq!(Framing { tty }.content_type(ApiVersion(1, minor)), expected);
        }
    }
}
