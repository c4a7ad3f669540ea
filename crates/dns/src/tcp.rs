//! DNS over TCP, from clients and to upstreams: each message after its length.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::answer::{Step, consider};
use crate::race::Race;
use crate::wire::{self, Query};
use crate::{Dial, Transport, Upstream, View};

/// How long a client may hold a connection without asking or without taking its answer.
const IDLE: Duration = Duration::from_secs(10);

/// Answers one request after the other until the client is done.
pub(crate) async fn serve(
    mut stream: TcpStream,
    view: Arc<ArcSwap<View>>,
    dial: Arc<dyn Dial>,
    mut rng: StdRng,
) -> io::Result<()> {
    let mut out = Vec::new();
    while let Some(query) = timeout(IDLE, read_message(&mut stream)).await?? {
        let view = view.load_full();
        match consider(&query, &view, Transport::Tcp, &mut rng, &mut out) {
            Step::Answered => {}
            Step::Forward(query) => forward(&query, &view, &dial, &mut out).await,
            Step::Ignore => return Ok(()),
        }
        timeout(IDLE, write_message(&mut stream, &out)).await??;
    }
    Ok(())
}

/// Known already, or the first good reply, or SERVFAIL.
async fn forward(query: &Query<'_>, view: &View, dial: &Arc<dyn Dial>, out: &mut Vec<u8>) {
    let limit = Transport::Tcp.limit(query);
    let mut question = Vec::new();
    let shared = query.onward(&mut question);
    if shared && view.cache.answer(now(), &question, query, limit, out) {
        return;
    }
    let asked = [&query.bytes[..2], &question].concat();
    match race(&asked, &view.usable_upstreams(), dial).await {
        Some(reply) => {
            if shared {
                view.cache.insert(now(), &question, &reply);
            }
            wire::deliver(&reply, query, limit, out);
        }
        None => *out = wire::servfail(query.bytes),
    }
}

async fn race(query: &[u8], upstreams: &[Upstream], dial: &Arc<dyn Dial>) -> Option<Vec<u8>> {
    let mut race = Race::new(now(), upstreams.len());
    let mut asked = JoinSet::new();
    loop {
        while let Some(index) = race.poll_transmit(now()) {
            let (dial, query, upstream) = (dial.clone(), query.to_vec(), upstreams[index]);
            asked.spawn(async move { (index, ask(&query, upstream, dial).await) });
        }
        if race.is_lost(now()) {
            return None;
        }
        tokio::select! {
            () = tokio::time::sleep_until(race.poll_timeout().into()) => {}
            Some(Ok((index, result))) = asked.join_next() => match result {
                Ok(reply) if wire::is_reply_to(query, &reply) && !wire::is_failure(&reply) => return Some(reply),
                _ => race.handle_failure(now(), index),
            }
        }
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

async fn ask(query: &[u8], upstream: Upstream, dial: Arc<dyn Dial>) -> io::Result<Vec<u8>> {
    let opened = tokio::task::spawn_blocking(move || dial.tcp(upstream)).await??;
    opened.set_nonblocking(true)?;
    let mut stream = TcpStream::from_std(opened)?;
    stream.writable().await?;
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    write_message(&mut stream, query).await?;
    let reply = read_message(&mut stream).await?;
    reply.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// `None` at the end of the stream.
async fn read_message(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u16().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(Some(message))
}

async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let mut framed = Vec::with_capacity(message.len() + 2);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}
