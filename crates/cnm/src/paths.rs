//! Paths to other nodes: how long a packet may be there.
//!
//! ```text
//!   peers' tunnel addresses ──► prober ──► echo requests of full size, not to be fragmented
//!                               │    ◄──── replies; what routers cannot pass on
//!                               ▼ less than full size
//!   the kernel's own memory of paths ──► the tunnel device tells senders inside what fits ("fragmentation needed"), and what
//!                                        may be fragmented is
//! ```
//! A router that says what it cannot pass on has told the kernel as well; where packets vanish without a word, we do. Links
//! keep their MTU: what is narrow is the way to one node, and packets from others are of any size.

mod checksums;
pub(crate) mod offloads;
pub(crate) mod prober;
pub(crate) mod segments;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use engine_types::{Error, Result};
use netstate::Ns;
use rustix::io::Errno;
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use self::prober::{Ask, Found, Prober};
use crate::Controller;
use crate::controller::Inner;
use crate::icmp::{self, Heard};
use crate::kernel::run_in;
use crate::model::Network;
use crate::state::State;

/// How soon new peers are seen.
const TICK: Duration = Duration::from_secs(2);
/// Of a message no more than that is of interest.
const HEAD: usize = 128;

impl Controller {
    /// Looks at the paths from the tunnel address to all peers, until it is dropped.
    pub async fn follow_paths(&self, vtep: IpAddr) {
        if let Err(error) = self.0.follow_paths(vtep).await {
            tracing::warn!(%vtep, %error, "paths to other nodes are not looked at: what is too long for them may be lost");
        }
    }
}

impl Inner {
    async fn follow_paths(&self, vtep: IpAddr) -> Result<()> {
        let opened = run_in(self.kernel.as_ref(), &Ns::Host, move || open(vtep)).await?;
        let opened = opened.and_then(|(socket, asks)| {
            Ok(Echoes {
                socket: UdpSocket::from_std(socket)?,
                asks,
                own: vtep,
                id: RandomState::new().hash_one(vtep) as u16,
            })
        });
        let echoes = opened.map_err(|e| Error::system(format!("open an ICMP socket: {e}")))?;
        let mut head = [0; HEAD];
        let mut prober = Prober::new(RandomState::new().hash_one(vtep));
        let mut tick = tokio::time::interval(TICK);
        loop {
            while let Some(ask) = prober.poll_transmit() {
                match echoes.ask(ask).await {
                    Err(error) if error.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error()) => {
                        prober.handle_refused(Instant::now(), ask);
                    }
                    Err(error) => tracing::trace!(to = %ask.to, %error, "echo request"),
                    Ok(()) => {}
                }
            }
            while let Some(found) = prober.poll_found() {
                if found.mtu > echoes.believed(found.to).unwrap_or(u32::MAX) {
                    self.forget_paths(found.to).await;
                    for (to, mtu) in prober.narrow() {
                        echoes.teach(to, mtu).await;
                    }
                } else if found.mtu < found.full {
                    echoes.teach(found.to, found.mtu).await;
                }
                if found.mtu != found.former {
                    self.tell_of(found);
                }
            }
            let due = async {
                match prober.poll_timeout() {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = tick.tick() => {
                    let wanted = self.state().tunnels(vtep);
                    prober.set_peers(Instant::now(), &wanted);
                }
                received = echoes.socket.recv_from(&mut head) => {
                    let (length, from) = match received {
                        Ok(received) => received,
                        Err(error) => {
                            tracing::debug!(%error, "receive an echo reply");
                            tokio::time::sleep(TICK).await;
                            continue;
                        }
                    };
                    let now = Instant::now();
                    match icmp::read(vtep.is_ipv6(), &head[..length.min(HEAD)]) {
                        Some(Heard::Reply { id, sequence }) if id == echoes.id => {
                            prober.handle_reply(now, from.ip(), sequence);
                        }
                        Some(Heard::TooBig { to, id, sequence, mtu }) if id == echoes.id => {
                            prober.handle_too_big(now, to, sequence, mtu);
                        }
                        _ => {}
                    }
                }
                () = due => prober.handle_timeout(Instant::now()),
            }
        }
    }

    /// The kernel remembers for minutes that a path was narrow: for the tunnels' packets, and for those of containers that
    /// were told.
    async fn forget_paths(&self, to: IpAddr) {
        let mut places = BTreeSet::from([Ns::Host]);
        {
            let state = self.state();
            let networks = state.networks_to(to).map(|(network, _)| &network.id);
            let records = networks.flat_map(|n| state.endpoints_on(n));
            places.extend(records.filter_map(|(record, _)| record.ns()));
        }
        for ns in places {
            let forgotten = run_in(self.kernel.as_ref(), &ns, netstate::forget_paths).await;
            if let Err(error) | Ok(Err(error)) = forgotten.map(|r| r.map_err(Error::system)) {
                tracing::debug!(%ns, %error, "paths are remembered as they were");
            }
        }
    }

