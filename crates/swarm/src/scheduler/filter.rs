//! What a node must fulfil to get a task, in SwarmKit's order and words.

use std::collections::{BTreeMap, BTreeSet};

use swarm_wire::pb;

use super::generic;
use super::load::{self, Load};
use crate::constraint::{self, Constraint};
use crate::ext::{NodeExt, TaskExt};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    NotReady,
    Resources,
    Plugin,
    Network,
    Constraint,
    Platform,
    HostPort,
    MaxReplicas,
}

/// What one task asks for.
pub struct Filters<'a> {
    task: &'a pb::Task,
    constraints: Vec<Constraint>,
    host_ports: BTreeSet<(i32, u32)>,
    generic: Vec<pb::GenericResource>,
}

impl<'a> Filters<'a> {
    pub fn for_task(task: &'a pb::Task) -> Self {
        let placement = task.spec.as_ref().and_then(|spec| spec.placement.as_ref());
        let constraints = placement.map_or(&[][..], |placement| &placement.constraints);
        Self {
            task,
            // They were checked when the service was made.
            constraints: constraint::parse(constraints).unwrap_or_default(),
            host_ports: load::host_ports(task),
            generic: generic::reserved(task),
        }
    }

    /// The first thing that speaks against the node.
    pub fn refusal(&self, node: &pb::Node, load: &Load) -> Option<Refusal> {
        let checks = [
            (self.ready(node), Refusal::NotReady),
            (self.resources(node, load), Refusal::Resources),
            (self.plugins(node), Refusal::Plugin),
            (self.networks(node), Refusal::Network),
            (
                self.constraints.iter().all(|c| c.matches(node)),
                Refusal::Constraint,
            ),
            (self.platform(node), Refusal::Platform),
            (
                !self.host_ports.iter().any(|port| load.has_port(port)),
                Refusal::HostPort,
            ),
            (self.max_replicas(load), Refusal::MaxReplicas),
        ];
        checks
            .into_iter()
            .find(|(ok, _)| !ok)
            .map(|(_, refusal)| refusal)
    }

    fn ready(&self, node: &pb::Node) -> bool {
        // An attachment is for a container that somebody runs on that very node: availability is about services.
        node.reachable() == pb::node_status::State::Ready
            && (self.task.is_attachment()
                || node.available() == pb::node_spec::Availability::Active)
    }

    fn resources(&self, node: &pb::Node, load: &Load) -> bool {
        let (nano_cpus, memory) = load::reservation(self.task);
        let all = node.description.as_ref().and_then(|d| d.resources.as_ref());
        let (all_cpus, all_memory) = all.map_or((0, 0), |all| (all.nano_cpus, all.memory_bytes));
        (nano_cpus == 0 || nano_cpus <= all_cpus.saturating_sub(load.nano_cpus))
            && (memory == 0 || memory <= all_memory.saturating_sub(load.memory))
            && (self.generic.is_empty()
                || generic::enough(&generic::available(node, load.generic()), &self.generic))
    }

