//! What the fuzz targets reach of this crate beyond its interface; nobody else's.

use swarm_wire::pb;

use crate::{Error, State, disk};

/// Reads a log entry as it lies on disk and writes it again.
pub fn entry(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    disk::encode(&disk::decode(1, bytes)?)
}

/// The state that a snapshot holds, and the snapshot of that state.
pub fn snapshot(store: pb::StoreSnapshot) -> (State, pb::StoreSnapshot) {
    let state = State::from_snapshot(1, store);
    let again = state.to_snapshot();
    (state, again)
}
