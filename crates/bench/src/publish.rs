//! A thousand published ports: how long they take, and what they keep in memory.

use std::time::Instant;

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::world::World;
use crate::{api, memory};

const PORTS: std::ops::Range<u16> = 20_000..21_000;

/// Both figures are of one container, since Docker takes minutes for it.
pub struct Ports {
    /// Milliseconds.
    start: f64,
    /// MiB that nobody else uses.
    memory: f64,
}

/// A container's start, in milliseconds.
pub fn start(world: &World) -> Result<f64> {
    Ok(ports(world)?.start)
}

/// What the engine and its helpers have more than before, in MiB.
pub fn memory(world: &World) -> Result<f64> {
    Ok(ports(world)?.memory)
}

fn ports(world: &World) -> Result<&Ports> {
    if let Some(ports) = world.ports.get() {
        return Ok(ports);
    }
    let ports = publish(world)?;
    Ok(world.ports.get_or_init(|| ports))
}

fn publish(world: &World) -> Result<Ports> {
    let socket = world.h1.socket();
    let mut bindings = Map::new();
    let mut exposed = Map::new();
    for port in PORTS {
        let key = format!("{port}/tcp");
        bindings.insert(key.clone(), json!([{"HostPort": port.to_string()}]));
        exposed.insert(key, json!({}));
    }
    let body = json!({
        "Image": "busybox:latest", "Cmd": ["sleep", "36000"], "ExposedPorts": exposed,
        "HostConfig": {"PortBindings": bindings},
    });
    api::post(&socket, "/v1.41/containers/create?name=ports", &body)?;
    let before = memory::private(&world.h1)?;
    let began = Instant::now();
    api::post(&socket, "/v1.41/containers/ports/start", &Value::Null)?;
    let start = began.elapsed().as_secs_f64() * 1000.0;
    let after = memory::private(&world.h1);
    api::delete(&socket, "/v1.41/containers/ports?force=1")?;
    Ok(Ports {
        start,
        // Never below what a page is, or the ratio is nonsense.
        memory: (after? - before).max(0.004),
    })
}
