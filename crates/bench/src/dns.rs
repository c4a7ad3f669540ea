//! How many questions the resolver of a container answers, and how soon.

use std::net::UdpSocket;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lab::Host;

use crate::world::World;

/// Questions that are under way at once.
const WINDOW: usize = 64;
const LONG: Duration = Duration::from_secs(2);
/// A question without an answer is asked again.
const LOST: Duration = Duration::from_millis(100);
/// Known to the server outside.
const FOREIGN: &str = "www.world.test";

pub struct Load {
    /// Answers per second.
    pub rate: f64,
    /// Microseconds until an answer, at most, for 99 of 100.
    pub p99: f64,
}

impl Load {
    pub fn print(&self) {
        println!("{} {}", self.rate, self.p99);
    }
}

/// For a name of the own network, asked from inside a container.
pub fn own(world: &World) -> Result<Load> {
    inside(world, "c2")
}

/// For a name that only the server outside knows, good for an hour.
pub fn foreign(world: &World) -> Result<Load> {
    inside(world, FOREIGN)
}

fn inside(world: &World, name: &str) -> Result<Load> {
    let this = std::env::current_exe()?;
    let mut load = world.inside(&world.h1, "c1")?;
    let output = load
        .arg(this)
        .args(["dns-load", world.resolver(), name])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<f64> = text
        .split_whitespace()
        .filter_map(|figure| figure.parse().ok())
        .collect();
    let [rate, p99] = figures[..] else {
        bail!("no figure: {}", String::from_utf8_lossy(&output.stderr));
    };
    Ok(Load { rate, p99 })
}

/// The server outside.
pub fn serve(host: &Host) -> Result<Child> {
    host.command("dnsmasq")
        .args([
            "--no-daemon",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--pid-file=",
        ])
        .arg(format!("--listen-address={}", host.addr))
        .args(["--bind-interfaces", "--local-ttl=3600"])
        .arg(format!("--host-record={FOREIGN},192.0.2.80"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start dnsmasq")
}

/// Keeps `WINDOW` questions under way for some seconds.
pub fn load(server: &str, name: &str) -> Result<Load> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(LOST))?;
    let questions: Vec<_> = (0..WINDOW).map(|id| question(id as u16, name)).collect();
    let mut since = vec![Instant::now(); WINDOW];
    for question in &questions {
        socket.send(question)?;
    }
    let mut buffer = [0; 1500];
    let (mut took, began) = (Vec::new(), Instant::now());
    while began.elapsed() < LONG {
        match socket.recv(&mut buffer) {
            Ok(n) if n >= 12 => {
                // NOERROR with an answer, or it is no answer.
                if buffer[3] & 0x0f != 0 || buffer[6..8] == [0, 0] {
                    bail!("{name} is not known to {server}");
                }
                let id = usize::from(u16::from_be_bytes([buffer[0], buffer[1]]));
                let now = Instant::now();
                let since = since.get_mut(id).context("an answer to no question")?;
                took.push(now - *since);
                *since = now;
                socket.send(&questions[id])?;
            }
            Ok(_) => bail!("an answer of no use"),
            Err(_) => {
                for question in &questions {
                    socket.send(question)?;
                }
            }
        }
    }
    let rate = took.len() as f64 / began.elapsed().as_secs_f64();
    took.sort();
    let p99 = took.get(took.len() * 99 / 100).context("no answer")?;
    Ok(Load {
        rate,
        p99: p99.as_secs_f64() * 1e6,
    })
}

/// A plain A question.
fn question(id: u16, name: &str) -> Vec<u8> {
    let mut packet = id.to_be_bytes().to_vec();
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    packet
}
