//! What every end-to-end test stands on: a lab with a daemon on each host, driven by the stock `docker` CLI.
//!
//! `PONTOON_E2E_ENGINE=docker` runs the same tests against Docker's own daemon (20.10). Where that one differs, a test
//! asks [`is_docker`] and says why.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    reason = "each test file uses its part; a panic is how a test fails"
)]

pub mod background;
pub mod container;
pub mod mesh;
pub mod plugin;
pub mod refusal;
pub mod swarm;
pub mod told;
pub mod upstream;

use std::fmt::Debug;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use lab::{Host, Lab, Output};
pub use swarm::{init, join};

pub fn is_docker() -> bool {
    std::env::var("PONTOON_E2E_ENGINE").is_ok_and(|engine| engine == "docker")
}

/// The binary under test: that of this build, or of an optimised one where all is slow.
pub fn binary() -> PathBuf {
    let other = std::env::var_os("PONTOON_E2E_BINARY").map(PathBuf::from);
    other.unwrap_or_else(|| env!("CARGO_BIN_EXE_pontoon").into())
}

/// A lab whose hosts run the engine and have the image `busybox`.
pub struct World {
    lab: Option<Lab>,
}

impl World {
    /// `[2, 1]`: h1 and h2 on one segment, h3 behind a router.
    pub fn new(hosts_per_segment: &[usize]) -> Self {
        Self::with_flags(hosts_per_segment, &[])
    }

    pub fn with_flags(hosts_per_segment: &[usize], flags: &[&str]) -> Self {
        let world = Self::bare(hosts_per_segment);
        std::thread::scope(|scope| {
            for host in world.all() {
                scope.spawn(move || {
                    start(&host, flags);
                    host.import_busybox().unwrap();
                });
            }
        });
        world
    }

    /// Hosts without a daemon.
    pub fn bare(hosts_per_segment: &[usize]) -> Self {
        let lab = Some(Lab::new(hosts_per_segment).unwrap());
        let world = Self { lab };
        for host in world.all() {
            std::fs::create_dir_all(host.dir()).unwrap();
        }
        world
    }

    /// All in one swarm: h1 its manager, the others workers.
    pub fn swarm(hosts_per_segment: &[usize]) -> Self {
        let world = Self::new(hosts_per_segment);
        let (manager, workers) = world
            .all()
            .split_first()
            .map(|(m, w)| (m.clone(), w.to_vec()))
            .unwrap();
        init(&manager);
        workers.iter().for_each(|worker| join(worker, &manager));
        world
    }

    pub fn lab(&mut self) -> &mut Lab {
        self.lab.as_mut().unwrap()
    }

    pub fn all(&self) -> Vec<Host> {
        let lab = self.lab.as_ref().unwrap();
        lab.hosts().map(|name| lab.host(name).unwrap()).collect()
    }

    pub fn hosts<const N: usize>(&self) -> [Host; N] {
        self.all().try_into().unwrap()
    }

    /// A client beyond the router, without a daemon.
    pub fn outside(&self) -> Host {
        self.lab.as_ref().unwrap().host("outside").unwrap()
    }

    /// Every test ends with it: no daemon has logged an error, and nothing of the lab is left.
    pub fn end(self) {
        self.end_but(|_| false);
    }

    /// Where errors are what the test is about.
    pub fn end_but(mut self, expected: impl Fn(&str) -> bool) {
        for host in self.all() {
            let mut errors = errors_logged(&host);
            errors.retain(|error| !expected(error));
            assert_eq!(errors, Vec::<String>::new(), "{}", host.name);
        }
        assert_eq!(self.lab.take().unwrap().down(), Vec::<String>::new());
    }
}

impl Drop for World {
    /// A failed test shows what the daemons said.
    fn drop(&mut self) {
        if self.lab.is_none() || !std::thread::panicking() {
            return;
        }
        for host in self.all() {
            let log = std::fs::read_to_string(host.log()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(40)..].join("\n");
            eprintln!("--- log of {}\n{tail}", host.name);
        }
    }
}

