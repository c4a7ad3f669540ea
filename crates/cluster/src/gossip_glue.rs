//! This host's overlay endpoints told to gossip, and gossip's told to this host's networks.
//!
//! Level-triggered: [`cnm::Controller::overlay_view`] is what should be published, `published` is what has been; the
//! difference is sent. So nothing is lost over a restart of gossip or a change that comes while another is under way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use cnm::{LocalEndpoint, NameRecord, OverlayView, Peer, Port, ServiceBinding};
use engine_types::{Error, Result};
use gossip::records::{EndpointRecord, PeerRecord, PortConfig};
use gossip::{Event, Gossip};
use prost::Message;
use swarm_wire::pb;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, warn};

pub const GOSSIP_PORT: u16 = 7946;
/// Nodes that a sole manager tries to join gossip through at a time.
const WAYS_IN: usize = 3;
const PEERS: &str = "overlay_peer_table";
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
        pumps.spawn(publish(gossip.clone(), networks.clone(), vtep));
        pumps.spawn(learn(events, networks));
        Ok(Self {
            gossip,
            _pumps: pumps,
        })
    }
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

/// What each entry of ours holds now, by network, table and key.
type Published = BTreeMap<String, BTreeMap<(&'static str, String), Bytes>>;

async fn publish(gossip: Gossip, networks: cnm::Controller, vtep: IpAddr) {
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
            want.insert((PEERS, id.clone()), peer_record(endpoint, vtep));
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

fn peer_record(endpoint: &LocalEndpoint, vtep: IpAddr) -> Bytes {
    let record = PeerRecord {
        endpoint_ip: endpoint.address.to_string(),
        endpoint_mac: endpoint.mac.to_string(),
        tunnel_endpoint_ip: vtep.to_string(),
    };
    record.encode_to_vec().into()
}

fn name_record(record: &NameRecord, service_disabled: bool) -> Bytes {
    let service = &record.service;
    let record = EndpointRecord {
        name: record.name.clone(),
        service_name: service.name.clone(),
        service_id: service.id.clone(),
        virtual_ip: if service.virtual_ip.is_empty() {
            "<nil>".into()
        } else {
            service.virtual_ip.clone()
        },
        endpoint_ip: record.address.map_or_else(String::new, |a| a.to_string()),
        ingress_ports: service
            .ingress_ports
            .iter()
            .map(|p| PortConfig {
                name: p.name.clone(),
                protocol: match p.protocol.as_str() {
                    "udp" => 1,
                    "sctp" => 2,
                    _ => 0,
                },
                target_port: p.target.into(),
                published_port: p.published.into(),
            })
            .collect(),
        aliases: service.aliases.clone(),
        task_aliases: record.task_aliases.clone(),
        service_disabled,
    };
    record.encode_to_vec().into()
}

fn disabled(value: &Bytes) -> Bytes {
    match EndpointRecord::decode(value.clone()) {
        Ok(record) => EndpointRecord {
            service_disabled: true,
            ..record
        }
        .encode_to_vec()
        .into(),
        Err(_) => value.clone(),
    }
}

fn is_disabled(value: &Bytes) -> bool {
    EndpointRecord::decode(value.clone()).is_ok_and(|r| r.service_disabled)
}

async fn learn(mut events: mpsc::Receiver<Event>, networks: cnm::Controller) {
    let mut known = Known::default();
    while let Some(event) = events.recv().await {
        known.note(&event);
        match event {
            Event::EntrySet {
                network,
                table,
                key,
                value,
                owner,
            } => match table.as_str() {
                PEERS => match read_peer(&value) {
                    Some(peer) => networks.set_peer(&network, &key, Some(peer)).await,
                    None => warn!(
                        network,
                        endpoint = key,
                        owner,
                        "peer record without a usable address: ignored"
                    ),
                },
                NAMES => match read_name(&value) {
                    Some(record) => networks.set_record(&network, &key, record).await,
                    None => warn!(
                        network,
                        endpoint = key,
                        owner,
                        "endpoint record without a usable address: ignored"
                    ),
                },
                other => debug!(
                    table = other,
                    "entry of a table that this node does not use"
                ),
            },
            Event::EntryDelete {
                network,
                table,
                key,
                ..
            } => match table.as_str() {
                PEERS => networks.set_peer(&network, &key, None).await,
                NAMES => networks.set_record(&network, &key, None).await,
                _ => {}
            },
            // This host remembers peers over a restart; those that went meanwhile nobody will take back.
            Event::Synced { network } => {
                networks
                    .retain_remote(&network, &known.endpoints(&network))
                    .await
            }
            Event::NodeJoin { name, addr } => debug!(node = name, %addr, "node joined"),
            Event::NodeLeave { name, addr } => debug!(node = name, %addr, "node left"),
        }
    }
}

/// Endpoints that gossip has told of and not taken back, by network, endpoint and table.
#[derive(Default)]
struct Known(BTreeMap<String, BTreeSet<(String, String)>>);

impl Known {
    fn note(&mut self, event: &Event) {
        match event {
            Event::EntrySet {
                network,
                table,
                key,
                ..
            } => {
                self.0
                    .entry(network.clone())
                    .or_default()
                    .insert((key.clone(), table.clone()));
            }
            Event::EntryDelete {
                network,
                table,
                key,
                ..
            } => {
                if let Some(entries) = self.0.get_mut(network) {
                    entries.remove(&(key.clone(), table.clone()));
                }
            }
            _ => {}
        }
    }

    fn endpoints(&self, network: &str) -> BTreeSet<String> {
        let entries = self.0.get(network);
        entries
            .into_iter()
            .flatten()
            .map(|(endpoint, _)| endpoint.clone())
            .collect()
    }
}

fn read_peer(value: &Bytes) -> Option<Peer> {
    let record = PeerRecord::decode(value.clone()).ok()?;
    Some(Peer {
        address: record.endpoint_ip.parse().ok()?,
        mac: parse_mac(&record.endpoint_mac)?,
        vtep: record.tunnel_endpoint_ip.parse().ok()?,
    })
}

/// `Some(None)`: the endpoint takes no new connections, so its names go.
fn read_name(value: &Bytes) -> Option<Option<NameRecord>> {
    let record = EndpointRecord::decode(value.clone()).ok()?;
    let address: IpAddr = record.endpoint_ip.parse().ok()?;
    if record.service_disabled {
        return Some(None);
    }
    let port = |p: &PortConfig| {
        Some(Port {
            name: p.name.clone(),
            protocol: ["tcp", "udp", "sctp"]
                .get(usize::try_from(p.protocol).ok()?)
                .map(|s| (*s).into())?,
            target: u16::try_from(p.target_port).ok()?,
            published: u16::try_from(p.published_port).ok()?,
        })
    };
    Some(Some(NameRecord {
        name: record.name,
        task_aliases: record.task_aliases,
        address: Some(address),
        service: ServiceBinding {
            id: record.service_id,
            name: record.service_name,
            // Docker writes `<nil>` where there is none.
            virtual_ip: record
                .virtual_ip
                .parse::<IpAddr>()
                .map_or_else(|_| String::new(), |ip| ip.to_string()),
            aliases: record.aliases,
            ingress_ports: record.ingress_ports.iter().filter_map(port).collect(),
        },
    }))
}

fn parse_mac(text: &str) -> Option<netstate::Mac> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(netstate::Mac(mac))
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

    const VTEP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 10));

    fn endpoint(name: Option<&str>) -> LocalEndpoint {
        LocalEndpoint {
            address: "10.0.1.5/24".parse().unwrap(),
            mac: netstate::Mac([2, 0x42, 10, 0, 1, 5]),
            record: name.map(|name| NameRecord {
                name: name.into(),
                address: Some("10.0.1.5".parse().unwrap()),
                ..Default::default()
            }),
        }
    }

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

    #[test]
    fn peer_record_has_the_reference_bytes() {
        let expected = "0a0b31302e302e312e352f3234121130323a34323a30613a30303a30313a30351a0c3139322e3136382e312e3130";
        let bytes = peer_record(&endpoint(None), VTEP);
        assert_eq!(
            bytes.iter().map(|b| format!("{b:02x}")).collect::<String>(),
            expected
        );
        let peer = read_peer(&bytes).unwrap();
        assert_eq!(
            (peer.address, peer.vtep),
            ("10.0.1.5/24".parse().unwrap(), VTEP)
        );
    }

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

    #[test]
    fn an_endpoint_is_known_until_its_last_entry_goes() {
        let mut known = Known::default();
        let set = |table: &str| Event::EntrySet {
            network: "n1".into(),
            table: table.into(),
            key: "ep1".into(),
            owner: "a".into(),
            value: Bytes::new(),
        };
        let delete = |table: &str| Event::EntryDelete {
            network: "n1".into(),
            table: table.into(),
            key: "ep1".into(),
            owner: "a".into(),
            value: Bytes::new(),
        };
        known.note(&set(PEERS));
        known.note(&set(NAMES));
        known.note(&delete(NAMES));
        assert_eq!(known.endpoints("n1"), BTreeSet::from(["ep1".to_owned()]));
        known.note(&delete(PEERS));
        assert!(known.endpoints("n1").is_empty() && known.endpoints("n2").is_empty());
    }

    #[test]
    fn nothing_usable_is_refused() {
        assert!(read_peer(&Bytes::from_static(b"\xff\xff")).is_none());
        assert!(read_name(&Bytes::new()).is_none(), "no address");
        assert!(parse_mac("02:42:0a:00:01").is_none());
        assert!(parse_mac("02:42:0a:00:01:05:06").is_none());
    }
}
