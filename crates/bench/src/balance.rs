//! What a service's own address and the routing mesh cost, against the same task directly: both are Pontoon's, in turn.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::world::{NETWORK, World};
use crate::{api, service, traffic};

/// Of the tasks, and of the mesh.
const PORT: u16 = 5201;
const MESH: u16 = 5301;
const LONG: Duration = Duration::from_secs(2);

/// Which way leads to the task on h2.
#[derive(Clone, Copy)]
pub enum Way {
    /// From c1 to the task's address on the overlay, and to the service's.
    Task,
    Service,
    /// From h1 to a published port of h2: of a container there, and of the mesh.
    Published,
    Mesh,
}

/// One TCP stream, Gbit/s.
pub fn throughput(world: &World, way: Way) -> Result<f64> {
    behind(world, way, |server, client, to, port| {
        let port = port.to_string();
        traffic::iperf(server, client, &["-c", to, "-p", &port])
    })
}

/// A byte there and back on one TCP connection, microseconds.
pub fn round_trip(world: &World, way: Way) -> Result<f64> {
    let this = std::env::current_exe()?;
    behind(world, way, |mut server, client, to, port| {
        let serve = ["tcp-serve".to_owned(), PORT.to_string()];
        let mut server = Server(server.arg(&this).args(serve).spawn()?);
        let mut asked = client()?;
        let output = asked
            .arg(&this)
            .args(["tcp-load", &format!("{to}:{port}")])
            .output()?;
        server.end();
        let text = String::from_utf8_lossy(&output.stdout);
        let failed = || String::from_utf8_lossy(&output.stderr).into_owned();
        text.trim().parse().with_context(failed)
    })
}

struct Server(Child);

impl Server {
    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// With a task on h2 and a container beside it: a program in the task's namespace, one where the client is, and where to
/// connect to.
fn behind(
    world: &World,
    way: Way,
    take: impl FnOnce(Command, &dyn Fn() -> Result<Command>, &str, u16) -> Result<f64>,
) -> Result<f64> {
    world.h1.docker_ok(&format!(
        "service create --quiet --no-resolve-image --name bench --network {NETWORK} --constraint node.hostname==h2 \
         --stop-grace-period 100ms --publish {MESH}:{PORT} busybox sleep 36000"
    ))?;
    let run = format!("run -d --name b2 --network {NETWORK} -p {PORT}:{PORT} busybox sleep 36000");
    world.engine(&world.h2, &run)?;
    let figure = (|| {
        let of_service = "ps -q --filter label=com.docker.swarm.service.name=bench";
        let task = world.engine(&world.h2, of_service)?;
        let (to, port, server) = match way {
            Way::Task => (world.address(&world.h2, &task)?, PORT, task.as_str()),
            Way::Service => (virtual_ip(world)?, PORT, task.as_str()),
            Way::Published => (world.h2.addr.to_string(), PORT, "b2"),
            Way::Mesh => (world.h2.addr.to_string(), MESH, task.as_str()),
        };
        let client = || match way {
            Way::Task | Way::Service => world.among(&world.h1, "c1"),
            Way::Published | Way::Mesh => Ok(world.h1.command("env")),
        };
        take(world.inside(&world.h2, server)?, &client, &to, port)
    })();
    world.engine(&world.h2, "rm -f b2")?;
    world.h1.docker_ok("service rm bench")?;
    service::gone(world)?;
    figure
}

fn virtual_ip(world: &World) -> Result<String> {
    let network = world.engine(
        &world.h1,
        &format!("network inspect -f {{{{.Id}}}} {NETWORK}"),
    )?;
    let service = api::get(&world.h1.socket(), "/v1.41/services/bench")?;
    let all = service["Endpoint"]["VirtualIPs"].as_array();
    let mut all = all.into_iter().flatten();
    let of_it = all.find(|each| each["NetworkID"] == network.as_str());
    let address = of_it.and_then(|each| each["Addr"].as_str()?.split('/').next());
    Ok(address.context("no virtual address")?.to_owned())
}

/// This program in the task's namespace: sends back all that comes, on each connection.
pub fn serve(port: &str) -> Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", port.parse()?))?;
    for connection in listener.incoming() {
        let connection = connection?;
        std::thread::spawn(move || -> std::io::Result<u64> {
            connection.set_nodelay(true)?;
            std::io::copy(&mut &connection, &mut &connection)
        });
    }
    Ok(())
}

/// This program where the client is.
pub fn ask(to: &str) -> Result<f64> {
    let began = Instant::now();
    // The server and the names need a moment.
    let mut connection = loop {
        match TcpStream::connect(to) {
            Ok(first) => break first,
            Err(error) if began.elapsed() > Duration::from_secs(10) => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    connection.set_nodelay(true)?;
    let (mut done, began) = (0_u32, Instant::now());
    while began.elapsed() < LONG {
        connection.write_all(&[0])?;
        connection.read_exact(&mut [0])?;
        done += 1;
    }
    Ok(began.elapsed().as_secs_f64() * 1e6 / f64::from(done))
}
