//! Subnets and VNIs of the networks, and the addresses in them.

use std::collections::{BTreeMap, BTreeSet};

use ipam::{Addresses, DefaultPool, Pools};
use ipnet::IpNet;
use raft_store::Kind;
use swarm_wire::pb;
use swarm_wire::pb::ipam_config::AddressFamily;

use super::addresses::{Holder, Holding};
use crate::ext::NetworkExt;

pub const VXLAN_IDS: &str = "com.docker.network.driver.overlay.vxlanid_list";

/// Below are the numbers that 802.1Q uses; Windows nodes cannot use those (libnetwork ovmanager).
const FIRST_VNI: u32 = 4096;
const LAST_VNI: u32 = (1 << 24) - 1;

pub struct Networks {
    pools: Pools,
    pub(super) known: BTreeMap<String, Known>,
    vnis: BTreeSet<u32>,
    last_vni: u32,
    pub(super) held: BTreeMap<Holder, BTreeSet<Holding>>,
    /// Something was given back that others may wait for.
    pub(super) freed: bool,
}

/// An allocated network.
pub(super) struct Known {
    pub(super) name: String,
    pub(super) subnets: Vec<Addresses>,
    vnis: Vec<u32>,
    node_local: bool,
}

impl Default for Networks {
    fn default() -> Self {
        Self {
            pools: Pools::new(vec![DefaultPool::swarm()]),
            known: BTreeMap::new(),
            vnis: BTreeSet::new(),
            last_vni: FIRST_VNI - 1,
            held: BTreeMap::new(),
            freed: false,
        }
    }
}

impl Networks {
    /// The cluster's pools are set once, before any network is there. IPv6 has one that follows from the cluster's id.
    pub fn set_pools(&mut self, cluster: &pb::Cluster) {
        if !self.known.is_empty() {
            return;
        }
        let mut pools = match cluster.default_address_pool.is_empty() {
            true => vec![DefaultPool::swarm()],
            false => default_pools(cluster),
        };
        pools.push(DefaultPool::unique_local(&cluster.id));
        self.pools = Pools::new(pools);
    }

    pub fn is_node_local(&self, id: &str) -> bool {
        self.known.get(id).is_some_and(|known| known.node_local)
    }

    /// Nodes with an address in the network.
    pub fn nodes_on(&self, id: &str) -> BTreeSet<String> {
        let on_it =
            |holdings: &BTreeSet<Holding>| holdings.iter().any(|(network, _)| network == id);
        self.held
            .iter()
            .filter(|((kind, _), holdings)| *kind == Kind::Node && on_it(holdings))
            .map(|((_, node), _)| node.clone())
            .collect()
    }

    /// Gives the network what it has not got yet: a subnet and a gateway per IPAM config, and VNIs.
    /// One that is allocated already keeps all of it. On failure nothing is taken.
    pub fn allocate(&mut self, network: &pb::Network) -> Result<pb::Network, String> {
        let mut network = network.clone();
        if self.known.contains_key(&network.id) {
            return Ok(network);
        }
        let mut known = Known {
            name: network.name().to_owned(),
            subnets: Vec::new(),
            vnis: Vec::new(),
            node_local: network.node_local(),
        };
        let driver = network.driver().to_owned();
        if known.node_local {
            // What the user wrote is for each node to carry out. (Docker's managers drop it.)
            let spec = network.spec.clone().unwrap_or_default();
            network.driver_state = Some(pb::Driver {
                name: driver,
                options: spec.driver_config.unwrap_or_default().options,
            });
            // Docker's agents look into it without asking whether it is there.
            network.ipam = Some(pb::IpamOptions {
                driver: Some(pb::Driver::default()),
                configs: spec.ipam.unwrap_or_default().configs,
            });
        } else if let Err(reason) = self
            .allocate_subnets(&mut network, &mut known)
            .and_then(|()| self.allocate_vnis(&mut network, &mut known, driver))
        {
            self.release(&known);
            return Err(reason);
        }
        self.known.insert(network.id.clone(), known);
        // Whatever waits may wait for this network.
        self.freed = true;
        Ok(network)
    }

    fn allocate_subnets(
        &mut self,
        network: &mut pb::Network,
        known: &mut Known,
    ) -> Result<(), String> {
        let spec = network.spec.as_ref().and_then(|spec| spec.ipam.as_ref());
        let mut ipam = network.ipam.clone().unwrap_or_else(|| pb::IpamOptions {
            driver: Some(
                spec.and_then(|ipam| ipam.driver.clone())
                    .unwrap_or(pb::Driver {
                        name: "default".into(),
                        ..Default::default()
                    }),
            ),
            configs: spec.map(|ipam| ipam.configs.clone()).unwrap_or_default(),
        });
        if !network.allocated() {
            let spec = network.spec.as_ref();
            let ipv4 = spec.is_none_or(|spec| !spec.ipv4_disabled);
            let ipv6 = spec.is_some_and(|spec| spec.ipv6_enabled);
            complete(&mut ipam.configs, ipv4, ipv6);
        }
        for config in &mut ipam.configs {
            let subnet = self
                .take_subnet(config)
                .map_err(|error| error.to_string())?;
            let range = config.range.parse().ok();
            known.subnets.push(Addresses::new(subnet, range));
            let Some(addresses) = known.subnets.last_mut() else {
                continue;
            };
            config.subnet = subnet.to_string();
            let gateway = match config.gateway.parse() {
                Ok(gateway) => addresses.claim(gateway).map(|()| gateway),
                Err(_) => addresses.take_serial(),
            };
            config.gateway = gateway
                .map_err(|error| format!("gateway of {subnet}: {error}"))?
                .to_string();
            for reserved in config
                .reserved
                .values()
                .filter_map(|address| address.parse().ok())
            {
                let claimed = addresses.claim(reserved);
                claimed.map_err(|error| format!("auxiliary address {reserved}: {error}"))?;
            }
        }
        network.ipam = Some(ipam);
        Ok(())
    }

