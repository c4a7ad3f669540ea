//! The JSON of Docker's Engine API: what a client sends and what it reads, field for field in Go's order.
//!
//! Shapes follow API 1.51. Go's conventions hold: a missing or `null` field is its zero value, an unset slice or map is
//! written as `null`, a field that Go marks `omitempty` is left out when it is empty. There is no behaviour here beyond
//! that; [`Error`] is here because every room of the engine reports in Docker's terms (a kind, which the HTTP edge turns
//! into a status code, and a text).

#![forbid(unsafe_code)]

pub mod container;
mod error;
mod go;
pub mod image;
pub mod network;
pub mod pontoon;
pub mod ports;
pub mod swarm;
pub mod system;
pub mod volume;

pub use error::{Error, ErrorKind, Result};
pub use go::{
    Base64, Empty, Filters, Time, is_empty, no_items, null_default, null_values, str_slice,
};
pub use ports::{PortMap, PortSet};
