//! Links: `RTM_NEWLINK` and its relatives.

use std::net::IpAddr;
use std::os::fd::RawFd;

use crate::netlink::wire::{self, Msg, attr, attrs, ip_bytes};
use crate::{BridgePort, Link, LinkKind, Mac};

pub const RTM_NEWLINK: u16 = 16;
pub const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;

/// Index of `lo` in every namespace.
pub const LOOPBACK: u32 = 1;

const IFF_UP: u32 = 1;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_GROUP: u16 = 27;
const IFLA_NET_NS_FD: u16 = 28;

const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const INFO_SLAVE_KIND: u16 = 4;
const INFO_SLAVE_DATA: u16 = 5;

const BR_FORWARD_DELAY: u16 = 1;
const BR_STP_STATE: u16 = 5;
const BR_MCAST_SNOOPING: u16 = 23;

const VETH_PEER: u16 = 1;

const BRPORT_HAIRPIN: u16 = 4;
const BRPORT_LEARNING: u16 = 8;
const BRPORT_UNICAST_FLOOD: u16 = 9;
const BRPORT_PROXY_ARP: u16 = 10;
const BRPORT_ISOLATED: u16 = 33;

const VXLAN_ID: u16 = 1;
const VXLAN_LOCAL: u16 = 4;
const VXLAN_LEARNING: u16 = 7;
const VXLAN_PROXY: u16 = 11;
const VXLAN_L2MISS: u16 = 13;
const VXLAN_L3MISS: u16 = 14;
const VXLAN_PORT: u16 = 15;
const VXLAN_LOCAL6: u16 = 17;

const VLAN_ID: u16 = 1;

/// The same of macvlan and ipvlan.
const STATION_MODE: u16 = 1;
const STATION_FLAGS: u16 = 2;

/// `struct ifinfomsg` for an index (0: by name) with flags to change.
fn header(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut fixed = [0; 16];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed[8..12].copy_from_slice(&flags.to_ne_bytes());
    fixed[12..16].copy_from_slice(&change.to_ne_bytes());
    fixed
}

pub fn up(index: u32) -> Msg {
    Msg::new(RTM_NEWLINK, 0, &header(index, IFF_UP, IFF_UP))
}

pub fn get(name: &str) -> Msg {
    let mut msg = Msg::new(RTM_GETLINK, 0, &header(0, 0, 0));
    msg.str(IFLA_IFNAME, name);
    msg
}

pub fn dump() -> Msg {
    Msg::new(RTM_GETLINK, 0, &header(0, 0, 0))
}

pub fn delete(index: u32) -> Msg {
    Msg::new(RTM_DELLINK, 0, &header(index, 0, 0))
}

/// A group of links that nobody else uses, to remove several in one go.
const DOOMED: u32 = 0x706f_6e74;

pub fn doom(index: u32) -> Msg {
    let mut msg = Msg::new(RTM_NEWLINK, 0, &header(index, 0, 0));
    msg.u32(IFLA_GROUP, DOOMED);
    msg
}

pub fn delete_doomed() -> Msg {
    let mut msg = Msg::new(RTM_DELLINK, 0, &header(0, 0, 0));
    msg.u32(IFLA_GROUP, DOOMED);
    msg
}

/// The group of a link that is being made: creation cannot set the alias, and a daemon that dies before it has must know
/// the link again.
fn making(mark: &str) -> u32 {
    let hash = mark.bytes().fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash & 0x7fff_ffff
}

/// What a new link refers to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refs {
    /// Index of its bridge.
    pub master: Option<u32>,
    /// Index of its parent.
    pub parent: Option<u32>,
    /// Namespace of a veth's other end.
    pub peer: Option<RawFd>,
    /// Its own namespace, where the request is sent in another.
    pub target: Option<RawFd>,
}

