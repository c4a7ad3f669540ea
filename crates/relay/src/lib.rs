//! The relay: published ports of services whose tasks want to be told of their clients by a header in front of each connection
//! (the PROXY protocol, <https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>).
//!
//! ```text
//!   client ─► host ─► docker_gwbridge ─► entry:8080 ─► relay ─► entry:8080 ─► task
//!             node:8080 ─► entry:8080    ─► its port            ─► task:8080, any that is healthy and wants it
//! ```
//! The relay is a process of its own in the entry's namespace (`cnm::mesh`), which the daemon starts when a port wants it, finds
//! again after its own restart ([`Keeper`]), and tells to finish when none does. Both translations are rows; so it knows of
//! no ports, tasks or networks. What the client asked for comes from the socket, and who the client was on the host, which may
//! have hidden it since, from the host's connection tracking.
//!
//! Invariant: a header says what is known to be so. A connection whose origin cannot be learned is closed.

mod connection;
mod header;
mod keeper;
mod process;
mod serve;
mod splice;

pub use keeper::Keeper;
pub use serve::serve;
