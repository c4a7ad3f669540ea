//! What the fuzz targets reach of this crate beyond its interface; nobody else's.

use std::time::{Duration, Instant};

use crate::Cache;
use crate::wire::{self, Query};

/// Whether `reply` answers `query`, which is one that [`crate::answer`] forwards.
pub fn is_reply_to(query: &[u8], reply: &[u8]) -> bool {
    wire::is_reply_to(query, reply)
}

/// What a client gets when no upstream answers.
pub fn servfail(query: &[u8]) -> Vec<u8> {
    wire::servfail(query)
}

/// What a client that puts `query` gets over UDP, `seconds` after an upstream said `reply` to the same question.
pub fn cached(query: &[u8], reply: &[u8], seconds: u32) -> Option<Vec<u8>> {
    let query = Query::parse(query).ok()?;
    let (mut question, mut out) = (Vec::new(), Vec::new());
    let asked = |question: &[u8]| Some([reply.get(..2)?, question].concat());
    if !query.onward(&mut question) || !wire::is_reply_to(&asked(&question)?, reply) {
        return None;
    }
    let (cache, now) = (Cache::default(), Instant::now());
    cache.insert(now, &question, reply);
    let later = now + Duration::from_secs(seconds.into());
    let limit = query.udp_limit();
    cache
        .answer(later, &question, &query, limit, &mut out)
        .then_some(out)
}
