//! Connections to port 2377: a bounded number of handshakes of bounded time, and guests (peers without a certificate) in
//! bounded number for a bounded time. What fails here is said at DEBUG: anybody can send garbage to an open port.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use tracing::debug;

use super::Live;
use crate::ca::certificate::{Leaf, Subject};

const HANDSHAKE: Duration = Duration::from_secs(5);
const HANDSHAKES: usize = 256;
/// A join takes a few calls; Docker's waits up to 30 s between two of them.
const GUEST: Duration = Duration::from_secs(120);
const GUESTS: usize = 256;

/// Who is at the other end, as its certificate says.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub addr: SocketAddr,
    pub subject: Option<Subject>,
}

pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    guest: Option<Guest>,
}

struct Guest {
    until: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

/// Accepts until `stop`; the port is free when the task has ended.
pub(crate) fn accept(
    listener: TcpListener,
    live: Live,
    stop: CancellationToken,
) -> (mpsc::Receiver<io::Result<Connection>>, JoinHandle<()>) {
    let (connections, receiver) = mpsc::channel(16);
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let guests = Arc::new(Semaphore::new(GUESTS));
    let task = tokio::spawn(async move {
        loop {
            let (tcp, addr) = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of descriptors, most likely: let some close.
                        debug!(%error, "accept failed");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let Ok(turn) = handshakes.clone().try_acquire_owned() else {
                debug!(%addr, "too many handshakes under way, connection dropped");
                continue;
            };
            let (live, guests, connections) = (live.clone(), guests.clone(), connections.clone());
            tokio::spawn(async move {
                let done = tokio::time::timeout(HANDSHAKE, handshake(tcp, addr, &live, guests));
                match done.await {
                    Ok(Ok(connection)) => {
                        drop(turn);
                        // The server is stopping when nobody takes it.
                        let _ = connections.send(Ok(connection)).await;
                    }
                    Ok(Err(error)) => debug!(%addr, %error, "handshake failed"),
                    Err(_) => debug!(%addr, "handshake took too long"),
                }
            });
        }
    });
    (receiver, task)
}

async fn handshake(
    tcp: TcpStream,
    addr: SocketAddr,
    live: &Live,
    guests: Arc<Semaphore>,
) -> io::Result<Connection> {
    tcp.set_nodelay(true)?;
    let acceptor = TlsAcceptor::from(live.get().server.clone());
    let stream = acceptor.accept(tcp).await?;
    let certificate = stream.get_ref().1.peer_certificates();
    let subject = match certificate.and_then(<[_]>::first) {
        Some(der) => Some(Leaf::from_der(der).map_err(io::Error::other)?.subject),
        None => None,
    };
    let guest = match subject {
        Some(_) => None,
        None => Some(Guest {
            until: Box::pin(tokio::time::sleep(GUEST)),
            _place: guests
                .try_acquire_owned()
                .map_err(|_| io::Error::other("too many connections without a certificate"))?,
        }),
    };
    Ok(Connection {
        stream,
        peer: Peer { addr, subject },
        guest,
    })
}

impl Connected for Connection {
    type ConnectInfo = Peer;
    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(guest) = &mut self.guest
            && guest.until.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
