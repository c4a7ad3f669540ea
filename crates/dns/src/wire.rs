//! The few parts of RFC 1035 and RFC 6891 that a stub's server needs, read and written in place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) const HEADER: usize = 12;
/// Longest name on the wire, its root label included.
const MAX_NAME: usize = 255;

pub(crate) mod qtype {
    pub const A: u16 = 1;
    pub const PTR: u16 = 12;
    pub const AAAA: u16 = 28;
    pub const OPT: u16 = 41;
    pub const ANY: u16 = 255;
}

pub(crate) mod rcode {
    pub const NOERROR: u8 = 0;
    pub const FORMERR: u8 = 1;
    pub const SERVFAIL: u8 = 2;
    pub const NXDOMAIN: u8 = 3;
    pub const NOTIMP: u8 = 4;
    pub const REFUSED: u8 = 5;
    /// Needs EDNS: the upper bits are in the OPT record.
    pub const BADVERS: u8 = 16;
}

const QR: u8 = 0x80;
const OPCODE: u8 = 0x78;
const TC: u8 = 0x02;
const RD: u8 = 0x01;
const RA: u8 = 0x80;
const CD: u8 = 0x10;

/// A query with one question.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    /// Header and question.
    head: &'a [u8],
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

/// A response being written; answers that do not fit set TC.
pub(crate) struct Response<'a> {
    out: &'a mut Vec<u8>,
    limit: usize,
    edns: Option<Edns>,
    rcode: u8,
    answers: u16,
    truncated: bool,
}

impl<'a> Response<'a> {
    /// `limit`: the most bytes that the client can take, at least 512.
    pub fn new(out: &'a mut Vec<u8>, query: &Query<'_>, limit: usize, rcode: u8) -> Self {
        out.clear();
        out.extend_from_slice(query.head);
        let opt = if query.edns.is_some() { 11 } else { 0 };
        Self {
            out,
            limit: limit - opt,
            edns: query.edns,
            rcode,
            answers: 0,
            truncated: false,
        }
    }

    pub fn address(&mut self, ttl: u32, address: IpAddr) {
        match address {
            IpAddr::V4(a) => self.record(qtype::A, ttl, &a.octets()),
            IpAddr::V6(a) => self.record(qtype::AAAA, ttl, &a.octets()),
        }
    }

    /// Nothing is written for a name that does not fit the wire.
    pub fn pointer(&mut self, ttl: u32, name: &str) {
        if let Some(encoded) = encode_name(name) {
            self.record(qtype::PTR, ttl, &encoded);
        }
    }

    fn record(&mut self, kind: u16, ttl: u32, data: &[u8]) {
        if self.truncated || self.out.len() + 12 + data.len() > self.limit {
            self.truncated = true;
            return;
        }
        // The owner is the question's name, class IN.
        self.out.extend_from_slice(&[0xc0, HEADER as u8]);
        self.out.extend_from_slice(&kind.to_be_bytes());
        self.out.extend_from_slice(&[0, 1]);
        self.out.extend_from_slice(&ttl.to_be_bytes());
        self.out
            .extend_from_slice(&(data.len() as u16).to_be_bytes());
        self.out.extend_from_slice(data);
        self.answers += 1;
    }

    pub fn finish(self) {
        set_response_flags(self.out, self.rcode);
        if self.truncated {
            self.out[2] |= TC;
        }
        self.out[6..8].copy_from_slice(&self.answers.to_be_bytes());
        self.out[8..HEADER].fill(0);
        if self.edns.is_some() {
            self.out[HEADER - 1] = 1;
            // Root, OPT, our UDP size, upper rcode bits, version 0, no flags, no options.
            self.out.extend_from_slice(&[0, 0, qtype::OPT as u8]);
            self.out.extend_from_slice(&1232u16.to_be_bytes());
            self.out
                .extend_from_slice(&[self.rcode >> 4, 0, 0, 0, 0, 0]);
        }
    }
}

/// Answer, recursion available, not authoritative; the client's RD and CD are kept.
fn set_response_flags(message: &mut [u8], rcode: u8) {
    message[2] = QR | message[2] & (OPCODE | RD);
    message[3] = RA | message[3] & CD | rcode & 0x0f;
}