    fn tell_of(&self, found: Found) {
        let Found { to, full, mtu, .. } = found;
        match mtu < found.former {
            true => {
                tracing::warn!(node = %to, path_mtu = mtu, full, "packets of full size do not reach a node: senders are told what does")
            }
            false => {
                tracing::info!(node = %to, path_mtu = mtu, "the path to a node is wider again")
            }
        }
        let networks: Vec<_> = {
            let state = self.state();
            let touched = state.networks_to(to);
            let touched = touched.filter(|(_, full)| *full > mtu.min(found.former));
            touched
                .map(|(network, full)| (network.clone(), full))
                .collect()
        };
        for (network, full) in networks {
            let attributes = [
                ("node".to_string(), to.to_string()),
                ("path_mtu".to_string(), mtu.min(full).to_string()),
            ];
            self.emit_with("path_mtu", &network, attributes.into());
        }
    }
}

impl State {
    /// Nodes that this host's networks lead to from the tunnel address, and the longest packet that is wanted there.
    fn tunnels(&self, vtep: IpAddr) -> BTreeMap<IpAddr, u32> {
        let mut wanted = BTreeMap::new();
        for (network, full) in self.tunnelled() {
            if self.endpoints_on(&network.id).next().is_none() {
                continue;
            }
            for node in self.nodes_on(&network.id) {
                if node.is_ipv4() == vtep.is_ipv4() {
                    let longest: &mut u32 = wanted.entry(node).or_default();
                    *longest = full.max(*longest);
                }
            }
        }
        wanted
    }

    /// Networks over tunnels, with the longest packet that they would send if they may.
    fn tunnelled(&self) -> impl Iterator<Item = (&Network, u32)> {
        let networks = self.networks.values().map(|entry| &entry.network);
        networks.filter_map(|n| Some((n, self.driver(n).ok()?.full_size(n)?)))
    }

    fn nodes_on(&self, network: &str) -> impl Iterator<Item = IpAddr> {
        let peers = self.remote.get(network).into_iter();
        let nodes = peers.flat_map(|remote| remote.peers.values().map(|peer| peer.vtep));
        nodes.filter(|vtep| Some(*vtep) != self.host.vtep)
    }

    /// Networks that lead to a node, with their full sizes.
    fn networks_to(&self, node: IpAddr) -> impl Iterator<Item = (&Network, u32)> {
        let leads = move |n: &Network| self.nodes_on(&n.id).any(|there| there == node);
        self.tunnelled().filter(move |(network, _)| leads(network))
    }
}

/// A raw socket at the tunnel's address, in a form that the runtime can wait for, and what marks our requests.
struct Echoes {
    socket: UdpSocket,
    /// Sends nothing: only asks the kernel.
    asks: std::net::UdpSocket,
    own: IpAddr,
    id: u16,
}

fn open(own: IpAddr) -> io::Result<(std::net::UdpSocket, std::net::UdpSocket)> {
    let (domain, protocol) = match own {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    let fd = socket.as_fd();
    // Not to be fragmented, and of the size asked for whatever the kernel has heard of the path before.
    match own {
        IpAddr::V4(_) => {
            sockopt::set_ip_mtu_discover(fd, sockopt::Ipv4PathMtuDiscovery::PROBE)?;
        }
        IpAddr::V6(_) => {
            sockopt::set_ipv6_mtu_discover(fd, sockopt::Ipv6PathMtuDiscovery::PROBE)?;
        }
    }
    socket.bind(&SocketAddr::new(own, 0).into())?;
    socket.set_nonblocking(true)?;
    Ok((socket.into(), std::net::UdpSocket::bind((own, 0))?))
}

impl Echoes {
    async fn ask(&self, ask: Ask) -> io::Result<()> {
        let v6 = ask.to.is_ipv6();
        let length = (ask.size as usize).saturating_sub(icmp::ip_header(v6));
        self.send(ask.to, &icmp::request(v6, self.id, ask.sequence, length))
            .await
    }

    /// Says to this host's own kernel what a router on the way would.
    async fn teach(&self, to: IpAddr, mtu: u32) {
        let message = icmp::too_big(self.own, to, self.id, mtu);
        if let Err(error) = self.send(self.own, &message).await {
            tracing::debug!(%to, mtu, %error, "the kernel does not know the path's MTU");
        }
    }

    /// What the kernel takes the path's MTU for.
    fn believed(&self, to: IpAddr) -> io::Result<u32> {
        const ANY_PORT: u16 = 9;
        self.asks.connect((to, ANY_PORT))?;
        Ok(match to {
            IpAddr::V4(_) => sockopt::ip_mtu(&self.asks)?,
            IpAddr::V6(_) => sockopt::ipv6_mtu(&self.asks)?,
        })
    }

    async fn send(&self, to: IpAddr, message: &[u8]) -> io::Result<()> {
        let to = SocketAddr::new(to, 0);
        self.socket.send_to(message, to).await.map(drop)
    }
}
