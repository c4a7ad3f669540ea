use engine_types::{Error, Result, swarm};
use swarm_wire::pb;

use crate::publish_labels;

use super::names::{
    ENDPOINT_MODE, FAILURE_ACTION, PROTOCOL, PUBLISH_MODE, RESTART_CONDITION, UPDATE_ORDER,
    UPDATE_STATE,
};
use super::{
    annotations_json, annotations_pb, container_spec_json, container_spec_pb, driver_json,
    driver_pb, duration_json, duration_pb, each, meta_json, some, some_map, time_json,
};

pub fn service_json(service: &pb::Service) -> swarm::Service {
    let endpoint = service.endpoint.clone().unwrap_or_default();
    swarm::Service {
        id: service.id.clone(),
        meta: meta_json(service.meta.as_ref()),
        spec: spec_json(service.spec.as_ref()),
        previous_spec: service.previous_spec.as_ref().map(|s| spec_json(Some(s))),
        endpoint: swarm::Endpoint {
            spec: endpoint_spec_json(endpoint.spec.as_ref()),
            ports: ports_json(&endpoint.ports),
            virtual_ips: each(&endpoint.virtual_ips, |v| swarm::EndpointVirtualIP {
                network_id: v.network_id.clone(),
                addr: v.addr.clone(),
            }),
        },
        update_status: service.update_status.as_ref().map(|u| swarm::UpdateStatus {
            state: UPDATE_STATE.word(u.state),
            started_at: u.started_at.as_ref().map(|t| time_json(Some(t))),
            completed_at: u.completed_at.as_ref().map(|t| time_json(Some(t))),
            message: u.message.clone(),
        }),
        service_status: None,
        job_status: service.job_status.as_ref().map(|j| swarm::JobStatus {
            job_iteration: swarm::Version {
                index: j.job_iteration.map_or(0, |v| v.index),
            },
            last_execution: time_json(j.last_execution.as_ref()),
        }),
    }
}

fn spec_json(spec: Option<&pb::ServiceSpec>) -> swarm::ServiceSpec {
    use pb::service_spec::Mode;
    let Some(spec) = spec else {
        return swarm::ServiceSpec::default();
    };
    let mut mode = swarm::ServiceMode::default();
    match &spec.mode {
        Some(Mode::Replicated(r)) => {
            mode.replicated = Some(swarm::ReplicatedService {
                replicas: Some(r.replicas),
            })
        }
        Some(Mode::Global(_)) => mode.global = Some(swarm::GlobalService {}),
        Some(Mode::ReplicatedJob(j)) => {
            mode.replicated_job = Some(swarm::ReplicatedJob {
                max_concurrent: Some(j.max_concurrent),
                total_completions: Some(j.total_completions),
            });
        }
        Some(Mode::GlobalJob(_)) => mode.global_job = Some(swarm::GlobalJob {}),
        None => {}
    }
    swarm::ServiceSpec {
        annotations: annotations_json(spec.annotations.as_ref()),
        task_template: task_spec_json(spec.task.as_ref()),
        mode,
        update_config: spec.update.as_ref().map(update_json),
        rollback_config: spec.rollback.as_ref().map(update_json),
        networks: networks_json(&spec.networks),
        endpoint_spec: spec.endpoint.as_ref().map(|e| endpoint_spec_json(Some(e))),
    }
}

