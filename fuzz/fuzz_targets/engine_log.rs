#![no_main]

#[path = "../targets/engine.rs"]
#[allow(dead_code)]
mod engine_targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| engine_targets::log(data));
