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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    /// The bytes that a message must have; field numbers are from SwarmKit's `.proto` files.
    fn check<M: Message + Default + PartialEq + std::fmt::Debug>(message: M, bytes: &[u8]) {
        assert_eq!(message.encode_to_vec(), bytes, "{message:?}");
        assert_eq!(M::decode(bytes), Ok(message));
    }

    #[test]
    fn golden_bytes() {
        check(
            pb::IssueNodeCertificateRequest {
                csr: b"csr".to_vec(),
                token: "t".into(),
                availability: pb::node_spec::Availability::Drain.into(),
                ..Default::default()
            },
            b"\x12\x03csr\x1a\x01t\x20\x02",
        );
        check(
            pb::SessionMessage {
                session_id: "s".into(),
                managers: vec![pb::WeightedPeer {
                    peer: Some(pb::Peer {
                        node_id: "n".into(),
                        addr: "a".into(),
                    }),
                    weight: 10,
                }],
                network_bootstrap_keys: vec![pb::EncryptionKey {
                    subsystem: "g".into(),
                    key: vec![7],
                    lamport_time: 300,
                    ..Default::default()
                }],
                root_ca: b"r".to_vec(),
                node: Some(pb::Node {
                    vxlanudp_port: 4789,
                    ..Default::default()
                }),
            },
            b"\x0a\x01s\x12\x03\x58\xb5\x25\x1a\x0a\x0a\x06\x0a\x01n\x12\x01a\x10\x0a\x22\x09\x0a\x01g\x1a\x01\x07\x20\xac\x02\x2a\x01r",
        );
        check(
            pb::AssignmentsMessage {
                r#type: pb::assignments_message::Type::Incremental.into(),
                applies_to: "1".into(),
                results_in: "2".into(),
                changes: vec![pb::AssignmentChange {
                    assignment: Some(pb::Assignment {
                        item: Some(pb::assignment::Item::Config(pb::Config {
                            id: "c".into(),
                            ..Default::default()
                        })),
                    }),
                    action: pb::assignment_change::AssignmentAction::Remove.into(),
                }],
            },
            b"\x08\x01\x12\x011\x1a\x012\x22\x09\x0a\x05\x1a\x03\x0a\x01c\x10\x01",
        );
        check(
            pb::UpdateTaskStatusRequest {
                session_id: "s".into(),
                updates: vec![pb::update_task_status_request::TaskStatusUpdate {
                    task_id: "t".into(),
                    status: Some(pb::TaskStatus {
                        state: pb::TaskState::Running.into(),
                        runtime_status: Some(pb::task_status::RuntimeStatus::Container(
                            pb::ContainerStatus {
                                pid: -1,
                                ..Default::default()
                            },
                        )),
                        ..Default::default()
                    }),
                }],
            },
            b"\x0a\x01s\x1a\x15\x0a\x01t\x12\x10\x10\x80\x04\x2a\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        );
        check(
            pb::ContainerSpec {
                pull_options: Some(pb::container_spec::PullOptions {
                    registry_auth: "a".into(),
                }),
                ..Default::default()
            },
            b"\x52\x04\x82\x04\x01a",
        );
    }

    #[test]
    fn services_have_swarmkit_s_names() {
        assert_eq!(pb::ca_server::SERVICE_NAME, "docker.swarmkit.v1.CA");
        assert_eq!(
            pb::node_ca_server::SERVICE_NAME,
            "docker.swarmkit.v1.NodeCA"
        );
        assert_eq!(
            pb::dispatcher_server::SERVICE_NAME,
            "docker.swarmkit.v1.Dispatcher"
        );
        assert_eq!(
            pb::resource_allocator_server::SERVICE_NAME,
            "docker.swarmkit.v1.ResourceAllocator"
        );
        assert_eq!(
            pb::log_broker_server::SERVICE_NAME,
            "docker.swarmkit.v1.LogBroker"
        );
    }

    proptest! {
        /// What a peer can send before anybody trusts it, and what a manager may send.
        #[test]
        fn decoders_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = pb::IssueNodeCertificateRequest::decode(&bytes[..]);
            let _ = pb::NodeCertificateStatusResponse::decode(&bytes[..]);
            let _ = pb::SessionRequest::decode(&bytes[..]);
            let _ = pb::SessionMessage::decode(&bytes[..]);
            let _ = pb::AssignmentsMessage::decode(&bytes[..]);
            let _ = pb::UpdateTaskStatusRequest::decode(&bytes[..]);
            let _ = pb::PublishLogsMessage::decode(&bytes[..]);
        }
    }
}
