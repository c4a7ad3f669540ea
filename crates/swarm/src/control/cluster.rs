//! The cluster object: settings and join tokens.

use std::sync::Arc;
use std::time::Duration;

use swarm_wire::pb;
use tonic::Status;

use super::refusal::Refusal;
use super::{Control, nodes, root};
use crate::ca::token;

const MIN_CERTIFICATE_EXPIRY: Duration = Duration::from_secs(3600);

impl Control {
    pub async fn update_cluster(
        &self,
        id: &str,
        version: u64,
        spec: pb::ClusterSpec,
        rotate: pb::KeyRotation,
    ) -> Result<Arc<pb::Cluster>, Status> {
        check(&spec, &rotate)?;
        self.update(|tx| {
            let cluster = tx.state().clusters.get(id).ok_or_else(|| unknown(id))?;
            let mut cluster = cluster.as_ref().clone();
            let root = cluster.root_ca.get_or_insert_default();
            let mut spec = spec.clone();
            if let Some(ca) = &mut spec.ca_config {
                *root = root::wanted(root, ca)?;
                // It is kept where it is used, and shown to nobody.
                ca.signing_ca_cert.clear();
                ca.signing_ca_key.clear();
            }
            cluster.meta.get_or_insert_default().version = Some(pb::Version { index: version });
            cluster.spec = Some(spec);
            nodes::expire_blacklist(&mut cluster);
            let root = cluster.root_ca.get_or_insert_default();
            let tokens = root.join_tokens.get_or_insert_default();
            if rotate.worker_join_token {
                tokens.worker = token::generate(&root.ca_cert);
            }
            if rotate.manager_join_token {
                tokens.manager = token::generate(&root.ca_cert);
            }
            Ok(tx.update(cluster)?)
        })
        .await?;
        let cluster = self.view().clusters.get(id).cloned();
        cluster.ok_or_else(|| unknown(id).into())
    }
}

fn unknown(id: &str) -> Refusal {
    Refusal::not_found(format!("cluster {id} not found"))
}

fn check(spec: &pb::ClusterSpec, rotate: &pb::KeyRotation) -> Result<(), Refusal> {
    let ca = spec.ca_config.as_ref();
    if let Some(expiry) = ca.and_then(|ca| ca.node_cert_expiry) {
        let expiry =
            Duration::try_from(expiry).map_err(|_| Refusal::invalid("invalid argument"))?;
        if expiry < MIN_CERTIFICATE_EXPIRY {
            return Err(Refusal::invalid(
                "minimum certificate expiry time is: 1h0m0s",
            ));
        }
    }
    let period = spec
        .dispatcher
        .as_ref()
        .and_then(|dispatcher| dispatcher.heartbeat_period);
    if period.is_some_and(|period| period.seconds < 0 || period.nanos < 0) {
        return Err(Refusal::invalid(
            "heartbeat time period cannot be a negative duration",
        ));
    }
    if spec
        .annotations
        .as_ref()
        .is_none_or(|annotations| annotations.name != "default")
    {
        return Err(Refusal::invalid(
            "modification of cluster name is not allowed",
        ));
    }
    let autolock = spec
        .encryption_config
        .as_ref()
        .is_some_and(|config| config.auto_lock_managers);
    if autolock || rotate.manager_unlock_key {
        return Err(Refusal::unimplemented("locking managers is not supported"));
    }
    match ca.is_some_and(|ca| !ca.external_cas.is_empty()) {
        true => Err(Refusal::unimplemented("external CAs are not supported")),
        false => Ok(()),
    }
}
