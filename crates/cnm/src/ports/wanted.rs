//! What entries of `-p` mean where packets come in by certain ways.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use engine_types::{Error, Result};

use crate::Publish;
use crate::driver::{Driver, Firewall, Host};
use crate::model::{Endpoint, Mapping, Network};

/// How packets of one family get into a container.
pub struct Way {
    pub(super) container: IpAddr,
    /// From ports of the host.
    translated: bool,
    /// Host address of ports that name none.
    binding: IpAddr,
}

/// For IPv4 and for IPv6.
pub type Ways = [Option<Way>; 2];

impl Way {
    /// By an endpoint whose network publishes ports itself.
    pub fn by(
        endpoint: &Endpoint,
        network: &Network,
        driver: &dyn Driver,
        host: &Host,
        v6: bool,
    ) -> Option<Self> {
        Some(Self {
            container: endpoint.address(v6)?.addr(),
            translated: driver.translates(network, v6),
            binding: driver.host_binding(network).unwrap_or(host.default_binding),
        })
    }
}

/// Entries of `-p` that have a host port in common, at all of the host addresses that they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub protocol: String,
    pub target: u16,
    pub count: u16,
    pub ips: Vec<IpAddr>,
    pub translated: bool,
    /// `None`: any that is free.
    pub host: Option<(u16, u16)>,
}

impl Wanted {
    pub fn all(ports: &[Publish], ways: &Ways, firewall: &Firewall) -> Result<Vec<Self>> {
        let mut all: Vec<Wanted> = Vec::new();
        for port in ports {
            for (ip, translated) in host_ips(&port.host_ip, ways, firewall)? {
                let wanted = Wanted {
                    protocol: port.protocol.clone(),
                    target: port.target,
                    count: port.count,
                    ips: vec![ip],
                    translated,
                    host: port.host.filter(|_| translated),
                };
                // What differs in the host's address only gets the same port of it.
                let same = |w: &&mut Wanted| {
                    let ips = w.ips.clone();
                    **w == (Wanted {
                        ips,
                        ..wanted.clone()
                    }) && !w.ips.contains(&ip)
                };
                match all.iter_mut().find(same) {
                    Some(first) => first.ips.push(ip),
                    None => all.push(wanted),
                }
            }
        }
        Ok(all)
    }

    pub fn at(&self, host_port: Option<u16>) -> Vec<Mapping> {
        let mapping = |ip: &IpAddr| Mapping {
            protocol: self.protocol.clone(),
            target: self.target,
            host_ip: *ip,
            host_port,
            count: self.count,
        };
        self.ips.iter().map(mapping).collect()
    }
    pub fn is_exact(&self) -> bool {
        self.host.is_some_and(|(first, last)| first == last)
    }
    pub fn is_met_by(&self, mapping: &Mapping) -> bool {
        let allowed = match (self.host, mapping.host_port) {
            (Some((first, last)), Some(port)) => (first..=last).contains(&port),
            _ => true,
        };
        mapping.host_port.is_some() == self.translated
            && self.ips.contains(&mapping.host_ip)
            && (&self.protocol, self.target, self.count)
                == (&mapping.protocol, mapping.target, mapping.count)
            && allowed
    }
}

/// No address means the default; the default `0.0.0.0` means `[::]` as well. With each goes whether it is translated:
/// where it is not, there is nothing to choose.
fn host_ips(text: &str, ways: &Ways, firewall: &Firewall) -> Result<Vec<(IpAddr, bool)>> {
    let asked = match text {
        "" => None,
        _ => {
            let bad = |_| Error::invalid(format!("invalid IP address in port binding: {text}"));
            let ip: IpAddr = text.trim_matches(['[', ']']).parse().map_err(bad)?;
            Some(ip.to_canonical())
        }
    };
    let any = |v6| match v6 {
        false => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        true => Ipv6Addr::UNSPECIFIED.into(),
    };
    let mut found = Vec::new();
    for (v6, way) in [false, true].into_iter().zip(ways) {
        let Some(way) = way else { continue };
        let ip = match (asked, way.binding) {
            (Some(ip), _) => ip,
            (None, default) if v6 && default == any(false) => any(true),
            (None, default) => default,
        };
        if ip.is_ipv6() != v6 {
            continue;
        }
        let on = if v6 { firewall.ipv6 } else { firewall.ipv4 };
        match (on, v6 && asked.is_none()) {
            (true, _) => found.push(match way.translated {
                true => (ip, true),
                false => (any(v6), false),
            }),
            // Nobody asked for it in so many words.
            (false, true) => {}
            (false, false) => {
                let flag = if v6 { "ip6tables" } else { "iptables" };
                return Err(Error::invalid(format!(
                    "ports cannot be published: the daemon was told not to program NAT rules (--{flag}=false)"
                )));
            }
        }
    }
    Ok(found)
}
