//! Which nodes are in session, and when silence becomes a failure. No clock and no I/O: the time comes in.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tonic::Status;

/// Missed heartbeats until a node is down.
const GRACE: u32 = 3;
/// After a manager's start, nodes that it has not heard of yet get this much more.
const UNKNOWN_GRACE: u32 = 2 * GRACE;
/// What is down this long has lost its tasks.
const ORPHAN: Duration = Duration::from_secs(24 * 3600);
const RATE_PERIOD: Duration = Duration::from_secs(8);
const RATE_COUNT: u32 = 3;

#[derive(Default)]
pub(super) struct Nodes {
    nodes: BTreeMap<String, Entry>,
}

struct Entry {
    phase: Phase,
    deadline: Instant,
    registered: Instant,
    attempts: u32,
}

#[derive(PartialEq)]
enum Phase {
    /// In the store, not heard of since this manager started.
    Unknown,
    Session(String),
    Down,
}

/// A deadline that passed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// `unknown`: it never came back after the manager's start.
    Down { node_id: String, unknown: bool },
    /// Down for a day: its tasks are orphans.
    Orphaned { node_id: String },
}

impl Nodes {
    /// A node that the store had when the manager started.
    pub fn restored(&mut self, now: Instant, node_id: &str, down: bool, period: Duration) {
        let (phase, patience) = match down {
            true => (Phase::Down, ORPHAN),
            false => (Phase::Unknown, period * UNKNOWN_GRACE),
        };
        let entry = Entry {
            phase,
            deadline: now + patience,
            registered: now,
            attempts: 0,
        };
        self.nodes.insert(node_id.to_owned(), entry);
    }

    /// Opens a session; an earlier one of the node is over. More than three within eight seconds are refused.
    pub fn register(
        &mut self,
        now: Instant,
        node_id: &str,
        session_id: String,
        period: Duration,
    ) -> Result<(), Status> {
        let deadline = now + period * GRACE;
        let Some(entry) = self.nodes.get_mut(node_id) else {
            let entry = Entry {
                phase: Phase::Session(session_id),
                deadline,
                registered: now,
                attempts: 0,
            };
            self.nodes.insert(node_id.to_owned(), entry);
            return Ok(());
        };
        if now.duration_since(entry.registered) > RATE_PERIOD {
            entry.attempts = 0;
        }
        entry.attempts += 1;
        if entry.attempts > RATE_COUNT {
            return Err(Status::unavailable(format!(
                "node {node_id} exceeded rate limit count of registrations"
            )));
        }
        entry.registered = now;
        entry.phase = Phase::Session(session_id);
        entry.deadline = deadline;
        Ok(())
    }

    pub fn check(&self, node_id: &str, session_id: &str) -> Result<(), Status> {
        match self.nodes.get(node_id).map(|entry| &entry.phase) {
            Some(Phase::Session(id)) if id == session_id => Ok(()),
            Some(Phase::Session(_)) => Err(Status::invalid_argument("session invalid")),
            Some(Phase::Unknown | Phase::Down) | None => {
                Err(Status::not_found("node not registered"))
            }
        }
    }

    /// The node lives; silence is a failure after three times `period`.
    pub fn heartbeat(
        &mut self,
        now: Instant,
        node_id: &str,
        session_id: &str,
        period: Duration,
    ) -> Result<(), Status> {
        self.check(node_id, session_id)?;
        if let Some(entry) = self.nodes.get_mut(node_id) {
            entry.deadline = now + period * GRACE;
        }
        Ok(())
    }

    /// The node is no longer in the store.
    pub fn remove(&mut self, node_id: &str) {
        self.nodes.remove(node_id);
    }

    pub fn is_down(&self, node_id: &str) -> bool {
        let entry = self.nodes.get(node_id);
        entry.is_some_and(|entry| entry.phase == Phase::Down)
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.nodes.values().map(|entry| entry.deadline).min()
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        self.nodes.retain(|node_id, entry| {
            if entry.deadline > now {
                return true;
            }
            let node_id = node_id.clone();
            if entry.phase == Phase::Down {
                events.push(Event::Orphaned { node_id });
                return false;
            }
            let unknown = entry.phase == Phase::Unknown;
            events.push(Event::Down { node_id, unknown });
            entry.phase = Phase::Down;
            entry.deadline = now + ORPHAN;
            true
        });
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(5);

    fn after(seconds: u64) -> Instant {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(Instant::now) + Duration::from_secs(seconds)
    }

    fn down(unknown: bool) -> Vec<Event> {
        vec![Event::Down {
            node_id: "n".into(),
            unknown,
        }]
    }

    #[test]
    fn three_missed_heartbeats_are_a_failure_and_a_day_orphans() {
        let mut nodes = Nodes::default();
        nodes.register(after(0), "n", "s".into(), PERIOD).unwrap();
        nodes.heartbeat(after(5), "n", "s", PERIOD).unwrap();
        assert_eq!(nodes.poll_timeout(), Some(after(20)));
        assert_eq!(nodes.handle_timeout(after(19)), []);
        assert_eq!(nodes.handle_timeout(after(20)), down(false));
        assert!(nodes.is_down("n"));
        let gone = nodes.heartbeat(after(21), "n", "s", PERIOD).unwrap_err();
        assert_eq!(gone.message(), "node not registered");
        let day = 20 + 24 * 3600;
        assert_eq!(nodes.handle_timeout(after(day - 1)), []);
        let orphaned = Event::Orphaned {
            node_id: "n".into(),
        };
        assert_eq!(nodes.handle_timeout(after(day)), [orphaned]);
        assert_eq!(nodes.poll_timeout(), None);
    }

    #[test]
    fn unknown_nodes_get_twice_the_grace() {
        let mut nodes = Nodes::default();
        nodes.restored(after(0), "n", false, PERIOD);
        assert!(nodes.check("n", "").is_err());
        assert_eq!(nodes.handle_timeout(after(29)), []);
        assert_eq!(nodes.handle_timeout(after(30)), down(true));
    }

    #[test]
    fn a_new_session_ends_the_old_and_registrations_are_limited() {
        let mut nodes = Nodes::default();
        nodes.register(after(0), "n", "a".into(), PERIOD).unwrap();
        nodes.register(after(1), "n", "b".into(), PERIOD).unwrap();
        let old = nodes.check("n", "a").unwrap_err();
        assert_eq!(old.message(), "session invalid");
        nodes.register(after(2), "n", "c".into(), PERIOD).unwrap();
        nodes.register(after(3), "n", "d".into(), PERIOD).unwrap();
        let limited = nodes
            .register(after(4), "n", "e".into(), PERIOD)
            .unwrap_err();
        assert_eq!(limited.code(), tonic::Code::Unavailable);
        nodes.check("n", "d").unwrap();
        nodes.register(after(12), "n", "f".into(), PERIOD).unwrap();
    }
}
