use engine_types::swarm;
use swarm_wire::pb;

use super::names::TASK_STATE;
use super::network::network_json;
use super::service::{ports_json, task_spec_json};
use super::{annotations_json, each, meta_json, some, time_json};

pub fn task_json(task: &pb::Task) -> swarm::Task {
    let status = task.status.clone().unwrap_or_default();
    swarm::Task {
        id: task.id.clone(),
        meta: meta_json(task.meta.as_ref()),
        annotations: annotations_json(task.annotations.as_ref()),
        spec: task_spec_json(task.spec.as_ref()),
        service_id: task.service_id.clone(),
        slot: i64::try_from(task.slot).unwrap_or(i64::MAX),
        node_id: task.node_id.clone(),
        status: swarm::TaskStatus {
            timestamp: time_json(status.timestamp.as_ref()),
            state: TASK_STATE.word(status.state),
            message: status.message,
            err: status.err,
            container_status: status.runtime_status.map(
                |pb::task_status::RuntimeStatus::Container(c)| swarm::ContainerStatus {
                    container_id: c.container_id,
                    pid: c.pid.into(),
                    exit_code: c.exit_code.into(),
                },
            ),
            port_status: swarm::PortStatus {
                ports: status.port_status.and_then(|p| ports_json(&p.ports)),
            },
        },
        desired_state: TASK_STATE.word(task.desired_state),
        networks_attachments: each(&task.networks, |n| swarm::NetworkAttachment {
            network: n.network.as_ref().map(network_json).unwrap_or_default(),
            addresses: some(&n.addresses),
        }),
        generic_resources: None,
        job_iteration: task
            .job_iteration
            .map(|v| swarm::Version { index: v.index }),
        volumes: None,
    }
}
