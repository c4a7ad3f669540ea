//! How long a packet may be on the way to each node, found out by echo requests that must not be fragmented.
//!
//! For each node, seldom: one request of full size. It is answered, and all is well; or not, and then the longest size that
//! is answered is looked for, in a few steps where routers say what they can pass on, by halves where nobody says anything. A node that
//! answers nothing at all may not want to: what was known of it stays.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A request that is not answered was lost, or was too long: so often before it was too long.
const TRIES: u8 = 3;
const PATIENCE: Duration = Duration::from_millis(500);
/// What every path is taken to carry, by family.
const FLOOR: u32 = 576;
const FLOOR_6: u32 = 1280;
/// Between two looks at a path that is as it was, and how many looks there are in a second at most.
const PERIOD: Duration = Duration::from_secs(15);
const LOOKS: u32 = 20;
/// A new node is looked at within that, or after so many others a second.
const SOON: Duration = Duration::from_secs(1);
const NEW_LOOKS: u32 = 100;

/// An echo request to send, of so many bytes with its IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask {
    pub to: IpAddr,
    pub sequence: u16,
    pub size: u32,
}

/// What a look at a path has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub to: IpAddr,
    pub full: u32,
    pub mtu: u32,
    /// What was found before; full size if nothing was.
    pub former: u32,
}

#[derive(Debug)]
pub(super) struct Prober {
    /// Nodes do not look at the same moment.
    seed: u64,
    paths: BTreeMap<IpAddr, Path>,
    last: u16,
    asks: VecDeque<Ask>,
    found: VecDeque<Found>,
}

#[derive(Debug)]
struct Path {
    /// The longest packet that is wanted here.
    full: u32,
    /// The longest that passes, as far as is known.
    mtu: Option<u32>,
    /// When the next look begins, or the present request is given up.
    at: Instant,
    search: Option<Search>,
}

/// Between what has passed and what has not.
#[derive(Debug)]
struct Search {
    sequence: u16,
    size: u32,
    tries: u8,
    passed: u32,
    failed: u32,
    /// A router has said what it can pass on.
    told: bool,
    /// Nobody has, and full size is tried once more at the end: it may be loss that kept it away.
    again: bool,
}

