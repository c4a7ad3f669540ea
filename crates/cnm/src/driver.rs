//! What a network driver is: pure functions from a network and its endpoints to rows.

pub trait Driver: Send + Sync + 'static {}