/// Makes the link. Sent in the link's namespace; for VXLAN in the socket's and for what has a parent in the parent's, with
/// the link's as `target`: the device is then made in `target`, so nothing has to move.
pub fn create(link: &Link, refs: Refs, mark: &str) -> Msg {
    let mut msg = Msg::new(RTM_NEWLINK, wire::CREATE | wire::EXCL, &header(0, 0, 0));
    msg.str(IFLA_IFNAME, &link.name);
    msg.u32(IFLA_GROUP, making(mark));
    if let Some(fd) = refs.target {
        msg.u32(IFLA_NET_NS_FD, fd as u32);
    }
    basics(&mut msg, link.mac, link.mtu);
    if let Some(master) = refs.master {
        msg.u32(IFLA_MASTER, master);
    }
    if let Some(parent) = refs.parent {
        msg.u32(IFLA_LINK, parent);
    }
    let name = link.kind.name();
    msg.nest(IFLA_LINKINFO, |info| match &link.kind {
        LinkKind::Bridge => {
            info.str(INFO_KIND, name).nest(INFO_DATA, |data| {
                data.u32(BR_FORWARD_DELAY, 0)
                    .u32(BR_STP_STATE, 0)
                    .u8(BR_MCAST_SNOOPING, 0);
            });
        }
        LinkKind::Veth { peer: end } => {
            info.str(INFO_KIND, name).nest(INFO_DATA, |data| {
                data.nest(VETH_PEER, |msg| {
                    msg.raw(&header(0, 0, 0)).str(IFLA_IFNAME, &end.name);
                    basics(msg, end.mac, link.mtu);
                    if let Some(fd) = refs.peer {
                        msg.u32(IFLA_NET_NS_FD, fd as u32);
                    }
                });
            });
        }
        LinkKind::Handout { peer, mac } => {
            info.str(INFO_KIND, name).nest(INFO_DATA, |data| {
                data.nest(VETH_PEER, |msg| {
                    msg.raw(&header(0, 0, 0)).str(IFLA_IFNAME, peer);
                    basics(msg, *mac, link.mtu);
                });
            });
        }
        // Made by somebody else.
        LinkKind::Taken { .. } => {}
        LinkKind::Vxlan {
            vni, port, local, ..
        } => {
            info.str(INFO_KIND, name).nest(INFO_DATA, |data| {
                data.u32(VXLAN_ID, *vni)
                    .put(VXLAN_PORT, &port.to_be_bytes())
                    .u8(VXLAN_LEARNING, 0)
                    .u8(VXLAN_PROXY, 1);
                if let Some(local) = local {
                    let kind = if local.is_ipv4() {
                        VXLAN_LOCAL
                    } else {
                        VXLAN_LOCAL6
                    };
                    data.put(kind, &ip_bytes(*local));
                }
            });
        }
        LinkKind::Vlan { id, .. } => {
            info.str(INFO_KIND, name).nest(INFO_DATA, |data| {
                data.put(VLAN_ID, &id.to_ne_bytes());
            });
        }
        LinkKind::Macvlan { mode, .. } => {
            info.str(INFO_KIND, name).nest(INFO_DATA, |data| {
                data.u32(STATION_MODE, mode.number());
            });
        }
        LinkKind::Ipvlan { mode, flag, .. } => {
            info.str(INFO_KIND, name).nest(INFO_DATA, |data| {
                data.put(STATION_MODE, &mode.number().to_ne_bytes())
                    .put(STATION_FLAGS, &flag.number().to_ne_bytes());
            });
        }
    });
    msg
}

/// A link of that kind without its parent: refused by every kernel, and by one that has no such links with `EOPNOTSUPP`.
pub fn probe(kind: &str) -> Msg {
    let mut msg = Msg::new(RTM_NEWLINK, wire::CREATE | wire::EXCL, &header(0, 0, 0));
    msg.nest(IFLA_LINKINFO, |info| {
        info.str(INFO_KIND, kind);
    });
    msg
}

fn basics(msg: &mut Msg, mac: Option<Mac>, mtu: Option<u32>) {
    if let Some(mac) = mac {
        msg.put(IFLA_ADDRESS, &mac.0);
    }
    if let Some(mtu) = mtu {
        msg.u32(IFLA_MTU, mtu);
    }
}

/// Marks a link as ours, sets what creation cannot, and then sets it up: for a mark on a link that is up the kernel walks all
/// IPv6 routes of the namespace. `port` only for a bridge's port.
pub fn configure(index: u32, alias: &str, port: Option<BridgePort>) -> [Msg; 2] {
    let mut msg = Msg::new(RTM_NEWLINK, 0, &header(index, 0, 0));
    msg.put(IFLA_IFALIAS, alias.as_bytes()).u32(IFLA_GROUP, 0);
    if let Some(port) = port {
        msg.nest(IFLA_LINKINFO, |info| {
            info.str(INFO_SLAVE_KIND, "bridge")
                .nest(INFO_SLAVE_DATA, |data| {
                    data.u8(BRPORT_HAIRPIN, port.hairpin.into())
                        .u8(BRPORT_LEARNING, (!port.no_learning).into())
                        .u8(BRPORT_UNICAST_FLOOD, (!port.no_flood).into())
                        .u8(BRPORT_PROXY_ARP, port.proxy_arp.into())
                        .u8(BRPORT_ISOLATED, port.isolated.into());
                });
        });
    }
    [msg, up(index)]
}

