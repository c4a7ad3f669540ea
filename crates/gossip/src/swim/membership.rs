//! What others say about nodes, and what that makes of our view.

use std::{net::SocketAddr, time::Instant};

use rand::rngs::StdRng;

use super::{Action, DEAD_MEMORY, LEFT_MEMORY, Member, OURS, Swim, suspicion::Suspicion};
use crate::{
    pick::pick,
    wire::{
        kind,
        message::{Accusation, Alive, NodeState, Ping, State},
    },
};

/// Dead members that one push/pull may make us ask. Gossip takes care of the rest.
const MAX_ASKED: usize = 64;

/// Whether an "alive" about a member says something that we should believe.
fn is_news(known: &Member, alive: &Alive, now: Instant, from: Option<SocketAddr>) -> bool {
    if known.replaced {
        // Two names at one address: the one that speaks from there is right. Hearsay about the other may be late gossip.
        let fresh = now.saturating_duration_since(known.since) <= DEAD_MEMORY;
        if from == Some(alive.addr) || fresh {
            return from == Some(alive.addr);
        }
    }
    if known.alive.addr != alive.addr && known.state != State::Left {
        tracing::debug!(node = alive.node, addr = %alive.addr, "name is used at two addresses");
        return false;
    }
    alive.incarnation > known.alive.incarnation
}

impl Swim {
    /// `from` is where a datagram with the claim came from.
    pub(super) fn alive(
        &mut self,
        now: Instant,
        rng: &mut StdRng,
        mut alive: Alive,
        from: Option<SocketAddr>,
    ) {
        let [min, max, ..] = alive.versions;
        if min == 0 || max == 0 || min > max || alive.node.is_empty() {
            tracing::debug!(
                node = alive.node,
                "ignoring a node with impossible protocol versions"
            );
            return;
        }
        if alive.addr.port() == 0 {
            alive.addr.set_port(self.me.addr.port());
        }
        if alive.node == self.me.node {
            self.alive_myself(alive);
            return;
        }
        if alive.addr == self.me.addr {
            self.bury_predecessor(now, alive);
            return;
        }
        let (was_up, was_suspect, by_us) = match self.members.get(&alive.node) {
            Some(known) if !is_news(known, &alive, now, from) => return,
            Some(known) => (
                known.is_up(),
                known.state == State::Suspect,
                known.shaky.is_some(),
            ),
            None => {
                self.prober.enlist(rng, &alive.node);
                (false, false, false)
            }
        };
        self.queue.push(Some(alive.node.clone()), alive.encode());
        let (name, addr, ours) = (alive.node.clone(), alive.addr, alive.meta == OURS);
        let member = Member {
            alive,
            state: State::Alive,
            since: now,
            suspicion: None,
            shaky: None,
            replaced: false,
        };
        self.members.insert(name.clone(), member);
        if !was_up {
            self.replace_predecessor(now, &name, addr);
            self.actions.push_back(Action::Up { name, addr, ours });
        } else if was_suspect {
            self.actions.push_back(Action::Recovered { name, by_us });
        }
    }

    /// Somebody still believes in whoever had our address before. We know better, and say so in push/pulls.
    fn bury_predecessor(&mut self, now: Instant, alive: Alive) {
        let known = self.members.entry(alive.node.clone());
        known.or_insert(Member {
            alive,
            state: State::Left,
            since: now,
            suspicion: None,
            shaky: None,
            replaced: true,
        });
    }

    /// An agent takes a new name at each start: whoever had its address before is gone. Of two names learned in the same
    /// instant we cannot tell which is older; the failure detector will.
    fn replace_predecessor(&mut self, now: Instant, name: &str, addr: SocketAddr) {
        for (old, member) in &mut self.members {
            if member.alive.addr == addr
                && member.state != State::Left
                && member.since != now
                && old != name
            {
                member.replaced = true;
                member.state = State::Left;
                member.since = now;
                member.suspicion = None;
                member.shaky = None;
                self.actions.push_back(Action::Left { name: old.clone() });
            }
        }
    }

