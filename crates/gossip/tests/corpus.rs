//! Replays the committed corpus of the fuzz targets (`fuzz/corpus/gossip_*`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test fails"
)]

use std::{fs, path::Path};

#[path = "../../../fuzz/targets/gossip.rs"]
mod targets;

fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut files: Vec<_> = fs::read_dir(&corpus)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", corpus.display());
    for file in files {
        println!("{}", file.display());
        run(&fs::read(file).unwrap());
    }
}

#[test]
fn datagram() {
    replay("gossip_datagram", targets::datagram);
}

#[test]
fn stream() {
    replay("gossip_stream", targets::stream);
}

#[test]
fn sealed() {
    replay("gossip_sealed", targets::sealed);
}

#[test]
fn inflate() {
    replay("gossip_inflate", targets::inflate);
}

#[test]
fn networkdb() {
    replay("gossip_networkdb", targets::networkdb);
}

#[test]
fn agent() {
    replay("gossip_agent", targets::agent);
}
