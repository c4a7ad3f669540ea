//! What a sandbox may know: zones of its networks, its own aliases, upstreams.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::Cache;

/// Names of one network. Replaced as a whole; readers never lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// Network name: `name.network` resolves too, and PTR answers end with it.
    pub network: String,
    /// Lower-case name to addresses (containers, aliases, services, `tasks.<service>`).
    pub names: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Address to its primary name.
    pub reverse: BTreeMap<IpAddr, String>,
}

/// What one sandbox sees.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// In order of search.
    pub networks: Vec<Scope>,
    pub upstreams: Vec<Upstream>,
    /// What the upstreams have said. Views may share it when they ask the same servers from the same place.
    pub cache: Arc<Cache>,
    /// The user set `ndots`: single-label names are not forwarded.
    pub ndots_set: bool,
}

/// A network as a sandbox sees it.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    pub zone: Arc<arc_swap::ArcSwap<Zone>>,
    /// The sandbox's own names for others there (links): lower-case alias to lower-case name.
    pub links: BTreeMap<String, String>,
}

impl Scope {
    /// The zone's name for `host`, when that is one of the links.
    fn linked(&self, host: &str) -> Option<&str> {
        self.links.get(host).map(String::as_str)
    }
}

/// Where unknown names go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Upstream {
    pub addr: SocketAddr,
    /// Dial from the host's namespace (servers of the host's resolv.conf) instead of the sandbox's (`--dns`).
    pub from_host: bool,
}

impl View {
    /// Hands the addresses of `name` (lower-case, no dot at the end) to `f`; `None` when nobody here has that name.
    /// The first place that knows it decides, even when it has no address of the wanted family. `a.b.c` is looked
    /// for as a name, then as `a.b` in network `c`, then as `a` in network `b.c`; each time links go before names.
    pub fn lookup<R>(&self, name: &str, f: impl FnOnce(&BTreeSet<IpAddr>) -> R) -> Option<R> {
        let dots = name.rmatch_indices('.');
        let qualified = dots.map(|(dot, _)| (&name[..dot], Some(&name[dot + 1..])));
        for (host, network) in std::iter::once((name, None)).chain(qualified) {
            let is_in = |zone: &Zone| network.is_none_or(|n| zone.network.eq_ignore_ascii_case(n));
            for links in [true, false] {
                for scope in &self.networks {
                    let name = match scope.linked(host) {
                        Some(name) if links => name,
                        None if !links => host,
                        _ => continue,
                    };
                    let zone = scope.zone.load();
                    if is_in(&zone)
                        && let Some(addresses) = zone.names.get(name)
                    {
                        return Some(f(addresses));
                    }
                }
            }
        }
        None
    }

    /// `<primary name>.<network>` of an address.
    pub(crate) fn reverse(&self, address: &IpAddr) -> Option<String> {
        self.networks.iter().find_map(|scope| {
            let zone = scope.zone.load();
            let name = zone.reverse.get(address)?;
            Some(format!("{name}.{}", zone.network))
        })
    }

    /// Upstreams without those that would be ourselves.
    pub(crate) fn usable_upstreams(&self) -> Vec<Upstream> {
        let own = |upstream: &&Upstream| upstream.from_host || upstream.addr.ip() != OWN_ADDRESS;
        self.upstreams.iter().filter(own).copied().collect()
    }
}

/// Where the sandbox's queries come to.
const OWN_ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 11));
