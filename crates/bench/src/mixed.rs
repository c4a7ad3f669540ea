//! A swarm of both engines, as its users see it from either side.
//!
//! The service runs on the manager's host, so that what is created on one engine is reached from the other.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::api;
use crate::service::gone;
use crate::world::{NETWORK, World};

const LIMIT: Duration = Duration::from_secs(20);

/// `docker service create` on h1 until a container of h2 has its first answer from the task, in milliseconds.
pub fn first_ping(world: &World) -> Result<f64> {
    let socket = world.h1.socket();
    let mut ping = world.inside(&world.h2, "c2")?;
    let spec = json!({
        "Name": "bench",
        "TaskTemplate": {
            "ContainerSpec": {"Image": "busybox:latest", "Args": ["sleep", "36000"], "StopGracePeriod": 100_000_000},
            "Networks": [{"Target": NETWORK}],
            "Placement": {"Constraints": ["node.hostname==h1"]},
        },
        "Mode": {"Replicated": {"Replicas": 1}},
    });
    let began = Instant::now();
    api::post(&socket, "/v1.41/services/create", &spec)?;
    let address = loop {
        if let Some(address) = address(world)? {
            break address;
        }
        if began.elapsed() > LIMIT {
            bail!("the task has no address");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    // With -w, -c 1 means: until one answer.
    let answered = ping
        .args([
            "ping", "-n", "-q", "-c", "1", "-w", "15", "-i", "0.005", &address,
        ])
        .output()?
        .status
        .success();
    let took = began.elapsed();
    world.h1.docker_ok("service rm bench")?;
    gone(world)?;
    match answered {
        true => Ok(took.as_secs_f64() * 1000.0),
        false => bail!("no answer from {address}"),
    }
}

/// The only task's, on the overlay.
fn address(world: &World) -> Result<Option<String>> {
    let tasks = api::get(
        &world.h1.socket(),
        "/v1.41/tasks?filters=%7B%22service%22%3A%5B%22bench%22%5D%7D",
    )?;
    let address = tasks
        .pointer("/0/NetworksAttachments/0/Addresses/0")
        .and_then(Value::as_str);
    Ok(address.and_then(|a| a.split('/').next()).map(str::to_owned))
}

/// `docker network connect` on h1 until the container's row is in the kernel of h2, in milliseconds.
pub fn row(world: &World) -> Result<f64> {
    world
        .h1
        .docker_ok("run -d --name bench busybox sleep 36000")?;
    let network = api::get(&world.h2.socket(), &format!("/v1.41/networks/{NETWORK}"))?;
    let id = network["Id"].as_str().context("the network has no id")?;
    let watch = Watch::start(world, id)?;
    let body = json!({"Container": "bench"});
    api::post(
        &world.h1.socket(),
        &format!("/v1.41/networks/{NETWORK}/connect"),
        &body,
    )?;
    let connected = Instant::now();
    let address = world.address(&world.h1, "bench")?;
    let seen = watch.until(&address)?;
    world.h1.docker_ok("rm -f bench")?;
    // The row may be there before the command returns.
    Ok(seen.saturating_duration_since(connected).as_secs_f64() * 1000.0)
}

/// `ip monitor neigh` in the namespace of a network: both engines keep one for it below the daemon's run-time directory.
struct Watch {
    child: Child,
    lines: mpsc::Receiver<(Instant, String)>,
}

impl Watch {
    fn start(world: &World, network: &str) -> Result<Self> {
        let dir = world.h2.dir().join("exec/netns");
        let short = &network[..10];
        let entries = std::fs::read_dir(&dir).with_context(|| format!("{}", dir.display()))?;
        let mut names = entries.flatten().map(|entry| entry.file_name());
        let name = names
            .find(|name| name.to_string_lossy().contains(short))
            .with_context(|| format!("no namespace of network {network} in {}", dir.display()))?;
        let mut child = std::process::Command::new("nsenter")
            .arg(format!("--net={}", dir.join(name).display()))
            .args(["ip", "monitor", "neigh"])
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().context("no output")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        // Until it listens.
        std::thread::sleep(Duration::from_millis(200));
        Ok(Self { child, lines })
    }

    fn until(&self, address: &str) -> Result<Instant> {
        let end = Instant::now() + LIMIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let (at, line) = self
                .lines
                .recv_timeout(left)
                .with_context(|| format!("no row for {address}"))?;
            let words: Vec<_> = line.split_whitespace().collect();
            if words.first() == Some(&address) && words.contains(&"PERMANENT") {
                return Ok(at);
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
