//! Queries in flight over UDP: bytes and time in, bytes out.
//!
//! Identical queries share one flight. That is thrift, and it is the protection against loops: a query that comes
//! back to us through a forwarder joins its own flight and ends with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::Upstream;
use crate::race::{MAX_UPSTREAMS, Race};
use crate::wire;

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
    by_query: BTreeMap<Vec<u8>, u16>,
    timers: BTreeSet<(Instant, u16)>,
    /// In order of arrival.
    waiting: BTreeMap<u64, Waiting<C>>,
    by_client: BTreeMap<C, BTreeSet<u64>>,
    arrivals: u64,
    transmits: VecDeque<Transmit>,
    replies: VecDeque<Reply<C>>,
}

struct Flight {
    query: Vec<u8>,
    upstreams: Vec<Upstream>,
    race: Race,
    timer: Instant,
    waiting: Vec<u64>,
}

struct Waiting<C> {
    client: C,
    id: [u8; 2],
    flight: u16,
}

impl<C: Copy + Ord> Forwarder<C> {
    pub fn new(rng: StdRng) -> Self {
        Self {
            rng,
            flights: BTreeMap::new(),
            by_query: BTreeMap::new(),
            timers: BTreeSet::new(),
            waiting: BTreeMap::new(),
            by_client: BTreeMap::new(),
            arrivals: 0,
            transmits: VecDeque::new(),
            replies: VecDeque::new(),
        }
    }

    /// `query` is one for which [`crate::answer`] said `Forward`.
    pub fn handle_query(&mut self, now: Instant, client: C, query: &[u8], upstreams: &[Upstream]) {
        let (id, body) = ([query[0], query[1]], &query[2..]);
        let flight = match self.by_query.get(body) {
            Some(flight) if self.is_repeated(*flight, client, id) => return,
            Some(flight) => *flight,
            None => self.take_off(now, body, upstreams),
        };
        self.arrivals += 1;
        let waiting = Waiting { client, id, flight };
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
        } else {
            self.land(id, reply);
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

    /// A client's own retransmission: its first one is still waiting.
    fn is_repeated(&self, flight: u16, client: C, id: [u8; 2]) -> bool {
        self.flights.get(&flight).is_some_and(|flight| {
            let mut joined = flight.waiting.iter().filter_map(|n| self.waiting.get(n));
            joined.any(|waiting| waiting.client == client && waiting.id == id)
        })
    }

    fn take_off(&mut self, now: Instant, body: &[u8], upstreams: &[Upstream]) -> u16 {
        // At most MAX_WAITING of 65,536 ids are taken.
        let id = loop {
            let id: u16 = self.rng.random();
            if !self.flights.contains_key(&id) {
                break id;
            }
        };
        let mut query = Vec::with_capacity(body.len() + 2);
        query.extend_from_slice(&id.to_be_bytes());
        query.extend_from_slice(body);
        let upstreams: Vec<_> = upstreams.iter().take(MAX_UPSTREAMS).copied().collect();
        let flight = Flight {
            query,
            race: Race::new(now, upstreams.len()),
            upstreams,
            timer: now,
            waiting: Vec::new(),
        };
        self.flights.insert(id, flight);
        self.by_query.insert(body.to_vec(), id);
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
            let failure = wire::servfail(&flight.query);
            self.land(id, &failure);
            return;
        }
        self.timers.remove(&(flight.timer, id));
        flight.timer = flight.race.poll_timeout();
        self.timers.insert((flight.timer, id));
    }

    fn land(&mut self, id: u16, reply: &[u8]) {
        for arrival in self.end_flight(id) {
            if let Some(waiting) = self.end_waiting(arrival) {
                let mut bytes = reply.to_vec();
                bytes[..2].copy_from_slice(&waiting.id);
                self.replies.push_back(Reply {
                    client: waiting.client,
                    bytes,
                });
            }
        }
    }

    /// Forgets the oldest query of the client that has the most: nobody can crowd out the others.
    fn drop_one(&mut self) {
        let busiest = self.by_client.values().max_by_key(|own| own.len());
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
        self.by_query.remove(&flight.query[2..]);
        flight.waiting
    }
}

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;
