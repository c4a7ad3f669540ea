use engine_types::{Base64, Result, swarm};
use swarm_wire::pb;

use super::names::{NODE_AVAILABILITY, NODE_ROLE, NODE_STATE, REACHABILITY};
use super::{annotations_json, annotations_pb, each, meta_json, some_map};

pub fn node_json(node: &pb::Node) -> swarm::Node {
    let spec = node.spec.clone().unwrap_or_default();
    let status = node.status.clone().unwrap_or_default();
    swarm::Node {
        id: node.id.clone(),
        meta: meta_json(node.meta.as_ref()),
        spec: swarm::NodeSpec {
            annotations: annotations_json(spec.annotations.as_ref()),
            role: NODE_ROLE.word(spec.desired_role),
            availability: NODE_AVAILABILITY.word(spec.availability),
        },
        description: description(node.description.as_ref()),
        status: swarm::NodeStatus {
            state: NODE_STATE.word(status.state),
            message: status.message,
            addr: status.addr,
        },
        manager_status: node.manager_status.as_ref().map(|m| swarm::ManagerStatus {
            leader: m.leader,
            reachability: REACHABILITY.word(m.reachability),
            addr: m.addr.clone(),
        }),
    }
}

fn description(d: Option<&pb::NodeDescription>) -> swarm::NodeDescription {
    let Some(d) = d else {
        return swarm::NodeDescription::default();
    };
    let engine = d.engine.clone().unwrap_or_default();
    let platform = d.platform.clone().unwrap_or_default();
    let resources = d.resources.clone().unwrap_or_default();
    swarm::NodeDescription {
        hostname: d.hostname.clone(),
        platform: swarm::Platform {
            architecture: platform.architecture,
            os: platform.os,
        },
        resources: swarm::Resources {
            nano_cpus: resources.nano_cpus,
            memory_bytes: resources.memory_bytes,
            ..Default::default()
        },
        engine: swarm::EngineDescription {
            engine_version: engine.engine_version,
            labels: some_map(&engine.labels),
            plugins: each(&engine.plugins, |p| swarm::PluginDescription {
                r#type: p.r#type.clone(),
                name: p.name.clone(),
            }),
        },
        tls_info: d
            .tls_info
            .as_ref()
            .map_or_else(Default::default, |t| swarm::TLSInfo {
                trust_root: String::from_utf8_lossy(&t.trust_root).into_owned(),
                cert_issuer_subject: Some(Base64(t.cert_issuer_subject.clone())),
                cert_issuer_public_key: Some(Base64(t.cert_issuer_public_key.clone())),
            }),
        csi_info: None,
    }
}

pub fn node_spec_pb(spec: swarm::NodeSpec) -> Result<pb::NodeSpec> {
    Ok(pb::NodeSpec {
        annotations: annotations_pb(spec.annotations),
        desired_role: NODE_ROLE.value(&spec.role)?,
        membership: pb::node_spec::Membership::Accepted.into(),
        availability: NODE_AVAILABILITY.value(&spec.availability)?,
    })
}
