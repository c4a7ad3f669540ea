//! What a service's labels say of its published ports: choices that Docker's command line has no flag for.
//!
//! ```text
//!   pontoon.publish.8080.source=nat           tasks see the node's address, not the client's
//!   pontoon.publish.8080.bind=192.168.7.0/24  nodes answer at their addresses in this subnet only
//!   pontoon.publish.8080.proxy=v2             tasks are told of each client by a PROXY header (v1 or v2), TCP only
//! ```
//!
//! Docker's nodes tell others of their tasks' ports, and of labels they know nothing. So the header goes with the port's name,
//! which they hand on as it is; and as the name is a part of what tasks are made of, a change of the label replaces them, each
//! being sent what it was made for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cnm::Proxy;
use engine_types::{Error, Result};
use ipnet::IpNet;
use swarm_wire::pb;
use swarm_wire::pb::port_config::{Protocol, PublishMode};

const PREFIX: &str = "pontoon.publish.";
/// Between a port's name and its header's version.
const HEADER: &str = ";pontoon.proxy=";

/// By published port.
#[derive(Debug, Default, PartialEq)]
pub struct Choices(BTreeMap<u32, Choice>);

#[derive(Debug, Default, PartialEq)]
struct Choice {
    concealed: bool,
    within: Option<IpNet>,
    proxy: Option<Proxy>,
}

impl Choices {
    pub fn concealed(&self, port: u32) -> bool {
        self.0.get(&port).is_some_and(|c| c.concealed)
    }
    pub fn within(&self, port: u32) -> Option<IpNet> {
        self.0.get(&port)?.within
    }
    /// Of a TCP port.
    pub fn proxy(&self, port: u32) -> Option<Proxy> {
        self.0.get(&port)?.proxy
    }

    /// Has the ports of a service say what they are to; those that cannot are the user's mistake.
    pub fn name(&self, ports: &mut [pb::PortConfig]) -> Result<()> {
        for port in ports.iter_mut() {
            let (name, _) = split(&port.name);
            let proxy = self.proxy(port.published_port).filter(|_| is_tcp(port));
            port.name = named(name, proxy);
            if proxy.is_some() && port.publish_mode() == PublishMode::Host {
                return Err(Error::invalid(format!(
                    "port {} is published in host mode, where tasks see clients as they are: no PROXY header can be sent",
                    port.published_port
                )));
            }
        }
        let wanted = self.0.iter().filter(|(_, c)| c.proxy.is_some());
        for (number, _) in wanted {
            let mut of = ports.iter().filter(|p| p.published_port == *number);
            if let Some(other) = of.clone().next().filter(|_| !of.any(is_tcp)) {
                let protocol = match other.protocol() {
                    Protocol::Tcp => "tcp",
                    Protocol::Udp => "udp",
                    Protocol::Sctp => "sctp",
                };
                return Err(Error::invalid(format!(
                    "port {number} is published for {protocol}: a PROXY header can be sent by TCP only"
                )));
            }
        }
        Ok(())
    }
}

fn is_tcp(port: &pb::PortConfig) -> bool {
    port.protocol() == Protocol::Tcp
}

/// A port's name as nodes tell it to each other.
pub fn named(name: &str, proxy: Option<Proxy>) -> String {
    match proxy {
        Some(proxy) => format!("{name}{HEADER}{proxy}"),
        None => name.to_owned(),
    }
}

/// The user's name of the port, and the header's version as it is written.
pub fn split(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(HEADER) {
        Some((name, version)) => (name, Some(version)),
        None => (name, None),
    }
}

