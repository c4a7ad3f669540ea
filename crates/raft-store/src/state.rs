//! All objects at one version, and how a committed request turns one state into the next.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use swarm_wire::pb;

use crate::object::{Change, Kind, Object};
use crate::{Error, Tx};

/// All objects at one version: cheap to clone, never changes.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Raft index of the last change.
    pub version: u64,
    pub nodes: OrdMap<String, Arc<pb::Node>>,
    pub services: OrdMap<String, Arc<pb::Service>>,
    pub tasks: OrdMap<String, Arc<pb::Task>>,
    pub networks: OrdMap<String, Arc<pb::Network>>,
    pub clusters: OrdMap<String, Arc<pb::Cluster>>,
    pub secrets: OrdMap<String, Arc<pb::Secret>>,
    pub configs: OrdMap<String, Arc<pb::Config>>,
    /// (service, task) and (node, task), derived from `tasks`.
    pub(crate) service_tasks: OrdSet<(String, String)>,
    pub(crate) node_tasks: OrdSet<(String, String)>,
}

/// What one committed transaction did, and the state after it.
#[derive(Clone, Debug)]
pub struct Commit {
    pub changes: Vec<Change>,
    pub state: State,
}

impl State {
    /// Tasks of a service, by id.
    pub fn service_tasks<'a>(&'a self, id: &str) -> impl Iterator<Item = &'a Arc<pb::Task>> {
        self.indexed(&self.service_tasks, id)
    }

    /// Tasks that are assigned to a node, by id.
    pub fn node_tasks<'a>(&'a self, id: &str) -> impl Iterator<Item = &'a Arc<pb::Task>> {
        self.indexed(&self.node_tasks, id)
    }

    fn indexed<'a>(
        &'a self,
        index: &'a OrdSet<(String, String)>,
        id: &str,
    ) -> impl Iterator<Item = &'a Arc<pb::Task>> {
        let id = id.to_owned();
        index
            .range((id.clone(), String::new())..)
            .take_while(move |(owner, _)| *owner == id)
            .filter_map(|(_, task)| self.tasks.get(task))
    }

    pub(crate) fn put(&mut self, object: &Object) -> Option<Object> {
        let old = self.insert(object);
        if let Some(Object::Task(task)) = &old {
            self.unindex(task);
        }
        if let Object::Task(task) = object {
            if !task.service_id.is_empty() {
                self.service_tasks
                    .insert((task.service_id.clone(), task.id.clone()));
            }
            if !task.node_id.is_empty() {
                self.node_tasks
                    .insert((task.node_id.clone(), task.id.clone()));
            }
        }
        old
    }

    pub(crate) fn delete(&mut self, kind: Kind, id: &str) -> Option<Object> {
        let old = self.take(kind, id);
        if let Some(Object::Task(task)) = &old {
            self.unindex(task);
        }
        old
    }

    fn unindex(&mut self, task: &pb::Task) {
        self.service_tasks
            .remove(&(task.service_id.clone(), task.id.clone()));
        self.node_tasks
            .remove(&(task.node_id.clone(), task.id.clone()));
    }

    /// The state after the committed entry `index`. Depends on nothing but its arguments, so that all managers agree.
    ///
    /// `None` when the request was made on another version than this: it then changes nothing.
    pub fn apply(
        &self,
        index: u64,
        request: pb::InternalRaftRequest,
    ) -> Result<Option<Commit>, Error> {
        if request.id != self.version {
            return Ok(None);
        }
        let mut state = self.clone();
        state.version = index;
        let mut changes = Vec::with_capacity(request.action.len());
        for action in request.action {
            let kind = action.action();
            let target = action
                .target
                .ok_or_else(|| Error::Storage("the log holds an action without object".into()))?;
            let mut object = Object::from_target(target)?;
            if kind == pb::StoreActionKind::StoreActionRemove {
                if let Some(old) = state.delete(object.kind(), object.id()) {
                    changes.push(Change::Removed(old));
                }
                continue;
            }
            object.meta_mut().version = Some(pb::Version { index });
            changes.push(match state.put(&object) {
                None => Change::Created(object),
                Some(old) => Change::Updated { old, new: object },
            });
        }
        Ok(Some(Commit { changes, state }))
    }

    /// Runs a transaction without Raft: what simulations and tests do.
    pub fn commit(&self, tx: Tx) -> Result<Self, Error> {
        Ok(match self.apply(self.version + 1, tx.into_request())? {
            Some(commit) => commit.state,
            None => self.clone(),
        })
    }
}
