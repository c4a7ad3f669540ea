//! Real sockets: three agents on loopback addresses of a network namespace of their own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test fails"
)]

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Command,
    time::{Duration, Instant},
};

use bytes::Bytes;
use gossip::{Config, Event, Gossip};
use tokio::{sync::mpsc, time::timeout};

const NET: &str = "net";
const TABLE: &str = "overlay_peer_table";

fn key(byte: u8) -> Vec<u8> {
    vec![byte; 16]
}

fn addr(node: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, node)), 7946)
}

/// Runs the test on a thread in a fresh network namespace with nothing but a loopback device. It vanishes with the thread.
fn in_fresh_netns<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let thread = std::thread::spawn(move || {
        // SAFETY: the thread is new and unshares nothing but its own network namespace.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.unwrap();
        let up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status()
            .unwrap();
        assert!(up.success());
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(test());
    });
    thread.join().unwrap();
}

struct Node {
    gossip: Gossip,
    events: mpsc::Receiver<Event>,
}

impl Node {
    async fn start(node: u8, name: &str, keys: &[Vec<u8>]) -> Self {
        let config = Config {
            node_name: name.into(),
            bind: addr(node),
            advertise: addr(node),
            keys: keys.to_vec(),
        };
        let (gossip, events) = Gossip::start(config).await.unwrap();
        gossip.set_bootstrap(vec![addr(1)]);
        gossip.join_network(NET).await;
        Self { gossip, events }
    }

    async fn set(&self, key: &str, value: &str) {
        self.gossip
            .set_entry(NET, TABLE, key, Bytes::copy_from_slice(value.as_bytes()))
            .await;
    }

    /// Waits for an event that `wanted` accepts.
    async fn hears(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) {
        let heard = timeout(Duration::from_secs(10), async {
            while let Some(event) = self.events.recv().await {
                if wanted(&event) {
                    return;
                }
            }
            panic!("{what}: the agent stopped");
        });
        assert!(
            heard.await.is_ok(),
            "{what}: nothing heard, {:?}",
            self.gossip.stats()
        );
    }

    async fn sees(&mut self, key: &str, value: &str) {
        let is_set = |event: &Event| matches!(event, Event::EntrySet { key: k, value: v, .. } if k == key && v == value.as_bytes());
        self.hears(&format!("{key} = {value}"), is_set).await;
    }

    async fn misses(&mut self, key: &str) {
        let is_gone =
            |event: &Event| matches!(event, Event::EntryDelete { key: k, .. } if k == key);
        self.hears(&format!("{key} gone"), is_gone).await;
    }
}

async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !check().await {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{what}: not within 10 s"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn three_agents() {
    in_fresh_netns(|| async {
        let keys = [key(1), key(2)];
        let mut a = Node::start(1, "aaaaaaaaaaaa", &keys).await;
        let mut b = Node::start(2, "bbbbbbbbbbbb", &keys).await;
        let mut c = Node::start(3, "cccccccccccc", &keys).await;
        eventually("everybody is in the network", async || {
            a.gossip.network_peers(NET).await.len() == 3
                && b.gossip.network_peers(NET).await.len() == 3
                && c.gossip.network_peers(NET).await.len() == 3
        })
        .await;

        let start = Instant::now();
        a.set("ep1", "10.0.0.1").await;
        b.sees("ep1", "10.0.0.1").await;
        c.sees("ep1", "10.0.0.1").await;
        println!("an entry took {:?}", start.elapsed());
        a.set("ep1", "10.0.0.2").await;
        b.sees("ep1", "10.0.0.2").await;
        // What no datagram can carry.
        let long = "x".repeat(5000);
        a.set("long", &long).await;
        c.sees("long", &long).await;

        rotate_under_traffic(&mut a, &mut b, &mut c).await;

        // kill -9 and restart: the predecessor's rows go, the successor's come, without waiting for a failure detector.
        c.set("ep3", "old place").await;
        a.sees("ep3", "old place").await;
        drop(c);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let start = Instant::now();
        let mut c = Node::start(3, "dddddddddddd", &[key(3)]).await;
        c.set("ep4", "new place").await;
        a.misses("ep3").await;
        a.sees("ep4", "new place").await;
        c.sees("long", &long).await;
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "took {:?}",
            start.elapsed()
        );

        // A goodbye is heard at once.
        let start = Instant::now();
        c.gossip.leave().await;
        a.misses("ep4").await;
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "took {:?}",
            start.elapsed()
        );
        assert_eq!(b.gossip.cluster_peers().await.len(), 2);

        // The sockets are free again.
        let mut c = Node::start(3, "eeeeeeeeeeee", &[key(3)]).await;
        c.sees("ep1", "10.0.0.2").await;

        a.gossip.leave_network(NET).await;
        b.misses("ep1").await;
        for node in [a, b, c] {
            assert_eq!(node.gossip.stats().rejected_events, 0);
            node.gossip.leave().await;
        }
    });
}

