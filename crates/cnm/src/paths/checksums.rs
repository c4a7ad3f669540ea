//! Whether sums of datagrams are right when they arrive.

use std::io;
use std::net::SocketAddr;

use engine_types::{Error, Result};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::offloads::{DISCARD, PATIENCE, TRIES, Way};
use crate::controller::Inner;
use crate::icmp::{self, Heard};
use crate::kernel::run_in;

/// Echo requests of ours, told from others' by the number.
const ID: u16 = 0x636b;

impl Inner {
    /// Whether the other end's kernel says that nobody listens, or somebody answers.
    pub(super) async fn hears(&self, way: &Way) -> Result<bool> {
        let ((own, _), (to, _)) = (way.from, way.to);
        let open = move || {
            let socket = std::net::UdpSocket::bind((own, 0))?;
            socket.connect((to, DISCARD))?;
            socket.set_nonblocking(true)?;
            io::Result::Ok(socket)
        };
        let socket = run_in(self.kernel.as_ref(), &way.ns, open).await?;
        let socket = socket.and_then(UdpSocket::from_std).map_err(failed)?;
        for _ in 0..TRIES {
            let answer = async {
                socket.send(&[0]).await?;
                socket.recv(&mut [0]).await
            };
            match timeout(PATIENCE, answer).await {
                Ok(Err(error)) if error.kind() != io::ErrorKind::ConnectionRefused => {
                    return Err(failed(error));
                }
                Ok(_) => return Ok(true),
                Err(_) => {}
            }
        }
        Ok(false)
    }

    pub(super) async fn echoes(&self, way: &Way) -> Result<bool> {
        let v6 = way.from.0.is_ipv6();
        let protocol = match v6 {
            false => Protocol::ICMPV4,
            true => Protocol::ICMPV6,
        };
        let socket = self.raw_socket(way, protocol).await?;
        for sequence in 1..=TRIES as u16 {
            let answer = async {
                let request = icmp::request(v6, ID, sequence, icmp::HEADER);
                socket.send(&request).await?;
                let mut head = [0; 128];
                loop {
                    let length = socket.recv(&mut head).await?;
                    match icmp::read(v6, &head[..length]) {
                        Some(Heard::Reply { id: ID, .. }) => return io::Result::Ok(()),
                        _ => continue,
                    }
                }
            };
            if let Ok(answer) = timeout(PATIENCE, answer).await {
                return answer.map(|()| true).map_err(failed);
            }
        }
        Ok(false)
    }

    /// Hears all of the protocol that comes the way back.
    pub(super) async fn raw_socket(&self, way: &Way, protocol: Protocol) -> Result<UdpSocket> {
        let ((own, _), (to, _)) = (way.from, way.to);
        let open = move || {
            let domain = Domain::for_address(SocketAddr::new(own, 0));
            let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
            socket.bind(&SocketAddr::new(own, 0).into())?;
            socket.connect(&SocketAddr::new(to, 0).into())?;
            socket.set_nonblocking(true)?;
            io::Result::Ok(std::net::UdpSocket::from(socket))
        };
        let socket = run_in(self.kernel.as_ref(), &way.ns, open).await?;
        socket.and_then(UdpSocket::from_std).map_err(failed)
    }
}

pub(super) fn failed(error: io::Error) -> Error {
    Error::system(format!("a look at another node's entry: {error}"))
}
