//! Sums that hardware should make and does not: pings pass through the tunnels, and nothing else does.
//!
//! One node after the other is sent a datagram by the ingress network, from this node's entry to that one's, where no one
//! listens: its kernel says so, if the datagram's sum is right. When it says nothing, and yet answers an echo request
//! (whose sum no hardware makes), sums are made in software on the way into the tunnels; and if that helps, it stays so.
//! The tunnel devices remember for a daemon that comes later. The underlay's own devices are left as they are.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Bound;
use std::time::Duration;

use engine_types::{Error, Result};
use netstate::{Ns, Row, ethtool};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::Controller;
use crate::controller::Inner;
use crate::icmp::{self, Heard};
use crate::kernel::run_in;
use crate::model::Network;
use crate::state::State;

/// From one node to the next.
const TICK: Duration = Duration::from_secs(5);
/// Hosts send such news to one address once a second, or a little more often.
const PATIENCE: Duration = Duration::from_millis(1100);
const TRIES: u32 = 3;
/// Nobody listens there: not in an entry.
const DISCARD: u16 = 9;
/// Echo requests of ours, told from others' by the number.
const ID: u16 = 0x636b;

/// What makes a tunnel's sums in software.
pub(crate) fn soft((ns, link): (Ns, String)) -> Row {
    Row::Sysctl {
        ns,
        key: format!("ethtool/{link}/tx-checksumming"),
        value: "off".into(),
    }
}

impl Controller {
    /// Looks for it until it is found, or this is dropped.
    pub async fn follow_checksums(&self) {
        let inner = &self.0;
        let mut tick = tokio::time::interval(TICK);
        let (mut last, mut deaf) = (None, BTreeSet::new());
        loop {
            tick.tick().await;
            let Some((network, ns, own)) = inner.state().way() else {
                continue;
            };
            if inner.state().soft_checksums {
                return;
            }
            let result = if inner.is_soft(&network).await {
                inner.set_soft(true).await
            } else {
                let after = last.map_or(Bound::Unbounded, Bound::Excluded);
                let entries = inner.state().other_entries(&network.id);
                let next = entries.range((after, Bound::Unbounded)).next();
                let Some(to) = next.or(entries.first()).copied() else {
                    continue;
                };
                last = Some(to);
                if deaf.contains(&to) {
                    continue;
                }
                inner.look_at(&network, &ns, (own, to), &mut deaf).await
            };
            if let Err(error) = result {
                tracing::debug!(%error, "sums of packets are not looked at");
            }
        }
    }
}

impl Inner {
    async fn look_at(
        &self,
        network: &Network,
        ns: &Ns,
        way: (IpAddr, IpAddr),
        deaf: &mut BTreeSet<IpAddr>,
    ) -> Result<()> {
        if self.hears(ns, way).await? || !self.echoes(ns, way).await? {
            return Ok(());
        }
        self.set_soft(true).await?;
        let (_, to) = way;
        // What could not be looked at has not helped.
        let helps = self.hears(ns, way).await;
        if matches!(helps, Ok(true)) {
            tracing::warn!(node = %to, "checksums of packets are wrong when hardware makes them: the tunnels make their own");
            let attributes = [("node".to_string(), to.to_string())];
            self.emit_with("checksum_offload_off", network, attributes.into());
        } else {
            tracing::debug!(node = %to, "a node answers no datagrams, whoever makes their sums");
            self.set_soft(false).await?;
            helps?;
            deaf.insert(to);
        }
        Ok(())
    }

    async fn is_soft(&self, network: &Network) -> bool {
        let tunnels = self.state().tunnels_of(network);
        let Some((ns, link)) = tunnels.into_iter().next() else {
            return false;
        };
        let on = run_in(self.kernel.as_ref(), &ns, move || {
            ethtool::tx_checksum(&link)
        });
        matches!(on.await, Ok(Ok(false)))
    }

    async fn set_soft(&self, soft: bool) -> Result<()> {
        self.change_tunnels(|state| state.soft_checksums = soft)
            .await?;
        if soft {
            return Ok(());
        }
        // Rows that go leave the devices as they are.
        let tunnels = self.state().all_tunnels();
        for (ns, link) in tunnels {
            let set = move || ethtool::set_tx_checksum(&link, true);
            if let Err(error) | Ok(Err(error)) = run_in(self.kernel.as_ref(), &ns, set)
                .await
                .map(|r| r.map_err(Error::system))
            {
                tracing::debug!(%ns, %error, "sums are made in software still");
            }
        }
        Ok(())
    }