/// Changes what can be changed in place. `master` 0 takes the link out of its bridge.
pub fn change(index: u32, mac: Option<Mac>, mtu: Option<u32>, master: Option<u32>) -> Msg {
    let mut msg = Msg::new(RTM_NEWLINK, 0, &header(index, 0, 0));
    basics(&mut msg, mac, mtu);
    if let Some(master) = master {
        msg.u32(IFLA_MASTER, master);
    }
    msg
}

/// Of a link that is down.
pub fn rename(index: u32, name: &str) -> Msg {
    let mut msg = Msg::new(RTM_NEWLINK, 0, &header(index, 0, 0));
    msg.str(IFLA_IFNAME, name);
    msg
}

/// Moves a link to another namespace, where it has another name, another alias, and is down.
pub fn hand_over(index: u32, to: RawFd, name: &str, alias: &str) -> Msg {
    let mut msg = Msg::new(RTM_NEWLINK, 0, &header(index, 0, IFF_UP));
    msg.u32(IFLA_NET_NS_FD, to as u32)
        .str(IFLA_IFNAME, name)
        .put(IFLA_IFALIAS, alias.as_bytes());
    msg
}

/// A link as the kernel describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    pub index: u32,
    pub name: String,
    pub kind: String,
    pub alias: String,
    pub group: u32,
    pub mac: Option<Mac>,
    pub mtu: u32,
    pub up: bool,
    /// Index of its bridge, 0 for none.
    pub master: u32,
    /// Index of a veth's other end or of the parent, in that one's namespace.
    pub other: u32,
    pub port: BridgePort,
    pub vxlan: SeenVxlan,
    pub vlan: u16,
    /// Of a macvlan or ipvlan, as numbers of the kernel's.
    pub mode: u32,
    pub flags: u16,
}