/// The bare header of `query` (at least [`HEADER`] bytes) as an error.
pub(crate) fn header_only(query: &[u8], rcode: u8, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&query[..HEADER]);
    set_response_flags(out, rcode);
    out[4..].fill(0);
}

/// SERVFAIL for a query that [`Query::parse`] took.
pub(crate) fn servfail(query: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match Query::parse(query) {
        Ok(parsed) => Response::new(&mut out, &parsed, 512, rcode::SERVFAIL).finish(),
        Err(_) => header_only(query, rcode::SERVFAIL, &mut out),
    }
    out
}

/// Whether `reply` answers `query`: id and question (in any case of letters) are the same. A server that did not
/// understand the query may leave the question out of its error.
pub(crate) fn is_reply_to(query: &[u8], reply: &[u8]) -> bool {
    let Some(header) = reply.get(..HEADER) else {
        return false;
    };
    if header[..2] != query[..2] || header[2] & (QR | OPCODE) != QR {
        return false;
    }
    match u16_at(reply, 4) {
        Some(0) => !matches!(reply_code(reply), rcode::NOERROR | rcode::NXDOMAIN),
        Some(1) => question_name_end(query)
            .and_then(|end| Some((query.get(HEADER..end + 4)?, reply.get(HEADER..end + 4)?)))
            .is_some_and(|(asked, answered)| asked.eq_ignore_ascii_case(answered)),
        _ => false,
    }
}

/// The rcode of a message of at least [`HEADER`] bytes, EDNS bits left out.
pub(crate) fn reply_code(message: &[u8]) -> u8 {
    message[3] & 0x0f
}

/// The upstream could or would not say: another one may.
pub(crate) fn is_failure(message: &[u8]) -> bool {
    matches!(reply_code(message), rcode::SERVFAIL | rcode::REFUSED)
}

/// The address that a `…in-addr.arpa` or `…ip6.arpa` name stands for.
pub(crate) fn reverse_address(name: &str) -> Option<IpAddr> {
    if let Some(octets) = name.strip_suffix(".in-addr.arpa") {
        let mut bytes = [0u8; 4];
        let mut labels = octets.split('.');
        for byte in bytes.iter_mut().rev() {
            *byte = labels.next()?.parse().ok()?;
        }
        return labels
            .next()
            .is_none()
            .then_some(IpAddr::V4(Ipv4Addr::from(bytes)));
    }
    let nibbles = name.strip_suffix(".ip6.arpa")?;
    let mut bits = 0u128;
    let mut labels = nibbles.split('.');
    for place in 0..32 {
        let label = labels.next().filter(|label| label.len() == 1)?;
        bits |= u128::from(u8::from_str_radix(label, 16).ok()?) << (4 * place);
    }
    labels
        .next()
        .is_none()
        .then_some(IpAddr::V6(Ipv6Addr::from_bits(bits)))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}

/// Where the question's name ends; it has nothing before it to point to, so compression is an error.
fn question_name_end(bytes: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1 + length;
        if length > 63 || at - HEADER > MAX_NAME {
            return None;
        }
        if length == 0 {
            return Some(at);
        }
    }
}

fn skip_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = *bytes.get(at)?;
        match length {
            0 => return Some(at + 1),
            1..=63 => at += 1 + usize::from(length),
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
    }
}

/// `labels` are well formed. A label with a dot, a space or worse in it is no name that we could have.
fn presentation(mut labels: &[u8]) -> Option<String> {
    let mut name = String::with_capacity(labels.len());
    while let [length, rest @ ..] = labels
        && *length > 0
    {
        let (label, rest) = rest.split_at_checked(usize::from(*length))?;
        if !name.is_empty() {
            name.push('.');
        }
        for byte in label {
            if !byte.is_ascii_graphic() || *byte == b'.' {
                return None;
            }
            name.push(char::from(byte.to_ascii_lowercase()));
        }
        labels = rest;
    }
    Some(name)
}

fn encode_name(name: &str) -> Option<Vec<u8>> {
    let mut encoded = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        let length = u8::try_from(label.len())
            .ok()
            .filter(|n| (1..=63).contains(n))?;
        encoded.push(length);
        encoded.extend_from_slice(label.as_bytes());
    }
    encoded.push(0);
    (encoded.len() <= MAX_NAME).then_some(encoded)
}
