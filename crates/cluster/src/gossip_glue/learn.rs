//! What other nodes tell, for this host's networks.
//!
//! A daemon that is restarted comes back under another name at the same address, and gossip takes away all rows of the old
//! name just before it tells the same ones of the new. Its containers never stopped: rows of a node that is gone are
//! therefore held for a moment ([`HOLD`]), and stay when somebody sets them again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cnm::Controller;
use gossip::Event;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::confirm::Disabled;
use super::records::{read_name, read_peer};
use super::{NAMES, PEERS};

/// Long enough for a node that returns to tell what it still has.
const HOLD: Duration = Duration::from_secs(2);

/// Records that disable an endpoint go on to `disabled` once the networks have been told.
pub async fn learn(
    mut events: mpsc::Receiver<Event>,
    networks: Controller,
    disabled: mpsc::UnboundedSender<Disabled>,
) {
    let mut learned = Learned::default();
    let mut nodes = Nodes::default();
    loop {
        let next = learned.poll_timeout();
        let due = async {
            match next {
                Some(next) => tokio::time::sleep_until(next.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => {
                    if let Some((node, present)) = nodes.handle_event(&event) {
                        networks.set_node(node, present);
                    }
                    learned.handle_event(Instant::now(), event);
                }
                None => return,
            },
            () = due => learned.handle_timeout(Instant::now()),
        }
        while let Some(change) = learned.changes.pop_front() {
            if let Some(record) = apply(&networks, change).await {
                // Nobody takes it only when all this ends.
                let _ = disabled.send(record);
            }
        }
    }
}

/// A record that disables an endpoint is handed back.
async fn apply(networks: &Controller, change: Change) -> Option<Disabled> {
    match change {
        Change::Set((network, key, table), value) => match table.as_str() {
            PEERS => match read_peer(&value) {
                Some(peer) => networks.set_peer(&network, &key, Some(peer)).await,
                None => warn!(
                    network,
                    endpoint = key,
                    "peer record without a usable address: ignored"
                ),
            },
            NAMES => match read_name(&value) {
                Some(record) => {
                    let disables = record.is_none();
                    networks.set_record(&network, &key, record).await;
                    return disables.then_some((network, key, value));
                }
                None => warn!(
                    network,
                    endpoint = key,
                    "endpoint record without a usable address: ignored"
                ),
            },
            _ => debug!(table, "entry of a table that this node does not use"),
        },
        Change::Delete((network, key, table)) => match table.as_str() {
            PEERS => networks.set_peer(&network, &key, None).await,
            NAMES => networks.set_record(&network, &key, None).await,
            _ => {}
        },
        Change::Retain(network, endpoints) => networks.retain_remote(&network, &endpoints).await,
    }
    None
}

/// Addresses by names: a daemon that is restarted has another name at the same address, and which of the two news comes first
/// is not said.
#[derive(Default)]
struct Nodes(BTreeMap<String, IpAddr>);

impl Nodes {
    /// An address, and whether a node is there now.
    fn handle_event(&mut self, event: &Event) -> Option<(IpAddr, bool)> {
        match event {
            Event::NodeJoin { name, addr } => {
                self.0.insert(name.clone(), *addr);
                Some((*addr, true))
            }
            Event::NodeLeave { name, addr } => {
                self.0.remove(name);
                Some((*addr, self.0.values().any(|other| other == addr)))
            }
            _ => None,
        }
    }
}

/// Network, endpoint and table.
type Row = (String, String, String);

/// What is to be done to this host's networks.
#[derive(Debug, PartialEq)]
enum Change {
    Set(Row, Bytes),
    Delete(Row),
    /// Of a network, only these endpoints are left.
    Retain(String, BTreeSet<String>),
}

#[derive(Default)]
struct Learned {
    /// Rows that this host's networks have been told of.
    rows: BTreeSet<Row>,
    /// Nodes that went lately.
    gone: BTreeMap<String, Instant>,
    /// Rows of nodes that are gone, and when they go too.
    held: BTreeMap<Row, Instant>,
    changes: VecDeque<Change>,
}

impl Learned {
    fn handle_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::NodeJoin { name, addr } => {
                debug!(node = name, %addr, "node joined");
                self.gone.remove(&name);
            }
            Event::NodeLeave { name, addr } => {
                debug!(node = name, %addr, "node left");
                self.gone.retain(|_, since| *since + HOLD > now);
                self.gone.insert(name, now);
            }
            Event::EntrySet {
                network,
                table,
                key,
                value,
                ..
            } => {
                let row = (network, key, table);
                self.held.remove(&row);
                self.rows.insert(row.clone());
                self.changes.push_back(Change::Set(row, value));
            }
            Event::EntryDelete {
                network,
                table,
                key,
                owner,
                ..
            } => {
                let row = (network, key, table);
                match self.gone.get(&owner) {
                    Some(since) if *since + HOLD > now => {
                        self.held.insert(row, now + HOLD);
                    }
                    _ => self.delete(row),
                }
            }
            // This host remembers peers over a restart; those that went meanwhile nobody will take back.
            Event::Synced { network } => {
                let of_network = self.rows.iter().filter(|(n, ..)| *n == network);
                let endpoints = of_network
                    .map(|(_, endpoint, _)| endpoint.clone())
                    .collect();
                self.changes.push_back(Change::Retain(network, endpoints));
            }
        }
    }

    fn delete(&mut self, row: Row) {
        self.rows.remove(&row);
        self.changes.push_back(Change::Delete(row));
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.held.values().min().copied()
    }

    fn handle_timeout(&mut self, now: Instant) {
        let due: Vec<Row> = self
            .held
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(row, _)| row.clone())
            .collect();
        for row in due {
            self.held.remove(&row);
            self.delete(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(owner: &str, table: &str) -> Event {
        Event::EntrySet {
            network: "n1".into(),
            table: table.into(),
            key: "ep1".into(),
            owner: owner.into(),
            value: Bytes::new(),
        }
    }

    fn delete(owner: &str, table: &str) -> Event {
        Event::EntryDelete {
            network: "n1".into(),
            table: table.into(),
            key: "ep1".into(),
            owner: owner.into(),
            value: Bytes::new(),
        }
    }

    fn leave(name: &str) -> Event {
        Event::NodeLeave {
            name: name.into(),
            addr: [192, 0, 2, 1].into(),
        }
    }

    fn row(table: &str) -> Row {
        ("n1".into(), "ep1".into(), table.into())
    }

    #[test]
    fn a_restarted_node_keeps_its_rows() {
        let (mut learned, now) = (Learned::default(), Instant::now());
        learned.handle_event(now, set("old", PEERS));
        learned.handle_event(now, leave("old"));
        learned.handle_event(now, delete("old", PEERS));
        learned.handle_event(now + HOLD / 2, set("new", PEERS));
        learned.handle_timeout(now + HOLD * 2);
        assert!(
            !learned.changes.contains(&Change::Delete(row(PEERS))),
            "{:?}",
            learned.changes
        );
        assert_eq!(learned.poll_timeout(), None);
    }

    #[test]
    fn a_restarted_node_is_there() {
        let mut nodes = Nodes::default();
        let addr = IpAddr::from([192, 0, 2, 1]);
        let join = |name: &str| Event::NodeJoin {
            name: name.into(),
            addr,
        };
        assert_eq!(nodes.handle_event(&join("old")), Some((addr, true)));
        assert_eq!(nodes.handle_event(&join("new")), Some((addr, true)));
        assert_eq!(nodes.handle_event(&leave("old")), Some((addr, true)));
        assert_eq!(nodes.handle_event(&leave("new")), Some((addr, false)));
    }

    #[test]
    fn rows_of_a_node_that_stays_away_go_after_a_moment() {
        let (mut learned, now) = (Learned::default(), Instant::now());
        learned.handle_event(now, set("old", PEERS));
        learned.handle_event(now, leave("old"));
        learned.handle_event(now, delete("old", PEERS));
        assert_eq!(learned.poll_timeout(), Some(now + HOLD));
        learned.handle_timeout(now + HOLD);
        assert_eq!(learned.changes.back(), Some(&Change::Delete(row(PEERS))));
    }

    #[test]
    fn what_a_node_takes_back_itself_goes_at_once() {
        let (mut learned, now) = (Learned::default(), Instant::now());
        learned.handle_event(now, set("a", PEERS));
        learned.handle_event(now, delete("a", PEERS));
        assert_eq!(learned.changes.back(), Some(&Change::Delete(row(PEERS))));
    }

    #[test]
    fn an_endpoint_is_known_until_its_last_row_goes() {
        let (mut learned, now) = (Learned::default(), Instant::now());
        let mut known = |events: Vec<Event>| {
            for event in events {
                learned.handle_event(now, event);
            }
            learned.handle_event(
                now,
                Event::Synced {
                    network: "n1".into(),
                },
            );
            match learned.changes.pop_back() {
                Some(Change::Retain(_, endpoints)) => endpoints.len(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            known(vec![set("a", PEERS), set("a", NAMES), delete("a", NAMES)]),
            1
        );
        assert_eq!(known(vec![delete("a", PEERS)]), 0);
    }
}
