//! Texts and codes of refusals, on a real store.

use raft_store::Store;
use swarm_wire::pb;
use swarm_wire::pb::service_spec::Mode;
use tempfile::TempDir;
use tonic::{Code, Status};

use super::Control;

fn named(name: &str) -> Option<pb::Annotations> {
    Some(pb::Annotations {
        name: name.into(),
        ..Default::default()
    })
}

async fn control() -> (TempDir, Control) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("raft")).await.unwrap();
    let made: Result<(), raft_store::Error> = store
        .update(|tx| {
            tx.create(pb::Cluster {
                id: "c".into(),
                ..Default::default()
            })?;
            tx.create(pb::Network {
                id: "ingress-id".into(),
                spec: Some(pb::NetworkSpec {
                    annotations: named("ingress"),
                    ingress: true,
                    ..Default::default()
                }),
                ..Default::default()
            })
        })
        .await;
    made.unwrap();
    (dir, Control::new(store))
}

fn network(name: &str, subnet: &str) -> pb::NetworkSpec {
    let configs = [subnet].into_iter().filter(|subnet| !subnet.is_empty());
    pb::NetworkSpec {
        annotations: named(name),
        ipam: Some(pb::IpamOptions {
            configs: configs
                .map(|subnet| pb::IpamConfig {
                    subnet: subnet.into(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn service(name: &str) -> pb::ServiceSpec {
    pb::ServiceSpec {
        annotations: named(name),
        task: Some(pb::TaskSpec {
            runtime: Some(pb::task_spec::Runtime::Container(pb::ContainerSpec {
                image: "busybox".into(),
                ..Default::default()
            })),
            ..Default::default()
        }),
        mode: Some(Mode::Replicated(pb::ReplicatedService { replicas: 1 })),
        ..Default::default()
    }
}

fn with_port(mut spec: pb::ServiceSpec, port: u32) -> pb::ServiceSpec {
    spec.endpoint
        .get_or_insert_default()
        .ports
        .push(pb::PortConfig {
            target_port: 80,
            published_port: port,
            ..Default::default()
        });
    spec
}

fn version(meta: &Option<pb::Meta>) -> u64 {
    meta.as_ref().unwrap().version.unwrap().index
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, text: &str) {
    let status = result.unwrap_err();
    assert_eq!((status.code(), status.message()), (code, text));
}

#[tokio::test]
async fn networks_are_refused_as_docker_does() {
    let (_dir, control) = control().await;
    let net = control
        .create_network(network("net", "10.9.0.0/24"))
        .await
        .unwrap();
    refused(
        control.create_network(network("net", "")).await,
        Code::AlreadyExists,
        "network with name net already exists",
    );
    refused(
        control
            .create_network(network("other", "10.9.0.128/25"))
            .await,
        Code::PermissionDenied,
        "Pool overlaps with other one on this address space",
    );
    refused(
        control.create_network(network("other", "10.9.0.0")).await,
        Code::InvalidArgument,
        "ipam configuration: invalid subnet 10.9.0.0",
    );
    let mut spec = network("other", "10.8.0.0/24");
    spec.ipam.as_mut().unwrap().configs[0].gateway = "10.7.0.1".into();
    refused(
        control.create_network(spec).await,
        Code::InvalidArgument,
        "ipam configuration: subnet 10.8.0.0/24 does not contain gateway 10.7.0.1",
    );
    let mut spec = network("in2", "");
    spec.ingress = true;
    refused(
        control.create_network(spec.clone()).await,
        Code::AlreadyExists,
        "ingress network (ingress-id) is already present",
    );
    spec.attachable = true;
    refused(
        control.create_network(spec).await,
        Code::InvalidArgument,
        "ingress network cannot be attachable",
    );
    let mut spec = network("other", "");
    spec.driver_config = Some(pb::Driver {
        name: "ref".into(),
        ..Default::default()
    });
    refused(
        control.create_network(spec).await,
        Code::InvalidArgument,
        "legacy plugin ref of type NetworkDriver is not supported in swarm mode",
    );
    refused(
        control.remove_network("nix").await,
        Code::NotFound,
        "network nix not found",
    );

    let mut spec = service("web");
    spec.task
        .as_mut()
        .unwrap()
        .networks
        .push(pb::NetworkAttachmentConfig {
            target: net.id.clone(),
            ..Default::default()
        });
    let web = control.create_service(spec).await.unwrap();
    refused(
        control.remove_network(&net.id).await,
        Code::FailedPrecondition,
        &format!("network {} is in use by service {}", net.id, web.id),
    );
    control.remove_service(&web.id).await.unwrap();
    control.remove_network(&net.id).await.unwrap();
    let meshed = control
        .create_service(with_port(service("mesh"), 80))
        .await
        .unwrap();
    refused(
        control.remove_network("ingress-id").await,
        Code::FailedPrecondition,
        &format!(
            "ingress network cannot be removed because service {} depends on it",
            meshed.id
        ),
    );
    control.remove_service(&meshed.id).await.unwrap();
    control.remove_network("ingress-id").await.unwrap();
    refused(
        control.create_service(with_port(service("mesh"), 80)).await,
        Code::FailedPrecondition,
        "service needs ingress network, but no ingress network is present",
    );
    // An exhausted pool: everything that the cluster has is one /8.
    control
        .create_network(network("all", "10.0.0.0/8"))
        .await
        .unwrap();
    refused(
        control.create_network(network("more", "")).await,
        Code::InvalidArgument,
        "all predefined address pools have been fully subnetted",
    );
}

#[tokio::test]
async fn services_are_refused_as_docker_does() {
    let (_dir, control) = control().await;
    let web = control
        .create_service(with_port(service("web"), 8080))
        .await
        .unwrap();
    refused(
        control.create_service(service("web")).await,
        Code::AlreadyExists,
        "name conflicts with an existing object: service web already exists",
    );
    refused(
        control
            .create_service(with_port(service("two"), 8080))
            .await,
        Code::InvalidArgument,
        &format!(
            "port '8080' is already in use by service 'web' ({}) as an ingress port",
            web.id
        ),
    );
    refused(
        control
            .create_service(with_port(with_port(service("two"), 1), 1))
            .await,
        Code::InvalidArgument,
        "EndpointSpec: duplicate published ports provided",
    );
    let mut spec = with_port(service("two"), 1);
    spec.endpoint
        .as_mut()
        .unwrap()
        .set_mode(pb::endpoint_spec::ResolutionMode::Dnsrr);
    refused(
        control.create_service(spec).await,
        Code::InvalidArgument,
        "EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
    );
    for (target, code, text) in [
        ("nix", Code::NotFound, "network nix not found"),
        (
            "ingress-id",
            Code::InvalidArgument,
            "Service cannot be explicitly attached to the ingress network \"ingress\"",
        ),
    ] {
        let mut spec = service("two");
        spec.task
            .as_mut()
            .unwrap()
            .networks
            .push(pb::NetworkAttachmentConfig {
                target: target.into(),
                ..Default::default()
            });
        refused(control.create_service(spec).await, code, text);
    }
    let mut spec = service("two");
    let placement = spec
        .task
        .as_mut()
        .unwrap()
        .placement
        .get_or_insert_default();
    placement.constraints.push("node.id".into());
    refused(
        control.create_service(spec).await,
        Code::InvalidArgument,
        "constraint expected one operator from ==, !=",
    );
    let mut spec = service("two");
    spec.mode = Some(Mode::GlobalJob(pb::GlobalJob {}));
    refused(
        control.create_service(spec).await,
        Code::Unimplemented,
        "job services are not supported",
    );
    refused(
        control.remove_service("nix").await,
        Code::NotFound,
        "service nix not found",
    );
    assert_eq!(control.view().services.len(), 1);
}

#[tokio::test]
async fn a_service_is_updated_in_sequence_and_rolled_back() {
    let (_dir, control) = control().await;
    let first = control.create_service(service("web")).await.unwrap();
    let mut spec = service("web");
    spec.mode = Some(Mode::Replicated(pb::ReplicatedService { replicas: 5 }));
    let seen = version(&first.meta);
    let second = control
        .update_service(&first.id, seen, spec.clone(), false)
        .await
        .unwrap();
    assert_eq!(second.spec.as_ref(), Some(&spec));
    assert_eq!(second.previous_spec, first.spec);
    refused(
        control
            .update_service(&first.id, seen, spec.clone(), false)
            .await,
        Code::Unknown,
        "update out of sequence",
    );
    let third = control
        .update_service(&first.id, version(&second.meta), spec.clone(), true)
        .await
        .unwrap();
    assert_eq!(
        (&third.spec, &third.spec_version),
        (&first.spec, &first.spec_version)
    );
    let status = third.update_status.as_ref().unwrap();
    assert_eq!(
        status.state(),
        pb::update_status::UpdateState::RollbackStarted
    );

    let seen = version(&third.meta);
    spec.mode = Some(Mode::Global(pb::GlobalService {}));
    refused(
        control.update_service(&first.id, seen, spec, false).await,
        Code::Unimplemented,
        "service mode change is not allowed",
    );
    refused(
        control
            .update_service(&first.id, seen, service("other"), false)
            .await,
        Code::Unimplemented,
        "renaming services is not supported",
    );
}

#[tokio::test]
async fn secrets_and_configs_are_guarded() {
    let (_dir, control) = control().await;
    let spec = |name: &str, data: &[u8]| pb::SecretSpec {
        annotations: named(name),
        data: data.to_vec(),
        ..Default::default()
    };
    let key = control.create_secret(spec("key", b"x")).await.unwrap();
    refused(
        control.create_secret(spec("key", b"y")).await,
        Code::AlreadyExists,
        "secret key already exists",
    );
    refused(
        control.create_secret(spec("empty", b"")).await,
        Code::InvalidArgument,
        "secret data must be larger than 0 and less than 512000 bytes",
    );
    let config = pb::ConfigSpec {
        annotations: named("c"),
        data: vec![0; 1_024_000],
        ..Default::default()
    };
    refused(
        control.create_config(config).await,
        Code::InvalidArgument,
        "config data must be larger than 0 and less than 1024000 bytes",
    );
    refused(
        control
            .update_secret(&key.id, version(&key.meta), spec("key", b"other"))
            .await,
        Code::InvalidArgument,
        "only updates to Labels are allowed",
    );
    let mut labelled = spec("key", b"");
    labelled
        .annotations
        .as_mut()
        .unwrap()
        .labels
        .insert("a".into(), "b".into());
    let changed = control
        .update_secret(&key.id, version(&key.meta), labelled)
        .await
        .unwrap();
    assert_eq!(changed.spec.as_ref().unwrap().data, b"x");

    let mut web = service("web");
    if let Some(pb::task_spec::Runtime::Container(container)) =
        &mut web.task.as_mut().unwrap().runtime
    {
        container.secrets.push(pb::SecretReference {
            secret_id: key.id.clone(),
            secret_name: "key".into(),
            target: Some(pb::secret_reference::Target::File(pb::FileTarget {
                name: "key".into(),
                ..Default::default()
            })),
        });
    }
    control.create_service(web.clone()).await.unwrap();
    refused(
        control.remove_secret(&key.id).await,
        Code::InvalidArgument,
        "secret 'key' is in use by the following service: web",
    );
    refused(
        control.remove_config("nix").await,
        Code::NotFound,
        "could not find config nix",
    );
    web.annotations = named("two");
    if let Some(pb::task_spec::Runtime::Container(container)) =
        &mut web.task.as_mut().unwrap().runtime
    {
        container.secrets[0].secret_name = "door".into();
    }
    refused(
        control.create_service(web).await,
        Code::InvalidArgument,
        "secret not found: door",
    );
}

#[tokio::test]
async fn nodes_are_guarded() {
    let (_dir, control) = control().await;
    let node = |id: &str, role: pb::NodeRole| pb::Node {
        id: id.into(),
        role: role.into(),
        spec: Some(pb::NodeSpec {
            desired_role: role.into(),
            ..Default::default()
        }),
        status: Some(pb::NodeStatus {
            state: pb::node_status::State::Ready.into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let task = pb::Task {
        id: "t".into(),
        node_id: "w".into(),
        ..Default::default()
    };
    let made: Result<(), raft_store::Error> = control
        .store()
        .update(|tx| {
            tx.create(node("m", pb::NodeRole::Manager))?;
            tx.create(node("w", pb::NodeRole::Worker))?;
            tx.create(task.clone())
        })
        .await;
    made.unwrap();
    let seen = |id: &str| version(&control.view().nodes[id].meta);
    refused(
        control
            .update_node("m", seen("m"), pb::NodeSpec::default())
            .await,
        Code::FailedPrecondition,
        "attempting to demote the last manager of the swarm",
    );
    refused(
        control.remove_node("w", false).await,
        Code::FailedPrecondition,
        "node w is not down and can't be removed",
    );
    refused(
        control.remove_node("x", true).await,
        Code::NotFound,
        "node x not found",
    );
    assert_eq!(
        control.remove_node("m", true).await.unwrap_err().code(),
        Code::FailedPrecondition
    );
    control.remove_node("w", true).await.unwrap();
    let state = control.view();
    assert!(
        state.clusters["c"]
            .blacklisted_certificates
            .contains_key("w")
    );
    assert_eq!(
        state.tasks["t"].status.as_ref().unwrap().state(),
        pb::TaskState::Orphaned
    );
}