pub(super) fn task_spec_json(spec: Option<&pb::TaskSpec>) -> swarm::TaskSpec {
    use pb::task_spec::Runtime;
    let Some(spec) = spec else {
        return swarm::TaskSpec::default();
    };
    let mut json = swarm::TaskSpec {
        resources: spec
            .resources
            .as_ref()
            .map(|r| swarm::ResourceRequirements {
                limits: r.limits.as_ref().map(|l| swarm::Limit {
                    nano_cpus: l.nano_cpus,
                    memory_bytes: l.memory_bytes,
                    pids: 0,
                }),
                reservations: r.reservations.as_ref().map(|r| swarm::Resources {
                    nano_cpus: r.nano_cpus,
                    memory_bytes: r.memory_bytes,
                    ..Default::default()
                }),
            }),
        restart_policy: spec.restart.as_ref().map(|r| swarm::RestartPolicy {
            condition: RESTART_CONDITION.word(r.condition),
            delay: r.delay.as_ref().map(|d| duration_json(Some(d))),
            max_attempts: Some(r.max_attempts),
            window: r.window.as_ref().map(|d| duration_json(Some(d))),
        }),
        placement: spec.placement.as_ref().map(|p| swarm::Placement {
            constraints: some(&p.constraints),
            preferences: each(&p.preferences, |p| swarm::PlacementPreference {
                spread: p.preference.as_ref().map(
                    |pb::placement_preference::Preference::Spread(s)| swarm::SpreadOver {
                        spread_descriptor: s.spread_descriptor.clone(),
                    },
                ),
            }),
            max_replicas: p.max_replicas,
            platforms: each(&p.platforms, |p| swarm::Platform {
                architecture: p.architecture.clone(),
                os: p.os.clone(),
            }),
        }),
        networks: networks_json(&spec.networks),
        log_driver: driver_json(spec.log_driver.as_ref()),
        force_update: spec.force_update,
        ..Default::default()
    };
    match &spec.runtime {
        Some(Runtime::Container(c)) => {
            json.container_spec = Some(container_spec_json(c));
            json.runtime = "container".into();
            if c.pids_limit > 0 {
                let resources = json.resources.get_or_insert_default();
                resources.limits.get_or_insert_default().pids = c.pids_limit;
            }
        }
        Some(Runtime::Attachment(a)) => {
            json.network_attachment_spec = Some(swarm::NetworkAttachmentSpec {
                container_id: a.container_id.clone(),
            });
            json.runtime = "attachment".into();
        }
        Some(Runtime::Generic(g)) => json.runtime = g.kind.clone(),
        None => {}
    }
    json
}

fn networks_json(
    networks: &[pb::NetworkAttachmentConfig],
) -> Option<Vec<swarm::NetworkAttachmentConfig>> {
    each(networks, |n| swarm::NetworkAttachmentConfig {
        target: n.target.clone(),
        aliases: some(&n.aliases),
        driver_opts: some_map(&n.driver_attachment_opts),
    })
}

fn update_json(u: &pb::UpdateConfig) -> swarm::UpdateConfig {
    swarm::UpdateConfig {
        parallelism: u.parallelism,
        delay: duration_json(u.delay.as_ref()),
        failure_action: FAILURE_ACTION.word(u.failure_action),
        monitor: duration_json(u.monitor.as_ref()),
        max_failure_ratio: u.max_failure_ratio,
        order: UPDATE_ORDER.word(u.order),
    }
}

fn endpoint_spec_json(spec: Option<&pb::EndpointSpec>) -> swarm::EndpointSpec {
    let Some(spec) = spec else {
        return swarm::EndpointSpec::default();
    };
    swarm::EndpointSpec {
        mode: ENDPOINT_MODE.word(spec.mode),
        ports: ports_json(&spec.ports),
    }
}

pub fn ports_json(ports: &[pb::PortConfig]) -> Option<Vec<swarm::PortConfig>> {
    each(ports, |p| swarm::PortConfig {
        name: publish_labels::split(&p.name).0.to_owned(),
        protocol: PROTOCOL.word(p.protocol),
        target_port: p.target_port,
        published_port: p.published_port,
        publish_mode: PUBLISH_MODE.word(p.publish_mode),
    })
}

pub fn service_spec_pb(spec: swarm::ServiceSpec) -> Result<pb::ServiceSpec> {
    use pb::service_spec::Mode;
    let m = spec.mode;
    let mode = match (m.replicated, m.global, m.replicated_job, m.global_job) {
        (None, None, None, None) => Mode::Replicated(pb::ReplicatedService { replicas: 1 }),
        (Some(r), None, None, None) => Mode::Replicated(pb::ReplicatedService {
            replicas: r.replicas.unwrap_or(1),
        }),
        (None, Some(_), None, None) => Mode::Global(pb::GlobalService {}),
        (None, None, Some(_), None) | (None, None, None, Some(_)) => {
            return Err(Error::not_implemented(
                "service jobs are not supported: use mode replicated or global",
            ));
        }
        _ => {
            return Err(Error::invalid(
                "cannot specify both replicated mode and global mode",
            ));
        }
    };
    Ok(pb::ServiceSpec {
        annotations: annotations_pb(spec.annotations),
        task: Some(task_spec_pb(spec.task_template)?),
        mode: Some(mode),
        update: spec.update_config.map(update_pb).transpose()?,
        rollback: spec.rollback_config.map(update_pb).transpose()?,
        networks: networks_pb(spec.networks),
        endpoint: match spec.endpoint_spec {
            Some(e) => Some(pb::EndpointSpec {
                mode: ENDPOINT_MODE.value(&e.mode)?,
                ports: e
                    .ports
                    .unwrap_or_default()
                    .into_iter()
                    .map(port_pb)
                    .collect::<Result<_>>()?,
            }),
            None => None,
        },
    })
}