impl Prober {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            paths: BTreeMap::new(),
            last: 0,
            asks: VecDeque::new(),
            found: VecDeque::new(),
        }
    }

    /// Nodes, and the longest packet that is wanted to each.
    pub fn set_peers(&mut self, now: Instant, wanted: &BTreeMap<IpAddr, u32>) {
        self.paths.retain(|to, _| wanted.contains_key(to));
        let soon = SOON.max(at_a_rate(NEW_LOOKS, wanted.len()));
        for (to, full) in wanted {
            let soon = now + self.share(soon, to);
            let path = self.paths.entry(*to).or_insert(Path {
                full: *full,
                mtu: None,
                at: soon,
                search: None,
            });
            if path.full != *full {
                path.full = *full;
                path.search = None;
                path.at = soon;
            }
        }
    }

    /// Paths that carry less than full size, and what they carry.
    pub fn narrow(&self) -> impl Iterator<Item = (IpAddr, u32)> {
        let narrow = |(to, path): (&IpAddr, &Path)| {
            let mtu = path.mtu.filter(|mtu| *mtu < path.full);
            Some((*to, mtu?))
        };
        self.paths.iter().filter_map(narrow)
    }

    pub fn poll_found(&mut self) -> Option<Found> {
        self.found.pop_front()
    }

    pub fn poll_transmit(&mut self) -> Option<Ask> {
        self.asks.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.paths.values().map(|path| path.at).min()
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        let due = |(to, path): (&IpAddr, &Path)| (path.at <= now).then_some(*to);
        let due: Vec<IpAddr> = self.paths.iter().filter_map(due).collect();
        for to in due {
            let Some(path) = self.paths.get_mut(&to) else {
                continue;
            };
            match &mut path.search {
                None => {
                    let (full, sequence) = (path.full, 0);
                    path.search = Some(Search {
                        sequence,
                        size: full,
                        tries: 0,
                        passed: 0,
                        failed: full + 1,
                        told: false,
                        again: false,
                    });
                    self.ask(now, to, full);
                }
                Some(search) if search.tries < TRIES => {
                    search.tries += 1;
                    path.at = now + PATIENCE;
                    let (sequence, size) = (search.sequence, search.size);
                    self.asks.push_back(Ask { to, sequence, size });
                }
                Some(search) => {
                    search.failed = search.size;
                    self.go_on(now, to);
                }
            }
        }
    }

    /// An answer counts whichever try it is to.
    pub fn handle_reply(&mut self, now: Instant, from: IpAddr, sequence: u16) {
        if let Some(search) = self.searching(from, sequence) {
            search.passed = search.size;
            self.go_on(now, from);
        }
    }

    /// A router on the way says what it can pass on. That is tried: it need not be true, nor the end.
    pub fn handle_too_big(&mut self, now: Instant, to: IpAddr, sequence: u16, mtu: u32) {
        let floor = floor(to);
        let Some(search) = self.searching(to, sequence) else {
            return;
        };
        if (floor.max(search.passed + 1)..search.size).contains(&mtu) {
            (search.failed, search.told) = (mtu + 1, true);
            self.ask(now, to, mtu);
        }
    }

    /// This host itself cannot send so much.
    pub fn handle_refused(&mut self, now: Instant, ask: Ask) {
        if let Some(search) = self.searching(ask.to, ask.sequence) {
            search.failed = search.size;
            self.go_on(now, ask.to);
        }
    }

    fn searching(&mut self, to: IpAddr, sequence: u16) -> Option<&mut Search> {
        let search = self.paths.get_mut(&to)?.search.as_mut()?;
        (search.sequence == sequence).then_some(search)
    }

    /// After an answer, or the last try without one.
    fn go_on(&mut self, now: Instant, to: IpAddr) {
        let floor = floor(to);
        let Some(path) = self.paths.get_mut(&to) else {
            return;
        };
        let Some(search) = &mut path.search else {
            return;
        };
        let (passed, failed) = (search.passed, search.failed);
        let next = if passed == path.full {
            None
        } else if passed == 0 {
            let former = path.mtu.filter(|mtu| (floor..failed).contains(mtu));
            let next = former.unwrap_or(floor);
            if search.size <= floor {
                // Nothing is known, and what was stays.
                self.rest(now, to);
                return;
            }
            Some(next)
        } else if search.again {
            None
        } else if failed - passed > 1 {
            Some(passed + (failed - passed) / 2)
        } else if search.told {
            None
        } else {
            search.again = true;
            Some(path.full)
        };
        match next {
            Some(size) => self.ask(now, to, size),
            None => {
                let (full, mtu) = (path.full, passed);
                let former = path.mtu.replace(mtu).unwrap_or(full);
                self.found.push_back(Found {
                    to,
                    full,
                    mtu,
                    former,
                });
                self.rest(now, to);
            }
        }
    }

    fn ask(&mut self, now: Instant, to: IpAddr, size: u32) {
        self.last = self.last.wrapping_add(1).max(1);
        let sequence = self.last;
        if let Some(path) = self.paths.get_mut(&to)
            && let Some(search) = &mut path.search
        {
            (search.sequence, search.size, search.tries) = (sequence, size, 1);
            path.at = now + PATIENCE;
            self.asks.push_back(Ask { to, sequence, size });
        }
    }

    fn rest(&mut self, now: Instant, to: IpAddr) {
        let period = PERIOD.max(at_a_rate(LOOKS, self.paths.len()));
        // Each time another while, around the period.
        let at = now + period.mul_f64(0.9) + self.share(period.mul_f64(0.2), &(to, self.last));
        if let Some(path) = self.paths.get_mut(&to) {
            path.search = None;
            path.at = at;
        }
    }

    /// A part of the time that looks like chance.
    fn share(&self, of: Duration, whose: &impl Hash) -> Duration {
        let mut hasher = DefaultHasher::new();
        (self.seed, whose).hash(&mut hasher);
        of.mul_f64((hasher.finish() % 1000) as f64 / 1000.0)
    }
}

/// How long so many looks take.
fn at_a_rate(per_second: u32, looks: usize) -> Duration {
    Duration::from_secs(looks as u64) / per_second
}

