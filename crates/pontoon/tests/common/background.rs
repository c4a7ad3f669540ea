//! Programs that run while a test goes on.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use lab::Host;

/// A shell line in a host; killed when the value goes.
pub struct Background {
    child: Child,
    output: PathBuf,
}

impl Background {
    pub fn start(host: &Host, line: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let output = host.dir().join(format!("background-{number}"));
        // A host without a daemon has none yet.
        std::fs::create_dir_all(host.dir()).unwrap();
        let file = File::create(&output).unwrap();
        let child = host
            .command("timeout")
            .args(["-s", "KILL", "300", "sh", "-c", &format!("exec {line}")])
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, output }
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap()
    }

    /// `Some` when it has ended.
    pub fn status(&mut self) -> Option<i32> {
        self.child
            .try_wait()
            .unwrap()
            .map(|status| status.code().unwrap_or(-1))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // `timeout` has made a group of its own, and of all that it started.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill")
            .args(["-KILL", "--", &group])
            .stderr(Stdio::null())
            .status();
        let _ = self.child.wait();
    }
}

/// Ten packets a second from inside a container, by a program of its own: no daemon has a part in it.
pub struct Pinging(Background);

impl Pinging {
    pub fn start(host: &Host, container: &str, address: &str) -> Self {
        let pid = crate::common::container::pid(host, container);
        let line = format!("nsenter -t {pid} -n ping -D -O -i 0.1 -W 1 {address}");
        Self(Background::start(host, &line))
    }

    pub fn answers(&self) -> usize {
        self.0.output().matches("bytes from").count()
    }

    /// The packets that were never answered, with their time; the last may still be on its way.
    pub fn lost(self) -> Vec<String> {
        let before = self.answers();
        crate::common::until(3, "the ping goes on", || self.answers() > before);
        let output = self.0.output();
        let sequence = |line: &str| -> Option<usize> {
            let number = line.split("icmp_seq=").nth(1)?.split(' ').next()?;
            number.parse().ok()
        };
        let answered: BTreeSet<usize> = output
            .lines()
            .filter(|line| line.contains("bytes from"))
            .filter_map(sequence)
            .collect();
        let last = answered.last().copied().unwrap_or(0);
        let silent = output.lines().filter(|line| line.contains("no answer yet"));
        let lost = silent
            .filter(|line| sequence(line).is_some_and(|n| n < last && !answered.contains(&n)));
        lost.map(str::to_string).collect()
    }
}
