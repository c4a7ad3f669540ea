//! How many questions the resolver of a container answers.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::world::World;

/// Questions that are under way at once.
const WINDOW: usize = 64;
const LONG: Duration = Duration::from_secs(3);

/// Answers per second for a name of the own network, asked from inside a container.
pub fn rate(world: &World) -> Result<f64> {
    let this = std::env::current_exe()?;
    let mut load = world.inside(&world.h1, "c1")?;
    let output = load
        .arg(this)
        .args(["dns-load", "127.0.0.11:53", "c2"])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim()
        .parse()
        .with_context(|| format!("no figure: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Keeps `WINDOW` questions under way for some seconds; a lost one is asked again.
pub fn load(server: &str, name: &str) -> Result<f64> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let ask = |id: u16| socket.send(&question(id, name));
    for id in 0..WINDOW {
        ask(id as u16)?;
    }
    let mut buffer = [0; 1500];
    let (mut answers, began) = (0u64, Instant::now());
    while began.elapsed() < LONG {
        match socket.recv(&mut buffer) {
            Ok(n) if n >= 12 => {
                // NOERROR with an answer, or it is no answer.
                if buffer[3] & 0x0f != 0 || buffer[6..8] == [0, 0] {
                    bail!("{name} is not known to {server}");
                }
                answers += 1;
                ask(u16::from_be_bytes([buffer[0], buffer[1]]))?;
            }
            Ok(_) => bail!("an answer of no use"),
            Err(_) => {
                for id in 0..WINDOW {
                    ask(id as u16)?;
                }
            }
        }
    }
    Ok(answers as f64 / began.elapsed().as_secs_f64())
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
