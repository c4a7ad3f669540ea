//! How long a container on an overlay takes to come up.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::api;
use crate::world::{NETWORK, World};

/// `docker run -d` until it returns, in milliseconds.
pub fn returns(world: &World) -> Result<f64> {
    let (took, _) = run(world)?;
    remove(world)?;
    Ok(took.as_secs_f64() * 1000.0)
}

/// `docker run -d` until the container has answered a ping from the other host.
pub fn first_ping(world: &World) -> Result<f64> {
    let mut ping = world.inside(&world.h2, "c2")?;
    let (_, began) = run(world)?;
    let container = api::get(&world.h1.socket(), "/containers/bench/json")?;
    let address = container["NetworkSettings"]["Networks"][NETWORK]["IPAddress"]
        .as_str()
        .unwrap_or_default();
    // With -w, -c 1 means: until one answer.
    let answered = ping
        .args([
            "ping", "-n", "-q", "-c", "1", "-w", "5", "-i", "0.005", address,
        ])
        .output()?
        .status
        .success();
    let took = began.elapsed();
    remove(world)?;
    if !answered {
        bail!("no answer within five seconds");
    }
    Ok(took.as_secs_f64() * 1000.0)
}

fn run(world: &World) -> Result<(Duration, Instant)> {
    let began = Instant::now();
    world.h1.docker_ok(&format!(
        "run -d --name bench --network {NETWORK} busybox sleep 36000"
    ))?;
    Ok((began.elapsed(), began))
}

fn remove(world: &World) -> Result<()> {
    world.h1.docker_ok("rm -f bench")?;
    Ok(())
}
