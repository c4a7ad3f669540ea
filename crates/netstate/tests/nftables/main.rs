//! nftables: what `nft` reads back, what packets meet, and what is left when others interfere.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod changes;
#[path = "../common/mod.rs"]
mod common;
mod every;
mod packets;
mod reading;
mod rows;
