//! Filters of `network ls` and `network prune`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use engine_types::network::{Inspect, PruneReport};
use engine_types::{Error, Filters, Result};
use jiff::{SignedDuration, Timestamp};

use crate::Controller;
use crate::model::is_predefined;
use crate::state::GATEWAY_BRIDGE;

const KEYS: [&str; 8] = [
    "dangling", "driver", "id", "idOrName", "label", "name", "scope", "type",
];

pub(crate) fn validate(filters: &Filters) -> Result<()> {
    filters.validate(&KEYS)?;
    match filters.get("dangling") {
        [] => {}
        [one] if parse_bool(one).is_some() => {}
        [one] => {
            return Err(Error::invalid(format!("invalid filter 'dangling=[{one}]'")));
        }
        _ => {
            return Err(Error::invalid(
                "got more than one value for filter key \"dangling\"",
            ));
        }
    }
    let types = filters.get("type");
    match types
        .iter()
        .find(|t| !matches!(t.as_str(), "builtin" | "custom"))
    {
        Some(_) => Err(Error::invalid(format!(
            "invalid filter 'type=[{}]'",
            types.join(" ")
        ))),
        None => Ok(()),
    }
}

pub(crate) fn matches(filters: &Filters, network: &Inspect, in_use: bool) -> bool {
    let labels = network.labels.clone().unwrap_or_default();
    let predefined = is_predefined(&network.name);
    let dangling = filters.get("dangling").first().and_then(|v| parse_bool(v));
    dangling.is_none_or(|wanted| wanted == (!predefined && !in_use))
        && filters.any("driver", |v| network.driver == v)
        && filters.any("id", |v| part_of(v, &network.id))
        && filters.any("name", |v| part_of(v, &network.name))
        && filters.any("idOrName", |v| network.name == v || part_of(v, &network.id))
        && filters.any("scope", |v| network.scope == v)
        && filters.any("type", |v| (v == "builtin") == predefined)
        && filters.labels_match("label", &labels)
}

/// Docker takes patterns; anchors are what people use of them.
fn part_of(pattern: &str, text: &str) -> bool {
    match (pattern.strip_prefix('^'), pattern.strip_suffix('$')) {
        (Some(rest), Some(_)) => rest.strip_suffix('$') == Some(text),
        (Some(start), None) => text.starts_with(start),
        (None, Some(end)) => text.ends_with(end),
        (None, None) => text.contains(pattern),
    }
}

pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

impl Controller {
    pub async fn prune(&self, filters: &Filters) -> Result<PruneReport> {
        static RUNNING: AtomicBool = AtomicBool::new(false);
        filters.validate(&["until", "label", "label!"])?;
        let until = until(filters.get("until"), Timestamp::now())?;
        if RUNNING.swap(true, Ordering::AcqRel) {
            return Err(Error::conflict("a prune operation is already running"));
        }
        let report = self.prune_now(filters, until).await;
        RUNNING.store(false, Ordering::Release);
        report
    }

    async fn prune_now(&self, filters: &Filters, until: Option<Timestamp>) -> Result<PruneReport> {
        let mut deleted = Vec::new();
        for network in self.list(&Filters::default()).await? {
            let labels = network.labels.clone().unwrap_or_default();
            let created = network.created.as_str().parse::<Timestamp>();
            let old = until.is_none_or(|until| created.is_ok_and(|created| created < until));
            let kept = is_predefined(&network.name)
                || network.ingress
                || network.config_only
                || network.name == GATEWAY_BRIDGE
                || !old
                || !filters.labels_match("label", &labels)
                || excluded(filters, &labels)
                || self.0.state().endpoints_on(&network.id).next().is_some();
            if kept {
                continue;
            }
            match self.remove(&network.id).await {
                Ok(()) => deleted.push(network.name),
                // In use elsewhere in the swarm, or since a moment ago.
                Err(error) => {
                    tracing::debug!(network = %network.name, %error, "network is not pruned")
                }
            }
        }
        self.0.emit_pruned();
        Ok(PruneReport {
            networks_deleted: Some(deleted).filter(|d| !d.is_empty()),
        })
    }
}

/// `label!`: one that holds keeps the network.
fn excluded(filters: &Filters, labels: &BTreeMap<String, String>) -> bool {
    filters
        .get("label!")
        .iter()
        .any(|unwanted| match unwanted.split_once('=') {
            Some((name, value)) => labels.get(name).is_some_and(|have| have == value),
            None => labels.contains_key(unwanted),
        })
}

/// RFC 3339, seconds since the epoch, or how long ago as Go writes durations (`1h30m`).
fn until(values: &[String], now: Timestamp) -> Result<Option<Timestamp>> {
    let value = match values {
        [] => return Ok(None),
        [value] => value,
        _ => return Err(Error::invalid("more than one until filter specified")),
    };
    let seconds = || Timestamp::from_second(value.split('.').next()?.parse().ok()?).ok();
    let ago = || now.checked_sub(value.parse::<SignedDuration>().ok()?).ok();
    let time = value.parse().ok().or_else(seconds).or_else(ago);
    let bad = || {
        Error::invalid(format!(
            "invalid until filter {value:?}: neither a time nor a duration"
        ))
    };
    time.map(Some).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("net", "my-net-1", true),
            ("^net", "my-net", false),
            ("^my", "my-net", true),
            ("net$", "my-net", true),
            ("^my-net$", "my-net", true),
            ("^my$", "my-net", false),
        ] {
            assert_eq!(part_of(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn until_takes_times_and_durations() {
        let now = Timestamp::from_second(10_000).unwrap();
        let read = |text: &str| until(&[text.to_string()], now).map(|t| t.unwrap().as_second());
        assert_eq!(read("1h30m").unwrap(), 10_000 - 5_400);
        assert_eq!(read("9000").unwrap(), 9_000);
        assert_eq!(read("1970-01-01T00:00:07Z").unwrap(), 7);
        assert!(read("soon").is_err());
        assert_eq!(until(&[], now).unwrap(), None);
    }
}
