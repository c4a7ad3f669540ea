#![no_main]

#[path = "../targets/cnm.rs"]
#[allow(dead_code)]
mod cnm_targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| cnm_targets::icmp(data));
