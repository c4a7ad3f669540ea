//! The resolver of a sandbox: its sockets, how queries get to it, what it may look at.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use dns::{Cache, Dial, Resolver, Scope, Upstream, View};
use engine_types::{Error, Result};
use netstate::nft::{
    Base, BaseKind, Chain, Family, Field, Hook, Rule, Statement, Table, Value, Verdict,
};
use netstate::{Ns, Row};
use tokio::runtime::Handle;

use crate::controller::Inner;
use crate::kernel::{Kernel, run_in};
use crate::links::links;
use crate::model::{Network, Record};
use crate::resolv_conf::{Rendered, ResolvConf};
use crate::state::{GATEWAY_BRIDGE, State};

pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
const DNS: u16 = 53;
const UDP: u8 = 17;
const TCP: u8 = 6;
/// How often the host's `resolv.conf` is looked at.
const FOLLOW: Duration = Duration::from_secs(2);

/// A resolver at work.
pub(crate) struct Running {
    _resolver: Resolver,
    pub view: Arc<ArcSwap<View>>,
    /// The ports that it listens on.
    udp: u16,
    tcp: u16,
}

impl Running {
    /// Port 53 of 127.0.0.11 leads to the ports that the sockets got, and what they answer comes from port 53. Each packet
    /// has its port changed on the way out to loopback: that takes no connection tracking, neither for queries nor for
    /// anything else that the container sends.
    pub fn rows(&self, ns: &Ns) -> Vec<Row> {
        let table = Table {
            ns: ns.clone(),
            family: Family::Ip,
            name: "pontoon-dns".into(),
        };
        let chain = Chain {
            table: table.clone(),
            name: "redirect".into(),
            base: Some(Base {
                kind: BaseKind::Filter,
                hook: Hook::Output,
                // Where connection tracking has not begun.
                priority: -300,
                drop_by_default: false,
                device: None,
            }),
        };
        let is = |field, not, value| Statement::Match { field, not, value };
        let elsewhere = is(Field::OifName, true, Value::Ifname("lo".into()));
        let mut rules = vec![vec![elsewhere, Statement::Verdict(Verdict::Accept)]];
        for (protocol, port) in [(UDP, self.udp), (TCP, self.tcp)] {
            for (address, field, from, to) in [
                (Field::IpDaddr, Field::ThDport, DNS, port),
                (Field::IpSaddr, Field::ThSport, port, DNS),
            ] {
                rules.push(vec![
                    is(address, false, Value::Ip(ADDRESS.into())),
                    is(Field::L4Proto, false, Value::Protocol(protocol)),
                    is(field, false, Value::Port(from)),
                    Statement::Notrack,
                    Statement::SetPort {
                        protocol,
                        field,
                        to,
                    },
                    Statement::Verdict(Verdict::Accept),
                ]);
            }
        }
        let rules = (1..).zip(rules).map(|(order, body)| {
            Row::NftRule(Rule {
                table: table.clone(),
                chain: "redirect".into(),
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
        let names = record.ns().is_some() && !record.is_entry();
        names && networks.any(|n| n.is_ok_and(|n| self.has_names(n)))
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
        let networks: Vec<Scope> = seen
            .into_iter()
            .map(|(endpoint, entry)| Scope {
                zone: entry.zone.clone(),
                links: links(endpoint.settings.links.as_deref())
                    .map(|(target, alias)| (alias.to_lowercase(), target.to_lowercase()))
                    .collect(),
            })
            .collect();
        // A sandbox without a way out asks no server of the host's; one that the user named may be on its own networks.
        let outside = self.has_way_out(record);
        let upstreams = conf.upstreams.iter().filter(|_| outside || !conf.from_host);
        let upstreams: Vec<Upstream> = upstreams
            .map(|ip| Upstream {
                addr: SocketAddr::new(*ip, DNS),
                from_host: conf.from_host,
            })
            .collect();
        let cache = match conf.from_host {
            true => self.caches.of(&upstreams),
            false => self.own_cache(record, &networks, &upstreams),
        };
        View {
            networks,
            upstreams,
            cache,
            ndots_set: conf.ndots_set,
        }
    }

    /// What servers say that are asked from within the sandbox holds while it is on the same networks: elsewhere others
    /// may have their addresses.
    fn own_cache(&self, record: &Record, networks: &[Scope], upstreams: &[Upstream]) -> Arc<Cache> {
        let running = self.resolvers.get(&record.spec.container_id);
        let former = running.map(|running| running.view.load_full());
        let same = |former: &Arc<View>| {
            let zones = |networks: &[Scope]| -> Vec<_> {
                networks.iter().map(|n| Arc::as_ptr(&n.zone)).collect()
            };
            former.upstreams == upstreams && zones(&former.networks) == zones(networks)
        };
        let cache = former.filter(same).map(|former| former.cache.clone());
        cache.unwrap_or_default()
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

/// Asks the servers that the host's `resolv.conf` names now, not those of when a container started: a laptop changes its
/// network, a VPN comes up. Ends with the controller.
pub(crate) async fn follow_host(inner: Weak<Inner>) {
    let mut known = ResolvConf::of_host();
    loop {
        tokio::time::sleep(FOLLOW).await;
        let Some(inner) = inner.upgrade() else {
            return;
        };
        let conf = ResolvConf::of_host();
        if conf != known {
            tracing::info!("the host's name servers have changed");
            known = conf;
            let containers: Vec<_> = inner.state().resolvers.keys().cloned().collect();
            containers.iter().for_each(|c| inner.refresh_views(c));
        }
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
