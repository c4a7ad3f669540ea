//! Legacy links: between containers on the default bridge, which has no names.
//!
//! A linking container has the other's name in its `hosts`, and may reach its exposed ports even where containers may not
//! talk to each other. Both follow the other container when it gets another address.

use netstate::Row;

use crate::controller::Inner;
use crate::model::{Endpoint, Record};
use crate::state::State;

const OWNER: &str = "links";

pub(crate) struct Linked<'a> {
    pub to: &'a Record,
    pub endpoint: &'a Endpoint,
    pub alias: &'a str,
}

impl State {
    fn asks_for_links(&self, record: &Record) -> bool {
        let mut own = record.endpoints.iter();
        own.any(|e| {
            let links = e.settings.links.as_ref();
            links.is_some_and(|l| !l.is_empty())
                && self.network(&e.network).is_ok_and(|n| n.is_predefined())
        })
    }

    /// What a container is linked to, as far as it runs.
    pub fn legacy_links<'a>(&'a self, record: &'a Record) -> Vec<Linked<'a>> {
        let predefined = |e: &&Endpoint| self.network(&e.network).is_ok_and(|n| n.is_predefined());
        let mut found = Vec::new();
        for own in record.endpoints.iter().filter(predefined) {
            for (target, alias) in links(own.settings.links.as_deref()) {
                let mut there = self.endpoints_on(&own.network);
                let linked = there.find(|(r, _)| r.is_called(target));
                found.extend(linked.map(|(to, endpoint)| Linked {
                    to,
                    endpoint,
                    alias,
                }));
            }
        }
        found
    }

    fn link_rows(&self, record: &Record) -> Vec<Row> {
        let mut rows = Vec::new();
        for Linked { to, endpoint, .. } in self.legacy_links(record) {
            let ranges = to.spec.exposed.iter();
            let ports: Vec<_> = ranges
                .flat_map(|(protocol, first, last)| (*first..=*last).map(|p| (protocol.clone(), p)))
                .collect();
            if let (Some(from), Ok(network)) = (
                record.endpoint_on(&endpoint.network),
                self.network(&endpoint.network),
            ) && let Ok(driver) = self.driver(network)
            {
                rows.extend(driver.link_rows(network, from, endpoint, &ports));
            }
        }
        rows
    }
}

impl Inner {
    /// After a change to `container`, whose own files have been written already.
    pub async fn refresh_links(&self, container: &str) {
        let mut last = self.link_rows.lock().await;
        let (rows, linking) = {
            let state = self.state();
            let linking: Vec<Record> = state
                .records
                .values()
                .filter(|r| state.asks_for_links(r))
                .cloned()
                .collect();
            let rows: Vec<Row> = linking.iter().flat_map(|r| state.link_rows(r)).collect();
            (rows, linking)
        };
        if *last != rows {
            match self
                .kernel
                .set_many(vec![(OWNER.into(), rows.clone())])
                .await
            {
                Ok(()) => *last = rows,
                Err(error) => tracing::warn!(%error, "linked containers may not reach each other"),
            }
        }
        for record in linking.iter().filter(|r| r.spec.container_id != container) {
            if let Err(error) = self.write_files(record) {
                tracing::warn!(container = %record.spec.container_id, %error, "hosts of a linking container are old");
            }
        }
    }
}

impl Record {
    /// By name, full id or short id.
    fn is_called(&self, name: &str) -> bool {
        let spec = &self.spec;
        spec.container_name.trim_start_matches('/') == name
            || spec.container_id == name
            || (name.len() == 12 && spec.container_id.starts_with(name))
    }
}

/// `container:alias`, or `container` alone.
pub(crate) fn links(links: Option<&[String]>) -> impl Iterator<Item = (&str, &str)> {
    let links = links.unwrap_or_default().iter();
    links.map(|link| {
        let (target, alias) = link.split_once(':').unwrap_or((link, link));
        (
            target.trim_start_matches('/'),
            alias.trim_start_matches('/'),
        )
    })
}
