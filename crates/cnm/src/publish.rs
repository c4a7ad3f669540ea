//! What a container publishes, as it was asked for: `-p` of a range comes as a binding for each of its ports, and goes on
//! as one.

use std::net::IpAddr;

use engine_types::container::PortBinding;
use engine_types::{Error, PortMap, Result};
use serde::{Deserialize, Serialize};

use crate::Port;
use crate::model::Mapping;

/// An entry of `-p`, or adjacent ones of ports that stay in step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Publish {
    /// tcp, udp, sctp
    pub protocol: String,
    pub target: u16,
    /// So many ports of the container in a row; more than one only with one host port for each, from `host` on.
    pub count: u16,
    /// As it was written; empty for the default.
    pub host_ip: String,
    /// One of these ports of the host, first to last; `None` for any.
    pub host: Option<(u16, u16)>,
}

impl Publish {
    /// Single ports: those that stay in step as one, in the order in which they are to be published.
    pub fn join(all: Vec<Self>) -> Vec<Self> {
        in_order(joined(all))
    }

    fn is_exact(&self) -> bool {
        self.host.is_some_and(|(first, last)| first == last)
    }

    /// Whether `next` is the same thing one port further.
    fn goes_on_with(&self, next: &Publish) -> bool {
        let step = |first: u16| first.checked_add(self.count);
        let host = |p: &Publish| p.host.map(|(first, _)| first);
        self.is_exact()
            && next.is_exact()
            && (&self.protocol, &self.host_ip) == (&next.protocol, &next.host_ip)
            && step(self.target) == Some(next.target)
            && host(self).and_then(step) == host(next)
    }
}

/// `80/tcp` to its bindings, checked; none means any port of the host. What Docker takes first comes first: exact host
/// ports, so that no range takes them, then by container port and protocol.
pub fn published(ports: &PortMap) -> Result<Vec<Publish>> {
    let mut all = Vec::new();
    for range in ports.ranges() {
        let name =
            |first: Option<u16>| first.map(|f| f.to_string()).unwrap_or_default() + range.rest;
        let (target, protocol) = container_port(&name(range.first))?;
        let any = [PortBinding::default()];
        let bindings = range.value.as_deref().filter(|b| !b.is_empty());
        for binding in bindings.unwrap_or(&any) {
            let host = host_ports(&binding.host_port)?;
            let publish = |target, count| Publish {
                protocol: protocol.into(),
                target,
                count,
                host_ip: binding.host_ip.clone(),
                host,
            };
            // Others are chosen one by one.
            match binding.exact().filter(|port| *port > 0) {
                Some(_) => all.push(publish(target, range.count)),
                None => all.extend((0..range.count).map(|i| publish(target.saturating_add(i), 1))),
            }
        }
    }
    Ok(Publish::join(all))
}

/// A task's ports of the mesh, as they come to its address `at`.
pub(crate) fn of_mesh(ports: &[Port], at: IpAddr) -> Vec<Mapping> {
    let publish = |port: &Port| Publish {
        protocol: port.protocol.clone(),
        target: port.target,
        count: 1,
        host_ip: String::new(),
        host: Some((port.published, port.published)),
    };
    let mapping = |port: Publish| Mapping {
        protocol: port.protocol,
        target: port.target,
        host_ip: at,
        host_port: port.host.map(|(first, _)| first),
        count: port.count,
    };
    let joined = joined(ports.iter().map(publish).collect());
    joined.into_iter().map(mapping).collect()
}

fn joined(mut all: Vec<Publish>) -> Vec<Publish> {
    // Those that may go on stand together: by the distance of both sides.
    all.sort_by_cached_key(|p| {
        let host = p.host.map(|(first, _)| i32::from(first));
        let distance = host.map(|host| host - i32::from(p.target));
        let name = (p.protocol.clone(), p.host_ip.clone());
        (p.is_exact(), name, distance, p.target, p.host)
    });
    let mut joined: Vec<Publish> = Vec::new();
    for next in all {
        match joined.last_mut() {
            Some(last) if last.goes_on_with(&next) => last.count += next.count,
            _ => joined.push(next),
        }
    }
    joined
}

fn in_order(mut all: Vec<Publish>) -> Vec<Publish> {
    let protocol = |p: &Publish| PROTOCOLS.iter().position(|known| *known == p.protocol);
    all.sort_by_cached_key(|p| {
        let key = (!p.is_exact(), p.target, protocol(p), p.host);
        (key, p.host_ip.clone())
    });
    all
}

const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

