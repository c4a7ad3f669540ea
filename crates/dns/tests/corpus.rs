//! Replays the committed corpus of the fuzz targets (`fuzz/corpus/dns_*`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test fails"
)]

#[path = "../../../fuzz/targets/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/targets/dns.rs"]
mod targets;

#[test]
fn query() {
    corpus::replay("dns_query", targets::query);
}

#[test]
fn reply() {
    corpus::replay("dns_reply", targets::reply);
}

#[test]
fn cache() {
    corpus::replay("dns_cache", targets::cache);
}
