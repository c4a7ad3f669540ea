//! The running resolver on loopback in a network namespace of its own: `dig` in front, servers of ours behind.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use dns::{Dial, Resolver, Scope, Upstream, View, Zone};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Runs the test's body in a child that has a fresh network namespace with loopback up; the namespace ends with it.
fn in_namespace(test: &str, body: impl Future<Output = ()>) {
    if std::env::var_os("DNS_TEST_NAMESPACE").is_some() {
        assert!(
            Command::new("ip")
                .args(["link", "set", "lo", "up"])
                .status()
                .unwrap()
                .success()
        );
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        return runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(30), body)
                .await
                .unwrap()
        });
    }
    let status = Command::new("unshare")
        .arg("--net")
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env("DNS_TEST_NAMESPACE", "1")
        .status()
        .unwrap();
    assert!(status.success());
}

struct Here;

impl Dial for Here {
    fn udp(&self, upstream: Upstream) -> std::io::Result<UdpSocket> {
        dns::open_udp(upstream.addr)
    }
    fn tcp(&self, upstream: Upstream) -> std::io::Result<TcpStream> {
        dns::open_tcp(upstream.addr)
    }
}

/// A server at `address:53` that answers every query with `reply` of it, over UDP and TCP, and counts them.
async fn upstream(
    address: &str,
    reply: fn(&[u8], bool) -> Option<Vec<u8>>,
) -> (Upstream, Arc<AtomicUsize>) {
    let addr: SocketAddr = format!("{address}:53").parse().unwrap();
    let udp = tokio::net::UdpSocket::bind(addr).await.unwrap();
    let tcp = tokio::net::TcpListener::bind(addr).await.unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            let (n, from) = udp.recv_from(&mut buffer).await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            if let Some(reply) = reply(&buffer[..n], false) {
                udp.send_to(&reply, from).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        loop {
            let (stream, _) = tcp.accept().await.unwrap();
            // A client that goes away before its answer is no failure.
            let _ = converse(stream, reply).await;
        }
    });
    (
        Upstream {
            addr,
            from_host: true,
        },
        asked,
    )
}

async fn converse(
    mut stream: tokio::net::TcpStream,
    reply: fn(&[u8], bool) -> Option<Vec<u8>>,
) -> std::io::Result<()> {
    let mut query = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut query).await?;
    if let Some(reply) = reply(&query, true) {
        stream.write_u16(reply.len() as u16).await?;
        stream.write_all(&reply).await?;
    }
    Ok(())
}

/// `192.0.2.1` for everything; truncated over UDP when the name begins with `big`.
fn world(query: &[u8], tcp: bool) -> Option<Vec<u8>> {
    let mut reply = query.to_vec();
    reply[2] |= 0x80;
    if query[12..].starts_with(b"\x03big") && !tcp {
        reply[2] |= 0x02;
        return Some(reply);
    }
    let question = 12 + query[12..].iter().position(|b| *b == 0).unwrap() + 5;
    let record = b"\xc0\x0c\0\x01\0\x01\0\0\x0e\x10\0\x04\xc0\0\x02\x01";
    reply.splice(question..question, record.iter().copied());
    reply[7] = 1;
    Some(reply)
}

fn refused(query: &[u8], _: bool) -> Option<Vec<u8>> {
    let mut reply = query.to_vec();
    reply[2] |= 0x80;
    reply[3] = 5;
    Some(reply)
}

fn silent(_: &[u8], _: bool) -> Option<Vec<u8>> {
    None
}

struct Sandbox {
    view: Arc<ArcSwap<View>>,
    zone: Arc<ArcSwap<Zone>>,
    addr: SocketAddr,
    resolver: Resolver,
}

