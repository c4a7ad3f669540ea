//! The services as a peer on the wire meets them: what a certificate may do, and what a session is.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use pb::ca_client::CaClient;
use pb::dispatcher_client::DispatcherClient;
use pb::health_client::HealthClient;
use pb::update_task_status_request::TaskStatusUpdate;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::Channel;

use super::*;
use crate::ca::root::{Request, RootCa};
use crate::ca::{CA, MANAGER, WORKER};
use crate::tls;
use crate::tls::dial::connect;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

struct Swarm {
    manager: Manager,
    identity: Identity,
    _dir: TempDir,
}

impl Swarm {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            dir: dir.path().to_owned(),
            listen: LOOPBACK,
            advertise: LOOPBACK,
        };
        let init = Init {
            spec: pb::ClusterSpec::default(),
            default_addr_pool: Vec::new(),
            subnet_size: 0,
            data_path_port: 0,
            availability: 0,
        };
        let (manager, identity) = Manager::init(config, init).await.unwrap();
        Self {
            manager,
            identity,
            _dir: dir,
        }
    }

    fn addr(&self) -> String {
        self.manager.local_addr().to_string()
    }

    fn root(&self) -> RootCa {
        let state = self.manager.control().view();
        let ca = state.clusters[&self.identity.cluster_id]
            .root_ca
            .clone()
            .unwrap();
        RootCa {
            cert_pem: ca.ca_cert,
            key_pem: ca.ca_key,
        }
    }

    /// A channel with a certificate as the CA might have signed it.
    async fn channel(&self, node_id: &str, role: &str, cluster_id: &str) -> Channel {
        let (root, request) = (self.root(), Request::create().unwrap());
        let hour = Duration::from_secs(3600);
        let cert = root
            .sign(&request.csr_pem, node_id, role, cluster_id, hour)
            .unwrap();
        let live = tls::Live::new(&root.cert_pem, &cert, &request.key_pem).unwrap();
        connect(&self.addr(), live.get().client.clone(), MANAGER)
            .await
            .unwrap()
    }

    /// A worker that the store knows.
    async fn worker(&self, node_id: &str) -> DispatcherClient<Channel> {
        let node = pb::Node {
            id: node_id.into(),
            ..Default::default()
        };
        let created = self.manager.0.store.update(|tx| tx.create(node.clone()));
        created.await.unwrap();
        DispatcherClient::new(
            self.channel(node_id, WORKER, &self.identity.cluster_id)
                .await,
        )
    }
}

fn beat(session_id: &str) -> pb::HeartbeatRequest {
    pb::HeartbeatRequest {
        session_id: session_id.into(),
    }
}

