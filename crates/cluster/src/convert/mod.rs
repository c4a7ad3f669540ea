//! Swarm objects between the API's JSON and the swarm's wire.
//!
//! A pair of functions per shape: `x_json(&pb) -> swarm::X` and `x_pb(swarm::X) -> pb::X`. Texts of enumerations stand in
//! one table each ([`names`]).

mod cluster;
mod container;
mod names;
mod network;
mod node;
mod secret;
mod service;
mod task;

pub use cluster::{cluster_info, cluster_json, cluster_spec_pb};
pub use container::{container_spec_json, container_spec_pb};
pub use names::{NODE_AVAILABILITY, TASK_STATE};
pub use network::{inspect_json, network_spec_pb, swarm_network};
pub use node::{node_json, node_spec_pb};
pub use secret::{config_json, config_spec_pb, secret_json, secret_spec_pb};
pub use service::{ports_json, service_json, service_spec_pb};
pub use task::task_json;

use std::collections::BTreeMap;

use engine_types::{Time, swarm};
use swarm_wire::pb;
use swarm_wire::prost_types::{Duration, Timestamp};

pub(crate) fn annotations_json(a: Option<&pb::Annotations>) -> swarm::Annotations {
    let a = a.cloned().unwrap_or_default();
    swarm::Annotations {
        name: a.name,
        labels: Some(a.labels),
    }
}

pub(crate) fn annotations_pb(a: swarm::Annotations) -> Option<pb::Annotations> {
    Some(pb::Annotations {
        name: a.name,
        labels: a.labels.unwrap_or_default(),
        indices: Vec::new(),
    })
}

pub(crate) fn meta_json(meta: Option<&pb::Meta>) -> swarm::Meta {
    let Some(meta) = meta else {
        return swarm::Meta::default();
    };
    swarm::Meta {
        version: swarm::Version {
            index: meta.version.map_or(0, |v| v.index),
        },
        created_at: time_json(meta.created_at.as_ref()),
        updated_at: time_json(meta.updated_at.as_ref()),
    }
}

pub(crate) fn time_json(t: Option<&Timestamp>) -> Time {
    t.map_or_else(Time::default, |t| Time::from_unix(t.seconds, t.nanos))
}

/// Nanoseconds, as Go's `time.Duration` is written.
pub(crate) fn duration_json(d: Option<&Duration>) -> i64 {
    d.map_or(0, |d| {
        d.seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(i64::from(d.nanos))
    })
}

pub(crate) fn duration_pb(nanos: i64) -> Duration {
    // The remainder is below 10^9 and fits.
    Duration {
        seconds: nanos / 1_000_000_000,
        nanos: (nanos % 1_000_000_000) as i32,
    }
}

pub(crate) fn driver_json(d: Option<&pb::Driver>) -> Option<swarm::Driver> {
    d.map(|d| swarm::Driver {
        name: d.name.clone(),
        options: some_map(&d.options),
    })
}

pub(crate) fn driver_pb(d: Option<swarm::Driver>) -> Option<pb::Driver> {
    d.map(|d| pb::Driver {
        name: d.name,
        options: d.options.unwrap_or_default(),
    })
}

/// An empty list or map is left out, as Go's `omitempty` does.
pub(crate) fn some<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

pub(crate) fn some_map<V: Clone>(map: &BTreeMap<String, V>) -> Option<BTreeMap<String, V>> {
    (!map.is_empty()).then(|| map.clone())
}

pub(crate) fn each<A, B>(list: &[A], f: impl Fn(&A) -> B) -> Option<Vec<B>> {
    (!list.is_empty()).then(|| list.iter().map(f).collect())
}
