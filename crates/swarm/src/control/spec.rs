//! What a service's spec may say, whatever else there is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use swarm_wire::pb;
use swarm_wire::pb::endpoint_spec::ResolutionMode;
use swarm_wire::pb::port_config::PublishMode;
use swarm_wire::pb::service_spec::Mode;
use swarm_wire::pb::task_spec::Runtime;
use swarm_wire::prost_types;

use super::refusal::Refusal;
use super::{image, names};
use crate::constraint;

pub fn check(spec: &pb::ServiceSpec) -> Result<(), Refusal> {
    names::check(spec.annotations.as_ref())?;
    check_task(&spec.task.clone().unwrap_or_default())?;
    match &spec.mode {
        Some(Mode::Replicated(mode)) if i64::try_from(mode.replicas).is_err() => {
            return Err(Refusal::invalid("Number of replicas must be non-negative"));
        }
        Some(Mode::Replicated(_) | Mode::Global(_)) => {}
        Some(Mode::ReplicatedJob(_) | Mode::GlobalJob(_)) => {
            return Err(Refusal::unimplemented("job services are not supported"));
        }
        None => return Err(Refusal::invalid("Unrecognized service mode")),
    }
    if let Some(update) = &spec.update {
        check_update(update)?;
    }
    if let Some(rollback) = &spec.rollback {
        check_update(rollback)?;
    }
    check_endpoint(spec.endpoint.as_ref())
}

fn check_task(task: &pb::TaskSpec) -> Result<(), Refusal> {
    let resources = task.resources.iter();
    for resources in resources.flat_map(|r| r.limits.iter().chain(&r.reservations)) {
        check_resources(resources)?;
    }
    if let Some(restart) = &task.restart {
        for (name, duration) in [("delay", restart.delay), ("window", restart.window)] {
            if duration.is_some_and(|d| negative(&d)) {
                return Err(Refusal::invalid(format!(
                    "TaskSpec: restart-{name} cannot be negative"
                )));
            }
        }
    }
    if let Some(placement) = &task.placement {
        constraint::parse(&placement.constraints).map_err(|e| Refusal::invalid(e.to_string()))?;
    }
    match &task.runtime {
        Some(Runtime::Container(container)) => check_container(container),
        Some(Runtime::Generic(_) | Runtime::Attachment(_)) => Err(Refusal::unimplemented(
            "RuntimeSpec: unimplemented runtime in service spec",
        )),
        None => Err(Refusal::invalid("TaskSpec: missing runtime")),
    }
}

fn check_resources(resources: &pb::Resources) -> Result<(), Refusal> {
    let (cpus, memory) = (resources.nano_cpus, resources.memory_bytes);
    if cpus != 0 && cpus < 1_000_000 {
        let cpus = cpus as f64 / 1e9;
        return Err(Refusal::invalid(format!(
            "invalid cpu value {cpus}: Must be at least 0.001"
        )));
    }
    if memory != 0 && memory < 4 << 20 {
        return Err(Refusal::invalid(format!(
            "invalid memory value {memory}: Must be at least 4MiB"
        )));
    }
    Ok(())
}

fn check_container(container: &pb::ContainerSpec) -> Result<(), Refusal> {
    let image = &container.image;
    if image.is_empty() {
        return Err(Refusal::invalid(
            "ContainerSpec: image reference must be provided",
        ));
    }
    if !image::valid(image) {
        return Err(Refusal::invalid(format!(
            "ContainerSpec: {image:?} is not a valid repository/tag"
        )));
    }
    let mut targets = BTreeSet::new();
    for mount in &container.mounts {
        if !targets.insert(&mount.target) {
            let target = &mount.target;
            return Err(Refusal::invalid(format!(
                "ContainerSpec: duplicate mount point: {target}"
            )));
        }
    }
    if let Some(health) = &container.healthcheck {
        check_health(health)?;
    }
    let secrets = container.secrets.iter().map(|secret| {
        let pb::secret_reference::Target::File(file) = secret.target.as_ref()?;
        Some(&file.name)
    });
    let names = container
        .secrets
        .iter()
        .map(|secret| (&secret.secret_id, &secret.secret_name));
    check_references("secret", names.zip(secrets.map(|file| file.map(Some))))?;
    let configs = container
        .configs
        .iter()
        .map(|config| match config.target.as_ref()? {
            pb::config_reference::Target::File(file) => Some(Some(&file.name)),
            pb::config_reference::Target::Runtime(_) => Some(None),
        });
    let names = container
        .configs
        .iter()
        .map(|config| (&config.config_id, &config.config_name));
    check_references("config", names.zip(configs))?;
    check_credential_spec(container)
}

