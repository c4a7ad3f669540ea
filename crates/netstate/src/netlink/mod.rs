//! Talking to the kernel: messages as bytes, sockets, batches and dumps.

mod socket;
pub mod wire;

pub use socket::{Monitor, Nack, Protocol, Reply, Socket};
