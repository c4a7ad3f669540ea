//! Tasks for streams, ours and others'. Each is bounded in time, their number is, and so is what they may buffer together.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::Shared;
use crate::agent::StreamId;

/// memberlist's `TCPTimeout`.
const DEADLINE: Duration = Duration::from_secs(10);
/// memberlist's limit of concurrent push/pulls; more are dropped.
const MAX_INCOMING: usize = 128;
const MAX_OUTGOING: usize = 64;
/// A frame of up to this size is anybody's right. Larger ones (up to 20 MiB) must queue for one of a few places.
const SMALL_FRAME: usize = 256 * 1024;
const LARGE_FRAMES: usize = 4;
const CHUNK: usize = 16 * 1024;

pub struct Streams {
    shared: Arc<Shared>,
    incoming: Arc<Semaphore>,
    outgoing: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl Streams {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            incoming: Arc::new(Semaphore::new(MAX_INCOMING)),
            outgoing: Arc::new(Semaphore::new(MAX_OUTGOING)),
            large: Arc::new(Semaphore::new(LARGE_FRAMES)),
        }
    }

    /// Handles a stream that somebody opened to us.
    pub fn serve(&self, mut stream: TcpStream, from: SocketAddr) {
        let Ok(place) = self.incoming.clone().try_acquire_owned() else {
            tracing::debug!(%from, "too many gossip streams");
            return;
        };
        let (shared, large) = (self.shared.clone(), self.large.clone());
        tokio::spawn(async move {
            let _place = place;
            let served = timeout(DEADLINE, async {
                let (frame, _large) = read_frame(&mut stream, &shared, &large).await?;
                let reply = shared.with(|agent, now| agent.handle_stream(now, from, &frame));
                if let Some(reply) = reply {
                    stream.write_all(&reply).await?;
                }
                stream.shutdown().await
            });
            match served.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%from, %error, "gossip stream"),
                Err(_) => tracing::debug!(%from, "gossip stream took too long"),
            }
        });
    }

    /// Opens a stream that the agent wants.
    pub fn open(&self, id: StreamId, to: SocketAddr, connect_timeout: Duration) {
        let (shared, large) = (self.shared.clone(), self.large.clone());
        let places = self.outgoing.clone();
        tokio::spawn(async move {
            let exchange = async {
                let _place = places.acquire_owned().await.map_err(io::Error::other)?;
                let mut stream = timeout(connect_timeout, TcpStream::connect(to)).await??;
                timeout(DEADLINE, run(&mut stream, id, &shared, &large)).await?
            };
            if let Err(error) = exchange.await {
                tracing::trace!(%to, %error, "gossip stream");
                shared.with(|agent, now| agent.handle_stream_failed(now, id));
            }
        });
    }
}

/// One exchange on an open stream of ours.
async fn run(
    stream: &mut TcpStream,
    id: StreamId,
    shared: &Shared,
    large: &Arc<Semaphore>,
) -> io::Result<()> {
    let Some(outgoing) = shared.with(|agent, now| agent.handle_connected(now, id)) else {
        return Ok(());
    };
    stream.write_all(&outgoing.bytes).await?;
    if outgoing.expects_reply {
        let (frame, _large) = read_frame(stream, shared, large).await?;
        shared.with(|agent, now| agent.handle_reply(now, id, &frame));
    } else {
        stream.shutdown().await?;
        shared.with(|agent, _| agent.handle_stream_done(id));
    }
    Ok(())
}

/// Reads one frame. The buffer grows with what arrives, not with what the sender claims.
async fn read_frame(
    stream: &mut TcpStream,
    shared: &Shared,
    large: &Arc<Semaphore>,
) -> io::Result<(Vec<u8>, Option<OwnedSemaphorePermit>)> {
    let mut buffer = Vec::new();
    let mut place = None;
    loop {
        let len = shared.lock().frame_len(&buffer).map_err(io::Error::other)?;
        if let Some(len) = len.filter(|len| *len <= buffer.len()) {
            buffer.truncate(len);
            return Ok((buffer, place));
        }
        if buffer.len() >= SMALL_FRAME && place.is_none() {
            let waited = large.clone().acquire_owned().await;
            place = Some(waited.map_err(io::Error::other)?);
        }
        buffer.reserve(CHUNK);
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
