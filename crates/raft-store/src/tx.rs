//! A transaction in the making.

use std::collections::BTreeMap;
use std::time::SystemTime;

use swarm_wire::pb;
use swarm_wire::pb::StoreActionKind;
use swarm_wire::prost_types::Timestamp;

use crate::object::{Kind, Object};
use crate::{Error, State};

/// A transaction in the making: reads see its own writes. However often it writes an object, the log gets it once.
#[derive(Debug)]
pub struct Tx {
    state: State,
    writes: BTreeMap<(Kind, String), Write>,
    count: usize,
    now: Timestamp,
}

#[derive(Debug)]
enum Write {
    Create(Object),
    Update(Object),
    Remove,
}

impl Tx {
    /// `now` becomes the created and updated times of what the transaction writes.
    pub fn new(state: State, now: SystemTime) -> Self {
        Self {
            state,
            writes: BTreeMap::new(),
            count: 0,
            now: now.into(),
        }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// True while there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// How often something was written.
    pub fn writes(&self) -> usize {
        self.count
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
        self.put(object, true);
        Ok(())
    }

    /// Fails with `NotFound`, or with `OutOfSequence` when the object's `meta.version` is not the stored one.
    pub fn update(&mut self, object: impl Into<Object>) -> Result<(), Error> {
        let mut object = object.into();
        let stored = self.state.get(object.kind(), object.id());
        let stored = stored.as_ref().ok_or(Error::NotFound)?.meta();
        let stored = stored.copied().unwrap_or_default();
        let version = object.meta().and_then(|meta| meta.version);
        if version.unwrap_or_default() != stored.version.unwrap_or_default() {
            return Err(Error::OutOfSequence);
        }
        *object.meta_mut() = pb::Meta {
            updated_at: Some(self.now),
            ..stored
        };
        self.put(object, false);
        Ok(())
    }

    pub fn remove(&mut self, kind: Kind, id: &str) -> Result<(), Error> {
        self.state.delete(kind, id).ok_or(Error::NotFound)?;
        self.count += 1;
        let key = (kind, id.to_owned());
        match self.writes.remove(&key) {
            // Nobody else has ever seen it.
            Some(Write::Create(_)) => {}
            Some(Write::Update(_) | Write::Remove) | None => {
                self.writes.insert(key, Write::Remove);
            }
        }
        Ok(())
    }

    fn put(&mut self, object: Object, new: bool) {
        self.state.put(&object);
        self.count += 1;
        let key = (object.kind(), object.id().to_owned());
        let write = match self.writes.get(&key) {
            Some(Write::Create(_)) => Write::Create(object),
            None if new => Write::Create(object),
            // One that was removed before in this transaction is a change to everybody else.
            Some(Write::Update(_) | Write::Remove) | None => Write::Update(object),
        };
        self.writes.insert(key, write);
    }

    /// The log entry. Its id is the version that the transaction ran on.
    pub fn into_request(self) -> pb::InternalRaftRequest {
        let action = |((kind, id), write): ((Kind, String), Write)| {
            let (action, object) = match write {
                Write::Create(object) => (StoreActionKind::StoreActionCreate, object),
                Write::Update(object) => (StoreActionKind::StoreActionUpdate, object),
                Write::Remove => (StoreActionKind::StoreActionRemove, Object::bare(kind, &id)),
            };
            pb::StoreAction {
                action: action.into(),
                target: Some(object.target()),
            }
        };
        pb::InternalRaftRequest {
            id: self.state.version,
            action: self.writes.into_iter().map(action).collect(),
        }
    }
}