/// A label that says nothing which is understood is the user's mistake.
pub fn choices<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Result<Choices> {
    let mut choices = Choices::default();
    for (label, value) in labels {
        let Some(rest) = label.strip_prefix(PREFIX) else {
            continue;
        };
        let bad = |why: &str| Error::invalid(format!("invalid label {label}={value}: {why}"));
        let (port, what) = rest
            .split_once('.')
            .and_then(|(port, what)| Some((port.parse::<u16>().ok()?, what)))
            .ok_or_else(|| bad("want pontoon.publish.<port>.source, .bind or .proxy"))?;
        let choice = choices.0.entry(port.into()).or_default();
        match (what, value.as_str()) {
            ("source", "nat") => choice.concealed = true,
            ("source", "client") => choice.concealed = false,
            ("source", _) => return Err(bad("want client or nat")),
            ("bind", text) => {
                let one = || text.parse::<IpAddr>().ok().map(IpNet::from);
                let subnet = text.parse::<IpNet>().ok().or_else(one);
                let subnet = subnet.filter(|s| s.addr().is_ipv4());
                let subnet =
                    subnet.ok_or_else(|| bad("want an IPv4 address or subnet of the nodes"))?;
                choice.within = Some(subnet.trunc());
            }
            ("proxy", version) => {
                let version = version.parse().map_err(|()| bad("want v1 or v2"))?;
                choice.proxy = Some(version);
            }
            _ => return Err(bad("want source, bind or proxy")),
        }
    }
    let contrary = |c: &Choice| c.concealed && c.proxy.is_some();
    match choices.0.iter().find(|(_, choice)| contrary(choice)) {
        Some((port, _)) => Err(Error::invalid(format!(
            "labels {PREFIX}{port}.source=nat and {PREFIX}{port}.proxy exclude each other: one hides the client that the other names"
        ))),
        None => Ok(choices),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(label: &str, value: &str) -> Result<Choices> {
        choices([(&label.to_owned(), &value.to_owned())])
    }

    #[test]
    fn labels_are_choices_of_a_port() {
        let nat = read("pontoon.publish.8080.source", "nat").unwrap();
        assert!(nat.concealed(8080) && !nat.concealed(80));
        let bound = read("pontoon.publish.8080.bind", "127.0.0.1").unwrap();
        assert_eq!(bound.within(8080), Some("127.0.0.1/32".parse().unwrap()));
        let bound = read("pontoon.publish.8080.bind", "192.168.7.9/24").unwrap();
        assert_eq!(bound.within(8080), Some("192.168.7.0/24".parse().unwrap()));
        assert_eq!(read("com.example.tier", "front"), Ok(Choices::default()));
        let told = read("pontoon.publish.8080.proxy", "v1").unwrap();
        assert_eq!((told.proxy(8080), told.proxy(80)), (Some(Proxy::V1), None));
    }

    fn port(number: u32, protocol: Protocol, mode: PublishMode) -> pb::PortConfig {
        pb::PortConfig {
            name: "web".into(),
            protocol: protocol.into(),
            published_port: number,
            publish_mode: mode.into(),
            ..pb::PortConfig::default()
        }
    }

    #[test]
    fn a_port_says_which_header_its_tasks_want() {
        let told = read("pontoon.publish.53.proxy", "v2").unwrap();
        let mesh = |number, protocol| port(number, protocol, PublishMode::Ingress);
        let mut ports = [
            mesh(53, Protocol::Tcp),
            mesh(53, Protocol::Udp),
            mesh(80, Protocol::Tcp),
        ];
        let names = |ports: &[pb::PortConfig]| -> Vec<String> {
            ports.iter().map(|p| p.name.clone()).collect()
        };
        for _ in 0..2 {
            told.name(&mut ports).unwrap();
            assert_eq!(names(&ports), ["web;pontoon.proxy=v2", "web", "web"]);
        }
        assert_eq!(split(&ports[0].name), ("web", Some("v2")));
        Choices::default().name(&mut ports).unwrap();
        assert_eq!(names(&ports), ["web"; 3]);
        assert_eq!(split("web"), ("web", None));

        let refused = |port| told.name(&mut [port]).unwrap_err().message;
        assert_eq!(
            refused(mesh(53, Protocol::Udp)),
            "port 53 is published for udp: a PROXY header can be sent by TCP only"
        );
        let host = refused(port(53, Protocol::Tcp, PublishMode::Host));
        assert!(
            host.starts_with("port 53 is published in host mode"),
            "{host}"
        );
        // One that is allocated later may have the number.
        told.name(&mut [mesh(0, Protocol::Udp)]).unwrap();
    }

    #[test]
    fn a_client_is_not_both_hidden_and_named() {
        let labels = [("source", "nat"), ("proxy", "v2")]
            .map(|(what, value)| (format!("pontoon.publish.80.{what}"), value.to_owned()));
        let error = choices(labels.iter().map(|(a, b)| (a, b))).unwrap_err();
        assert!(
            error.message.contains("exclude each other"),
            "{}",
            error.message
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (label, value) in [
            ("pontoon.publish.8080.source", "mine"),
            ("pontoon.publish.8080.bind", "eth0"),
            ("pontoon.publish.8080.bind", "fd00::1"),
            ("pontoon.publish.8080.speed", "high"),
            ("pontoon.publish.8080.proxy", "v3"),
            ("pontoon.publish.http.source", "nat"),
            ("pontoon.publish.70000.source", "nat"),
        ] {
            let error = read(label, value).unwrap_err();
            assert!(
                error.message.starts_with("invalid label pontoon.publish."),
                "{error:?}"
            );
        }
    }
}
