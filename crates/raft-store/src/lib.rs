//! The managers' replicated store: SwarmKit's objects behind Raft.

use std::path::PathBuf;
use std::sync::Arc;

use swarm_wire::pb;
use tokio::sync::broadcast;

/// All objects at one version: cheap to clone, never changes.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Raft index of the last applied change.
    pub version: u64,
    pub nodes: imbl::OrdMap<String, Arc<pb::Node>>,
    pub services: imbl::OrdMap<String, Arc<pb::Service>>,
    pub tasks: imbl::OrdMap<String, Arc<pb::Task>>,
    pub networks: imbl::OrdMap<String, Arc<pb::Network>>,
    pub clusters: imbl::OrdMap<String, Arc<pb::Cluster>>,
    pub secrets: imbl::OrdMap<String, Arc<pb::Secret>>,
    pub configs: imbl::OrdMap<String, Arc<pb::Config>>,
}

/// One object of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    Node(Arc<pb::Node>),
    Service(Arc<pb::Service>),
    Task(Arc<pb::Task>),
    Network(Arc<pb::Network>),
    Cluster(Arc<pb::Cluster>),
    Secret(Arc<pb::Secret>),
    Config(Arc<pb::Config>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Created(Object),
    Updated { old: Object, new: Object },
    Removed(Object),
}

/// What one committed transaction did, and the state after it.
#[derive(Clone, Debug)]
pub struct Commit {
    pub changes: Vec<Change>,
    pub state: State,
}

/// A transaction in the making: reads see its own writes.
pub struct Tx {}

impl Tx {
    pub fn state(&self) -> &State {
        todo!()
    }
    /// Fails with `Exists` when the id is taken. Sets `meta` (version, created and updated times).
    pub fn create(&mut self, _object: Object) -> Result<(), Error> {
        todo!()
    }
    /// Fails with `NotFound`, or with `OutOfSequence` when the object's `meta.version` is not the stored one.
    pub fn update(&mut self, _object: Object) -> Result<(), Error> {
        todo!()
    }
    pub fn remove(&mut self, _kind: Kind, _id: &str) -> Result<(), Error> {
        todo!()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Node,
    Service,
    Task,
    Network,
    Cluster,
    Secret,
    Config,
}

#[derive(Clone)]
pub struct Store {}

impl Store {
    /// Opens or makes the store in `dir` as a cluster of one manager.
    pub async fn open(_dir: PathBuf) -> Result<Self, Error> {
        todo!()
    }
    pub fn view(&self) -> State {
        todo!()
    }
    /// Runs `f` on the current state, commits its changes through Raft and returns when they are applied here.
    /// `f` runs again when another transaction came in between.
    pub async fn update<T, E: From<Error>>(
        &self,
        _f: impl FnMut(&mut Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        todo!()
    }
    pub fn watch(&self) -> broadcast::Receiver<Arc<Commit>> {
        todo!()
    }
    pub async fn close(self) {
        todo!()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("object already exists")]
    Exists,
    #[error("object not found")]
    NotFound,
    #[error("update out of sequence")]
    OutOfSequence,
    #[error("{0}")]
    Storage(String),
}
