//! The resolver at 127.0.0.11: name tables, answers, and forwarding of the rest.

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
    /// This sandbox's own aliases for others (links), looked at first.
    pub links: BTreeMap<String, BTreeSet<IpAddr>>,
    pub upstreams: Vec<Upstream>,
    /// The user set `ndots`: single-label names are not forwarded.
    pub ndots_set: bool,
}

/// Where unknown names go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upstream {
    pub addr: SocketAddr,
    /// Dial from the host's namespace (servers of the host's resolv.conf) instead of the sandbox's (`--dns`).
    pub from_host: bool,
}

/// A sandbox's resolver. Dropping it closes its sockets.
pub struct Resolver {}

impl Resolver {
    /// Serves on sockets that were opened inside the sandbox (see `netstate::NetState::run_in`).
    pub fn serve(
        _udp: std::net::UdpSocket,
        _tcp: std::net::TcpListener,
        _view: Arc<arc_swap::ArcSwap<View>>,
        _dial: Arc<dyn Dial>,
    ) -> std::io::Result<Self> {
        todo!()
    }
}

/// Opens a UDP or TCP socket towards an upstream in the right namespace.
pub trait Dial: Send + Sync + 'static {
    fn udp(&self, upstream: Upstream) -> std::io::Result<std::net::UdpSocket>;
    fn tcp(&self, upstream: Upstream) -> std::io::Result<std::net::TcpStream>;
}
