//! Published ports: which host port, and that nobody else has it.
//!
//! Packets are translated in the kernel; the socket that is held here only keeps the port from everybody else.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use engine_types::container::PortBinding;
use engine_types::{Error, Result};
use netstate::Ns;
use socket2::{Domain, Protocol, Socket, Type};

use crate::controller::Inner;
use crate::kernel::run_in;
use crate::model::{Endpoint, Mapping, Record};

/// Docker's, for a kernel that does not say.
const EPHEMERAL: RangeInclusive<u16> = 49153..=65535;
/// Candidates that others hold, before an ephemeral port is given up.
const ATTEMPTS: usize = 10;
const SCTP: i32 = 132;

/// A host address with the socket that reserves the port there (none where the kernel lacks the protocol).
type Holder = (IpAddr, Option<Socket>);

/// Host ports in use.
#[derive(Default)]
pub(crate) struct PortTable {
    /// By protocol and port.
    taken: BTreeMap<(String, u16), Vec<Holder>>,
    /// Where the last search for an ephemeral port ended.
    last: u16,
}

impl PortTable {
    fn is_free(&self, protocol: &str, port: u16, ip: IpAddr) -> bool {
        let taken = self.taken.get(&(protocol.to_string(), port));
        let clash = |other: &IpAddr| {
            other.is_ipv4() == ip.is_ipv4()
                && (*other == ip || other.is_unspecified() || ip.is_unspecified())
        };
        !taken.is_some_and(|taken| taken.iter().any(|(other, _)| clash(other)))
    }
    fn reserve(&mut self, mapping: &Mapping) {
        let key = (mapping.protocol.clone(), mapping.host_port);
        self.taken
            .entry(key)
            .or_default()
            .push((mapping.host_ip, None));
    }
    fn hold(&mut self, mapping: &Mapping, socket: Socket) {
        let key = (mapping.protocol.clone(), mapping.host_port);
        let taken = self.taken.entry(key).or_default();
        if let Some((_, held)) = taken.iter_mut().find(|(ip, _)| *ip == mapping.host_ip) {
            *held = Some(socket);
        }
    }
    pub fn release(&mut self, mapping: &Mapping) {
        let key = (mapping.protocol.clone(), mapping.host_port);
        if let Some(taken) = self.taken.get_mut(&key) {
            taken.retain(|(ip, _)| *ip != mapping.host_ip);
            if taken.is_empty() {
                self.taken.remove(&key);
            }
        }
    }

    /// The first of `candidates` that is free for all of `ips`, reserved.
    fn pick(
        &mut self,
        wanted: &Wanted,
        candidates: impl Iterator<Item = u16>,
    ) -> Option<Vec<Mapping>> {
        let free = |port: &u16| {
            wanted
                .ips
                .iter()
                .all(|ip| self.is_free(&wanted.protocol, *port, *ip))
        };
        let mut candidates = candidates;
        let host_port = candidates.find(free)?;
        let picked: Vec<_> = wanted.on(host_port).collect();
        picked.iter().for_each(|mapping| self.reserve(mapping));
        Some(picked)
    }
}

/// One entry of `-p`, for all of the host addresses that it means.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    protocol: String,
    target: u16,
    ips: Vec<IpAddr>,
    /// `None`: any that is free.
    host: Option<RangeInclusive<u16>>,
}

impl Wanted {
    fn on(&self, host_port: u16) -> impl Iterator<Item = Mapping> {
        self.ips.iter().map(move |ip| Mapping {
            protocol: self.protocol.clone(),
            target: self.target,
            host_ip: *ip,
            host_port,
        })
    }
    fn is_exact(&self) -> bool {
        self.host.as_ref().is_some_and(|r| r.start() == r.end())
    }
}

type Ports = BTreeMap<String, Option<Vec<PortBinding>>>;

