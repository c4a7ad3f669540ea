//! Which events a listener of `GET /events` gets to see.

use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engine_types::system::Event;
use engine_types::{Error, Filters, Result};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// Kinds of objects that a filter of the same name selects by the beginning of an id or a name.
const KINDS: [&str; 9] = [
    "config",
    "container",
    "daemon",
    "network",
    "node",
    "plugin",
    "secret",
    "service",
    "volume",
];

/// Actions that carry more after a colon (`exec_start: ls`): a filter for them matches their beginning.
const WITH_DETAIL: [&str; 3] = ["exec_create", "exec_start", "health_status"];

/// What a client asks of `GET /events`. Times are in nanoseconds since 1970. As in Docker, a filter that there is not
/// selects everything.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub filters: Filters,
    pub since: Option<i64>,
    pub until: Option<i64>,
}

impl Selection {
    pub fn new(
        filters: Filters,
        since: Option<(i64, i32)>,
        until: Option<(i64, i32)>,
    ) -> Result<Self> {
        let nanos = |(s, n): (i64, i32)| s.saturating_mul(1_000_000_000).saturating_add(n.into());
        let (since, until) = (since.map(nanos), until.map(nanos));
        if let (Some(since), Some(until)) = (since, until)
            && since > until
        {
            return Err(Error::invalid(format!(
                "`since` time ({since}) cannot be after `until` time ({until})"
            )));
        }
        Ok(Self {
            filters,
            since,
            until,
        })
    }

    /// Remembered events, when the client asks for the past; then the live ones, until the end that it set.
    pub fn stream(
        self,
        history: Vec<Event>,
        live: Receiver<Event>,
    ) -> Pin<Box<dyn Stream<Item = Event> + Send>> {
        let past = self.since.is_some() || self.until.is_some();
        let wanted = self.clone();
        let history: Vec<Event> = history
            .into_iter()
            .filter(|event| past && wanted.in_time(event) && wanted.matches(event))
            .collect();
        let end = self.until.map(remaining);
        let live = stream::unfold(live, |mut live| async {
            loop {
                match live.recv().await {
                    Ok(event) => return Some((event, live)),
                    Err(RecvError::Lagged(lost)) => {
                        tracing::warn!(lost, "a listener is too slow, events are lost to it");
                    }
                    Err(RecvError::Closed) => return None,
                }
            }
        })
        .filter(move |event| std::future::ready(self.matches(event)))
        .take_until(async move {
            match end {
                Some(end) => tokio::time::sleep(end).await,
                None => std::future::pending().await,
            }
        });
        Box::pin(stream::iter(history).chain(live))
    }

    fn in_time(&self, event: &Event) -> bool {
        self.since.is_none_or(|since| event.time_nano >= since)
            && self.until.is_none_or(|until| event.time_nano <= until)
    }

    fn matches(&self, event: &Event) -> bool {
        let filters = &self.filters;
        let name = event
            .actor
            .attributes
            .get("name")
            .map_or("", String::as_str);
        let detail = filters
            .get("event")
            .iter()
            .any(|want| WITH_DETAIL.contains(&want.as_str()));
        filters.any("event", |want| {
            want == event.action || detail && event.action.starts_with(want)
        }) && filters.any("type", |want| want == event.kind)
            && filters.any("scope", |want| want == event.scope)
            && KINDS.iter().all(|kind| {
                filters.any(kind, |want| {
                    event.actor.id.starts_with(want) || name.starts_with(want)
                })
            })
            && filters.any("image", |want| is_image(event, want))
            && filters.labels_match("label", &event.actor.attributes)
    }
}

fn remaining(until: i64) -> Duration {
    let until = UNIX_EPOCH + Duration::from_nanos(until.max(0).unsigned_abs());
    until.duration_since(SystemTime::now()).unwrap_or_default()
}

/// An image's own event by its id or name, a container's by its image; the tag may be left out.
fn is_image(event: &Event, want: &str) -> bool {
    let attribute = if event.kind == "image" {
        "name"
    } else {
        "image"
    };
    let name = event.actor.attributes.get(attribute);
    let matches = |reference: &String| reference == want || without_tag(reference) == want;
    matches(&event.actor.id) || name.is_some_and(matches)
}

fn without_tag(reference: &str) -> &str {
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => reference,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine_types::system::Actor;
    use tokio::sync::broadcast;

    fn event(kind: &str, action: &str, id: &str, attributes: &[(&str, &str)], at: i64) -> Event {
        Event {
            kind: kind.into(),
            action: action.into(),
            actor: Actor {
                id: id.into(),
                attributes: attributes
                    .iter()
                    .map(|(k, v)| ((*k).into(), (*v).into()))
                    .collect(),
            },
            scope: "local".into(),
            time_nano: at,
            ..Default::default()
        }
    }

    fn selects(filters: &str, event: &Event) -> bool {
        let filters = serde_json::from_str(filters).unwrap();
        Selection::new(filters, None, None).unwrap().matches(event)
    }

    #[test]
    fn filters_are_dockers() {
        let start = event(
            "container",
            "exec_start: ls",
            "abcdef",
            &[("name", "c1"), ("image", "busybox:1"), ("tier", "db")],
            0,
        );
        for (filters, expected) in [
            (r#"{}"#, true),
            (r#"{"type":["container","image"]}"#, true),
            (r#"{"type":["image"]}"#, false),
            (r#"{"container":["c1"]}"#, true),
            (r#"{"container":["abc"]}"#, true),
            (r#"{"container":["c2"]}"#, false),
            (r#"{"network":["n"]}"#, false),
            (r#"{"image":["busybox"]}"#, true),
            (r#"{"image":["busybox:1"]}"#, true),
            (r#"{"image":["busy"]}"#, false),
            (r#"{"label":["tier=db"]}"#, true),
            (r#"{"label":["tier=db","owner"]}"#, false),
            (r#"{"event":["exec_start"]}"#, true),
            (r#"{"event":["exec"]}"#, false),
            (r#"{"event":["exec_start: ls"]}"#, true),
            (r#"{"scope":["swarm"]}"#, false),
        ] {
            assert_eq!(selects(filters, &start), expected, "{filters}");
        }
    }

    #[test]
    fn a_time_that_ends_before_it_begins_is_refused() {
        assert!(Selection::new(Filters::default(), Some((2, 0)), Some((1, 0))).is_err());
    }

    #[tokio::test]
    async fn the_past_ends_by_itself() {
        let (_sender, live) = broadcast::channel(4);
        let second = 1_000_000_000;
        let history = (1..=5)
            .map(|s| event("container", "start", &s.to_string(), &[], s * second))
            .collect();
        let selection = Selection::new(Filters::default(), Some((2, 0)), Some((4, 0))).unwrap();
        let seen: Vec<String> = selection
            .stream(history, live)
            .map(|e| e.actor.id)
            .collect()
            .await;
        assert_eq!(seen, ["2", "3", "4"]);
    }

    #[tokio::test]
    async fn without_times_only_what_happens_from_now_on() {
        let (sender, live) = broadcast::channel(4);
        let history = vec![event("container", "start", "old", &[], 1)];
        let stream = Selection::default().stream(history, live);
        sender
            .send(event("container", "die", "new", &[], 2))
            .unwrap();
        drop(sender);
        let seen: Vec<String> = stream.map(|e| e.actor.id).collect().await;
        assert_eq!(seen, ["new"]);
    }
}