fn denied(status: &Status) -> &str {
    assert_eq!(status.code(), Code::PermissionDenied);
    status.message()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_certificate_may_do() {
    let swarm = Swarm::new().await;
    let cluster_id = swarm.identity.cluster_id.clone();
    let prefix =
        "Permission denied: unauthorized peer role: rpc error: code = PermissionDenied desc = ";

    let guest = tls::guest(&swarm.identity.root_pem).unwrap();
    let nobody = connect(&swarm.addr(), guest, CA).await.unwrap();
    let root = CaClient::new(nobody.clone())
        .get_root_ca_certificate(pb::GetRootCaCertificateRequest {})
        .await;
    assert_eq!(
        root.unwrap().into_inner().certificate,
        swarm.identity.root_pem
    );
    let refused = DispatcherClient::new(nobody.clone())
        .heartbeat(beat(""))
        .await
        .unwrap_err();
    assert_eq!(
        denied(&refused),
        format!("{prefix}no verified chains for remote certificate")
    );
    let locked = CaClient::new(nobody)
        .get_unlock_key(pb::GetUnlockKeyRequest {})
        .await
        .unwrap_err();
    denied(&locked);

    let worker = swarm.channel("n1", WORKER, &cluster_id).await;
    let check = pb::HealthCheckRequest::default();
    let refused = HealthClient::new(worker)
        .check(check.clone())
        .await
        .unwrap_err();
    let reason = "Permission denied: remote certificate not part of OUs: [swarm-manager]";
    assert_eq!(denied(&refused), format!("{prefix}{reason}"));
    let manager = swarm.channel("n2", MANAGER, &cluster_id).await;
    HealthClient::new(manager.clone())
        .check(check)
        .await
        .unwrap();
    let unknown = pb::control_client::ControlClient::new(manager)
        .list_nodes(pb::ListNodesRequest::default())
        .await;
    assert_eq!(unknown.unwrap_err().code(), Code::Unimplemented);

    let foreign = swarm.channel("n3", WORKER, "another").await;
    let refused = DispatcherClient::new(foreign)
        .heartbeat(beat(""))
        .await
        .unwrap_err();
    let reason =
        format!("Permission denied: remote certificate not part of organization: {cluster_id}");
    assert_eq!(denied(&refused), format!("{prefix}{reason}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_end_takes_a_stranger_s_root() {
    let (ours, theirs) = (Swarm::new().await, Swarm::new().await);
    let stranger = theirs.identity.live.get().client.clone();
    let refused = connect(&ours.addr(), stranger, MANAGER).await.unwrap_err();
    assert!(
        refused
            .message()
            .contains("authentication handshake failed"),
        "{refused}"
    );

    let root = ours.root();
    let wrong_name = connect(
        &ours.addr(),
        tls::guest(&root.cert_pem).unwrap(),
        "swarm-other",
    )
    .await;
    assert!(wrong_name.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_needed_and_has_an_end() {
    let swarm = Swarm::new().await;
    let mut worker = swarm.worker("n1").await;
    let before = worker.heartbeat(beat("x")).await.unwrap_err();
    assert_eq!(
        (before.code(), before.message()),
        (Code::NotFound, "node not registered")
    );

    let mut first = worker
        .session(pb::SessionRequest::default())
        .await
        .unwrap()
        .into_inner();
    let message = first.message().await.unwrap().unwrap();
    assert_eq!(message.session_id.len(), 25);
    assert_eq!(message.network_bootstrap_keys.len(), 6);
    assert_eq!(message.root_ca, swarm.identity.root_pem);
    let manager = message.managers[0].clone();
    assert_eq!(
        (manager.weight, manager.peer.unwrap().addr),
        (10, swarm.addr())
    );
    assert_eq!(message.node.unwrap().id, "n1");
    let period = worker
        .heartbeat(beat(&message.session_id))
        .await
        .unwrap()
        .into_inner()
        .period
        .unwrap();
    let period = Duration::try_from(period).unwrap();
    assert!((Duration::from_millis(4500)..=Duration::from_millis(5500)).contains(&period));

    let mut assignments = worker
        .assignments(pb::AssignmentsRequest {
            session_id: message.session_id.clone(),
        })
        .await
        .unwrap()
        .into_inner();
    let complete = assignments.message().await.unwrap().unwrap();
    assert_eq!(
        (complete.applies_to.as_str(), complete.results_in.as_str()),
        ("", "1")
    );

    // A second registration ends the first, streams included.
    let mut second = worker
        .session(pb::SessionRequest::default())
        .await
        .unwrap()
        .into_inner();
    let other = second.message().await.unwrap().unwrap();
    assert_ne!(other.session_id, message.session_id);
    let old = worker
        .heartbeat(beat(&message.session_id))
        .await
        .unwrap_err();
    assert_eq!(
        (old.code(), old.message()),
        (Code::InvalidArgument, "session invalid")
    );
    let over = assignments.message().await.unwrap_err();
    assert_eq!(over.message(), "session invalid");
    while let Ok(message) = first.message().await {
        assert!(message.is_some());
    }
    // The open session may be taken up again.
    let again = pb::SessionRequest {
        session_id: other.session_id.clone(),
        description: None,
    };
    let mut third = worker.session(again).await.unwrap().into_inner();
    assert_eq!(
        third.message().await.unwrap().unwrap().session_id,
        other.session_id
    );

    for _ in 0..2 {
        worker.session(pb::SessionRequest::default()).await.unwrap();
    }
    let limited = worker
        .session(pb::SessionRequest::default())
        .await
        .unwrap_err();
    assert_eq!(
        limited.message(),
        "node n1 exceeded rate limit count of registrations"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn states_are_the_own_node_s_and_never_go_back() {
    let swarm = Swarm::new().await;
    let mut worker = swarm.worker("n1").await;
    let mut stream = worker
        .session(pb::SessionRequest::default())
        .await
        .unwrap()
        .into_inner();
    let session_id = stream.message().await.unwrap().unwrap().session_id;
    let store = swarm.manager.0.store.clone();
    let task = |id: &str, node_id: &str| pb::Task {
        id: id.into(),
        node_id: node_id.into(),
        desired_state: pb::TaskState::Running.into(),
        ..Default::default()
    };
    let tasks = [task("mine", "n1"), task("foreign", "n2")];
    store
        .update(|tx| tasks.iter().try_for_each(|task| tx.create(task.clone())))
        .await
        .unwrap();
    let report = |id: &str, state: pb::TaskState| pb::UpdateTaskStatusRequest {
        session_id: session_id.clone(),
        updates: vec![TaskStatusUpdate {
            task_id: id.into(),
            status: Some(pb::TaskStatus {
                state: state.into(),
                ..Default::default()
            }),
        }],
    };
    let refused = worker
        .update_task_status(report("foreign", pb::TaskState::Running))
        .await
        .unwrap_err();
    assert_eq!(
        denied(&refused),
        "cannot update a task not assigned this node"
    );
    worker
        .update_task_status(report("gone", pb::TaskState::Running))
        .await
        .unwrap();
    for state in [
        pb::TaskState::Running,
        pb::TaskState::Preparing,
        pb::TaskState::Complete,
    ] {
        worker
            .update_task_status(report("mine", state))
            .await
            .unwrap();
    }
    let mut seen = Vec::new();
    let mut follow = follow::Follow::new(&store);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while seen.last() != Some(&pb::TaskState::Complete) {
        let state = store.view().tasks["mine"]
            .status
            .clone()
            .unwrap_or_default()
            .state();
        if seen.last() != Some(&state) {
            seen.push(state);
        }
        let _ = tokio::time::timeout_at(
            deadline.min(tokio::time::Instant::now() + Duration::from_millis(20)),
            follow.next(),
        )
        .await;
        assert!(tokio::time::Instant::now() < deadline, "{seen:?}");
    }
    assert!(!seen.contains(&pb::TaskState::Preparing));
    let foreign = store.view().tasks["foreign"]
        .status
        .clone()
        .unwrap_or_default();
    assert!(foreign.applied_by.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_shows_a_renewed_certificate_at_once() {
    let swarm = Swarm::new().await;
    let shown = async || {
        let tcp = tokio::net::TcpStream::connect(swarm.addr()).await.unwrap();
        let client =
            tokio_rustls::TlsConnector::from(tls::guest(&swarm.identity.root_pem).unwrap());
        let stream = client
            .connect(ServerName::try_from(CA).unwrap(), tcp)
            .await
            .unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let first = CertificateDer::from_pem_slice(&swarm.identity.cert_pem).unwrap();
    assert_eq!(shown().await, first);
    let channel = connect(
        &swarm.addr(),
        swarm.identity.live.get().client.clone(),
        MANAGER,
    )
    .await
    .unwrap();
    crate::ca::request::renew(&swarm.identity, channel, &swarm.identity.root_pem)
        .await
        .unwrap();
    let stored = Identity::load(&swarm.identity.dir).unwrap().unwrap();
    assert_eq!(
        shown().await,
        CertificateDer::from_pem_slice(&stored.cert_pem).unwrap()
    );
    assert_ne!(shown().await, first);
    assert!(stored.manager);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_manager_sends_its_nodes_away() {
    let swarm = Swarm::new().await;
    let mut worker = swarm.worker("n1").await;
    let mut stream = worker
        .session(pb::SessionRequest::default())
        .await
        .unwrap()
        .into_inner();
    stream.message().await.unwrap().unwrap();
    let stopped = tokio::spawn(swarm.manager.clone().stop());
    let ended = loop {
        match stream.message().await {
            Ok(message) => assert!(message.is_some()),
            Err(status) => break status,
        }
    };
    assert_eq!(
        (ended.code(), ended.message()),
        (Code::Aborted, "node must disconnect")
    );
    drop((stream, worker));
    tokio::time::timeout(Duration::from_secs(5), stopped)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_comes_from_the_cluster_s_spec() {
    let swarm = Swarm::new().await;
    let store = swarm.manager.0.store.clone();
    let changed = store.update(|tx| {
        let mut cluster = pb::Cluster::clone(&tx.state().clusters[&swarm.identity.cluster_id]);
        let config = pb::CaConfig {
            node_cert_expiry: Some(Duration::from_secs(2 * 3600).try_into().unwrap()),
            ..Default::default()
        };
        cluster.spec.as_mut().unwrap().ca_config = Some(config);
        tx.update(cluster)
    });
    changed.await.unwrap();
    let state = store.view();
    let cluster: &Arc<pb::Cluster> = &state.clusters[&swarm.identity.cluster_id];
    let csr = Request::create().unwrap().csr_pem;
    let signed = sign(cluster, "n1", pb::NodeRole::Worker, csr).unwrap();
    let leaf = crate::ca::certificate::Leaf::parse(&signed.certificate).unwrap();
    let validity = leaf.not_after.duration_since(leaf.not_before).unwrap();
    assert_eq!(validity, Duration::from_secs(3 * 3600));
}

/// Docker's agent fails a task whose network it has no balancer's address for yet: "failed to find a load balancer IP".
#[tokio::test(flavor = "multi_thread")]
async fn a_docker_node_hears_of_its_network_well_before_the_task() {
    let swarm = Swarm::new().await;
    let spec = pb::NetworkSpec {
        annotations: Some(pb::Annotations {
            name: "net".into(),
            ..Default::default()
        }),
        attachable: true,
        driver_config: Some(pb::Driver {
            name: "overlay".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    swarm.manager.control().create_network(spec).await.unwrap();
    for (node_id, version, at_least, at_most) in [
        ("docker", "20.10.24", 80, 5000),
        ("ours", "28.5.2+pontoon.0.1.0", 0, 80),
    ] {
        let mut worker = swarm.worker(node_id).await;
        let description = pb::NodeDescription {
            engine: Some(pb::EngineDescription {
                engine_version: version.into(),
                plugins: vec![pb::PluginDescription {
                    r#type: "Network".into(),
                    name: "overlay".into(),
                }],
                ..Default::default()
            }),
            ..Default::default()
        };
        let request = pb::SessionRequest {
            description: Some(description),
            ..Default::default()
        };
        let mut session = worker.session(request).await.unwrap().into_inner();
        let session_id = session.message().await.unwrap().unwrap().session_id;
        let request = pb::AssignmentsRequest { session_id };
        let mut assignments = worker.assignments(request).await.unwrap().into_inner();
        assert!(
            assignments
                .message()
                .await
                .unwrap()
                .unwrap()
                .changes
                .is_empty()
        );

        let channel = swarm
            .channel(node_id, WORKER, &swarm.identity.cluster_id)
            .await;
        let attach = pb::AttachNetworkRequest {
            config: Some(pb::NetworkAttachmentConfig {
                target: "net".into(),
                ..Default::default()
            }),
            container_id: "c".into(),
        };
        let mut resources = pb::resource_allocator_client::ResourceAllocatorClient::new(channel);
        resources.attach_network(attach).await.unwrap();
        let told = async {
            loop {
                let node = session.message().await.unwrap().unwrap().node.unwrap();
                let names = node.attachments.iter().filter_map(|a| a.network.as_ref());
                if names.filter_map(|n| n.spec.as_ref()).any(|s| s.attachable) {
                    return tokio::time::Instant::now();
                }
            }
        };
        let assigned = async {
            assignments.message().await.unwrap().unwrap();
            tokio::time::Instant::now()
        };
        let (told, assigned) = tokio::join!(told, assigned);
        let between = assigned.saturating_duration_since(told).as_millis();
        assert!(
            (at_least..at_most).contains(&between),
            "{node_id}: {between} ms"
        );
    }
}
