//! Replays the committed corpus of the fuzz targets (`fuzz/corpus/plugin_*`).
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../../../fuzz/targets/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/targets/plugin.rs"]
mod targets;

#[test]
fn answer() {
    corpus::replay("plugin_answer", targets::answer);
}

#[test]
fn request() {
    corpus::replay("plugin_request", targets::request);
}

#[test]
fn specification() {
    corpus::replay("plugin_specification", targets::specification);
}
