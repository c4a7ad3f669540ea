//! `docker top`: a container's processes, from `/proc`.

use engine_types::{Error, Result};

use crate::Engine;
use crate::error::{Doing, blocking};

const TITLES: [&str; 8] = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];
const CLOCK_TICKS: u64 = 100;

impl Engine {
    pub async fn top(&self, id: &str, ps_args: &str) -> Result<(Vec<String>, Vec<Vec<String>>)> {
        let container = self.inner.find(id)?;
        container.running()?;
        if !matches!(ps_args.trim(), "" | "-ef" | "ef") {
            return Err(Error::not_implemented(format!(
                "ps arguments {ps_args:?} are not supported by this build: only -ef"
            )));
        }
        let runtime = container.with(|record| record.host_config.runtime.clone());
        let pids = self
            .inner
            .runtimes
            .run(&runtime, &["ps", "--format", "json", &container.id])
            .await?;
        let pids: Vec<i32> = serde_json::from_str(pids.trim()).doing("list the processes")?;
        let rows = blocking(move || Ok(pids.into_iter().filter_map(row).collect())).await?;
        self.inner.event(&container, "top", &[]);
        Ok((TITLES.iter().map(|t| (*t).to_owned()).collect(), rows))
    }
}

/// One process; `None` when it has just ended.
fn row(pid: i32) -> Option<Vec<String>> {
    let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).ok();
    let stat = String::from_utf8_lossy(&read("stat")?).into_owned();
    // The name in parentheses may itself have spaces and parentheses.
    let (head, tail) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|f| f.parse::<u64>().ok());
    let name = head.split_once('(').map_or("", |(_, name)| name);
    let status = String::from_utf8_lossy(&read("status")?).into_owned();
    let uid = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .and_then(|uids| uids.split_whitespace().next())?;
    let command = read("cmdline")?;
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    let command = match command.trim() {
        "" => format!("[{name}]"),
        command => command.to_owned(),
    };
    let seconds = (number(11)? + number(12)?) / CLOCK_TICKS;
    let started = boot_time() + number(19)? / CLOCK_TICKS;
    let started = jiff::Timestamp::from_second(i64::try_from(started).ok()?).ok()?;
    Some(vec![
        if uid == "0" {
            "root".to_owned()
        } else {
            uid.to_owned()
        },
        pid.to_string(),
        number(1)?.to_string(),
        "0".to_owned(),
        started.strftime("%H:%M").to_string(),
        tty(number(4)?),
        format!(
            "{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        ),
        command,
    ])
}

fn tty(device: u64) -> String {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    match (device, major) {
        (0, _) => "?".to_owned(),
        (_, 136..=143) => format!("pts/{}", (major - 136) * 256 + minor),
        _ => format!("tty{minor}"),
    }
}

fn boot_time() -> u64 {
    std::fs::read_to_string("/proc/stat")
        .ok()
        .and_then(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("btime "))
                .and_then(|seconds| seconds.trim().parse().ok())
        })
        .unwrap_or(0)
}
