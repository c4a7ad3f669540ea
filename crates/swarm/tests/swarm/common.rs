//! A swarm in one process, on loopback: a manager, agents, and an executor that runs nothing.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use raft_store::State;
use swarm::agent::{self, Agent, Dependencies, Executor, TaskController, TaskError};
use swarm::ca::Identity;
use swarm::manager::{Config, Init, Manager};
use swarm_wire::pb;
use swarm_wire::pb::TaskState;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

pub const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Swarm {
    pub manager: Manager,
    pub identity: Identity,
    pub dir: TempDir,
}

pub fn init_with(heartbeat: Duration) -> Init {
    Init {
        spec: pb::ClusterSpec {
            dispatcher: Some(pb::DispatcherConfig {
                heartbeat_period: Some(heartbeat.try_into().unwrap()),
            }),
            ..Default::default()
        },
        default_addr_pool: Vec::new(),
        subnet_size: 0,
        data_path_port: 0,
        availability: 0,
    }
}

pub fn config(dir: &TempDir, listen: SocketAddr) -> Config {
    Config {
        dir: dir.path().to_owned(),
        listen,
        advertise: listen,
    }
}

impl Swarm {
    pub async fn new() -> Self {
        Self::with(Duration::from_secs(5)).await
    }

    pub async fn with(heartbeat: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (manager, identity) = Manager::init(config(&dir, LOOPBACK), init_with(heartbeat))
            .await
            .unwrap();
        Self {
            manager,
            identity,
            dir,
        }
    }

    pub fn addr(&self) -> String {
        self.manager.local_addr().to_string()
    }

    pub fn view(&self) -> State {
        self.manager.control().view()
    }

    pub fn cluster(&self) -> Arc<pb::Cluster> {
        self.view().clusters.values().next().unwrap().clone()
    }

    pub fn token(&self) -> String {
        let ca = self.cluster().root_ca.clone().unwrap();
        ca.join_tokens.unwrap().worker
    }

    pub async fn join(&self) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::request(dir.path(), &[self.addr()], &self.token(), 0)
            .await
            .unwrap();
        Node::start(self, dir, identity, Fake::default()).await
    }

    /// Waits until the store is as `wanted`.
    pub async fn until(&self, what: &str, wanted: impl Fn(&State) -> bool) -> State {
        let mut commits = self.manager.control().store().watch();
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let state = self.view();
                if wanted(&state) {
                    return state;
                }
                let _ = commits.recv().await;
            }
        });
        waited
            .await
            .unwrap_or_else(|_| panic!("never came: {what}: {:#?}", self.view().tasks))
    }

    pub async fn until_node(&self, node_id: &str, state: pb::node_status::State) -> Arc<pb::Node> {
        let is = |view: &State| {
            let status = view.nodes.get(node_id).and_then(|node| node.status.clone());
            status.is_some_and(|status| status.state() == state)
        };
        self.until(&format!("{node_id} {state:?}"), is).await.nodes[node_id].clone()
    }

    pub async fn until_task(&self, id: &str, state: TaskState) -> Arc<pb::Task> {
        let is = |view: &State| {
            let status = view.tasks.get(id).and_then(|task| task.status.clone());
            status.is_some_and(|status| status.state() == state)
        };
        self.until(&format!("{id} {state:?}"), is).await.tasks[id].clone()
    }

    /// Writes an object as the loops would.
    pub async fn create(&self, object: impl Into<raft_store::Object>) {
        let object = object.into();
        let store = self.manager.control().store().clone();
        store.update(|tx| tx.create(object.clone())).await.unwrap();
    }

    pub async fn edit_task(&self, id: &str, edit: impl Fn(&mut pb::Task)) {
        let store = self.manager.control().store().clone();
        let changed = store.update(|tx| {
            let mut task = pb::Task::clone(&tx.state().tasks[id]);
            edit(&mut task);
            tx.update(task)
        });
        changed.await.unwrap();
    }

    pub async fn remove(&self, kind: raft_store::Kind, id: &str) {
        let store = self.manager.control().store().clone();
        store.update(|tx| tx.remove(kind, id)).await.unwrap();
    }
}

/// A task that the scheduler has put on a node. Its service does not exist, so no orchestrator minds.
pub fn task(id: &str, node_id: &str) -> pb::Task {
    pb::Task {
        id: id.into(),
        node_id: node_id.into(),
        spec: Some(pb::TaskSpec {
            runtime: Some(pb::task_spec::Runtime::Container(
                pb::ContainerSpec::default(),
            )),
            ..Default::default()
        }),
        status: Some(pb::TaskStatus {
            state: TaskState::Assigned.into(),
            ..Default::default()
        }),
        desired_state: TaskState::Running.into(),
        ..Default::default()
    }
}

pub struct Node {
    pub agent: Agent,
    pub identity: Identity,
    pub executor: Fake,
    pub dir: TempDir,
}

