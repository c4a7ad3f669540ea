//! `--change` of `docker import`: Dockerfile instructions applied to an image's configuration.

use std::collections::BTreeMap;

use engine_types::container::{Config, HealthConfig};
use engine_types::{Empty, Error, Result};

pub(crate) fn apply(config: &mut Config, change: &str) -> Result<()> {
    let change = change.trim();
    let (instruction, rest) = change
        .split_once(char::is_whitespace)
        .unwrap_or((change, ""));
    let rest = rest.trim();
    if rest.is_empty() {
        return Err(Error::invalid(format!(
            "{instruction} requires at least one argument"
        )));
    }
    match instruction.to_ascii_uppercase().as_str() {
        "CMD" => config.cmd = Some(command(rest)),
        "ENTRYPOINT" => config.entrypoint = Some(command(rest)),
        "ENV" => {
            let env = config.env.get_or_insert_default();
            for (key, value) in pairs(rest)? {
                env.retain(|have| have.split('=').next() != Some(&key));
                env.push(format!("{key}={value}"));
            }
        }
        "LABEL" => {
            let labels: BTreeMap<String, String> = pairs(rest)?.into_iter().collect();
            config.labels.get_or_insert_default().extend(labels);
        }
        "EXPOSE" => {
            for port in rest.split_whitespace() {
                let port = if port.contains('/') {
                    port.to_owned()
                } else {
                    format!("{port}/tcp")
                };
                config
                    .exposed_ports
                    .get_or_insert_default()
                    .insert(&port, Empty {});
            }
        }
        "VOLUME" => {
            for path in command_list(rest).unwrap_or_else(|| words(rest)) {
                config
                    .volumes
                    .get_or_insert_default()
                    .insert(path, Empty {});
            }
        }
        "USER" => config.user = rest.to_owned(),
        "WORKDIR" => config.working_dir = rest.to_owned(),
        "STOPSIGNAL" => config.stop_signal = rest.to_owned(),
        "ONBUILD" => config
            .on_build
            .get_or_insert_default()
            .push(rest.to_owned()),
        "HEALTHCHECK" => config.healthcheck = Some(healthcheck(rest)?),
        other => {
            return Err(Error::invalid(format!(
                "{other} is not a valid change command"
            )));
        }
    }
    Ok(())
}

/// The exec form as it is, the shell form through `/bin/sh -c`.
fn command(text: &str) -> Vec<String> {
    command_list(text)
        .unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()])
}

fn command_list(text: &str) -> Option<Vec<String>> {
    text.starts_with('[')
        .then(|| serde_json::from_str(text).ok())
        .flatten()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// `key=value key="a value"`, or the old form `key value`.
fn pairs(text: &str) -> Result<Vec<(String, String)>> {
    let first = text.split_whitespace().next().unwrap_or_default();
    if !first.contains('=') {
        let (key, value) = text
            .split_once(char::is_whitespace)
            .ok_or_else(|| Error::invalid(format!("{text} must have two arguments")))?;
        return Ok(vec![(key.to_owned(), value.trim().to_owned())]);
    }
    split_quoted(text)
        .into_iter()
        .map(|word| {
            word.split_once('=')
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .ok_or_else(|| {
                    Error::invalid(format!(
                        "can't find = in {word:?}, must be of the form name=value"
                    ))
                })
        })
        .collect()
}

fn split_quoted(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut started = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word.extend(chars.next()),
            (c, Some(q)) if c == q => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                started = true;
            }
            (c, None) if c.is_whitespace() => {
                if started || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                    started = false;
                }
            }
            (c, _) => word.push(c),
        }
    }
    if started || !word.is_empty() {
        words.push(word);
    }
    words
}

/// `[--interval=30s …] CMD …` or `NONE`.
fn healthcheck(text: &str) -> Result<HealthConfig> {
    let mut health = HealthConfig::default();
    let mut rest = text;
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        rest = after.trim_start();
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        let invalid = || Error::invalid(format!("invalid HEALTHCHECK flag --{flag}"));
        let duration = || duration(value).ok_or_else(invalid);
        match name {
            "interval" => health.interval = duration()?,
            "timeout" => health.timeout = duration()?,
            "start-period" => health.start_period = duration()?,
            "start-interval" => health.start_interval = duration()?,
            "retries" => health.retries = value.parse().map_err(|_| invalid())?,
            _ => return Err(invalid()),
        }
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    health.test = Some(match kind.to_ascii_uppercase().as_str() {
        "NONE" => vec!["NONE".to_owned()],
        "CMD" => match command_list(command.trim()) {
            Some(list) => std::iter::once("CMD".to_owned()).chain(list).collect(),
            None => vec!["CMD-SHELL".to_owned(), command.trim().to_owned()],
        },
        other => {
            return Err(Error::invalid(format!(
                "unknown type {other:?} in HEALTHCHECK (try CMD)"
            )));
        }
    });
    Ok(health)
}

/// Go's duration text (`1m30s`) in nanoseconds.
pub(crate) fn duration(text: &str) -> Option<i64> {
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let scale = match unit {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    (!text.is_empty()).then_some(total as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions() {
        let mut config = Config::default();
        for change in [
            "CMD [\"sleep\", \"1\"]",
            "ENTRYPOINT exec top -b",
            "ENV A=1 B=\"two words\"",
            "ENV A 3",
            "EXPOSE 80 53/udp",
            "LABEL x=y",
            "HEALTHCHECK --interval=1m30s --retries=2 CMD true",
        ] {
            apply(&mut config, change).unwrap();
        }
        assert_eq!(config.cmd, Some(vec!["sleep".into(), "1".into()]));
        assert_eq!(config.entrypoint.unwrap()[2], "exec top -b");
        assert_eq!(config.env.unwrap(), ["B=two words", "A=3"]);
        assert_eq!(
            config.exposed_ports.unwrap().names().collect::<Vec<_>>(),
            ["80/tcp", "53/udp"]
        );
        let health = config.healthcheck.unwrap();
        assert_eq!((health.interval, health.retries), (90_000_000_000, 2));
        assert!(apply(&mut Config::default(), "RUN x").is_err());
    }
}
