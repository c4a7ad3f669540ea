//! Placement constraints: `node.labels.disk == ssd`, `node.role != manager`.

use std::net::IpAddr;

use ipnet::IpNet;
use swarm_wire::pb;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    key: String,
    equal: bool,
    value: String,
}

/// Texts are SwarmKit's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("key '{0}' is invalid")]
    Key(String),
    #[error("value '{0}' is invalid")]
    Value(String),
    #[error("constraint expected one operator from ==, !=")]
    Operator,
}

pub fn parse(expressions: &[String]) -> Result<Vec<Constraint>, Error> {
    expressions
        .iter()
        .map(|text| Constraint::parse(text))
        .collect()
}

impl Constraint {
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (key, value, equal) = match (text.split_once("=="), text.split_once("!=")) {
            (Some((key, value)), _) => (key, value, true),
            (None, Some((key, value))) => (key, value, false),
            (None, None) => return Err(Error::Operator),
        };
        let (key, value) = (key.trim(), value.trim());
        if !valid_key(key) {
            return Err(Error::Key(key.to_owned()));
        }
        if value.is_empty() || !value.chars().all(valid_in_value) {
            return Err(Error::Value(value.to_owned()));
        }
        Ok(Self {
            key: key.to_owned(),
            equal,
            value: value.to_owned(),
        })
    }

    /// Keys and values compare without regard to case, but for the names of labels.
    pub fn matches(&self, node: &pb::Node) -> bool {
        let description = node.description.as_ref();
        let platform = description.and_then(|d| d.platform.as_ref());
        let key = self.key.to_ascii_lowercase();
        let actual = match key.as_str() {
            "node.id" => &node.id,
            "node.hostname" => description.map_or("", |d| &d.hostname),
            "node.ip" => return self.matches_address(node),
            "node.role" => match node.role() {
                pb::NodeRole::Worker => "worker",
                pb::NodeRole::Manager => "manager",
            },
            "node.platform.os" => platform.map_or("", |p| &p.os),
            "node.platform.arch" => platform.map_or("", |p| &p.architecture),
            _ => {
                let engine = description.and_then(|d| d.engine.as_ref());
                let spec = node
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.annotations.as_ref());
                let labels = if key.starts_with("node.labels.") {
                    spec.map(|annotations| &annotations.labels)
                } else if key.starts_with("engine.labels.") {
                    engine.map(|engine| &engine.labels)
                } else {
                    return false;
                };
                let name = self.key.splitn(3, '.').nth(2).unwrap_or_default();
                if name.is_empty() {
                    return false;
                }
                labels
                    .and_then(|labels| labels.get(name))
                    .map_or("", String::as_str)
            }
        };
        self.value.eq_ignore_ascii_case(actual) == self.equal
    }

    /// An address or a subnet; a malformed one matches nothing.
    fn matches_address(&self, node: &pb::Node) -> bool {
        let address: Option<IpAddr> = node.status.as_ref().and_then(|s| s.addr.parse().ok());
        let hit = if let Ok(wanted) = self.value.parse::<IpAddr>() {
            address == Some(wanted)
        } else if let Ok(subnet) = self.value.parse::<IpNet>() {
            address.is_some_and(|address| subnet.contains(&address))
        } else {
            return false;
        };
        hit == self.equal
    }
}

fn valid_key(key: &str) -> bool {
    let mut chars = key.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && key.len() > 1
        && chars.all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn valid_in_value(c: char) -> bool {
    c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || r":-_.*()?+[]\^$|/".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> pb::Node {
        pb::Node {
            id: "n1".into(),
            role: pb::NodeRole::Manager.into(),
            spec: Some(pb::NodeSpec {
                annotations: Some(pb::Annotations {
                    labels: [("disk".to_owned(), "ssd".to_owned())].into(),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            description: Some(pb::NodeDescription {
                hostname: "Alpha".into(),
                ..Default::default()
            }),
            status: Some(pb::NodeStatus {
                addr: "10.1.2.3".into(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn constraints_match_as_swarmkit_does() {
        for (text, expected) in [
            ("node.id == n1", true),
            ("node.id!=n1", false),
            ("node.hostname==alpha", true),
            ("NODE.ROLE == Manager", true),
            ("node.role != manager", false),
            ("node.labels.disk == SSD", true),
            ("node.labels.Disk == ssd", false),
            ("node.labels.none != x", true),
            ("engine.labels.none == x", false),
            ("node.platform.os != linux", true),
            ("node.ip == 10.1.2.3", true),
            ("node.ip == 10.1.0.0/16", true),
            ("node.ip != 10.1.0.0/16", false),
            ("node.ip == nonsense", false),
            ("node.ip != nonsense", false),
            ("node.other == x", false),
            ("node.other != x", false),
        ] {
            let constraint = Constraint::parse(text).unwrap();
            assert_eq!(constraint.matches(&node()), expected, "{text}");
        }
    }

    #[test]
    fn malformed_constraints_say_what_is_wrong() {
        for (text, expected) in [
            ("node.id", "constraint expected one operator from ==, !="),
            (
                "node.id = a",
                "constraint expected one operator from ==, !=",
            ),
            ("no de == a", "key 'no de' is invalid"),
            ("1node == a", "key '1node' is invalid"),
            ("node.id == ", "value '' is invalid"),
            ("node.id == a~b", "value 'a~b' is invalid"),
        ] {
            assert_eq!(
                Constraint::parse(text).unwrap_err().to_string(),
                expected,
                "{text}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text in ".{0,60}") {
            if let Ok(constraint) = Constraint::parse(&text) {
                let _ = constraint.matches(&node());
            }
        }

        #[test]
        fn equal_and_not_equal_exclude_each_other(value in "[a-z0-9]{1,8}") {
            let yes = Constraint::parse(&format!("node.labels.disk == {value}")).unwrap();
            let no = Constraint::parse(&format!("node.labels.disk != {value}")).unwrap();
            proptest::prop_assert_ne!(yes.matches(&node()), no.matches(&node()));
        }
    }
}
