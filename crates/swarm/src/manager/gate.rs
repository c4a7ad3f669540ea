//! Who may call what: SwarmKit's per-method authorisation by role (`OU`) and organisation (`O`), less forwarding between
//! managers.

use std::net::IpAddr;

use raft_store::{Store, Tx};
use swarm_wire::pb;
use tonic::service::Interceptor;
use tonic::{Extensions, Request, Status};

use crate::ca::{MANAGER, WORKER};
use crate::status_text;
use crate::tls::listen::Peer;

/// Workers and managers.
pub(super) const ANY_NODE: &[&str] = &[WORKER, MANAGER];
pub(super) const MANAGERS: &[&str] = &[MANAGER];

/// The node that calls, once the gate let it through.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub node_id: String,
    pub addr: IpAddr,
}

#[derive(Clone)]
pub(super) struct Gate {
    pub store: Store,
    pub cluster_id: String,
}

impl Gate {
    /// The cluster object, which a running manager always has.
    pub fn cluster(&self) -> Result<std::sync::Arc<pb::Cluster>, Status> {
        let state = self.store.view();
        let cluster = state.clusters.get(&self.cluster_id);
        cluster
            .cloned()
            .ok_or_else(|| Status::unavailable("cluster object is not there"))
    }

    /// The caller, when its certificate has one of `roles`, is of this cluster and was not taken back.
    pub fn authorize(&self, extensions: &Extensions, roles: &[&str]) -> Result<Caller, Status> {
        self.check(extensions, roles)
            .map_err(|status| denied(format!("unauthorized peer role: {}", status_text(&status))))
    }

    fn check(&self, extensions: &Extensions, roles: &[&str]) -> Result<Caller, Status> {
        let peer = extensions
            .get::<Peer>()
            .ok_or_else(|| denied("no peer info".into()))?;
        let Some(subject) = &peer.subject else {
            return Err(Status::permission_denied(
                "no verified chains for remote certificate",
            ));
        };
        if !roles.contains(&subject.role.as_str()) {
            let roles = roles.join(" ");
            return Err(denied(format!(
                "remote certificate not part of OUs: [{roles}]"
            )));
        }
        let cluster = self.cluster()?;
        if cluster
            .blacklisted_certificates
            .contains_key(&subject.node_id)
        {
            return Err(removed(&subject.node_id));
        }
        if subject.cluster_id != self.cluster_id {
            return Err(denied(format!(
                "remote certificate not part of organization: {}",
                self.cluster_id
            )));
        }
        Ok(Caller {
            node_id: subject.node_id.clone(),
            addr: peer.addr.ip().to_canonical(),
        })
    }

    /// A transaction that may refuse.
    pub async fn update<T>(
        &self,
        mut transact: impl FnMut(&mut Tx) -> Result<T, Status>,
    ) -> Result<T, Status> {
        let transact = |tx: &mut Tx| transact(tx).map_err(Refused);
        self.store
            .update(transact)
            .await
            .map_err(|refused| refused.0)
    }

    /// For a whole service: handlers find the [`Caller`] in the request's extensions.
    pub fn require(
        &self,
        roles: &'static [&'static str],
    ) -> impl Interceptor + Clone + Send + Sync + 'static + use<> {
        let gate = self.clone();
        move |mut request: Request<()>| {
            let caller = gate.authorize(request.extensions(), roles)?;
            request.extensions_mut().insert(caller);
            Ok(request)
        }
    }
}

/// The caller that [`Gate::require`] left.
pub(super) fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>();
    caller.cloned().ok_or_else(|| denied("no peer info".into()))
}

pub(super) fn removed(node_id: &str) -> Status {
    denied(format!("node {node_id} was removed from swarm"))
}

fn denied(reason: String) -> Status {
    Status::permission_denied(format!("Permission denied: {reason}"))
}

struct Refused(Status);

impl From<raft_store::Error> for Refused {
    fn from(error: raft_store::Error) -> Self {
        Self(failed(error))
    }
}

pub(super) fn failed(error: raft_store::Error) -> Status {
    use raft_store::Error;

    let text = error.to_string();
    match error {
        Error::Exists => Status::already_exists(text),
        Error::NotFound => Status::not_found(text),
        Error::OutOfSequence => Status::failed_precondition(text),
        Error::Storage(_) => Status::unavailable(text),
    }
}
