//! Replays the committed corpus of the fuzz targets (`fuzz/corpus/engine_*`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test fails"
)]

#[path = "../../../fuzz/targets/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/targets/engine.rs"]
mod targets;

#[test]
fn layer() {
    corpus::replay("engine_layer", targets::layer);
}

#[test]
fn entries() {
    corpus::replay("engine_entries", targets::entries);
}

#[test]
fn load() {
    corpus::replay("engine_load", targets::load);
}

#[test]
fn log() {
    corpus::replay("engine_log", targets::log);
}

#[test]
fn reference() {
    corpus::replay("engine_reference", targets::reference);
}

#[test]
fn filters() {
    corpus::replay("engine_filters", targets::filters);
}
