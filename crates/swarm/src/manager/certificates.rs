//! `CA` and `NodeCA`: the root for joining nodes, certificates for nodes that show a token or a certificate.
//!
//! SwarmKit writes a pending request and lets a loop sign it. This manager holds the CA's key, so the request is signed on
//! the spot and stored as issued, in one transaction: the node's poll finds the certificate at once.

use std::sync::Arc;
use std::time::Duration;

use raft_store::Tx;
use swarm_wire::pb;
use tonic::{Request, Response, Status};
use tracing::info;

use super::follow::Follow;
use super::gate::{ANY_NODE, Gate, MANAGERS, failed};
use crate::ca::root::{DEFAULT_EXPIRY, RootCa};
use crate::ca::{MANAGER, WORKER, token};
use crate::id::new_id;

/// A P-256 request is some 400 bytes.
const MAX_CSR: usize = 16 << 10;
/// How long a status call waits; clients give up after 5 s and ask again.
const STATUS_WAIT: Duration = Duration::from_secs(10);

const SECOND_MANAGER: &str = "this swarm has one manager for now and takes no second: \
     join with the worker token (docker swarm join-token worker)";

#[derive(Clone)]
pub(super) struct Certificates {
    pub gate: Gate,
}

impl Certificates {
    async fn issue_new(
        &self,
        request: pb::IssueNodeCertificateRequest,
    ) -> Result<pb::IssueNodeCertificateResponse, Status> {
        let cluster = self.gate.cluster()?;
        let tokens = cluster
            .root_ca
            .as_ref()
            .and_then(|ca| ca.join_tokens.as_ref());
        let (is_manager, is_worker) = tokens.map_or((false, false), |tokens| {
            (
                token::matches(&tokens.manager, &request.token),
                token::matches(&tokens.worker, &request.token),
            )
        });
        if is_manager {
            return Err(Status::failed_precondition(SECOND_MANAGER));
        }
        if !is_worker {
            return Err(Status::invalid_argument(
                "A valid join token is necessary to join this cluster",
            ));
        }
        let node_id = new_id();
        let role = pb::NodeRole::Worker;
        let certificate = sign(&cluster, &node_id, role, request.csr)?;
        let node = pb::Node {
            id: node_id.clone(),
            role: role.into(),
            certificate: Some(certificate),
            spec: Some(pb::NodeSpec {
                desired_role: role.into(),
                membership: pb::node_spec::Membership::Accepted.into(),
                availability: request.availability,
                ..Default::default()
            }),
            vxlanudp_port: cluster.vxlanudp_port,
            ..Default::default()
        };
        let create = |tx: &mut Tx| tx.create(node.clone()).map_err(failed);
        self.gate.update(create).await?;
        info!(node.id = node_id, "a node joined");
        Ok(issued(node_id, pb::node_spec::Membership::Accepted.into()))
    }

    async fn renew(
        &self,
        node_id: String,
        csr: Vec<u8>,
    ) -> Result<pb::IssueNodeCertificateResponse, Status> {
        let cluster = self.gate.cluster()?;
        let missing = || {
            Status::not_found(format!(
                "node {node_id} not found when attempting to renew certificate"
            ))
        };
        let state = self.gate.store.view();
        let role = state.nodes.get(&node_id).ok_or_else(missing)?.role();
        let certificate = sign(&cluster, &node_id, role, csr)?;
        let update = |tx: &mut Tx| {
            let stored = tx.state().nodes.get(&node_id).cloned();
            let mut node = Arc::unwrap_or_clone(stored.ok_or_else(missing)?);
            node.certificate = Some(certificate.clone());
            let membership = node.spec.as_ref().map_or(0, |spec| spec.membership);
            tx.update(node).map_err(failed)?;
            Ok(membership)
        };
        let membership = self.gate.update(update).await?;
        Ok(issued(node_id, membership))
    }
}

#[tonic::async_trait]
impl pb::ca_server::Ca for Certificates {
    async fn get_root_ca_certificate(
        &self,
        _: Request<pb::GetRootCaCertificateRequest>,
    ) -> Result<Response<pb::GetRootCaCertificateResponse>, Status> {
        let cluster = self.gate.cluster()?;
        let certificate = cluster.root_ca.as_ref().map(|ca| ca.ca_cert.clone());
        Ok(Response::new(pb::GetRootCaCertificateResponse {
            certificate: certificate.unwrap_or_default(),
        }))
    }

