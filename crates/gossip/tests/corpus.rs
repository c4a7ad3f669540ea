//! Replays the committed corpus of the fuzz targets (`fuzz/corpus/gossip_*`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test fails"
)]

#[path = "../../../fuzz/targets/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/targets/gossip.rs"]
mod targets;

#[test]
fn datagram() {
    corpus::replay("gossip_datagram", targets::datagram);
}

#[test]
fn stream() {
    corpus::replay("gossip_stream", targets::stream);
}

#[test]
fn sealed() {
    corpus::replay("gossip_sealed", targets::sealed);
}

#[test]
fn inflate() {
    corpus::replay("gossip_inflate", targets::inflate);
}

#[test]
fn networkdb() {
    corpus::replay("gossip_networkdb", targets::networkdb);
}

#[test]
fn agent() {
    corpus::replay("gossip_agent", targets::agent);
}
