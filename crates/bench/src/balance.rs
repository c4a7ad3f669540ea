//! What a service's own address and the routing mesh cost: against the same task directly, both Pontoon's, in turn; and
//! against Docker's, where the kernel has IPVS.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::world::{NETWORK, World};
use crate::{api, traffic};

/// Of the tasks, and of the mesh.
const PORT: u16 = 5201;
const MESH: u16 = 5301;
const LONG: Duration = Duration::from_secs(2);
/// Clients that connect at once.
const CLIENTS: usize = 4;
/// Services beside the one that is measured, each with a port of the mesh from this one on.
const OTHERS: u16 = 99;
const OTHER_PORTS: u16 = 6001;
const PATIENCE: Duration = Duration::from_secs(900);

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
    load(world, way, "echo", "tcp-load")
}

/// New TCP connections per second. The server ends each of them, so that a client has its port back at once.
pub fn connections(world: &World, way: Way) -> Result<f64> {
    load(world, way, "hang-up", "tcp-connects")
}

fn load(world: &World, way: Way, serve: &str, ask: &str) -> Result<f64> {
    let this = std::env::current_exe()?;
    behind(world, way, |mut server, client, to, port| {
        let serve = ["tcp-serve", serve, &PORT.to_string()].map(str::to_owned);
        let mut server = Server(server.arg(&this).args(serve).spawn()?);
        let mut asked = client()?;
        let output = asked
            .arg(&this)
            .args([ask, &format!("{to}:{port}")])
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

/// With a task on h2 and a container beside it, which stay: a program in the task's namespace, one where the client is, and
/// where to connect to.
fn behind(
    world: &World,
    way: Way,
    take: impl FnOnce(Command, &dyn Fn() -> Result<Command>, &str, u16) -> Result<f64>,
) -> Result<f64> {
    let task = task(world)?;
    let (to, port, server) = match way {
        Way::Task => (world.address(&world.h2, &task)?, PORT, task.as_str()),
        Way::Service => (virtual_ip(world)?, PORT, task.as_str()),
        Way::Published => (world.h2.addr.to_string(), PORT, "beside"),
        Way::Mesh => (world.h2.addr.to_string(), MESH, task.as_str()),
    };
    let client = || match way {
        Way::Task | Way::Service => world.among(&world.h1, "c1"),
        Way::Published | Way::Mesh => Ok(world.h1.command("env")),
    };
    take(world.inside(&world.h2, server)?, &client, &to, port)
}

fn task(world: &World) -> Result<String> {
    let of_service = "ps -q --filter label=com.docker.swarm.service.name=kept";
    let task = world.engine(&world.h2, of_service)?;
    if !task.is_empty() {
        return Ok(task);
    }
    create(world, "kept", MESH, Some("node.hostname==h2"))?;
    running(world, 1)?;
    let run =
        format!("run -d --name beside --network {NETWORK} -p {PORT}:{PORT} busybox sleep 36000");
    world.engine(&world.h2, &run)?;
    world.engine(&world.h2, of_service)
}

/// The same figure with a hundred services on the network, which stay as well.
pub fn among_many(world: &World, take: impl FnOnce(&World) -> Result<f64>) -> Result<f64> {
    let name = |n| format!("other{n}");
    let last = format!("service inspect {}", name(OTHERS - 1));
    if world.engine(&world.h1, &last).is_err() {
        // The one that is measured is the first: it has no better place in anybody's lists than it has alone.
        task(world)?;
        for n in 0..OTHERS {
            create(world, &name(n), OTHER_PORTS + n, None)?;
        }
        running(world, usize::from(OTHERS) + 1)?;
    }
    take(world)
}

fn create(world: &World, name: &str, port: u16, constraint: Option<&str>) -> Result<()> {
    let network = world.network_id()?;
    let constraints: Vec<&str> = constraint.into_iter().collect();
    let spec = json!({
        "Name": name,
        "TaskTemplate": {
            "ContainerSpec": {"Image": "busybox:latest", "Args": ["sleep", "36000"], "StopGracePeriod": 100_000_000},
            "Networks": [{"Target": network}],
            "Placement": {"Constraints": constraints},
        },
        "Mode": {"Replicated": {"Replicas": 1}},
        "EndpointSpec": {"Ports": [{"Protocol": "tcp", "TargetPort": PORT, "PublishedPort": port}]},
    });
    api::post(&world.h1.socket(), "/v1.41/services/create", &spec).map(drop)
}

fn running(world: &World, tasks: usize) -> Result<()> {
    let began = Instant::now();
    loop {
        let all = api::get(&world.h1.socket(), "/v1.41/tasks")?;
        let all = all.as_array().into_iter().flatten();
        // Those of a slot: the one that a node may have for the network alone has none.
        let ours = all.filter(|t| t["Slot"].as_u64() > Some(0));
        let now = ours.filter(|t| t["Status"]["State"] == "running").count();
        if now >= tasks {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            bail!("{now} of {tasks} tasks run");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn virtual_ip(world: &World) -> Result<String> {
    let network = world.network_id()?;
    let service = api::get(&world.h1.socket(), "/v1.41/services/kept")?;
    let all = service["Endpoint"]["VirtualIPs"].as_array();
    let mut all = all.into_iter().flatten();
    let of_it = all.find(|each| each["NetworkID"] == network.as_str());
    let address = of_it.and_then(|each| each["Addr"].as_str()?.split('/').next());
    Ok(address.context("no virtual address")?.to_owned())
}

/// This program in the task's namespace: sends back all that comes, or ends each connection at once.
pub fn serve(how: &str, port: &str) -> Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", port.parse()?))?;
    for connection in listener.incoming() {
        let connection = connection?;
        if how == "echo" {
            std::thread::spawn(move || -> std::io::Result<u64> {
                connection.set_nodelay(true)?;
                std::io::copy(&mut &connection, &mut &connection)
            });
        }
    }
    Ok(())
}

/// This program where the client is.
pub fn ask(to: &str) -> Result<f64> {
    let mut connection = connect(to)?;
    connection.set_nodelay(true)?;
    let (mut done, began) = (0_u32, Instant::now());
    while began.elapsed() < LONG {
        connection.write_all(&[0])?;
        connection.read_exact(&mut [0])?;
        done += 1;
    }
    Ok(began.elapsed().as_secs_f64() * 1e6 / f64::from(done))
}

/// The same; so many clients at once, each with one connection after the other.
pub fn connect_again_and_again(to: &str) -> Result<f64> {
    connect(to)?;
    let began = Instant::now();
    let client = || -> Result<u32> {
        let mut done = 0;
        while began.elapsed() < LONG {
            TcpStream::connect(to)?.read_to_end(&mut Vec::new())?;
            done += 1;
        }
        Ok(done)
    };
    let done: Result<Vec<u32>> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let ended = |one: std::thread::ScopedJoinHandle<_>| match one.join() {
            Ok(done) => done,
            Err(_) => bail!("a client panicked"),
        };
        all.into_iter().map(ended).collect()
    });
    Ok(f64::from(done?.iter().sum::<u32>()) / began.elapsed().as_secs_f64())
}

/// The first connection: the server and the names need a moment.
fn connect(to: &str) -> Result<TcpStream> {
    let began = Instant::now();
    loop {
        match TcpStream::connect(to) {
            Ok(first) => return Ok(first),
            Err(error) if began.elapsed() > Duration::from_secs(20) => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
