//! The few parts of RFC 1035 and RFC 6891 that a stub's server needs, read and written in place.

mod name;
mod query;
mod reply;
mod response;

pub(crate) use name::reverse_address;
pub(crate) use query::{Edns, Malformed, Query};
pub(crate) use reply::{age_ttl, lifetime};
pub(crate) use response::{Response, deliver, header_only, servfail};

use name::question_name_end;

pub(crate) const HEADER: usize = 12;

pub(crate) mod qtype {
    pub const A: u16 = 1;
    pub const SOA: u16 = 6;
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
const AD: u8 = 0x20;
const CD: u8 = 0x10;

/// Root, OPT, 1232 bytes over UDP (what arrives in one piece everywhere), no upper rcode bits, version 0, no flags, no
/// options.
const OUR_OPT: [u8; 11] = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0];

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

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}
