//! Published ports: which host port, and that nobody else has it.
//!
//! Packets are translated in the kernel; a socket that is held here only keeps the port from everybody else. A long range
//! is only tried out, port by port: a socket for each would cost more than all the rest, and a process of the host that
//! binds one of them later gets no packet, since translation comes first.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use engine_types::{Error, Result};
use netstate::Ns;
use socket2::{Domain, Protocol, Socket, Type};

use crate::controller::Inner;
use crate::driver::{Firewall, Gateway};
use crate::kernel::run_in;
use crate::model::{Mapping, Record};
use crate::state::State;

/// Docker's, for a kernel that does not say.
const EPHEMERAL: RangeInclusive<u16> = 49153..=65535;
/// Candidates that others hold, before an ephemeral port is given up.
const ATTEMPTS: usize = 10;
/// Ports of a range that are held with a socket each.
const HELD: u16 = 64;
const SCTP: i32 = 132;

/// Host ports in use.
#[derive(Default)]
pub(crate) struct PortTable {
    /// By protocol and address, by first port.
    taken: BTreeMap<(String, IpAddr), BTreeMap<u16, Taken>>,
    /// Where the last search for an ephemeral port ended.
    last: u16,
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

    fn reserve(&mut self, mapping: &Mapping, sockets: Vec<Socket>) {
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
    fn pick(
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

/// How packets of one family get into a container.
pub(crate) struct Way {
    container: IpAddr,
    /// From ports of the host.
    translated: bool,
    /// Host address of ports that name none.
    binding: IpAddr,
}

/// Entries of `-p` that have a host port in common, at all of the host addresses that they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    protocol: String,
    target: u16,
    count: u16,
    ips: Vec<IpAddr>,
    translated: bool,
    /// `None`: any that is free.
    host: Option<(u16, u16)>,
}

impl Wanted {
    fn at(&self, host_port: Option<u16>) -> Vec<Mapping> {
        let mapping = |ip: &IpAddr| Mapping {
            protocol: self.protocol.clone(),
            target: self.target,
            host_ip: *ip,
            host_port,
            count: self.count,
        };
        self.ips.iter().map(mapping).collect()
    }
    fn is_exact(&self) -> bool {
        self.host.is_some_and(|(first, last)| first == last)
    }
    fn is_met_by(&self, mapping: &Mapping) -> bool {
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

impl State {
    fn way(&self, record: &Record, v6: bool) -> Option<Way> {
        let (endpoint, network) = self.gateway_of(record, v6)?;
        if self.gateway(network) != Gateway::Own {
            return None;
        }
        let driver = self.driver(network).ok()?;
        Some(Way {
            container: endpoint.address(v6)?.addr(),
            translated: driver.translates(network, v6),
            binding: driver
                .host_binding(network)
                .unwrap_or(self.host.default_binding),
        })
    }

    /// What a record's ports mean while its gateways are what they are.
    pub fn wanted(&self, record: &Record) -> Result<Vec<Wanted>> {
        let ways = [self.way(record, false), self.way(record, true)];
        let mut all: Vec<Wanted> = Vec::new();
        for port in &record.spec.ports {
            for (ip, translated) in host_ips(&port.host_ip, &ways, &self.host.firewall)? {
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

    /// The container's side of a mapping, as errors show it.
    fn container_side(&self, record: &Record, mapping: &Mapping) -> String {
        let way = self.way(record, mapping.host_ip.is_ipv6());
        way.map(|w| w.container.to_string()).unwrap_or_default()
    }
}

/// No address means the default; the default `0.0.0.0` means `[::]` as well. With each goes whether it is translated:
/// where it is not, there is nothing to choose.
fn host_ips(
    text: &str,
    ways: &[Option<Way>; 2],
    firewall: &Firewall,
) -> Result<Vec<(IpAddr, bool)>> {
    let asked = match text {
        "" => None,
        _ => {
            let bad = |_| Error::invalid(format!("invalid IP address in port binding: {text}"));
            let ip: IpAddr = text.trim_matches(['[', ']']).parse().map_err(bad)?;
            if ip == Ipv6Addr::LOCALHOST {
                return Err(Error::invalid(
                    "ports cannot be published on [::1]: the kernel does not route this address; use 127.0.0.1",
                ));
            }
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

impl Inner {
    /// The mappings that `record` should have: those of `current` that still hold, and new ones, whose host ports are held
    /// from here on. On failure none is new.
    pub async fn publish(&self, record: &Record, current: &[Mapping]) -> Result<Vec<Mapping>> {
        let endpoint = self.gateway_id(record);
        let fail = |error: Error| {
            error.context(format!(
                "driver failed programming external connectivity on endpoint {} ({endpoint})",
                record.spec.container_name.trim_start_matches('/'),
            ))
        };
        let wanted = self.state().wanted(record).map_err(fail)?;
        let (mut all, mut new) = (Vec::new(), Vec::new());
        for mut one in wanted {
            let kept: Vec<_> = current
                .iter()
                .filter(|m| one.is_met_by(m))
                .cloned()
                .collect();
            one.ips.retain(|ip| !kept.iter().any(|m| m.host_ip == *ip));
            if let Some(port) = kept.first().and_then(|m| m.host_port) {
                one.host = Some((port, port));
            }
            all.extend(kept);
            if one.ips.is_empty() {
                continue;
            }
            match self.publish_one(&one, record).await {
                Ok(mappings) => new.extend(mappings),
                Err(error) => {
                    let mut state = self.state();
                    new.iter().for_each(|mapping| state.ports.release(mapping));
                    return Err(fail(error));
                }
            }
        }
        all.extend(new);
        Ok(all)
    }

    fn gateway_id(&self, record: &Record) -> String {
        let state = self.state();
        let gateway = state.gateway_of(record, false);
        let gateway = gateway.or_else(|| state.gateway_of(record, true));
        gateway.map(|(e, _)| e.id.clone()).unwrap_or_default()
    }

    async fn publish_one(&self, wanted: &Wanted, record: &Record) -> Result<Vec<Mapping>> {
        if !wanted.translated {
            return Ok(wanted.at(None));
        }
        let range = match wanted.host {
            // Where more than one port is wanted, the first says where all of them are.
            Some((first, last)) => first..=last,
            None => run_in(self.kernel.as_ref(), &Ns::Host, ephemeral_range).await?,
        };
        let mut last_error = None;
        let mut skip = *range.start();
        for _ in 0..ATTEMPTS {
            let picked = {
                let ports = &mut self.state().ports;
                // Ephemeral ports go round, so that one that was freed rests; chosen ranges begin at their beginning.
                let from = match wanted.host {
                    None if range.contains(&ports.last) => ports.last.saturating_add(1),
                    _ => skip,
                };
                let round = (from..=*range.end()).chain(*range.start()..from);
                let picked = ports.pick(wanted, round);
                if let (None, Ok([first, ..])) = (&wanted.host, picked.as_deref()) {
                    ports.last = first.host_port.unwrap_or_default();
                }
                picked
            };
            let picked = match picked {
                Ok(picked) => picked,
                Err((ip, port)) => {
                    let at = SocketAddr::new(ip, port);
                    let allocated = || {
                        Error::system(format!("Bind for {at} failed: port is already allocated"))
                    };
                    return Err(last_error.unwrap_or_else(allocated));
                }
            };
            match self.hold(&picked, record).await {
                Ok(()) => return Ok(picked),
                Err(error) => {
                    let mut state = self.state();
                    picked.iter().for_each(|m| state.ports.release(m));
                    let first = picked.first().and_then(|m| m.host_port);
                    skip = first.map_or(skip, |port| port.saturating_add(1));
                    last_error = Some(error);
                }
            }
            if wanted.is_exact() || !range.contains(&skip) {
                break;
            }
        }
        let none = || Error::system("no port of the host could be bound");
        Err(last_error.unwrap_or_else(none))
    }

    /// Binds what was picked, or names what somebody else of the host has.
    async fn hold(&self, picked: &[Mapping], record: &Record) -> Result<()> {
        for mapping in picked {
            let Some((first, last)) = mapping.host_ports() else {
                continue;
            };
            let (protocol, ip) = (mapping.protocol.clone(), mapping.host_ip);
            let opened = run_in(self.kernel.as_ref(), &Ns::Host, move || {
                open_all(&protocol, ip, first, last)
            });
            match opened.await? {
                Ok(sockets) => self.state().ports.reserve(mapping, sockets),
                Err((port, error)) => {
                    let target = mapping.target.saturating_add(port - first);
                    let at = SocketAddr::new(ip, port);
                    let to = self.state().container_side(record, mapping);
                    return Err(Error::system(format!(
                        "failed to bind host port for {at}:{to}:{target}/{}: {}",
                        mapping.protocol,
                        text(&error)
                    )));
                }
            }
        }
        Ok(())
    }

    /// After a restart. A port that somebody took meanwhile stays published: packets never reached that socket anyway.
    pub async fn hold_again(&self, record: &Record) {
        for mapping in &record.mappings {
            self.state().ports.reserve(mapping, Vec::new());
            if let Err(error) = self.hold(std::slice::from_ref(mapping), record).await {
                tracing::warn!(container = %record.spec.container_id, %error, "published port is also somebody else's");
            }
        }
    }
}

/// A socket for each port of the range; of a long one, none that stays.
fn open_all(
    protocol: &str,
    ip: IpAddr,
    first: u16,
    last: u16,
) -> Result<Vec<Socket>, (u16, std::io::Error)> {
    let mut held = Vec::new();
    for port in first..=last {
        match open(protocol, SocketAddr::new(ip, port)) {
            Ok(socket) if last - first < HELD => held.push(socket),
            Ok(_) => {}
            Err(error) if protocol == "sctp" && is_unsupported(&error) => {
                tracing::debug!(%ip, first, last, "no SCTP socket in this kernel: host ports are not held");
                break;
            }
            Err(error) => return Err((port, error)),
        }
    }
    Ok(held)
}

fn open(protocol: &str, address: SocketAddr) -> std::io::Result<Socket> {
    let (kind, protocol) = match protocol {
        "udp" => (Type::DGRAM, Protocol::UDP),
        "sctp" => (Type::STREAM, Protocol::from(SCTP)),
        _ => (Type::STREAM, Protocol::TCP),
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        // Connections of a former owner that have yet to time out are no obstacle; a listener still is.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    if kind == Type::STREAM {
        socket.listen(1)?;
    }
    Ok(socket)
}

fn ephemeral_range() -> RangeInclusive<u16> {
    let read = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let parsed = read.ok().and_then(|text| {
        let (first, last) = text.split_once('\t')?;
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    });
    parsed.filter(|r| r.start() < r.end()).unwrap_or(EPHEMERAL)
}

/// EPROTONOSUPPORT and ESOCKTNOSUPPORT
fn is_unsupported(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(93 | 94))
}

/// Go's text: `address already in use` where Rust says `Address already in use (os error 98)`.
fn text(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text
        .split_once(" (os error")
        .map_or(text.as_str(), |(t, _)| t);
    text.to_lowercase()
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
