//! Rows as one line of text, in the words of `ip`, `bridge`, `sysctl` and `nft`: for errors, audits and snapshots.

use std::fmt::{self, Display, Formatter};

use crate::{Choice, Link, LinkKind, Mac, Ns, Route, Row};

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl Display for Mac {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Display for Ns {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Ns::Host => f.write_str("host"),
            Ns::Named(name) => f.write_str(name),
        }
    }
}

/// ` netns x` behind an object's text; nothing for the host's own.
pub(crate) struct In<'a>(pub &'a Ns);

impl Display for In<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ns::Host => Ok(()),
            Ns::Named(name) => write!(f, " netns {name}"),
        }
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Row::Netns(ns) => write!(f, "netns {ns}"),
            Row::Link(link) => Display::fmt(link, f),
            Row::Address { ns, link, address } => {
                write!(f, "address {address} dev {link}{}", In(ns))
            }
            Row::Route(route) => Display::fmt(route, f),
            Row::Nexthop(n) => {
                write!(
                    f,
                    "nexthop {} via {} dev {}{}",
                    n.id,
                    n.via,
                    n.link,
                    In(&n.ns)
                )
            }
            Row::NexthopGroup(n) => {
                let members: Vec<String> = n.members.iter().map(u32::to_string).collect();
                write!(
                    f,
                    "nexthop {} group {}{}",
                    n.id,
                    members.join("/"),
                    In(&n.ns)
                )
            }
            Row::GroupRoute { ns, dst, group, .. } => {
                write!(f, "route {dst} nhid {group}{}", In(ns))
            }
            Row::RouteLocalhost { ns, link } => write!(f, "localhost by dev {link}{}", In(ns)),
            Row::MarkRule {
                ns,
                v6,
                mark,
                mask,
                table,
            } => write!(
                f,
                "rule{} fwmark {mark:#x}/{mask:#x} lookup {table}{}",
                if *v6 { " -6" } else { "" },
                In(ns)
            ),
            Row::Client {
                ns,
                subnet,
                network,
            } => write!(f, "client {subnet} of network {network}{}", In(ns)),
            Row::Service {
                network,
                address,
                backends,
                choice,
            } => {
                let backends: Vec<String> = backends.iter().map(|b| b.to_string()).collect();
                let backends = backends.join(" ");
                let choice = match choice {
                    Choice::Any => "",
                    Choice::Sticky => " sticky",
                    Choice::Fewest => " fewest connections",
                };
                write!(
                    f,
                    "service {address} of network {network} backends {backends}{choice}"
                )
            }
            Row::Neighbour { ns, link, ip, mac } => {
                write!(f, "neighbour {ip} lladdr {mac} dev {link}{}", In(ns))
            }
            Row::Fdb { ns, link, mac, dst } => {
                write!(f, "fdb {mac} dev {link} dst {dst}{}", In(ns))
            }
            Row::Sysctl { ns, key, value } => write!(f, "sysctl {key}={value}{}", In(ns)),
            Row::NftTable(table) => Display::fmt(table, f),
            Row::NftChain(chain) => Display::fmt(chain, f),
            Row::NftSet(set) => Display::fmt(set, f),
            Row::NftElement(element) => Display::fmt(element, f),
            Row::NftRule(rule) => Display::fmt(rule, f),
        }
    }
}

impl Display for Link {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.name)?;
        match &self.kind {
            LinkKind::Bridge => f.write_str(" type bridge")?,
            LinkKind::Veth { peer } => {
                write!(f, " type veth peer {}{}", peer.name, In(&peer.ns))?;
                if let Some(mac) = peer.mac {
                    write!(f, " address {mac}")?;
                }
            }
            LinkKind::Handout { peer, mac } => {
                write!(f, " type veth peer {peer} for others")?;
                if let Some(mac) = mac {
                    write!(f, " address {mac}")?;
                }
            }
            LinkKind::Taken { from } => write!(f, " taken from {from} of the host")?,
            LinkKind::Vxlan {
                vni,
                port,
                local,
                socket_ns,
            } => {
                write!(f, " type vxlan id {vni} dstport {port}")?;
                if let Some(local) = local {
                    write!(f, " local {local}")?;
                }
                if *socket_ns != self.ns {
                    write!(f, " socket netns {socket_ns}")?;
                }
            }
            LinkKind::Vlan { parent, id } => write!(f, " link {parent} type vlan id {id}")?,
            LinkKind::Macvlan { parent, mode } => {
                write!(f, " link {}{}", parent.name, In(&parent.ns))?;
                write!(f, " type macvlan mode {}", mode.name())?;
            }
            LinkKind::Ipvlan { parent, mode, flag } => {
                write!(f, " link {}{}", parent.name, In(&parent.ns))?;
                write!(f, " type ipvlan mode {} {}", mode.name(), flag.name())?;
            }
        }
        if let Some(mac) = self.mac {
            write!(f, " address {mac}")?;
        }
        if let Some(mtu) = self.mtu {
            write!(f, " mtu {mtu}")?;
        }
        if let Some(master) = &self.master {
            write!(f, " master {master}")?;
        }
        for (on, text) in [
            (self.port.hairpin, " hairpin on"),
            (self.port.isolated, " isolated on"),
            (self.port.proxy_arp, " proxy_arp on"),
            (self.port.no_learning, " learning off"),
            (self.port.no_flood, " flood off"),
        ] {
            f.write_str(if on { text } else { "" })?;
        }
        In(&self.ns).fmt(f)
    }
}

impl Display for Route {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "route {}", self.dst)?;
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        write!(f, " dev {}", self.link)?;
        if let Some(table) = self.table {
            write!(f, " table {table}")?;
        }
        In(&self.ns).fmt(f)
    }
}
