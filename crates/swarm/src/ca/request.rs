//! How a node gets its certificate: joining with a token, and renewing with the certificate that it has.

use std::path::Path;
use std::time::Duration;

use swarm_wire::pb;
use swarm_wire::pb::ca_client::CaClient;
use swarm_wire::pb::control_client::ControlClient;
use swarm_wire::pb::node_ca_client::NodeCaClient;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request as Call, Status};
use tracing::{debug, info, warn};

use super::root::Request;
use super::token::JoinToken;
use super::{CA, Error, Identity, MANAGER, certificate::Leaf};
use crate::tls::dial::{RPC_TIMEOUT, connect};
use crate::tls::{self, Credentials};

const ATTEMPTS: usize = 5;
const RETRY: Duration = Duration::from_secs(2);

const SECOND_MANAGER: &str = "this engine cannot be a further manager of a swarm yet; \
     join with the worker token (on a manager: docker swarm join-token worker)";

pub(super) async fn join(
    dir: &Path,
    remotes: &[String],
    token: &str,
    availability: i32,
) -> Result<Identity, Error> {
    let parsed = JoinToken::parse(token)?;
    if parsed.fips {
        return Err(Error::Other(
            "node is not FIPS-enabled but cluster requires FIPS".into(),
        ));
    }
    if Identity::load(dir)?.is_some() {
        return Err(Error::Other(format!(
            "{}: this node has a swarm certificate already; leave that swarm first",
            dir.display()
        )));
    }
    let (remote, root_pem) = root(remotes, &parsed).await?;
    let request = Request::create()?;
    let guest = tls::guest(&root_pem)?;
    let client = NodeCaClient::new(connect(&remote, guest, CA).await?);
    let asked = pb::IssueNodeCertificateRequest {
        csr: request.csr_pem.clone(),
        token: token.to_owned(),
        availability,
        ..Default::default()
    };
    let cert_pem = issue(client, asked).await?;
    let identity = Identity::new(dir, root_pem, cert_pem, request.key_pem)?;
    if identity.manager {
        give_back(&remote, &identity).await;
        return Err(Error::Unsupported(SECOND_MANAGER));
    }
    identity.save()?;
    info!(node.id = identity.node_id, "joined the swarm");
    Ok(identity)
}

/// The first remote that shows the root which the token names, and that root.
async fn root(remotes: &[String], token: &JoinToken) -> Result<(String, Vec<u8>), Error> {
    let mut failure = Error::Other("no manager address to join".into());
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            sleep(RETRY).await;
        }
        for remote in remotes {
            match fetch_root(remote).await {
                Ok(pem) => match token.check(&pem) {
                    Ok(()) => return Ok((remote.clone(), pem)),
                    // Another try would show the same root.
                    Err(error) => return Err(error),
                },
                Err(status) => {
                    debug!(remote, %status, "failed to retrieve remote root CA certificate");
                    failure = Error::Rpc(status);
                }
            }
        }
    }
    Err(failure)
}

async fn fetch_root(remote: &str) -> Result<Vec<u8>, Status> {
    let stranger = tls::stranger().map_err(|error| Status::internal(error.to_string()))?;
    let channel = connect(remote, stranger, CA).await?;
    let request = limited(pb::GetRootCaCertificateRequest {});
    let response = CaClient::new(channel)
        .get_root_ca_certificate(request)
        .await?;
    Ok(response.into_inner().certificate)
}

/// The Docker manager made this node a manager that will never come up: take the entry away again.
async fn give_back(remote: &str, identity: &Identity) {
    let removed = async {
        let client = identity.live.get().client.clone();
        let mut control = ControlClient::new(connect(remote, client, MANAGER).await?);
        let request = pb::RemoveNodeRequest {
            node_id: identity.node_id.clone(),
            force: true,
        };
        control.remove_node(limited(request)).await
    };
    if let Err(status) = removed.await {
        warn!(node.id = identity.node_id, %status, "could not take the node entry back; remove it with docker node rm --force");
    }
}

/// Asks for a new certificate over mutual TLS; the node keeps its id. Root and certificate take effect for new connections,
/// and are stored.
pub(crate) async fn renew(
    identity: &Identity,
    channel: Channel,
    root_pem: &[u8],
) -> Result<(), Error> {
    let request = Request::create()?;
    let asked = pb::IssueNodeCertificateRequest {
        csr: request.csr_pem.clone(),
        ..Default::default()
    };
    let cert_pem = issue(NodeCaClient::new(channel), asked).await?;
    let credentials = Credentials::new(root_pem, &cert_pem, &request.key_pem)?;
    let subject = &credentials.leaf.subject;
    if subject.node_id != identity.node_id || subject.cluster_id != identity.cluster_id {
        return Err(Error::Other(format!(
            "the manager signed for node {} of cluster {}, which this node is not",
            subject.node_id, subject.cluster_id
        )));
    }
    super::files::save(&identity.dir, root_pem, &cert_pem, &request.key_pem)?;
    identity.live.replace(credentials);
    info!(node.id = identity.node_id, "certificate renewed");
    Ok(())
}

/// Sends the request, then waits until the certificate for exactly this request is there.
async fn issue(
    mut client: NodeCaClient<Channel>,
    request: pb::IssueNodeCertificateRequest,
) -> Result<Vec<u8>, Error> {
    use pb::issuance_status::State;

    let csr = request.csr.clone();
    let issued = client.issue_node_certificate(limited(request)).await?;
    let node_id = issued.into_inner().node_id;
    let mut pause = Duration::from_secs(1);
    loop {
        let request = pb::NodeCertificateStatusRequest {
            node_id: node_id.clone(),
        };
        let answered = client.node_certificate_status(limited(request));
        match timeout(RPC_TIMEOUT, answered).await {
            Ok(Ok(response)) => {
                let response = response.into_inner();
                let state = response.status.unwrap_or_default().state();
                if let Some(certificate) = response.certificate
                    && matches!(state, State::Issued | State::Rotate)
                    && certificate.csr == csr
                {
                    Leaf::parse(&certificate.certificate)?;
                    return Ok(certificate.certificate);
                }
            }
            Ok(Err(status)) if late(&status) => {}
            Ok(Err(status)) => return Err(status.into()),
            Err(_) => {}
        }
        debug!(node.id = node_id, "certificate is not there yet");
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(30));
    }
}

fn late(status: &Status) -> bool {
    matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled)
}

/// A call with the deadline of every unary RPC to a manager.
pub(crate) fn limited<T>(message: T) -> Call<T> {
    let mut call = Call::new(message);
    call.set_timeout(RPC_TIMEOUT);
    call
}