/// The engine under test, on this host.
pub fn start(host: &Host, flags: &[&str]) {
    match is_docker() {
        true => host.spawn_dockerd(flags).unwrap(),
        false => {
            host.spawn_pontoon(&binary(), flags).unwrap();
        }
    }
}

/// dockerd logs errors that belong to its way of working; a line of ours at that level is a bug, and so is a panic.
fn errors_logged(host: &Host) -> Vec<String> {
    if is_docker() {
        return Vec::new();
    }
    // Some tests start a daemon in the background themselves.
    let entries = std::fs::read_dir(host.dir()).unwrap().flatten();
    let logs = entries.filter(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name == "daemon.log" || name.starts_with("background-")
    });
    let text: String = logs
        .filter_map(|log| std::fs::read_to_string(log.path()).ok())
        .collect();
    let bad = text
        .lines()
        .filter(|line| line.contains(" ERROR ") || line.contains("panicked at"));
    bad.map(str::to_string).collect()
}

pub trait Shell {
    /// A line of shell inside the host, where `docker` talks to the host's daemon.
    fn sh(&self, line: &str) -> Output;

    /// The same, and it succeeds; its standard output without the white space at its end.
    fn ok(&self, line: &str) -> String;

    /// [`Self::ok`], as JSON.
    fn json(&self, line: &str) -> serde_json::Value {
        serde_json::from_str(&self.ok(line)).unwrap()
    }
}

impl Shell for Host {
    fn sh(&self, line: &str) -> Output {
        // Some of Docker's clients hand SIGTERM on to the container.
        let mut command = self.command("timeout");
        command
            .args(["-s", "KILL", "40", "sh", "-c", line])
            .stdin(Stdio::null());
        let output = command.output().unwrap();
        Output {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn ok(&self, line: &str) -> String {
        let output = self.sh(line);
        assert_eq!(
            output.status, 0,
            "{}: {line}\n{}{}",
            self.name, output.stderr, output.stdout
        );
        output.stdout.trim_end().to_string()
    }
}

/// Asks again and again until it is so; the time that took.
pub fn until(seconds: u64, what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !is_so() {
        assert!(
            start.elapsed() < Duration::from_secs(seconds),
            "not within {seconds} s: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}

/// [`until`] for a value.
pub fn eventually<T: PartialEq + Debug>(seconds: u64, expected: T, mut actual: impl FnMut() -> T) {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        let now = actual();
        if now == expected || Instant::now() >= end {
            assert_eq!(now, expected, "still so after {seconds} s");
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A table's rows that came out otherwise: all are shown, not only the first.
#[derive(Default)]
pub struct Differences(Vec<String>);

impl Differences {
    pub fn compare(&mut self, what: &str, expected: &str, actual: &str) {
        if expected != actual {
            self.0.push(format!(
                "{what}\n  expected: {expected}\n    actual: {actual}"
            ));
        }
    }

    pub fn assert_none(self) {
        assert!(
            self.0.is_empty(),
            "{} differ:\n{}",
            self.0.len(),
            self.0.join("\n")
        );
    }
}

/// Everything that a failed command might leave on a host: namespaces, links, containers, networks, images.
pub fn footprint(host: &Host) -> Vec<String> {
    // Docker sweeps its namespaces once a minute.
    let netns = if is_docker() { "." } else { "exec/netns" };
    let line = format!(
        "ls {}; ip -o link | cut -d: -f2 | cut -d@ -f1; docker ps -aq --no-trunc; docker network ls -q --no-trunc; \
         docker images -aq",
        host.dir().join(netns).display()
    );
    let mut lines: Vec<String> = host
        .sh(&line)
        .stdout
        .lines()
        .map(|line| line.trim().to_string())
        .collect();
    lines.sort();
    lines
}
