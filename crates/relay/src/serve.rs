//! The relay as a process.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use cnm::Proxy;
use netstate::Origins;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::connection::relay;
use crate::process::{DRAINS, SERVES};

/// Of a connection: two sockets, and a pipe each way.
const FILES: u64 = 6;
const OTHER_FILES: u64 = 64;
/// More wait with the kernel until some have ended.
const CONNECTIONS: u64 = 32 << 10;
const BACKLOG: i32 = 4096;
const WORKERS: usize = 4;
/// Before somebody tries again who had no files left.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves in the namespace at this path until it is told to stop, and then until the last connection has ended. The host's
/// namespace is the caller's; the process has no other thread yet.
pub fn serve(sandbox: &Path) -> Result<()> {
    let origins = Origins::open()?;
    netstate::move_into(sandbox)?;
    let most = connections()?;
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get().min(WORKERS));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()?;
    runtime.block_on(serve_here(origins, most))
}

/// As many as there are files for.
fn connections() -> Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")?;
    let files = limit.maximum.unwrap_or(u64::MAX);
    let most = (files.saturating_sub(OTHER_FILES) / FILES).clamp(1, CONNECTIONS);
    Ok(usize::try_from(most)?)
}

async fn serve_here(origins: Origins, most: usize) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let origins = Arc::new(Mutex::new(origins));
    let (room, mut taking) = (Arc::new(Semaphore::new(most)), JoinSet::new());
    for version in Proxy::ALL {
        let port = version.relay_port();
        let any = [
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
        ];
        for address in any {
            match listen(address) {
                Ok(listener) => {
                    let (origins, room) = (origins.clone(), room.clone());
                    taking.spawn(take(listener, version, origins, room));
                }
                Err(error) if address.is_ipv6() => {
                    debug!(%error, "no IPv6 in this kernel");
                }
                Err(error) => return Err(error).context(format!("cannot listen on {address}")),
            }
        }
    }
    rustix::thread::set_name(SERVES)?;
    // The daemon may be gone.
    let mut told = io::stdout();
    let _ = told.write_all(b"\n").and_then(|()| told.flush());
    terminate.recv().await;
    rustix::thread::set_name(DRAINS)?;
    taking.shutdown().await;
    let open = most - room.available_permits();
    info!(
        open,
        "relay of published ports ends with its last connection"
    );
    let _all = room.acquire_many(u32::try_from(most)?).await?;
    Ok(())
}

/// Another relay may take its place, and listens beside it for a moment (with tcp_migrate_req, no client notices).
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn take(
    listener: TcpListener,
    version: Proxy,
    origins: Arc<Mutex<Origins>>,
    room: Arc<Semaphore>,
) {
    loop {
        let Ok(place) = room.clone().acquire_owned().await else {
            return;
        };
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                warn!(%error, "cannot take connections to published ports");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let origins = origins.clone();
        tokio::spawn(async move {
            if let Err(error) = relay(client, version, &origins).await {
                debug!(%error, "connection to a published port has failed");
            }
            drop(place);
        });
    }
}
