//! Detach keys: the sequence that ends an attachment and leaves the process alone.

use engine_types::Error;

/// Docker's default, ctrl-p ctrl-q.
const DEFAULT: [u8; 2] = [16, 17];

/// Watches what is typed for the sequence.
#[derive(Debug)]
pub struct DetachKeys {
    keys: Vec<u8>,
    /// So many of them were typed already, and held back.
    matched: usize,
}

impl DetachKeys {
    /// `ctrl-p,ctrl-q`, `a,b` …; empty means the default.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let keys = if text.is_empty() {
            DEFAULT.to_vec()
        } else {
            text.split(',')
                .map(key)
                .collect::<Option<_>>()
                .ok_or_else(|| Error::invalid(format!("Invalid detach keys ({text}) provided")))?
        };
        Ok(Self { keys, matched: 0 })
    }

    /// Appends to `out` what may pass. True when the sequence is complete: what follows it is dropped.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> bool {
        for &byte in input {
            if byte != self.keys[self.matched] {
                out.extend_from_slice(&self.keys[..self.matched]);
                self.matched = 0;
            }
            if byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return true;
                }
            } else {
                out.push(byte);
            }
        }
        false
    }
}

fn key(name: &str) -> Option<u8> {
    if let [byte] = name.as_bytes() {
        return Some(*byte);
    }
    match name.strip_prefix("ctrl-")?.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
        [b'@'] => Some(0),
        [sign @ b'['..=b'_'] => Some(sign - b'[' + 27),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes of each piece that is typed, and whether it detached.
    fn typed(keys: &str, pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut keys = DetachKeys::parse(keys).unwrap();
        let mut out = Vec::new();
        let detached = pieces.iter().any(|piece| keys.feed(piece, &mut out));
        (out, detached)
    }

    #[test]
    fn the_sequence_detaches_also_across_reads() {
        assert_eq!(typed("", &[b"ls\n\x10\x11rest"]), (b"ls\n".to_vec(), true));
        assert_eq!(typed("", &[b"\x10", b"\x11"]), (vec![], true));
        assert_eq!(typed("a,ctrl-c", &[b"xa\x03"]), (b"x".to_vec(), true));
    }

    #[test]
    fn half_a_sequence_is_passed_on() {
        assert_eq!(typed("", &[b"\x10", b"x"]), (b"\x10x".to_vec(), false));
        assert_eq!(typed("", &[b"\x10\x10\x11"]), (b"\x10".to_vec(), true));
    }

    #[test]
    fn keys_are_named_as_in_docker() {
        for (name, expected) in [
            ("ctrl-@", Some(0)),
            ("ctrl-[", Some(27)),
            ("ctrl-\\", Some(28)),
            ("ctrl-_", Some(31)),
            ("ctrl-A", None),
            ("DEL", None),
        ] {
            assert_eq!(key(name), expected, "{name}");
        }
        assert_eq!(
            DetachKeys::parse("ctrl-1").unwrap_err().message,
            "Invalid detach keys (ctrl-1) provided"
        );
    }
}
