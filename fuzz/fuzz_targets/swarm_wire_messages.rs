#![no_main]

#[path = "../targets/swarm_wire.rs"]
#[allow(dead_code)]
mod swarm_wire_targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| swarm_wire_targets::messages(data));
