//! Who holds which addresses: read off the objects, claimed, taken and given back.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipam::Addresses;
use ipnet::IpNet;
use raft_store::Kind;
use swarm_wire::pb;

use super::Networks;

/// What an address belongs to: a service, a task or a node.
pub type Holder = (Kind, String);

/// Network and address.
pub type Holding = (String, IpAddr);

impl Networks {
    pub fn held(&self, holder: &Holder) -> BTreeSet<Holding> {
        self.held.get(holder).cloned().unwrap_or_default()
    }

    /// Makes what the holder has exactly `wanted`: claims what is new, gives back the rest.
    pub fn hold(&mut self, holder: Holder, wanted: BTreeSet<Holding>) {
        let mut held = self.held(&holder);
        for (network, address) in held.difference(&wanted) {
            if let Some(addresses) = self.addresses(network, *address) {
                addresses.release(*address);
                self.freed = true;
            }
        }
        held.retain(|holding| wanted.contains(holding));
        for (network, address) in wanted {
            if held.contains(&(network.clone(), address)) {
                continue;
            }
            match self.addresses(&network, address).map(|a| a.claim(address)) {
                Some(Ok(())) => {
                    held.insert((network, address));
                }
                Some(Err(error)) => {
                    tracing::error!(?holder, network, %address, %error, "a stored address cannot be claimed");
                }
                // The network has been removed under it.
                None => {}
            }
        }
        match held.is_empty() {
            true => self.held.remove(&holder),
            false => self.held.insert(holder, held),
        };
    }

    fn addresses(&mut self, network: &str, address: IpAddr) -> Option<&mut Addresses> {
        let known = self.known.get_mut(network)?;
        known
            .subnets
            .iter_mut()
            .find(|a| a.subnet().contains(&address))
    }

    /// An address of each family that the network has, IPv4 first (Docker's nodes look no further), with their prefix lengths:
    /// `asked` or the next free ones. On failure some may be held.
    pub fn take_each(
        &mut self,
        holder: &Holder,
        network: &str,
        asked: &[IpAddr],
    ) -> Result<Vec<String>, String> {
        let families = self.families(network)?;
        if let Some(stranger) = asked.iter().find(|a| !families.contains(&a.is_ipv6())) {
            return Err(in_no_subnet(*stranger));
        }
        let of = |v6: bool| asked.iter().copied().find(|a| a.is_ipv6() == v6);
        let each = families.into_iter();
        each.map(|v6| self.take(holder, network, v6, of(v6)))
            .collect()
    }

    /// IPv4 is `false`, and first.
    pub fn families(&self, network: &str) -> Result<BTreeSet<bool>, String> {
        let known = self.known.get(network);
        let known = known.ok_or_else(|| not_allocated(network))?;
        let subnets = known.subnets.iter();
        Ok(subnets.map(|a| a.subnet().addr().is_ipv6()).collect())
    }

    /// An address in the network, `asked` or the next free one of the family, with its prefix length.
    pub fn take(
        &mut self,
        holder: &Holder,
        network: &str,
        v6: bool,
        asked: Option<IpAddr>,
    ) -> Result<String, String> {
        let known = self.known.get_mut(network);
        let known = known.ok_or_else(|| not_allocated(network))?;
        let mut full = Vec::new();
        let subnets = known.subnets.iter_mut();
        for addresses in subnets.filter(|a| a.subnet().addr().is_ipv6() == v6) {
            let subnet = addresses.subnet();
            let taken = match asked {
                Some(asked) => addresses.claim(asked).map(|()| asked),
                None => addresses.take_serial(),
            };
            match taken {
                Ok(address) => {
                    let holding = (network.to_owned(), address);
                    self.held.entry(holder.clone()).or_default().insert(holding);
                    return Ok(format!("{address}/{}", subnet.prefix_len()));
                }
                Err(ipam::Error::OutOfRange) => {}
                Err(ipam::Error::NoAddress) => {
                    full.push(format!("{} addresses of {subnet} in use", addresses.used()));
                }
                Err(error) => {
                    let asked = asked.map(|a| a.to_string()).unwrap_or_default();
                    return Err(format!(
                        "{error}: {asked} on network {} ({network})",
                        known.name
                    ));
                }
            }
        }
        Err(match asked {
            Some(asked) => in_no_subnet(asked),
            None => format!(
                "no available {} addresses on this network's address pools: {} ({network}): {}",
                if v6 { "IPv6" } else { "IPv4" },
                known.name,
                full.join(", ")
            ),
        })
    }
}

fn not_allocated(network: &str) -> String {
    format!("network {network} is not allocated yet")
}

fn in_no_subnet(address: IpAddr) -> String {
    format!("invalid address {address}: It does not belong to any of this network's subnets")
}

pub fn of_attachments(attachments: &[pb::NetworkAttachment]) -> BTreeSet<Holding> {
    let each = |attachment: &pb::NetworkAttachment| {
        let network = attachment.network.as_ref()?.id.clone();
        let addresses = attachment.addresses.iter().filter_map(|a| parse(a));
        Some(addresses.map(|a| (network.clone(), a)).collect::<Vec<_>>())
    };
    attachments.iter().filter_map(each).flatten().collect()
}

pub fn of_service(service: &pb::Service) -> BTreeSet<Holding> {
    let endpoint = service.endpoint.iter();
    endpoint
        .flat_map(|endpoint| &endpoint.virtual_ips)
        .filter_map(|vip| Some((vip.network_id.clone(), parse(&vip.addr)?)))
        .collect()
}

/// An address with or without its prefix length.
pub fn parse(text: &str) -> Option<IpAddr> {
    let net = text.parse::<IpNet>().map(|net| net.addr());
    net.or_else(|_| text.parse()).ok()
}