/// Id and name, and the target: none at all, or a file's name, or something that is no file.
type Reference<'a> = ((&'a String, &'a String), Option<Option<&'a String>>);

fn check_references<'a>(
    kind: &str,
    references: impl Iterator<Item = Reference<'a>>,
) -> Result<(), Refusal> {
    let mut files: BTreeMap<&String, &String> = BTreeMap::new();
    for ((id, name), target) in references {
        if id.is_empty() || name.is_empty() {
            return Err(Refusal::invalid(format!("malformed {kind} reference")));
        }
        let Some(target) = target else {
            return Err(Refusal::invalid(format!(
                "malformed {kind} reference, no target provided"
            )));
        };
        let Some(file) = target else {
            continue;
        };
        if file.is_empty() {
            return Err(Refusal::invalid(format!(
                "malformed file {kind} reference, invalid target file name provided"
            )));
        }
        if let Some(other) = files.insert(file, name) {
            return Err(Refusal::invalid(format!(
                "{kind} references '{other}' and '{name}' have a conflicting target: '{file}'"
            )));
        }
    }
    Ok(())
}

fn check_credential_spec(container: &pb::ContainerSpec) -> Result<(), Refusal> {
    let privileges = container.privileges.as_ref();
    let spec = privileges.and_then(|privileges| privileges.credential_spec.as_ref());
    let source = spec.and_then(|spec| spec.source.as_ref());
    let Some(pb::privileges::credential_spec::Source::Config(config)) = source else {
        return Ok(());
    };
    let runtime = |reference: &pb::ConfigReference| {
        matches!(
            reference.target,
            Some(pb::config_reference::Target::Runtime(_))
        )
    };
    match container
        .configs
        .iter()
        .any(|r| r.config_id == *config && runtime(r))
    {
        true => Ok(()),
        false => Err(Refusal::invalid(format!(
            "CredentialSpec references config '{config}', but that config isn't in config references with RuntimeTarget"
        ))),
    }
}

fn check_health(health: &pb::HealthConfig) -> Result<(), Refusal> {
    for (name, value) in [
        ("Interval", health.interval),
        ("Timeout", health.timeout),
        ("StartPeriod", health.start_period),
        ("StartInterval", health.start_interval),
    ] {
        let value = value.filter(|value| (value.seconds, value.nanos) != (0, 0));
        let least = Duration::from_millis(1);
        if value.is_some_and(|value| {
            Duration::try_from(value).is_ok_and(|v| v < least) || negative(&value)
        }) {
            return Err(Refusal::invalid(format!(
                "ContainerSpec: {name} in HealthConfig cannot be less than 1ms"
            )));
        }
    }
    if health.retries < 0 {
        return Err(Refusal::invalid(
            "ContainerSpec: Retries in HealthConfig cannot be negative",
        ));
    }
    Ok(())
}

fn check_update(update: &pb::UpdateConfig) -> Result<(), Refusal> {
    for (name, duration) in [("delay", update.delay), ("monitor", update.monitor)] {
        if duration.is_some_and(|duration| negative(&duration)) {
            return Err(Refusal::invalid(format!(
                "TaskSpec: update-{name} cannot be negative"
            )));
        }
    }
    match (0.0..=1.0).contains(&update.max_failure_ratio) {
        true => Ok(()),
        false => Err(Refusal::invalid(
            "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1",
        )),
    }
}

fn check_endpoint(endpoint: Option<&pb::EndpointSpec>) -> Result<(), Refusal> {
    let mut published = BTreeSet::new();
    for port in endpoint.iter().flat_map(|endpoint| &endpoint.ports) {
        let dnsrr = endpoint.is_some_and(|e| e.mode() == ResolutionMode::Dnsrr);
        if dnsrr && port.publish_mode() == PublishMode::Ingress {
            return Err(Refusal::invalid(
                "EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
            ));
        }
        if port.published_port != 0 && !published.insert((port.published_port, port.protocol)) {
            return Err(Refusal::invalid(
                "EndpointSpec: duplicate published ports provided",
            ));
        }
        if port.published_port > 65535 || port.target_port > 65535 {
            return Err(Refusal::invalid(format!(
                "EndpointSpec: invalid port {}:{}",
                port.published_port, port.target_port
            )));
        }
    }
    Ok(())
}

fn negative(duration: &prost_types::Duration) -> bool {
    duration.seconds < 0 || duration.nanos < 0
}