fn floor(to: IpAddr) -> u32 {
    match to {
        IpAddr::V4(_) => FLOOR,
        IpAddr::V6(_) => FLOOR_6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path, and what the world at its other end is like.
    struct World {
        prober: Prober,
        now: Instant,
        /// What a packet may have; 0: nobody answers.
        mtu: u32,
        /// Whether routers say so.
        told: bool,
        /// So many of the next requests are lost.
        lost: usize,
        sent: Vec<u32>,
    }

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    impl World {
        fn new(mtu: u32, told: bool) -> Self {
            let (mut prober, now) = (Prober::new(1), Instant::now());
            prober.set_peers(now, &[(PEER, 1500)].into());
            Self {
                prober,
                now,
                mtu,
                told,
                lost: 0,
                sent: Vec::new(),
            }
        }

        /// Lets a time pass, and returns what is known then, and in how many requests.
        fn run(&mut self, time: Duration) -> (Option<u32>, usize) {
            let end = self.now + time;
            self.sent.clear();
            while let Some(at) = self.prober.poll_timeout().filter(|at| *at <= end) {
                self.now = self.now.max(at);
                self.prober.handle_timeout(self.now);
                while let Some(ask) = self.prober.poll_transmit() {
                    self.sent.push(ask.size);
                    let (now, to, sequence) = (self.now, ask.to, ask.sequence);
                    if self.lost > 0 {
                        self.lost -= 1;
                    } else if ask.size <= self.mtu {
                        self.prober.handle_reply(now, to, sequence);
                    } else if self.told {
                        self.prober.handle_too_big(now, to, sequence, self.mtu);
                    }
                }
            }
            self.now = end;
            let known = self.prober.paths[&PEER].mtu;
            (known, self.sent.len())
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_full_path_costs_one_request_a_period() {
        let mut world = World::new(1500, true);
        let (known, sent) = world.run(MINUTE);
        assert_eq!(known, Some(1500));
        assert!((3..6).contains(&sent), "{sent}");
        let found = world.prober.poll_found().unwrap();
        assert_eq!((found.mtu, found.former), (1500, 1500));
    }

    #[test]
    fn a_narrow_path_is_found_to_the_byte() {
        for (mtu, told) in [(1400, true), (1400, false), (1499, false), (577, false)] {
            let mut world = World::new(mtu, told);
            let (known, sent) = world.run(Duration::from_secs(if told { 13 } else { 30 }));
            assert_eq!(known, Some(mtu));
            assert!(sent <= if told { 2 } else { 40 }, "{sent}");
            // It is what it was, grows, shrinks.
            assert_eq!(world.run(MINUTE).0, Some(mtu));
            assert_eq!(world.prober.narrow().collect::<Vec<_>>(), [(PEER, mtu)]);
            let found = std::mem::take(&mut world.prober.found);
            assert!(
                found.len() >= 3 && found.iter().all(|f| f.mtu == mtu),
                "{found:?}"
            );
            world.mtu = 1500;
            assert_eq!(world.run(MINUTE).0, Some(1500));
            assert!(
                world
                    .prober
                    .found
                    .iter()
                    .any(|f| f.former == mtu && f.mtu == 1500)
            );
            world.mtu = 1300;
            assert_eq!(world.run(MINUTE).0, Some(1300));
        }
    }

    #[test]
    fn a_node_that_answers_nothing_changes_nothing() {
        let mut world = World::new(0, false);
        assert_eq!(world.run(MINUTE).0, None);
        world.mtu = 1450;
        assert_eq!(world.run(MINUTE).0, Some(1450));
        world.mtu = 0;
        assert_eq!(world.run(MINUTE).0, Some(1450));
    }

    #[test]
    fn loss_does_not_make_a_path_narrow() {
        for lost in 1..TRIES as usize * 2 {
            let mut world = World::new(1500, false);
            world.lost = lost;
            assert_eq!(world.run(MINUTE / 4).0, Some(1500), "{lost} lost");
        }
    }

    #[test]
    fn what_routers_claim_is_tried() {
        let mut world = World::new(1500, false);
        world.lost = 1;
        world.run(SOON);
        let sequence = world.prober.last;
        // Of another request, for less than anybody can mean, for more than was sent, and a lie.
        let mut says = |sequence, mtu| {
            world.prober.handle_too_big(world.now, PEER, sequence, mtu);
            world.prober.asks.len()
        };
        assert_eq!(says(sequence.wrapping_sub(1), 1400), 0);
        assert_eq!((says(sequence, 68), says(sequence, 1500)), (0, 0));
        assert_eq!(says(sequence, 1400), 1);
    }

    #[test]
    fn a_thousand_nodes_are_looked_at_in_turn() {
        let (mut prober, start) = (Prober::new(7), Instant::now());
        let address = |n: u32| IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + n));
        prober.set_peers(start, &(0..1000).map(|n| (address(n), 1500)).collect());
        let mut per_second = vec![0; 200];
        while let Some(at) = prober.poll_timeout().filter(|at| *at - start < 3 * MINUTE) {
            prober.handle_timeout(at);
            while let Some(ask) = prober.poll_transmit() {
                per_second[(at - start).as_secs() as usize] += 1;
                prober.handle_reply(at, ask.to, ask.sequence);
            }
        }
        let most = per_second.iter().skip(60).max().copied();
        assert!(most.is_some_and(|most| most <= 250), "{most:?}");
        let all: usize = per_second.iter().sum();
        assert!(all <= 1000 + 1000 * 4, "{all}");
    }
}
