//! Reading a query.

use super::name::{presentation, question_name_end, skip_name};
use super::{AD, CD, HEADER, OPCODE, OUR_OPT, QR, RD, qtype, rcode, u16_at};

/// A query with one question.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    pub bytes: &'a [u8],
    /// Header and question.
    pub(super) head: &'a [u8],
    /// Lower-case, dots between labels, none at the end. `None` for a name that only escapes could write.
    pub name: Option<String>,
    pub qtype: u16,
    pub qclass: u16,
    pub edns: Option<Edns>,
    /// It is a question and nothing else, but for how to answer it.
    plain: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edns {
    /// UDP payload that the client can take.
    pub size: u16,
    pub version: u8,
    /// It wants signatures.
    dnssec: bool,
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
            bytes,
            head: bytes.get(..end + 4)?,
            name: presentation(&bytes[HEADER..end]),
            qtype: u16_at(bytes, end)?,
            qclass: u16_at(bytes, end + 2)?,
            edns: None,
            plain: false,
        };
        let records: u32 = (6..HEADER)
            .step_by(2)
            .map(|at| u16_at(bytes, at).map(u32::from))
            .sum::<Option<u32>>()?;
        let mut at = end + 4;
        for _ in 0..records {
            at = skip_name(bytes, at)?;
            let (kind, class) = (u16_at(bytes, at)?, u16_at(bytes, at + 2)?);
            let (version, flags) = (*bytes.get(at + 5)?, *bytes.get(at + 6)?);
            let length = usize::from(u16_at(bytes, at + 8)?);
            at += 10 + length;
            bytes.get(..at)?;
            if kind == qtype::OPT {
                query.edns = Some(Edns {
                    size: class,
                    version,
                    dnssec: flags & DO != 0,
                });
            }
        }
        query.plain = at == bytes.len() && records == u32::from(query.edns.is_some());
        Some(query)
    }

    /// The most bytes that the client takes over UDP: 512 without EDNS (RFC 1035); a UDP payload ends at 65,507.
    pub fn udp_limit(&self) -> usize {
        self.edns
            .map_or(512, |edns| usize::from(edns.size).clamp(512, 65_507))
    }

    /// Writes what upstreams are asked, but for the id. Of a plain question it is the same whoever asks, however it is
    /// spelled and whatever concerns only the client and us (the size of its buffer, cookies and other options): true,
    /// and the reply may answer others too. Anything else goes on as it came: false.
    pub fn onward(&self, out: &mut Vec<u8>) -> bool {
        out.clear();
        if !self.plain {
            out.extend_from_slice(&self.bytes[2..]);
            return false;
        }
        let edns = u8::from(self.edns.is_some());
        let flags = [self.head[2] & RD, self.head[3] & (AD | CD)];
        out.extend_from_slice(&flags);
        out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, edns]);
        let question = out.len();
        out.extend_from_slice(&self.head[HEADER..]);
        let name_end = out.len() - 4;
        out[question..name_end].make_ascii_lowercase();
        if let Some(edns) = self.edns {
            let mut opt = OUR_OPT;
            opt[7] = if edns.dnssec { DO } else { 0 };
            out.extend_from_slice(&opt);
        }
        true
    }
}

/// In the upper byte of OPT's flags.
const DO: u8 = 0x80;
