//! The loops in a simulated swarm.

mod allocation;
mod histories;
mod placement;
mod restarts;
mod updates;

use swarm_wire::prost_types;

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}
