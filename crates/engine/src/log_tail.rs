//! Finds where the last lines of a log begin, reading it backwards.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use engine_types::Result;

use crate::cri;
use crate::error::Doing;
use crate::streams::StdStream;

/// Read backwards in blocks of this size to find the tail.
const BLOCK: u64 = 64 << 10;

/// Where the last `lines` lines of the wanted streams begin.
pub(crate) fn tail_position(
    path: &Path,
    lines: usize,
    (stdout, stderr): (bool, bool),
) -> Result<u64> {
    let what = "read the log";
    let Ok(mut file) = File::open(path) else {
        return Ok(0);
    };
    let mut start = file.metadata().doing(what)?.len();
    if lines == 0 {
        return Ok(start);
    }
    // Starts of lines, newest first; `ends` counts ends of output lines that are fully behind.
    let (mut seen, mut rest) = (0, Vec::new());
    let mut answer = start;
    while start > 0 {
        let from = start.saturating_sub(BLOCK);
        let length = usize::try_from(start - from).unwrap_or(0);
        let mut block = vec![0; length];
        file.seek(SeekFrom::Start(from)).doing(what)?;
        file.read_exact(&mut block).doing(what)?;
        block.append(&mut rest);
        // Complete lines of this block, last first; what precedes the first newline waits for the block before.
        let first = match from {
            0 => 0,
            _ => match block.iter().position(|byte| *byte == b'\n') {
                Some(at) => at + 1,
                None => block.len(),
            },
        };
        let mut end = block.len();
        while end > first {
            let body = block[..end].strip_suffix(b"\n").unwrap_or(&block[..end]);
            let begin = body[first..]
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(first, |at| first + at + 1);
            if let Some(record) = cri::parse(&body[begin..]) {
                let wanted = match record.stream {
                    StdStream::Stderr => stderr,
                    _ => stdout,
                };
                if wanted && (record.ends || seen == 0) {
                    if seen == lines {
                        return Ok(answer);
                    }
                    seen += 1;
                }
                if wanted {
                    answer = from + begin as u64;
                }
            }
            end = begin;
        }
        block.truncate(first);
        rest = block;
        start = from;
    }
    Ok(answer)
}