impl Node {
    pub async fn start(swarm: &Swarm, dir: TempDir, identity: Identity, executor: Fake) -> Self {
        let config = agent::Config {
            dir: dir.path().to_owned(),
            managers: vec![swarm.addr()],
            availability: 0,
        };
        let agent = Agent::start(config, identity.clone(), Arc::new(executor.clone()))
            .await
            .unwrap();
        Self {
            agent,
            identity,
            executor,
            dir,
        }
    }

    pub fn id(&self) -> &str {
        &self.identity.node_id
    }

    pub async fn until_status(&self, wanted: impl Fn(&agent::Status) -> bool) -> agent::Status {
        let mut status = self.agent.status();
        let waited = tokio::time::timeout(PATIENCE, status.wait_for(|status| wanted(status)));
        waited.await.unwrap().unwrap().clone()
    }
}

/// What happened on a node: it outlives the agent, as containers do.
#[derive(Clone, Default)]
pub struct Fake(Arc<World>);

#[derive(Default)]
pub struct World {
    pub calls: Mutex<Vec<String>>,
    pub keys: watch::Sender<Vec<pb::EncryptionKey>>,
    pub secrets: Mutex<BTreeMap<String, Option<Vec<u8>>>>,
    /// Exit codes that tasks are to end with.
    pub ends: watch::Sender<BTreeMap<String, i32>>,
}

impl std::ops::Deref for Fake {
    type Target = World;
    fn deref(&self) -> &World {
        &self.0
    }
}

impl Fake {
    pub fn calls(&self, task: &str) -> String {
        let calls = self.calls.lock().unwrap();
        let of_task = calls
            .iter()
            .filter_map(|call| call.strip_prefix(&format!("{task} ")));
        of_task.collect::<Vec<_>>().join(" ")
    }

    /// Waits until the controller's calls end with `last`.
    pub async fn until_call(&self, task: &str, last: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !self.calls(task).ends_with(last) {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{task}: {}",
                self.calls(task)
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub fn end(&self, task: &str, code: i32) {
        self.ends.send_modify(|ends| {
            ends.insert(task.into(), code);
        });
    }
}

#[async_trait]
impl Executor for Fake {
    async fn describe(&self) -> pb::NodeDescription {
        pb::NodeDescription {
            hostname: "fake".into(),
            ..Default::default()
        }
    }
    async fn configure(&self, _: &pb::Node) {}
    async fn set_network_bootstrap_keys(&self, keys: Vec<pb::EncryptionKey>) {
        self.keys.send_replace(keys);
    }
    fn controller(
        &self,
        task: Arc<pb::Task>,
        dependencies: Arc<dyn Dependencies>,
    ) -> Box<dyn TaskController> {
        Box::new(Container {
            task,
            dependencies,
            world: self.clone(),
        })
    }
    async fn logs(
        &self,
        task_id: &str,
        _: pb::LogSubscriptionOptions,
    ) -> Option<mpsc::Receiver<pb::LogMessage>> {
        let (sender, lines) = mpsc::channel(4);
        for line in ["one", "two"] {
            let message = pb::LogMessage {
                data: format!("{task_id} {line}").into(),
                stream: pb::LogStream::Stdout.into(),
                ..Default::default()
            };
            sender.send(message).await.unwrap();
        }
        Some(lines)
    }
}

struct Container {
    task: Arc<pb::Task>,
    dependencies: Arc<dyn Dependencies>,
    world: Fake,
}

impl Container {
    fn note(&self, call: &str) {
        self.world
            .calls
            .lock()
            .unwrap()
            .push(format!("{} {call}", self.task.id));
    }
}

#[async_trait]
impl TaskController for Container {
    async fn prepare(&mut self) -> Result<(), TaskError> {
        self.note("prepare");
        let secret = self
            .dependencies
            .secret("secret")
            .and_then(|secret| secret.spec);
        self.world
            .secrets
            .lock()
            .unwrap()
            .insert(self.task.id.clone(), secret.map(|spec| spec.data));
        if self.task.id.contains("bad") {
            return Err(TaskError::Fatal("No such image: bad".into()));
        }
        Ok(())
    }
    async fn start(&mut self) -> Result<(), TaskError> {
        self.note("start");
        Ok(())
    }
    async fn wait(&mut self) -> Result<(), TaskError> {
        self.note("wait");
        let mut ends = self.world.ends.subscribe();
        let id = &self.task.id;
        let ended = ends.wait_for(|ends| ends.contains_key(id)).await.unwrap();
        match ended[id] {
            0 => Ok(()),
            code => Err(TaskError::Exit {
                code,
                message: String::new(),
            }),
        }
    }
    async fn shutdown(&mut self) -> Result<(), TaskError> {
        self.note("shutdown");
        Ok(())
    }
    async fn remove(&mut self) -> Result<(), TaskError> {
        self.note("remove");
        Ok(())
    }
    async fn container_status(&self) -> Option<pb::ContainerStatus> {
        Some(pb::ContainerStatus {
            container_id: format!("c-{}", self.task.id),
            ..Default::default()
        })
    }
    async fn port_status(&self) -> Option<pb::PortStatus> {
        None
    }
}
