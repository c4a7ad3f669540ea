//! An endpoint that takes no new connection waits for all nodes to know it: each says so once its kernel does.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use cnm::Controller;
use gossip::Gossip;
use tokio::sync::mpsc;

use super::NAMES;

/// A confirmation is one datagram, and is said once more after this.
const AGAIN: Duration = Duration::from_millis(100);

/// A record that disables an endpoint, which this host's networks have been told of: network, endpoint, value.
pub type Disabled = (String, String, Bytes);

pub async fn confirm(
    mut disabled: mpsc::UnboundedReceiver<Disabled>,
    gossip: Gossip,
    networks: Controller,
) {
    let mut batch = Vec::new();
    while disabled.recv_many(&mut batch, usize::MAX).await > 0 {
        let batch = std::mem::take(&mut batch);
        let touched: BTreeSet<&String> = batch.iter().map(|(network, ..)| network).collect();
        let touched: Vec<String> = touched.into_iter().cloned().collect();
        if !networks.catch_up(&touched).await {
            continue;
        }
        let gossip = gossip.clone();
        let say = move || {
            for (network, endpoint, value) in &batch {
                gossip.confirm(network, NAMES, endpoint, value);
            }
        };
        say();
        tokio::spawn(async move {
            tokio::time::sleep(AGAIN).await;
            say();
        });
    }
}
