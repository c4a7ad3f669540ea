//! Reading an upstream's reply, as far as a cache must.

use super::name::{question_name_end, skip_name};
use super::{HEADER, TC, qtype, rcode, reply_code, u16_at};

/// A reply beside an application must not outlive a change of the world's by much, whatever it says of itself.
const LONGEST: u32 = 24 * 3600;
/// What is not there today may be there soon.
const LONGEST_NEGATIVE: u32 = 300;

/// How long a reply may be kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// Seconds, not 0.
    pub ttl: u32,
    /// Where its records' TTLs stand.
    pub ttls_at: Vec<u16>,
}

/// `None` for what must not be kept: failures, truncated and malformed replies, a record whose TTL is 0, and a name or type
/// that does not exist when nobody says for how long (RFC 2308, section 5).
pub(crate) fn lifetime(reply: &[u8]) -> Option<Lifetime> {
    let header = reply.get(..HEADER)?;
    let absent = reply_code(header) == rcode::NXDOMAIN;
    if header[2] & TC != 0
        || !(absent || reply_code(header) == rcode::NOERROR)
        || u16_at(reply, 4) != Some(1)
    {
        return None;
    }
    let end = question_name_end(reply)?;
    let asked = u16_at(reply, end)?;
    let answers = u16_at(reply, 6)?;
    let authorities = u32::from(answers) + u32::from(u16_at(reply, 8)?);
    let records = authorities + u32::from(u16_at(reply, 10)?);
    let (mut ttl, mut answered, mut denial) = (u32::MAX, false, None);
    let mut ttls_at = Vec::new();
    let mut at = end + 4;
    for number in 0..records {
        at = skip_name(reply, at)?;
        let kind = u16_at(reply, at)?;
        let ttl_at = at + 4;
        let own_ttl = u32_at(reply, ttl_at)?;
        at += 10 + usize::from(u16_at(reply, at + 8)?);
        reply.get(..at)?;
        if kind == qtype::OPT {
            // Upper bits of the rcode make it another one.
            if own_ttl >> 24 != 0 {
                return None;
            }
            continue;
        }
        ttls_at.push(u16::try_from(ttl_at).ok()?);
        // RFC 2181, section 8: the highest bit is no time.
        ttl = ttl.min(if own_ttl >> 31 == 0 { own_ttl } else { 0 });
        if number < u32::from(answers) {
            answered |= kind == asked || asked == qtype::ANY;
        } else if number < authorities && kind == qtype::SOA {
            denial = u32_at(reply, at - 4);
        }
    }
    if at != reply.len() {
        return None;
    }
    let longest = match absent || !answered {
        true => denial?.min(LONGEST_NEGATIVE),
        false => LONGEST,
    };
    let ttl = ttl.min(longest);
    (ttl > 0).then_some(Lifetime { ttl, ttls_at })
}

/// The record whose TTL stands at `at` has been kept for `age` seconds, fewer than it may be.
pub(crate) fn age_ttl(message: &mut [u8], at: usize, age: u32) {
    if let Some(ttl) = message
        .get_mut(at..)
        .and_then(|rest| rest.first_chunk_mut())
    {
        *ttl = u32::from_be_bytes(*ttl).saturating_sub(age).to_be_bytes();
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*four))
}
