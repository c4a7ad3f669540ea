//! The end of a container: noticed by its process handles, cleaned up, and perhaps the beginning of the next run.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use engine_types::Time;

use crate::error::lock;
use crate::inner::{Container, Live};
use crate::record::Record;
use crate::runtime::{ended, pidfd, read_pid};
use crate::{Engine, signal};

/// What a container that was killed without anybody to tell its code has ended with.
const UNKNOWN_EXIT: i64 = 137;

const FIRST_BACKOFF: u64 = 100;
const LONGEST_BACKOFF: u64 = 60_000;
/// A run of this long makes the next wait short again.
const GOOD_RUN: Duration = Duration::from_secs(10);
/// conmon ends right after its container: it has only output to write out.
const CONMON_GRACE: Duration = Duration::from_secs(10);

impl Engine {
    /// Follows the running container to its end, in the background.
    pub(crate) fn watch(&self, container: &Arc<Container>) {
        let Some(live) = container.live() else {
            return;
        };
        let engine = self.clone();
        let container = container.clone();
        tokio::spawn(async move {
            let bundle = engine.inner.run_dir(&container.id);
            tokio::select! {
                () = finished(&bundle, &live) => {}
                // The next daemon takes over.
                () = engine.inner.closed() => return,
            }
            engine.exited(&container).await;
        });
    }

    /// conmon and the container have ended.
    pub(crate) async fn exited(&self, container: &Arc<Container>) {
        let changing = container.changing.lock().await;
        if container.live().is_none() || self.inner.is_closing() {
            return;
        }
        let end = read_end(&self.inner.run_dir(&container.id));
        let mut record = container.record();
        let ran = elapsed(&record.state.started_at, &end.finished);
        let restart = wants_restart(&record, end.code);
        end_run(&mut record, &end, restart);
        // On disk first: with the bundle goes the only other place that knows the exit code.
        if let Err(error) = self.inner.save_record(&container.id, &record).await {
            tracing::error!(id = container.id, %error, "the exit code was not saved");
        }
        self.inner.tear_down(container).await;
        *lock(&container.live) = None;
        container.change(|record| end_run(record, &end, restart));
        if end.oom_killed {
            self.inner.event(container, "oom", &[]);
        }
        let attributes = [
            ("exitCode", end.code.to_string()),
            ("execDuration", ran.as_secs().to_string()),
        ];
        self.inner.event(container, "die", &attributes);
        container.phase.send_modify(|phase| {
            // Docker counts a container that waits for its restart as running.
            phase.running = restart;
            phase.exits += 1;
            phase.exit_code = end.code;
        });
        drop(changing);
        if restart {
            self.restart_later(container, next_backoff(container, ran));
        } else if record.host_config.auto_remove {
            self.auto_remove(container).await;
        }
    }

    /// Starts it again after the policy's wait, unless somebody stops it meanwhile.
    pub(crate) fn restart_later(&self, container: &Arc<Container>, wait: Duration) {
        let engine = self.clone();
        let container = container.clone();
        tokio::spawn(async move {
            let cancelled = container.stop_restarting.notified();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = cancelled => return,
                () = engine.inner.closed() => return,
            }
            let _changing = container.changing.lock().await;
            // Stopped, started or removed while it waited for the lock.
            if container.with(|r| r.state.manually_stopped || r.state.removing) {
                engine.cancel_restart(&container);
            }
            if !container.with(|r| r.state.restarting && !r.state.running) {
                return;
            }
            if let Err(error) = engine.start_locked(&container).await {
                tracing::warn!(id = container.id, %error, "the container could not be restarted");
            }
        });
    }

    pub(crate) async fn auto_remove(&self, container: &Arc<Container>) {
        if self.inner.is_closing() {
            return;
        }
        if let Err(error) = self.remove(&container.id, true, true).await {
            tracing::debug!(id = container.id, %error, "automatic removal");
        }
    }
}

/// Writes the end into the record, and whether the next run is waited for.
pub(crate) fn end_run(record: &mut Record, end: &End, restart: bool) {
    let state = &mut record.state;
    state.running = false;
    state.paused = false;
    state.restarting = restart;
    state.pid = 0;
    state.exit_code = end.code;
    state.oom_killed = end.oom_killed;
    // Files have the time of the last clock tick, which may lie before a short run's beginning.
    state.finished_at = end.finished.clone().max(state.started_at.clone());
    if let Some(health) = &mut state.health {
        health.status = "unhealthy".to_owned();
    }
    if restart {
        record.restart_count += 1;
    }
}