    fn alive_myself(&mut self, alive: Alive) {
        let conflict = alive.addr != self.me.addr;
        if self.has_left || conflict || alive.incarnation < self.me.incarnation || alive == self.me
        {
            return;
        }
        self.refute(alive.incarnation, None);
    }

    pub(super) fn suspect(&mut self, now: Instant, said: Accusation, from: Option<SocketAddr>) {
        if said.node == self.me.node {
            self.accused(&said, from);
            return;
        }
        let nodes = self.cluster_size();
        let Some(member) = self.members.get_mut(&said.node) else {
            return;
        };
        if said.incarnation < member.alive.incarnation {
            return;
        }
        if let Some(suspicion) = &mut member.suspicion {
            if suspicion.confirm(&said.from) {
                self.queue
                    .push(Some(said.node.clone()), said.encode(kind::SUSPECT));
            }
            return;
        }
        if member.state != State::Alive {
            return;
        }
        tracing::debug!(node = said.node, from = said.from, "suspect");
        self.queue
            .push(Some(said.node.clone()), said.encode(kind::SUSPECT));
        member.alive.incarnation = said.incarnation;
        member.state = State::Suspect;
        member.since = now;
        member.suspicion = Some(Suspicion::new(now, nodes, said.from));
    }

    pub(super) fn dead(&mut self, now: Instant, said: Accusation, from: Option<SocketAddr>) {
        if said.node == self.me.node {
            self.accused(&said, from);
            return;
        }
        let Some(member) = self.members.get_mut(&said.node) else {
            return;
        };
        let said_it_itself = said.from == said.node;
        let news = member.is_up() || (member.state == State::Dead && said_it_itself);
        if said.incarnation < member.alive.incarnation || !news {
            return;
        }
        self.queue
            .push(Some(said.node.clone()), said.encode(kind::DEAD));
        member.alive.incarnation = said.incarnation;
        member.suspicion = None;
        member.shaky = None;
        member.since = now;
        let name = said.node;
        if said_it_itself {
            member.state = State::Left;
            self.actions.push_back(Action::Left { name });
        } else {
            member.state = State::Dead;
            self.actions.push_back(Action::Failed { name });
        }
    }

    /// Somebody calls us suspect or dead. Whoever told us hears at once that it is not so.
    fn accused(&mut self, said: &Accusation, from: Option<SocketAddr>) {
        if self.has_left {
            return;
        }
        if said.incarnation >= self.me.incarnation {
            self.refute(said.incarnation, from);
        } else if let Some(to) = from {
            self.send(to, vec![self.me.encode()]);
        }
    }

    fn refute(&mut self, accused: u32, tell: Option<SocketAddr>) {
        self.me.incarnation = self.me.incarnation.max(accused).saturating_add(1);
        self.worsen_health(1);
        self.queue
            .push(Some(self.me.node.clone()), self.me.encode());
        if let Some(to) = tell {
            self.send(to, vec![self.me.encode()]);
        }
    }

    /// Takes over what another node believes. Its dead are only suspects to us, as in memberlist. Of whom it says that he
    /// is alive while we hold him dead with the same incarnation, we ask that node itself.
    pub fn merge(
        &mut self,
        now: Instant,
        rng: &mut StdRng,
        rows: Vec<NodeState>,
        remote: Option<SocketAddr>,
    ) {
        let mut disputed = Vec::new();
        for NodeState { alive, state, .. } in rows {
            let said = |from: &str| Accusation {
                incarnation: alive.incarnation,
                node: alive.node.clone(),
                from: from.to_owned(),
            };
            match state {
                State::Alive => {
                    if self.members.get(&alive.node).is_some_and(|known| {
                        known.state == State::Dead
                            && known.alive.incarnation == alive.incarnation
                            && known.alive.addr == alive.addr
                    }) {
                        disputed.push(alive.node.clone());
                    }
                    self.alive(now, rng, alive, None);
                }
                State::Left => self.dead(now, said(&alive.node), remote),
                State::Dead | State::Suspect => {
                    let said = said(&self.me.node);
                    self.suspect(now, said, remote);
                }
            }
        }
        for name in pick(rng, disputed, MAX_ASKED) {
            self.ask(&name);
        }
    }

