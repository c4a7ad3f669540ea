//! The store as its users see it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use openraft::{BasicNode, Config, ServerState, SnapshotPolicy};
use prost::Message;
use tokio::sync::{Mutex, broadcast};

use crate::disk::Disk;
use crate::log::Log;
use crate::machine::Machine;
use crate::raft::{NoPeers, NodeId, Outcome, Raft};
use crate::{Commit, Error, State, Tx};

/// Raft's name for the first manager.
const FIRST: NodeId = 1;

/// A lone manager elects itself in milliseconds; this bounds the wait on a machine that is stuck.
const START: Duration = Duration::from_secs(30);

/// The managers' store. Clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    raft: Raft,
    disk: Disk,
    machine: Machine,
    /// Transactions of this process take turns, so that they need not run twice.
    turn: Mutex<()>,
}

impl Store {
    /// Opens or makes the store in `dir` as a cluster of one manager. Returns when it leads and holds its whole state.
    pub async fn open(dir: PathBuf) -> Result<Self, Error> {
        let disk = Disk::open(&dir)?;
        let opened = Self::start(&disk, &dir).await;
        if opened.is_err() {
            disk.close();
        }
        opened
    }

    async fn start(disk: &Disk, dir: &std::path::Path) -> Result<Self, Error> {
        let fail = |error: String| Error::Storage(format!("open {}: {error}", dir.display()));
        let machine = Machine::load(disk.clone())?;
        let last = disk.last_entry()?.or(disk.purged()?);
        let config = Config {
            cluster_name: "swarm".into(),
            // SwarmKit's tick is 1 s, its election timeout ten of them.
            heartbeat_interval: 1000,
            election_timeout_min: 10_000,
            election_timeout_max: 11_000,
            // A lone manager has nobody to send heartbeats to and no leader to miss: it is told to elect itself, and
            // sleeps when nothing happens.
            enable_tick: false,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(2000),
            max_in_snapshot_log_to_keep: 500,
            ..Config::default()
        }
        .validate()
        .map_err(|error| fail(error.to_string()))?;
        let raft = Raft::new(
            FIRST,
            Arc::new(config),
            NoPeers,
            Log::new(disk.clone()),
            machine.clone(),
        )
        .await
        .map_err(|error| fail(error.to_string()))?;
        if last.is_none() {
            raft.initialize(BTreeMap::from([(FIRST, BasicNode::default())]))
                .await
                .map_err(|error| fail(error.to_string()))?;
        } else if raft.metrics().borrow().state != ServerState::Leader {
            raft.trigger()
                .elect()
                .await
                .map_err(|error| fail(error.to_string()))?;
        }
        raft.wait(Some(START))
            .metrics(
                |metrics| {
                    metrics.running_state.is_err()
                        || metrics.state == ServerState::Leader && metrics.last_applied >= last
                },
                "leads and has applied its log",
            )
            .await
            .map_err(|error| fail(error.to_string()))?;
        if let Err(error) = &raft.metrics().borrow().running_state {
            return Err(fail(error.to_string()));
        }
        Ok(Self(Arc::new(Inner {
            raft,
            disk: disk.clone(),
            machine,
            turn: Mutex::default(),
        })))
    }

    /// Everything as it is now.
    pub fn view(&self) -> State {
        self.0.machine.state()
    }

    /// Runs `f` on the current state, commits its changes through Raft and returns when they are applied here.
    ///
    /// `f` runs again when another transaction came in between. When it fails, or writes nothing, nothing is committed.
    /// Dropping the future does not undo a commit that is under way.
    pub async fn update<T, E: From<Error>>(
        &self,
        mut f: impl FnMut(&mut Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        let _turn = self.0.turn.lock().await;
        loop {
            let mut tx = Tx::new(self.view(), SystemTime::now());
            let value = f(&mut tx)?;
            if tx.is_empty() {
                return Ok(value);
            }
            let bytes = tx.into_request().encode_to_vec();
            let written = self.0.raft.client_write(bytes).await;
            match written
                .map_err(|error| Error::Storage(error.to_string()))?
                .data
            {
                Outcome::Applied => return Ok(value),
                Outcome::Conflict => tracing::debug!("a transaction runs again"),
            }
        }
    }

    /// Every commit from now on, in order. A receiver that lags starts over from the next commit's state.
    pub fn watch(&self) -> broadcast::Receiver<Arc<Commit>> {
        self.0.machine.watch()
    }

    /// Stops Raft and lets go of the file, whatever clones are left: they can only [`Self::view`] from then on.
    pub async fn close(self) {
        if let Err(error) = self.0.raft.shutdown().await {
            tracing::error!(%error, "the store did not stop in good order");
        }
        self.0.disk.close();
    }
}
