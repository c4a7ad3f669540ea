//! conmon's log lines (the CRI format): `2026-01-01T00:00:00.000000000+00:00 stdout F text`.

use crate::streams::StdStream;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub time: &'a str,
    pub stream: StdStream,
    /// The output's line ends here; otherwise the next record of the stream continues it.
    pub ends: bool,
    pub text: &'a [u8],
}

/// Parses one line without its newline; `None` when it is not a log record.
pub(crate) fn parse(line: &[u8]) -> Option<Line<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let stream = match parts.next()? {
        b"stdout" => StdStream::Stdout,
        b"stderr" => StdStream::Stderr,
        _ => return None,
    };
    let ends = match parts.next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    let text = parts.next().unwrap_or_default();
    Some(Line {
        time,
        stream,
        ends,
        text,
    })
}

impl Line<'_> {
    pub fn timestamp(&self) -> Option<jiff::Timestamp> {
        self.time.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records() {
        let line = parse(b"2026-01-01T00:00:00.5+00:00 stderr P two words ").unwrap();
        assert_eq!(line.stream, StdStream::Stderr);
        assert!(!line.ends);
        assert_eq!(line.text, b"two words ");
        assert!(line.timestamp().is_some());
        assert_eq!(parse(b"t stdout F ").unwrap().text, b"");
        assert_eq!(parse(b"t stdout X a"), None);
        assert_eq!(parse(b"t stdin F a"), None);
        assert_eq!(parse(b"nonsense"), None);
    }

    proptest! {
        #[test]
        fn never_panics(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line).map(|line| line.timestamp());
        }

        #[test]
        fn text_comes_back(text in proptest::collection::vec(any::<u8>().prop_filter("newline", |b| *b != b'\n'), 0..50)) {
            let mut line = b"2026-01-01T00:00:00Z stdout F ".to_vec();
            line.extend_from_slice(&text);
            prop_assert_eq!(parse(&line).unwrap().text, text.as_slice());
        }
    }
}
