//! A tree of nodes, a level for each placement preference, from which the next node to fill is taken.

use std::collections::{BTreeMap, BTreeSet};

use swarm_wire::pb;
use swarm_wire::pb::placement_preference::Preference;

use super::load::Loads;

/// The smaller, the sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    pub failures: usize,
    pub of_service: u64,
    pub all: u64,
}

pub struct Spread {
    service: String,
    /// Labels to spread over, outermost first.
    labels: Vec<String>,
    root: Branch,
}

#[derive(Default)]
struct Branch {
    /// The service's tasks below.
    tasks: u64,
    branches: BTreeMap<String, Branch>,
    nodes: BTreeSet<(Rank, String)>,
}

impl Spread {
    pub fn new(task: &pb::Task) -> Self {
        let placement = task.spec.as_ref().and_then(|spec| spec.placement.as_ref());
        let preferences = placement.map_or(&[][..], |placement| &placement.preferences);
        let label = |preference: &pb::PlacementPreference| {
            let Some(Preference::Spread(over)) = &preference.preference else {
                return None;
            };
            Some(over.spread_descriptor.clone())
        };
        Self {
            service: task.service_id.clone(),
            labels: preferences.iter().filter_map(label).collect(),
            root: Branch::default(),
        }
    }

    /// A node without a rank takes no task, but those that it has count.
    pub fn add(&mut self, node: &pb::Node, rank: Option<Rank>, loads: &Loads) {
        let tasks = loads.of(&node.id).of_service(&self.service);
        let way = self.way(node);
        self.root.insert(&way, tasks, rank, &node.id);
    }

    /// The best node; a task of the service is counted there. It is in the tree again after [`Self::put_back`].
    pub fn take(&mut self) -> Option<String> {
        self.root.take()
    }

    pub fn put_back(&mut self, node: &pb::Node, rank: Rank) {
        let way = self.way(node);
        self.root.insert(&way, 0, Some(rank), &node.id);
    }

    fn way(&self, node: &pb::Node) -> Vec<String> {
        self.labels.iter().map(|label| value(node, label)).collect()
    }
}

impl Branch {
    fn insert(&mut self, way: &[String], tasks: u64, rank: Option<Rank>, node: &str) {
        self.tasks += tasks;
        match way {
            [] => self.nodes.extend(rank.map(|rank| (rank, node.to_owned()))),
            [first, rest @ ..] => {
                let branch = self.branches.entry(first.clone()).or_default();
                branch.insert(rest, tasks, rank, node);
            }
        }
    }

    fn take(&mut self) -> Option<String> {
        let taken = match self.nodes.pop_first() {
            Some((_, node)) => Some(node),
            None => {
                let usable = self.branches.values_mut().filter(|branch| branch.usable());
                usable.min_by_key(|branch| branch.tasks)?.take()
            }
        };
        self.tasks += u64::from(taken.is_some());
        taken
    }

    fn usable(&self) -> bool {
        !self.nodes.is_empty() || self.branches.values().any(Branch::usable)
    }
}

/// A label's value, empty where the node has none. `engine.labels.` and `node.labels.` are known.
fn value(node: &pb::Node, descriptor: &str) -> String {
    let lower = descriptor.to_ascii_lowercase();
    let name = descriptor.splitn(3, '.').nth(2).unwrap_or_default();
    let spec = node
        .spec
        .as_ref()
        .and_then(|spec| spec.annotations.as_ref());
    let engine = node.description.as_ref().and_then(|d| d.engine.as_ref());
    let labels = if lower.starts_with("node.labels.") {
        spec.map(|annotations| &annotations.labels)
    } else if lower.starts_with("engine.labels.") {
        engine.map(|engine| &engine.labels)
    } else {
        None
    };
    labels
        .and_then(|labels| labels.get(name))
        .cloned()
        .unwrap_or_default()
}
