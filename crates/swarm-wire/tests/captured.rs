//! What dockerd 20.10 says: tasks as it assigned them to a node of its own (from the node's task database), a service's with nearly
//! every option that `docker service create` has and a standalone container's place on an attachable network; and its side
//! of every call between a worker and a manager.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use prost::Message;
use swarm_wire::pb;

/// Nothing in the bytes was passed over: all of them come back (Docker writes a map's entries in no order, so only their
/// number is compared).
fn decode(bytes: &[u8]) -> pb::Task {
    let task = pb::Task::decode(bytes).unwrap();
    assert_eq!(task.encoded_len(), bytes.len(), "{task:#?}");
    task
}

#[test]
fn a_services_task() {
    let task = decode(include_bytes!("captured/docker-20.10-service-task.pb"));
    assert_eq!(
        (task.slot, task.desired_state),
        (1, pb::TaskState::Running.into())
    );
    assert_eq!(task.service_annotations.unwrap().labels["sl"], "1");
    let spec = task.spec.unwrap();
    let Some(pb::task_spec::Runtime::Container(c)) = spec.runtime else {
        panic!("no container");
    };
    assert_eq!(
        (c.image.as_str(), &c.args[..]),
        ("busybox:latest", &["sleep".to_owned(), "1d".to_owned()][..])
    );
    assert_eq!(c.env, ["A=b", "T={{.Task.Slot}}"]);
    assert_eq!(
        (c.hostname.as_str(), c.user.as_str(), c.dir.as_str()),
        ("hn", "1:2", "/")
    );
    assert_eq!(c.hosts, ["10.0.0.9 x"]);
    assert_eq!(
        (c.tty, c.read_only, c.init, c.pids_limit),
        (true, true, Some(true), 50)
    );
    assert_eq!(
        (&c.capability_add[..], &c.capability_drop[..]),
        (
            &["CAP_NET_ADMIN".to_owned()][..],
            &["CAP_MKNOD".to_owned()][..]
        )
    );
    let limits = spec.resources.unwrap().limits.unwrap();
    assert_eq!(
        (limits.nano_cpus, limits.memory_bytes),
        (500_000_000, 64 << 20)
    );
    let secret = &c.secrets[0];
    let Some(pb::secret_reference::Target::File(file)) = &secret.target else {
        panic!("no file");
    };
    assert_eq!(
        (
            secret.secret_name.as_str(),
            file.name.as_str(),
            file.uid.as_str(),
            file.mode
        ),
        ("s1", "t", "1", 0o400)
    );
    assert_eq!(c.healthcheck.unwrap().test, ["CMD-SHELL", "true"]);
    assert_eq!(spec.restart.unwrap().max_attempts, 3);
    assert_eq!(spec.placement.unwrap().constraints, ["node.role==manager"]);
    // Ingress comes first, for the published port.
    let names: Vec<_> = task
        .networks
        .iter()
        .map(|n| {
            n.network
                .as_ref()
                .unwrap()
                .spec
                .as_ref()
                .unwrap()
                .annotations
                .as_ref()
                .unwrap()
                .name
                .as_str()
        })
        .collect();
    assert_eq!(names, ["ingress", "net"]);
    assert_eq!(task.networks[1].aliases, ["al"]);
    let net = task.networks[1].network.as_ref().unwrap();
    let options = &net.driver_state.as_ref().unwrap().options;
    assert_eq!(
        options["com.docker.network.driver.overlay.vxlanid_list"],
        "4097"
    );
    assert_eq!(options["com.docker.network.driver.mtu"], "1400");
    let endpoint = task.endpoint.unwrap();
    assert_eq!(endpoint.virtual_ips.len(), 2);
    let ports: Vec<_> = endpoint
        .ports
        .iter()
        .map(|p| (p.target_port, p.published_port, p.publish_mode, p.protocol))
        .collect();
    assert_eq!(ports, [(80, 8080, 0, 0), (81, 8081, 1, 1)]);
}

#[test]
fn a_containers_attachment() {
    let task = decode(include_bytes!("captured/docker-20.10-attachment-task.pb"));
    let Some(pb::task_spec::Runtime::Attachment(attachment)) = task.spec.unwrap().runtime else {
        panic!("no attachment");
    };
    assert_eq!(attachment.container_id.len(), 64);
    assert_eq!(task.networks.len(), 1);
    assert_eq!(task.networks[0].addresses, ["10.99.3.77/24"]);
}

/// Decodes and tells the length of what comes back: nothing in the bytes was passed over.
fn length<M: Message + Default>(bytes: &[u8]) -> usize {
    M::decode(bytes).unwrap().encoded_len()
}

/// One swarm's conversation: what a manager (Docker's, then ours) and a worker (ours, then Docker's) say to each other from the
/// join to the leave. `captured/docker-20.10.rpc` has a message of Docker's on each line, the types in the order of the join.
#[test]
fn every_call_of_docker_is_understood_to_the_last_byte() {
    let mut kinds = Vec::new();
    for line in include_str!("captured/docker-20.10.rpc").lines() {
        let (kind, hex) = line.split_once(' ').unwrap_or((line, ""));
        let bytes = hex::decode(hex).unwrap();
        let again = match kind {
            "GetRootCaCertificateResponse" => length::<pb::GetRootCaCertificateResponse>(&bytes),
            "IssueNodeCertificateResponse" => length::<pb::IssueNodeCertificateResponse>(&bytes),
            "NodeCertificateStatusResponse" => length::<pb::NodeCertificateStatusResponse>(&bytes),
            "SessionMessage" => length::<pb::SessionMessage>(&bytes),
            "HeartbeatResponse" => length::<pb::HeartbeatResponse>(&bytes),
            "AssignmentsMessage" => length::<pb::AssignmentsMessage>(&bytes),
            "UpdateTaskStatusResponse" => length::<pb::UpdateTaskStatusResponse>(&bytes),
            "AttachNetworkResponse" => length::<pb::AttachNetworkResponse>(&bytes),
            "DetachNetworkResponse" => length::<pb::DetachNetworkResponse>(&bytes),
            "SubscriptionMessage" => length::<pb::SubscriptionMessage>(&bytes),
            "GetRootCaCertificateRequest" => length::<pb::GetRootCaCertificateRequest>(&bytes),
            "IssueNodeCertificateRequest" => length::<pb::IssueNodeCertificateRequest>(&bytes),
            "NodeCertificateStatusRequest" => length::<pb::NodeCertificateStatusRequest>(&bytes),
            "SessionRequest" => length::<pb::SessionRequest>(&bytes),
            "HeartbeatRequest" => length::<pb::HeartbeatRequest>(&bytes),
            "AssignmentsRequest" => length::<pb::AssignmentsRequest>(&bytes),
            "UpdateTaskStatusRequest" => length::<pb::UpdateTaskStatusRequest>(&bytes),
            "AttachNetworkRequest" => length::<pb::AttachNetworkRequest>(&bytes),
            "DetachNetworkRequest" => length::<pb::DetachNetworkRequest>(&bytes),
            "ListenSubscriptionsRequest" => length::<pb::ListenSubscriptionsRequest>(&bytes),
            "PublishLogsMessage" => length::<pb::PublishLogsMessage>(&bytes),
            other => panic!("{other}?"),
        };
        assert_eq!(again, bytes.len(), "{kind} {hex}");
        kinds.push(kind);
    }
    kinds.dedup();
    assert_eq!(kinds.len(), 21, "{kinds:?}");
}
