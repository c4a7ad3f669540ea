//! A new root CA for the whole swarm, without a moment in which two of its nodes do not believe each other.
//!
//! While a root is replaced every node is asked for another certificate, which the new key signs; the new root's own
//! certificate, signed by the old one, goes with it, so that it holds under either root. When every node says that it has one, the
//! swarm trusts the new root alone. A node that is down holds that up, as it does in Docker: wait for it, or remove it.

use std::sync::Arc;
use std::time::Duration;

use raft_store::{State, Tx};
use swarm_wire::pb;
use swarm_wire::pb::issuance_status::State as Issuance;
use tokio::time::sleep;
use tonic::Status;
use tracing::{error, info};

use super::follow::Follow;
use super::gate::{Gate, failed};
use crate::ca::certificate::{issued_by, subject_and_key};
use crate::ca::{Error, Identity, token};

/// After a step that failed.
const RETRY: Duration = Duration::from_secs(1);

/// What brings a rotation nearer to its end.
#[derive(Debug, PartialEq)]
enum Step {
    /// These nodes have a certificate of the old key.
    Ask(Vec<String>),
    /// Every node has one of the new key.
    Finish,
    /// Nodes were asked and have not answered yet.
    Wait,
}

/// For as long as it is polled.
pub(super) async fn run(gate: Gate, identity: Identity) {
    let mut follow = Follow::new(&gate.store);
    loop {
        let state = gate.store.view();
        if let Some(rotation) = rotation(&state, &gate.cluster_id)
            && let Err(error) = advance(&gate, &identity, &state, &rotation).await
        {
            error!(%error, "the root CA's rotation does not get on");
            sleep(RETRY).await;
            continue;
        }
        if follow.next().await.is_none() {
            return;
        }
    }
}

fn rotation(state: &State, cluster_id: &str) -> Option<pb::RootRotation> {
    let cluster = state.clusters.get(cluster_id)?;
    cluster.root_ca.as_ref()?.root_rotation.clone()
}

async fn advance(
    gate: &Gate,
    identity: &Identity,
    state: &State,
    rotation: &pb::RootRotation,
) -> Result<(), Error> {
    match step(state, &rotation.ca_cert)? {
        Step::Wait => {}
        Step::Ask(nodes) => gate.update(|tx| ask(tx, &nodes)).await?,
        Step::Finish => {
            // This manager first: from the commit on, nodes show certificates that only the new root explains.
            identity.trust(&rotation.ca_cert)?;
            gate.update(|tx| finish(tx, &gate.cluster_id, rotation))
                .await?;
            info!("the swarm has a new root CA");
        }
    }
    Ok(())
}

fn step(state: &State, root_pem: &[u8]) -> Result<Step, Error> {
    let issuer = subject_and_key(root_pem)?;
    let lacks = |node: &&Arc<pb::Node>| {
        let tls = node.description.as_ref().and_then(|d| d.tls_info.as_ref());
        tls.is_none_or(|tls| {
            (&tls.cert_issuer_subject, &tls.cert_issuer_public_key) != (&issuer.0, &issuer.1)
        })
    };
    let to_ask = |node: &&Arc<pb::Node>| {
        let certificate = node.certificate.as_ref();
        certificate.is_some_and(|certificate| {
            let status = certificate.status.as_ref().map(pb::IssuanceStatus::state);
            status == Some(Issuance::Issued) && !issued_by(&certificate.certificate, root_pem)
        })
    };
    let lacking: Vec<_> = state.nodes.values().filter(lacks).collect();
    let asked: Vec<_> = lacking
        .iter()
        .copied()
        .filter(to_ask)
        .map(|node| node.id.clone())
        .collect();
    Ok(match (lacking.is_empty(), asked.is_empty()) {
        (true, _) => Step::Finish,
        (false, true) => Step::Wait,
        (false, false) => Step::Ask(asked),
    })
}

/// Sessions tell each node of it.
fn ask(tx: &mut Tx, nodes: &[String]) -> Result<(), Status> {
    for id in nodes {
        let Some(node) = tx.state().nodes.get(id) else {
            continue;
        };
        let mut node = pb::Node::clone(node);
        let certificate = node.certificate.get_or_insert_default();
        certificate.status.get_or_insert_default().state = Issuance::Rotate.into();
        tx.update(node).map_err(failed)?;
    }
    Ok(())
}

/// Unless somebody asked for yet another root meanwhile.
fn finish(tx: &mut Tx, cluster_id: &str, rotation: &pb::RootRotation) -> Result<(), Status> {
    let Some(cluster) = tx.state().clusters.get(cluster_id) else {
        return Ok(());
    };
    let mut cluster = pb::Cluster::clone(cluster);
    let root = cluster.root_ca.get_or_insert_default();
    if root.root_rotation.as_ref().map(|now| &now.ca_cert) != Some(&rotation.ca_cert) {
        return Ok(());
    }
    *root = pb::RootCa {
        ca_key: rotation.ca_key.clone(),
        ca_cert: rotation.ca_cert.clone(),
        ca_cert_hash: token::root_hash(&rotation.ca_cert),
        join_tokens: Some(pb::JoinTokens {
            worker: token::generate(&rotation.ca_cert),
            manager: token::generate(&rotation.ca_cert),
        }),
        root_rotation: None,
        last_forced_rotation: root.last_forced_rotation,
    };
    tx.update(cluster).map_err(failed)
}
