//! A container's ports in a listing, and the filters on them.

use std::collections::{BTreeMap, BTreeSet};

use engine_types::container::{Port, PortBinding};
use engine_types::{Error, Filters, PortSet, Result};

use crate::record::Record;

/// The filters `publish` and `expose`: a container with a port of either kind is shown.
pub(crate) struct Selection {
    /// Protocol and port on the host.
    published: BTreeSet<(String, u16)>,
    /// Protocol and port in the container.
    exposed: BTreeSet<(String, u16)>,
}

impl Selection {
    pub fn of(filters: &Filters) -> Result<Option<Self>> {
        let (published, exposed) = (all(filters, "publish")?, all(filters, "expose")?);
        let none = published.is_empty() && exposed.is_empty();
        Ok((!none).then_some(Self { published, exposed }))
    }

    pub fn matches(&self, ports: &[Port]) -> bool {
        let is_in = |set: &BTreeSet<(String, u16)>, protocol: &str, number| {
            set.contains(&(protocol.to_owned(), number))
        };
        ports.iter().any(|port| {
            is_in(&self.published, &port.r#type, port.public_port)
                || is_in(&self.exposed, &port.r#type, port.private_port)
        })
    }
}

fn all(filters: &Filters, key: &str) -> Result<BTreeSet<(String, u16)>> {
    let mut ports = BTreeSet::new();
    for text in filters.get(key) {
        if text.contains(':') {
            return Err(Error::system(format!(
                "filter for '{key}' should not contain ':': {text}"
            )));
        }
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let bad =
            |why: String| Error::system(format!("error while looking up for {key} {text}: {why}"));
        if range.is_empty() {
            return Err(bad("empty string specified for ports".to_owned()));
        }
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |part: &str| {
            part.parse::<u16>().map_err(|_| {
                bad(format!(
                    "strconv.ParseUint: parsing {part:?}: invalid syntax"
                ))
            })
        };
        let (first, last) = (number(first)?, number(last)?);
        if last < first {
            return Err(bad(format!("invalid range specified for port: {range}")));
        }
        ports.extend((first..=last).map(|port| (protocol.to_ascii_lowercase(), port)));
    }
    Ok(ports)
}

/// What `docker ps` shows of them: published ports where they lead to, and while it runs the others that are exposed.
pub(crate) fn rows(
    published: BTreeMap<String, Option<Vec<PortBinding>>>,
    record: &Record,
) -> Vec<Port> {
    let mut rows = Vec::new();
    let mut ports = published;
    if record.state.running {
        for port in record.config.exposed_ports.iter().flat_map(PortSet::names) {
            ports.entry(port).or_insert(None);
        }
    }
    for (port, bindings) in ports {
        let (number, protocol) = port.split_once('/').unwrap_or((&port, "tcp"));
        let row = |binding: Option<&PortBinding>| Port {
            ip: binding.map_or_else(String::new, |b| b.host_ip.clone()),
            private_port: number.parse().unwrap_or(0),
            public_port: binding.and_then(|b| b.host_port.parse().ok()).unwrap_or(0),
            r#type: protocol.to_owned(),
        };
        match bindings.as_deref() {
            None | Some([]) => rows.push(row(None)),
            Some(list) => rows.extend(list.iter().map(|binding| row(Some(binding)))),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publish_means_the_hosts_port_and_expose_the_containers() {
        let ports = [
            Port {
                private_port: 80,
                public_port: 8080,
                r#type: "tcp".into(),
                ..Port::default()
            },
            Port {
                private_port: 53,
                r#type: "udp".into(),
                ..Port::default()
            },
        ];
        let check = |key: &str, value: &str, expected: bool| {
            let filters = Filters([(key.to_owned(), vec![value.to_owned()])].into());
            let selection = Selection::of(&filters).unwrap().unwrap();
            assert_eq!(selection.matches(&ports), expected, "{key}={value}");
        };
        check("publish", "8080", true);
        check("publish", "8000-8100/tcp", true);
        check("publish", "80", false);
        check("publish", "8080/udp", false);
        check("expose", "80", true);
        check("expose", "8080", false);
        check("expose", "53", false);
        check("expose", "53/udp", true);
        assert!(Selection::of(&Filters::default()).unwrap().is_none());
    }

    #[test]
    fn bad_ports_are_named() {
        let text = |value: &str| {
            let filters = Filters([("publish".to_owned(), vec![value.to_owned()])].into());
            Selection::of(&filters).err().unwrap().message
        };
        assert_eq!(
            text("1:2"),
            "filter for 'publish' should not contain ':': 1:2"
        );
        assert_eq!(
            text("9-8"),
            "error while looking up for publish 9-8: invalid range specified for port: 9-8"
        );
        assert_eq!(
            text("x"),
            "error while looking up for publish x: strconv.ParseUint: parsing \"x\": invalid syntax"
        );
    }
}
