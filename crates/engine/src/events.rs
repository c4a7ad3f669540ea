//! `docker events`: a bounded history and a live stream.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use engine_types::system::{Actor, Event};
use tokio::sync::broadcast;

use crate::error::lock;

/// As many as Docker remembers.
const REMEMBERED: usize = 256;

#[derive(Clone)]
pub struct Events(Arc<Shared>);

struct Shared {
    history: Mutex<VecDeque<Event>>,
    live: broadcast::Sender<Event>,
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

impl Events {
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            history: Mutex::new(VecDeque::new()),
            live: broadcast::channel(REMEMBERED).0,
        }))
    }

    pub fn publish(
        &self,
        kind: &str,
        action: &str,
        id: &str,
        attributes: BTreeMap<String, String>,
        scope: &str,
    ) {
        let now = jiff::Timestamp::now();
        // Clients older than API 1.22 read these three, which exist for containers and images only.
        let legacy = matches!(kind, "container" | "image");
        let only_legacy = |text: &str| {
            if legacy {
                text.to_owned()
            } else {
                String::new()
            }
        };
        let event = Event {
            status: only_legacy(action),
            id: only_legacy(id),
            from: only_legacy(attributes.get("image").map_or("", String::as_str)),
            kind: kind.to_owned(),
            action: action.to_owned(),
            actor: Actor {
                id: id.to_owned(),
                attributes,
            },
            scope: scope.to_owned(),
            time: now.as_second(),
            time_nano: i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX),
        };
        // The lock spans both, so that no subscriber misses an event or sees it twice.
        let mut history = lock(&self.0.history);
        if history.len() == REMEMBERED {
            history.pop_front();
        }
        history.push_back(event.clone());
        // No receiver is no error.
        let _ = self.0.live.send(event);
    }

    /// What is remembered (at most 256), and the events from here on.
    pub fn subscribe(&self) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let history = lock(&self.0.history);
        (history.iter().cloned().collect(), self.0.live.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_bounded_and_the_stream_continues_it() {
        let events = Events::new();
        for n in 0..300 {
            events.publish(
                "container",
                "start",
                &n.to_string(),
                BTreeMap::new(),
                "local",
            );
        }
        let (history, mut live) = events.subscribe();
        assert_eq!(history.len(), 256);
        assert_eq!(history[0].actor.id, "44");
        assert_eq!(history[0].status, "start");
        events.publish("network", "create", "n", BTreeMap::new(), "local");
        let event = live.try_recv().unwrap();
        assert_eq!(
            (event.kind.as_str(), event.status.as_str()),
            ("network", "")
        );
    }
}
