//! A whole swarm in one process: manager and agents over real TLS on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod join;
mod tasks;
