//! Limits of processes: what containers begin with that ask for nothing, and how many files the daemon itself may have open.

use anyhow::{Context as _, Result, bail};
use engine_types::container::Ulimit;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// `--ulimit`'s names: the kernel's resources (`getrlimit(2)`) without `RLIMIT_`.
const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];
const FILES: &str = "nofile";

/// `nofile=1024`, `nofile=1024:4096`; -1 is no limit.
pub fn parse(text: &str) -> Result<Ulimit> {
    let Some((name, values)) = text.split_once('=') else {
        bail!("invalid ulimit argument: {text}");
    };
    if !NAMES.contains(&name) {
        bail!("invalid ulimit type: {name}");
    }
    let number = |text: &str| -> Result<i64> {
        text.parse()
            .with_context(|| format!("invalid ulimit value \"{text}\""))
    };
    let (soft, hard) = match values.split_once(':') {
        Some((soft, hard)) => (number(soft)?, number(hard)?),
        None => (number(values)?, number(values)?),
    };
    if hard != -1 && (soft == -1 || soft > hard) {
        bail!("ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}");
    }
    Ok(Ulimit {
        name: name.to_owned(),
        soft,
        hard,
    })
}

/// Lets the daemon open as many files as it is allowed to: each port of the mesh holds one, and each client of the API. Containers
/// keep what the daemon was started with, unless `defaults` says otherwise: programs that close or `select` all that
/// they could have open are slow or break when that is a billion.
pub fn raise_files(defaults: &mut Vec<Ulimit>) -> Result<()> {
    let was = getrlimit(Resource::Nofile);
    if !defaults.iter().any(|limit| limit.name == FILES) {
        let value = |limit: Option<u64>| limit.map_or(-1, |n| i64::try_from(n).unwrap_or(-1));
        defaults.push(Ulimit {
            name: FILES.to_owned(),
            soft: value(was.current),
            hard: value(was.maximum),
        });
    }
    let raised = Rlimit {
        current: was.maximum,
        ..was
    };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_docker_reads_them() {
        let limit = |text| parse(text).map(|l| (l.name, l.soft, l.hard));
        assert_eq!(limit("nofile=5:9").unwrap(), ("nofile".to_owned(), 5, 9));
        assert_eq!(limit("core=-1").unwrap(), ("core".to_owned(), -1, -1));
        for (text, error) in [
            ("nofile", "invalid ulimit argument: nofile"),
            ("files=1", "invalid ulimit type: files"),
            ("nofile=x", "invalid ulimit value \"x\""),
            (
                "nofile=9:5",
                "ulimit soft limit must be less than or equal to hard limit: 9 > 5",
            ),
        ] {
            assert_eq!(limit(text).unwrap_err().to_string(), error);
        }
    }
}
