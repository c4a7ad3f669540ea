//! Nodes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use raft_store::{Kind, Tx};
use swarm_wire::pb;
use tonic::Status;

use super::Control;
use super::refusal::Refusal;
use crate::ca::certificate::Leaf;
use crate::ext::{NodeExt, TaskExt};
use crate::turn::time;

/// How long a removed node's certificate stays on the list after it has expired.
const GRACE: Duration = Duration::from_secs(7 * 24 * 3600);

impl Control {
    pub async fn update_node(
        &self,
        id: &str,
        version: u64,
        spec: pb::NodeSpec,
    ) -> Result<Arc<pb::Node>, Status> {
        self.update(|tx| {
            let mut node = tx
                .state()
                .nodes
                .get(id)
                .ok_or_else(|| unknown(id))?
                .as_ref()
                .clone();
            check_role(tx, &node, &spec)?;
            node.meta.get_or_insert_default().version = Some(pb::Version { index: version });
            node.spec = Some(spec.clone());
            Ok(tx.update(node)?)
        })
        .await?;
        let node = self.view().nodes.get(id).cloned();
        node.ok_or_else(|| unknown(id).into())
    }

    /// Its certificate is no longer accepted, and its tasks count as lost.
    pub async fn remove_node(&self, id: &str, force: bool) -> Result<(), Status> {
        self.update(|tx| {
            let node = tx.state().nodes.get(id).ok_or_else(|| unknown(id))?.clone();
            if desired_role(&node) == pb::NodeRole::Manager {
                return Err(Refusal::precondition(format!(
                    "node {id} is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal"
                )));
            }
            if !force && node.reachable() == pb::node_status::State::Ready {
                return Err(Refusal::precondition(format!(
                    "node {id} is not down and can't be removed"
                )));
            }
            blacklist(tx, &node)?;
            orphan_tasks(tx, id)?;
            Ok(tx.remove(Kind::Node, id)?)
        })
        .await
    }
}

fn unknown(id: &str) -> Refusal {
    Refusal::not_found(format!("node {id} not found"))
}

fn desired_role(node: &pb::Node) -> pb::NodeRole {
    node.spec
        .as_ref()
        .map_or(node.role(), pb::NodeSpec::desired_role)
}

fn check_role(tx: &Tx, node: &pb::Node, spec: &pb::NodeSpec) -> Result<(), Refusal> {
    match (desired_role(node), spec.desired_role()) {
        (pb::NodeRole::Manager, pb::NodeRole::Worker) => {
            let nodes = tx.state().nodes.values();
            match nodes
                .filter(|node| node.role() == pb::NodeRole::Manager)
                .count()
            {
                0 | 1 => Err(Refusal::precondition(
                    "attempting to demote the last manager of the swarm",
                )),
                _ => Ok(()),
            }
        }
        (pb::NodeRole::Worker, pb::NodeRole::Manager) => Err(Refusal::unimplemented(
            "a swarm of this version has one manager: nodes cannot be promoted",
        )),
        _ => Ok(()),
    }
}

fn blacklist(tx: &mut Tx, node: &pb::Node) -> Result<(), Refusal> {
    let Some(cluster) = tx.state().clusters.values().next() else {
        return Err(Refusal::precondition("could not fetch cluster object"));
    };
    let mut cluster = cluster.as_ref().clone();
    let certificate = node
        .certificate
        .as_ref()
        .map(|certificate| &certificate.certificate);
    let expiry = certificate
        .and_then(|pem| Leaf::parse(pem).ok())
        .map(|leaf| leaf.not_after.into());
    let entry = pb::BlacklistedCertificate { expiry };
    cluster
        .blacklisted_certificates
        .insert(node.id.clone(), entry);
    expire_blacklist(&mut cluster);
    Ok(tx.update(cluster)?)
}

pub(super) fn expire_blacklist(cluster: &mut pb::Cluster) {
    let now = SystemTime::now();
    cluster.blacklisted_certificates.retain(|_, entry| {
        let expiry = entry.expiry.as_ref().and_then(time);
        expiry.is_none_or(|expiry| expiry + GRACE > now)
    });
}

/// Nobody will report on them any more.
fn orphan_tasks(tx: &mut Tx, node: &str) -> Result<(), Refusal> {
    let state = tx.state().clone();
    for task in state.node_tasks(node).filter(|task| !task.ended()) {
        let mut task = task.as_ref().clone();
        task.status = Some(pb::TaskStatus {
            timestamp: Some(SystemTime::now().into()),
            state: pb::TaskState::Orphaned.into(),
            message: "Task belonged to a node that has been deleted".into(),
            ..Default::default()
        });
        tx.update(task)?;
    }
    Ok(())
}
