//! Writing a response.

use std::net::IpAddr;

use super::name::encode_name;
use super::{CD, Edns, HEADER, OPCODE, OUR_OPT, QR, Query, RA, RD, TC, qtype, rcode, u16_at};

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
            let mut opt = OUR_OPT;
            opt[5] = self.rcode >> 4;
            self.out.extend_from_slice(&opt);
        }
    }
}

/// Answer, recursion available, not authoritative; the client's RD and CD are kept.
fn set_response_flags(message: &mut [u8], rcode: u8) {
    message[2] = QR | message[2] & (OPCODE | RD);
    message[3] = RA | message[3] & CD | rcode & 0x0f;
}

/// An upstream's `reply` as the answer to `query`, which it answers: with the query's id and spelling. When it is longer
/// than `limit` only TC remains of it: false.
pub(crate) fn deliver(reply: &[u8], query: &Query<'_>, limit: usize, out: &mut Vec<u8>) -> bool {
    let fits = reply.len() <= limit;
    if fits {
        out.clear();
        out.extend_from_slice(reply);
        out[..2].copy_from_slice(&query.head[..2]);
        if u16_at(reply, 4) == Some(1) && reply.len() >= query.head.len() {
            out[HEADER..query.head.len()].copy_from_slice(&query.head[HEADER..]);
        }
    } else {
        let mut response = Response::new(out, query, limit, rcode::NOERROR);
        response.truncated = true;
        response.finish();
    }
    fits
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
