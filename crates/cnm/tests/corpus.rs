//! Replays the committed corpus of the fuzz targets (`fuzz/corpus/cnm_*`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test fails"
)]

#[path = "../../../fuzz/targets/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/targets/cnm.rs"]
mod targets;

#[test]
fn ports() {
    corpus::replay("cnm_ports", targets::ports);
}

#[test]
fn sysctl() {
    corpus::replay("cnm_sysctl", targets::sysctl);
}

#[test]
fn answer() {
    corpus::replay("cnm_answer", targets::answer);
}

#[test]
fn icmp() {
    corpus::replay("cnm_icmp", targets::icmp);
}