impl Seen {
    /// Marked as ours, or made by us and not marked yet.
    pub fn is_ours(&self, mark: &str) -> bool {
        self.alias == mark || (self.alias.is_empty() && self.group == making(mark))
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeenVxlan {
    pub vni: u32,
    pub port: u16,
    pub local: Option<IpAddr>,
    /// Learning, l2miss or l3miss on, or proxy off: not as we make them.
    pub odd: bool,
}

/// The body of a `RTM_NEWLINK` or `RTM_DELLINK`. `None` also for the bridge's own partial notifications.
pub fn parse(body: &[u8]) -> Option<Seen> {
    if *body.first()? != 0 {
        return None;
    }
    let mut seen = Seen {
        index: wire::u32_at(body, 4)?,
        up: wire::u32_at(body, 8)? & IFF_UP != 0,
        ..Seen::default()
    };
    for (kind, value) in attrs(body.get(16..)?) {
        match kind {
            IFLA_ADDRESS => seen.mac = value.try_into().ok().map(Mac),
            IFLA_IFNAME => seen.name = wire::text(value),
            IFLA_MTU => seen.mtu = wire::u32_at(value, 0)?,
            IFLA_LINK => seen.other = wire::u32_at(value, 0)?,
            IFLA_MASTER => seen.master = wire::u32_at(value, 0)?,
            IFLA_GROUP => seen.group = wire::u32_at(value, 0)?,
            IFLA_IFALIAS => seen.alias = wire::text(value),
            IFLA_LINKINFO => info(value, &mut seen),
            _ => {}
        }
    }
    Some(seen)
}

fn info(value: &[u8], seen: &mut Seen) {
    seen.kind = attr(value, INFO_KIND).map(wire::text).unwrap_or_default();
    if let Some(data) = attr(value, INFO_SLAVE_DATA) {
        let on = |kind| attr(data, kind).is_some_and(|v| v.first() == Some(&1));
        seen.port = BridgePort {
            hairpin: on(BRPORT_HAIRPIN),
            isolated: on(BRPORT_ISOLATED),
            proxy_arp: on(BRPORT_PROXY_ARP),
            no_learning: !on(BRPORT_LEARNING),
            no_flood: !on(BRPORT_UNICAST_FLOOD),
        };
    }
    let Some(data) = attr(value, INFO_DATA) else {
        return;
    };
    let number = |kind| attr(data, kind).and_then(|v| wire::u16_at(v, 0));
    match seen.kind.as_str() {
        "vlan" => seen.vlan = number(VLAN_ID).unwrap_or_default(),
        "macvlan" => {
            let mode = attr(data, STATION_MODE).and_then(|v| wire::u32_at(v, 0));
            seen.mode = mode.unwrap_or_default();
        }
        "ipvlan" => {
            seen.mode = number(STATION_MODE).unwrap_or_default().into();
            seen.flags = number(STATION_FLAGS).unwrap_or_default();
        }
        _ => {}
    }
    if seen.kind == "vxlan" {
        let on = |kind| attr(data, kind).is_some_and(|v| v.first() == Some(&1));
        seen.vxlan = SeenVxlan {
            vni: attr(data, VXLAN_ID)
                .and_then(|v| wire::u32_at(v, 0))
                .unwrap_or_default(),
            port: attr(data, VXLAN_PORT)
                .and_then(|v| v.try_into().ok())
                .map_or(0, u16::from_be_bytes),
            local: attr(data, VXLAN_LOCAL)
                .or_else(|| attr(data, VXLAN_LOCAL6))
                .and_then(wire::ip)
                .filter(|ip| !ip.is_unspecified()),
            odd: on(VXLAN_LEARNING) || on(VXLAN_L2MISS) || on(VXLAN_L3MISS) || !on(VXLAN_PROXY),
        };
    }
}

/// How a link stands to what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    Good,
    /// Something differs that can be changed in place.
    Change,
    /// It must be made anew.
    Recreate,
    /// Not ours, and nothing to be adopted: leave it alone.
    Foreign,
    /// A bridge or VLAN that somebody else made and that we use as it is.
    Lent,
}

/// Compares one end with its row. `master` is the wanted bridge's index (0: none wanted); `named`: the namespace is ours
/// wholly.
pub fn fit(link: &Link, seen: &Seen, master: u32, mark: &str, named: bool) -> Fit {
    let kind = match link.kind {
        // Of any kind; the alias tells that it is the one.
        LinkKind::Taken { .. } => seen.kind.as_str(),
        _ => link.kind.name(),
    };
    let frozen = match &link.kind {
        LinkKind::Bridge | LinkKind::Veth { .. } | LinkKind::Handout { .. } => true,
        LinkKind::Taken { .. } => seen.alias == mark,
        LinkKind::Vxlan {
            vni, port, local, ..
        } => {
            let v = &seen.vxlan;
            (v.vni, v.port, v.local, v.odd) == (*vni, *port, *local, false)
        }
        LinkKind::Vlan { id, .. } => seen.vlan == *id,
        LinkKind::Macvlan { mode, .. } => seen.mode == mode.number(),
        LinkKind::Ipvlan { mode, flag, .. } => {
            (seen.mode, seen.flags) == (mode.number().into(), flag.number())
        }
    };
    if !named && !seen.is_ours(mark) {
        let lent = match link.kind {
            LinkKind::Bridge => seen.kind == kind,
            LinkKind::Vlan { .. } => true,
            _ => false,
        };
        return if lent { Fit::Lent } else { Fit::Foreign };
    }
    if seen.kind != kind || !frozen {
        return Fit::Recreate;
    }
    let port = master == 0 || seen.port == link.port;
    let good = seen.alias == mark
        && seen.up
        && seen.master == master
        && port
        && link.mac.is_none_or(|mac| seen.mac == Some(mac))
        && link.mtu.is_none_or(|mtu| seen.mtu == mtu);
    if good { Fit::Good } else { Fit::Change }
}

/// The same for a veth's other end.
pub fn fit_peer(mac: Option<Mac>, mtu: Option<u32>, seen: &Seen) -> Fit {
    let good = seen.up
        && mac.is_none_or(|mac| seen.mac == Some(mac))
        && mtu.is_none_or(|mtu| seen.mtu == mtu);
    match seen.kind.as_str() {
        "veth" if good => Fit::Good,
        "veth" => Fit::Change,
        _ => Fit::Recreate,
    }
}
