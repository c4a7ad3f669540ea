//! What the managers' store commits, as `docker events` of scope `swarm`.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::Events;
use raft_store::{Change, Commit, Object, Store};
use swarm_wire::pb;
use tokio::sync::broadcast::error::RecvError;
use tracing::warn;

use crate::convert::{node_json, service_json};

/// Publishes until the store is closed.
pub async fn publish(store: Store, events: Events) {
    let mut commits = store.watch();
    loop {
        match commits.recv().await {
            Ok(commit) => publish_commit(&commit, &events),
            Err(RecvError::Lagged(missed)) => warn!(missed, "events of the swarm were missed"),
            Err(RecvError::Closed) => return,
        }
    }
}

fn publish_commit(commit: &Arc<Commit>, events: &Events) {
    for change in &commit.changes {
        if let Some((kind, action, attributes)) = event(change) {
            events.publish(kind, action, change.object().id(), attributes, "swarm");
        }
    }
}

type Attributes = BTreeMap<String, String>;

/// Tasks and the cluster have no events; an update that changes nothing that users see has none either.
fn event(change: &Change) -> Option<(&'static str, &'static str, Attributes)> {
    let kind = match change.object() {
        Object::Node(_) => "node",
        Object::Service(_) => "service",
        Object::Network(_) => "network",
        Object::Secret(_) => "secret",
        Object::Config(_) => "config",
        Object::Task(_) | Object::Cluster(_) => return None,
    };
    let mut attributes: Attributes = [("name".to_owned(), name(change.object()))].into();
    let action = match change {
        Change::Created(_) => "create",
        Change::Removed(_) => "remove",
        Change::Updated { old, new } => {
            let differences = differences(old, new);
            // A node's every heartbeat-driven write is no news; a change of its spec or standing is.
            if differences.is_empty() && kind == "node" {
                return None;
            }
            for (what, old, new) in differences {
                if !old.is_empty() {
                    attributes.insert(format!("{what}.old"), old);
                }
                attributes.insert(format!("{what}.new"), new);
            }
            "update"
        }
    };
    Some((kind, action, attributes))
}

fn name(object: &Object) -> String {
    let annotations = match object {
        Object::Node(n) => {
            return n
                .description
                .as_ref()
                .map_or_else(String::new, |d| d.hostname.clone());
        }
        Object::Service(s) => s.spec.as_ref().and_then(|s| s.annotations.as_ref()),
        Object::Network(n) => n.spec.as_ref().and_then(|s| s.annotations.as_ref()),
        Object::Secret(s) => s.spec.as_ref().and_then(|s| s.annotations.as_ref()),
        Object::Config(c) => c.spec.as_ref().and_then(|s| s.annotations.as_ref()),
        Object::Task(_) | Object::Cluster(_) => None,
    };
    annotations.map_or_else(String::new, |a| a.name.clone())
}

/// `(what, before, after)` for what Docker names.
fn differences(old: &Object, new: &Object) -> Vec<(&'static str, String, String)> {
    let pairs = match (old, new) {
        (Object::Node(old), Object::Node(new)) => node(old, new),
        (Object::Service(old), Object::Service(new)) => service(old, new),
        _ => Vec::new(),
    };
    pairs
        .into_iter()
        .filter(|(_, old, new)| old != new)
        .collect()
}

fn node(old: &pb::Node, new: &pb::Node) -> Vec<(&'static str, String, String)> {
    let (old, new) = (node_json(old), node_json(new));
    let manager = |n: &engine_types::swarm::Node| n.manager_status.clone().unwrap_or_default();
    let leader = |n| if manager(n).leader { "true" } else { "false" }.to_owned();
    vec![
        ("state", old.status.state.clone(), new.status.state.clone()),
        (
            "availability",
            old.spec.availability.clone(),
            new.spec.availability.clone(),
        ),
        ("role", old.spec.role.clone(), new.spec.role.clone()),
        ("leader", leader(&old), leader(&new)),
        (
            "reachability",
            manager(&old).reachability,
            manager(&new).reachability,
        ),
    ]
}

fn service(old: &pb::Service, new: &pb::Service) -> Vec<(&'static str, String, String)> {
    let (old, new) = (service_json(old), service_json(new));
    let replicas = |s: &engine_types::swarm::Service| {
        let replicated = s.spec.mode.replicated.as_ref().and_then(|r| r.replicas);
        replicated.map_or_else(String::new, |r| r.to_string())
    };
    let image = |s: &engine_types::swarm::Service| {
        s.spec
            .task_template
            .container_spec
            .as_ref()
            .map_or_else(String::new, |c| c.image.clone())
    };
    let update = |s: &engine_types::swarm::Service| {
        s.update_status
            .as_ref()
            .map_or_else(String::new, |u| u.state.clone())
    };
    vec![
        ("replicas", replicas(&old), replicas(&new)),
        ("image", image(&old), image(&new)),
        ("updatestate", update(&old), update(&new)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service_of(replicas: u64) -> Object {
        Object::from(pb::Service {
            id: "s1".into(),
            spec: Some(pb::ServiceSpec {
                annotations: Some(pb::Annotations {
                    name: "web".into(),
                    ..Default::default()
                }),
                mode: Some(pb::service_spec::Mode::Replicated(pb::ReplicatedService {
                    replicas,
                })),
                ..Default::default()
            }),
            ..Default::default()
        })
    }

    #[test]
    fn a_service_is_scaled() {
        let (kind, action, attributes) = event(&Change::Updated {
            old: service_of(1),
            new: service_of(3),
        })
        .unwrap();
        let attributes: Vec<_> = attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!((kind, action), ("service", "update"));
        assert_eq!(attributes, ["name=web", "replicas.new=3", "replicas.old=1"]);
        assert_eq!(event(&Change::Created(service_of(1))).unwrap().1, "create");
    }

    #[test]
    fn what_users_do_not_see_is_no_event() {
        let node = |version| {
            let meta = Some(pb::Meta {
                version: Some(pb::Version { index: version }),
                ..Default::default()
            });
            Object::from(pb::Node {
                id: "n1".into(),
                meta,
                ..Default::default()
            })
        };
        assert!(
            event(&Change::Updated {
                old: node(1),
                new: node(2)
            })
            .is_none()
        );
        assert!(event(&Change::Created(Object::from(pb::Task::default()))).is_none());
    }
}
