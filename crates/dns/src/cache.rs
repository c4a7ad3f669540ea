//! What upstreams have said, for as long as they said that it holds.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use crate::Upstream;
use crate::wire::{self, Query};

/// Bytes of a generation; a cache has two.
const GENERATION: usize = 1 << 20;
/// What an entry takes beyond its bytes, roughly.
const OVERHEAD: usize = 160;
/// A reply that would push out too many others is not kept.
const LARGEST: usize = GENERATION / 16;

/// Replies by question. It belongs to one list of servers, asked from one namespace: what another one says is another
/// cache's. Bounded: what is asked for again moves to the young generation, and when that is full the old one goes.
#[derive(Debug, Default)]
pub struct Cache(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: Generation,
    old: Generation,
}

#[derive(Debug, Default)]
struct Generation {
    entries: HashMap<Box<[u8]>, Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    reply: Box<[u8]>,
    ttls_at: Box<[u16]>,
    since: Instant,
    until: Instant,
}

impl Cache {
    /// Writes the answer to `query` into `out` when there is one. `question` is what [`Query::onward`] made of the query.
    pub(crate) fn answer(
        &self,
        now: Instant,
        question: &[u8],
        query: &Query<'_>,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let mut generations = self.lock();
        let Some(entry) = generations.get(now, question) else {
            return false;
        };
        if wire::deliver(&entry.reply, query, limit, out) {
            let age = now.saturating_duration_since(entry.since).as_secs() as u32;
            for at in &entry.ttls_at {
                wire::age_ttl(out, usize::from(*at), age);
            }
        }
        true
    }

    /// Keeps a reply to `question` unless it says that it is not to be kept.
    pub(crate) fn insert(&self, now: Instant, question: &[u8], reply: &[u8]) {
        if question.len() + reply.len() > LARGEST {
            return;
        }
        if let Some(lifetime) = wire::lifetime(reply) {
            let entry = Entry {
                reply: reply.into(),
                ttls_at: lifetime.ttls_at.into(),
                since: now,
                until: now + Duration::from_secs(lifetime.ttl.into()),
            };
            self.lock().put(question.into(), entry);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Generations {
    fn get(&mut self, now: Instant, question: &[u8]) -> Option<&Entry> {
        if let Some((question, entry)) = self.old.take(question) {
            self.put(question, entry);
        }
        let entry = self.young.entries.get(question);
        // Putting it there may have made the young generation the old one.
        let entry = entry.or_else(|| self.old.entries.get(question));
        entry.filter(|entry| now < entry.until)
    }

    fn put(&mut self, question: Box<[u8]>, entry: Entry) {
        self.old.take(&question);
        self.young.take(&question);
        self.young.bytes += entry.size(&question);
        self.young.entries.insert(question, entry);
        if self.young.bytes > GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

impl Generation {
    fn take(&mut self, question: &[u8]) -> Option<(Box<[u8]>, Entry)> {
        let (question, entry) = self.entries.remove_entry(question)?;
        self.bytes -= entry.size(&question);
        Some((question, entry))
    }
}

impl Entry {
    fn size(&self, question: &[u8]) -> usize {
        OVERHEAD + question.len() + self.reply.len() + 2 * self.ttls_at.len()
    }
}

/// The caches that sandboxes share because they ask the same servers from the same place: the host.
#[derive(Debug, Default)]
pub struct Caches(Mutex<BTreeMap<Vec<Upstream>, Weak<Cache>>>);

impl Caches {
    /// The cache of these servers. It lives as long as somebody has it.
    pub fn of(&self, servers: &[Upstream]) -> Arc<Cache> {
        let mut caches = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(cache) = caches.get(servers).and_then(Weak::upgrade) {
            return cache;
        }
        caches.retain(|_, cache| cache.strong_count() > 0);
        let cache = Arc::<Cache>::default();
        caches.insert(servers.to_vec(), Arc::downgrade(&cache));
        cache
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
