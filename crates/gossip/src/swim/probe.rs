//! The failure detector: ping, then indirect pings and a stream at the same time, then suspicion.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::{RngExt, rngs::StdRng, seq::SliceRandom};

use super::{Action, Member, PROBE_INTERVAL, Swim};
use crate::{
    pick::pick,
    wire::{
        kind,
        message::{IndirectPing, Ping, State, encode_ack, encode_nack},
    },
};

const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
const INDIRECT_CHECKS: usize = 3;
/// How soon a node that missed a probe is pinged again, and again.
const SHAKY_INTERVAL: Duration = Duration::from_millis(250);
/// Indirect pings that we carry for others at one time.
const MAX_RELAYS: usize = 1024;

#[derive(Debug)]
pub struct Prober {
    /// The rest of this round over all members.
    round: Vec<String>,
    next: Instant,
    current: Option<Probe>,
    /// By the number that we pinged with.
    relays: BTreeMap<u32, Relay>,
    /// Pings to shaky nodes, by number, with the time when they are forgotten.
    checks: BTreeMap<u32, (String, Instant)>,
}

#[derive(Debug)]
struct Probe {
    seq: u32,
    target: String,
    /// When help is asked for; `None` once it has been.
    indirect_at: Option<Instant>,
    deadline: Instant,
    expected_nacks: u32,
    nacks: u32,
    stream_acked: bool,
}

/// A ping that we sent for another node.
#[derive(Debug)]
struct Relay {
    origin: SocketAddr,
    origin_seq: u32,
    nack: bool,
    deadline: Instant,
}

impl Prober {
    pub fn new(now: Instant, rng: &mut StdRng) -> Self {
        Self {
            round: Vec::new(),
            next: now + PROBE_INTERVAL.mul_f64(rng.random()),
            current: None,
            relays: BTreeMap::new(),
            checks: BTreeMap::new(),
        }
    }

    /// A newcomer gets a random place in the round that is under way.
    pub fn enlist(&mut self, rng: &mut StdRng, name: &str) {
        let at = rng.random_range(0..=self.round.len());
        self.round.insert(at, name.to_owned());
    }
}

impl Swim {
    pub(super) fn answer_ping(&mut self, from: SocketAddr, ping: Ping) {
        if !ping.node.is_empty() && ping.node != self.me.node {
            // Somebody still believes in our predecessor at this address.
            self.send(ping.source.unwrap_or(from), vec![self.me.encode()]);
            return;
        }
        self.reply(ping.source.unwrap_or(from), encode_ack(ping.seq));
    }

    pub(super) fn relay_ping(&mut self, now: Instant, from: SocketAddr, ask: IndirectPing) {
        if self.prober.relays.len() >= MAX_RELAYS {
            return;
        }
        let seq = self.next_seq();
        let mut target = ask.target;
        if target.port() == 0 {
            target.set_port(self.me.addr.port());
        }
        let relay = Relay {
            origin: ask.source.unwrap_or(from),
            origin_seq: ask.seq,
            nack: ask.nack,
            deadline: now + PROBE_TIMEOUT,
        };
        self.prober.relays.insert(seq, relay);
        let ping = self.ping(seq, &ask.node).encode();
        self.reply(target, ping);
    }

    pub(super) fn ack(&mut self, seq: u32) {
        if self
            .prober
            .current
            .as_ref()
            .is_some_and(|probe| probe.seq == seq)
        {
            let target = self.prober.current.take().map(|probe| probe.target);
            self.improve_health();
            self.recovered(&target.unwrap_or_default());
        } else if let Some((name, _)) = self.prober.checks.remove(&seq) {
            self.recovered(&name);
        } else if let Some(relay) = self.prober.relays.remove(&seq) {
            self.reply(relay.origin, encode_ack(relay.origin_seq));
        }
    }

    pub(super) fn nack(&mut self, seq: u32) {
        if let Some(probe) = self
            .prober
            .current
            .as_mut()
            .filter(|probe| probe.seq == seq)
        {
            probe.nacks += 1;
        }
    }

    /// A node answered our ping over a stream. It counts only when the probe ends without another answer.
    pub fn stream_ack(&mut self, seq: u32) {
        if let Some(probe) = self
            .prober
            .current
            .as_mut()
            .filter(|probe| probe.seq == seq)
        {
            probe.stream_acked = true;
        }
    }

    pub(super) fn probe_deadline(&self) -> Instant {
        let relays = self.prober.relays.values().map(|relay| relay.deadline);
        let current = self.prober.current.as_ref();
        let current = current.map(|probe| probe.indirect_at.unwrap_or(probe.deadline));
        relays.chain(current).fold(self.prober.next, Instant::min)
    }

    pub(super) fn probe_timeout(&mut self, now: Instant, rng: &mut StdRng) {
        self.expire_relays(now);
        if let Some(probe) = &mut self.prober.current {
            if probe.indirect_at.is_some_and(|at| at <= now) {
                probe.indirect_at = None;
                self.probe_indirectly(now, rng);
            } else if probe.indirect_at.is_none() && probe.deadline <= now {
                self.probe_failed(now);
            }
        }
        if self.prober.next <= now {
            self.prober.next = now + PROBE_INTERVAL;
            if self.prober.current.is_none() && !self.has_left {
                self.probe_next(now, rng);
            }
        }
    }

