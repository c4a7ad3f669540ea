//! A task's addresses. With them it goes from NEW to PENDING.

use raft_store::{Error, Kind, State};
use swarm_wire::pb;

use super::addresses::{self, Holder};
use super::{Allocator, Networks};
use crate::ext::{NetworkExt, ServiceExt, TaskExt};
use crate::turn::Turn;

impl Allocator {
    pub(super) fn allocate_tasks(&mut self, turn: &mut Turn) -> Result<(), Error> {
        for id in std::mem::take(&mut self.todo.tasks) {
            let state = turn.state();
            let Some(task) = state.tasks.get(&id) else {
                continue;
            };
            if task.observed() != pb::TaskState::New || task.gone() {
                continue;
            }
            let service = state.services.get(&task.service_id).map(AsRef::as_ref);
            if service.is_none() && !task.service_id.is_empty() {
                continue;
            }
            let attached = match self.blocked.get(&task.service_id) {
                Some(reason) => Err(format!("service {} waits: {reason}", task.service_id)),
                None => attach(&mut self.networks, state, task, service),
            };
            match attached {
                Ok(networks) => {
                    let mut new = task.as_ref().clone();
                    new.networks = networks;
                    if let Some(endpoint) = service.and_then(|service| service.endpoint.clone()) {
                        new.endpoint = Some(endpoint);
                    }
                    new.status =
                        Some(turn.status(pb::TaskState::Pending, "pending task scheduling"));
                    turn.update(new)?;
                }
                Err(reason) => {
                    turn.explain(&id, &reason)?;
                    self.waiting.tasks.insert(id);
                }
            }
        }
        Ok(())
    }
}

/// The ingress network first when the service publishes ports on it, then the networks of the spec. On failure
/// nothing is taken.
fn attach(
    networks: &mut Networks,
    state: &State,
    task: &pb::Task,
    service: Option<&pb::Service>,
) -> Result<Vec<pb::NetworkAttachment>, String> {
    let mut configs = Vec::new();
    if service.is_some_and(ServiceExt::needs_ingress) {
        let ingress = state.networks.values().find(|network| network.is_ingress());
        configs.push(pb::NetworkAttachmentConfig {
            target: ingress.ok_or("ingress network is missing")?.id.clone(),
            ..Default::default()
        });
    }
    let own = task.spec.as_ref().map_or(&[][..], |spec| &spec.networks);
    configs.extend_from_slice(match own.is_empty() {
        true => service.map_or(&[][..], ServiceExt::networks),
        false => own,
    });
    let holder: Holder = (Kind::Task, task.id.clone());
    let attached: Result<_, _> = configs
        .into_iter()
        .map(|config| attach_one(networks, state, &holder, config))
        .collect();
    if attached.is_err() {
        networks.hold(holder, Default::default());
    }
    attached
}

fn attach_one(
    networks: &mut Networks,
    state: &State,
    holder: &Holder,
    config: pb::NetworkAttachmentConfig,
) -> Result<pb::NetworkAttachment, String> {
    let id = &config.target;
    let network = state
        .networks
        .get(id)
        .ok_or_else(|| format!("network {id} not found"))?;
    if !network.allocated() {
        return Err(format!(
            "network {} ({id}) is not allocated yet",
            network.name()
        ));
    }
    let mut addresses = Vec::new();
    if !networks.is_node_local(id) {
        let read = |text: &String| {
            addresses::parse(text).ok_or_else(|| format!("could not parse address string {text}"))
        };
        let asked: Vec<_> = config
            .addresses
            .iter()
            .map(read)
            .collect::<Result<_, _>>()?;
        addresses = networks.take_each(holder, id, &asked)?;
    }
    Ok(pb::NetworkAttachment {
        network: Some(network.as_ref().clone()),
        addresses,
        aliases: config.aliases,
        driver_attachment_opts: config.driver_attachment_opts,
    })
}
