//! The administrator's verbs (SwarmKit's `Control` service), called in process and served over gRPC.
//! Every failure is a `tonic::Status` with SwarmKit's code and text.
//!
//! Here a wish is checked and written down; the loops (see [`crate::loops`]) fulfil it.

mod cluster;
mod image;
mod names;
mod networks;
mod nodes;
mod payloads;
mod refusal;
mod root;
mod services;
mod spec;

use raft_store::{State, Store, Tx};
use tonic::Status;

use refusal::Refusal;

#[derive(Clone)]
pub struct Control {
    store: Store,
}

impl Control {
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Everything as it is now: listings filter this.
    pub fn view(&self) -> State {
        self.store.view()
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    async fn update<T>(&self, f: impl FnMut(&mut Tx) -> Result<T, Refusal>) -> Result<T, Status> {
        Ok(self.store.update(f).await?)
    }
}

#[cfg(test)]
mod tests;