/// Exact host ports first, so that no range takes them, then by container port and protocol.
fn wanted(ports: &Ports, endpoint: &Endpoint, default: IpAddr) -> Result<Vec<Wanted>> {
    let mut all = Vec::new();
    for (port, bindings) in ports {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let bad = || Error::invalid(format!("invalid port specification: {port:?}"));
        let target = number.parse().ok().filter(|p| *p > 0).ok_or_else(bad)?;
        if !matches!(protocol, "tcp" | "udp" | "sctp") {
            return Err(Error::invalid(format!("invalid proto: {protocol}")));
        }
        let any = [PortBinding::default()];
        let bindings = bindings.as_deref().filter(|b| !b.is_empty());
        for binding in bindings.unwrap_or(&any) {
            all.push(Wanted {
                protocol: protocol.to_string(),
                target,
                ips: host_ips(&binding.host_ip, endpoint, default)?,
                host: host_range(&binding.host_port)?,
            });
        }
    }
    all.retain(|w| !w.ips.is_empty());
    let protocol = |w: &Wanted| ["tcp", "udp", "sctp"].iter().position(|p| *p == w.protocol);
    all.sort_by_key(|w| (!w.is_exact(), w.target, protocol(w)));
    Ok(all)
}

/// No address means the default; the default `0.0.0.0` means `[::]` as well, where the container has IPv6.
fn host_ips(text: &str, endpoint: &Endpoint, default: IpAddr) -> Result<Vec<IpAddr>> {
    let mut ips = match text {
        "" if default.is_unspecified() && default.is_ipv4() => {
            vec![default, Ipv6Addr::UNSPECIFIED.into()]
        }
        "" => vec![default],
        _ => {
            let bad = |_| Error::invalid(format!("invalid IP address in port binding: {text}"));
            vec![text.trim_matches(['[', ']']).parse().map_err(bad)?]
        }
    };
    ips.retain(|ip| match ip {
        IpAddr::V4(_) => endpoint.ipv4.is_some(),
        IpAddr::V6(_) => endpoint.ipv6.is_some(),
    });
    Ok(ips)
}

fn host_range(text: &str) -> Result<Option<RangeInclusive<u16>>> {
    let bad = |_| Error::invalid(format!("invalid hostPort: {text}"));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |part: &str| match part {
        "" => Ok(0),
        _ => part.parse::<u16>().map_err(bad),
    };
    Ok(match (number(first)?, number(last)?) {
        (0, _) => None,
        (first, last) if first <= last => Some(first..=last),
        _ => return Err(Error::invalid(format!("invalid hostPort: {text}"))),
    })
}

impl Inner {
    /// Finds and holds the host ports of a sandbox whose gateway is `endpoint`. On failure none is held.
    pub async fn publish(
        &self,
        record: &Record,
        endpoint: &Endpoint,
        default: IpAddr,
    ) -> Result<Vec<Mapping>> {
        let fail = |error: Error| {
            error.context(format!(
                "driver failed programming external connectivity on endpoint {} ({})",
                record.spec.container_name, endpoint.id
            ))
        };
        let wanted = wanted(&record.spec.ports, endpoint, default)?;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        if !self.config.firewall {
            return Err(fail(Error::invalid(
                "ports cannot be published: the daemon was told not to program NAT rules (--iptables=false)",
            )));
        }
        let mut held = Vec::new();
        for one in wanted {
            match self.publish_one(&one, endpoint).await {
                Ok(mappings) => held.extend(mappings),
                Err(error) => {
                    let mut state = self.state();
                    held.iter().for_each(|mapping| state.ports.release(mapping));
                    return Err(fail(error));
                }
            }
        }
        Ok(held)
    }

