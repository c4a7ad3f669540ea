//! The options of a bridge network.

use std::net::IpAddr;

use cnm::model::Network;
use engine_types::{Error, Result};

use crate::options::{self, bad, boolean};

pub(super) struct Settings {
    pub bridge: String,
    pub icc: bool,
    pub masquerade: bool,
    pub mtu: Option<u32>,
    pub host_binding: Option<IpAddr>,
}

/// Docker's options that change nothing when they are given, or that others read.
const OTHERS: [&str; 6] = [
    options::DEFAULT_BRIDGE,
    options::GATEWAY_MODE_4,
    options::GATEWAY_MODE_6,
    options::IFACE_PREFIX,
    options::ENABLE_IPV4,
    options::ENABLE_IPV6,
];
const READ: [&str; 5] = [
    options::BRIDGE_NAME,
    options::ENABLE_ICC,
    options::ENABLE_MASQUERADE,
    options::MTU,
    options::HOST_BINDING,
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
        for key in [options::GATEWAY_MODE_4, options::GATEWAY_MODE_6] {
            match network.option(key) {
                None | Some("nat") => {}
                Some(mode @ ("nat-unprotected" | "routed" | "isolated")) => {
                    return Err(bad(key, mode, "only gateway mode nat is supported"));
                }
                Some(mode) => {
                    return Err(bad(key, mode, &format!("unknown gateway mode {mode}")));
                }
            }
        }
        let bridge = match network.option(options::BRIDGE_NAME) {
            Some(name) => checked_name(name)?,
            None => format!("br-{:.12}", network.id),
        };
        let host_binding = match network.option(options::HOST_BINDING) {
            Some(text) => Some(
                text.parse()
                    .map_err(|_| bad(options::HOST_BINDING, text, "nil ip"))?,
            ),
            None => None,
        };
        Ok(Self {
            bridge,
            icc: boolean(network, options::ENABLE_ICC, true)?,
            masquerade: boolean(network, options::ENABLE_MASQUERADE, true)?,
            mtu: options::mtu(network)?,
            host_binding,
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
            }
        })
    }
}

/// Docker lets options pass that it does not know; one of its own that has no effect here must not.
fn refused(key: &str, known: bool) -> bool {
    key.starts_with("com.docker.network.") && !known
}

/// What the kernel takes as a link's name.
fn checked_name(name: &str) -> Result<String> {
    let fine = (1..=15).contains(&name.len())
        && !matches!(name, "." | "..")
        && name
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'/' && b != b':');
    match fine {
        true => Ok(name.to_string()),
        false => Err(bad(
            options::BRIDGE_NAME,
            name,
            "not the name of a network interface: 1 to 15 printable characters without / and :",
        )),
    }
}