fn sandbox(upstreams: Vec<Upstream>) -> Sandbox {
    let zone = Arc::new(ArcSwap::from_pointee(Zone {
        network: "net".into(),
        names: BTreeMap::from([("c1".into(), ["10.1.0.2".parse().unwrap()].into())]),
        reverse: BTreeMap::from([("10.1.0.2".parse().unwrap(), "c1".into())]),
    }));
    let view = Arc::new(ArcSwap::from_pointee(View {
        networks: vec![Scope {
            zone: zone.clone(),
            links: BTreeMap::new(),
        }],
        upstreams,
        ..View::default()
    }));
    let tcp = TcpListener::bind("127.0.0.11:0").unwrap();
    let addr = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(addr).unwrap();
    let resolver = Resolver::serve(udp, tcp, view.clone(), Arc::new(Here)).unwrap();
    Sandbox {
        view,
        zone,
        addr,
        resolver,
    }
}

impl Sandbox {
    async fn dig(&self, args: &str) -> String {
        let output = tokio::process::Command::new("dig")
            .arg(format!("@{}", self.addr.ip()))
            .args(["-p", &self.addr.port().to_string(), "+tries=1", "+time=5"])
            .args(args.split_whitespace())
            .output()
            .await
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn dig_gets_own_and_foreign_names() {
    in_namespace("dig_gets_own_and_foreign_names", async {
        let (up, asked) = upstream("127.0.0.2", world).await;
        let sandbox = sandbox(vec![up]);
        assert_eq!(sandbox.dig("+short c1").await, "10.1.0.2\n");
        assert_eq!(sandbox.dig("+short +tcp C1.NET").await, "10.1.0.2\n");
        assert_eq!(sandbox.dig("+short -x 10.1.0.2").await, "c1.net.\n");
        let empty = sandbox.dig("c1 AAAA").await;
        assert!(
            empty.contains("status: NOERROR") && empty.contains("ANSWER: 0"),
            "{empty}"
        );
        assert_eq!(asked.load(Ordering::Relaxed), 0);
        assert_eq!(sandbox.dig("+short example.org").await, "192.0.2.1\n");
        assert_eq!(sandbox.dig("+short +tcp example.org").await, "192.0.2.1\n");
        // dig takes the truncated answer and asks again over TCP, all through us.
        assert_eq!(sandbox.dig("+short big.example").await, "192.0.2.1\n");
        sandbox.zone.rcu(|zone| Zone {
            names: BTreeMap::new(),
            ..Zone::clone(zone)
        });
        assert_eq!(sandbox.dig("+short c1").await, "192.0.2.1\n");
    });
}

#[test]
fn upstreams_that_refuse_or_keep_silent_are_passed_over() {
    in_namespace(
        "upstreams_that_refuse_or_keep_silent_are_passed_over",
        async {
            let (no, _) = upstream("127.0.0.2", refused).await;
            let (mute, _) = upstream("127.0.0.3", silent).await;
            let (yes, _) = upstream("127.0.0.4", world).await;
            let dead = Upstream {
                addr: "127.0.0.5:53".parse().unwrap(),
                from_host: true,
            };
            let sandbox = sandbox(vec![no, mute, yes]);
            for transport in ["+notcp", "+tcp"] {
                let start = Instant::now();
                assert_eq!(
                    sandbox
                        .dig(&format!("+short {transport} example.org"))
                        .await,
                    "192.0.2.1\n"
                );
                // Docker waits 4 s for one silent server; how long we wait is a matter of `race`'s tests.
                assert!(start.elapsed() < Duration::from_secs(4));
                sandbox.view.rcu(|view| View {
                    upstreams: vec![dead, no, yes],
                    ..View::clone(view)
                });
                assert_eq!(
                    sandbox
                        .dig(&format!("+short {transport} example.com"))
                        .await,
                    "192.0.2.1\n"
                );
                for nobody in [vec![no], vec![]] {
                    sandbox.view.rcu(|view| View {
                        upstreams: nobody.clone(),
                        ..View::clone(view)
                    });
                    let failed = sandbox.dig(&format!("{transport} example.net")).await;
                    assert!(failed.contains("status: SERVFAIL"), "{failed}");
                }
                sandbox.view.rcu(|view| View {
                    upstreams: vec![no, mute, yes],
                    ..View::clone(view)
                });
            }
        },
    );
}

#[test]
fn a_server_that_asks_us_back_comes_to_rest() {
    in_namespace("a_server_that_asks_us_back_comes_to_rest", async {
        let addr: SocketAddr = "127.0.0.2:53".parse().unwrap();
        let relay = tokio::net::UdpSocket::bind(addr).await.unwrap();
        let own = Upstream {
            addr: "127.0.0.11:53".parse().unwrap(),
            from_host: false,
        };
        let sandbox = sandbox(vec![
            own,
            Upstream {
                addr,
                from_host: true,
            },
        ]);
        let target = sandbox.addr;
        let relayed = Arc::new(AtomicUsize::new(0));
        let count = relayed.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (n, from) = relay.recv_from(&mut buffer).await.unwrap();
                if from != target {
                    count.fetch_add(1, Ordering::Relaxed);
                    relay.send_to(&buffer[..n], target).await.unwrap();
                }
            }
        });
        let failed = sandbox.dig("loop.example").await;
        assert!(failed.contains("status: SERVFAIL"), "{failed}");
        assert!(
            relayed.load(Ordering::Relaxed) <= 4,
            "{}",
            relayed.load(Ordering::Relaxed)
        );
    });
}

