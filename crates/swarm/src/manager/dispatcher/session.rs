//! The stream of a session: the node's own object, the managers, the keys and the root, whenever one of them changes.

use raft_store::State;
use swarm_wire::pb;
use tokio::sync::mpsc;
use tonic::Status;

use super::Dispatcher;
use crate::manager::follow::Follow;
use crate::manager::gate;

const MANAGER_WEIGHT: i64 = 10;

/// Every message repeats everything. `None`: the node is not in the store.
fn message(
    state: &State,
    cluster_id: &str,
    node_id: &str,
    session_id: &str,
) -> Option<pb::SessionMessage> {
    let node = state.nodes.get(node_id)?;
    let cluster = state.clusters.get(cluster_id)?;
    let managers = state.nodes.values().filter_map(|node| {
        let status = node.manager_status.as_ref()?;
        Some(pb::WeightedPeer {
            peer: Some(pb::Peer {
                node_id: node.id.clone(),
                addr: status.addr.clone(),
            }),
            weight: MANAGER_WEIGHT,
        })
    });
    Some(pb::SessionMessage {
        session_id: session_id.to_owned(),
        node: Some(pb::Node::clone(node)),
        managers: managers.collect(),
        network_bootstrap_keys: cluster.network_bootstrap_keys.clone(),
        root_ca: cluster
            .root_ca
            .as_ref()
            .map(|ca| ca.ca_cert.clone())
            .unwrap_or_default(),
    })
}

/// Feeds `sink` until the session is over; returns why. `follow` was made before the session was opened.
pub(super) async fn run(
    dispatcher: &Dispatcher,
    mut follow: Follow,
    node_id: &str,
    session_id: &str,
    sink: &mpsc::Sender<Result<pb::SessionMessage, Status>>,
) -> Option<Status> {
    let cluster_id = &dispatcher.gate.cluster_id;
    let mut sessions = dispatcher.sessions.subscribe();
    let mut state = dispatcher.gate.store.view();
    let mut sent = None;
    loop {
        sessions.mark_unchanged();
        if let Err(over) = dispatcher.nodes().check(node_id, session_id) {
            return Some(over);
        }
        let Some(next) = message(&state, cluster_id, node_id, session_id) else {
            dispatcher.nodes().remove(node_id);
            return Some(gate::removed(node_id));
        };
        if sent.as_ref() != Some(&next) {
            sink.send(Ok(next.clone())).await.ok()?;
            sent = Some(next);
        }
        tokio::select! {
            next = follow.next() => match next {
                Some(next) => state = next,
                None => return Some(disconnect()),
            },
            _ = sessions.changed() => {}
            () = dispatcher.stop.cancelled() => return Some(disconnect()),
            () = sink.closed() => return None,
        }
    }
}

fn disconnect() -> Status {
    Status::aborted("node must disconnect")
}
