//! Host ports in use, as numbers.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use socket2::Socket;

use super::wanted::Wanted;
use crate::model::Mapping;

#[derive(Default)]
pub(super) struct PortTable {
    /// By protocol and address, by first port.
    taken: BTreeMap<(String, IpAddr), BTreeMap<u16, Taken>>,
    /// Where the last search for an ephemeral port ended.
    pub last: u16,
}

struct Taken {
    last: u16,
    /// They reserve the ports (none where the kernel lacks the protocol).
    _sockets: Vec<Socket>,
}

impl PortTable {
    /// The first port of the range that somebody has.
    fn clash(&self, protocol: &str, first: u16, last: u16, ip: IpAddr) -> Option<u16> {
        let same = |(p, other): &(String, IpAddr)| {
            p == protocol
                && other.is_ipv4() == ip.is_ipv4()
                && (*other == ip || other.is_unspecified() || ip.is_unspecified())
        };
        let of = |taken: &BTreeMap<u16, Taken>| {
            let before = taken.range(..=first).next_back();
            match before.is_some_and(|(_, taken)| taken.last >= first) {
                true => Some(first),
                false => taken.range(first..=last).next().map(|(port, _)| *port),
            }
        };
        let taken = self.taken.iter().filter(|(key, _)| same(key));
        taken.filter_map(|(_, ports)| of(ports)).min()
    }

    pub fn reserve(&mut self, mapping: &Mapping, sockets: Vec<Socket>) {
        if let Some((first, last)) = mapping.host_ports() {
            let key = (mapping.protocol.clone(), mapping.host_ip);
            let taken = Taken {
                last,
                _sockets: sockets,
            };
            self.taken.entry(key).or_default().insert(first, taken);
        }
    }

    pub fn release(&mut self, mapping: &Mapping) {
        let key = (mapping.protocol.clone(), mapping.host_ip);
        if let (Some(first), Some(taken)) = (mapping.host_port, self.taken.get_mut(&key)) {
            taken.remove(&first);
            if taken.is_empty() {
                self.taken.remove(&key);
            }
        }
    }

    /// The first of `candidates` from which on all ports are free at all addresses, reserved; or the first that is not.
    pub fn pick(
        &mut self,
        wanted: &Wanted,
        candidates: impl Iterator<Item = u16>,
    ) -> Result<Vec<Mapping>, (IpAddr, u16)> {
        let mut first_clash = None;
        for port in candidates {
            let last = port.saturating_add(wanted.count - 1);
            let clash = wanted.ips.iter().find_map(|ip| {
                let clash = self.clash(&wanted.protocol, port, last, *ip)?;
                Some((*ip, clash))
            });
            let Some(clash) = clash else {
                let picked = wanted.at(Some(port));
                picked.iter().for_each(|m| self.reserve(m, Vec::new()));
                return Ok(picked);
            };
            first_clash.get_or_insert(clash);
        }
        let ip = wanted.ips.first().copied();
        Err(first_clash.unwrap_or((ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(ip: &str, host_port: u16, count: u16) -> Mapping {
        Mapping {
            protocol: "tcp".into(),
            target: 80,
            host_ip: ip.parse().unwrap(),
            host_port: Some(host_port),
            count,
        }
    }

    #[test]
    fn any_address_and_one_address_exclude_each_other_within_a_family() {
        let mut table = PortTable::default();
        let clash = |table: &PortTable, protocol: &str, ip: &str| {
            table.clash(protocol, 8080, 8080, ip.parse().unwrap())
        };
        table.reserve(&mapping("127.0.0.1", 8080, 1), vec![]);
        for free in ["127.0.0.2", "::"] {
            assert_eq!(clash(&table, "tcp", free), None);
        }
        for taken in ["127.0.0.1", "0.0.0.0"] {
            assert_eq!(clash(&table, "tcp", taken), Some(8080));
        }
        assert_eq!(clash(&table, "udp", "127.0.0.1"), None);
        table.release(&mapping("127.0.0.1", 8080, 1));
        assert_eq!(clash(&table, "tcp", "0.0.0.0"), None);
        table.reserve(&mapping("0.0.0.0", 8080, 1), vec![]);
        assert_eq!(clash(&table, "tcp", "127.0.0.1"), Some(8080));
    }

    #[test]
    fn a_range_is_one_entry_and_the_first_clash_is_named() {
        let mut table = PortTable::default();
        let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        table.reserve(&mapping("0.0.0.0", 10_000, 16_000), vec![]);
        table.reserve(&mapping("127.0.0.1", 30_000, 1), vec![]);
        assert_eq!(table.taken.values().map(BTreeMap::len).sum::<usize>(), 2);
        let clash = |first, last| table.clash("tcp", first, last, any);
        assert_eq!(clash(9_000, 9_999), None);
        assert_eq!(clash(9_000, 10_000), Some(10_000));
        assert_eq!(clash(12_345, 12_345), Some(12_345));
        assert_eq!(clash(25_999, 40_000), Some(25_999));
        assert_eq!(clash(26_000, 29_999), None);
        assert_eq!(clash(26_000, 40_000), Some(30_000));
    }
}
