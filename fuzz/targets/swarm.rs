//! What a swarm's node and manager are held to, whatever a peer or the disk gives them: no panic, nobody but the root's
//! holder is believed, and nothing is signed but a key.

use std::sync::OnceLock;

use prost::Message;
use raft_store::State;
use swarm::ca::{WORKER, token::JoinToken};
use swarm::fuzzing::{self, Cluster};
use swarm_wire::pb;

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::create().expect("a new root"))
}

/// A join token, as a user gives it.
pub fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(token) = JoinToken::parse(text) else {
        return;
    };
    let digits: Vec<&str> = text.split('-').rev().collect();
    assert_eq!(fuzzing::base36(&token.digest, 50), digits[1]);
    assert!(token.check(b"somebody else's root").is_err());
    assert!(swarm::ca::token::matches(text, text));
    assert!(!swarm::ca::token::matches(text, &text[1..]));
}

/// `[0 request | 1 changes to a good one] ‖ …`, with a worker's token.
pub fn csr(data: &[u8]) {
    let cluster = cluster();
    let Some(csr) = bend(data, &cluster.csr_pem) else {
        return;
    };
    let Ok(signed) = cluster.sign(&csr) else {
        return;
    };
    let facts = fuzzing::read(&signed).expect("our own certificate");
    assert_eq!(
        (&*facts.node_id, &*facts.role, &*facts.cluster_id),
        ("node", WORKER, "cluster")
    );
    let (is_ca, names) = fuzzing::powers(&signed).expect("our own certificate");
    assert!(!is_ca);
    assert_eq!(names, ["DNSName(swarm-worker)", "DNSName(node)"]);
}

/// `[0 bundle | 1 changes to a good certificate] ‖ …`, given to a node as its certificate, and as its root.
pub fn certificate(data: &[u8]) {
    let cluster = cluster();
    let Some(pem) = bend(data, &cluster.cert_pem) else {
        return;
    };
    let ours = fuzzing::read(&cluster.cert_pem).expect("our own certificate");
    if let Ok(facts) = cluster.take(&pem) {
        assert_eq!(facts, ours, "what the root did not sign was believed");
        assert_eq!(data[0] % 2, 1, "nobody else has the root's key");
    }
    assert!(cluster.take_root(&pem).is_err(), "no root of ours");
    let _ = fuzzing::read(&pem);
    let _ = fuzzing::powers(&pem);
}

/// The bytes themselves, or `good` with bytes set: `u16 place ‖ byte`, and so on.
fn bend(data: &[u8], good: &[u8]) -> Option<Vec<u8>> {
    let (how, rest) = data.split_first()?;
    if how % 2 == 0 {
        return Some(rest.to_vec());
    }
    let mut bent = good.to_vec();
    for [high, low, byte] in rest.as_chunks::<3>().0 {
        let place = usize::from(u16::from_be_bytes([*high, *low])) % bent.len();
        bent[place] = *byte;
    }
    Some(bent)
}

/// `[0 entry of the log | 1 request in it | 2 snapshot] ‖ …`: what a manager reads from its disk.
pub fn store(data: &[u8]) {
    let Some((what, bytes)) = data.split_first() else {
        return;
    };
    match what % 3 {
        0 => {
            if let Ok(again) = raft_store::fuzzing::entry(bytes) {
                let same = raft_store::fuzzing::entry(&again).expect("our own bytes");
                assert_eq!(same, again);
            }
        }
        1 => {
            if let Ok(request) = pb::InternalRaftRequest::decode(bytes) {
                apply(request);
            }
        }
        _ => {
            if let Ok(snapshot) = pb::StoreSnapshot::decode(bytes) {
                let (state, again) = raft_store::fuzzing::snapshot(snapshot);
                indices_hold(&state);
                let (same, _) = raft_store::fuzzing::snapshot(again);
                assert_eq!(sizes(&state), sizes(&same));
            }
        }
    }
}

/// All managers must come to the same state, and a request counts once.
fn apply(request: pb::InternalRaftRequest) {
    let mut state = State::default();
    state.version = request.id;
    let index = request.id.wrapping_add(1);
    let Ok(Some(commit)) = state.apply(index, request.clone()) else {
        return;
    };
    assert_eq!(commit.state.version, index);
    indices_hold(&commit.state);
    assert!(commit.state.diff(&commit.state).is_empty());
    assert!(matches!(commit.state.apply(index, request), Ok(None)));
}

fn indices_hold(state: &State) {
    for task in state.tasks.values() {
        let found = state.service_tasks(&task.service_id);
        let times = found.filter(|other| other.id == task.id).count();
        assert_eq!(times, usize::from(!task.service_id.is_empty()));
    }
}

fn sizes(state: &State) -> [usize; 7] {
    [
        state.nodes.len(),
        state.services.len(),
        state.tasks.len(),
        state.networks.len(),
        state.clusters.len(),
        state.secrets.len(),
        state.configs.len(),
    ]
}
