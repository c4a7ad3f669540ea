//! The rows: what can be wanted of the kernel.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::{IpvlanFlag, IpvlanMode, MacvlanMode, Parent};

/// A network namespace: the daemon's own, or one of ours by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ns {
    Host,
    Named(String),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Six pairs of hexadecimal digits between colons or dashes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2)?;
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        parts.next().is_none().then_some(Mac(bytes))
    }
}

/// Which of a service's backends a connection reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Choice {
    #[default]
    Any,
    /// The same for all connections of a namespace, as long as it is there.
    Sticky,
    /// One that has the fewest open connections from this host, of sixteen where there are more.
    Fewest,
}

/// One thing that is wanted. Two owners may want the same row; it goes when the last one does. Where two owners want
/// different things of one object (two VTEPs for one MAC), the newest claim holds and the older one again when that goes.
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
    Nexthop(Nexthop),
    NexthopGroup(NexthopGroup),
    /// `dst` is reached through any member of the group; in the main table.
    GroupRoute {
        ns: Ns,
        dst: IpNet,
        group: u32,
        /// That the group is on.
        link: String,
    },
    /// Packets to `::1` may come in by the link: answers to the host's own connections that were translated, once they are
    /// translated back. What `route_localnet` allows for IPv4; the kernel drops what comes with such an address.
    RouteLocalhost {
        ns: Ns,
        link: String,
    },
    /// Packets of the family whose mark under `mask` is `mark` are routed by `table`.
    MarkRule {
        ns: Ns,
        v6: bool,
        mark: u32,
        mask: u32,
        table: u32,
    },
    /// Sockets in `ns` that connect to an address of `subnet` are looked after by the services of `network`.
    Client {
        ns: Ns,
        subnet: IpNet,
        network: u32,
    },
    /// Whoever connects to `address` in `network` reaches one of the backends, of the same family, instead, and keeps to it. See
    /// [`NetState::balances`](crate::NetState::balances).
    Service {
        network: u32,
        address: IpAddr,
        backends: BTreeSet<IpAddr>,
        choice: Choice,
    },
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
    /// `key` in dots (`net.ipv4.ip_forward`), or in slashes where an interface name holds a dot; also
    /// `ethtool/LINK/` and the name of an [`Offload`](crate::ethtool::Offload), which is `on` or `off`. Removal of the row
    /// leaves the value as it is: nobody knows any more what it should be.
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
    /// Of both ends, for a veth.
    pub mtu: Option<u32>,
    /// Name of the bridge in the same namespace that this link is a port of.
    pub master: Option<String>,
    pub port: BridgePort,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkKind {
    /// No spanning tree, no forward delay, no multicast snooping; its MAC stays the same whatever ports come. A bridge that is there already and is not ours is used
    /// as it is and never removed.
    Bridge,
    /// Both ends are one row. The peer is created inside its namespace (no move).
    Veth { peer: VethPeer },
    /// Lives in the link's namespace while its UDP socket stays in `socket_ns`. Learns nothing, floods nothing, answers ARP
    /// and neighbour solicitations itself from the `Neighbour` rows. An IPv6 underlay needs `local`.
    Vxlan {
        vni: u32,
        port: u16,
        local: Option<IpAddr>,
        socket_ns: Ns,
    },
    /// A veth whose other end is made beside it for another program, which takes it to where it belongs: nobody looks
    /// after that end.
    Handout { peer: String, mac: Option<Mac> },
    /// What another program made under the name `from` in the host's namespace: it moves here, and back when nobody
    /// wants it here any more. One that the host itself uses stays where it is.
    Taken { from: String },
    /// 802.1Q: the tagged frames of `parent`, a link of the same namespace. Any link of that name that is there already
    /// and is not ours is used as it is and never removed.
    Vlan { parent: String, id: u16 },
    /// A station with a MAC of its own on the wire of `parent`. Without a `mac` the kernel draws one.
    Macvlan { parent: Parent, mode: MacvlanMode },
    /// A station with the MAC of `parent`, told apart by its addresses.
    Ipvlan {
        parent: Parent,
        mode: IpvlanMode,
        flag: IpvlanFlag,
    },
}

impl LinkKind {
    /// As the kernel calls it.
    pub fn name(&self) -> &'static str {
        match self {
            LinkKind::Bridge => "bridge",
            LinkKind::Veth { .. } | LinkKind::Handout { .. } => "veth",
            LinkKind::Vxlan { .. } => "vxlan",
            LinkKind::Vlan { .. } => "vlan",
            LinkKind::Macvlan { .. } => "macvlan",
            LinkKind::Ipvlan { .. } => "ipvlan",
            LinkKind::Taken { .. } => "foreign",
        }
    }
}

impl Link {
    /// The link that it is made on.
    pub(crate) fn parent(&self) -> Option<(&Ns, &str)> {
        match &self.kind {
            LinkKind::Vlan { parent, .. } => Some((&self.ns, parent)),
            LinkKind::Macvlan { parent, .. } | LinkKind::Ipvlan { parent, .. } => {
                Some((&parent.ns, &parent.name))
            }
            _ => None,
        }
    }
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
    /// No unknown unicast out of this port.
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

/// One gateway under a number, for groups to name. The number is the namespace's: whoever chooses it sees to it that no
/// two things share one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nexthop {
    pub ns: Ns,
    pub id: u32,
    pub via: IpAddr,
    pub link: String,
}

/// Several gateways, and the address that is reached through any of them: a connection keeps to one by a hash of its
/// addresses and ports, and a gateway that comes or goes moves its own share only (a resilient nexthop group).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NexthopGroup {
    pub ns: Ns,
    pub id: u32,
    /// That all members are on: the group goes with it.
    pub link: String,
    /// Numbers of [`Nexthop`]s.
    pub members: BTreeSet<u32>,
}