fn task_spec_pb(t: swarm::TaskSpec) -> Result<pb::TaskSpec> {
    if !(t.runtime.is_empty() || t.runtime == "container") || t.plugin_spec.is_some() {
        return Err(Error::not_implemented(format!(
            "services of runtime \"{}\" are not supported",
            t.runtime
        )));
    }
    let pids = t
        .resources
        .as_ref()
        .and_then(|r| r.limits.as_ref())
        .map_or(0, |l| l.pids);
    let container = t
        .container_spec
        .ok_or_else(|| Error::invalid("TaskTemplate: ContainerSpec must be given"))?;
    Ok(pb::TaskSpec {
        runtime: Some(pb::task_spec::Runtime::Container(container_spec_pb(
            container, pids,
        )?)),
        resources: t.resources.map(|r| pb::ResourceRequirements {
            limits: r.limits.map(|l| pb::Resources {
                nano_cpus: l.nano_cpus,
                memory_bytes: l.memory_bytes,
                generic: Vec::new(),
            }),
            reservations: r.reservations.map(|r| pb::Resources {
                nano_cpus: r.nano_cpus,
                memory_bytes: r.memory_bytes,
                generic: Vec::new(),
            }),
            ..Default::default()
        }),
        restart: match t.restart_policy {
            Some(r) => Some(pb::RestartPolicy {
                condition: RESTART_CONDITION.value(&r.condition)?,
                delay: r.delay.map(duration_pb),
                max_attempts: r.max_attempts.unwrap_or(0),
                window: r.window.map(duration_pb),
            }),
            None => None,
        },
        placement: t.placement.map(|p| pb::Placement {
            constraints: p.constraints.unwrap_or_default(),
            preferences: p
                .preferences
                .unwrap_or_default()
                .into_iter()
                .filter_map(|p| p.spread)
                .map(|s| pb::PlacementPreference {
                    preference: Some(pb::placement_preference::Preference::Spread(
                        pb::SpreadOver {
                            spread_descriptor: s.spread_descriptor,
                        },
                    )),
                })
                .collect(),
            platforms: p
                .platforms
                .unwrap_or_default()
                .into_iter()
                .map(|p| pb::Platform {
                    architecture: p.architecture,
                    os: p.os,
                })
                .collect(),
            max_replicas: p.max_replicas,
        }),
        log_driver: driver_pb(t.log_driver),
        networks: networks_pb(t.networks),
        force_update: t.force_update,
        resource_references: Vec::new(),
    })
}

fn networks_pb(
    networks: Option<Vec<swarm::NetworkAttachmentConfig>>,
) -> Vec<pb::NetworkAttachmentConfig> {
    networks
        .unwrap_or_default()
        .into_iter()
        .map(|n| pb::NetworkAttachmentConfig {
            target: n.target,
            aliases: n.aliases.unwrap_or_default(),
            addresses: Vec::new(),
            driver_attachment_opts: n.driver_opts.unwrap_or_default(),
        })
        .collect()
}

fn update_pb(u: swarm::UpdateConfig) -> Result<pb::UpdateConfig> {
    Ok(pb::UpdateConfig {
        parallelism: u.parallelism,
        delay: Some(duration_pb(u.delay)),
        failure_action: FAILURE_ACTION.value(&u.failure_action)?,
        monitor: (u.monitor != 0).then(|| duration_pb(u.monitor)),
        max_failure_ratio: u.max_failure_ratio,
        order: UPDATE_ORDER.value(&u.order)?,
    })
}

fn port_pb(p: swarm::PortConfig) -> Result<pb::PortConfig> {
    Ok(pb::PortConfig {
        name: p.name,
        protocol: PROTOCOL.value(&p.protocol)?,
        target_port: p.target_port,
        published_port: p.published_port,
        publish_mode: PUBLISH_MODE.value(&p.publish_mode)?,
    })
}
