//! The subnets of a local network: the user's, or free ones.

use std::collections::BTreeMap;
use std::net::IpAddr;

use engine_types::network::IPAMConfig;
use engine_types::{Error, Result};
use ipnet::IpNet;
use netstate::Ns;

use crate::controller::Inner;
use crate::kernel::run_in;
use crate::model::{Network, Pool};
use crate::resolv_conf::ResolvConf;
use crate::state::{Entry, State};

impl State {
    /// Subnets for both families: the user's, or the next free ones of the default pools.
    pub fn take_pools(&mut self, network: &mut Network, avoid: &[IpNet]) -> Result<()> {
        let configs = network.ipam.config.clone().unwrap_or_default();
        let families = [(false, network.enable_ipv4), (true, network.enable_ipv6)];
        for (v6, _) in families.into_iter().filter(|(_, enabled)| *enabled) {
            let parsed = configs
                .iter()
                .filter_map(|c| Some((c, c.subnet.parse::<IpNet>().ok()?)));
            let mut found = false;
            for (config, subnet) in parsed.filter(|(_, s)| s.addr().is_ipv6() == v6) {
                found = true;
                self.pools.claim(subnet).map_err(Error::forbidden)?;
                network.pools.push(chosen(config, subnet));
            }
            if !found {
                let subnet = self.pools.take_default(v6, avoid).map_err(Error::invalid)?;
                network.pools.push(Pool {
                    subnet,
                    range: None,
                    gateway: None,
                    aux: BTreeMap::new(),
                    vni: None,
                    chosen: false,
                    id: None,
                });
            }
        }
        Ok(())
    }
}

impl State {
    /// Pools of a plugin for a network of ours.
    pub fn claim_given(&mut self, network: &Network) -> Result<()> {
        for (i, pool) in network.pools.iter().enumerate() {
            if let Err(error) = self.pools.claim(pool.subnet) {
                let claimed = network.pools.iter().take(i);
                claimed.for_each(|pool| self.pools.release(&pool.subnet));
                return Err(Error::forbidden(error));
            }
        }
        Ok(())
    }

    /// Gives back the subnets that a network holds.
    pub fn release_pools(&mut self, network: &Network) {
        for subnet in self.held_pools(network) {
            self.pools.release(&subnet);
        }
    }

    /// The subnets of a network that nobody else on this host may have.
    pub fn held_pools(&self, network: &Network) -> Vec<IpNet> {
        let elsewhere =
            self.is_managed(network) || (network.has_plugin_ipam() && self.is_plugged(network));
        let pools = network.pools.iter().filter(|_| !elsewhere);
        pools.map(|pool| pool.subnet).collect()
    }
}

fn chosen(config: &IPAMConfig, subnet: IpNet) -> Pool {
    let aux = config.auxiliary_addresses.iter().flatten();
    Pool {
        subnet,
        range: config.ip_range.parse().ok(),
        gateway: config.gateway.parse().ok(),
        aux: aux
            .filter_map(|(name, ip)| Some((name.clone(), ip.parse().ok()?)))
            .collect(),
        vni: None,
        chosen: true,
        id: None,
    }
}

/// The first free address of each pool that has none, but for the families that need none.
pub(crate) fn choose_gateways(network: &mut Network, skip: (bool, bool)) -> Result<()> {
    let spaces = Entry::new(network.clone()).addresses;
    for (pool, mut space) in network.pools.iter_mut().zip(spaces) {
        let skip = if pool.subnet.addr().is_ipv6() {
            skip.1
        } else {
            skip.0
        };
        if pool.gateway.is_none() && !skip {
            pool.gateway = Some(space.take().map_err(Error::system)?);
        }
    }
    Ok(())
}

impl Inner {
    /// Subnets that the host has routes to, its nameservers, and what the administrator excludes: a default pool must not
    /// hide them.
    pub async fn host_subnets(&self) -> Vec<IpNet> {
        let found = run_in(self.kernel.as_ref(), &Ns::Host, routes).await;
        let mut subnets = found.unwrap_or_default();
        subnets.extend(&self.config.excluded);
        let (conf, _) = ResolvConf::of_host();
        subnets.extend(conf.nameservers.into_iter().map(IpNet::from));
        subnets
    }
}

/// What the namespace that this thread is in has routes to.
pub fn routes() -> Vec<IpNet> {
    let [v4, v6] = ["route", "ipv6_route"].map(|file| {
        std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default()
    });
    let v4 = v4.lines().skip(1).filter_map(route);
    v4.chain(v6.lines().filter_map(route_6)).collect()
}

/// Destination and prefix length of a line of `/proc/net/ipv6_route`; not multicast, which every interface has.
fn route_6(line: &str) -> Option<IpNet> {
    let mut fields = line.split_whitespace();
    let address = u128::from_str_radix(fields.next()?, 16).ok()?;
    let prefix = u8::from_str_radix(fields.next()?, 16).ok()?;
    let address = std::net::Ipv6Addr::from(address);
    (prefix > 0 && !address.is_multicast()).then(|| IpNet::new(address.into(), prefix).ok())?
}

/// Destination and mask of a line of `/proc/net/route`, which are hexadecimal in the machine's byte order.
fn route(line: &str) -> Option<IpNet> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let address = |i: usize| {
        let number = u32::from_str_radix(fields.get(i)?, 16).ok()?;
        Some(std::net::Ipv4Addr::from(number.to_ne_bytes()))
    };
    let (destination, mask) = (address(1)?, address(7)?);
    let prefix = u32::from(mask).leading_ones() as u8;
    (prefix > 0).then(|| IpNet::new(IpAddr::V4(destination), prefix).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read() {
        let shown = |found: Option<IpNet>| found.map(|net| net.to_string());
        let v6 = |text: &str| shown(route_6(&format!("{text} {:032x} 00 0", 0)));
        assert_eq!(
            v6("fd000091000000000000000000000000 40"),
            Some("fd00:91::/64".into())
        );
        assert_eq!(v6("00000000000000000000000000000000 00"), None);
        assert_eq!(v6("ff000000000000000000000000000000 08"), None);
        assert_eq!(v6("garbage"), None);
        let v4 = |destination: u32, mask: u32| {
            let number = |n: u32| u32::from_ne_bytes(n.to_be_bytes());
            shown(route(&format!(
                "eth0 {:08X} 0 1 0 0 0 {:08X} 0",
                number(destination),
                number(mask)
            )))
        };
        assert_eq!(v4(0x0a5a_0200, 0xffff_ff00), Some("10.90.2.0/24".into()));
        assert_eq!(v4(0, 0), None);
    }
}
