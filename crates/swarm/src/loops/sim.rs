//! A swarm without Raft, network or clock: the loops, and agents that move tasks along.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use raft_store::{Kind, State, Tx};
use swarm_wire::pb;
use swarm_wire::pb::service_spec::Mode;
use swarm_wire::pb::{TaskState, node_spec::Availability, node_status};

use super::Core;
use crate::allocator::Allocator;
use crate::ext::{NetworkExt, NodeExt, TaskExt};
use crate::turn::Turn;

pub struct World {
    pub state: State,
    pub core: Core,
    pub now: SystemTime,
    ids: u64,
    /// When the loops want to run again.
    pub alarm: Option<SystemTime>,
    /// Images whose tasks fail as soon as they run.
    pub broken: BTreeSet<String>,
}

impl World {
    pub fn new(nodes: usize) -> Self {
        let mut world = Self {
            state: State::default(),
            core: Core::default(),
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
            ids: 0,
            alarm: None,
            broken: BTreeSet::new(),
        };
        world.tx(|tx| {
            tx.create(pb::Cluster {
                id: "cluster".into(),
                ..Default::default()
            })
        });
        world.network("ingress", |spec| spec.ingress = true);
        for n in 1..=nodes {
            world.node(&format!("n{n}"), |_| {});
        }
        world
    }

    pub fn tx<T>(&mut self, f: impl FnOnce(&mut Tx) -> Result<T, raft_store::Error>) -> T {
        let mut tx = Tx::new(self.state.clone(), self.now);
        let value = f(&mut tx).unwrap();
        self.state = self.state.commit(tx).unwrap();
        value
    }

    pub fn network(&mut self, id: &str, f: impl FnOnce(&mut pb::NetworkSpec)) {
        let mut spec = pb::NetworkSpec {
            annotations: Some(named(id)),
            ..Default::default()
        };
        f(&mut spec);
        let network = pb::Network {
            id: id.into(),
            spec: Some(spec),
            ..Default::default()
        };
        self.tx(|tx| tx.create(network));
    }

