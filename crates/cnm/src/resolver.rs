//! The resolver of a sandbox: its sockets, how queries get to it, what it may look at.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;

use arc_swap::ArcSwap;
use dns::{Dial, Resolver, Upstream, View};
use engine_types::{Error, Result};
use netstate::nft::{
    Base, BaseKind, Chain, Family, Field, Hook, Rule, Statement, Table, Value, Verdict,
};
use netstate::{Ns, Row};
use tokio::runtime::Handle;

use crate::controller::Inner;
use crate::kernel::{Kernel, run_in};
use crate::model::{Network, Record};
use crate::network_files::links;
use crate::resolv_conf::Rendered;
use crate::state::{GATEWAY_BRIDGE, State};

pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
const DNS: u16 = 53;
const UDP: u8 = 17;
const TCP: u8 = 6;

/// A resolver at work.
pub(crate) struct Running {
    _resolver: Resolver,
    pub view: Arc<ArcSwap<View>>,
    /// The ports that it listens on.
    udp: u16,
    tcp: u16,
}

impl Running {
    /// Port 53 of 127.0.0.11 leads to the ports that the sockets got; conntrack turns the answers' source back.
    pub fn rows(&self, ns: &Ns) -> Vec<Row> {
        let table = Table {
            ns: ns.clone(),
            family: Family::Ip,
            name: "pontoon-dns".into(),
        };
        let chain = Chain {
            table: table.clone(),
            name: "output".into(),
            base: Some(Base {
                kind: BaseKind::Nat,
                hook: Hook::Output,
                priority: -100,
                drop_by_default: false,
            }),
        };
        let equals = |field, value| Statement::Match {
            field,
            not: false,
            value,
        };
        let elsewhere = Statement::Match {
            field: Field::IpDaddr,
            not: true,
            value: Value::Ip(ADDRESS.into()),
        };
        let mut rules = vec![vec![elsewhere, Statement::Verdict(Verdict::Accept)]];
        for (protocol, port) in [(UDP, self.udp), (TCP, self.tcp)] {
            rules.push(vec![
                equals(Field::L4Proto, Value::Protocol(protocol)),
                equals(Field::ThDport, Value::Port(DNS)),
                Statement::Dnat {
                    to: ADDRESS.into(),
                    port: Some(port),
                },
            ]);
        }
        let rules = (1..).zip(rules).map(|(order, body)| {
            Row::NftRule(Rule {
                table: table.clone(),
                chain: "output".into(),
                order,
                body,
            })
        });
        let base = [Row::NftTable(table.clone()), Row::NftChain(chain)];
        base.into_iter().chain(rules).collect()
    }
}

impl State {
    /// Networks of the user's have names, the predefined ones have none.
    fn has_names(&self, network: &Network) -> bool {
        let addresses = self.capability(network).is_some_and(|c| c.addresses);
        addresses && !network.is_predefined() && network.name != GATEWAY_BRIDGE
    }

    pub fn needs_resolver(&self, record: &Record) -> bool {
        let mut networks = record.endpoints.iter().map(|e| self.network(&e.network));
        record.ns().is_some() && networks.any(|n| n.is_ok_and(|n| self.has_names(n)))
    }

    /// What a sandbox may see: the swarm's networks first, then by gateway priority and name.
    pub fn view(&self, record: &Record, conf: &Rendered) -> View {
        let mut seen: Vec<_> = record
            .endpoints
            .iter()
            .filter_map(|endpoint| {
                let entry = self.networks.get(&endpoint.network)?;
                let network = &entry.network;
                // Docker keeps the mesh's addresses out of every answer.
                (self.has_names(network) && !network.ingress).then_some((endpoint, entry))
            })
            .collect();
        seen.sort_by_key(|(endpoint, entry)| {
            let priority = std::cmp::Reverse(endpoint.settings.gw_priority);
            let local = entry.network.scope == crate::model::Scope::Local;
            (local, priority, &entry.network.name)
        });
        let mut aliases = BTreeMap::new();
        for (endpoint, entry) in &seen {
            let zone = entry.zone.load();
            for (target, alias) in links(endpoint.settings.links.as_deref()) {
                if let Some(addresses) = zone.names.get(&target.to_lowercase()) {
                    aliases.insert(alias.to_lowercase(), addresses.clone());
                }
            }
        }
        // A sandbox without a way out asks no server of the host's; one that the user named may be on its own networks.
        let outside = self.gateway_of(record).is_some();
        let upstreams = conf.upstreams.iter().filter(|_| outside || !conf.from_host);
        View {
            zones: seen
                .into_iter()
                .map(|(_, entry)| entry.zone.clone())
                .collect(),
            links: aliases,
            upstreams: upstreams
                .map(|ip| Upstream {
                    addr: SocketAddr::new(*ip, DNS),
                    from_host: conf.from_host,
                })
                .collect(),
            ndots_set: conf.ndots_set,
        }
    }
}

impl Inner {
    /// Opens the sockets inside the sandbox and serves. Returns at once when it runs already.
    pub async fn start_resolver(&self, container: &str, ns: &Ns) -> Result<()> {
        if self.state().resolvers.contains_key(container) {
            return Ok(());
        }
        let opened = run_in(self.kernel.as_ref(), ns, open).await?;
        let (udp, tcp) = opened.map_err(failed)?;
        let port = |address: io::Result<SocketAddr>| Ok(address?.port());
        let ports = (port(udp.local_addr()), port(tcp.local_addr()));
        let view = Arc::new(ArcSwap::default());
        let dial = Arc::new(Dialer {
            kernel: self.kernel.clone(),
            ns: ns.clone(),
            runtime: Handle::current(),
        });
        let running = Running {
            _resolver: Resolver::serve(udp, tcp, view.clone(), dial).map_err(failed)?,
            view,
            udp: ports.0.map_err(failed)?,
            tcp: ports.1.map_err(failed)?,
        };
        self.state()
            .resolvers
            .insert(container.to_string(), running);
        Ok(())
    }
}

fn failed(error: io::Error) -> Error {
    Error::system(format!(
        "cannot open the sandbox's resolver at {ADDRESS}: {error}"
    ))
}

fn open() -> io::Result<(UdpSocket, TcpListener)> {
    Ok((
        UdpSocket::bind((ADDRESS, 0))?,
        TcpListener::bind((ADDRESS, 0))?,
    ))
}

struct Dialer {
    kernel: Arc<dyn Kernel>,
    ns: Ns,
    runtime: Handle,
}

impl Dialer {
    fn open<T: Send + 'static>(
        &self,
        upstream: Upstream,
        open: fn(SocketAddr) -> io::Result<T>,
    ) -> io::Result<T> {
        let ns = match upstream.from_host {
            true => &Ns::Host,
            false => &self.ns,
        };
        let job = run_in(self.kernel.as_ref(), ns, move || open(upstream.addr));
        self.runtime.block_on(job).map_err(io::Error::other)?
    }
}

impl Dial for Dialer {
    fn udp(&self, upstream: Upstream) -> io::Result<UdpSocket> {
        self.open(upstream, dns::open_udp)
    }
    fn tcp(&self, upstream: Upstream) -> io::Result<TcpStream> {
        self.open(upstream, dns::open_tcp)
    }
}