    async fn publish_one(&self, wanted: &Wanted, endpoint: &Endpoint) -> Result<Vec<Mapping>> {
        let range = match &wanted.host {
            Some(range) => range.clone(),
            None => run_in(self.kernel.as_ref(), &Ns::Host, ephemeral_range).await?,
        };
        let allocated = |port: u16| {
            let ip = wanted
                .ips
                .first()
                .map(IpAddr::to_string)
                .unwrap_or_default();
            Error::system(format!(
                "Bind for {ip}:{port} failed: port is already allocated"
            ))
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
                if let (None, Some([first, ..])) = (&wanted.host, picked.as_deref()) {
                    ports.last = first.host_port;
                }
                picked
            };
            let Some(picked) = picked else {
                return Err(last_error.unwrap_or_else(|| allocated(*range.start())));
            };
            match self.hold(&picked, endpoint).await {
                Ok(()) => return Ok(picked),
                Err(error) => {
                    let mut state = self.state();
                    picked
                        .iter()
                        .for_each(|mapping| state.ports.release(mapping));
                    skip = picked
                        .first()
                        .map_or(skip, |m| m.host_port.saturating_add(1));
                    last_error = Some(error);
                }
            }
            if wanted.is_exact() || !range.contains(&skip) {
                break;
            }
        }
        Err(last_error.unwrap_or_else(|| allocated(*range.start())))
    }

    async fn hold(&self, picked: &[Mapping], endpoint: &Endpoint) -> Result<()> {
        for mapping in picked {
            let (protocol, address) = (
                mapping.protocol.clone(),
                SocketAddr::new(mapping.host_ip, mapping.host_port),
            );
            let opened = run_in(self.kernel.as_ref(), &Ns::Host, move || {
                open(&protocol, address)
            });
            match opened.await? {
                Ok(socket) => self.state().ports.hold(mapping, socket),
                Err(error) if mapping.protocol == "sctp" && is_unsupported(&error) => {
                    tracing::debug!(%address, "no SCTP socket in this kernel: the host port is not held");
                }
                Err(error) => {
                    let to = if mapping.host_ip.is_ipv6() {
                        endpoint.ipv6
                    } else {
                        endpoint.ipv4
                    };
                    let to = to.map(|a| a.addr().to_string()).unwrap_or_default();
                    return Err(Error::system(format!(
                        "failed to bind host port for {address}:{to}:{}/{}: {}",
                        mapping.target,
                        mapping.protocol,
                        text(&error)
                    )));
                }
            }
        }
        Ok(())
    }

    /// After a restart. A port that somebody took meanwhile stays published: packets never reached that socket anyway.
    pub async fn hold_again(&self, record: &Record, endpoint: &Endpoint) {
        for mapping in &record.mappings {
            self.state().ports.reserve(mapping);
            if let Err(error) = self.hold(std::slice::from_ref(mapping), endpoint).await {
                tracing::warn!(container = %record.spec.container_id, %error, "published port is also somebody else's");
            }
        }
    }
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

    #[test]
    fn host_ports_and_ranges() {
        assert_eq!(host_range("").unwrap(), None);
        assert_eq!(host_range("0").unwrap(), None);
        assert_eq!(host_range("80").unwrap(), Some(80..=80));
        assert_eq!(host_range("80-90").unwrap(), Some(80..=90));
        for bad in ["90-80", "x", "70000", "1-x"] {
            assert!(host_range(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn any_address_and_one_address_exclude_each_other_within_a_family() {
        let mut table = PortTable::default();
        let mapping = |ip: &str| Mapping {
            protocol: "tcp".into(),
            target: 80,
            host_ip: ip.parse().unwrap(),
            host_port: 8080,
        };
        let free = |table: &PortTable, ip: &str| table.is_free("tcp", 8080, ip.parse().unwrap());
        table.reserve(&mapping("127.0.0.1"));
        assert!(free(&table, "127.0.0.2") && free(&table, "::"));
        assert!(!free(&table, "127.0.0.1") && !free(&table, "0.0.0.0"));
        assert!(table.is_free("udp", 8080, "127.0.0.1".parse().unwrap()));
        table.release(&mapping("127.0.0.1"));
        assert!(free(&table, "0.0.0.0"));
        table.reserve(&mapping("0.0.0.0"));
        assert!(!free(&table, "127.0.0.1"));
    }
}
