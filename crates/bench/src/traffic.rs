//! What the overlay carries: iperf3 and ping between the two containers' namespaces.

use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::world::World;

/// One TCP stream for three seconds, Gbit/s as received.
pub fn throughput(world: &World) -> Result<f64> {
    let to = world.address(&world.h2, "c2")?;
    let mut server = world.inside(&world.h2, "c2")?;
    let mut server = server
        .args(["iperf3", "-s", "-1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut result = bail_late();
    // The server needs a moment to listen.
    for _ in 0..50 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let mut client = world.inside(&world.h1, "c1")?;
        let output = client
            .args(["iperf3", "-c", &to, "-t", "3", "-O", "1", "-J"])
            .output()?;
        let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if let Some(bits) = json["end"]["sum_received"]["bits_per_second"].as_f64() {
            result = Ok(bits / 1e9);
            break;
        }
    }
    if result.is_err() {
        server.kill()?;
    }
    server.wait()?;
    result
}

fn bail_late() -> Result<f64> {
    bail!("iperf3 gave no figure")
}

/// Median of 400 echo requests, 2 ms apart, in microseconds.
pub fn round_trip(world: &World) -> Result<f64> {
    let to = world.address(&world.h2, "c2")?;
    let mut ping = world.inside(&world.h1, "c1")?;
    let output = ping
        .args(["ping", "-n", "-c", "400", "-i", "0.002", &to])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let time = |line: &str| {
        line.split("time=")
            .nth(1)?
            .split(' ')
            .next()?
            .parse::<f64>()
            .ok()
    };
    let mut times: Vec<f64> = text.lines().filter_map(time).collect();
    times.sort_by(f64::total_cmp);
    let median = times
        .get(times.len() / 2)
        .context("ping was not answered")?;
    Ok(median * 1000.0)
}