/// Keys come and go while entries are written; nothing is lost and nothing is refused.
async fn rotate_under_traffic(a: &mut Node, b: &mut Node, c: &mut Node) {
    let rings = [
        vec![key(1), key(2), key(3)],
        vec![key(2), key(1), key(3)],
        vec![key(2), key(3)],
        vec![key(3), key(2)],
        vec![key(3)],
    ];
    let before = b.gossip.stats().rejected_packets;
    for (round, ring) in rings.iter().enumerate() {
        // Not at the same moment everywhere.
        for node in [&*a, &*b, &*c] {
            node.gossip.set_keys(ring.clone());
            a.set("rotating", &format!("{round}")).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        b.sees("rotating", &format!("{round}")).await;
        c.sees("rotating", &format!("{round}")).await;
    }
    assert_eq!(b.gossip.stats().rejected_packets, before);
    assert_eq!(b.gossip.cluster_peers().await.len(), 3);
}

#[test]
fn an_owner_hears_who_acts_upon_its_entry() {
    in_fresh_netns(|| async {
        let a = Node::start(1, "aaaaaaaaaaaa", &[key(1)]).await;
        let mut b = Node::start(2, "bbbbbbbbbbbb", &[key(1)]).await;
        let c = Node::start(3, "cccccccccccc", &[key(1)]).await;
        eventually("everybody is in the network", async || {
            a.gossip.network_peers(NET).await.len() == 3
        })
        .await;
        let awaited = || a.gossip.progress(NET, TABLE, "ep1").map(|p| p.awaited);
        assert_eq!(awaited(), None);
        a.set("ep1", "old").await;
        b.sees("ep1", "old").await;
        a.set("ep1", "new").await;
        // Of what the entry was before nobody wants to know.
        let (old, new) = (Bytes::from_static(b"old"), Bytes::from_static(b"new"));
        b.gossip.confirm(NET, TABLE, "ep1", &old);
        b.sees("ep1", "new").await;
        b.gossip.confirm(NET, TABLE, "ep1", &old);
        assert_eq!(awaited(), Some(2));
        b.gossip.confirm(NET, TABLE, "ep1", &new);
        eventually("one has confirmed", async || awaited() == Some(1)).await;
        // Whoever is gone is not waited for.
        c.gossip.leave().await;
        eventually("all have", async || awaited() == Some(0)).await;
        a.set("ep1", "newest").await;
        assert_eq!(awaited(), Some(1));
        assert_eq!(b.gossip.progress(NET, TABLE, "ep1"), None, "not its own");
    });
}

#[test]
fn strangers_are_kept_out() {
    in_fresh_netns(|| async {
        let a = Node::start(1, "aaaaaaaaaaaa", &[key(1)]).await;
        let b = Node::start(2, "bbbbbbbbbbbb", &[key(9)]).await;
        eventually("refused", async || a.gossip.stats().rejected_streams > 0).await;
        assert_eq!(a.gossip.cluster_peers().await.len(), 1);
        assert_eq!(b.gossip.cluster_peers().await.len(), 1);

        let config = Config {
            node_name: "cccccccccccc".into(),
            bind: addr(1),
            advertise: addr(1),
            keys: vec![key(1)],
        };
        let error = Gossip::start(config.clone())
            .await
            .err()
            .expect("the address is taken");
        assert!(
            error
                .to_string()
                .starts_with("cannot listen for gossip on 127.0.0.1:7946: "),
            "{error}"
        );
        let config = Config {
            bind: addr(3),
            keys: vec![vec![1; 15]],
            ..config
        };
        let error = Gossip::start(config).await.err().expect("a bad key");
        assert_eq!(
            error.to_string(),
            "gossip keys: malformed key: it must have 16, 24 or 32 bytes"
        );
    });
}
