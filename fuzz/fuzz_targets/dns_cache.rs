#![no_main]

#[path = "../targets/dns.rs"]
#[allow(dead_code)]
mod dns_targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| dns_targets::cache(data));
