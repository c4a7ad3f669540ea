//! Services.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use raft_store::{Kind, State};
use swarm_wire::pb;
use swarm_wire::pb::port_config::PublishMode;
use swarm_wire::pb::task_spec::Runtime;
use swarm_wire::pb::update_status::UpdateState;
use tonic::Status;

use super::refusal::Refusal;
use super::{Control, spec};
use crate::ext::{NetworkExt, ServiceExt};
use crate::id::new_id;

impl Control {
    pub async fn create_service(&self, spec: pb::ServiceSpec) -> Result<Arc<pb::Service>, Status> {
        spec::check(&spec)?;
        let id = new_id();
        self.update(|tx| {
            let state = tx.state();
            check_against(state, &spec, "")?;
            if state
                .services
                .values()
                .any(|service| service.name() == spec.name())
            {
                return Err(Refusal::exists(format!(
                    "name conflicts with an existing object: service {} already exists",
                    spec.name()
                )));
            }
            tx.create(pb::Service {
                id: id.clone(),
                spec: Some(spec.clone()),
                spec_version: Some(pb::Version::default()),
                ..Default::default()
            })?;
            Ok(())
        })
        .await?;
        self.service(&id)
    }

    /// `version` is the one that the caller has seen. `rollback` puts the previous spec back and ignores `spec`.
    pub async fn update_service(
        &self,
        id: &str,
        version: u64,
        spec: pb::ServiceSpec,
        rollback: bool,
    ) -> Result<Arc<pb::Service>, Status> {
        if !rollback {
            spec::check(&spec)?;
        }
        self.update(|tx| {
            let mut service = tx
                .state()
                .services
                .get(id)
                .ok_or_else(|| unknown(id))?
                .as_ref()
                .clone();
            let seen = Some(pb::Version { index: version });
            service.meta.get_or_insert_default().version = seen;
            let current = service.spec.clone().unwrap_or_default();
            if rollback {
                roll_back(&mut service, current)?;
            } else {
                check_transition(&current, &spec)?;
                check_against(tx.state(), &spec, id)?;
                service.previous_spec = Some(current);
                service.previous_spec_version = service.spec_version;
                service.spec = Some(spec.clone());
                service.spec_version = seen;
                service.update_status = None;
            }
            Ok(tx.update(service)?)
        })
        .await?;
        self.service(id)
    }

    pub async fn remove_service(&self, id: &str) -> Result<(), Status> {
        self.update(|tx| tx.remove(Kind::Service, id).map_err(|_| unknown(id)))
            .await
    }

    fn service(&self, id: &str) -> Result<Arc<pb::Service>, Status> {
        let service = self.view().services.get(id).cloned();
        service.ok_or_else(|| unknown(id).into())
    }
}

fn unknown(id: &str) -> Refusal {
    Refusal::not_found(format!("service {id} not found"))
}

fn roll_back(service: &mut pb::Service, current: pb::ServiceSpec) -> Result<(), Refusal> {
    let Some(previous) = service.previous_spec.replace(current) else {
        let id = &service.id;
        return Err(Refusal::precondition(format!(
            "service {id} does not have a previous spec"
        )));
    };
    service.spec = Some(previous);
    std::mem::swap(
        &mut service.spec_version,
        &mut service.previous_spec_version,
    );
    service.update_status = Some(pb::UpdateStatus {
        state: UpdateState::RollbackStarted.into(),
        message: "manually requested rollback".into(),
        started_at: Some(SystemTime::now().into()),
        completed_at: None,
    });
    Ok(())
}

/// What an update may not change.
fn check_transition(old: &pb::ServiceSpec, new: &pb::ServiceSpec) -> Result<(), Refusal> {
    let networks = |spec: &pb::ServiceSpec| {
        spec.task
            .as_ref()
            .map(|task| task.networks.clone())
            .unwrap_or_default()
    };
    if old.networks != new.networks && networks(old) == networks(new) {
        return Err(Refusal::unimplemented(
            "networks must be migrated to TaskSpec before being changed",
        ));
    }
    let mode = |spec: &pb::ServiceSpec| spec.mode.as_ref().map(std::mem::discriminant);
    if mode(old) != mode(new) {
        return Err(Refusal::unimplemented("service mode change is not allowed"));
    }
    match old.name() == new.name() {
        true => Ok(()),
        false => Err(Refusal::unimplemented("renaming services is not supported")),
    }
}

