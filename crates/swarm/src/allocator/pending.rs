//! Networks that wait for a subnet, and those that are only asked for.

use raft_store::{Error, State};
use swarm_wire::pb;

use super::{Allocator, Networks};
use crate::ext::NetworkExt;
use crate::turn::Turn;

impl Allocator {
    /// The ingress network first, then in order of age.
    pub(super) fn allocate_networks(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let state = turn.state().clone();
        let todo = std::mem::take(&mut self.todo.networks);
        let mut networks: Vec<_> = todo
            .iter()
            .filter_map(|id| state.networks.get(id))
            .collect();
        networks.sort_by_key(|network| {
            let created = network.meta.as_ref().and_then(|meta| meta.created_at);
            (
                !network.is_ingress(),
                created.map(|at| (at.seconds, at.nanos)),
            )
        });
        for network in networks {
            if network.allocated() {
                continue;
            }
            match self.networks.allocate(network) {
                Ok(allocated) => turn.update(allocated)?,
                Err(reason) => {
                    tracing::warn!(network = network.id, reason, "no room for a network");
                    self.waiting.networks.insert(network.id.clone());
                }
            }
        }
        // What waits for a network can go on in this very run.
        if self.networks.take_freed() {
            self.todo.services.append(&mut self.waiting.services);
            self.todo.tasks.append(&mut self.waiting.tasks);
            self.todo.nodes.append(&mut self.waiting.nodes);
            self.todo.nodes.extend(state.nodes.keys().cloned());
        }
        Ok(())
    }
}

/// Whether a network could be allocated beside all that are there, and what is in its way: asked before it is made.
pub fn check_network(state: &State, spec: &pb::NetworkSpec) -> Result<(), String> {
    let mut networks = Networks::default();
    for cluster in state.clusters.values() {
        networks.set_pools(cluster);
    }
    // Those that wait for room have named their subnets all the same.
    let (allocated, waiting): (Vec<_>, Vec<_>) =
        state.networks.values().partition(|n| n.allocated());
    for network in allocated.into_iter().chain(waiting) {
        if let Err(reason) = networks.allocate(network) {
            tracing::debug!(network = network.id, reason, "not counted");
        }
    }
    let network = pb::Network {
        spec: Some(spec.clone()),
        ..Default::default()
    };
    networks.allocate(&network).map(drop)
}
