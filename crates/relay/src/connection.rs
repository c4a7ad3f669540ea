//! One connection: who it is, the same to a task, the header, and then both ways until both sides have ended.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cnm::Proxy;
use netstate::Origins;
use rustix::net::sockopt;
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use crate::header::header;
use crate::splice::pump;

/// A task answers at once; a node that is lost does not.
const CONNECT: Duration = Duration::from_secs(10);

/// Passes it on to its end. Either side learns of a failure as such: its connection is reset, not closed.
pub async fn relay(client: TcpStream, version: Proxy, origins: &Mutex<Origins>) -> io::Result<()> {
    let relayed = to_task(&client, version, origins).await;
    if relayed.is_err() {
        reset(&client);
    }
    relayed
}

async fn to_task(client: &TcpStream, version: Proxy, origins: &Mutex<Origins>) -> io::Result<()> {
    let (entry, from, asked) = introduction(client, origins)?;
    let connect = tokio::time::timeout(CONNECT, connect(entry, version.mark_for(from.ip())));
    let mut task = connect.await.map_err(io::Error::from)??;
    let both = async {
        for side in [client, &task] {
            side.set_nodelay(true)?;
            SockRef::from(side).set_keepalive(true)?;
        }
        task.write_all(&header(version, from, asked)).await?;
        tokio::try_join!(pump(client, &task), pump(&task, client))
    };
    let ended = both.await;
    if ended.is_err() {
        reset(&task);
    }
    ended.map(drop)
}

/// The address in this namespace that the client was led to, who the client is, and what it asked for.
fn introduction(
    client: &TcpStream,
    origins: &Mutex<Origins>,
) -> io::Result<(SocketAddr, SocketAddr, SocketAddr)> {
    let peer = client.peer_addr()?;
    let entry: SocketAddr = match peer.is_ipv4() {
        true => sockopt::ip_original_dst(client)?.into(),
        false => sockopt::ipv6_original_dst(client)?.into(),
    };
    let origin = {
        let mut origins = origins.lock().unwrap_or_else(PoisonError::into_inner);
        origins.of(entry, peer).map_err(io::Error::other)?
    };
    // The host has not touched what it does not know.
    let (client, asked) = origin.unwrap_or((peer, entry));
    Ok((entry, client, asked))
}

/// To one of the tasks that want this header: which one is the kernel's choice.
async fn connect(entry: SocketAddr, mark: u32) -> io::Result<TcpStream> {
    let socket = match entry.is_ipv4() {
        true => TcpSocket::new_v4(),
        false => TcpSocket::new_v6(),
    }?;
    SockRef::from(&socket).set_mark(mark)?;
    socket.connect(entry).await
}

fn reset(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "connection is closed, not reset");
    }
}
