//! What a leading manager does by itself: orchestrate, allocate, schedule.
//!
//! ```text
//!            ┌──────────────── one transaction ────────────────┐
//!   commit ─►│ diff ─► orchestrator ─► allocator ─► scheduler ─┤─► commit
//!            │   ▲                                             │
//!            │   └──────────── until nothing changes ──────────┘
//! ```
//!
//! A new service of twenty replicas is made, addressed and placed in a single commit. [`Core`] is pure: a state, the
//! time and a source of identifiers in, a transaction out.

use std::time::{Duration, SystemTime};

use raft_store::{Error, State, Store};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::oneshot;

use crate::allocator::Allocator;
use crate::id::new_id;
use crate::orchestrator::Orchestrator;
use crate::scheduler::Scheduler;
use crate::turn::Turn;

/// More rounds than any chain of consequences needs; what is left then waits for the next turn.
const ROUNDS: usize = 32;

/// After a failed commit.
const RETRY: Duration = Duration::from_secs(1);

/// All loops and what they remember between turns. A fresh one learns everything from the state.
#[derive(Default)]
pub struct Core {
    seen: State,
    orchestrator: Orchestrator,
    allocator: Allocator,
    scheduler: Scheduler,
    /// The last turn's transaction is not known to have been committed.
    unconfirmed: bool,
}

impl Core {
    /// Brings the state nearer to what is desired. Returns when to run again although nothing changes.
    /// Call [`Self::confirm`] once the transaction is committed.
    pub fn turn(&mut self, turn: &mut Turn) -> Result<Option<SystemTime>, Error> {
        if self.unconfirmed {
            // What was handed out in a transaction that came to nothing is not in use.
            *self = Self::default();
        }
        self.unconfirmed = true;
        for round in 0..ROUNDS {
            let state = turn.state().clone();
            for change in self.seen.diff(&state) {
                self.orchestrator.absorb(&change);
                self.allocator.absorb(&change);
                self.scheduler.absorb(&change, turn.now);
            }
            self.seen = state;
            let writes = turn.tx.writes();
            self.orchestrator.run(turn)?;
            self.allocator.run(turn)?;
            self.scheduler.run(turn)?;
            if turn.tx.writes() == writes {
                return Ok(self.orchestrator.alarm());
            }
            if round + 1 == ROUNDS {
                tracing::error!("the manager's loops do not come to rest");
            }
        }
        // Not everything was seen: go on at once, in a transaction of its own.
        Ok(Some(turn.now))
    }

    pub fn confirm(&mut self) {
        self.unconfirmed = false;
    }
}

/// The running loops.
pub struct Loops {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Loops {
    /// Returns when no transaction of theirs is under way any more.
    pub async fn stop(self) {
        // An error means that they have ended already.
        let _ = self.stop.send(());
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the manager's loops ended badly");
        }
    }
}

/// Starts the loops on a store that leads.
pub fn spawn(store: Store) -> Loops {
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(run(store, stopped));
    Loops { stop, task }
}

async fn run(store: Store, mut stopped: oneshot::Receiver<()>) {
    let mut commits = store.watch();
    let mut core = Core::default();
    loop {
        let next = store
            .update(|tx| {
                core.turn(&mut Turn {
                    tx,
                    now: SystemTime::now(),
                    new_id: &mut new_id,
                })
            })
            .await;
        let alarm = match next {
            Ok(alarm) => {
                core.confirm();
                alarm
            }
            Err(error) => {
                tracing::error!(%error, "the manager's loops could not commit");
                Some(SystemTime::now() + RETRY)
            }
        };
        let alarm = async {
            match alarm {
                None => std::future::pending().await,
                Some(at) => {
                    let wait = at.duration_since(SystemTime::now()).unwrap_or_default();
                    tokio::time::sleep(wait).await;
                }
            }
        };
        tokio::select! {
            _ = &mut stopped => return,
            () = alarm => {}
            commit = commits.recv() => if matches!(commit, Err(RecvError::Closed)) {
                return;
            }
        }
        // Whatever else has come in is in the state already.
        while !matches!(
            commits.try_recv(),
            Err(TryRecvError::Empty | TryRecvError::Closed)
        ) {}
    }
}

#[cfg(test)]
mod sim;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod tests;
