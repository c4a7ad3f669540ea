//! Finding the managers' objects by id, name or prefix, and the filters of their listings.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine_types::{Error, Filters, Result};
use swarm_wire::pb;

/// What look-ups and filters need of any object.
pub trait Named {
    const KIND: &'static str;
    fn id(&self) -> &str;
    fn annotations(&self) -> Option<&pb::Annotations>;
    fn name(&self) -> &str {
        self.annotations().map_or("", |a| a.name.as_str())
    }
    fn labels(&self) -> BTreeMap<String, String> {
        self.annotations()
            .map(|a| a.labels.clone())
            .unwrap_or_default()
    }
}

macro_rules! named {
    ($($t:ident = $kind:literal),*) => {
        $(impl Named for pb::$t {
            const KIND: &'static str = $kind;
            fn id(&self) -> &str { &self.id }
            fn annotations(&self) -> Option<&pb::Annotations> { self.spec.as_ref().and_then(|s| s.annotations.as_ref()) }
        })*
    };
}
named!(
    Service = "service",
    Network = "network",
    Secret = "secret",
    Config = "config"
);

impl Named for pb::Task {
    const KIND: &'static str = "task";
    fn id(&self) -> &str {
        &self.id
    }
    fn annotations(&self) -> Option<&pb::Annotations> {
        self.annotations.as_ref()
    }
}

impl Named for pb::Node {
    const KIND: &'static str = "node";
    fn id(&self) -> &str {
        &self.id
    }
    fn annotations(&self) -> Option<&pb::Annotations> {
        self.spec.as_ref().and_then(|s| s.annotations.as_ref())
    }
    fn name(&self) -> &str {
        self.description
            .as_ref()
            .map_or("", |d| d.hostname.as_str())
    }
}

pub type Table<T> = imbl::OrdMap<String, Arc<T>>;

/// By id, then by name, then by a prefix of the id; more than one is an error.
pub fn find<T: Named>(table: &Table<T>, reference: &str) -> Result<Arc<T>> {
    if let Some(found) = table.get(reference) {
        return Ok(found.clone());
    }
    let named: Vec<_> = table.values().filter(|o| o.name() == reference).collect();
    let found = match named.is_empty() {
        false => named,
        true => table
            .values()
            .filter(|o| !reference.is_empty() && o.id().starts_with(reference))
            .collect(),
    };
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Error::not_found(format!(
            "{} {reference} not found",
            T::KIND
        ))),
        many => Err(Error::invalid(format!(
            "{} {reference} is ambiguous ({} matches found)",
            T::KIND,
            many.len()
        ))),
    }
}

/// The filters that every listing has: id and name by prefix, labels.
pub fn matches<T: Named>(object: &T, filters: &Filters) -> bool {
    filters.any("id", |id| object.id().starts_with(id))
        && filters.any("name", |name| object.name().starts_with(name))
        && filters.labels_match("label", &object.labels())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(id: &str, name: &str) -> (String, Arc<pb::Service>) {
        let annotations = Some(pb::Annotations {
            name: name.into(),
            ..Default::default()
        });
        let spec = Some(pb::ServiceSpec {
            annotations,
            ..Default::default()
        });
        (
            id.into(),
            Arc::new(pb::Service {
                id: id.into(),
                spec,
                ..Default::default()
            }),
        )
    }

    #[test]
    fn look_up_by_id_name_and_prefix() {
        let table: Table<pb::Service> = [
            service("abc1", "web"),
            service("abd2", "db"),
            service("xyz3", "abc1"),
        ]
        .into_iter()
        .collect();
        let check = |reference: &str, want: Result<&str, &str>| {
            let found = find(&table, reference)
                .map(|s| s.id.clone())
                .map_err(|e| e.message);
            assert_eq!(
                found.as_deref().map_err(String::as_str),
                want,
                "{reference}"
            );
        };
        check("abc1", Ok("abc1"));
        check("web", Ok("abc1"));
        check("abd", Ok("abd2"));
        check("ab", Err("service ab is ambiguous (2 matches found)"));
        check("nope", Err("service nope not found"));
        check("", Err("service  not found"));
    }
}
