//! Docker's plugin protocol: network drivers and address pools in other programs.
//!
//! ```text
//!   cnm ── remote::{Plugins, NetworkPlugin, IpamPlugin} ──► Plugins ── find ──► *.sock, *.spec, *.json
//!                                                             │ activate once
//!                                                             ▼
//!                                         NetworkDriver, IpamDriver ── POST /Service.Method ──► plugin
//! ```
//!
//! A plugin is somebody else's program. It may be slow, dead, wrong or malicious: every call ends in time, every answer is
//! bounded and checked before anybody acts on it, and no plugin waits for another one's answer.
//!
//! [`serve`] is the other side: our bridge driver as a plugin of somebody else's engine.
//!
//! Towards plugins it decides nothing about networks, and it starts no programs.
#![forbid(unsafe_code)]

mod address;
mod client;
mod find;
pub mod fuzzing;
mod ipam;
mod network;
mod options;
mod registry;
pub mod serve;
mod tls;
mod wire;

pub use registry::{Plugins, default_dirs};
