//! What this node tells others.
//!
//! Level-triggered: [`cnm::Controller::overlay_view`] is what should be published, `published` is what has been; the
//! difference is sent. So nothing is lost over a restart of gossip or a change that comes while another is under way.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bytes::Bytes;
use cnm::OverlayView;
use gossip::Gossip;

use super::records::{disabled, is_disabled, name_record, peer_record};
use super::{NAMES, PEERS};

/// What each entry of ours holds now, by network, table and key.
type Published = BTreeMap<String, BTreeMap<(&'static str, String), Bytes>>;

pub async fn publish(gossip: Gossip, networks: cnm::Controller, vtep: IpAddr) {
    let mut view = networks.overlay_view();
    let mut published = Published::new();
    loop {
        let now = view.borrow_and_update().clone();
        for step in steps(&mut published, &now, vtep) {
            match step {
                Step::Join(network) => gossip.join_network(&network).await,
                Step::Leave(network) => gossip.leave_network(&network).await,
                Step::Set(network, table, key, value) => {
                    gossip.set_entry(&network, table, &key, value).await
                }
                Step::Delete(network, table, key) => {
                    gossip.delete_entry(&network, table, &key).await
                }
            }
        }
        if view.changed().await.is_err() {
            return;
        }
    }
}

#[derive(Debug, PartialEq)]
enum Step {
    Join(String),
    Leave(String),
    Set(String, &'static str, String, Bytes),
    Delete(String, &'static str, String),
}

/// From what is published to what `view` wants; `published` is brought up to date.
fn steps(published: &mut Published, view: &OverlayView, vtep: IpAddr) -> Vec<Step> {
    let mut steps = Vec::new();
    let gone: Vec<_> = published
        .keys()
        .filter(|n| !view.networks.contains_key(*n))
        .cloned()
        .collect();
    for network in gone {
        published.remove(&network);
        steps.push(Step::Leave(network));
    }
    for (network, endpoints) in &view.networks {
        let have = published.entry(network.clone()).or_insert_with(|| {
            steps.push(Step::Join(network.clone()));
            BTreeMap::new()
        });
        let mut want = BTreeMap::new();
        for (id, endpoint) in endpoints {
            if endpoint.tunnelled {
                want.insert((PEERS, id.clone()), peer_record(endpoint, vtep));
            }
            let key = (NAMES, id.clone());
            match &endpoint.record {
                Some(record) => {
                    want.insert(key, name_record(record, false));
                }
                // It drains: Docker's nodes then keep its connections but send it no new one.
                None => {
                    if let Some(last) = have.get(&key) {
                        want.insert(key, disabled(last));
                    }
                }
            }
        }
        for (table, key) in have.keys().filter(|k| !want.contains_key(*k)) {
            steps.push(Step::Delete(network.clone(), table, key.clone()));
        }
        for ((table, key), value) in &want {
            match have.get(&(*table, key.clone())) {
                Some(old) if old == value => continue,
                // Docker takes no update of a record but the one that disables it.
                Some(_) if *table != NAMES || !is_disabled(value) => {
                    steps.push(Step::Delete(network.clone(), table, key.clone()))
                }
                _ => {}
            }
            steps.push(Step::Set(
                network.clone(),
                table,
                key.clone(),
                value.clone(),
            ));
        }
        *have = want;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::super::records::tests::{VTEP, endpoint};
    use super::*;

    fn view(name: Option<&str>) -> OverlayView {
        OverlayView {
            networks: [("n1".into(), [("ep1".into(), endpoint(name))].into())].into(),
        }
    }

    fn words(steps: &[Step]) -> Vec<String> {
        let word = |s: &Step| match s {
            Step::Join(n) => format!("join {n}"),
            Step::Leave(n) => format!("leave {n}"),
            Step::Set(n, t, k, v) => format!(
                "set {n} {t} {k}{}",
                if *t == NAMES && is_disabled(v) {
                    " disabled"
                } else {
                    ""
                }
            ),
            Step::Delete(n, t, k) => format!("delete {n} {t} {k}"),
        };
        steps.iter().map(word).collect()
    }

    #[test]
    fn a_container_comes_drains_returns_and_goes() {
        let mut have = Published::new();
        let mut go = |v: &OverlayView| words(&steps(&mut have, v, VTEP));
        assert_eq!(
            go(&view(None)),
            ["join n1", "set n1 overlay_peer_table ep1"]
        );
        assert_eq!(go(&view(Some("c1"))), ["set n1 endpoint_table ep1"]);
        assert_eq!(go(&view(Some("c1"))), [""; 0]);
        assert_eq!(go(&view(None)), ["set n1 endpoint_table ep1 disabled"]);
        assert_eq!(
            go(&view(Some("c1"))),
            ["delete n1 endpoint_table ep1", "set n1 endpoint_table ep1"]
        );
        assert_eq!(
            go(&OverlayView {
                networks: [("n1".into(), BTreeMap::new())].into()
            })
            .len(),
            2
        );
        assert_eq!(go(&OverlayView::default()), ["leave n1"]);
    }
}
