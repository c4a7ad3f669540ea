#![no_main]

#[path = "../targets/plugin.rs"]
#[allow(dead_code)]
mod plugin_targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| plugin_targets::request(data));
