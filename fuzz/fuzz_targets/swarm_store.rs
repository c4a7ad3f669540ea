#![no_main]

#[path = "../targets/swarm.rs"]
#[allow(dead_code)]
mod swarm_targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| swarm_targets::store(data));