#[test]
fn connections_carry_several_requests_and_end_when_idle() {
    in_namespace(
        "connections_carry_several_requests_and_end_when_idle",
        async {
            let sandbox = sandbox(vec![]);
            let mut stream = tokio::net::TcpStream::connect(sandbox.addr).await.unwrap();
            let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x02c1\0\0\x01\0\x01";
            for _ in 0..3 {
                let two = [
                    &[0, query.len() as u8],
                    &query[..],
                    &[0, query.len() as u8],
                    &query[..],
                ]
                .concat();
                stream.write_all(&two).await.unwrap();
                for _ in 0..2 {
                    let mut reply = vec![0; usize::from(stream.read_u16().await.unwrap())];
                    stream.read_exact(&mut reply).await.unwrap();
                    assert_eq!(reply[reply.len() - 4..], [10, 1, 0, 2]);
                }
            }
            // With nothing else to do, paused time jumps to the next timer: ours.
            tokio::time::pause();
            let start = tokio::time::Instant::now();
            assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
            assert!(start.elapsed().as_secs_f32() > 9.0);
        },
    );
}

#[test]
fn dropping_closes_the_sockets() {
    in_namespace("dropping_closes_the_sockets", async {
        let Sandbox { addr, resolver, .. } = sandbox(vec![]);
        let mut open = tokio::net::TcpStream::connect(addr).await.unwrap();
        drop(resolver);
        assert_eq!(open.read(&mut [0; 1]).await.unwrap_or(0), 0);
        for _ in 0..100 {
            if UdpSocket::bind(addr).is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("socket is still open");
    });
}

#[test]
fn bursts_are_answered_in_full() {
    in_namespace("bursts_are_answered_in_full", async {
        let (up, _) = upstream("127.0.0.2", world).await;
        let sandbox = sandbox(vec![up]);
        let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut open = std::collections::BTreeSet::new();
        for id in 0..200u16 {
            let name: &[u8] = if id % 2 == 0 { b"\x02c1" } else { b"\x02xx" };
            let query = [
                &id.to_be_bytes(),
                &b"\x01\0\0\x01\0\0\0\0\0\0"[..],
                name,
                b"\0\0\x01\0\x01",
            ]
            .concat();
            client.send_to(&query, sandbox.addr).await.unwrap();
            open.insert(id);
        }
        let mut buffer = [0; 512];
        while !open.is_empty() {
            let n = client.recv(&mut buffer).await.unwrap();
            let id = u16::from_be_bytes([buffer[0], buffer[1]]);
            let last: [u8; 4] = buffer[n - 4..n].try_into().unwrap();
            assert_eq!(
                last,
                if id % 2 == 0 {
                    [10, 1, 0, 2]
                } else {
                    [192, 0, 2, 1]
                }
            );
            assert!(open.remove(&id));
        }
    });
}
