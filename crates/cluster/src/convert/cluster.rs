use engine_types::{Base64, Result, swarm};
use swarm_wire::pb;

use super::{
    annotations_json, annotations_pb, driver_json, driver_pb, duration_json, duration_pb,
    meta_json, some,
};

/// `GET /swarm`.
pub fn cluster_json(cluster: &pb::Cluster) -> swarm::Swarm {
    let tokens = cluster
        .root_ca
        .as_ref()
        .and_then(|ca| ca.join_tokens.clone())
        .unwrap_or_default();
    swarm::Swarm {
        cluster_info: cluster_info(cluster),
        join_tokens: swarm::JoinTokens {
            worker: tokens.worker,
            manager: tokens.manager,
        },
    }
}

/// The part that `docker info` shows too: no tokens.
pub fn cluster_info(cluster: &pb::Cluster) -> swarm::ClusterInfo {
    let ca = cluster.root_ca.clone().unwrap_or_default();
    let issuer = ::swarm::ca::issuer_of(&ca);
    swarm::ClusterInfo {
        id: cluster.id.clone(),
        meta: meta_json(cluster.meta.as_ref()),
        spec: spec_json(cluster.spec.clone().unwrap_or_default()),
        tls_info: swarm::TLSInfo {
            trust_root: String::from_utf8_lossy(&ca.ca_cert).into_owned(),
            cert_issuer_subject: issuer.clone().map(|(subject, _)| Base64(subject)),
            cert_issuer_public_key: issuer.map(|(_, key)| Base64(key)),
        },
        root_rotation_in_progress: ca.root_rotation.is_some(),
        default_addr_pool: some(&cluster.default_address_pool),
        subnet_size: cluster.subnet_size,
        data_path_port: if cluster.vxlanudp_port == 0 {
            4789
        } else {
            cluster.vxlanudp_port
        },
    }
}

fn spec_json(spec: pb::ClusterSpec) -> swarm::Spec {
    let raft = spec.raft.unwrap_or_default();
    let ca = spec.ca_config.unwrap_or_default();
    swarm::Spec {
        annotations: annotations_json(spec.annotations.as_ref()),
        orchestration: swarm::OrchestrationConfig {
            task_history_retention_limit: spec
                .orchestration
                .map(|o| o.task_history_retention_limit),
        },
        raft: swarm::RaftConfig {
            snapshot_interval: raft.snapshot_interval,
            keep_old_snapshots: Some(raft.keep_old_snapshots),
            log_entries_for_slow_followers: raft.log_entries_for_slow_followers,
            election_tick: raft.election_tick.into(),
            heartbeat_tick: raft.heartbeat_tick.into(),
        },
        dispatcher: swarm::DispatcherConfig {
            heartbeat_period: duration_json(
                spec.dispatcher.and_then(|d| d.heartbeat_period).as_ref(),
            ),
        },
        ca_config: swarm::CAConfig {
            node_cert_expiry: duration_json(ca.node_cert_expiry.as_ref()),
            force_rotate: ca.force_rotate,
            ..Default::default()
        },
        task_defaults: swarm::TaskDefaults {
            log_driver: driver_json(spec.task_defaults.and_then(|t| t.log_driver).as_ref()),
        },
        encryption_config: swarm::EncryptionConfig {
            auto_lock_managers: spec.encryption_config.is_some_and(|e| e.auto_lock_managers),
        },
    }
}

/// Zero values become Docker's defaults.
pub fn cluster_spec_pb(spec: swarm::Spec) -> Result<pb::ClusterSpec> {
    fn or<T: Default + PartialEq>(value: T, default: T) -> T {
        if value == T::default() {
            default
        } else {
            value
        }
    }
    const HOUR: i64 = 3_600_000_000_000;
    Ok(pb::ClusterSpec {
        annotations: annotations_pb(swarm::Annotations {
            name: or(spec.annotations.name, "default".into()),
            ..spec.annotations
        }),
        acceptance_policy: None,
        orchestration: Some(pb::OrchestrationConfig {
            task_history_retention_limit: spec
                .orchestration
                .task_history_retention_limit
                .unwrap_or(5),
        }),
        raft: Some(pb::RaftConfig {
            snapshot_interval: or(spec.raft.snapshot_interval, 10_000),
            keep_old_snapshots: spec.raft.keep_old_snapshots.unwrap_or(0),
            log_entries_for_slow_followers: or(spec.raft.log_entries_for_slow_followers, 500),
            heartbeat_tick: or(spec.raft.heartbeat_tick, 1).clamp(1, 1000) as u32,
            election_tick: or(spec.raft.election_tick, 10).clamp(1, 10_000) as u32,
        }),
        dispatcher: Some(pb::DispatcherConfig {
            heartbeat_period: Some(duration_pb(or(
                spec.dispatcher.heartbeat_period,
                5_000_000_000,
            ))),
        }),
        ca_config: Some(pb::CaConfig {
            node_cert_expiry: Some(duration_pb(or(
                spec.ca_config.node_cert_expiry,
                2160 * HOUR,
            ))),
            external_cas: Vec::new(),
            signing_ca_cert: spec.ca_config.signing_ca_cert.into_bytes(),
            signing_ca_key: spec.ca_config.signing_ca_key.into_bytes(),
            force_rotate: spec.ca_config.force_rotate,
        }),
        task_defaults: Some(pb::TaskDefaults {
            log_driver: driver_pb(spec.task_defaults.log_driver),
        }),
        encryption_config: Some(pb::EncryptionConfig {
            auto_lock_managers: spec.encryption_config.auto_lock_managers,
        }),
    })
}
