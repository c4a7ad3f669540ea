//! Talking to the kernel: messages as bytes, sockets, batches and dumps.

mod monitor;
mod socket;
pub mod wire;

pub use monitor::Monitor;
pub use socket::{Nack, Protocol, Reply, Socket};
