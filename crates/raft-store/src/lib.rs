//! The managers' replicated store: SwarmKit's objects behind Raft.
//!
//! ```text
//!   update(f) ─► Tx on a State ─► InternalRaftRequest ─► openraft ─► log (redb, one fsync)
//!                                                           │ committed
//!   view() ◄──────────────── State (immutable maps) ◄── Machine::apply ──► watch(): Commit
//! ```
//!
//! * A [`State`] is all objects at one version. It shares structure with its predecessors: cloning costs nothing,
//!   [`State::diff`] costs what changed.
//! * A [`Tx`] is pure: it records changes made to a `State`, and [`State::apply`] replays them. The same two functions
//!   run below Raft and in simulations that have no Raft at all.
//! * An entry names the version that its transaction ran on ([`pb::InternalRaftRequest::id`]). When another change came
//!   in between, applying it does nothing, and the transaction runs again: every transaction is serializable.
//! * `meta.version.index` is the Raft index of an object's last change, as SwarmKit has it.
//!
//! What it does not do: validate objects (that is `swarm::control`), or talk to other managers yet. The boundary for that
//! is openraft's `RaftNetworkFactory`; `raft::NoPeers` refuses every call, as a lone manager makes none.
#![forbid(unsafe_code)]

#[cfg(doc)]
use swarm_wire::pb;

mod disk;
#[doc(hidden)]
pub mod fuzzing;
mod log;
mod machine;
mod object;
mod raft;
mod state;
mod store;
mod tx;

pub use object::{Change, Kind, Object};
pub use state::{Commit, State};
pub use store::Store;
pub use tx::Tx;

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