/// What a spec needs of other objects. `own` is the service that it is for, if there is one already.
fn check_against(state: &State, spec: &pb::ServiceSpec, own: &str) -> Result<(), Refusal> {
    let task_networks = spec.task.iter().flat_map(|task| &task.networks);
    for config in spec.networks.iter().chain(task_networks) {
        let network = state
            .networks
            .get(&config.target)
            .ok_or_else(|| Refusal::not_found(format!("network {} not found", config.target)))?;
        if network.is_ingress() {
            return Err(Refusal::invalid(format!(
                "Service cannot be explicitly attached to the ingress network {:?}",
                network.name()
            )));
        }
    }
    check_ports(state, spec, own)?;
    if spec.needs_ingress() && !state.networks.values().any(|network| network.is_ingress()) {
        return Err(Refusal::precondition(
            "service needs ingress network, but no ingress network is present",
        ));
    }
    let Some(Runtime::Container(container)) =
        spec.task.as_ref().and_then(|task| task.runtime.as_ref())
    else {
        return Ok(());
    };
    let name = |annotations: &Option<pb::Annotations>| annotations.as_ref().map(|a| a.name.clone());
    check_exist(
        "secret",
        container.secrets.iter().map(|reference| {
            let secret = state.secrets.get(&reference.secret_id);
            let found = secret.and_then(|secret| name(&secret.spec.as_ref()?.annotations));
            (reference.secret_name.as_str(), found)
        }),
    )?;
    check_exist(
        "config",
        container.configs.iter().map(|reference| {
            let config = state.configs.get(&reference.config_id);
            let found = config.and_then(|config| name(&config.spec.as_ref()?.annotations));
            (reference.config_name.as_str(), found)
        }),
    )
}

/// References are by id and name, and both have to be right.
fn check_exist<'a>(
    kind: &str,
    references: impl Iterator<Item = (&'a str, Option<String>)>,
) -> Result<(), Refusal> {
    let wrong = references.filter(|(name, found)| found.as_deref() != Some(name));
    let wrong: Vec<_> = wrong.map(|(name, _)| name).collect();
    let plural = if wrong.len() == 1 { "" } else { "s" };
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Refusal::invalid(format!(
            "{kind}{plural} not found: {}",
            wrong.join(", ")
        ))),
    }
}

/// A port of the mesh is one service's alone. The same host-mode port in two services is the scheduler's affair.
fn check_ports(state: &State, spec: &pb::ServiceSpec, own: &str) -> Result<(), Refusal> {
    let published = |ports: &[pb::PortConfig]| -> BTreeSet<(bool, i32, u32)> {
        let chosen = ports.iter().filter(|port| port.published_port != 0);
        chosen
            .map(|port| {
                (
                    port.publish_mode() == PublishMode::Ingress,
                    port.protocol,
                    port.published_port,
                )
            })
            .collect()
    };
    let wanted = published(
        spec.endpoint
            .as_ref()
            .map_or(&[], |endpoint| &endpoint.ports),
    );
    if wanted.is_empty() {
        return Ok(());
    }
    for service in state.services.values().filter(|service| service.id != own) {
        let planned = service
            .endpoint_spec()
            .map_or(&[][..], |endpoint| &endpoint.ports);
        let actual = service
            .endpoint
            .as_ref()
            .map_or(&[][..], |endpoint| &endpoint.ports);
        for (on_mesh, protocol, port) in published(planned).into_iter().chain(published(actual)) {
            let on_the_mesh_here = wanted.contains(&(true, protocol, port));
            let on_a_host_here = wanted.contains(&(false, protocol, port));
            if !(on_the_mesh_here || on_mesh && on_a_host_here) {
                continue;
            }
            let kind = if on_mesh {
                "an ingress port"
            } else {
                "a host-published port"
            };
            return Err(Refusal::invalid(format!(
                "port '{port}' is already in use by service '{}' ({}) as {kind}",
                service.name(),
                service.id
            )));
        }
    }
    Ok(())
}
