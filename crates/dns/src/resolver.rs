//! One sandbox's resolver: a task that owns the sockets and asks the cores.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::answer::{Step, consider};
use crate::batch::{self, Outbox};
use crate::forward::Forwarder;
use crate::link::{Link, Received};
use crate::{Dial, Transport, Upstream, View, tcp};

/// TCP clients at the same time; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;
/// A burst of clients must not overflow the kernel's queue; the kernel may grant less.
const RECEIVE_BUFFER: usize = 1 << 20;

/// A sandbox's resolver. Dropping it closes its sockets.
pub struct Resolver {
    task: AbortHandle,
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Resolver {
    /// Serves on sockets that were opened inside the sandbox (see `netstate::NetState::run_in`). Called within a tokio
    /// runtime. `view` may be replaced at any time.
    pub fn serve(
        udp: std::net::UdpSocket,
        tcp: std::net::TcpListener,
        view: Arc<ArcSwap<View>>,
        dial: Arc<dyn Dial>,
    ) -> io::Result<Self> {
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        if let Err(error) = socket2::SockRef::from(&udp).set_recv_buffer_size(RECEIVE_BUFFER) {
            tracing::debug!(%error, "resolver keeps the default receive buffer");
        }
        let (received, replies) = mpsc::channel(256);
        let server = Server {
            udp: UdpSocket::from_std(udp)?,
            tcp: TcpListener::from_std(tcp)?,
            view,
            dial,
            rng: rand::make_rng(),
            forwarder: Forwarder::new(rand::make_rng()),
            links: BTreeMap::new(),
            received,
            replies,
            connections: JoinSet::new(),
            link_tasks: JoinSet::new(),
        };
        let task = tokio::spawn(server.run()).abort_handle();
        Ok(Self { task })
    }
}

struct Server {
    udp: UdpSocket,
    tcp: TcpListener,
    view: Arc<ArcSwap<View>>,
    dial: Arc<dyn Dial>,
    rng: StdRng,
    forwarder: Forwarder<SocketAddr>,
    links: BTreeMap<Upstream, Link>,
    received: mpsc::Sender<Received>,
    replies: mpsc::Receiver<Received>,
    connections: JoinSet<()>,
    link_tasks: JoinSet<()>,
}

impl Server {
    async fn run(mut self) {
        loop {
            let timeout = self.forwarder.poll_timeout();
            tokio::select! {
                ready = self.udp.readable() => {
                    if let Err(error) = ready.and_then(|()| self.answer_burst()) {
                        return tracing::error!(%error, "resolver lost its socket");
                    }
                }
                Some((upstream, received)) = self.replies.recv() => match received {
                    Ok(reply) => self.forwarder.handle_reply(now(), upstream, &reply),
                    Err(_) => self.forwarder.handle_unreachable(now(), upstream),
                },
                () = sleep_until(timeout), if timeout.is_some() => self.forwarder.handle_timeout(now()),
                accepted = self.tcp.accept(), if self.connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) => self.converse(stream),
                    // Out of descriptors, mostly: do not spin.
                    Err(error) => {
                        tracing::warn!(%error, "resolver cannot accept");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = self.connections.join_next() => {}
                Some(_) = self.link_tasks.join_next() => self.links.retain(|_, link| !link.is_stale()),
            }
            self.flush();
        }
    }

    fn answer_burst(&mut self) -> io::Result<()> {
        let (view, now) = (self.view.load_full(), now());
        let Self {
            udp,
            rng,
            forwarder,
            ..
        } = self;
        with_scratch(|scratch| {
            let Scratch {
                datagram,
                out,
                question,
                outbox,
            } = scratch;
            let received = batch::receive(udp, datagram, |bytes, client| {
                let query = match consider(bytes, &view, Transport::Udp, rng, out) {
                    Step::Answered => return outbox.push(client, out),
                    Step::Forward(query) => query,
                    Step::Ignore => return,
                };
                let shared = query.onward(question);
                let limit = query.udp_limit();
                if shared && view.cache.answer(now, question, &query, limit, out) {
                    outbox.push(client, out);
                } else if let Ok(client) = client.try_into() {
                    let question = (&question[..], shared);
                    forwarder.handle_query(now, client, &query, question, &view);
                }
            });
            outbox.send(udp);
            received
        })
    }

    fn converse(&mut self, stream: tokio::net::TcpStream) {
        let (view, dial) = (self.view.clone(), self.dial.clone());
        let rng = StdRng::from_rng(&mut self.rng);
        self.connections.spawn(async move {
            if let Err(error) = tcp::serve(stream, view, dial, rng).await {
                tracing::debug!(%error, "DNS over TCP ended");
            }
        });
    }

    fn flush(&mut self) {
        while let Some(transmit) = self.forwarder.poll_transmit() {
            self.link(transmit.upstream).send(transmit.bytes);
        }
        with_scratch(|scratch| {
            while let Some(event) = self.forwarder.poll_event() {
                scratch.outbox.push(event.client.into(), &event.bytes);
            }
            scratch.outbox.send(&self.udp);
        });
    }

    fn link(&mut self, upstream: Upstream) -> &Link {
        if self.links.get(&upstream).is_none_or(Link::is_stale) {
            let (link, work) = Link::new(upstream, self.dial.clone(), self.received.clone());
            self.link_tasks.spawn(work);
            self.links.insert(upstream, link);
        }
        &self.links[&upstream]
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

async fn sleep_until(at: Option<std::time::Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at.into()).await;
    }
}

/// What work on datagrams needs, one per thread instead of one per sandbox.
pub(crate) struct Scratch {
    /// Room for the largest.
    pub datagram: Vec<u8>,
    /// The response being written.
    out: Vec<u8>,
    question: Vec<u8>,
    outbox: Outbox,
}

pub(crate) fn with_scratch<R>(f: impl FnOnce(&mut Scratch) -> R) -> R {
    thread_local!(static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        datagram: vec![0; 65_535],
        out: Vec::new(),
        question: Vec::new(),
        outbox: Outbox::default(),
    }));
    SCRATCH.with_borrow_mut(f)
}