/// How a container ended.
pub(crate) struct End {
    pub code: i64,
    pub finished: Time,
    pub oom_killed: bool,
}

/// Reads conmon's last words from the bundle.
pub(crate) fn read_end(bundle: &Path) -> End {
    let file = bundle.join("exit");
    let code = std::fs::read_to_string(&file)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let finished = std::fs::metadata(&file)
        .and_then(|metadata| metadata.modified())
        .ok()
        .and_then(|time| jiff::Timestamp::try_from(time).ok())
        .map_or_else(Time::now, |time| Time(format!("{time:.9}")));
    End {
        code: code.unwrap_or(UNKNOWN_EXIT),
        finished,
        oom_killed: bundle.join("oom").exists(),
    }
}

/// Resolves when the container has ended and conmon has written all of it down.
async fn finished(bundle: &Path, live: &Live) {
    if let Some(conmon) = conmon_of(bundle)
        && let Err(error) = ended(&conmon).await
    {
        tracing::error!(%error, "conmon can't be watched");
    }
    if bundle.join("exit").exists() {
        return;
    }
    // conmon was killed: the container has lost its streams and nobody waits for it. It must not run on unseen.
    if let Err(error) = signal::send(&live.init, signal::KILL) {
        tracing::error!(%error, "a container without conmon can't be killed");
    }
    let _ = tokio::time::timeout(CONMON_GRACE, ended(&live.init)).await;
}

/// conmon's process, if it is still the one that this bundle's container has.
pub(crate) fn conmon_of(bundle: &Path) -> Option<OwnedFd> {
    let pid = read_pid(&bundle.join("conmon.pid"))?;
    let handle = pidfd(pid).ok()?;
    // After the handle is open the number can't be reused any more: the command line tells whose it is.
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let bundle = bundle.to_string_lossy();
    command
        .split(|byte| *byte == 0)
        .any(|argument| argument == bundle.as_bytes())
        .then_some(handle)
}

/// Docker's rules, for a container that has just ended.
fn wants_restart(record: &Record, code: i64) -> bool {
    let policy = &record.host_config.restart_policy;
    if record.state.manually_stopped || record.state.removing || record.managed {
        return false;
    }
    match policy.name.as_str() {
        "always" | "unless-stopped" => true,
        "on-failure" => {
            let limit = policy.maximum_retry_count;
            code != 0 && (limit == 0 || record.restart_count < limit)
        }
        _ => false,
    }
}

fn next_backoff(container: &Container, ran: Duration) -> Duration {
    let last = container.backoff.load(Ordering::Relaxed);
    let next = backoff(last, ran);
    container.backoff.store(next, Ordering::Relaxed);
    Duration::from_millis(next)
}

fn backoff(last: u64, ran: Duration) -> u64 {
    if last == 0 || ran >= GOOD_RUN {
        FIRST_BACKOFF
    } else {
        (last * 2).min(LONGEST_BACKOFF)
    }
}

fn elapsed(from: &Time, to: &Time) -> Duration {
    let parse = |time: &Time| time.as_str().parse::<jiff::Timestamp>().ok();
    match (parse(from), parse(to)) {
        (Some(from), Some(to)) => Duration::try_from(to.duration_since(from)).unwrap_or_default(),
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_to_a_minute_and_a_good_run_resets_it() {
        let short = Duration::from_secs(1);
        let mut waits = vec![backoff(0, short)];
        for _ in 0..11 {
            waits.push(backoff(waits[waits.len() - 1], short));
        }
        assert_eq!(waits[..4], [100, 200, 400, 800]);
        assert_eq!(waits[11], 60_000);
        assert_eq!(backoff(60_000, GOOD_RUN), 100);
    }

    #[test]
    fn policies() {
        let check = |name: &str, limit: i64, count: i64, stopped: bool, code: i64| {
            let mut record = Record::default();
            record.host_config.restart_policy.name = name.to_owned();
            record.host_config.restart_policy.maximum_retry_count = limit;
            record.restart_count = count;
            record.state.manually_stopped = stopped;
            wants_restart(&record, code)
        };
        assert!(check("always", 0, 5, false, 0));
        assert!(!check("always", 0, 0, true, 0));
        assert!(check("unless-stopped", 0, 0, false, 1));
        assert!(check("on-failure", 0, 9, false, 1));
        assert!(!check("on-failure", 0, 0, false, 0));
        assert!(check("on-failure", 2, 1, false, 1));
        assert!(!check("on-failure", 2, 2, false, 1));
        assert!(!check("no", 0, 0, false, 1));
    }
}
