//! What the fuzz targets reach of this crate beyond its interface; nobody else's.

use crate::wire;

/// Whether `reply` answers `query`, which is one that [`crate::answer`] forwards.
pub fn is_reply_to(query: &[u8], reply: &[u8]) -> bool {
    wire::is_reply_to(query, reply)
}

/// What a client gets when no upstream answers.
pub fn servfail(query: &[u8]) -> Vec<u8> {
    wire::servfail(query)
}
