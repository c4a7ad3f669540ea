//! A node's addresses in each overlay network that it has tasks in, and in the ingress network.
//!
//! Docker's nodes send what they balance from it, and start no task without it.

use std::collections::BTreeMap;

use raft_store::{Error, Kind, State};
use swarm_wire::pb;

use super::Allocator;
use super::addresses::{Holder, of_attachments};
use crate::ext::{NetworkExt, NodeExt, TaskExt};
use crate::turn::Turn;

impl Allocator {
    pub(super) fn allocate_nodes(&mut self, turn: &mut Turn) -> Result<(), Error> {
        for id in std::mem::take(&mut self.todo.nodes) {
            let state = turn.state();
            let Some(node) = state.nodes.get(&id) else {
                continue;
            };
            let mut wanted = needed(state, node);
            let mut new = node.as_ref().clone();
            new.attachments.retain(|attachment| {
                let network = attachment
                    .network
                    .as_ref()
                    .map_or("", |network| &network.id);
                wanted.remove(network).is_some()
            });
            let holder: Holder = (Kind::Node, id.clone());
            for network in wanted.into_values() {
                match self.networks.take_each(&holder, &network.id, &[]) {
                    Ok(addresses) => new.attachments.push(pb::NetworkAttachment {
                        network: Some(network.clone()),
                        addresses,
                        ..Default::default()
                    }),
                    Err(reason) => {
                        tracing::warn!(node = id, reason, "a node waits for an address");
                        self.waiting.nodes.insert(id.clone());
                    }
                }
            }
            self.networks.hold(holder, of_attachments(&new.attachments));
            if new != **node {
                turn.update(new)?;
            }
        }
        Ok(())
    }
}

fn needed<'a>(state: &'a State, node: &pb::Node) -> BTreeMap<&'a str, &'a pb::Network> {
    let attached = state
        .node_tasks(&node.id)
        .filter(|task| !task.ended())
        .flat_map(|task| &task.networks)
        .filter_map(|attachment| state.networks.get(&attachment.network.as_ref()?.id));
    let ingress = state
        .networks
        .values()
        .filter(|network| network.is_ingress());
    attached
        .chain(ingress)
        .filter(|network| network.allocated() && !network.node_local() && node.carries(network))
        .map(|network| (network.id.as_str(), network.as_ref()))
        .collect()
}
