//! Making a swarm, joining it, staying in it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::common::{Fake, LOOPBACK, Node, Swarm, config, init_with};
use raft_store::State;
use swarm::agent::{self, Agent};
use swarm::ca::{self, Identity};
use swarm::manager::{Error, Manager};
use swarm_wire::pb;
use swarm_wire::pb::node_status::State as NodeState;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_swarm_has_what_swarmkit_s_has() {
    let swarm = Swarm::new().await;
    let state = swarm.view();
    let cluster = swarm.cluster();
    let spec = cluster.spec.clone().unwrap();
    assert_eq!(cluster.id, swarm.identity.cluster_id);
    assert_eq!(spec.annotations.unwrap().name, "default");
    assert_eq!(spec.orchestration.unwrap().task_history_retention_limit, 5);
    assert_eq!(
        spec.ca_config.unwrap().node_cert_expiry.unwrap().seconds,
        2160 * 3600
    );
    assert_eq!(
        (
            cluster.default_address_pool[0].as_str(),
            cluster.subnet_size
        ),
        ("10.0.0.0/8", 24)
    );
    assert_eq!(cluster.vxlanudp_port, 4789);
    assert_eq!(cluster.network_bootstrap_keys.len(), 6);
    let mut names: Vec<_> = state
        .networks
        .values()
        .map(|n| n.spec.clone().unwrap().annotations.unwrap().name)
        .collect();
    names.sort();
    assert_eq!(names, ["bridge", "host", "ingress"]);
    let node = &state.nodes[&swarm.identity.node_id];
    assert_eq!(node.role(), pb::NodeRole::Manager);
    assert_eq!(node.manager_status.as_ref().unwrap().addr, swarm.addr());
    let status = node.certificate.clone().unwrap().status.unwrap();
    assert_eq!(status.state(), pb::issuance_status::State::Issued);
    assert!(swarm.identity.manager);
    swarm.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_join_and_are_ready() {
    let swarm = Swarm::new().await;
    let (one, two) = (swarm.join().await, swarm.join().await);
    for node in [&one, &two] {
        let ready = swarm.until_node(node.id(), NodeState::Ready).await;
        assert_eq!(ready.status.clone().unwrap().addr, "127.0.0.1");
        let description = ready.description.clone().unwrap();
        assert_eq!(description.hostname, "fake");
        let tls = description.tls_info.unwrap();
        assert_eq!(tls.trust_root, swarm.identity.root_pem);
        assert!(!tls.cert_issuer_subject.is_empty() && !tls.cert_issuer_public_key.is_empty());
        assert_eq!(ready.role(), pb::NodeRole::Worker);
        let status = node.until_status(|status| status.connected).await;
        assert_eq!(status.managers[0].addr, swarm.addr());
        assert_eq!(node.executor.keys.borrow().len(), 6);
    }
    let stored = std::fs::read_to_string(one.dir.path().join("state.json")).unwrap();
    assert!(stored.contains(&swarm.addr()));
    let again = Identity::load(one.dir.path()).unwrap().unwrap();
    assert_eq!(again.node_id, one.id());
    assert!(!again.manager);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_are_refused_and_leave_nothing() {
    let swarm = Swarm::new().await;
    let dir = tempfile::tempdir().unwrap();
    let join = async |token: String| {
        let error = Identity::request(dir.path(), &[swarm.addr()], &token, 0)
            .await
            .err()
            .unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(swarm.view().nodes.len(), 1);
        error
    };
    let worker = swarm.token();
    assert!(matches!(
        join("SWMTKN-1-x".into()).await,
        ca::Error::InvalidToken
    ));

    let secret = worker.rsplit('-').next().unwrap();
    let other_secret = worker.replace(secret, "0000000000000000000000001");
    assert_eq!(
        join(other_secret).await.to_string(),
        "rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster"
    );

    let digest = worker.split('-').nth(2).unwrap();
    let zeros = "0".repeat(50);
    assert!(matches!(
        join(worker.replace(digest, &zeros)).await,
        ca::Error::Fingerprint { .. }
    ));

    let manager = swarm
        .cluster()
        .root_ca
        .clone()
        .unwrap()
        .join_tokens
        .unwrap()
        .manager;
    let refused = join(manager).await.to_string();
    assert!(refused.contains("join with the worker token"), "{refused}");
}

/// Five tries, two seconds apart, as Docker has it.
#[tokio::test]
async fn a_manager_that_is_not_there_is_said_to_be_not_there() {
    let addr = {
        let listener = std::net::TcpListener::bind(LOOPBACK).unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let token = swarm::ca::token::generate(b"some root");
    let dir = tempfile::tempdir().unwrap();
    let begun = tokio::time::Instant::now();
    let error = Identity::request(dir.path(), std::slice::from_ref(&addr), &token, 0)
        .await
        .err()
        .unwrap();
    assert!(begun.elapsed().as_secs() >= 8);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let expected = format!(
        "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial tcp {addr}: connect: connection refused\""
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_leaves_nothing_behind_and_a_stopped_manager_frees_it() {
    let swarm = Swarm::new().await;
    let addr = swarm.manager.local_addr();
    let dir = tempfile::tempdir().unwrap();
    let init = init_with(Duration::from_secs(5));
    let error = Manager::init(config(&dir, addr), init.clone())
        .await
        .err()
        .unwrap();
    assert!(matches!(error, Error::Listen { .. }), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    swarm.manager.stop().await;
    let (manager, _) = Manager::init(config(&dir, addr), init.clone())
        .await
        .unwrap();
    let again = Manager::init(config(&dir, LOOPBACK), init)
        .await
        .err()
        .unwrap();
    assert!(again.to_string().contains("part of a swarm already"));
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_restarts_with_its_state_and_nodes_come_back() {
    let swarm = Swarm::new().await;
    let node = swarm.join().await;
    swarm.until_node(node.id(), NodeState::Ready).await;
    let (addr, before) = (swarm.manager.local_addr(), swarm.cluster());
    swarm.manager.stop().await;
    node.until_status(|status| !status.connected).await;

    let identity = Identity::load(swarm.dir.path()).unwrap().unwrap();
    let manager = Manager::restart(config(&swarm.dir, addr), identity.clone())
        .await
        .unwrap();
    let swarm = Swarm {
        manager,
        identity,
        dir: swarm.dir,
    };
    assert_eq!(swarm.cluster().root_ca, before.root_ca);
    swarm.until_node(node.id(), NodeState::Ready).await;
    node.until_status(|status| status.connected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_a_failure_and_coming_back_heals_it() {
    let swarm = Swarm::with(Duration::from_millis(100)).await;
    let node = swarm.join().await;
    swarm.until_node(node.id(), NodeState::Ready).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let status = swarm.view().nodes[node.id()].status.clone().unwrap();
    assert_eq!(status.state(), NodeState::Ready);
    node.agent.stop(false).await;
    let down = swarm
        .until_node(&node.identity.node_id, NodeState::Down)
        .await;
    assert_eq!(down.status.clone().unwrap().message, "heartbeat failure");
    let node = Node::start(&swarm, node.dir, node.identity, node.executor).await;
    swarm.until_node(node.id(), NodeState::Ready).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_keys_reach_the_nodes() {
    let swarm = Swarm::new().await;
    let node = swarm.join().await;
    node.until_status(|status| status.connected).await;
    let mut keys = node.executor.keys.subscribe();
    let before = keys.borrow_and_update().clone();
    swarm.manager.rotate_network_keys().await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), keys.changed())
        .await
        .unwrap()
        .unwrap();
    let after = keys.borrow().clone();
    assert_eq!(after.len(), 6);
    assert_eq!(after.iter().filter(|key| !before.contains(key)).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed_under_the_same_id() {
    let swarm = Swarm::new().await;
    let node = swarm.join().await;
    swarm.until_node(node.id(), NodeState::Ready).await;
    node.agent.renew_certificate().await.unwrap();
    let renewed = Identity::load(node.dir.path()).unwrap().unwrap();
    assert_eq!(renewed.node_id, node.id());
    assert_ne!(renewed.cert_pem, node.identity.cert_pem);
    assert_ne!(renewed.key_pem, node.identity.key_pem);
    // New connections use it: the manager knows the new one, and the node gets in with it.
    let restarted = swarm.manager.local_addr();
    swarm.manager.stop().await;
    let identity = Identity::load(swarm.dir.path()).unwrap().unwrap();
    let manager = Manager::restart(config(&swarm.dir, restarted), identity.clone())
        .await
        .unwrap();
    let swarm = Swarm {
        manager,
        identity,
        dir: swarm.dir,
    };
    swarm.until_node(node.id(), NodeState::Ready).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_root_comes_when_every_node_has_followed() {
    let swarm = Swarm::new().await;
    // The manager is a node too.
    let own = agent::Config {
        dir: swarm.dir.path().to_owned(),
        managers: vec![swarm.addr()],
        availability: 0,
    };
    let own = Agent::start(own, swarm.identity.clone(), Arc::new(Fake::default()));
    let own = own.await.unwrap();
    let (one, late) = (swarm.join().await, swarm.join().await);
    for id in [&swarm.identity.node_id, one.id(), late.id()] {
        swarm.until_node(id, NodeState::Ready).await;
    }
    let (old, token) = (swarm.cluster(), swarm.token());
    let (late_id, late_dir) = (late.id().to_owned(), late.dir);
    late.agent.stop(false).await;

    let mut spec = old.spec.clone().unwrap();
    spec.ca_config.as_mut().unwrap().force_rotate += 1;
    let version = old.meta.as_ref().unwrap().version.unwrap().index;
    let control = swarm.manager.control();
    let rotation = pb::KeyRotation::default();
    control
        .update_cluster(&old.id, version, spec, rotation)
        .await
        .unwrap();
    let root = |cluster: &pb::Cluster| cluster.root_ca.clone().unwrap();
    let next = root(&swarm.cluster()).root_rotation.unwrap().ca_cert;
    // While one is away the old root stays, and who comes is let in by it.
    let issuer = ca::issuer_of(&root(&swarm.cluster())).unwrap();
    let followed = |node: &Arc<pb::Node>| {
        let tls = node
            .description
            .clone()
            .and_then(|d| d.tls_info)
            .unwrap_or_default();
        (tls.cert_issuer_subject, tls.cert_issuer_public_key) == issuer
    };
    let new = swarm.join().await;
    for id in [&swarm.identity.node_id, one.id(), new.id()] {
        swarm
            .until("it follows", |view| followed(&view.nodes[id]))
            .await;
    }
    assert_eq!(
        root(&swarm.cluster()).ca_cert,
        old.root_ca.clone().unwrap().ca_cert
    );
    assert_eq!(swarm.token(), token);

    let identity = Identity::load(late_dir.path()).unwrap().unwrap();
    assert_eq!(identity.node_id, late_id);
    let late = Node::start(&swarm, late_dir, identity, Fake::default()).await;
    let is_new = |view: &State| root(view.clusters.values().next().unwrap()).ca_cert == next;
    swarm.until("the new root", is_new).await;
    assert_eq!(root(&swarm.cluster()).root_rotation, None);
    assert_ne!(swarm.token(), token);
    for dir in [&swarm.dir, &one.dir, &late.dir, &new.dir] {
        let trusted =
            || std::fs::read(dir.path().join("certificates/swarm-root-ca.crt")).unwrap() == next;
        let begun = std::time::Instant::now();
        while !trusted() {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "a node does not trust the new root"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let last = swarm.join().await;
    swarm.until_node(last.id(), NodeState::Ready).await;
    // And it holds over a restart of everything.
    own.stop(false).await;
    let addr = swarm.manager.local_addr();
    swarm.manager.stop().await;
    let identity = Identity::load(swarm.dir.path()).unwrap().unwrap();
    let manager = Manager::restart(config(&swarm.dir, addr), identity.clone())
        .await
        .unwrap();
    let swarm = Swarm {
        manager,
        identity,
        dir: swarm.dir,
    };
    for node in [&one, &late, &new, &last] {
        swarm.until_node(node.id(), NodeState::Ready).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_node_is_out() {
    let swarm = Swarm::new().await;
    let node = swarm.join().await;
    swarm.until_node(node.id(), NodeState::Ready).await;
    let (id, cluster_id) = (node.id().to_owned(), swarm.identity.cluster_id.clone());
    let store = swarm.manager.control().store().clone();
    let removed = store.update(|tx| {
        let mut cluster = pb::Cluster::clone(&tx.state().clusters[&cluster_id]);
        let expiry = Some((SystemTime::now() + Duration::from_secs(3600)).into());
        cluster
            .blacklisted_certificates
            .insert(id.clone(), pb::BlacklistedCertificate { expiry });
        tx.update(cluster)?;
        tx.remove(raft_store::Kind::Node, &id)
    });
    removed.await.unwrap();
    let reason = format!("node {id} was removed from swarm");
    node.until_status(|status| !status.connected && status.error.contains(&reason))
        .await;
    let refused = tokio::time::timeout(
        Duration::from_secs(5),
        node.agent.attach_network(Default::default(), "c"),
    );
    assert!(refused.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_port_changes_nothing() {
    let swarm = Swarm::new().await;
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x16, 3, 1, 0xff, 0xff, 0, 0, 0],
        &[0; 4096],
        b"",
    ] {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(swarm.addr()).await.unwrap();
            let _ = stream.write_all(garbage).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            let read =
                tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer));
            let _ = read.await.expect("the connection is closed");
            assert!(answer.len() < 100);
        }
    }
    let node = swarm.join().await;
    swarm.until_node(node.id(), NodeState::Ready).await;
}