    /// Tells a dead member what we think of it. When it lives it refutes, to us directly.
    fn ask(&mut self, name: &str) {
        let seq = self.next_seq();
        let Some(member) = self.members.get(name) else {
            return;
        };
        let ping = self.ping(seq, name).encode();
        let suspect = self.accuse(member).encode(kind::SUSPECT);
        self.send(member.alive.addr, vec![ping, suspect]);
    }

    /// Whether every node, here and there, can speak with every other.
    pub fn compatible(&self, rows: &[NodeState]) -> bool {
        let me = NodeState {
            alive: self.me.clone(),
            state: State::Alive,
            nil_meta: false,
        };
        let ours = self.members.values().map(|m| (&m.alive.versions, m.state));
        let all: Vec<_> = std::iter::once(&me)
            .chain(rows)
            .map(|row| (&row.alive.versions, row.state))
            .chain(ours)
            .collect();
        let alive = || {
            all.iter()
                .filter(|(v, state)| *state == State::Alive && v[1] > 0)
        };
        [0, 3].into_iter().all(|i| {
            let min = alive().map(|(v, _)| v[i]).max().unwrap_or(0);
            let max = alive().map(|(v, _)| v[i + 1]).min().unwrap_or(u8::MAX);
            all.iter().all(|(v, _)| (min..=max).contains(&v[i + 2]))
        })
    }

    /// Says goodbye. From now on we neither refute nor probe.
    pub fn leave(&mut self) {
        self.has_left = true;
        let name = self.me.node.clone();
        let said = Accusation {
            incarnation: self.me.incarnation,
            node: name.clone(),
            from: name,
        };
        self.queue
            .push(Some(said.node.clone()), said.encode(kind::DEAD));
    }

    pub fn has_left(&self) -> bool {
        self.has_left
    }

    /// Ends suspicions that ran out and forgets those who are long gone.
    pub(super) fn bury(&mut self, now: Instant) {
        let due = |m: &&Member| m.suspicion.as_ref().is_some_and(|s| s.deadline() <= now);
        let dying: Vec<Accusation> = self
            .members
            .values()
            .filter(due)
            .map(|m| self.accuse(m))
            .collect();
        for said in dying {
            tracing::debug!(node = said.node, "dead: suspected and not refuted");
            self.dead(now, said, None);
        }
        self.members.retain(|_, member| {
            let age = now.saturating_duration_since(member.since);
            match member.state {
                State::Alive | State::Suspect => true,
                State::Dead => age <= DEAD_MEMORY,
                State::Left => age <= LEFT_MEMORY,
            }
        });
    }

    pub(super) fn accuse(&self, member: &Member) -> Accusation {
        Accusation {
            incarnation: member.alive.incarnation,
            node: member.alive.node.clone(),
            from: self.me.node.clone(),
        }
    }

    pub(super) fn ping(&self, seq: u32, node: &str) -> Ping {
        Ping {
            seq,
            node: node.to_owned(),
            source: Some(self.me.addr),
            source_node: self.me.node.clone(),
        }
    }

    pub(super) fn next_seq(&mut self) -> u32 {
        self.last_seq = self.last_seq.wrapping_add(1);
        self.last_seq
    }

    /// Messages that travel without company.
    pub(super) fn send(&mut self, to: SocketAddr, messages: Vec<Vec<u8>>) {
        let crc = self.checks_crc(to);
        self.actions.push_back(Action::Send {
            to,
            messages,
            crc,
            piggyback: false,
        });
    }
}
