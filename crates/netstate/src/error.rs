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
        (_, Errno::PERM | Errno::ACCESS) => {
            "the daemon needs CAP_NET_ADMIN and CAP_SYS_ADMIN".into()
        }
        (Row::Link(link), _) if unsupported => {
            let kind = match link.kind {
                LinkKind::Bridge => "bridge",
                LinkKind::Veth { .. } => "veth",
                LinkKind::Vxlan { .. } => "vxlan",
            };
            format!(
                "this kernel has no {kind} devices: load the module {kind} or use a kernel built with it"
            )
        }
        (Row::Link(link), Errno::EXIST) => match &link.kind {
            LinkKind::Vxlan { vni, port, .. } => format!(
                "another vxlan device uses id {vni} on UDP port {port}: remove it or choose another id"
            ),
            _ => "a link of that name is there already: remove it or choose another name".into(),
        },
        (Row::Route(_), Errno::NETUNREACH) => "the gateway is not on a network of that link".into(),
        (Row::Address { .. }, _) if unsupported || errno == Errno::PERM => {
            "IPv6 is switched off there: see the sysctl disable_ipv6".into()
        }
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
