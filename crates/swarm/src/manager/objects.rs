//! The objects that a new cluster starts with, as SwarmKit's first leader makes them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use swarm_wire::pb;

use super::Init;
use crate::ca::root::{DEFAULT_EXPIRY, RootCa};
use crate::ca::token;
use crate::id::new_id;

const PREDEFINED: &str = "com.docker.swarm.predefined";
const DEFAULT_POOL: &str = "10.0.0.0/8";
const DEFAULT_SUBNET_SIZE: u32 = 24;
const DEFAULT_VXLAN_PORT: u32 = 4789;
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);

pub(super) fn cluster(id: &str, init: &Init, root: &RootCa) -> pb::Cluster {
    let pools = match init.default_addr_pool.is_empty() {
        true => vec![DEFAULT_POOL.into()],
        false => init.default_addr_pool.clone(),
    };
    pb::Cluster {
        id: id.to_owned(),
        spec: Some(spec(init.spec.clone())),
        root_ca: Some(pb::RootCa {
            ca_key: root.key_pem.clone(),
            ca_cert: root.cert_pem.clone(),
            ca_cert_hash: token::root_hash(&root.cert_pem),
            join_tokens: Some(pb::JoinTokens {
                worker: token::generate(&root.cert_pem),
                manager: token::generate(&root.cert_pem),
            }),
            ..Default::default()
        }),
        default_address_pool: pools,
        subnet_size: or(init.subnet_size, DEFAULT_SUBNET_SIZE),
        vxlanudp_port: or(init.data_path_port, DEFAULT_VXLAN_PORT),
        ..Default::default()
    }
}

/// What the user left out.
fn spec(mut spec: pb::ClusterSpec) -> pb::ClusterSpec {
    spec.annotations.get_or_insert_default().name = "default".into();
    spec.orchestration.get_or_insert(pb::OrchestrationConfig {
        task_history_retention_limit: 5,
    });
    spec.raft.get_or_insert(pb::RaftConfig {
        snapshot_interval: 10_000,
        keep_old_snapshots: 0,
        log_entries_for_slow_followers: 500,
        heartbeat_tick: 1,
        election_tick: 10,
    });
    let dispatcher = spec.dispatcher.get_or_insert_default();
    dispatcher.heartbeat_period.get_or_insert(whole(HEARTBEAT));
    let ca = spec.ca_config.get_or_insert_default();
    ca.node_cert_expiry.get_or_insert(whole(DEFAULT_EXPIRY));
    spec.encryption_config.get_or_insert_default();
    spec.task_defaults.get_or_insert_default();
    spec
}

pub(super) fn manager_node(
    id: &str,
    init: &Init,
    certificate: pb::Certificate,
    advertise: SocketAddr,
) -> pb::Node {
    pb::Node {
        id: id.to_owned(),
        role: pb::NodeRole::Manager.into(),
        spec: Some(pb::NodeSpec {
            desired_role: pb::NodeRole::Manager.into(),
            membership: pb::node_spec::Membership::Accepted.into(),
            availability: init.availability,
            ..Default::default()
        }),
        certificate: Some(certificate),
        manager_status: Some(manager_status(advertise)),
        vxlanudp_port: or(init.data_path_port, DEFAULT_VXLAN_PORT),
        ..Default::default()
    }
}

/// Of the one manager that there is.
pub(super) fn manager_status(advertise: SocketAddr) -> pb::ManagerStatus {
    pb::ManagerStatus {
        raft_id: 1,
        addr: advertise.to_string(),
        leader: true,
        reachability: pb::raft_member_status::Reachability::Reachable.into(),
    }
}

/// `ingress`, and the node-local networks that services may name.
pub(super) fn networks() -> [pb::Network; 3] {
    let ingress = pb::NetworkSpec {
        annotations: Some(annotations("ingress", BTreeMap::new())),
        driver_config: Some(pb::Driver::default()),
        ipam: Some(pb::IpamOptions {
            driver: Some(pb::Driver::default()),
            configs: Vec::new(),
        }),
        ingress: true,
        ..Default::default()
    };
    let predefined = |name: &str| pb::NetworkSpec {
        annotations: Some(annotations(
            name,
            BTreeMap::from([(PREDEFINED.into(), "true".into())]),
        )),
        driver_config: Some(pb::Driver {
            name: name.into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    [ingress, predefined("bridge"), predefined("host")].map(|spec| pb::Network {
        id: new_id(),
        spec: Some(spec),
        ..Default::default()
    })
}

fn annotations(name: &str, labels: BTreeMap<String, String>) -> pb::Annotations {
    pb::Annotations {
        name: name.into(),
        labels,
        ..Default::default()
    }
}

fn or(given: u32, default: u32) -> u32 {
    if given == 0 { default } else { given }
}

fn whole(duration: Duration) -> swarm_wire::prost_types::Duration {
    swarm_wire::prost_types::Duration {
        seconds: duration.as_secs().cast_signed(),
        nanos: 0,
    }
}
