//! Reading a query.

use super::name::{presentation, question_name_end, skip_name};
use super::{HEADER, OPCODE, QR, qtype, rcode, u16_at};

/// A query with one question.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    /// Header and question.
    pub(super) head: &'a [u8],
    /// Lower-case, dots between labels, none at the end. `None` for a name that only escapes could write.
    pub name: Option<String>,
    pub qtype: u16,
    pub qclass: u16,
    pub edns: Option<Edns>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edns {
    /// UDP payload that the client can take.
    pub size: u16,
    pub version: u8,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Not a query at all: an answer could only do harm.
    Ignore,
    Answer(u8),
}

impl<'a> Query<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let header = bytes.get(..HEADER).ok_or(Malformed::Ignore)?;
        if header[2] & QR != 0 {
            return Err(Malformed::Ignore);
        }
        if header[2] & OPCODE != 0 {
            return Err(Malformed::Answer(rcode::NOTIMP));
        }
        // RFC 9619: a query has one question.
        if u16_at(bytes, 4) != Some(1) {
            return Err(Malformed::Answer(rcode::FORMERR));
        }
        Self::parse_sections(bytes).ok_or(Malformed::Answer(rcode::FORMERR))
    }

    fn parse_sections(bytes: &'a [u8]) -> Option<Self> {
        let end = question_name_end(bytes)?;
        let mut query = Query {
            head: bytes.get(..end + 4)?,
            name: presentation(&bytes[HEADER..end]),
            qtype: u16_at(bytes, end)?,
            qclass: u16_at(bytes, end + 2)?,
            edns: None,
        };
        let records: u32 = (6..HEADER)
            .step_by(2)
            .map(|at| u16_at(bytes, at).map(u32::from))
            .sum::<Option<u32>>()?;
        let mut at = end + 4;
        for _ in 0..records {
            at = skip_name(bytes, at)?;
            let (kind, class) = (u16_at(bytes, at)?, u16_at(bytes, at + 2)?);
            let version = *bytes.get(at + 5)?;
            let length = usize::from(u16_at(bytes, at + 8)?);
            at += 10 + length;
            bytes.get(..at)?;
            if kind == qtype::OPT {
                query.edns = Some(Edns {
                    size: class,
                    version,
                });
            }
        }
        Some(query)
    }
}
