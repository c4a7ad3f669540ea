//! Following the store, level-triggered: what matters is how things are, not each step to there.

use std::sync::Arc;

use raft_store::{Commit, State, Store};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

pub(crate) struct Follow {
    store: Store,
    commits: Receiver<Arc<Commit>>,
}

impl Follow {
    /// Look at the store after making this, and no change is missed.
    pub fn new(store: &Store) -> Self {
        Self {
            commits: store.watch(),
            store: store.clone(),
        }
    }

    /// Waits for a commit and returns the newest state; a burst of commits is one step. `None` when the store is closed.
    pub async fn next(&mut self) -> Option<State> {
        match self.commits.recv().await {
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
        while let Ok(_) | Err(TryRecvError::Lagged(_)) = self.commits.try_recv() {}
        Some(self.store.view())
    }
}
