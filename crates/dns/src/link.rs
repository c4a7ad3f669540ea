//! Sockets towards upstreams.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::Upstream;

/// Opens a socket towards an upstream in the right namespace. Called on threads that may block, several at once.
pub trait Dial: Send + Sync + 'static {
    /// [`open_udp`] run in that namespace.
    fn udp(&self, upstream: Upstream) -> io::Result<UdpSocket>;
    /// [`open_tcp`] run in that namespace.
    fn tcp(&self, upstream: Upstream) -> io::Result<TcpStream>;
}

/// A UDP socket in this thread's namespace that hears only `addr`.
pub fn open_udp(addr: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match addr {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(addr)?;
    Ok(socket)
}

/// A TCP socket in this thread's namespace whose connection has begun but may not stand yet.
pub fn open_tcp(addr: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking(), None)?;
    match socket.connect(&addr.into()) {
        Err(e) if e.raw_os_error() != Some(IN_PROGRESS) => Err(e),
        _ => Ok(socket.into()),
    }
}

/// Linux's EINPROGRESS.
const IN_PROGRESS: i32 = 115;

/// New queries go to a fresh socket, with a new source port, after this long: a port that stays is easier to guess.
const FRESH: Duration = Duration::from_secs(2);
/// The old socket then waits for answers that are still due, longer than any query lives.
const LINGER: Duration = Duration::from_secs(4);
/// Packets that wait for the socket to open; more are lost, as packets are.
const QUEUE: usize = 256;

/// What came from where; an error when nothing gets there.
pub(crate) type Received = (Upstream, io::Result<Vec<u8>>);

/// One socket to one upstream, owned by a task that ends on its own.
pub(crate) struct Link {
    send: mpsc::Sender<Vec<u8>>,
    stale_at: Instant,
}

impl Link {
    /// The link and the task that works it.
    pub fn new(
        upstream: Upstream,
        dial: Arc<dyn Dial>,
        received: mpsc::Sender<Received>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (send, queue) = mpsc::channel(QUEUE);
        let link = Self {
            send,
            stale_at: Instant::now() + FRESH,
        };
        let work = async move {
            if let Err(error) = work(upstream, dial, queue, &received).await {
                tracing::debug!(server = %upstream.addr, %error, "upstream is out of reach");
                let _ = received.send((upstream, Err(error))).await;
            }
        };
        (link, work)
    }

    pub fn is_stale(&self) -> bool {
        self.send.is_closed() || Instant::now() >= self.stale_at
    }

    pub fn send(&self, bytes: Vec<u8>) {
        if self.send.try_send(bytes).is_err() {
            tracing::trace!("query to an upstream was lost here");
        }
    }
}

/// Ends with an error when the socket reports one: a port where nobody listens, a network without a way to it.
async fn work(
    upstream: Upstream,
    dial: Arc<dyn Dial>,
    mut queue: mpsc::Receiver<Vec<u8>>,
    received: &mpsc::Sender<Received>,
) -> io::Result<()> {
    let opened = tokio::task::spawn_blocking(move || dial.udp(upstream)).await??;
    opened.set_nonblocking(true)?;
    let socket = tokio::net::UdpSocket::from_std(opened)?;
    let end = Instant::now() + FRESH + LINGER;
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(end) => return Ok(()),
            Some(query) = queue.recv() => {
                socket.send(&query).await?;
            }
            ready = socket.readable() => {
                ready?;
                while let Some(reply) = receive(&socket)? {
                    if received.send((upstream, Ok(reply))).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

fn receive(socket: &tokio::net::UdpSocket) -> io::Result<Option<Vec<u8>>> {
    crate::resolver::with_scratch(|scratch| match socket.try_recv(&mut scratch.datagram) {
        Ok(length) => Ok(Some(scratch.datagram[..length].to_vec())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    })
}
