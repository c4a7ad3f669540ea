//! What every loop asks the stored objects. prost makes each part of them optional; here that ends.

use swarm_wire::pb;
use swarm_wire::prost_types;

use crate::allocator::{VXLAN_IDS, is_v6};

pub trait TaskExt {
    /// What the node reported last.
    fn observed(&self) -> pb::TaskState;
    /// Ended, in whatever way.
    fn ended(&self) -> bool;
    /// Nothing of it runs or ever will: it has ended, or was called off before a node had it.
    fn gone(&self) -> bool;
    fn wanted(&self) -> bool;
    /// When it got into its present state.
    fn changed_at(&self) -> Option<prost_types::Timestamp>;
    fn is_attachment(&self) -> bool;
}

impl TaskExt for pb::Task {
    fn observed(&self) -> pb::TaskState {
        self.status
            .as_ref()
            .map_or(pb::TaskState::New, pb::TaskStatus::state)
    }

    fn ended(&self) -> bool {
        self.observed() > pb::TaskState::Running
    }

    fn gone(&self) -> bool {
        self.ended() || !self.wanted() && self.observed() < pb::TaskState::Assigned
    }

    fn wanted(&self) -> bool {
        self.desired_state() <= pb::TaskState::Running
    }

    fn changed_at(&self) -> Option<prost_types::Timestamp> {
        let status = self.status.as_ref()?;
        status.applied_at.or(status.timestamp)
    }

    fn is_attachment(&self) -> bool {
        let runtime = self.spec.as_ref().and_then(|spec| spec.runtime.as_ref());
        matches!(runtime, Some(pb::task_spec::Runtime::Attachment(_)))
    }
}

pub trait ServiceExt {
    fn task_spec(&self) -> Option<&pb::TaskSpec>;
    fn name(&self) -> &str;
    fn endpoint_spec(&self) -> Option<&pb::EndpointSpec>;
    /// The networks that its tasks join, the ingress network apart.
    fn networks(&self) -> &[pb::NetworkAttachmentConfig];
    /// It publishes a port on the routing mesh.
    fn needs_ingress(&self) -> bool;
}

impl ServiceExt for pb::ServiceSpec {
    fn task_spec(&self) -> Option<&pb::TaskSpec> {
        self.task.as_ref()
    }

    fn name(&self) -> &str {
        self.annotations.as_ref().map_or("", |a| &a.name)
    }

    fn endpoint_spec(&self) -> Option<&pb::EndpointSpec> {
        self.endpoint.as_ref()
    }

    fn networks(&self) -> &[pb::NetworkAttachmentConfig] {
        match &self.task {
            Some(task) if !task.networks.is_empty() => &task.networks,
            _ => &self.networks,
        }
    }

    fn needs_ingress(&self) -> bool {
        self.endpoint
            .iter()
            .flat_map(|endpoint| &endpoint.ports)
            .any(|port| port.publish_mode() == pb::port_config::PublishMode::Ingress)
    }
}

impl ServiceExt for pb::Service {
    fn task_spec(&self) -> Option<&pb::TaskSpec> {
        self.spec.as_ref()?.task_spec()
    }

    fn name(&self) -> &str {
        self.spec.as_ref().map_or("", ServiceExt::name)
    }

    fn endpoint_spec(&self) -> Option<&pb::EndpointSpec> {
        self.spec.as_ref()?.endpoint_spec()
    }

    fn networks(&self) -> &[pb::NetworkAttachmentConfig] {
        self.spec.as_ref().map_or(&[], ServiceExt::networks)
    }

    fn needs_ingress(&self) -> bool {
        self.spec.as_ref().is_some_and(ServiceExt::needs_ingress)
    }
}

pub trait NodeExt {
    fn available(&self) -> pb::node_spec::Availability;
    fn reachable(&self) -> pb::node_status::State;
    /// Its tasks have to go elsewhere: it is down or drained.
    fn invalid(&self) -> bool;
    /// Its engine is of our kind, not Docker's.
    fn is_ours(&self) -> bool;
    /// Its engine can make an allocated network.
    fn carries(&self, network: &pb::Network) -> bool;
}

impl NodeExt for pb::Node {
    fn available(&self) -> pb::node_spec::Availability {
        self.spec.as_ref().map_or(
            pb::node_spec::Availability::Active,
            pb::NodeSpec::availability,
        )
    }

    fn reachable(&self) -> pb::node_status::State {
        self.status
            .as_ref()
            .map_or(pb::node_status::State::Unknown, pb::NodeStatus::state)
    }

    fn invalid(&self) -> bool {
        self.reachable() == pb::node_status::State::Down
            || self.available() == pb::node_spec::Availability::Drain
    }

    fn is_ours(&self) -> bool {
        let engine = self.description.as_ref().and_then(|d| d.engine.as_ref());
        engine.is_some_and(|engine| engine.engine_version.contains("+pontoon"))
    }

    fn carries(&self, network: &pb::Network) -> bool {
        self.is_ours() || !network.needs_ours()
    }
}

pub trait NetworkExt {
    fn name(&self) -> &str;
    fn is_ingress(&self) -> bool;
    /// `overlay` unless its spec says otherwise.
    fn driver(&self) -> &str;
    /// The swarm gives it no subnet and no addresses: its driver does so on each node.
    fn node_local(&self) -> bool;
    fn allocated(&self) -> bool;
    /// Docker's engine wants an IPv4 subnet, and a VNI for each that there is.
    fn needs_ours(&self) -> bool;
}

impl NetworkExt for pb::Network {
    fn name(&self) -> &str {
        let spec = self.spec.as_ref();
        spec.and_then(|spec| spec.annotations.as_ref())
            .map_or("", |a| &a.name)
    }

    fn is_ingress(&self) -> bool {
        let Some(spec) = &self.spec else {
            return false;
        };
        let legacy = |a: &pb::Annotations| {
            a.name == "ingress" && a.labels.contains_key("com.docker.swarm.internal")
        };
        spec.ingress || spec.annotations.as_ref().is_some_and(legacy)
    }

    fn driver(&self) -> &str {
        let spec = self.spec.as_ref();
        match spec.and_then(|spec| spec.driver_config.as_ref()) {
            Some(driver) if !driver.name.is_empty() => &driver.name,
            _ => "overlay",
        }
    }

    fn node_local(&self) -> bool {
        self.driver() != "overlay"
    }

    fn allocated(&self) -> bool {
        self.driver_state.is_some() && self.ipam.is_some()
    }

    fn needs_ours(&self) -> bool {
        let (Some(state), Some(ipam)) = (&self.driver_state, &self.ipam) else {
            return false;
        };
        let v4 = ipam.configs.iter().filter(|c| !is_v6(c)).count();
        let vnis = state.options.get(VXLAN_IDS).map_or("", String::as_str);
        !self.node_local() && (v4 == 0 || vnis.split(',').count() < v4)
    }
}