    fn take_subnet(&mut self, config: &pb::IpamConfig) -> Result<IpNet, ipam::Error> {
        match config.subnet.parse::<IpNet>() {
            Ok(subnet) => self.pools.claim(subnet.trunc()).map(|()| subnet.trunc()),
            Err(_) => self.pools.take_default(is_v6(config), &[]),
        }
    }

    /// One for each subnet, in order, which is what Docker's nodes look for; one for all, first, where there is IPv6, so that
    /// all is on one link. The user may name them.
    fn allocate_vnis(
        &mut self,
        network: &mut pb::Network,
        known: &mut Known,
        driver: String,
    ) -> Result<(), String> {
        let spec = network
            .spec
            .as_ref()
            .and_then(|spec| spec.driver_config.as_ref());
        let mut options = spec
            .map(|driver| driver.options.clone())
            .unwrap_or_default();
        options.extend(
            network
                .driver_state
                .iter()
                .flat_map(|state| state.options.clone()),
        );
        let asked = parse_vnis(options.get(VXLAN_IDS).map_or("", String::as_str))?;
        let v6 = |a: &Addresses| a.subnet().addr().is_ipv6();
        let links = match known.subnets.iter().any(v6) {
            true => 1,
            false => known.subnets.len(),
        };
        for (n, addresses) in known.subnets.iter().take(links).enumerate() {
            let pool = addresses.subnet();
            let vni = match asked.get(n) {
                Some(vni) if self.vnis.contains(vni) => {
                    return Err(format!(
                        "could not assign vxlan id {vni} to pool {pool}: it is in use"
                    ));
                }
                Some(vni) => *vni,
                None => self
                    .next_vni()
                    .ok_or_else(|| format!("could not obtain vxlan id for pool {pool}"))?,
            };
            self.vnis.insert(vni);
            known.vnis.push(vni);
        }
        let list: Vec<_> = known.vnis.iter().map(u32::to_string).collect();
        options.insert(VXLAN_IDS.into(), list.join(","));
        network.driver_state = Some(pb::Driver {
            name: driver,
            options,
        });
        Ok(())
    }

    /// Next after the last one, wrapping: nodes may still be taking down the network that had it before.
    fn next_vni(&mut self) -> Option<u32> {
        let free = |vni: &u32| !self.vnis.contains(vni);
        let vni = (self.last_vni + 1..=LAST_VNI)
            .find(free)
            .or_else(|| (FIRST_VNI..=LAST_VNI).find(free))?;
        self.last_vni = vni;
        Some(vni)
    }

    pub fn forget(&mut self, id: &str) {
        if let Some(known) = self.known.remove(id) {
            self.release(&known);
            for holdings in self.held.values_mut() {
                holdings.retain(|(network, _)| network != id);
            }
            self.held.retain(|_, holdings| !holdings.is_empty());
        }
    }

    fn release(&mut self, known: &Known) {
        for addresses in &known.subnets {
            self.pools.release(&addresses.subnet());
        }
        for vni in &known.vnis {
            self.vnis.remove(vni);
        }
        self.freed = true;
    }

    #[cfg(test)]
    pub fn usage(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let used = |known: &Known| -> Vec<_> {
            let each = known.subnets.iter();
            each.map(|a| (a.subnet(), a.used())).collect()
        };
        let used: BTreeMap<_, _> = self
            .known
            .iter()
            .map(|(id, known)| (id.clone(), used(known)))
            .collect();
        (used, self.vnis.clone(), self.held.clone())
    }

    /// Whether something was given back since the last time.
    pub fn take_freed(&mut self) -> bool {
        std::mem::take(&mut self.freed)
    }
}

/// A family that nobody has configured gets a subnet of the default pools.
fn complete(configs: &mut Vec<pb::IpamConfig>, ipv4: bool, ipv6: bool) {
    let any = |family: AddressFamily| pb::IpamConfig {
        family: family.into(),
        ..Default::default()
    };
    if ipv4 && configs.iter().all(is_v6) {
        configs.insert(0, any(AddressFamily::Ipv4));
    }
    if ipv6 && !configs.iter().any(is_v6) {
        configs.push(any(AddressFamily::Ipv6));
    }
}

/// Docker's managers leave the family to be seen from the subnet.
pub(crate) fn is_v6(config: &pb::IpamConfig) -> bool {
    config.subnet.contains(':') || config.family() == AddressFamily::Ipv6
}

fn default_pools(cluster: &pb::Cluster) -> Vec<DefaultPool> {
    let size = match cluster.subnet_size {
        0 => 24,
        size => u8::try_from(size).unwrap_or(u8::MAX),
    };
    let each = |text: &String| {
        let pool = text
            .parse()
            .ok()
            .and_then(|base| DefaultPool::new(base, size).ok());
        if pool.is_none() {
            tracing::error!(pool = text, size, "a default address pool cannot be used");
        }
        pool
    };
    cluster
        .default_address_pool
        .iter()
        .filter_map(each)
        .collect()
}

fn parse_vnis(list: &str) -> Result<Vec<u32>, String> {
    list.split(',')
        .map(str::trim)
        .filter(|vni| !vni.is_empty())
        .map(|vni| match vni.parse() {
            Ok(number) if number <= LAST_VNI => Ok(number),
            _ => Err(format!("invalid vxlan id value {vni:?} passed")),
        })
        .collect()
}
