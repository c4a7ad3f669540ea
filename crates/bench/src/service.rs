//! How long a service takes from its creation until all its tasks run.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::api;
use crate::world::{NETWORK, World};

pub fn four(world: &World) -> Result<f64> {
    create(world, 4)
}

pub fn twenty(world: &World) -> Result<f64> {
    create(world, 20)
}

fn create(world: &World, replicas: u64) -> Result<f64> {
    let socket = world.h1.socket();
    let networks = api::get(&socket, &format!("/v1.41/networks/{NETWORK}"))?;
    let spec = json!({
        "Name": "bench",
        "TaskTemplate": {
            "ContainerSpec": {"Image": "busybox:latest", "Args": ["sleep", "36000"], "StopGracePeriod": 100_000_000},
            "Networks": [{"Target": networks["Id"]}],
        },
        "Mode": {"Replicated": {"Replicas": replicas}},
    });
    let began = Instant::now();
    api::post(&socket, "/v1.41/services/create", &spec)?;
    let mut took = None;
    while took.is_none() && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(3));
        if states(world)?.iter().filter(|s| *s == "running").count() as u64 == replicas {
            took = Some(began.elapsed());
        }
    }
    world.h1.docker_ok("service rm bench")?;
    gone(world)?;
    match took {
        Some(took) => Ok(took.as_secs_f64() * 1000.0),
        None => bail!("not all of {replicas} tasks ran within a minute"),
    }
}

/// Both hosts must be quiet again before the next figure.
pub fn gone(world: &World) -> Result<()> {
    let removed = Instant::now();
    while containers(world)? > 0 {
        if removed.elapsed() > Duration::from_secs(60) {
            bail!("tasks of a removed service still run");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn states(world: &World) -> Result<Vec<String>> {
    let tasks = api::get(
        &world.h1.socket(),
        "/v1.41/tasks?filters=%7B%22service%22%3A%5B%22bench%22%5D%7D",
    )?;
    let state = |t: &Value| t["Status"]["State"].as_str().unwrap_or_default().to_owned();
    Ok(tasks.as_array().into_iter().flatten().map(state).collect())
}

fn containers(world: &World) -> Result<usize> {
    let filter = "/v1.41/containers/json?all=1&filters=%7B%22label%22%3A%5B%22com.docker.swarm.service.name%3Dbench%22%5D%7D";
    let mut all = 0;
    for host in [&world.h1, &world.h2] {
        all += api::get(&host.socket(), filter)?
            .as_array()
            .map_or(0, Vec::len);
    }
    Ok(all)
}