    /// A node that missed a probe answers.
    fn recovered(&mut self, name: &str) {
        if let Some(member) = self.members.get_mut(name)
            && member.shaky.take().is_some()
        {
            self.prober.checks.retain(|_, (checked, _)| checked != name);
            // A probe of it that is stretched by bad health must not hold up the next ones.
            if self
                .prober
                .current
                .as_ref()
                .is_some_and(|probe| probe.target == name)
            {
                self.prober.current = None;
            }
            self.actions.push_back(Action::Recovered {
                name: name.to_owned(),
                by_us: true,
            });
        }
    }

    pub(super) fn ping_shaky(&mut self, now: Instant) {
        self.prober.checks.retain(|_, (_, until)| *until > now);
        let due = |member: &Member| member.shaky.is_some_and(|at| at <= now);
        let due = self.members.iter_mut().filter(|(_, member)| due(member));
        let due: Vec<(String, SocketAddr)> = due
            .map(|(name, member)| {
                member.shaky = Some(now + SHAKY_INTERVAL);
                (name.clone(), member.alive.addr)
            })
            .collect();
        for (name, to) in due {
            let seq = self.next_seq();
            let ping = self.ping(seq, &name).encode();
            self.prober.checks.insert(seq, (name, now + PROBE_INTERVAL));
            self.send(to, vec![ping]);
        }
    }

    fn expire_relays(&mut self, now: Instant) {
        let due = |relay: &Relay| relay.deadline <= now;
        let expired: Vec<Relay> = self
            .prober
            .relays
            .extract_if(.., |_, relay| due(relay))
            .map(|(_, r)| r)
            .collect();
        for relay in expired.into_iter().filter(|relay| relay.nack) {
            self.reply(relay.origin, encode_nack(relay.origin_seq));
        }
    }

    fn probe_next(&mut self, now: Instant, rng: &mut StdRng) {
        let up = |swim: &Self, name: &String| swim.members.get(name).is_some_and(|m| m.is_up());
        let mut refilled = false;
        let target = loop {
            match self.prober.round.pop() {
                Some(name) if up(self, &name) => break name,
                Some(_) => {}
                None if refilled => return,
                None => {
                    refilled = true;
                    self.prober.round = self.up().map(|(name, _)| name.to_owned()).collect();
                    self.prober.round.shuffle(rng);
                }
            }
        };
        let seq = self.next_seq();
        let Some(member) = self.members.get(&target) else {
            return;
        };
        let to = member.alive.addr;
        let ping = self.ping(seq, &target).encode();
        if member.state == State::Alive {
            self.reply(to, ping);
        } else {
            // So that it can refute as soon as possible.
            let suspect = self.accuse(member).encode(kind::SUSPECT);
            self.send(to, vec![ping, suspect]);
        }
        self.prober.current = Some(Probe {
            seq,
            target,
            indirect_at: Some(now + PROBE_TIMEOUT),
            deadline: now + PROBE_INTERVAL * (self.health + 1),
            expected_nacks: 0,
            nacks: 0,
            stream_acked: false,
        });
    }

    fn probe_indirectly(&mut self, now: Instant, rng: &mut StdRng) {
        let Some(mut probe) = self.prober.current.take() else {
            return;
        };
        let Some(target) = self.members.get_mut(&probe.target) else {
            return;
        };
        if target.is_up() {
            target.shaky = Some(now + SHAKY_INTERVAL);
        }
        let (addr, versions) = (target.alive.addr, target.alive.versions);
        let helpers = self
            .members
            .iter()
            .filter(|(name, member)| member.state == State::Alive && **name != probe.target);
        let helpers = helpers
            .map(|(_, m)| (m.alive.addr, m.alive.versions[1] >= 4))
            .collect();
        for (helper, nack) in pick(rng, helpers, INDIRECT_CHECKS) {
            probe.expected_nacks += u32::from(nack);
            let ask = IndirectPing {
                seq: probe.seq,
                target: addr,
                node: probe.target.clone(),
                nack,
                source: Some(self.me.addr),
                source_node: self.me.node.clone(),
            };
            self.reply(helper, ask.encode());
        }
        if versions[1] >= 3 {
            let message = self.ping(probe.seq, &probe.target).encode();
            let timeout = probe.deadline.saturating_duration_since(now);
            self.actions.push_back(Action::StreamPing {
                to: addr,
                seq: probe.seq,
                message,
                timeout,
            });
        }
        self.prober.current = Some(probe);
    }

    fn probe_failed(&mut self, now: Instant) {
        let Some(probe) = self.prober.current.take() else {
            return;
        };
        if probe.stream_acked {
            tracing::warn!(
                node = probe.target,
                "answers over TCP but not over UDP: port 7946/udp may be blocked"
            );
            self.improve_health();
            return;
        }
        let worse = match probe.expected_nacks {
            0 => 1,
            expected => expected.saturating_sub(probe.nacks),
        };
        self.worsen_health(worse);
        if let Some(said) = self.members.get(&probe.target).map(|m| self.accuse(m)) {
            self.suspect(now, said, None);
        }
    }

    /// A message that gossip may accompany.
    fn reply(&mut self, to: SocketAddr, message: Vec<u8>) {
        let messages = vec![message];
        self.actions.push_back(Action::Send {
            to,
            messages,
            crc: false,
            piggyback: true,
        });
    }
}
