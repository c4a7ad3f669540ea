//! The rows: what can be wanted of the kernel.

use std::net::IpAddr;

use ipnet::IpNet;

/// A network namespace: the daemon's own, or one of ours by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ns {
    Host,
    Named(String),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

/// One thing that is wanted. Two owners may want the same row; it goes when the last one does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Row {
    /// The namespace exists, with `lo` up.
    Netns(Ns),
    Link(Link),
    Address {
        ns: Ns,
        link: String,
        address: IpNet,
    },
    Route(Route),
    Neighbour {
        ns: Ns,
        link: String,
        ip: IpAddr,
        mac: Mac,
    },
    /// A forwarding entry of a VXLAN device: frames for `mac` go to the VTEP `dst`.
    Fdb {
        ns: Ns,
        link: String,
        mac: Mac,
        dst: IpAddr,
    },
    Sysctl {
        ns: Ns,
        key: String,
        value: String,
    },
    NftTable(crate::nft::Table),
    NftChain(crate::nft::Chain),
    NftSet(crate::nft::Set),
    NftElement(crate::nft::Element),
    NftRule(crate::nft::Rule),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    pub ns: Ns,
    pub name: String,
    pub kind: LinkKind,
    pub mac: Option<Mac>,
    pub mtu: Option<u32>,
    /// Name of the bridge in the same namespace that this link is a port of.
    pub master: Option<String>,
    pub port: BridgePort,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkKind {
    Bridge,
    /// Both ends are one row. The peer is created inside its namespace (no move).
    Veth {
        peer: VethPeer,
    },
    /// Created in `socket_ns` (its UDP socket stays there), then moved to the link's namespace.
    Vxlan {
        vni: u32,
        port: u16,
        local: Option<IpAddr>,
        socket_ns: Ns,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VethPeer {
    pub ns: Ns,
    pub name: String,
    pub mac: Option<Mac>,
}

/// Options of a bridge port; the default is the kernel's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BridgePort {
    pub hairpin: bool,
    pub isolated: bool,
    pub proxy_arp: bool,
    pub no_learning: bool,
    pub no_flood: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    pub ns: Ns,
    pub dst: IpNet,
    pub via: Option<IpAddr>,
    pub link: String,
    pub table: Option<u32>,
}

impl std::fmt::Debug for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}
