//! Programs, run for their result.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// What a program said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// 124: it did not end in time and was killed.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Standard output without the white space at its end, or an error with what the program said.
    pub fn ok(&self) -> Result<String> {
        if self.status != 0 {
            bail!(
                "exit status {}: {}{}",
                self.status,
                self.stderr,
                self.stdout
            );
        }
        Ok(self.stdout.trim_end().to_string())
    }
}

/// Runs it with `input` on standard input. A program that has ended without reading all of it is judged by its status.
pub(crate) fn collect(command: &mut Command, input: &[u8]) -> Result<Output> {
    let what = format!("cannot run {}", command.get_program().display());
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context(what)?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
        child.wait_with_output()
    })?;
    Ok(Output {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

pub(crate) fn program(argv: &[&str]) -> Result<()> {
    let mut command = Command::new(argv[0]);
    collect(command.args(&argv[1..]), b"")?.ok().map(drop)
}

pub(crate) fn in_namespace(netns: &Path, argv: &[&str], input: &str) -> Result<()> {
    let mut command = enter(netns);
    collect(command.args(argv), input.as_bytes())?
        .ok()
        .map(drop)
}

/// `nsenter`, and not `ip netns exec`: that mounts a new `/sys` and hides the cgroups that containers need.
pub(crate) fn enter(netns: &Path) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", netns.display())).arg("--");
    command
}