    /// Whether the other end's kernel says that nobody listens, or somebody answers.
    async fn hears(&self, ns: &Ns, (own, to): (IpAddr, IpAddr)) -> Result<bool> {
        let open = move || {
            let socket = std::net::UdpSocket::bind((own, 0))?;
            socket.connect((to, DISCARD))?;
            socket.set_nonblocking(true)?;
            io::Result::Ok(socket)
        };
        let socket = run_in(self.kernel.as_ref(), ns, open).await?;
        let socket = socket.and_then(UdpSocket::from_std).map_err(failed)?;
        for _ in 0..TRIES {
            let answer = async {
                socket.send(&[0]).await?;
                socket.recv(&mut [0]).await
            };
            match timeout(PATIENCE, answer).await {
                Ok(Err(error)) if error.kind() != io::ErrorKind::ConnectionRefused => {
                    return Err(failed(error));
                }
                Ok(_) => return Ok(true),
                Err(_) => {}
            }
        }
        Ok(false)
    }

    async fn echoes(&self, ns: &Ns, (own, to): (IpAddr, IpAddr)) -> Result<bool> {
        let v6 = own.is_ipv6();
        let open = move || {
            let (domain, protocol) = match v6 {
                false => (Domain::IPV4, Protocol::ICMPV4),
                true => (Domain::IPV6, Protocol::ICMPV6),
            };
            let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
            socket.bind(&SocketAddr::new(own, 0).into())?;
            socket.connect(&SocketAddr::new(to, 0).into())?;
            socket.set_nonblocking(true)?;
            io::Result::Ok(std::net::UdpSocket::from(socket))
        };
        let socket = run_in(self.kernel.as_ref(), ns, open).await?;
        let socket = socket.and_then(UdpSocket::from_std).map_err(failed)?;
        for sequence in 1..=TRIES as u16 {
            let answer = async {
                socket
                    .send(&icmp::request(v6, ID, sequence, icmp::HEADER))
                    .await?;
                let mut head = [0; 128];
                loop {
                    let length = socket.recv(&mut head).await?;
                    match icmp::read(v6, &head[..length]) {
                        Some(Heard::Reply { id: ID, .. }) => return io::Result::Ok(()),
                        _ => continue,
                    }
                }
            };
            if let Ok(answer) = timeout(PATIENCE, answer).await {
                return answer.map(|()| true).map_err(failed);
            }
        }
        Ok(false)
    }
}

fn failed(error: io::Error) -> Error {
    Error::system(format!("a look at another node's entry: {error}"))
}

impl State {
    /// The ingress network, this node's entry there, and the address that it has.
    fn way(&self) -> Option<(Network, Ns, IpAddr)> {
        let entry = self.entry()?;
        let inside = entry.endpoints.iter().find(|e| !e.is_gateway)?;
        let network = self.network(&inside.network).ok()?;
        let own = inside.addresses().next()?.addr();
        Some((network.clone(), entry.ns()?, own))
    }

    /// Endpoints of other nodes that are no tasks, in the family that this node's own has.
    fn other_entries(&self, network: &str) -> BTreeSet<IpAddr> {
        let Some(remote) = self.remote.get(network) else {
            return BTreeSet::new();
        };
        let is_task = |endpoint: &String| {
            let name = remote.names.get(endpoint);
            name.is_some_and(|name| !name.service.ingress_ports.is_empty())
        };
        let entries = remote.peers.iter().filter(|(id, _)| !is_task(id));
        let others = entries.filter(|(_, peer)| Some(peer.vtep) != self.host.vtep);
        let first = others.filter_map(|(_, peer)| peer.addresses().next());
        first.map(|address| address.addr()).collect()
    }

    fn tunnels_of(&self, network: &Network) -> Vec<(Ns, String)> {
        let driver = self.driver(network);
        driver.map_or(Vec::new(), |driver| driver.tunnels(network))
    }

    fn all_tunnels(&self) -> Vec<(Ns, String)> {
        let here = |id: &str| self.endpoints_on(id).next().is_some();
        let networks = self.networks.values().map(|entry| &entry.network);
        let networks = networks.filter(|network| here(&network.id));
        networks.flat_map(|n| self.tunnels_of(n)).collect()
    }
}
