//! What a sandbox may know: zones of its networks, its own aliases, upstreams.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

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

/// What one sandbox sees, in order of search.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub zones: Vec<Arc<arc_swap::ArcSwap<Zone>>>,
    /// This sandbox's own aliases for others (links), lower-case, looked at first.
    pub links: BTreeMap<String, BTreeSet<IpAddr>>,
    pub upstreams: Vec<Upstream>,
    /// The user set `ndots`: single-label names are not forwarded.
    pub ndots_set: bool,
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
    /// for as a name, then as `a.b` in network `c`, then as `a` in network `b.c`.
    pub(crate) fn lookup<R>(
        &self,
        name: &str,
        f: impl FnOnce(&BTreeSet<IpAddr>) -> R,
    ) -> Option<R> {
        if let Some(addresses) = self.links.get(name) {
            return Some(f(addresses));
        }
        for zone in &self.zones {
            if let Some(addresses) = zone.load().names.get(name) {
                return Some(f(addresses));
            }
        }
        for (dot, _) in name.rmatch_indices('.') {
            let (host, network) = (&name[..dot], &name[dot + 1..]);
            for zone in self.zones.iter().map(|zone| zone.load()) {
                if zone.network.eq_ignore_ascii_case(network)
                    && let Some(addresses) = zone.names.get(host)
                {
                    return Some(f(addresses));
                }
            }
        }
        None
    }

    /// `<primary name>.<network>` of an address.
    pub(crate) fn reverse(&self, address: &IpAddr) -> Option<String> {
        self.zones.iter().find_map(|zone| {
            let zone = zone.load();
            let name = zone.reverse.get(address)?;
            Some(format!("{name}.{}", zone.network))
        })
    }
}
