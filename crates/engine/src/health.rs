//! Health checks: a command in the container, again and again, and what its results mean.

use std::sync::Arc;
use std::time::Duration;

use engine_types::container::{Config, ExecOptions, Health, HealthConfig, HealthcheckResult};
use engine_types::{Result, Time};

use crate::inner::Container;
use crate::runtime::pidfd;
use crate::{Engine, signal};

/// Docker's defaults.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: i64 = 3;
/// Results that are kept, and bytes of output of each.
const RESULTS: usize = 5;
const OUTPUT: usize = 4096;

/// The first state of a container that has a check.
pub(crate) fn initial(config: &Config) -> Option<Health> {
    command(config).map(|_| Health {
        status: "starting".to_owned(),
        ..Health::default()
    })
}

/// Checks the running container in the background, until it ends.
pub(crate) fn spawn(engine: &Engine, container: &Arc<Container>) {
    let config = container.with(|record| record.config.clone());
    let (Some(argv), Some(check)) = (command(&config), config.healthcheck) else {
        return;
    };
    let (engine, container) = (engine.clone(), container.clone());
    tokio::spawn(async move {
        let mut phase = container.phase.subscribe();
        let exits = phase.borrow().exits;
        tokio::select! {
            () = run(&engine, &container, &check, argv) => {}
            _ = phase.wait_for(|phase| !phase.running || phase.exits > exits) => {}
            () = engine.inner.closed() => {}
        }
    });
}

async fn run(engine: &Engine, container: &Arc<Container>, check: &HealthConfig, argv: Vec<String>) {
    let begin = tokio::time::Instant::now();
    let start_period = duration(check.start_period, Duration::ZERO);
    loop {
        let status = container.with(|record| {
            record
                .state
                .health
                .as_ref()
                .map_or_else(String::new, |health| health.status.clone())
        });
        let starting = status == "starting" && begin.elapsed() < start_period;
        let wait = if starting {
            duration(check.start_interval, START_INTERVAL)
        } else {
            duration(check.interval, INTERVAL)
        };
        tokio::time::sleep(wait).await;
        if container.with(|record| record.state.paused) {
            continue;
        }
        let started = Time::now();
        let timeout = duration(check.timeout, TIMEOUT);
        let (exit_code, output) = match probe(engine, container, argv.clone(), timeout).await {
            Ok(result) => result,
            Err(error) => (-1, error.message),
        };
        let result = HealthcheckResult {
            start: started,
            end: Time::now(),
            exit_code,
            output,
        };
        let in_start_period = begin.elapsed() < start_period;
        let retries = if check.retries > 0 {
            check.retries
        } else {
            RETRIES
        };
        let changed = container.change(|record| {
            let health = record.state.health.get_or_insert_default();
            let before = health.status.clone();
            judge(health, result, retries, in_start_period);
            (health.status != before).then(|| health.status.clone())
        });
        if let Some(status) = changed {
            engine.inner.save_soon(container);
            engine
                .inner
                .event(container, &format!("health_status: {status}"), &[]);
        }
    }
}

/// Takes one result in.
fn judge(health: &mut Health, result: HealthcheckResult, retries: i64, in_start_period: bool) {
    if result.exit_code == 0 {
        health.failing_streak = 0;
        health.status = "healthy".to_owned();
    } else if !(in_start_period && health.status == "starting") {
        health.failing_streak += 1;
        if health.failing_streak >= retries {
            health.status = "unhealthy".to_owned();
        }
    }
    let log = health.log.get_or_insert_default();
    if log.len() >= RESULTS {
        log.remove(0);
    }
    log.push(result);
}

/// Runs the command once: its exit code and the beginning of its output.
async fn probe(
    engine: &Engine,
    container: &Container,
    argv: Vec<String>,
    timeout: Duration,
) -> Result<(i64, String)> {
    let options = ExecOptions {
        attach_stdout: true,
        attach_stderr: true,
        cmd: Some(argv),
        ..ExecOptions::default()
    };
    let id = engine.exec_create(&container.id, options).await?;
    let exec = engine.find_exec(&id)?;
    let mut output = Vec::new();
    let finished = async {
        if let Some(mut attached) = engine.exec_start(&id, false, false).await? {
            while let Some((_, bytes)) = attached.output.recv().await {
                let room = OUTPUT.saturating_sub(output.len());
                output.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
        }
        Ok(())
    };
    match tokio::time::timeout(timeout, finished).await {
        Ok(result) => result?,
        Err(_) => {
            if let Some(process) = exec.pid().and_then(|pid| pidfd(pid).ok()) {
                signal::send(&process, signal::KILL)?;
            }
            let text = format!(
                "Health check exceeded timeout ({}s): {}",
                timeout.as_secs_f64(),
                String::from_utf8_lossy(&output)
            );
            return Ok((-1, text));
        }
    }
    let code = exec.exit_code().unwrap_or(-1);
    Ok((code, String::from_utf8_lossy(&output).into_owned()))
}

/// The check's command line; `None` when there is no check.
fn command(config: &Config) -> Option<Vec<String>> {
    let test = config.healthcheck.as_ref()?.test.as_ref()?;
    match test.split_first()? {
        (kind, rest) if kind == "CMD" && !rest.is_empty() => Some(rest.to_vec()),
        (kind, rest) if kind == "CMD-SHELL" && !rest.is_empty() => {
            let shell = config.shell.clone().filter(|shell| !shell.is_empty());
            let mut argv = shell.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
            argv.push(rest.join(" "));
            Some(argv)
        }
        _ => None,
    }
}

fn duration(nanos: i64, default: Duration) -> Duration {
    match u64::try_from(nanos) {
        Ok(nanos) if nanos > 0 => Duration::from_nanos(nanos),
        _ => default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_judged_as_docker_does() {
        let mut health = Health {
            status: "starting".to_owned(),
            ..Health::default()
        };
        let mut check = |exit_code: i64, in_start: bool, expected: &str| {
            let result = HealthcheckResult {
                exit_code,
                ..HealthcheckResult::default()
            };
            judge(&mut health, result, 2, in_start);
            assert_eq!(health.status, expected);
        };
        check(1, true, "starting");
        check(1, false, "starting");
        check(1, false, "unhealthy");
        check(0, false, "healthy");
        check(1, true, "healthy");
        check(1, true, "unhealthy");
        assert_eq!(health.log.unwrap().len(), 5);
    }
}
