//! The link of the host that a macvlan or ipvlan network hangs on (`-o parent=`).
//!
//! ```text
//!   eth1      somebody's link, used as it is
//!   eth1.50   the same when it is there; else a VLAN of ours on eth1, which goes with the last network on it
//!   (none)    dm-<network> ── closed end   mv-<network>
//! ```
//! A network without a parent is closed: its containers reach each other and nobody else. Docker hangs it on a dummy device,
//! which not every kernel has; a veth whose other end is in a namespace of its own, without addresses, is as good a wire
//! to nowhere and has a carrier.

use cnm::driver;
use cnm::model::{Endpoint, Network};
use engine_types::{Error, Result};
use netstate::{BridgePort, Link, LinkKind, Ns, Parent, Row, VethPeer};

use crate::options;

pub(crate) enum Wire<'a> {
    Nowhere,
    Link(&'a str),
    Vlan {
        name: &'a str,
        base: &'a str,
        id: u16,
    },
}

impl<'a> Wire<'a> {
    pub fn of(network: &'a Network) -> Self {
        match network.option(options::PARENT) {
            None | Some("") => Self::Nowhere,
            Some(name) => match vlan(name) {
                Ok((base, id)) => Self::Vlan { name, base, id },
                Err(_) => Self::Link(name),
            },
        }
    }

    /// What has to be there, in Docker's words where it is not.
    pub fn needs(&self, kind: &'static str) -> driver::Parent {
        let (links, missing) = match self {
            Self::Nowhere => (Vec::new(), String::new()),
            Self::Link(name) if name.contains('.') => {
                (vec![name.to_string()], vlan(name).err().unwrap_or_default())
            }
            Self::Link(name) => (vec![name.to_string()], not_found(name)),
            Self::Vlan { name, base, .. } => {
                (vec![name.to_string(), base.to_string()], not_found(base))
            }
        };
        driver::Parent {
            kind,
            links,
            missing,
        }
    }
}

fn not_found(link: &str) -> String {
    format!("-o parent interface was not found on the host: {link}")
}

/// `eth0.50` as link and VLAN id; otherwise what is wrong with it.
fn vlan(name: &str) -> Result<(&str, u16), String> {
    let parts: Vec<&str> = name.split('.').collect();
    let [base, id] = parts[..] else {
        return Err(format!(
            "required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received {name}"
        ));
    };
    let number: i64 = id.parse().map_err(|_| {
        format!("unable to parse a valid vlan id from: {name} (ex. eth0.10 for vlan 10)")
    })?;
    match u16::try_from(number) {
        Ok(id @ 1..=4094) => Ok((base, id)),
        _ => Err(format!(
            "vlan id must be between 1-4094, received: {number}"
        )),
    }
}

/// Of a link's name on the host.
fn named(network: &Network) -> String {
    match network.option(options::PARENT) {
        None | Some("") => format!("dm-{:.12}", network.id),
        Some(name) => name.to_string(),
    }
}

/// The loopback carries nobody, and no link has a name longer than 15 bytes.
pub(crate) fn check(network: &Network, driver: &str) -> Result<()> {
    match network.option(options::PARENT) {
        Some("lo") => Err(Error::system(format!(
            "loopback interface is not a valid {driver} parent link"
        ))),
        Some(name) if name.len() > 15 || name.contains(['/', ' ']) => {
            Err(Error::system(not_found(name)))
        }
        _ => Ok(()),
    }
}

pub(crate) fn same(a: &Network, b: &Network) -> bool {
    named(a) == named(b)
}

/// No parent, no way out.
pub(crate) fn is_closed(network: &Network) -> bool {
    network.internal || matches!(Wire::of(network), Wire::Nowhere)
}

/// The parent, as far as it is ours to make.
pub(crate) fn network_rows(network: &Network) -> Vec<Row> {
    let link = |name: &str, kind| {
        Row::Link(Link {
            ns: Ns::Host,
            name: name.to_string(),
            kind,
            mac: None,
            mtu: None,
            master: None,
            port: BridgePort::default(),
        })
    };
    match Wire::of(network) {
        Wire::Nowhere => {
            let ns = Ns::Named(format!("mv-{:.12}", network.id));
            let peer = VethPeer {
                ns: ns.clone(),
                name: "end".into(),
                mac: None,
            };
            vec![
                Row::Netns(ns),
                link(&named(network), LinkKind::Veth { peer }),
            ]
        }
        Wire::Link(_) => Vec::new(),
        Wire::Vlan { name, base, id } => {
            let parent = base.to_string();
            vec![link(name, LinkKind::Vlan { parent, id })]
        }
    }
}

/// The container's interface, with its addresses.
pub(crate) fn endpoint_rows(
    network: &Network,
    endpoint: &Endpoint,
    sandbox: &Ns,
    kind: impl FnOnce(Parent) -> LinkKind,
) -> Vec<Row> {
    let parent = Parent {
        ns: Ns::Host,
        name: named(network),
    };
    let kind = kind(parent);
    let has_mac = !matches!(kind, LinkKind::Ipvlan { .. });
    let link = Row::Link(Link {
        ns: sandbox.clone(),
        name: endpoint.ifname.clone(),
        kind,
        mac: Some(endpoint.mac).filter(|_| has_mac),
        mtu: None,
        master: None,
        port: BridgePort::default(),
    });
    let addresses = endpoint.addresses().map(|address| Row::Address {
        ns: sandbox.clone(),
        link: endpoint.ifname.clone(),
        address,
    });
    std::iter::once(link).chain(addresses).collect()
}
