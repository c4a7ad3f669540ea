//! A transaction in the making.

use std::time::SystemTime;

use swarm_wire::pb;
use swarm_wire::pb::StoreActionKind;
use swarm_wire::prost_types::Timestamp;

use crate::object::{Kind, Object};
use crate::{Error, State};

/// A transaction in the making: reads see its own writes.
#[derive(Debug)]
pub struct Tx {
    state: State,
    actions: Vec<pb::StoreAction>,
    now: Timestamp,
}

impl Tx {
    /// `now` becomes the created and updated times of what the transaction writes.
    pub fn new(state: State, now: SystemTime) -> Self {
        Self {
            state,
            actions: Vec::new(),
            now: now.into(),
        }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// True while nothing was written: committing it costs nothing.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// How often something was written.
    pub fn writes(&self) -> usize {
        self.actions.len()
    }

    /// Fails with `Exists` when the id is taken. Sets `meta` (version, created and updated times).
    pub fn create(&mut self, object: impl Into<Object>) -> Result<(), Error> {
        let mut object = object.into();
        if self.state.get(object.kind(), object.id()).is_some() {
            return Err(Error::Exists);
        }
        *object.meta_mut() = pb::Meta {
            version: Some(pb::Version::default()),
            created_at: Some(self.now),
            updated_at: Some(self.now),
        };
        self.write(StoreActionKind::StoreActionCreate, object);
        Ok(())
    }

    /// Fails with `NotFound`, or with `OutOfSequence` when the object's `meta.version` is not the stored one.
    pub fn update(&mut self, object: impl Into<Object>) -> Result<(), Error> {
        let mut object = object.into();
        let stored = self.state.get(object.kind(), object.id());
        let stored = stored
            .as_ref()
            .map(|object| object.meta().cloned().unwrap_or_default())
            .ok_or(Error::NotFound)?;
        let version = object.meta().and_then(|meta| meta.version);
        if version.unwrap_or_default() != stored.version.unwrap_or_default() {
            return Err(Error::OutOfSequence);
        }
        *object.meta_mut() = pb::Meta {
            updated_at: Some(self.now),
            ..stored
        };
        self.write(StoreActionKind::StoreActionUpdate, object);
        Ok(())
    }

    pub fn remove(&mut self, kind: Kind, id: &str) -> Result<(), Error> {
        self.state.delete(kind, id).ok_or(Error::NotFound)?;
        self.push(StoreActionKind::StoreActionRemove, &Object::bare(kind, id));
        Ok(())
    }

    fn write(&mut self, kind: StoreActionKind, object: Object) {
        self.push(kind, &object);
        self.state.put(&object);
    }

    fn push(&mut self, kind: StoreActionKind, object: &Object) {
        self.actions.push(pb::StoreAction {
            action: kind.into(),
            target: Some(object.target()),
        });
    }

    /// The log entry. Its id is the version that the transaction ran on.
    pub fn into_request(self) -> pb::InternalRaftRequest {
        pb::InternalRaftRequest {
            id: self.state.version,
            action: self.actions,
        }
    }
}