    pub fn node(&mut self, id: &str, f: impl FnOnce(&mut pb::Node)) {
        let mut node = pb::Node {
            id: id.into(),
            spec: Some(pb::NodeSpec::default()),
            status: Some(pb::NodeStatus {
                state: node_status::State::Ready.into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        f(&mut node);
        self.tx(|tx| tx.create(node));
    }

    /// A replicated service of image `a`, changed by `f`.
    pub fn service(&mut self, id: &str, replicas: u64, f: impl FnOnce(&mut pb::ServiceSpec)) {
        let mut spec = pb::ServiceSpec {
            annotations: Some(named(id)),
            task: Some(pb::TaskSpec::default()),
            mode: Some(Mode::Replicated(pb::ReplicatedService { replicas })),
            ..Default::default()
        };
        set_image(&mut spec, "a");
        f(&mut spec);
        let service = pb::Service {
            id: id.into(),
            spec: Some(spec),
            spec_version: Some(pb::Version::default()),
            ..Default::default()
        };
        self.tx(|tx| tx.create(service));
    }

    pub fn update_service(&mut self, id: &str, f: impl FnOnce(&mut pb::ServiceSpec)) {
        self.tx(|tx| {
            let mut service = tx.state().services[id].as_ref().clone();
            let spec = service.spec.get_or_insert_default();
            let old = spec.clone();
            f(spec);
            service.previous_spec = Some(old);
            service.previous_spec_version = service.spec_version;
            service.spec_version = service.meta.as_ref().unwrap().version;
            service.update_status = None;
            tx.update(service)
        });
    }

    pub fn change_node(&mut self, id: &str, f: impl FnOnce(&mut pb::Node)) {
        self.tx(|tx| {
            let mut node = tx.state().nodes[id].as_ref().clone();
            f(&mut node);
            tx.update(node)
        });
    }

    pub fn set_reachable(&mut self, id: &str, state: node_status::State) {
        self.change_node(id, |node| {
            node.status.get_or_insert_default().set_state(state)
        });
    }

    pub fn set_availability(&mut self, id: &str, availability: Availability) {
        self.change_node(id, |node| {
            node.spec
                .get_or_insert_default()
                .set_availability(availability)
        });
    }

    pub fn remove(&mut self, kind: Kind, id: &str) {
        self.tx(|tx| tx.remove(kind, id));
    }

    /// Runs the loops until they rest. The number of commits that it took.
    pub fn settle(&mut self) -> usize {
        for commits in 0..20 {
            let mut tx = Tx::new(self.state.clone(), self.now);
            let ids = &mut self.ids;
            let alarm = self.core.turn(&mut Turn {
                tx: &mut tx,
                now: self.now,
                new_id: &mut || {
                    *ids += 1;
                    format!("t{ids:04}")
                },
            });
            self.alarm = alarm.unwrap();
            let quiet = tx.is_empty();
            self.state = self.state.commit(tx).unwrap();
            self.core.confirm();
            self.check();
            if quiet {
                return commits;
            }
        }
        panic!("the loops do not come to rest");
    }

    /// Each agent takes each of its tasks one state further.
    pub fn step_agents(&mut self) {
        let broken = self.broken.clone();
        let now = self.now;
        self.tx(|tx| {
            let state = tx.state().clone();
            for node in state.nodes.values() {
                if node.reachable() != node_status::State::Ready {
                    continue;
                }
                for task in state.node_tasks(&node.id) {
                    let Some(next) = next_state(task, &broken) else {
                        continue;
                    };
                    let mut task = task.as_ref().clone();
                    task.status = Some(pb::TaskStatus {
                        state: next.into(),
                        timestamp: Some(now.into()),
                        ..Default::default()
                    });
                    tx.update(task)?;
                }
            }
            Ok(())
        });
    }

    /// Agents and loops take turns, until nothing moves or an hour has passed. Time goes from alarm to alarm.
    pub fn run(&mut self) {
        let end = self.now + Duration::from_secs(3600);
        while self.now < end {
            let before = self.state.clone();
            self.settle();
            self.step_agents();
            self.settle();
            self.now += Duration::from_millis(1);
            if before.diff(&self.state).is_empty() {
                match self.alarm {
                    Some(at) => self.now = self.now.max(at),
                    None => return,
                }
            }
        }
    }

    pub fn advance(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// Another manager leads: all that is known comes from the state.
    pub fn change_leader(&mut self) {
        self.core = Core::default();
    }

    pub fn tasks(&self, service: &str) -> Vec<&pb::Task> {
        self.state
            .service_tasks(service)
            .map(AsRef::as_ref)
            .collect()
    }

    /// Observed running, and wanted.
    pub fn running(&self, service: &str) -> Vec<&pb::Task> {
        let mut tasks = self.tasks(service);
        tasks.retain(|task| task.observed() == TaskState::Running && task.wanted());
        tasks
    }

    pub fn per_node(&self, service: &str) -> BTreeMap<String, usize> {
        let mut count = BTreeMap::new();
        for task in self.running(service) {
            *count.entry(task.node_id.clone()).or_default() += 1;
        }
        count
    }

    /// What must hold after every commit.
    pub fn check(&self) {
        let mut owners: BTreeMap<(String, String), String> = BTreeMap::new();
        let mut own = |network: &str, address: &str, owner: String| {
            let address = address.split('/').next().unwrap_or_default().to_owned();
            if address.is_empty() {
                return;
            }
            if let Some(other) = owners.insert((network.to_owned(), address.clone()), owner.clone())
            {
                panic!("{address} on {network} belongs to {other} and {owner}");
            }
        };
        let mut subnets: Vec<(ipnet::IpNet, &str)> = Vec::new();
        let mut vnis = BTreeMap::new();
        for network in self.state.networks.values().filter(|n| n.allocated()) {
            for config in network.ipam.iter().flat_map(|ipam| &ipam.configs) {
                own(
                    &network.id,
                    &config.gateway,
                    format!("gateway of {}", network.name()),
                );
                let subnet: ipnet::IpNet = config.subnet.parse().unwrap();
                for (other, id) in &subnets {
                    assert!(
                        !other.contains(&subnet) && !subnet.contains(other),
                        "{id} overlaps {}",
                        network.id
                    );
                }
                subnets.push((subnet, &network.id));
            }
            if let Some(list) = network
                .driver_state
                .as_ref()
                .and_then(|d| d.options.get(crate::allocator::VXLAN_IDS))
            {
                for vni in list.split(',') {
                    assert_eq!(
                        vnis.insert(vni, &network.id),
                        None,
                        "vni {vni} is used twice"
                    );
                }
            }
        }
        for task in self.state.tasks.values().filter(|task| !task.ended()) {
            for attachment in &task.networks {
                let network = &attachment.network.as_ref().unwrap().id;
                if self.state.networks.contains_key(network) {
                    own(
                        network,
                        &attachment.addresses[0],
                        format!("task {}", task.id),
                    );
                }
            }
        }
        for node in self.state.nodes.values() {
            for attachment in &node.attachments {
                let network = &attachment.network.as_ref().unwrap().id;
                own(
                    network,
                    &attachment.addresses[0],
                    format!("node {}", node.id),
                );
            }
        }
        let mut ports = BTreeMap::new();
        for service in self.state.services.values() {
            let endpoint = service.endpoint.clone().unwrap_or_default();
            for vip in &endpoint.virtual_ips {
                own(
                    &vip.network_id,
                    &vip.addr,
                    format!("service {}", service.id),
                );
            }
            for port in endpoint.ports.iter().filter(|port| port.publish_mode == 0) {
                let taken = ports.insert((port.protocol, port.published_port), &service.id);
                assert_eq!(
                    taken, None,
                    "port {} is published twice",
                    port.published_port
                );
            }
        }
        for task in self
            .state
            .tasks
            .values()
            .filter(|task| task.observed() >= TaskState::Assigned)
        {
            assert!(!task.node_id.is_empty() || task.ended(), "{task:?}");
        }
    }

    /// The allocator holds exactly what a new leader would read off the state: nothing leaks.
    pub fn check_leaks(&self) {
        let mut fresh = Allocator::default();
        for change in State::default().diff(&self.state) {
            fresh.absorb(&change);
        }
        assert_eq!(self.core.allocator.usage(), fresh.usage());
    }
}

fn next_state(task: &pb::Task, broken: &BTreeSet<String>) -> Option<TaskState> {
    let observed = task.observed();
    if observed < TaskState::Assigned || observed > TaskState::Running {
        return None;
    }
    if task.desired_state() > TaskState::Running {
        return Some(TaskState::Shutdown);
    }
    Some(match observed {
        TaskState::Assigned => TaskState::Accepted,
        TaskState::Accepted => TaskState::Preparing,
        TaskState::Preparing => TaskState::Ready,
        TaskState::Ready if task.desired_state() < TaskState::Running => return None,
        TaskState::Ready => TaskState::Starting,
        TaskState::Starting => TaskState::Running,
        _ if broken.contains(image(task.spec.as_ref()?)) => TaskState::Failed,
        _ => return None,
    })
}

pub fn image(spec: &pb::TaskSpec) -> &str {
    match &spec.runtime {
        Some(pb::task_spec::Runtime::Container(container)) => &container.image,
        _ => "",
    }
}

pub fn set_image(spec: &mut pb::ServiceSpec, image: &str) {
    let container = pb::ContainerSpec {
        image: image.into(),
        ..Default::default()
    };
    spec.task.get_or_insert_default().runtime = Some(pb::task_spec::Runtime::Container(container));
}

pub fn set_replicas(spec: &mut pb::ServiceSpec, replicas: u64) {
    spec.mode = Some(Mode::Replicated(pb::ReplicatedService { replicas }));
}

pub fn join(spec: &mut pb::ServiceSpec, network: &str) {
    let task = spec.task.get_or_insert_default();
    task.networks.push(pb::NetworkAttachmentConfig {
        target: network.into(),
        ..Default::default()
    });
}

pub fn publish(spec: &mut pb::ServiceSpec, published_port: u32) {
    spec.endpoint
        .get_or_insert_default()
        .ports
        .push(pb::PortConfig {
            target_port: 80,
            published_port,
            ..Default::default()
        });
}

fn named(name: &str) -> pb::Annotations {
    pb::Annotations {
        name: name.into(),
        ..Default::default()
    }
}
