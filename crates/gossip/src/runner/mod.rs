//! The sockets and the clock around an [`Agent`], on a thread with a runtime of its own: other work cannot delay an answer
//! to a probe, and the thread stays in the network namespace in which it was started.

mod streams;

use std::{
    collections::VecDeque,
    io,
    net::{SocketAddr, TcpListener as StdTcpListener, UdpSocket as StdUdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::StdRng};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::{Notify, mpsc, watch},
    time::{Instant as TokioInstant, sleep_until, timeout},
};

use crate::{
    Config, Error, Event,
    agent::{self, Agent, Transmit},
};
use streams::Streams;

/// Events that wait for the user before they pile up inside.
const EVENT_CHANNEL: usize = 1024;
const GOODBYE: Duration = Duration::from_millis(1500);
const BACKLOG: i32 = 256;
const RECEIVE_BUFFER: usize = 4 << 20;
const MAX_DATAGRAM: usize = 65536;

/// What the runner's tasks and the user's handles share.
struct Shared {
    agent: Mutex<Agent>,
    /// The agent has something to send, or another timeout than before.
    wake: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Agent> {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn with<T>(&self, f: impl FnOnce(&mut Agent, Instant) -> T) -> T {
        let out = f(&mut self.lock(), Instant::now());
        self.wake.notify_one();
        out
    }
}

#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    /// The thread ends on `true`, or when all handles are dropped.
    stop: Arc<watch::Sender<bool>>,
}

impl Handle {
    pub fn with<T>(&self, f: impl FnOnce(&mut Agent, Instant) -> T) -> T {
        self.shared.with(f)
    }

    pub async fn leave(self) {
        self.with(|agent, _| agent.leave());
        let goodbye = async {
            while !self.shared.lock().has_left() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(GOODBYE, goodbye).await.is_err() {
            tracing::debug!("not everybody has heard the goodbye");
        }
        // The thread drops its receiver when its sockets are closed.
        self.stop.send_replace(true);
        self.stop.closed().await;
    }
}

pub async fn start(config: Config) -> Result<(Handle, mpsc::Receiver<Event>), Error> {
    let sockets = Sockets::bind(config.bind).map_err(|error| {
        Error(format!(
            "cannot listen for gossip on {}: {error}",
            config.bind
        ))
    })?;
    let agent = Agent::new(
        Instant::now(),
        agent::Config {
            node_name: config.node_name,
            advertise: config.advertise,
            keys: config.keys,
            rng: StdRng::try_from_rng(&mut rand::rngs::SysRng)
                .map_err(|error| Error(format!("no randomness for gossip: {error}")))?,
        },
    )
    .map_err(|error| Error(format!("gossip keys: {error}")))?;
    let shared = Arc::new(Shared {
        agent: Mutex::new(agent),
        wake: Notify::new(),
    });
    let (events, receiver) = mpsc::channel(EVENT_CHANNEL);
    let (stop, stopped) = watch::channel(false);
    let runner = Runner {
        shared: shared.clone(),
        events,
        backlog: VecDeque::new(),
        stopped,
    };
    // Built here, so that what can fail fails in `start`.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error(format!("cannot start gossip: {error}")))?;
    std::thread::Builder::new()
        .name("gossip".into())
        .spawn(move || {
            if let Err(error) = runtime.block_on(runner.run(sockets)) {
                tracing::error!(%error, "gossip stopped");
            }
        })
        .map_err(|error| Error(format!("cannot start gossip: {error}")))?;
    Ok((
        Handle {
            shared,
            stop: Arc::new(stop),
        },
        receiver,
    ))
}

struct Sockets {
    udp: StdUdpSocket,
    tcp: StdTcpListener,
}

impl Sockets {
    fn bind(addr: SocketAddr) -> io::Result<Self> {
        let udp = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        // As much as the system allows: a burst of gossip is not worth a retransmission.
        let _ = udp.set_recv_buffer_size(RECEIVE_BUFFER);
        udp.set_nonblocking(true)?;
        udp.bind(&addr.into())?;
        let tcp = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        // A restarted daemon must not wait for its predecessor's connections to fade.
        tcp.set_reuse_address(true)?;
        tcp.set_nonblocking(true)?;
        tcp.bind(&addr.into())?;
        tcp.listen(BACKLOG)?;
        Ok(Self {
            udp: udp.into(),
            tcp: tcp.into(),
        })
    }
}

struct Runner {
    shared: Arc<Shared>,
    events: mpsc::Sender<Event>,
    /// Events that the user has not made room for.
    backlog: VecDeque<Event>,
    stopped: watch::Receiver<bool>,
}

impl Runner {
    async fn run(mut self, sockets: Sockets) -> io::Result<()> {
        let udp = UdpSocket::from_std(sockets.udp)?;
        let tcp = TcpListener::from_std(sockets.tcp)?;
        let streams = Streams::new(self.shared.clone());
        let mut stopped = self.stopped.clone();
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            let deadline = self.flush(&udp, &streams).await;
            tokio::select! {
                received = udp.recv_from(&mut buffer) => match received {
                    Ok((len, from)) => self.shared.lock().handle_datagram(Instant::now(), from, &buffer[..len]),
                    // An ICMP error for something we sent: the failure detector knows better.
                    Err(error) => tracing::trace!(%error, "receive"),
                },
                accepted = tcp.accept() => match accepted {
                    Ok((stream, from)) => streams.serve(stream, from),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a gossip stream");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                () = sleep_until(TokioInstant::from_std(deadline)) => {
                    self.shared.lock().handle_timeout(Instant::now());
                }
                () = self.shared.wake.notified() => {}
                room = self.events.reserve(), if !self.backlog.is_empty() => match room {
                    Ok(permit) => {
                        if let Some(event) = self.backlog.pop_front() {
                            permit.send(event);
                        }
                    }
                    // Nobody listens any more.
                    Err(_) => self.backlog.clear(),
                },
                _ = stopped.wait_for(|stop| *stop) => return Ok(()),
            }
        }
    }

    /// Does what the agent wants done, and returns when it wants to be called next.
    async fn flush(&mut self, udp: &UdpSocket, streams: &Streams) -> Instant {
        loop {
            let (transmit, deadline) = {
                let mut agent = self.shared.lock();
                while let Some(event) = agent.poll_event() {
                    self.backlog.push_back(event);
                }
                (agent.poll_transmit(), agent.poll_timeout())
            };
            match transmit {
                Some(Transmit::Datagram { to, bytes }) => {
                    if let Err(error) = udp.send_to(&bytes, to).await {
                        tracing::trace!(%to, %error, "send");
                    }
                }
                Some(Transmit::Connect {
                    stream,
                    to,
                    timeout,
                }) => streams.open(stream, to, timeout),
                None => break deadline,
            }
        }
    }
}
