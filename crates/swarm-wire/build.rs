//! Compiles `proto/` with protox, so that no `protoc` is needed.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("proto");
    println!("cargo::rerun-if-changed={}", dir.display());
    let files = [
        "ca",
        "control",
        "dispatcher",
        "health",
        "logbroker",
        "raft",
        "resource",
        "snapshot",
        "watch",
    ]
    .map(|name| dir.join(name).with_extension("proto"));
    let descriptors = protox::compile(files, [dir])?;
    // Ordered maps: the same object always has the same bytes, and cores may iterate.
    tonic_prost_build::configure()
        .btree_map(".")
        .compile_fds(descriptors)?;
    Ok(())
}
