//! `docker top`: the host's `ps`, of which the container's processes are shown.

use std::collections::BTreeSet;
use std::process::Stdio;

use engine_types::{Error, Result};
use tokio::process::Command;

use crate::Engine;
use crate::error::Doing;

/// What `ps` printed: column titles, and a row for each process.
type Table = (Vec<String>, Vec<Vec<String>>);

impl Engine {
    /// `ps_args` as for `ps`; a `PID` column must be among what they ask for.
    pub async fn top(&self, id: &str, ps_args: &str) -> Result<Table> {
        let ps_args = if ps_args.is_empty() { "-ef" } else { ps_args };
        check(ps_args)?;
        let container = self.inner.find(id)?;
        container.running()?;
        let runtime = container.with(|record| record.host_config.runtime.clone());
        let pids = self
            .inner
            .runtimes
            .run(&runtime, &["ps", "--format", "json", &container.id])
            .await?;
        let pids: BTreeSet<i32> = serde_json::from_str(pids.trim()).doing("list the processes")?;
        let list: Vec<String> = pids.iter().map(i32::to_string).collect();
        let mut args: Vec<&str> = ps_args.split(' ').collect();
        let only = format!("-q{}", list.join(","));
        args.push(&only);
        let output = match ps(&args).await {
            Ok(output) => output,
            // Some options (f) do not go together with a list of processes.
            Err(_) => ps(&args[..args.len() - 1]).await?,
        };
        let table = parse(&output, &pids)?;
        self.inner.event(&container, "top", &[]);
        Ok(table)
    }
}

async fn ps(args: &[&str]) -> Result<String> {
    let output = Command::new("ps")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .await
        .doing("ps")?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    match text.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => Err(Error::system(format!("ps: {line}"))),
        None => Err(Error::system(format!("ps: {}", output.status))),
    }
}

/// No other column may pass for the one that says which processes are the container's (`-o user=PID`).
fn check(ps_args: &str) -> Result<()> {
    for (at, _) in ps_args.match_indices('=') {
        let (before, after) = (&ps_args[..at], ps_args[at + 1..].trim_start());
        let Some((_, column)) = before.rsplit_once(|c: char| c.is_ascii_whitespace()) else {
            continue;
        };
        if column != "pid" && after.starts_with("PID") {
            let title = after.split_ascii_whitespace().next().unwrap_or_default();
            return Err(Error::system(format!(
                "specifying \"{column}={title}\" is not allowed"
            )));
        }
    }
    Ok(())
}

fn parse(output: &str, pids: &BTreeSet<i32>) -> Result<Table> {
    let mut lines = output.lines();
    let titles: Vec<String> = fields(lines.next().unwrap_or_default());
    let column = titles
        .iter()
        .position(|title| title == "PID")
        .ok_or_else(|| Error::system("Couldn't find PID field in ps output"))?;
    let mut rows = Vec::new();
    // With `m`, the threads of a process follow it, without a number.
    let mut is_shown = false;
    for line in lines.filter(|line| !line.is_empty()) {
        let mut row = fields(line);
        let Some(pid) = row.get(column) else { continue };
        if pid != "-" {
            let number: i32 = pid
                .parse()
                .map_err(|error| Error::system(format!("Unexpected pid '{pid}': {error}")))?;
            is_shown = pids.contains(&number);
        }
        if is_shown {
            // The last column, the command, has spaces of its own.
            let rest = row.split_off(row.len().min(titles.len() - 1));
            row.push(rest.join(" "));
            rows.push(row);
        }
    }
    Ok((titles, rows))
}

fn fields(line: &str) -> Vec<String> {
    line.split_ascii_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_containers_processes() {
        let output = "  PID TTY  CMD\n   1 ?    init\n  42 ?    sh -c  sleep 1\n   - -    -\n  43 ?    other\n   - -    -\n";
        let (titles, rows) = parse(output, &[42].into()).unwrap();
        assert_eq!(titles, ["PID", "TTY", "CMD"]);
        assert_eq!(rows, [["42", "?", "sh -c sleep 1"], ["-", "-", "-"]]);
        let error = parse("TTY CMD\n", &[42].into()).unwrap_err();
        assert_eq!(error.message, "Couldn't find PID field in ps output");
        assert!(parse("", &[42].into()).is_err());
        let error = parse("PID\nx\n", &[42].into()).unwrap_err();
        assert!(error.message.starts_with("Unexpected pid 'x'"), "{error}");
    }

    #[test]
    fn no_column_passes_for_the_pid() {
        for (args, fine) in [
            ("-ef", true),
            ("-o pid,comm", true),
            ("-o pid=PID", true),
            ("-o pid=PID -o user=WHO", true),
            ("-o ppid=PID", false),
            ("-o user= PIDS", false),
        ] {
            assert_eq!(check(args).is_ok(), fine, "{args}");
        }
    }
}
