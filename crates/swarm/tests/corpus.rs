//! Replays the committed corpus of the fuzz targets (`fuzz/corpus/swarm_*`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test fails"
)]

#[path = "../../../fuzz/targets/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/targets/swarm.rs"]
mod targets;

#[test]
fn token() {
    corpus::replay("swarm_token", targets::token);
}

#[test]
fn csr() {
    corpus::replay("swarm_csr", targets::csr);
}

#[test]
fn certificate() {
    corpus::replay("swarm_certificate", targets::certificate);
}

#[test]
fn store() {
    corpus::replay("swarm_store", targets::store);
}
