//! What networks carry: iperf3 and ping between the containers' namespaces.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::world::World;

/// From host to host.
pub fn overlay(world: &World) -> Result<f64> {
    let to = world.address(&world.h2, "c2")?;
    let server = world.inside(&world.h2, "c2")?;
    iperf(server, &|| world.inside(&world.h1, "c1"), &["-c", &to])
}

/// Between two containers of one host.
pub fn bridge(world: &World) -> Result<f64> {
    with_pair(world, || {
        let to = world.address_on(&world.h1, "b2", "pair")?;
        let server = world.inside(&world.h1, "b2")?;
        iperf(server, &|| world.inside(&world.h1, "b1"), &["-c", &to])
    })
}

/// From another host to a port of this one.
pub fn published(world: &World) -> Result<f64> {
    with_pair(world, || {
        let server = world.inside(&world.h1, "b2")?;
        let client = || Ok(world.h2.command("env"));
        iperf(server, &client, &["-c", &world.h1.addr.to_string()])
    })
}

fn with_pair(world: &World, take: impl Fn() -> Result<f64>) -> Result<f64> {
    world.engine(&world.h1, "network create --subnet 10.123.0.0/24 pair")?;
    for (name, options) in [("b1", ""), ("b2", "-p 5201:5201")] {
        world.run(name, &format!("--network pair {options}"))?;
    }
    let figure = take();
    world.engine(&world.h1, "rm -f b1 b2")?;
    world.engine(&world.h1, "network rm pair")?;
    figure
}

/// One TCP stream for three seconds, Gbit/s as received.
pub fn iperf(
    mut server: Command,
    client: &dyn Fn() -> Result<Command>,
    to: &[&str],
) -> Result<f64> {
    let mut server = server
        .args(["iperf3", "-s", "-1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut figure = None;
    // The server needs a moment to listen.
    for _ in 0..50 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let output = client()?
            .arg("iperf3")
            .args(to)
            .args(["-t", "3", "-O", "1", "-J"])
            .output()?;
        let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        figure = json["end"]["sum_received"]["bits_per_second"].as_f64();
        if figure.is_some() {
            break;
        }
    }
    if figure.is_none() {
        server.kill()?;
    }
    server.wait()?;
    Ok(figure.context("iperf3 gave no figure")? / 1e9)
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
