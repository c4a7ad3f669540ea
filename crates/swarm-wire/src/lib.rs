//! The swarm's own wire format: SwarmKit's protobuf messages and gRPC services, package `docker.swarmkit.v1`.
//!
//! `proto/` states the messages; everything here is generated from it at build time. A [`pb::Node`], a [`pb::Task`]
//! or a [`pb::Service`] is the same value on the wire, in the managers' store and in the orchestrators, so there is no
//! second set of types to keep in step.
//!
//! prost forgets fields that it does not know: never decode and re-encode another manager's object.

/// Messages, clients (`pb::*_client`) and servers (`pb::*_server`).
#[allow(clippy::all, missing_docs)]
pub mod pb {
    tonic::include_proto!("docker.swarmkit.v1");
}
pub use prost_types;
