//! The replicated state machine: the current [`State`], in memory, rebuilt from the last snapshot and the log.

use std::io::Cursor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::RaftStateMachine;
use openraft::{
    BasicNode, EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta,
    StorageIOError, StoredMembership,
};
use prost::Message;
use swarm_wire::pb;
use tokio::sync::broadcast;

use crate::disk::Disk;
use crate::raft::{Entry, LogId, NodeId, Outcome, StorageError, Types};
use crate::state::{Commit, State};
use crate::{Change, Error};

/// Commits that a slow watcher may fall behind before it has to start over from `Commit::state`.
const BACKLOG: usize = 1024;

#[derive(Clone)]
pub struct Machine {
    disk: Disk,
    applied: Arc<Mutex<Applied>>,
    commits: broadcast::Sender<Arc<Commit>>,
}

#[derive(Clone, Default)]
struct Applied {
    last: Option<LogId>,
    membership: StoredMembership<NodeId, BasicNode>,
    state: State,
}

impl Machine {
    pub fn load(disk: Disk) -> Result<Self, Error> {
        let applied = match disk.snapshot()? {
            Some(stored) => Applied::restore(&stored.meta, &stored.data)?,
            None => Applied::default(),
        };
        Ok(Self {
            disk,
            applied: Arc::new(Mutex::new(applied)),
            commits: broadcast::Sender::new(BACKLOG),
        })
    }

    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    pub fn watch(&self) -> broadcast::Receiver<Arc<Commit>> {
        self.commits.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Applied> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply_one(&self, entry: Entry) -> Result<Outcome, Error> {
        let mut applied = self.lock();
        let index = entry.log_id.index;
        applied.last = Some(entry.log_id);
        let commit = match entry.payload {
            EntryPayload::Blank => None,
            EntryPayload::Membership(membership) => {
                applied.membership = StoredMembership::new(Some(entry.log_id), membership);
                None
            }
            EntryPayload::Normal(bytes) => {
                let request = pb::InternalRaftRequest::decode(bytes.as_slice())
                    .map_err(|error| Error::Storage(format!("log entry {index}: {error}")))?;
                let Some(commit) = applied.state.apply(index, request)? else {
                    return Ok(Outcome::Conflict);
                };
                Some(commit)
            }
        };
        let Some(commit) = commit else {
            return Ok(Outcome::Applied);
        };
        applied.state = commit.state.clone();
        // Nobody watching is no fault. Sending under the lock keeps the order.
        let _ = self.commits.send(Arc::new(commit));
        Ok(Outcome::Applied)
    }
}

impl Applied {
    fn restore(meta: &SnapshotMeta<NodeId, BasicNode>, data: &[u8]) -> Result<Self, Error> {
        let snapshot = pb::Snapshot::decode(data)
            .map_err(|error| Error::Storage(format!("snapshot {}: {error}", meta.snapshot_id)))?;
        Ok(Self {
            last: meta.last_log_id,
            membership: meta.last_membership.clone(),
            state: State::from_snapshot(version(meta)?, snapshot.store.unwrap_or_default()),
        })
    }

    fn meta(&self) -> SnapshotMeta<NodeId, BasicNode> {
        SnapshotMeta {
            last_log_id: self.last,
            last_membership: self.membership.clone(),
            // The state's version is part of what must come back, and the store snapshot has no field for it.
            snapshot_id: self.state.version.to_string(),
        }
    }
}

fn version(meta: &SnapshotMeta<NodeId, BasicNode>) -> Result<u64, Error> {
    meta.snapshot_id
        .parse()
        .map_err(|_| Error::Storage(format!("snapshot id {:?} is no version", meta.snapshot_id)))
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId>, StoredMembership<NodeId, BasicNode>), StorageError> {
        let applied = self.lock();
        Ok((applied.last, applied.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcome>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut outcomes = Vec::new();
        for entry in entries {
            let id = entry.log_id;
            let outcome = self.apply_one(entry);
            outcomes.push(outcome.map_err(|error| StorageIOError::apply(id, &error))?);
        }
        Ok(outcomes)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        // A copy of its own: entries that are applied while it builds are not in it.
        Self {
            applied: Arc::new(Mutex::new(self.lock().clone())),
            ..self.clone()
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<NodeId, BasicNode>,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        let data = snapshot.into_inner();
        let fail = |error: Error| StorageIOError::write_snapshot(Some(meta.signature()), &error);
        let restored = Applied::restore(meta, &data).map_err(fail)?;
        self.disk.save_snapshot(meta, &data).map_err(fail)?;
        let mut applied = self.lock();
        let state = restored.state.clone();
        let changes: Vec<Change> = applied.state.diff(&state);
        *applied = restored;
        let _ = self.commits.send(Arc::new(Commit { changes, state }));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        let stored = self
            .disk
            .snapshot()
            .map_err(|error| StorageIOError::read_snapshot(None, &error))?;
        Ok(stored.map(|stored| Snapshot {
            meta: stored.meta,
            snapshot: Box::new(Cursor::new(stored.data)),
        }))
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError> {
        let applied = self.lock().clone();
        let meta = applied.meta();
        let data = pb::Snapshot {
            store: Some(applied.state.to_snapshot()),
            ..Default::default()
        }
        .encode_to_vec();
        self.disk
            .save_snapshot(&meta, &data)
            .map_err(|error| StorageIOError::write_snapshot(Some(meta.signature()), &error))?;
        Ok(Snapshot {
            meta,
            snapshot: Box::new(Cursor::new(data)),
        })
    }
}
