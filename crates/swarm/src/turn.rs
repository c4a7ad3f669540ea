//! One run of the manager's loops over a transaction: the time and the identifiers come in from outside.

use std::time::{Duration, SystemTime};

use raft_store::{Error, Object, State, Tx};
use swarm_wire::pb;
use swarm_wire::prost_types;

/// What a loop has while it runs.
pub struct Turn<'a> {
    pub tx: &'a mut Tx,
    pub now: SystemTime,
    pub new_id: &'a mut dyn FnMut() -> String,
}

impl Turn<'_> {
    /// The state with everything that this turn has written so far.
    pub fn state(&self) -> &State {
        self.tx.state()
    }

    pub fn update(&mut self, object: impl Into<Object>) -> Result<(), Error> {
        self.tx.update(object)
    }

    /// Changes a task that is there; one that has gone is left alone.
    pub fn change_task(&mut self, id: &str, f: impl FnOnce(&mut pb::Task)) -> Result<(), Error> {
        let Some(task) = self.state().tasks.get(id) else {
            return Ok(());
        };
        let mut new = task.as_ref().clone();
        f(&mut new);
        if new == **task {
            return Ok(());
        }
        self.tx.update(new)
    }

    /// Asks for a later desired state. Going back is not possible.
    pub fn desire(&mut self, id: &str, desired: pb::TaskState) -> Result<(), Error> {
        self.change_task(id, |task| {
            if task.desired_state() < desired {
                task.set_desired_state(desired);
            }
        })
    }

    pub fn status(&self, state: pb::TaskState, message: &str) -> pb::TaskStatus {
        pb::TaskStatus {
            state: state.into(),
            message: message.to_owned(),
            timestamp: Some(self.now.into()),
            ..Default::default()
        }
    }

    /// Says why a task does not get on, once.
    pub fn explain(&mut self, id: &str, reason: &str) -> Result<(), Error> {
        let now = self.now;
        self.change_task(id, |task| {
            let status = task.status.get_or_insert_default();
            if status.err != reason {
                status.err = reason.to_owned();
                status.timestamp = Some(now.into());
            }
        })
    }
}

/// A negative or absurd duration of the wire is none.
pub fn duration(wire: &prost_types::Duration) -> Duration {
    Duration::try_from(*wire).unwrap_or_default()
}

pub fn time(wire: &prost_types::Timestamp) -> Option<SystemTime> {
    SystemTime::try_from(*wire).ok()
}

/// Parts of objects that every loop asks for.
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
}

pub trait NetworkExt {
    fn name(&self) -> &str;
    fn is_ingress(&self) -> bool;
    /// `overlay` unless its spec says otherwise.
    fn driver(&self) -> &str;
    /// The swarm gives it no subnet and no addresses: its driver does so on each node.
    fn node_local(&self) -> bool;
    fn allocated(&self) -> bool;
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
}
