//! What runs on each node, and how often it failed there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use swarm_wire::pb;
use swarm_wire::pb::port_config::PublishMode;

use crate::ext::TaskExt;

/// What a node's tasks use up. Derived from the tasks; nothing is ever stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    active: BTreeMap<String, u64>,
    pub nano_cpus: i64,
    pub memory: i64,
    /// Protocol and port, and how many tasks have it.
    ports: BTreeMap<(i32, u32), u64>,
    generic: Vec<pb::GenericResource>,
}

static IDLE: LazyLock<Load> = LazyLock::new(Load::default);

impl Load {
    pub fn active(&self) -> u64 {
        self.active.values().sum()
    }

    pub fn of_service(&self, service: &str) -> u64 {
        self.active.get(service).copied().unwrap_or_default()
    }

    pub fn has_port(&self, port: &(i32, u32)) -> bool {
        self.ports.contains_key(port)
    }

    pub fn generic(&self) -> &[pb::GenericResource] {
        &self.generic
    }
}

#[derive(Clone, Default)]
pub struct Loads(BTreeMap<String, Load>);

impl Loads {
    pub fn of(&self, node: &str) -> &Load {
        self.0.get(node).unwrap_or(&IDLE)
    }

    pub fn add(&mut self, task: &pb::Task) {
        if !counts(task) {
            return;
        }
        let load = self.0.entry(task.node_id.clone()).or_default();
        let (nano_cpus, memory) = reservation(task);
        load.nano_cpus = load.nano_cpus.saturating_add(nano_cpus);
        load.memory = load.memory.saturating_add(memory);
        for port in host_ports(task) {
            *load.ports.entry(port).or_default() += 1;
        }
        if task.wanted() {
            *load.active.entry(task.service_id.clone()).or_default() += 1;
        }
        load.generic
            .extend_from_slice(&task.assigned_generic_resources);
    }

    /// Undoes [`Self::add`]; whether that gave room.
    pub fn remove(&mut self, task: &pb::Task) -> bool {
        let Some(load) = self.0.get_mut(&task.node_id).filter(|_| counts(task)) else {
            return false;
        };
        let (nano_cpus, memory) = reservation(task);
        load.nano_cpus = load.nano_cpus.saturating_sub(nano_cpus);
        load.memory = load.memory.saturating_sub(memory);
        for port in host_ports(task) {
            decrease(&mut load.ports, &port);
        }
        if task.wanted() {
            decrease(&mut load.active, &task.service_id);
        }
        for resource in &task.assigned_generic_resources {
            if let Some(at) = load.generic.iter().position(|held| held == resource) {
                load.generic.swap_remove(at);
            }
        }
        if *load == *IDLE {
            self.0.remove(&task.node_id);
        }
        true
    }
}

fn decrease<K: Ord>(counts: &mut BTreeMap<K, u64>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// It has a node, and has not ended there.
fn counts(task: &pb::Task) -> bool {
    !task.node_id.is_empty() && task.observed() >= pb::TaskState::Assigned && !task.ended()
}

pub fn reservation(task: &pb::Task) -> (i64, i64) {
    let resources = task.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let reserved = resources.and_then(|resources| resources.reservations.as_ref());
    reserved.map_or((0, 0), |reserved| {
        (reserved.nano_cpus, reserved.memory_bytes)
    })
}

pub fn host_ports(task: &pb::Task) -> BTreeSet<(i32, u32)> {
    let ports = task.endpoint.iter().flat_map(|endpoint| &endpoint.ports);
    ports
        .filter(|port| port.publish_mode() == PublishMode::Host && port.published_port != 0)
        .map(|port| (port.protocol, port.published_port))
        .collect()
}

/// A node on which a service has failed this often of late comes last for it (SwarmKit's numbers).
const TOO_OFTEN: usize = 5;
const OF_LATE: Duration = Duration::from_secs(300);

/// Node, service, version of the spec.
type Place = (String, String, Option<u64>);

/// Recent failures. Forgotten at a change of leader, as SwarmKit's are.
#[derive(Default)]
pub struct Failures(BTreeMap<Place, VecDeque<SystemTime>>);

impl Failures {
    pub fn note(&mut self, task: &pb::Task, now: SystemTime) {
        self.0
            .retain(|_, times| times.back().is_some_and(|at| *at + OF_LATE > now));
        let times = self.0.entry(place(task, &task.node_id)).or_default();
        times.push_back(now);
        times.retain(|at| *at + OF_LATE > now);
    }

    pub fn forget(&mut self, node: &str) {
        self.0.retain(|(on, _, _), _| on != node);
    }

    /// Zero unless it failed too often.
    pub fn weight(&self, task: &pb::Task, node: &str, now: SystemTime) -> usize {
        let times = self.0.get(&place(task, node));
        let recent = times
            .into_iter()
            .flatten()
            .filter(|at| **at + OF_LATE > now)
            .count();
        if recent < TOO_OFTEN { 0 } else { recent }
    }
}

fn place(task: &pb::Task, node: &str) -> Place {
    let version = task.spec_version.map(|version| version.index);
    (node.to_owned(), task.service_id.clone(), version)
}
