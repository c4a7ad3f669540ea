//! Replays the committed corpus of the fuzz targets (`fuzz/corpus/swarm_wire_*`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test fails"
)]

#[path = "../../../fuzz/targets/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/targets/swarm_wire.rs"]
mod targets;

#[test]
fn messages() {
    corpus::replay("swarm_wire_messages", targets::messages);
}
