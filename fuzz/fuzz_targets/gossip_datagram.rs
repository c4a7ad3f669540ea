#![no_main]

#[path = "../targets/gossip.rs"]
#[allow(dead_code)]
mod gossip_targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| gossip_targets::datagram(data));
