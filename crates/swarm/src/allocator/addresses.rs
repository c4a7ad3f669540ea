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

    /// An address in the network, `asked` or the next free one, IPv4 before IPv6, with its prefix length.
    pub fn take(
        &mut self,
        holder: &Holder,
        network: &str,
        asked: Option<IpAddr>,
    ) -> Result<String, String> {
        let known = self.known.get_mut(network);
        let known = known.ok_or_else(|| format!("network {network} is not allocated yet"))?;
        let mut full = Vec::new();
        let mut subnets: Vec<_> = known.subnets.iter_mut().collect();
        subnets.sort_by_key(|a| a.subnet().addr().is_ipv6());
        for addresses in subnets {
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
            Some(asked) => format!(
                "invalid address {asked}: It does not belong to any of this network's subnets"
            ),
            None => format!(
                "no available IPv4 addresses on this network's address pools: {} ({network}): {}",
                known.name,
                full.join(", ")
            ),
        })
    }
}

pub fn of_attachments(attachments: &[pb::NetworkAttachment]) -> BTreeSet<Holding> {
    let each = |attachment: &pb::NetworkAttachment| {
        let network = attachment.network.as_ref()?.id.clone();
        let address = parse(attachment.addresses.first()?)?;
        Some((network, address))
    };
    attachments.iter().filter_map(each).collect()
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
