//! Gives networks their subnets and VNIs, services their addresses and ports, tasks and nodes their addresses.
//!
//! ```text
//!   cluster's pools ─► network: subnet, gateway, VNI ─┬─► service: a virtual address per network, published ports
//!                                                     ├─► task (NEW → PENDING): an address per network
//!                                                     └─► node: an address per network that it has tasks in
//! ```
//!
//! What is in use is derived from the stored objects, so a restart neither forgets nor doubles anything: the first
//! thing that [`Allocator::absorb`] sees is every object there is. What cannot be had waits, says why in its task's
//! status, and is tried again when something was given back.

mod addresses;
mod networks;
mod nodes;
mod pending;
mod ports;
mod services;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};

use raft_store::{Change, Error, Kind, Object};
use swarm_wire::pb;

use crate::ext::{NetworkExt, TaskExt};
use crate::turn::Turn;
use addresses::Holder;
use networks::Networks;
use ports::Ports;

pub(crate) use networks::{VXLAN_IDS, is_v6};
pub(crate) use pending::check_network;

#[derive(Default)]
pub struct Allocator {
    networks: Networks,
    ports: Ports,
    todo: Work,
    waiting: Work,
    /// Services that wait, and for what.
    blocked: BTreeMap<String, String>,
}

/// Identifiers of what is to be looked at.
#[derive(Default)]
struct Work {
    networks: BTreeSet<String>,
    services: BTreeSet<String>,
    tasks: BTreeSet<String>,
    nodes: BTreeSet<String>,
}

impl Work {
    fn append(&mut self, other: &mut Self) {
        self.networks.append(&mut other.networks);
        self.services.append(&mut other.services);
        self.tasks.append(&mut other.tasks);
        self.nodes.append(&mut other.nodes);
    }
}

impl Allocator {
    /// Takes note of what an object holds now, and of what it still needs. Sees all changes before [`Self::run`].
    pub fn absorb(&mut self, change: &Change) {
        let removed = matches!(change, Change::Removed(_));
        match change.object() {
            Object::Cluster(cluster) => self.networks.set_pools(cluster),
            Object::Network(network) if removed => {
                self.todo.nodes.extend(self.networks.nodes_on(&network.id));
                self.networks.forget(&network.id);
            }
            Object::Network(network) => self.absorb_network(network),
            Object::Service(service) => {
                let holder = (Kind::Service, service.id.clone());
                self.networks.hold(
                    holder,
                    match removed {
                        true => BTreeSet::new(),
                        false => addresses::of_service(service),
                    },
                );
                self.ports.hold(
                    &service.id,
                    match removed {
                        true => BTreeSet::new(),
                        false => ports::of_service(service),
                    },
                );
                self.todo.services.insert(service.id.clone());
            }
            Object::Task(task) => self.absorb_task(task, removed),
            Object::Node(node) => {
                let holder = (Kind::Node, node.id.clone());
                self.networks.hold(
                    holder,
                    match removed {
                        true => BTreeSet::new(),
                        false => addresses::of_attachments(&node.attachments),
                    },
                );
                self.todo.nodes.insert(node.id.clone());
            }
            Object::Secret(_) | Object::Config(_) => {}
        }
        if let Change::Updated {
            old: Object::Task(old),
            ..
        } = change
        {
            self.todo.nodes.insert(old.node_id.clone());
        }
    }

    fn absorb_network(&mut self, network: &pb::Network) {
        if !network.allocated() {
            self.todo.networks.insert(network.id.clone());
        } else if let Err(reason) = self.networks.allocate(network) {
            tracing::error!(
                network = network.id,
                reason,
                "a stored network cannot be adopted"
            );
        }
    }

    fn absorb_task(&mut self, task: &pb::Task, removed: bool) {
        let holder: Holder = (Kind::Task, task.id.clone());
        let over = removed || task.ended();
        self.networks.hold(
            holder,
            match over {
                true => BTreeSet::new(),
                false => addresses::of_attachments(&task.networks),
            },
        );
        self.todo.nodes.insert(task.node_id.clone());
        if !over && task.observed() == pb::TaskState::New {
            self.todo.tasks.insert(task.id.clone());
        }
    }

    /// All that is in use, for tests to compare.
    #[cfg(test)]
    pub(crate) fn usage(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        (self.networks.usage(), self.ports.usage())
    }

    pub fn run(&mut self, turn: &mut Turn) -> Result<(), Error> {
        if self.networks.take_freed() | self.ports.take_freed() {
            self.todo.append(&mut self.waiting);
        }
        self.allocate_networks(turn)?;
        self.allocate_services(turn)?;
        self.allocate_tasks(turn)?;
        self.allocate_nodes(turn)
    }
}
