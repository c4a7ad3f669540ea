//! Docker's Engine API over HTTP: versions, routes, streams, error mapping.
//!
//! ```text
//!  docker CLI · compose · SDKs
//!        │ HTTP/1.1 (unix socket, tcp)
//!  ┌─────▼──────┐  /v1.NN stripped and checked, Docker's headers added      version
//!  │  serve()   │  route → one call of the backend → JSON or a stream       routes::*
//!  └─────┬──────┘  attach, exec: 101 Switching Protocols, then raw bytes    hijack, frame, detach
//!        ▼
//!  engine · cnm · cluster
//! ```
//!
//! HTTP in, calls out. What a request means is decided by the rooms below; here are only the things that exist because
//! of HTTP and of clients of other ages: parameters, status codes, framing, what an older API version expects. Requests that no
//! room serves yet (build, commit, stats …) are answered 501 with a text that says so.

#![forbid(unsafe_code)]

mod body;
mod detach;
mod events;
mod frame;
mod hijack;
mod params;
mod reply;
mod routes;
mod serve;
pub mod system;
#[cfg(test)]
mod testing;
mod version;

pub use serve::serve;
pub use system::SystemInfo;
pub use version::{MAX_VERSION, MIN_VERSION};

/// What requests are passed on to.
#[derive(Clone)]
pub struct Backend {
    pub engine: engine::Engine,
    pub networks: cnm::Controller,
    pub cluster: cluster::Cluster,
    pub system: SystemInfo,
}