/// `80/tcp`, or `80`.
fn container_port(text: &str) -> Result<(u16, &'static str)> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let bad = || Error::invalid(format!("invalid port specification: {text:?}"));
    let number = number.parse().ok().filter(|p| *p > 0).ok_or_else(bad)?;
    let known = PROTOCOLS.into_iter().find(|known| *known == protocol);
    let unknown = || Error::invalid(format!("invalid proto: {protocol}"));
    Ok((number, known.ok_or_else(unknown)?))
}

fn host_ports(text: &str) -> Result<Option<(u16, u16)>> {
    let bad = |_| Error::invalid(format!("invalid hostPort: {text}"));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |part: &str| match part {
        "" => Ok(0),
        _ => part.parse::<u16>().map_err(bad),
    };
    Ok(match (number(first)?, number(last)?) {
        (0, _) => None,
        (first, last) if first <= last => Some((first, last)),
        _ => return Err(Error::invalid(format!("invalid hostPort: {text}"))),
    })
}

/// Protocols and ports that are exposed, adjacent ones as one: first and last. What cannot be read is left out.
pub fn exposed(ports: impl Iterator<Item = impl AsRef<str>>) -> Vec<(String, u16, u16)> {
    let ports = ports.filter_map(|p| container_port(p.as_ref()).ok());
    let mut all: Vec<_> = ports.collect();
    all.sort_by_key(|(port, protocol)| (*protocol, *port));
    let mut joined: Vec<(String, u16, u16)> = Vec::new();
    for (port, protocol) in all {
        match joined.last_mut() {
            Some((same, _, last)) if same == protocol && last.checked_add(1) == Some(port) => {
                *last = port;
            }
            _ => joined.push((protocol.to_string(), port, port)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(entries: &[(&str, &str, &str)]) -> PortMap {
        let mut ports = PortMap::default();
        for (port, host_ip, host_port) in entries {
            let mut bindings = ports.get(port).flatten().unwrap_or_default();
            bindings.push(PortBinding {
                host_ip: host_ip.to_string(),
                host_port: host_port.to_string(),
            });
            ports.insert(port, Some(bindings));
        }
        ports
    }

    fn show(entries: &[(&str, &str, &str)]) -> Vec<String> {
        let published = published(&ports(entries)).unwrap().into_iter();
        let text = |p: Publish| {
            let Publish { host_ip, host, .. } = p;
            format!("{host_ip} {host:?} {}+{}/{}", p.target, p.count, p.protocol)
        };
        published.map(text).collect()
    }

    #[test]
    fn host_ports_and_ranges() {
        assert_eq!(host_ports("").unwrap(), None);
        assert_eq!(host_ports("0").unwrap(), None);
        assert_eq!(host_ports("80").unwrap(), Some((80, 80)));
        assert_eq!(host_ports("80-90").unwrap(), Some((80, 90)));
        for bad in ["90-80", "x", "70000", "1-x"] {
            assert!(host_ports(bad).is_err(), "{bad}");
        }
        for bad in ["0/tcp", "80/icmp", "x", "65536/udp"] {
            assert!(published(&ports(&[(bad, "", "")])).is_err(), "{bad}");
        }
    }

    #[test]
    fn ports_in_step_are_one() {
        assert_eq!(
            show(&[
                ("9/tcp", "", "8009"),
                ("10/tcp", "", "8010"),
                ("11/tcp", "", "8011"),
                ("11/udp", "", "8012"),
                ("12/tcp", "127.0.0.1", "8012"),
                ("13/tcp", "", "8014"),
                ("14/tcp", "", ""),
                ("15/tcp", "", "8000-8100"),
            ]),
            [
                " Some((8009, 8009)) 9+3/tcp",
                " Some((8012, 8012)) 11+1/udp",
                "127.0.0.1 Some((8012, 8012)) 12+1/tcp",
                " Some((8014, 8014)) 13+1/tcp",
                " None 14+1/tcp",
                " Some((8000, 8100)) 15+1/tcp",
            ]
        );
        let all: Vec<_> = (1..=65535).map(|p| p.to_string()).collect();
        let all: Vec<_> = all.iter().map(|p| (p.as_str(), "", p.as_str())).collect();
        assert_eq!(show(&all), [" Some((1, 1)) 1+65535/tcp"]);
    }

    #[test]
    fn exposed_ports_are_ranges() {
        let ports = ["80/tcp", "82", "81/tcp", "81/udp", "x"].map(String::from);
        let range = |protocol: &str, first, last| (protocol.to_string(), first, last);
        assert_eq!(
            exposed(ports.iter()),
            [range("tcp", 80, 82), range("udp", 81, 81)]
        );
    }
}
