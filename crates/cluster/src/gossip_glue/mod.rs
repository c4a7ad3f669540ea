//! This host's overlay endpoints told to gossip ([`publish`]), and gossip's told to this host's networks ([`learn`]).

mod confirm;
mod learn;
mod publish;
mod records;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use engine_types::{Error, Result};
use gossip::Gossip;
use swarm_wire::pb;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub const GOSSIP_PORT: u16 = 7946;
/// Nodes that a sole manager tries to join gossip through at a time.
const WAYS_IN: usize = 3;
/// Where an endpoint is.
const PEERS: &str = "overlay_peer_table";
/// What it is called.
const NAMES: &str = "endpoint_table";

/// A running gossip agent and its two pumps. Dropping it ends the pumps.
pub struct Glue {
    pub gossip: Gossip,
    _pumps: JoinSet<()>,
}

impl Glue {
    pub async fn start(
        bind: IpAddr,
        advertise: IpAddr,
        vtep: IpAddr,
        keys: Vec<Vec<u8>>,
        networks: cnm::Controller,
    ) -> Result<Self> {
        let (gossip, events) = Gossip::start(gossip::Config {
            node_name: format!("{:012x}", rand::random::<u64>() >> 16),
            bind: SocketAddr::new(bind, GOSSIP_PORT),
            advertise: SocketAddr::new(advertise, GOSSIP_PORT),
            keys,
        })
        .await
        .map_err(|e| {
            Error::system(format!(
                "start the gossip agent on {bind}:{GOSSIP_PORT}: {e}"
            ))
        })?;
        let mut pumps = JoinSet::new();
        pumps.spawn(publish::publish(gossip.clone(), networks.clone(), vtep));
        let (disabled, acted_upon) = mpsc::unbounded_channel();
        let confirm = confirm::confirm(acted_upon, gossip.clone(), networks.clone());
        pumps.spawn(confirm);
        pumps.spawn(learn::learn(events, networks, disabled));
        Ok(Self {
            gossip,
            _pumps: pumps,
        })
    }

    /// How the news that these endpoints (network and id) take no new connection has spread.
    pub fn withdrawal<'a>(
        &self,
        endpoints: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Withdrawal {
        let mut all = Withdrawal::default();
        for (network, endpoint) in endpoints {
            let Some(progress) = self.gossip.progress(network, NAMES, endpoint) else {
                continue;
            };
            all.untold |= !records::is_disabled(&progress.value);
            all.awaited += progress.awaited;
            all.silent += progress.silent;
        }
        all
    }
}

/// See [`Glue::withdrawal`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Withdrawal {
    /// It has not been told yet.
    pub untold: bool,
    /// Nodes that have yet to act upon it, and to say so.
    pub awaited: usize,
    /// Nodes that will not say so: Docker's.
    pub silent: usize,
}

/// The key that encrypts is the second oldest; the newest waits until every node has it.
pub fn key_ring(mut keys: Vec<pb::EncryptionKey>) -> Vec<Vec<u8>> {
    keys.retain(|k| k.subsystem == "networking:gossip");
    keys.sort_by_key(|k| k.lamport_time);
    if keys.len() > 1 {
        keys.swap(0, 1);
    }
    keys.into_iter().map(|k| k.key).collect()
}

/// Manager addresses (`host:2377`) as gossip's way in.
pub fn bootstrap(managers: &[pb::Peer], own: IpAddr) -> Vec<SocketAddr> {
    managers
        .iter()
        .filter_map(|m| m.addr.parse::<SocketAddr>().ok())
        .map(|a| a.ip())
        .filter(|ip| *ip != own)
        .map(|ip| SocketAddr::new(ip, GOSSIP_PORT))
        .collect()
}

/// A few of the swarm's nodes that are not known to be down, as gossip's way in.
pub fn some_nodes(state: &raft_store::State, own: IpAddr) -> Vec<SocketAddr> {
    use rand::seq::IteratorRandom as _;
    let down = i32::from(pb::node_status::State::Down);
    let statuses = state.nodes.values().filter_map(|n| n.status.as_ref());
    statuses
        .filter(|status| status.state != down)
        .filter_map(|status| status.addr.parse::<IpAddr>().ok())
        .filter(|ip| *ip != own)
        .map(|ip| SocketAddr::new(ip, GOSSIP_PORT))
        .sample(&mut rand::rng(), WAYS_IN)
}

/// Shared by whoever starts, rotates or stops the agent.
pub type Slot = Arc<tokio::sync::Mutex<Option<Glue>>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_oldest_key_encrypts() {
        let key = |lamport_time, byte| pb::EncryptionKey {
            subsystem: "networking:gossip".into(),
            lamport_time,
            key: vec![byte],
            algorithm: 0,
        };
        let mut keys = vec![key(9, 9), key(7, 7), key(8, 8)];
        keys.push(pb::EncryptionKey {
            subsystem: "networking:ipsec".into(),
            ..key(1, 1)
        });
        assert_eq!(key_ring(keys), [[8], [7], [9]]);
    }
}
