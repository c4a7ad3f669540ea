//! The words that Docker's JSON uses for the wire's enumerations.

use engine_types::{Error, Result};

/// `(wire value, word)`; the first row is the default.
pub struct Names {
    what: &'static str,
    rows: &'static [(i32, &'static str)],
}

impl Names {
    pub fn word(&self, value: i32) -> String {
        self.rows
            .iter()
            .find(|(v, _)| *v == value)
            .map_or(self.rows[0].1, |(_, word)| word)
            .to_owned()
    }

    /// An empty word is the default; another one is the client's mistake.
    pub fn value(&self, word: &str) -> Result<i32> {
        if word.is_empty() {
            return Ok(self.rows[0].0);
        }
        self.rows
            .iter()
            .find(|(_, w)| w.eq_ignore_ascii_case(word))
            .map(|(v, _)| *v)
            .ok_or_else(|| Error::invalid(format!("invalid {}: \"{word}\"", self.what)))
    }
}

macro_rules! names {
    ($($name:ident = $what:literal [$(($value:literal, $word:literal)),* $(,)?];)*) => {
        $(pub static $name: Names = Names { what: $what, rows: &[$(($value, $word)),*] };)*
    };
}

names! {
    NODE_ROLE = "Role" [(0, "worker"), (1, "manager")];
    NODE_AVAILABILITY = "Availability" [(0, "active"), (1, "pause"), (2, "drain")];
    NODE_STATE = "node state" [(0, "unknown"), (1, "down"), (2, "ready"), (3, "disconnected")];
    REACHABILITY = "reachability" [(0, "unknown"), (1, "unreachable"), (2, "reachable")];
    PROTOCOL = "protocol" [(0, "tcp"), (1, "udp"), (2, "sctp")];
    PUBLISH_MODE = "publish mode" [(0, "ingress"), (1, "host")];
    ENDPOINT_MODE = "endpoint mode" [(0, "vip"), (1, "dnsrr")];
    RESTART_CONDITION = "RestartCondition" [(2, "any"), (0, "none"), (1, "on-failure")];
    FAILURE_ACTION = "FailureAction" [(0, "pause"), (1, "continue"), (2, "rollback")];
    UPDATE_ORDER = "update order" [(0, "stop-first"), (1, "start-first")];
    UPDATE_STATE = "update state" [
        (0, ""), (1, "updating"), (2, "paused"), (3, "completed"), (4, "rollback_started"), (5, "rollback_paused"),
        (6, "rollback_completed"),
    ];
    MOUNT_TYPE = "MountType" [(0, "bind"), (1, "volume"), (2, "tmpfs"), (3, "npipe"), (4, "cluster")];
    CONSISTENCY = "mount consistency" [(0, "default"), (1, "consistent"), (2, "cached"), (3, "delegated")];
    PROPAGATION = "propagation" [(0, "rprivate"), (1, "private"), (2, "rshared"), (3, "shared"), (4, "rslave"), (5, "slave")];
    ISOLATION = "isolation" [(0, "default"), (1, "process"), (2, "hyperv")];
    TASK_STATE = "desired-state" [
        (0, "new"), (64, "pending"), (192, "assigned"), (256, "accepted"), (320, "preparing"), (384, "ready"),
        (448, "starting"), (512, "running"), (576, "complete"), (640, "shutdown"), (704, "failed"), (768, "rejected"),
        (800, "remove"), (832, "orphaned"),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_values_are_inverse() {
        for names in [
            &TASK_STATE,
            &RESTART_CONDITION,
            &NODE_AVAILABILITY,
            &MOUNT_TYPE,
        ] {
            for (value, word) in names.rows {
                assert_eq!(names.value(word), Ok(*value));
                assert_eq!(names.word(*value), *word);
            }
        }
        assert_eq!(
            RESTART_CONDITION.value(""),
            Ok(2),
            "Docker restarts on any exit unless told otherwise"
        );
        assert!(NODE_ROLE.value("boss").is_err());
    }
}
