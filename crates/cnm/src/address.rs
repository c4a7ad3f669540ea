//! Which addresses an endpoint gets, and what it gives back.

use std::net::IpAddr;

use engine_types::network::{EndpointIPAMConfig, EndpointSettings};
use engine_types::{Error, Result};
use ipnet::IpNet;
use netstate::Mac;

use crate::model::{Endpoint, Network, Pool, Record, is_predefined};
use crate::options;
use crate::state::State;

/// An address for each family that the network has.
pub(crate) struct Allocated {
    pub ipv4: Option<IpNet>,
    pub ipv6: Option<IpNet>,
}

/// What is wrong with the addresses that the user asks for, a line each (Docker's `validateEndpointSettings`). `known` is
/// `None` for a network that is not here yet.
pub(crate) fn faults(
    known: Option<&Network>,
    name: &str,
    settings: &EndpointSettings,
) -> Vec<String> {
    let mut faults: Vec<String> = options::fault(settings).into_iter().collect();
    let Some(wanted) = &settings.ipam_config else {
        return faults;
    };
    let asks = !wanted.ipv4_address.is_empty() || !wanted.ipv6_address.is_empty();
    if asks && is_predefined(name) {
        faults.push(
            "user specified IP address is supported on user defined networks only".to_string(),
        );
    }
    match (requested(wanted), known) {
        (Err(error), _) => faults.push(error.message),
        (Ok(addresses), Some(network)) => {
            faults.extend(addresses.iter().filter_map(|ip| outside(network, ip)));
        }
        (Ok(_), None) => {}
    }
    faults
}

/// The faults as an error.
pub(crate) fn refuse(faults: &[String]) -> Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    let faults = faults.join("\n");
    Err(Error::invalid(format!(
        "invalid endpoint settings:\n{faults}"
    )))
}

/// Why a network cannot give this address.
fn outside(network: &Network, address: &IpAddr) -> Option<String> {
    let same = |p: &&Pool| p.subnet.addr().is_ipv4() == address.is_ipv4();
    if !network.pools.iter().filter(same).any(|p| p.chosen) {
        return Some(
            "user specified IP address is supported only when connecting to networks with user configured subnets"
                .to_string(),
        );
    }
    let inside = network.pool_of(address).is_some();
    (!inside).then(|| format!("no configured subnet or ip-range contain the IP address {address}"))
}

/// An endpoint's settings that ask for these addresses.
pub(crate) fn as_requested(addresses: impl IntoIterator<Item = IpNet>) -> EndpointIPAMConfig {
    let mut config = EndpointIPAMConfig::default();
    for address in addresses {
        match address.addr() {
            IpAddr::V4(ip) => config.ipv4_address = ip.to_string(),
            IpAddr::V6(ip) => config.ipv6_address = ip.to_string(),
        }
    }
    config
}

/// The addresses in an endpoint's settings; a prefix length that comes with one is the subnet's business.
pub(crate) fn requested(wanted: &EndpointIPAMConfig) -> Result<Vec<IpAddr>> {
    let mut link_local = wanted.link_local_ips.iter().flatten();
    if let Some(bad) = link_local.find(|text| text.parse::<IpAddr>().is_err()) {
        return Err(Error::invalid(format!(
            "invalid link-local IP address: {bad}"
        )));
    }
    let read = |text: &str, family: &str, fits: fn(&IpAddr) -> bool| match text {
        "" => Ok(None),
        _ => {
            let bare = text.split_once('/').map_or(text, |(ip, _)| ip);
            let parsed = bare.parse::<IpAddr>().ok().filter(fits);
            let bad = || Error::invalid(format!("invalid {family} address: {text}"));
            parsed.map(Some).ok_or_else(bad)
        }
    };
    let v4 = read(&wanted.ipv4_address, "IPv4", IpAddr::is_ipv4)?;
    let v6 = read(&wanted.ipv6_address, "IPv6", IpAddr::is_ipv6)?;
    Ok(v4.into_iter().chain(v6).collect())
}

impl State {
    /// Claims the `wanted` addresses or takes the lowest free ones; of a swarm's network only the managers know which those
    /// are. On failure nothing is taken.
    pub fn allocate(&mut self, network: &str, wanted: &[IpAddr]) -> Result<Allocated> {
        let want = |v6: bool| wanted.iter().find(|a| a.is_ipv6() == v6).copied();
        let ipv4 = self.allocate_one(network, false, want(false))?;
        let ipv6 = match self.allocate_one(network, true, want(true)) {
            Ok(ipv6) => ipv6,
            Err(error) => {
                self.release(network, ipv4.into_iter());
                return Err(error);
            }
        };
        Ok(Allocated { ipv4, ipv6 })
    }

