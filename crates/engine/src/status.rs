//! The texts of `docker ps`'s status column.

use engine_types::Time;

use crate::record::State;

/// Docker's `Status`: "Up 3 seconds (healthy)", "Exited (0) 2 minutes ago", "Created".
pub(crate) fn status_text(state: &State, now: jiff::Timestamp) -> String {
    let since = |time: &Time| {
        let ago = time
            .as_str()
            .parse::<jiff::Timestamp>()
            .map_or(0, |time| now.duration_since(time).as_secs());
        human_duration(ago.max(0))
    };
    match state.status() {
        "paused" => format!("Up {} (Paused)", since(&state.started_at)),
        "restarting" => format!(
            "Restarting ({}) {} ago",
            state.exit_code,
            since(&state.finished_at)
        ),
        "running" => {
            let up = format!("Up {}", since(&state.started_at));
            match state.health.as_ref().map(|health| health.status.as_str()) {
                Some("starting") => format!("{up} (health: starting)"),
                Some(health @ ("healthy" | "unhealthy")) => format!("{up} ({health})"),
                _ => up,
            }
        }
        "removing" => "Removal In Progress".to_owned(),
        "created" => "Created".to_owned(),
        _ if state.finished_at.is_zero() => "Created".to_owned(),
        _ => format!(
            "Exited ({}) {} ago",
            state.exit_code,
            since(&state.finished_at)
        ),
    }
}

/// Go's `units.HumanDuration`.
fn human_duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    // Rounded, as Go does it.
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (seconds, expected) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (150, "2 minutes"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (3 * 86400, "3 days"),
            (21 * 86400, "3 weeks"),
            (90 * 86400, "3 months"),
            (800 * 86400, "2 years"),
        ] {
            assert_eq!(human_duration(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn statuses() {
        let now: jiff::Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let mut state = State::default();
        assert_eq!(status_text(&state, now), "Created");
        state.started_at = Time("2026-01-01T00:00:57Z".to_owned());
        state.running = true;
        assert_eq!(status_text(&state, now), "Up 3 seconds");
        state.running = false;
        state.exit_code = 3;
        state.finished_at = Time("2026-01-01T00:00:58Z".to_owned());
        assert_eq!(status_text(&state, now), "Exited (3) 2 seconds ago");
    }
}
