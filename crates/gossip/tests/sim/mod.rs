//! A cluster in one process, on a virtual network and clock. Everything that happens follows from the seed.

mod oracle;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::Bytes;
use gossip::{
    Event,
    agent::{Agent, Config, StreamId, Transmit},
};
use oracle::Oracle;
use rand::{RngExt, SeedableRng, rngs::StdRng};

pub const TABLE: &str = "overlay_peer_table";

/// A host; the process on it may crash and start again under another name.
pub struct Host {
    pub name: String,
    pub agent: Agent,
    /// What the user of this agent was told and holds to be true.
    pub view: BTreeMap<(String, String), (String, Bytes)>,
    pub networks: Vec<String>,
    life: u64,
    timer: Option<Instant>,
}

/// Something on its way.
enum Pending {
    Timer,
    Datagram {
        from: usize,
        bytes: Vec<u8>,
    },
    Connected {
        stream: StreamId,
        to: usize,
    },
    Failed {
        stream: StreamId,
    },
    Frame {
        from: usize,
        from_life: u64,
        stream: StreamId,
        bytes: Vec<u8>,
        expects_reply: bool,
    },
    Reply {
        stream: StreamId,
        bytes: Vec<u8>,
    },
}

struct Item {
    at: Instant,
    order: u64,
    host: usize,
    /// The process that it is meant for; `None` means whoever is there.
    life: Option<u64>,
    what: Pending,
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Item {}
impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Item {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

pub struct World {
    pub rng: StdRng,
    pub start: Instant,
    pub now: Instant,
    pub hosts: Vec<Option<Host>>,
    pub oracle: Oracle,
    /// Hosts with different numbers cannot reach each other.
    pub side: Vec<u8>,
    pub loss: f64,
    keys: Vec<Vec<u8>>,
    queue: BinaryHeap<Reverse<Item>>,
    order: u64,
    lives: u64,
    trace: DefaultHasher,
    /// Events that users were told.
    pub told: u64,
}

pub fn addr(host: usize) -> SocketAddr {
    SocketAddr::new(
        IpAddr::V4(Ipv4Addr::new(
            10,
            0,
            (host / 250) as u8,
            (host % 250) as u8 + 1,
        )),
        7946,
    )
}

fn host_of(addr: SocketAddr) -> usize {
    match addr.ip() {
        IpAddr::V4(ip) => usize::from(ip.octets()[2]) * 250 + usize::from(ip.octets()[3]) - 1,
        IpAddr::V6(_) => unreachable!("the virtual network has no IPv6"),
    }
}

impl World {
    pub fn new(seed: u64, hosts: usize, keys: Vec<Vec<u8>>) -> Self {
        println!("seed {seed}: run again with GOSSIP_SIM_SEED={seed}");
        let start = Instant::now();
        Self {
            rng: StdRng::seed_from_u64(seed),
            start,
            now: start,
            hosts: (0..hosts).map(|_| None).collect(),
            oracle: Oracle::default(),
            side: vec![0; hosts],
            loss: 0.0,
            keys,
            queue: BinaryHeap::new(),
            order: 0,
            lives: 0,
            trace: DefaultHasher::new(),
            told: 0,
        }
    }

    /// Starts an agent on the host, with the first three hosts to join through.
    pub fn boot(&mut self, host: usize, networks: &[&str]) {
        self.lives += 1;
        let life = self.lives;
        let name = format!("{:012x}", self.rng.random::<u64>() >> 16);
        let config = Config {
            node_name: name.clone(),
            advertise: addr(host),
            keys: self.keys.clone(),
            rng: StdRng::seed_from_u64(self.rng.random()),
        };
        let mut agent = Agent::new(self.now, config).expect("keys");
        agent.set_bootstrap(self.now, (0..3).map(addr).collect());
        for network in networks {
            agent.join_network(self.now, network);
        }
        let networks = networks.iter().map(|n| n.to_string()).collect();
        self.oracle.boots(&name);
        self.hosts[host] = Some(Host {
            name,
            agent,
            view: BTreeMap::new(),
            networks,
            life,
            timer: None,
        });
        self.settle(host);
    }

    /// kill -9
    pub fn crash(&mut self, host: usize) {
        if let Some(host) = self.hosts[host].take() {
            self.oracle.gone(&host.name);
        }
    }

    /// A goodbye, and the end.
    pub fn leave(&mut self, host: usize) {
        self.with(host, |agent, _| agent.leave());
        let deadline = self.now + Duration::from_millis(1500);
        while !self.hosts[host]
            .as_ref()
            .expect("a live host")
            .agent
            .has_left()
            && self.now < deadline
        {
            self.run(Duration::from_millis(10));
        }
        self.crash(host);
    }

    pub fn partition(&mut self, side: impl Fn(usize) -> u8) {
        for (host, at) in self.side.iter_mut().enumerate() {
            *at = side(host);
        }
    }

    pub fn heal(&mut self) {
        self.side.fill(0);
    }

    pub fn live(&self) -> Vec<usize> {
        (0..self.hosts.len())
            .filter(|host| self.hosts[*host].is_some())
            .collect()
    }

    /// Calls the agent on a live host.
    pub fn with<T>(&mut self, host: usize, f: impl FnOnce(&mut Agent, Instant) -> T) -> T {
        let now = self.now;
        let out = f(
            &mut self.hosts[host].as_mut().expect("a live host").agent,
            now,
        );
        self.settle(host);
        out
    }

    pub fn set(&mut self, host: usize, network: &str, key: &str, ip: &str) {
        let name = self.hosts[host].as_ref().expect("a live host").name.clone();
        let value = self.oracle.write(&name, network, key, ip);
        self.with(host, |agent, now| {
            agent.set_entry(now, network, TABLE, key, value)
        });
    }

    pub fn delete(&mut self, host: usize, network: &str, key: &str) {
        self.oracle.erase(self.now, network, key);
        self.with(host, |agent, now| {
            agent.delete_entry(now, network, TABLE, key)
        });
    }

    pub fn leave_network(&mut self, host: usize, network: &str) {
        if let Some(host) = &mut self.hosts[host] {
            host.networks.retain(|n| n != network);
            self.oracle.leaves(self.now, &host.name, network);
        }
        self.with(host, |agent, now| agent.leave_network(now, network));
    }

    pub fn join_network(&mut self, host: usize, network: &str) {
        if let Some(host) = &mut self.hosts[host] {
            host.networks.push(network.to_owned());
        }
        self.with(host, |agent, now| agent.join_network(now, network));
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self
            .queue
            .peek()
            .is_some_and(|Reverse(item)| item.at <= end)
        {
            let Some(Reverse(item)) = self.queue.pop() else {
                break;
            };
            self.now = item.at;
            self.happen(item);
        }
        self.now = end;
    }

    /// A digest of all that has happened.
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    fn happen(&mut self, item: Item) {
        let (index, now) = (item.host, self.now);
        let reachable = |from: usize| self.side[from] == self.side[index];
        let Some(host) = self.hosts[index]
            .as_mut()
            .filter(|host| item.life.is_none_or(|l| l == host.life))
        else {
            // A frame for a process that has gone: the sender's connection breaks.
            if let Pending::Frame {
                from,
                from_life,
                stream,
                ..
            } = item.what
            {
                self.push(now, from, Some(from_life), Pending::Failed { stream });
            }
            return;
        };
        (now - self.start, index).hash(&mut self.trace);
        match item.what {
            Pending::Timer => {
                if host.timer != Some(now) {
                    return;
                }
                host.timer = None;
                host.agent.handle_timeout(now);
            }
            Pending::Datagram { from, bytes } => {
                bytes.hash(&mut self.trace);
                if reachable(from) {
                    host.agent.handle_datagram(now, addr(from), &bytes);
                }
            }
            Pending::Connected { stream, to } => {
                let life = host.life;
                if let Some(out) = host.agent.handle_connected(now, stream) {
                    if !out.expects_reply {
                        host.agent.handle_stream_done(stream);
                    }
                    let frame = Pending::Frame {
                        from: index,
                        from_life: life,
                        stream,
                        bytes: out.bytes,
                        expects_reply: out.expects_reply,
                    };
                    let at = now + self.delay();
                    self.push(at, to, None, frame);
                }
            }
            Pending::Failed { stream } => host.agent.handle_stream_failed(now, stream),
            Pending::Frame {
                from,
                from_life,
                stream,
                bytes,
                expects_reply,
            } => {
                bytes.hash(&mut self.trace);
                assert_eq!(
                    host.agent.frame_len(&bytes),
                    Ok(Some(bytes.len())),
                    "a whole frame"
                );
                let reply = reachable(from)
                    .then(|| host.agent.handle_stream(now, addr(from), &bytes))
                    .flatten();
                if expects_reply {
                    let (wait, what) = match reply {
                        Some(bytes) => (self.delay(), Pending::Reply { stream, bytes }),
                        None => (Duration::from_secs(10), Pending::Failed { stream }),
                    };
                    self.push(now + wait, from, Some(from_life), what);
                }
            }
            Pending::Reply { stream, bytes } => host.agent.handle_reply(now, stream, &bytes),
        }
        self.settle(index);
    }

    /// Carries out what an agent wants, and tells its user.
    fn settle(&mut self, index: usize) {
        while let Some(transmit) = self.hosts[index]
            .as_mut()
            .and_then(|host| host.agent.poll_transmit())
        {
            self.transmit(index, transmit);
        }
        let now = self.now;
        let Some(host) = &mut self.hosts[index] else {
            return;
        };
        while let Some(event) = host.agent.poll_event() {
            self.told += u64::from(!matches!(event, Event::Synced { .. }));
            format!("{event:?}").hash(&mut self.trace);
            self.oracle.check(now, &host.name, &event);
            match event {
                Event::EntrySet {
                    network,
                    key,
                    owner,
                    value,
                    ..
                } => {
                    host.view.insert((network, key), (owner, value));
                }
                Event::EntryDelete { network, key, .. } => {
                    let known = host.view.remove(&(network, key));
                    assert!(known.is_some(), "a delete of something that was never set");
                }
                Event::NodeJoin { .. } | Event::NodeLeave { .. } | Event::Synced { .. } => {}
            }
        }
        let timer = host.agent.poll_timeout().max(now);
        if host.timer.is_none_or(|set| timer < set) {
            host.timer = Some(timer);
            let life = host.life;
            self.push(timer, index, Some(life), Pending::Timer);
        }
    }

    fn transmit(&mut self, from: usize, transmit: Transmit) {
        let life = self.hosts[from].as_ref().map(|host| host.life);
        match transmit {
            Transmit::Datagram { to, bytes } => {
                assert!(
                    bytes.len() <= 1472,
                    "{} bytes do not fit into a frame",
                    bytes.len()
                );
                let to = host_of(to);
                let lost = self.rng.random_bool(self.loss);
                if !lost && self.side[from] == self.side[to] {
                    let at = self.now + self.delay();
                    self.push(at, to, None, Pending::Datagram { from, bytes });
                }
            }
            Transmit::Connect {
                stream,
                to,
                timeout,
            } => {
                let to = host_of(to);
                let reachable = self.side[from] == self.side[to];
                let (wait, what) = if !reachable {
                    (timeout, Pending::Failed { stream })
                } else if self.hosts[to].is_some() {
                    (
                        self.delay() + self.delay(),
                        Pending::Connected { stream, to },
                    )
                } else {
                    (self.delay() + self.delay(), Pending::Failed { stream })
                };
                self.push(self.now + wait, from, life, what);
            }
        }
    }

    fn delay(&mut self) -> Duration {
        Duration::from_micros(self.rng.random_range(200..8000))
    }

    fn push(&mut self, at: Instant, host: usize, life: Option<u64>, what: Pending) {
        self.order += 1;
        self.queue.push(Reverse(Item {
            at,
            order: self.order,
            host,
            life,
            what,
        }));
    }
}

/// The seed of this run.
pub fn seed(default: u64) -> u64 {
    match std::env::var("GOSSIP_SIM_SEED") {
        Ok(seed) => seed.parse().expect("GOSSIP_SIM_SEED is a number"),
        Err(_) => default,
    }
}