    fn allocate_one(&mut self, id: &str, v6: bool, want: Option<IpAddr>) -> Result<Option<IpNet>> {
        let unknown = || Error::not_found(format!("network {id} not found"));
        let managed = self.network(id).is_ok_and(|n| self.is_managed(n));
        let entry = self.networks.get_mut(id).ok_or_else(unknown)?;
        let network = &entry.network;
        let full = || {
            let family = if v6 { "IPv6" } else { "IPv4" };
            Error::system(format!(
                "no available {family} addresses on this network's address pools: {} ({})",
                network.name, network.id
            ))
        };
        let pools = entry.addresses.iter_mut();
        let mut pools = pools
            .filter(|p| p.subnet().addr().is_ipv6() == v6)
            .peekable();
        let left_out = want.is_none() && managed;
        if pools.peek().is_none() || left_out {
            return Ok(None);
        }
        let (address, subnet) = match want {
            Some(ip) => {
                let outside = || {
                    Error::invalid(format!(
                        "invalid address {ip}: It does not belong to any of this network's subnets"
                    ))
                };
                let pool = pools
                    .find(|p| p.subnet().contains(&ip))
                    .ok_or_else(outside)?;
                pool.claim(ip).map_err(|error| match error {
                    ipam::Error::InUse => Error::forbidden(error),
                    _ => Error::invalid(error),
                })?;
                (ip, pool.subnet())
            }
            None => pools
                .find_map(|p| Some((p.take().ok()?, p.subnet())))
                .ok_or_else(full)?,
        };
        Ok(IpNet::new(address, subnet.prefix_len()).ok())
    }

    pub fn release(&mut self, network: &str, addresses: impl Iterator<Item = IpNet>) {
        let Some(entry) = self.networks.get_mut(network) else {
            return;
        };
        for address in addresses {
            let holds = |p: &&mut ipam::Addresses| p.subnet().contains(&address.addr());
            if let Some(pool) = entry.addresses.iter_mut().find(holds) {
                pool.release(address.addr());
            }
        }
    }

    /// Gives back what `from` has and `to` has not.
    pub fn release_difference(&mut self, from: Option<&Record>, to: Option<&Record>) {
        let kept = |id: &str| to.is_some_and(|r| r.endpoints.iter().any(|e| e.id == id));
        let gone = from.into_iter().flat_map(|r| &r.endpoints);
        for endpoint in gone.filter(|e| !kept(&e.id)) {
            self.release(&endpoint.network, endpoint.addresses());
        }
        let before = from.map(|r| &r.mappings[..]).unwrap_or_default();
        let after = to.map(|r| &r.mappings[..]).unwrap_or_default();
        for mapping in before.iter().filter(|m| !after.contains(m)) {
            self.ports.release(mapping);
        }
    }

    /// The addresses of what the store says is there.
    pub fn claim_stored(&mut self, endpoint: &Endpoint) {
        let Some(entry) = self.networks.get_mut(&endpoint.network) else {
            return;
        };
        for address in endpoint.addresses() {
            let holds = |p: &&mut ipam::Addresses| p.subnet().contains(&address.addr());
            if let Some(pool) = entry.addresses.iter_mut().find(holds)
                && let Err(error) = pool.claim(address.addr())
            {
                tracing::warn!(endpoint = %endpoint.id, %address, %error, "stored address cannot be claimed again");
            }
        }
    }
}

/// The user's, or one that follows from the address, so that neighbours need not notice when an address moves to
/// another container.
pub(crate) fn mac(settings: &EndpointSettings, address: Option<IpNet>, id: &str) -> Result<Mac> {
    if !settings.mac_address.is_empty() {
        let text = &settings.mac_address;
        let bad = || Error::invalid(format!("invalid MAC address: {text}"));
        return Mac::parse(text).filter(|m| m.0[0] & 1 == 0).ok_or_else(bad);
    }
    Ok(endpoint_mac(address.map(|a| a.addr()), id))
}

/// The MAC of an endpoint that nobody has chosen one for.
pub fn endpoint_mac(address: Option<IpAddr>, id: &str) -> Mac {
    let tail = match address {
        Some(address) => short(address),
        None => u32::from_str_radix(id.get(..8).unwrap_or_default(), 16).unwrap_or_default(),
    };
    let [a, b, c, d] = tail.to_be_bytes();
    Mac([0x02, 0x42, a, b, c, d])
}

/// What tells an address from others of a network of the swarm in 32 bits. Of IPv6 it is the end: the managers give addresses
/// in a row.
pub fn short(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(ip) => ip.to_bits(),
        IpAddr::V6(ip) => SHORT_V6 | ip.to_bits() as u32,
    }
}

/// Bits of the [`short`] form of an IPv6 address that no IPv4 unicast address has.
pub const SHORT_V6: u32 = 0xe000_0000;