    /// Managers are never locked here, so there is no key to hand out.
    async fn get_unlock_key(
        &self,
        request: Request<pb::GetUnlockKeyRequest>,
    ) -> Result<Response<pb::GetUnlockKeyResponse>, Status> {
        self.gate.authorize(request.extensions(), MANAGERS)?;
        let version = self
            .gate
            .cluster()?
            .meta
            .as_ref()
            .and_then(|meta| meta.version);
        Ok(Response::new(pb::GetUnlockKeyResponse {
            unlock_key: Vec::new(),
            version,
        }))
    }
}

#[tonic::async_trait]
impl pb::node_ca_server::NodeCa for Certificates {
    async fn issue_node_certificate(
        &self,
        request: Request<pb::IssueNodeCertificateRequest>,
    ) -> Result<Response<pb::IssueNodeCertificateResponse>, Status> {
        let known = self.gate.authorize(request.extensions(), ANY_NODE);
        let request = request.into_inner();
        if request.csr.is_empty() || request.csr.len() > MAX_CSR {
            return Err(Status::invalid_argument("InvalidArgument"));
        }
        let response = match known {
            Ok(caller) => self.renew(caller.node_id, request.csr).await?,
            Err(_) => self.issue_new(request).await?,
        };
        Ok(Response::new(response))
    }

    async fn node_certificate_status(
        &self,
        request: Request<pb::NodeCertificateStatusRequest>,
    ) -> Result<Response<pb::NodeCertificateStatusResponse>, Status> {
        use pb::issuance_status::State;

        let node_id = request.into_inner().node_id;
        if node_id.is_empty() {
            return Err(Status::invalid_argument("InvalidArgument"));
        }
        let mut follow = Follow::new(&self.gate.store);
        let found = async {
            let mut state = self.gate.store.view();
            loop {
                let node = state
                    .nodes
                    .get(&node_id)
                    .ok_or_else(|| Status::not_found("NotFound"))?;
                let certificate = node.certificate.clone().unwrap_or_default();
                let status = certificate.status.clone().unwrap_or_default();
                if !matches!(
                    status.state(),
                    State::Unknown | State::Pending | State::Renew
                ) {
                    return Ok::<_, Status>(pb::NodeCertificateStatusResponse {
                        status: Some(status),
                        certificate: Some(certificate),
                    });
                }
                state = follow
                    .next()
                    .await
                    .ok_or_else(|| Status::unavailable("the manager is stopping"))?;
            }
        };
        let waited = tokio::time::timeout(STATUS_WAIT, found).await;
        let response =
            waited.map_err(|_| Status::deadline_exceeded("certificate is pending"))??;
        Ok(Response::new(response))
    }
}

fn issued(node_id: String, node_membership: i32) -> pb::IssueNodeCertificateResponse {
    pb::IssueNodeCertificateResponse {
        node_id,
        node_membership,
    }
}

/// Signs with the cluster's CA, or with the one that is to follow it: that one's own certificate then goes along.
pub(super) fn sign(
    cluster: &pb::Cluster,
    node_id: &str,
    role: pb::NodeRole,
    csr: Vec<u8>,
) -> Result<pb::Certificate, Status> {
    let ca = cluster.root_ca.clone().unwrap_or_default();
    let (cert_pem, key_pem, intermediate) = match ca.root_rotation {
        Some(next) => (next.ca_cert, next.ca_key, next.cross_signed_ca_cert),
        None => (ca.ca_cert, ca.ca_key, Vec::new()),
    };
    let root = RootCa { cert_pem, key_pem };
    let expiry = cluster
        .spec
        .as_ref()
        .and_then(|spec| spec.ca_config.as_ref()?.node_cert_expiry)
        .and_then(|expiry| Duration::try_from(expiry).ok())
        .unwrap_or(DEFAULT_EXPIRY);
    let unit = match role {
        pb::NodeRole::Manager => MANAGER,
        pb::NodeRole::Worker => WORKER,
    };
    let mut certificate = root
        .sign(&csr, node_id, unit, &cluster.id, expiry)
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    certificate.extend(intermediate);
    Ok(pb::Certificate {
        role: role.into(),
        csr,
        status: Some(pb::IssuanceStatus {
            state: pb::issuance_status::State::Issued.into(),
            err: String::new(),
        }),
        certificate,
        cn: node_id.to_owned(),
    })
}
