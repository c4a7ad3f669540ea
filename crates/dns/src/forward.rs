//! Queries in flight over UDP: bytes and time in, bytes out.
//!
//! Identical questions share one flight. That is thrift, and it is the protection against loops: a query that comes
//! back to us through a forwarder joins its own flight and ends with it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::race::{Distrust, Race};
use crate::wire::{self, Query};
use crate::{Cache, Upstream, View};

/// Clients' queries that wait at the same time in one sandbox. Docker: 1024, and REFUSED beyond.
const MAX_WAITING: usize = 1024;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Transmit {
    pub upstream: Upstream,
    pub bytes: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply<C> {
    pub client: C,
    pub bytes: Vec<u8>,
}

pub(crate) struct Forwarder<C> {
    rng: StdRng,
    /// By the id that upstreams see.
    flights: BTreeMap<u16, Flight>,
    by_question: BTreeMap<Vec<u8>, u16>,
    timers: BTreeSet<(Instant, u16)>,
    /// In order of arrival.
    waiting: BTreeMap<u64, Waiting<C>>,
    by_client: BTreeMap<C, BTreeSet<u64>>,
    arrivals: u64,
    distrust: Distrust,
    transmits: VecDeque<Transmit>,
    replies: VecDeque<Reply<C>>,
}

struct Flight {
    query: Vec<u8>,
    upstreams: Vec<Upstream>,
    /// What upstreams have said to the view that asks.
    cache: Arc<Cache>,
    /// The reply is good for others.
    shared: bool,
    race: Race,
    timer: Instant,
    waiting: Vec<u64>,
}

impl Flight {
    fn question(&self) -> &[u8] {
        &self.query[2..]
    }
}

struct Waiting<C> {
    client: C,
    query: Box<[u8]>,
    flight: u16,
}

impl<C: Copy + Ord> Forwarder<C> {
    pub fn new(rng: StdRng) -> Self {
        Self {
            rng,
            flights: BTreeMap::new(),
            by_question: BTreeMap::new(),
            timers: BTreeSet::new(),
            waiting: BTreeMap::new(),
            by_client: BTreeMap::new(),
            arrivals: 0,
            distrust: Distrust::default(),
            transmits: VecDeque::new(),
            replies: VecDeque::new(),
        }
    }

    /// `query` is one that is not ours to answer, `question` what [`Query::onward`] made of it and `shared` what that said.
    pub fn handle_query(
        &mut self,
        now: Instant,
        client: C,
        query: &Query<'_>,
        (question, shared): (&[u8], bool),
        view: &View,
    ) {
        let flight = match self.joinable(question, view) {
            Some(flight) if self.is_repeated(flight, client, query) => return,
            Some(flight) => flight,
            None => self.take_off(now, question, shared, view),
        };
        self.arrivals += 1;
        let waiting = Waiting {
            client,
            query: query.bytes.into(),
            flight,
        };
        self.waiting.insert(self.arrivals, waiting);
        self.by_client
            .entry(client)
            .or_default()
            .insert(self.arrivals);
        if let Some(flight) = self.flights.get_mut(&flight) {
            flight.waiting.push(self.arrivals);
        }
        if self.waiting.len() > MAX_WAITING {
            self.drop_one();
        }
        self.pump(now, flight);
    }

    /// Bytes that came from `upstream`. What answers no query of ours, or not this upstream's, is ignored.
    pub fn handle_reply(&mut self, now: Instant, upstream: Upstream, reply: &[u8]) {
        self.distrust.handle_sign_of_life(&upstream);
        let Some(id) = reply.first_chunk().map(|id| u16::from_be_bytes(*id)) else {
            return;
        };
        let Some(flight) = self.flights.get_mut(&id) else {
            return;
        };
        let Some(index) = flight.upstreams.iter().position(|u| *u == upstream) else {
            return;
        };
        if !wire::is_reply_to(&flight.query, reply) {
            return;
        }
        if wire::is_failure(reply) {
            flight.race.handle_failure(now, index);
            self.pump(now, id);
            return;
        }
        for index in flight.race.silent(now) {
            if flight.upstreams[index] != upstream {
                self.distrust.handle_silence(now, flight.upstreams[index]);
            }
        }
        if flight.shared {
            flight.cache.insert(now, flight.question(), reply);
        }
        self.land(id, |query| {
            let mut out = Vec::with_capacity(reply.len());
            wire::deliver(reply, query, query.udp_limit(), &mut out);
            out
        });
    }

    /// Nothing gets to `upstream`: whoever waits for it goes on to the next.
    pub fn handle_unreachable(&mut self, now: Instant, upstream: Upstream) {
        let mut concerned = Vec::new();
        for (id, flight) in &mut self.flights {
            if let Some(index) = flight.upstreams.iter().position(|u| *u == upstream)
                && flight.race.is_asked(index)
            {
                flight.race.handle_failure(now, index);
                concerned.push(*id);
            }
        }
        for id in concerned {
            self.pump(now, id);
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, id)) = self.timers.first().copied()
            && at <= now
        {
            self.pump(now, id);
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<Reply<C>> {
        self.replies.pop_front()
    }

    /// The flight with this question, unless it is of a view that is no longer.
    fn joinable(&self, question: &[u8], view: &View) -> Option<u16> {
        let id = *self.by_question.get(question)?;
        let flight = self.flights.get(&id)?;
        Arc::ptr_eq(&flight.cache, &view.cache).then_some(id)
    }

    /// A client's own retransmission: its first one is still waiting.
    fn is_repeated(&self, flight: u16, client: C, query: &Query<'_>) -> bool {
        self.flights.get(&flight).is_some_and(|flight| {
            let mut joined = flight.waiting.iter().filter_map(|n| self.waiting.get(n));
            joined.any(|waiting| waiting.client == client && *waiting.query == *query.bytes)
        })
    }

    fn take_off(&mut self, now: Instant, question: &[u8], shared: bool, view: &View) -> u16 {
        // At most MAX_WAITING of 65,536 ids are taken.
        let id = loop {
            let id: u16 = self.rng.random();
            if !self.flights.contains_key(&id) {
                break id;
            }
        };
        let query = [&id.to_be_bytes(), question].concat();
        let (upstreams, due) = self.distrust.order(now, &view.usable_upstreams());
        let race = Race::new(now, upstreams.len());
        let flight = Flight {
            query,
            race: if due { race.without_patience() } else { race },
            upstreams,
            cache: view.cache.clone(),
            shared,
            timer: now,
            waiting: Vec::new(),
        };
        self.flights.insert(id, flight);
        self.by_question.insert(question.to_vec(), id);
        self.timers.insert((now, id));
        id
    }

    /// Asks the upstreams whose turn it is, or tells the clients that none is left.
    fn pump(&mut self, now: Instant, id: u16) {
        let Some(flight) = self.flights.get_mut(&id) else {
            return;
        };
        while let Some(index) = flight.race.poll_transmit(now) {
            self.transmits.push_back(Transmit {
                upstream: flight.upstreams[index],
                bytes: flight.query.clone(),
            });
        }
        if flight.race.is_lost(now) {
            self.land(id, |query| wire::servfail(query.bytes));
            return;
        }
        self.timers.remove(&(flight.timer, id));
        flight.timer = flight.race.poll_timeout();
        self.timers.insert((flight.timer, id));
    }

    fn land(&mut self, id: u16, answer: impl Fn(&Query<'_>) -> Vec<u8>) {
        for arrival in self.end_flight(id) {
            // It was read before.
            if let Some(Waiting { client, query, .. }) = self.end_waiting(arrival)
                && let Ok(query) = Query::parse(&query)
            {
                let bytes = answer(&query);
                self.replies.push_back(Reply { client, bytes });
            }
        }
    }

    /// Forgets the oldest query of the client that has the most: nobody can crowd out the others.
    fn drop_one(&mut self) {
        let busy = |own: &&BTreeSet<u64>| (own.len(), Reverse(own.first().copied()));
        let busiest = self.by_client.values().max_by_key(busy);
        let Some(oldest) = busiest.and_then(|own| own.first().copied()) else {
            return;
        };
        let Some(waiting) = self.end_waiting(oldest) else {
            return;
        };
        if let Some(flight) = self.flights.get_mut(&waiting.flight) {
            flight.waiting.retain(|arrival| *arrival != oldest);
            if flight.waiting.is_empty() {
                self.end_flight(waiting.flight);
            }
        }
    }

    fn end_waiting(&mut self, arrival: u64) -> Option<Waiting<C>> {
        let waiting = self.waiting.remove(&arrival)?;
        if let Some(own) = self.by_client.get_mut(&waiting.client) {
            own.remove(&arrival);
            if own.is_empty() {
                self.by_client.remove(&waiting.client);
            }
        }
        Some(waiting)
    }

    fn end_flight(&mut self, id: u16) -> Vec<u64> {
        let Some(flight) = self.flights.remove(&id) else {
            return Vec::new();
        };
        self.timers.remove(&(flight.timer, id));
        // A later one may have the question now.
        if self.by_question.get(flight.question()) == Some(&id) {
            self.by_question.remove(flight.question());
        }
        flight.waiting
    }
}

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;
