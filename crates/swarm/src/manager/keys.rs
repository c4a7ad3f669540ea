//! The keys that gossip and IPsec start from: three per subsystem, one replaced every 12 hours.
//!
//! Agents use the second oldest for sending, so a new key is known everywhere for a whole period before it is used.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use raft_store::{Store, Tx};
use swarm_wire::pb;
use tokio::time::sleep;
use tracing::{error, info};

use crate::id::random;

pub const GOSSIP: &str = "networking:gossip";
pub const IPSEC: &str = "networking:ipsec";
const PERIOD: Duration = Duration::from_secs(12 * 3600);
const RING: usize = 3;

/// The first keys: a clock that starts anywhere in 16 bits, counted up once per key.
pub(super) fn first(cluster: &mut pb::Cluster) {
    cluster.encryption_key_lamport_clock = u16::from_be_bytes(random()).into();
    for subsystem in [GOSSIP, IPSEC] {
        for _ in 0..RING {
            add(cluster, subsystem);
        }
    }
}

/// Drops the oldest key of each subsystem that has a full ring and adds a new one.
fn turn(cluster: &mut pb::Cluster) {
    let mut rings: BTreeMap<String, Vec<pb::EncryptionKey>> = BTreeMap::new();
    for key in cluster.network_bootstrap_keys.drain(..) {
        rings.entry(key.subsystem.clone()).or_default().push(key);
    }
    for (subsystem, mut keys) in rings {
        keys.sort_by_key(|key| key.lamport_time);
        let surplus = (keys.len() + 1).saturating_sub(RING);
        cluster
            .network_bootstrap_keys
            .extend(keys.into_iter().skip(surplus));
        add(cluster, &subsystem);
    }
}

fn add(cluster: &mut pb::Cluster, subsystem: &str) {
    cluster.encryption_key_lamport_clock += 1;
    cluster.network_bootstrap_keys.push(pb::EncryptionKey {
        subsystem: subsystem.to_owned(),
        algorithm: pb::encryption_key::Algorithm::Aes128Gcm.into(),
        key: random::<16>().to_vec(),
        lamport_time: cluster.encryption_key_lamport_clock,
    });
}

pub(super) async fn rotate(store: &Store, cluster_id: &str) -> Result<(), raft_store::Error> {
    store
        .update(|tx: &mut Tx| {
            let stored = tx.state().clusters.get(cluster_id).cloned();
            let mut cluster = Arc::unwrap_or_clone(stored.ok_or(raft_store::Error::NotFound)?);
            turn(&mut cluster);
            tx.update(cluster)
        })
        .await
}

/// Rotates for as long as it is polled. The period starts again with the manager, as SwarmKit's does with a leader.
pub(super) async fn run(store: Store, cluster_id: String) {
    loop {
        sleep(PERIOD).await;
        match rotate(&store, &cluster_id).await {
            Ok(()) => info!("gossip and IPsec keys rotated"),
            Err(error) => error!(%error, "gossip and IPsec keys could not be rotated"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(cluster: &pb::Cluster, subsystem: &str) -> Vec<u64> {
        let keys = cluster.network_bootstrap_keys.iter();
        keys.filter(|key| key.subsystem == subsystem)
            .map(|key| key.lamport_time)
            .collect()
    }

    #[test]
    fn six_keys_on_one_clock_then_the_oldest_goes() {
        let mut cluster = pb::Cluster::default();
        first(&mut cluster);
        let skew = cluster.encryption_key_lamport_clock - 6;
        assert!(skew <= 0xffff);
        assert_eq!(times(&cluster, GOSSIP), [skew + 1, skew + 2, skew + 3]);
        assert_eq!(times(&cluster, IPSEC), [skew + 4, skew + 5, skew + 6]);
        turn(&mut cluster);
        assert_eq!(times(&cluster, GOSSIP), [skew + 2, skew + 3, skew + 7]);
        assert_eq!(times(&cluster, IPSEC), [skew + 5, skew + 6, skew + 8]);
        assert_eq!(cluster.encryption_key_lamport_clock, skew + 8);
        assert!(
            cluster
                .network_bootstrap_keys
                .iter()
                .all(|key| key.key.len() == 16)
        );
    }
}
