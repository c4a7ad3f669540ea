//! Address pools and addresses: pure state, nothing stored. Its users rebuild it from what they have stored.
//!
//! ```text
//!   DefaultPool 172.24.0.0/14, size 16          Addresses 172.25.0.0/16, range 172.25.8.0/24
//!   ┌────────┬────────┬────────┬────────┐       ┌─┬──────────┬───────────┬─────────────┬─┐
//!   │ 24 used│ 25 free│ 26 host│ 27 free│       │N│   claim  │ take here │    claim    │B│
//!   └────────┴────────┴────────┴────────┘       └─┴──────────┴───────────┴─────────────┴─┘
//!              ▲ take_default                     N network, B broadcast: reserved
//! ```
//!
//! Nothing is ever expanded: pools are ordered by base address, addresses in use are runs (see [`spans`]), so that
//! a `/8` or an IPv6 `/64` costs what is used of it. The caller decides about gateways, host routes and storage.
#![forbid(unsafe_code)]

mod addresses;
mod pools;
mod spans;

pub use addresses::Addresses;
pub use pools::{DefaultPool, Pools};

/// Texts are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("Pool overlaps with other one on this address space")]
    Overlap,
    #[error("all predefined address pools have been fully subnetted")]
    NoPool,
    #[error("no available addresses on this pool")]
    NoAddress,
    #[error("Address already in use")]
    InUse,
    #[error("requested address is out of range")]
    OutOfRange,
    /// A default pool whose subnets would be larger than the pool, or longer than an address.
    #[error("invalid pools size: {0}")]
    PoolSize(u8),
}