    /// Network, volume and log drivers, where the node tells which it has.
    fn plugins(&self, node: &pb::Node) -> bool {
        let Some(engine) = node.description.as_ref().and_then(|d| d.engine.as_ref()) else {
            return true;
        };
        let has = |kind: &str, name: &str| {
            let latest = format!("{name}:latest");
            let mut of_kind = engine.plugins.iter().filter(|plugin| plugin.r#type == kind);
            of_kind.any(|plugin| plugin.name == name || plugin.name == latest)
        };
        let networks = self.task.networks.iter();
        let drivers =
            networks.filter_map(|attachment| attachment.network.as_ref()?.driver_state.as_ref());
        if !drivers
            .into_iter()
            .all(|driver| driver.name.is_empty() || has("Network", &driver.name))
        {
            return false;
        }
        let spec = self.task.spec.as_ref();
        if let Some(pb::task_spec::Runtime::Container(container)) =
            spec.and_then(|s| s.runtime.as_ref())
            && !container
                .mounts
                .iter()
                .filter_map(volume_driver)
                .all(|name| has("Volume", name))
        {
            return false;
        }
        let log = spec
            .and_then(|spec| spec.log_driver.as_ref())
            .map_or("", |driver| &driver.name);
        let tells = engine.plugins.iter().any(|plugin| plugin.r#type == "Log");
        matches!(log, "" | "none") || !tells || has("Log", log)
    }

    fn networks(&self, node: &pb::Node) -> bool {
        let mut networks = self.task.networks.iter();
        networks.all(|a| a.network.as_ref().is_none_or(|n| node.carries(n)))
    }

    fn platform(&self, node: &pb::Node) -> bool {
        let placement = self
            .task
            .spec
            .as_ref()
            .and_then(|spec| spec.placement.as_ref());
        let wanted = placement.map_or(&[][..], |placement| &placement.platforms);
        let Some(actual) = node.description.as_ref().and_then(|d| d.platform.as_ref()) else {
            return wanted.is_empty();
        };
        let fits = |wanted: &pb::Platform| {
            let arch = architecture(&wanted.architecture);
            (arch.is_empty() || arch == architecture(&actual.architecture))
                && (wanted.os.is_empty() || wanted.os == actual.os)
        };
        wanted.is_empty() || wanted.iter().any(fits)
    }

    fn max_replicas(&self, load: &Load) -> bool {
        let placement = self
            .task
            .spec
            .as_ref()
            .and_then(|spec| spec.placement.as_ref());
        let max = placement.map_or(0, |placement| placement.max_replicas);
        max == 0 || load.of_service(&self.task.service_id) < max
    }
}

fn volume_driver(mount: &pb::Mount) -> Option<&str> {
    let volume = mount.r#type() == pb::mount::Type::Volume;
    let driver = mount.volume_options.as_ref()?.driver_config.as_ref()?;
    (volume && !matches!(driver.name.as_str(), "" | "local")).then_some(driver.name.as_str())
}

fn architecture(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `no suitable node (2 nodes not available for new tasks; insufficient resources on 1 node)`
pub fn no_suitable_node(refusals: &[Refusal]) -> String {
    match refusals {
        [] => "no suitable node".into(),
        refusals => format!("no suitable node ({})", explain(refusals)),
    }
}

/// The most frequent refusal first.
pub fn explain(refusals: &[Refusal]) -> String {
    let mut counts: BTreeMap<Refusal, usize> = BTreeMap::new();
    for refusal in refusals {
        *counts.entry(*refusal).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let texts: Vec<_> = counts
        .into_iter()
        .map(|(refusal, count)| refusal.text(count))
        .collect();
    texts.join("; ")
}

impl Refusal {
    fn text(self, count: usize) -> String {
        let nodes = match count {
            1 => "1 node".to_owned(),
            count => format!("{count} nodes"),
        };
        match self {
            Self::NotReady => format!("{nodes} not available for new tasks"),
            Self::Resources => format!("insufficient resources on {nodes}"),
            Self::Plugin => format!("missing plugin on {nodes}"),
            Self::Network => format!("network that Docker's engine cannot make on {nodes}"),
            Self::Constraint => format!("scheduling constraints not satisfied on {nodes}"),
            Self::Platform => format!("unsupported platform on {nodes}"),
            Self::HostPort => format!("host-mode port already in use on {nodes}"),
            Self::MaxReplicas => "max replicas per node limit exceed".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_explanation_is_docker_s() {
        use Refusal::{MaxReplicas, NotReady, Resources};
        assert_eq!(no_suitable_node(&[]), "no suitable node");
        assert_eq!(
            no_suitable_node(&[Resources, NotReady, NotReady, MaxReplicas]),
            "no suitable node (2 nodes not available for new tasks; insufficient resources on 1 node; \
             max replicas per node limit exceed)"
        );
    }
}
