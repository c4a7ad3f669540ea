//! The options of a bridge network.

use std::net::IpAddr;

use cnm::model::Network;
use engine_types::{Error, Result};

use crate::options::{self, bad, boolean};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Outside sees the host's address; what is published comes in, translated.
    Nat,
    /// The same, and containers are open to whoever has a route to them.
    Unprotected,
    /// Outside sees the containers' addresses; what is published comes in at them.
    Routed,
    /// The host itself has no address on the bridge.
    Isolated,
}

pub(super) struct Settings {
    pub bridge: String,
    pub icc: bool,
    pub masquerade: bool,
    pub mtu: Option<u32>,
    pub host_binding: Option<IpAddr>,
    pub inhibit_ipv4: bool,
    /// Of the host, from which containers' published ports are reached at their own addresses.
    pub trusted: Vec<String>,
    mode: [Mode; 2],
    source: [Option<IpAddr>; 2],
}

/// Docker's options that change nothing when they are given, or that others read.
const OTHERS: [&str; 3] = [
    options::DEFAULT_BRIDGE,
    options::ENABLE_IPV4,
    options::ENABLE_IPV6,
];
const READ: [&str; 12] = [
    options::BRIDGE_NAME,
    options::ENABLE_ICC,
    options::ENABLE_MASQUERADE,
    options::MTU,
    options::HOST_BINDING,
    options::GATEWAY_MODE_4,
    options::GATEWAY_MODE_6,
    options::INHIBIT_IPV4,
    options::TRUSTED,
    options::HOST_IPV4,
    options::HOST_IPV6,
    options::IFACE_PREFIX,
];

impl Settings {
    /// Errors name the option, its value and what is wrong with it.
    pub fn read(network: &Network) -> Result<Self> {
        let known = |key: &str| OTHERS.contains(&key) || READ.contains(&key);
        if let Some(key) = network.options.keys().find(|key| refused(key, known(key))) {
            return Err(Error::invalid(format!(
                "bridge driver option {key} is not supported"
            )));
        }
        let bridge = match network.option(options::BRIDGE_NAME) {
            Some(name) => checked_name(options::BRIDGE_NAME, name)?,
            None => format!("br-{:.12}", network.id),
        };
        if let Some(prefix) = network.option(options::IFACE_PREFIX) {
            // A number follows.
            checked_name(options::IFACE_PREFIX, &format!("{prefix}00"))?;
        }
        let trusted = network.option(options::TRUSTED).unwrap_or_default();
        let trusted = trusted.split(':').filter(|name| !name.is_empty());
        let mode = [
            mode(network, options::GATEWAY_MODE_4)?,
            mode(network, options::GATEWAY_MODE_6)?,
        ];
        if mode.contains(&Mode::Isolated) && !network.internal {
            return Err(Error::system(
                "gateway mode 'isolated' can only be used for an internal network",
            ));
        }
        Ok(Self {
            bridge,
            icc: boolean(network, options::ENABLE_ICC, true)?,
            masquerade: boolean(network, options::ENABLE_MASQUERADE, true)?,
            mtu: options::mtu(network)?,
            host_binding: address(network, options::HOST_BINDING)?,
            inhibit_ipv4: boolean(network, options::INHIBIT_IPV4, false)?,
            trusted: trusted
                .map(|name| checked_name(options::TRUSTED, name))
                .collect::<Result<_>>()?,
            mode,
            source: [
                address(network, options::HOST_IPV4)?.filter(IpAddr::is_ipv4),
                address(network, options::HOST_IPV6)?.filter(IpAddr::is_ipv6),
            ],
        })
    }

    /// Of a network that passed [`Self::read`] when it was made.
    pub fn of(network: &Network) -> Self {
        Self::read(network).unwrap_or_else(|error| {
            tracing::error!(network = %network.id, %error, "options of a stored network are bad; its defaults hold");
            Self {
                bridge: format!("br-{:.12}", network.id),
                icc: false,
                masquerade: false,
                mtu: None,
                host_binding: None,
                inhibit_ipv4: false,
                trusted: Vec::new(),
                mode: [Mode::Nat; 2],
                source: [None; 2],
            }
        })
    }

    pub fn mode(&self, v6: bool) -> Mode {
        let [v4, six] = self.mode;
        if v6 { six } else { v4 }
    }

    /// The host's address that outgoing packets get; otherwise that of the interface they leave by.
    pub fn source(&self, v6: bool) -> Option<IpAddr> {
        let [v4, six] = self.source;
        if v6 { six } else { v4 }
    }
}

/// Docker lets options pass that it does not know; one of its own that has no effect here must not.
fn refused(key: &str, known: bool) -> bool {
    key.starts_with("com.docker.network.") && !known
}

fn mode(network: &Network, key: &str) -> Result<Mode> {
    Ok(match network.option(key) {
        None | Some("nat") => Mode::Nat,
        Some("nat-unprotected") => Mode::Unprotected,
        Some("routed") => Mode::Routed,
        Some("isolated") => Mode::Isolated,
        Some(mode) => {
            return Err(bad(key, mode, &format!("unknown gateway mode {mode}")));
        }
    })
}

fn address(network: &Network, key: &str) -> Result<Option<IpAddr>> {
    let Some(text) = network.option(key) else {
        return Ok(None);
    };
    let address = text.parse().map_err(|_| bad(key, text, "nil ip"))?;
    Ok(Some(address))
}

/// What the kernel takes as a link's name.
fn checked_name(key: &str, name: &str) -> Result<String> {
    let fine = (1..=15).contains(&name.len())
        && !matches!(name, "." | "..")
        && name
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'/' && b != b':');
    match fine {
        true => Ok(name.to_string()),
        false => Err(bad(
            key,
            name,
            "not the name of a network interface: 1 to 15 printable characters without / and :",
        )),
    }
}
