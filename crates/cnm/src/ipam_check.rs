//! Checks of a network's IPAM settings, and what they mean (api/types/network/ipam.go has Docker's texts).

use std::net::IpAddr;

use engine_types::network::{IPAM, IPAMConfig};
use engine_types::{Error, Result};
use ipnet::IpNet;

/// All that is wrong, a line each.
pub(crate) fn check(ipam: Option<&IPAM>, ipv6: bool) -> Result<()> {
    let configs = ipam.and_then(|i| i.config.as_deref()).unwrap_or_default();
    let found: Vec<String> = configs.iter().flat_map(|c| faults(c, ipv6)).collect();
    if found.is_empty() {
        return Ok(());
    }
    let found = found.join("\n");
    Err(Error::invalid(format!("invalid network config:\n{found}")))
}

fn faults(config: &IPAMConfig, ipv6: bool) -> Vec<String> {
    let Ok(subnet) = config.subnet.parse::<IpNet>() else {
        return vec![format!(
            "invalid subnet {}: invalid CIDR block notation",
            config.subnet
        )];
    };
    if subnet.addr().is_ipv6() && !ipv6 {
        return Vec::new();
    }
    let mut found = Vec::new();
    if subnet != subnet.trunc() {
        found.push(format!(
            "invalid subnet {subnet}: it should be {}",
            subnet.trunc()
        ));
    }
    if !config.ip_range.is_empty() {
        let faults = range_faults(&config.ip_range, &subnet).into_iter();
        found.extend(faults.map(|why| format!("invalid ip-range {}: {why}", config.ip_range)));
    }
    if let Some(why) = address_fault(&config.gateway, &subnet) {
        found.push(format!("invalid gateway {}: {why}", config.gateway));
    }
    for (name, address) in config.auxiliary_addresses.iter().flatten() {
        if let Some(why) = address_fault(address, &subnet) {
            found.push(format!("invalid auxiliary address {name}: {why}"));
        }
    }
    found
}

fn family(subnet: &IpNet) -> &'static str {
    match subnet {
        IpNet::V4(_) => "IPv4",
        IpNet::V6(_) => "IPv6",
    }
}

fn range_faults(text: &str, subnet: &IpNet) -> Vec<String> {
    let Ok(range) = text.parse::<IpNet>() else {
        return vec!["invalid CIDR block notation".into()];
    };
    if family(&range) != family(subnet) {
        return vec![format!("parent subnet is an {} block", family(subnet))];
    }
    let mut found = Vec::new();
    if range.prefix_len() < subnet.prefix_len() {
        found.push(format!(
            "CIDR block is bigger than its parent subnet {subnet}"
        ));
    }
    if range != range.trunc() {
        found.push(format!("it should be {}", range.trunc()));
    }
    let overlap = subnet.contains(&range.network()) || range.contains(&subnet.network());
    if !overlap {
        found.push(format!("parent subnet {subnet} doesn't contain ip-range"));
    }
    found
}

fn address_fault(text: &str, subnet: &IpNet) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let Ok(address) = text.parse::<IpAddr>() else {
        return Some("invalid address".into());
    };
    if address.is_ipv6() != subnet.addr().is_ipv6() {
        return Some(format!("parent subnet is an {} block", family(subnet)));
    }
    (!subnet.contains(&address))
        .then(|| format!("parent subnet {subnet} doesn't contain this address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(subnet: &str, range: &str, gateway: &str) -> String {
        let config = IPAMConfig {
            subnet: subnet.into(),
            ip_range: range.into(),
            gateway: gateway.into(),
            ..Default::default()
        };
        let ipam = IPAM {
            config: Some(vec![config]),
            ..Default::default()
        };
        match check(Some(&ipam), true) {
            Ok(()) => String::new(),
            Err(error) => error.message,
        }
    }

    #[test]
    fn texts() {
        assert_eq!(text("10.0.0.0/24", "10.0.0.128/25", "10.0.0.1"), "");
        assert_eq!(
            text("10.0.0.0/33", "", ""),
            "invalid network config:\ninvalid subnet 10.0.0.0/33: invalid CIDR block notation"
        );
        assert_eq!(
            text("10.0.0.1/24", "", "10.0.1.1"),
            "invalid network config:\ninvalid subnet 10.0.0.1/24: it should be 10.0.0.0/24\ninvalid gateway 10.0.1.1: parent subnet 10.0.0.1/24 doesn't contain this address"
        );
        assert_eq!(
            text("10.0.0.0/24", "10.0.0.0/16", ""),
            "invalid network config:\ninvalid ip-range 10.0.0.0/16: CIDR block is bigger than its parent subnet 10.0.0.0/24"
        );
        assert_eq!(
            text("10.0.0.0/24", "fd00::/64", "x"),
            "invalid network config:\ninvalid ip-range fd00::/64: parent subnet is an IPv4 block\ninvalid gateway x: invalid address"
        );
    }
}
