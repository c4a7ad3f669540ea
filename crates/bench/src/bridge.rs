//! What networking adds to a container on one host: namespace, links, address, rules and names.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use crate::api;
use crate::report::percentile;
use crate::world::World;

/// A start on a bridge less a start without a network, medians of both in turn, in milliseconds.
pub fn part_of_start(world: &World) -> Result<f64> {
    let socket = world.h1.socket();
    world.engine(&world.h1, "network create --subnet 10.124.0.0/24 part")?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..15 {
        for (network, took) in [("part", &mut with), ("none", &mut without)] {
            let body = json!({
                "Image": "busybox:latest", "Cmd": ["sleep", "36000"], "HostConfig": {"NetworkMode": network},
            });
            api::post(&socket, "/v1.41/containers/create?name=part", &body)?;
            let began = Instant::now();
            api::post(&socket, "/v1.41/containers/part/start", &Value::Null)?;
            took.push(began.elapsed());
            api::delete(&socket, "/v1.41/containers/part?force=1")?;
        }
    }
    world.engine(&world.h1, "network rm part")?;
    Ok(percentile(with, 50) - percentile(without, 50))
}

/// A running container connects to a bridge so many times, and nothing else happens.
pub fn alone(world: &World, times: usize, percent: usize) -> Result<f64> {
    world.run("alone", "")?;
    let took = connects(world, "alone", times)?;
    world.engine(&world.h1, "rm -f alone")?;
    Ok(percentile(took, percent))
}

/// Each by itself.
pub fn connects(world: &World, container: &str, times: usize) -> Result<Vec<Duration>> {
    world.engine(&world.h1, "network create --subnet 10.125.0.0/24 one")?;
    let mut took = Vec::new();
    for _ in 0..times {
        let began = Instant::now();
        world.connect(container, "one")?;
        took.push(began.elapsed());
        world.disconnect(container, "one")?;
    }
    world.engine(&world.h1, "network rm one")?;
    Ok(took)
}
