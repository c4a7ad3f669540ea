//! What a service's labels say of its published ports: choices that Docker's command line has no flag for.
//!
//! ```text
//!   pontoon.publish.8080.source=nat           tasks see the node's address, not the client's
//!   pontoon.publish.8080.bind=192.168.7.0/24  nodes answer at their addresses in this subnet only
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;

use engine_types::{Error, Result};
use ipnet::IpNet;

const PREFIX: &str = "pontoon.publish.";

/// By published port.
#[derive(Debug, Default, PartialEq)]
pub struct Choices(BTreeMap<u32, Choice>);

#[derive(Debug, Default, PartialEq)]
struct Choice {
    concealed: bool,
    within: Option<IpNet>,
}

impl Choices {
    pub fn concealed(&self, port: u32) -> bool {
        self.0.get(&port).is_some_and(|c| c.concealed)
    }
    pub fn within(&self, port: u32) -> Option<IpNet> {
        self.0.get(&port)?.within
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
            .ok_or_else(|| {
                bad("want pontoon.publish.<port>.source or pontoon.publish.<port>.bind")
            })?;
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
            _ => return Err(bad("want source or bind")),
        }
    }
    Ok(choices)
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
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (label, value) in [
            ("pontoon.publish.8080.source", "mine"),
            ("pontoon.publish.8080.bind", "eth0"),
            ("pontoon.publish.8080.bind", "fd00::1"),
            ("pontoon.publish.8080.speed", "high"),
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
