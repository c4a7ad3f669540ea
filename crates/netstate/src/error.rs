//! What went wrong, on which object, and what to do.

use std::fmt::Display;

use rustix::io::Errno;

use crate::netlink::Nack;
use crate::{LinkKind, Row};

#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

impl Error {
    pub(crate) fn new(what: impl Display, why: impl Display) -> Self {
        Error(format!("{what}: {why}"))
    }

    /// The kernel refused a row.
    pub(crate) fn refused(verb: &str, row: &Row, nack: &Nack) -> Self {
        let mut text = format!("cannot {verb} {row}: {}", errno_text(nack.errno));
        if !nack.detail.is_empty() {
            text = format!("{text} ({})", nack.detail);
        }
        if let Some(hint) = hint(row, nack.errno) {
            text = format!("{text}; {hint}");
        }
        Error(text)
    }
}

/// `file exists (EEXIST)` as the C library says it, in lower case.
fn errno_text(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let text = text
        .split_once(" (os error")
        .map_or(text.as_str(), |(t, _)| t);
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

fn hint(row: &Row, errno: Errno) -> Option<String> {
    let unsupported = matches!(errno, Errno::OPNOTSUPP | Errno::AFNOSUPPORT);
    Some(match (row, errno) {
        (Row::Address { address, .. }, Errno::ACCESS | Errno::PERM | Errno::AFNOSUPPORT)
            if address.addr().is_ipv6() =>
        {
            "IPv6 is switched off there: see the sysctl disable_ipv6".into()
        }
        (_, Errno::PERM | Errno::ACCESS) => {
            "the daemon needs CAP_NET_ADMIN and CAP_SYS_ADMIN".into()
        }
        (Row::Link(link), _) if unsupported => {
            no_devices(link.kind.name())
        }
        (Row::Link(link), Errno::BUSY)
            if matches!(link.kind, LinkKind::Macvlan { .. } | LinkKind::Ipvlan { .. }) =>
        {
            "the parent is taken: it has links of the other kind (macvlan, ipvlan), is a bridge's port, or has a link with the same MAC".into()
        }
        (Row::Link(link), Errno::EXIST) => match &link.kind {
            LinkKind::Vxlan { vni, port, .. } => format!(
                "another vxlan device uses id {vni} on UDP port {port}: remove it or choose another id"
            ),
            _ => "a link of that name is there already: remove it or choose another name".into(),
        },
        (Row::Route(_), Errno::NETUNREACH) => "the gateway is not on a network of that link".into(),
        (
            Row::NftTable(_)
            | Row::NftChain(_)
            | Row::NftSet(_)
            | Row::NftElement(_)
            | Row::NftRule(_),
            _,
        ) if unsupported => "this kernel lacks a part of nftables that the row needs".into(),
        (
            Row::NftElement(_) | Row::NftRule(_) | Row::NftChain(_) | Row::NftSet(_),
            Errno::NOENT,
        ) => "a table, chain or set that it refers to is not there".into(),
        (_, Errno::NODEV) => "the link is not there".into(),
        _ => return None,
    })
}

/// The kernel lacks a kind of link.
pub(crate) fn no_devices(kind: &str) -> String {
    let module = if kind == "vlan" { "8021q" } else { kind };
    format!(
        "this kernel has no {kind} devices: load the module {module} or use a kernel built with it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BridgePort, Link, Ns};

    #[test]
    fn a_kernel_without_vxlan_is_named() {
        let row = Row::Link(Link {
            ns: Ns::Named("ov".into()),
            name: "vxlan0".into(),
            kind: LinkKind::Vxlan {
                vni: 4097,
                port: 4789,
                local: None,
                socket_ns: Ns::Host,
            },
            mac: None,
            mtu: Some(1450),
            master: Some("br0".into()),
            port: BridgePort::default(),
        });
        let nack = Nack {
            errno: Errno::OPNOTSUPP,
            detail: "Unknown device type".into(),
        };
        assert_eq!(
            Error::refused("create", &row, &nack).to_string(),
            "cannot create link vxlan0 type vxlan id 4097 dstport 4789 socket netns host mtu 1450 master br0 netns ov: \
             operation not supported (Unknown device type); this kernel has no vxlan devices: load the module vxlan or \
             use a kernel built with it"
        );
    }
}
