//! Driver options (`-o`): their names, and their values read as Docker reads them.

use cnm::model::Network;
use engine_types::{Error, Result};

pub const MTU: &str = "com.docker.network.driver.mtu";
pub const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
pub const ENABLE_ICC: &str = "com.docker.network.bridge.enable_icc";
pub const ENABLE_MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
pub const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";
pub const DEFAULT_BRIDGE: &str = "com.docker.network.bridge.default_bridge";
pub const GATEWAY_MODE_4: &str = "com.docker.network.bridge.gateway_mode_ipv4";
pub const GATEWAY_MODE_6: &str = "com.docker.network.bridge.gateway_mode_ipv6";
pub const INHIBIT_IPV4: &str = "com.docker.network.bridge.inhibit_ipv4";
pub const TRUSTED: &str = "com.docker.network.bridge.trusted_host_interfaces";
pub const HOST_IPV4: &str = "com.docker.network.host_ipv4";
pub const HOST_IPV6: &str = "com.docker.network.host_ipv6";
pub const IFACE_PREFIX: &str = "com.docker.network.container_iface_prefix";
pub const ENABLE_IPV4: &str = "com.docker.network.enable_ipv4";
pub const ENABLE_IPV6: &str = "com.docker.network.enable_ipv6";
pub const PARENT: &str = "parent";
pub const MACVLAN_MODE: &str = "macvlan_mode";
pub const IPVLAN_MODE: &str = "ipvlan_mode";
pub const IPVLAN_FLAG: &str = "ipvlan_flag";
pub const ENCRYPTED: &str = "encrypted";

/// Docker's text for a value that it cannot read.
pub fn bad(key: &str, value: &str, why: &str) -> Error {
    Error::invalid(format!("failed to parse {key} value: {value} ({why})"))
}

/// Go's `strconv.ParseBool`; `default` when the option is absent.
pub fn boolean(network: &Network, key: &str, default: bool) -> Result<bool> {
    let Some(value) = network.option(key) else {
        return Ok(default);
    };
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(bad(
            key,
            value,
            &format!("strconv.ParseBool: parsing {value:?}: invalid syntax"),
        )),
    }
}

/// The MTU option; `None` when absent or 0.
pub fn mtu(network: &Network) -> Result<Option<u32>> {
    let Some(value) = network.option(MTU) else {
        return Ok(None);
    };
    let number: i64 = value.parse().map_err(|_| {
        let why = format!("strconv.Atoi: parsing {value:?}: invalid syntax");
        bad(MTU, value, &why)
    })?;
    let refused = || Error::invalid(format!("invalid MTU number: {number}"));
    let number = u32::try_from(number).map_err(|_| refused())?;
    match number {
        0 => Ok(None),
        68..=65535 => Ok(Some(number)),
        _ => Err(refused()),
    }
}
