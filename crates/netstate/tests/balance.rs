//! Balancing at connect time, with real sockets.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use common::group::{Group, start_on};
use common::*;
use netstate::{Choice, NetState, Row};

const NETWORK: u32 = 4097;
const SERVICE: &str = "10.1.0.200";
const BACKENDS: [&str; 3] = ["10.1.0.11", "10.1.0.12", "10.1.0.13"];

/// A namespace with the backends' addresses; those who connect are in it too.
fn sandbox() -> Vec<Row> {
    let mut rows = vec![
        Row::Netns(named("c")),
        Row::Client {
            ns: named("c"),
            subnet: "10.1.0.0/24".parse().unwrap(),
            network: NETWORK,
        },
    ];
    rows.extend(BACKENDS.map(|ip| address(named("c"), "lo", &format!("{ip}/32"))));
    rows
}

fn service(backends: &[&str]) -> Vec<Row> {
    vec![Row::Service {
        network: NETWORK,
        address: SERVICE.parse().unwrap(),
        backends: backends.iter().map(|b| b.parse().unwrap()).collect(),
        choice: Choice::Any,
    }]
}

/// What `f` sees inside the namespace.
async fn inside<T: Send + 'static>(state: &NetState, f: impl FnOnce() -> T + Send + 'static) -> T {
    state.run_in(&named("c"), f).await.unwrap()
}

/// A server on each backend that answers with its own address.
fn serve() -> u16 {
    let first = TcpListener::bind((BACKENDS[0], 0)).unwrap();
    let port = first.local_addr().unwrap().port();
    let others = BACKENDS[1..]
        .iter()
        .map(|b| TcpListener::bind((*b, port)).unwrap());
    for listener in std::iter::once(first).chain(others) {
        let own = listener.local_addr().unwrap().ip().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, own) = (stream.unwrap(), own.clone());
                std::thread::spawn(move || {
                    let mut byte = [0];
                    while stream.read_exact(&mut byte).is_ok() {
                        stream.write_all(own.as_bytes()).unwrap();
                    }
                });
            }
        });
    }
    port
}

fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"?").unwrap();
    let mut answer = [0; 32];
    let len = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..len]).into_owned()
}

/// Who answers how often, of so many connections.
fn spread(port: u16, connections: usize) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    for _ in 0..connections {
        let mut stream = TcpStream::connect((SERVICE, port)).unwrap();
        *seen.entry(ask(&mut stream)).or_default() += 1;
    }
    seen
}

#[test]
fn connections_spread_and_outlive_their_service() {
    isolated(|| async {
        let group = Group::new("spread");
        let state = start_on(&group).await;
        group.enter();
        state.set("sandbox", sandbox()).await.unwrap();
        state.set("service", service(&BACKENDS)).await.unwrap();
        let port = inside(&state, serve).await;
        let seen = inside(&state, move || spread(port, 300)).await;
        assert_eq!(seen.len(), 3, "{seen:?}");
        assert!(seen.values().all(|n| (60..=140).contains(n)), "{seen:?}");

        let (mut kept, before) = inside(&state, move || {
            let mut stream = TcpStream::connect((SERVICE, port)).unwrap();
            let answer = ask(&mut stream);
            assert_eq!(
                stream.peer_addr().unwrap(),
                SocketAddr::new(ip(SERVICE), port)
            );
            (stream, answer)
        })
        .await;
        let others: Vec<&str> = BACKENDS.into_iter().filter(|b| *b != before).collect();
        state.set("service", service(&others)).await.unwrap();
        assert_eq!(ask(&mut kept), before, "a connection keeps to its backend");
        let seen = inside(&state, move || spread(port, 60)).await;
        let names: BTreeSet<&str> = seen.keys().map(String::as_str).collect();
        assert_eq!(names, others.into_iter().collect());

        state.remove("service").await.unwrap();
        let refused = inside(&state, move || TcpStream::connect((SERVICE, port)).is_err());
        assert!(refused.await);
        assert_eq!(ask(&mut kept), before);
        group.leave();
    });
}

#[test]
fn a_sticky_service_gives_a_namespace_one_backend() {
    isolated(|| async {
        let group = Group::new("sticky");
        let state = start_on(&group).await;
        group.enter();
        state.set("sandbox", sandbox()).await.unwrap();
        let sticky = |backends: &[&str]| {
            let mut rows = service(backends);
            if let Row::Service { choice, .. } = &mut rows[0] {
                *choice = Choice::Sticky;
            }
            rows
        };
        state.set("service", sticky(&BACKENDS)).await.unwrap();
        let port = inside(&state, serve).await;
        let seen = inside(&state, move || spread(port, 50)).await;
        assert_eq!(seen.len(), 1, "{seen:?}");
        let mine = seen.into_keys().next().unwrap();
        // Another one goes: nothing moves. This one goes: all move together.
        let other = BACKENDS.into_iter().find(|b| *b != mine).unwrap();
        let left: Vec<&str> = BACKENDS.into_iter().filter(|b| *b != other).collect();
        state.set("service", sticky(&left)).await.unwrap();
        let seen = inside(&state, move || spread(port, 20)).await;
        assert!(seen.keys().all(|backend| *backend == mine), "{seen:?}");
        let left: Vec<&str> = BACKENDS.into_iter().filter(|b| *b != mine).collect();
        state.set("service", sticky(&left)).await.unwrap();
        let seen = inside(&state, move || spread(port, 20)).await;
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert!(!seen.contains_key(&mine));
        // And back to the usual.
        state.set("service", service(&BACKENDS)).await.unwrap();
        assert_eq!(inside(&state, move || spread(port, 60)).await.len(), 3);
        group.leave();
    });
}

#[test]
fn the_backend_with_the_fewest_connections_is_next() {
    isolated(|| async {
        let group = Group::new("fewest");
        let state = start_on(&group).await;
        group.enter();
        state.set("sandbox", sandbox()).await.unwrap();
        let fewest = |backends: &[&str]| {
            let mut rows = service(backends);
            if let Row::Service { choice, .. } = &mut rows[0] {
                *choice = Choice::Fewest;
            }
            rows
        };
        state.set("service", fewest(&BACKENDS)).await.unwrap();
        let port = inside(&state, serve).await;
        let open = move |count: usize| {
            let mut open: BTreeMap<String, Vec<TcpStream>> = BTreeMap::new();
            for _ in 0..count {
                let mut stream = TcpStream::connect((SERVICE, port)).unwrap();
                open.entry(ask(&mut stream)).or_default().push(stream);
            }
            open
        };
        let count = |open: &BTreeMap<String, Vec<TcpStream>>, backend: &str| {
            open.get(backend).map_or(0, Vec::len)
        };
        let mut held = inside(&state, move || open(30)).await;
        assert!(BACKENDS.iter().all(|b| count(&held, b) == 10), "{held:?}");
        // Those that end make room: their backend is the next, until it has as many.
        held.remove(BACKENDS[1]);
        let more = inside(&state, move || open(12)).await;
        let got = BACKENDS.map(|b| count(&more, b));
        assert!((10..=11).contains(&got[1]), "{got:?}");
        assert_eq!(got.iter().sum::<usize>(), 12);
        // What is refused counts for nobody in the end, and a restart counts on.
        let refused = move || (0..9).all(|_| TcpStream::connect((SERVICE, 1)).is_err());
        assert!(inside(&state, refused).await);
        drop((held, more));
        let state = {
            drop(state);
            start_on(&group).await
        };
        state.set("sandbox", sandbox()).await.unwrap();
        state.set("service", fewest(&BACKENDS)).await.unwrap();
        let held = inside(&state, move || open(9)).await;
        assert!(BACKENDS.iter().all(|b| count(&held, b) == 3), "{held:?}");
        // A socket that connects anew counts once; a datagram does not count at all.
        inside(&state, move || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            for _ in 0..9 {
                socket.connect((SERVICE, 9)).unwrap();
            }
            let other = UdpSocket::bind("0.0.0.0:0").unwrap();
            for _ in 0..9 {
                other.send_to(b"?", (SERVICE, 9)).unwrap();
            }
            let next = open(2);
            assert!(next.values().all(|of| of.len() == 1), "{next:?}");
            drop((socket, other));
        })
        .await;
        let next = inside(&state, move || open(3)).await;
        assert!(BACKENDS.iter().all(|b| count(&next, b) == 1), "{next:?}");
        group.leave();
    });
}

#[test]
fn datagrams_find_a_backend_and_answers_come_from_the_service() {
    isolated(|| async {
        let group = Group::new("udp");
        let state = start_on(&group).await;
        group.enter();
        state.set("sandbox", sandbox()).await.unwrap();
        state.set("service", service(&BACKENDS[..1])).await.unwrap();
        inside(&state, || {
            let server = UdpSocket::bind((BACKENDS[0], 0)).unwrap();
            let to = SocketAddr::new(ip(SERVICE), server.local_addr().unwrap().port());
            // Unconnected, connected, and of both families.
            for (bind, connect) in [("0.0.0.0:0", false), ("0.0.0.0:0", true), ("[::]:0", false)] {
                let client = UdpSocket::bind(bind).unwrap();
                let mapped = match to {
                    SocketAddr::V4(v4) if bind.starts_with('[') => {
                        SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())
                    }
                    to => to,
                };
                if connect {
                    client.connect(mapped).unwrap();
                    client.send(b"?").unwrap();
                } else {
                    client.send_to(b"?", mapped).unwrap();
                }
                let mut buf = [0; 8];
                let (_, from) = server.recv_from(&mut buf).unwrap();
                server.send_to(b"!", from).unwrap();
                let (_, from) = client.recv_from(&mut buf).unwrap();
                // A connected socket's own datagrams carry the backend's address; who asks for its peer hears the service's.
                let from = if connect {
                    client.peer_addr().unwrap()
                } else {
                    from
                };
                assert_eq!(from, mapped, "{bind} {connect}");
            }
        })
        .await;
        group.leave();
    });
}

#[test]
fn services_of_ipv6_are_balanced_as_well() {
    isolated(|| async {
        let group = Group::new("six");
        let state = start_on(&group).await;
        group.enter();
        let (own, there) = ("fd01::200", "fd01::11");
        let rows = vec![
            Row::Netns(named("c")),
            Row::Client {
                ns: named("c"),
                subnet: "fd01::/64".parse().unwrap(),
                network: NETWORK,
            },
            address(named("c"), "lo", &format!("{there}/128")),
            Row::Service {
                network: NETWORK,
                address: ip(own),
                backends: [ip(there)].into(),
                choice: Choice::Any,
            },
        ];
        state.set("all", rows).await.unwrap();
        inside(&state, move || {
            let listener = TcpListener::bind((there, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let stream = TcpStream::connect((own, port)).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            assert_eq!(accepted.local_addr().unwrap().ip(), ip(there));
            assert_eq!(stream.peer_addr().unwrap().ip(), ip(own));
            // Another address of the subnet is nobody's.
            assert!(TcpStream::connect(("fd01::201", port)).is_err());

            let server = UdpSocket::bind((there, 0)).unwrap();
            let to = SocketAddr::new(ip(own), server.local_addr().unwrap().port());
            let client = UdpSocket::bind("[::]:0").unwrap();
            client.send_to(b"?", to).unwrap();
            let mut buf = [0; 8];
            let (_, from) = server.recv_from(&mut buf).unwrap();
            server.send_to(b"!", from).unwrap();
            assert_eq!(client.recv_from(&mut buf).unwrap().1, to);
        })
        .await;
        assert_eq!(state.audit().await.unwrap(), [""; 0]);
        group.leave();
    });
}

#[test]
fn only_who_is_on_the_network_is_balanced() {
    isolated(|| async {
        let group = Group::new("other");
        let state = start_on(&group).await;
        group.enter();
        let rows = sandbox();
        let unlisted = rows
            .into_iter()
            .filter(|row| !matches!(row, Row::Client { .. }));
        state.set("sandbox", unlisted.collect()).await.unwrap();
        state.set("service", service(&BACKENDS)).await.unwrap();
        let port = inside(&state, serve).await;
        let connect = move || TcpStream::connect((SERVICE, port)).is_ok();
        assert!(!inside(&state, connect).await);
        state.set("sandbox", sandbox()).await.unwrap();
        assert!(inside(&state, connect).await);
        group.leave();
        assert!(!inside(&state, connect).await, "outside of the group");
    });
}

#[test]
fn a_restart_finds_its_programs_and_sweeps() {
    isolated(|| async {
        let group = Group::new("restart");
        let state = start_on(&group).await;
        state.set("sandbox", sandbox()).await.unwrap();
        state.set("service", service(&BACKENDS[..1])).await.unwrap();
        let gone = Ipv4Addr::new(10, 1, 0, 201);
        let stray = Row::Service {
            network: NETWORK,
            address: gone.into(),
            backends: [Ipv4Addr::new(10, 1, 0, 11).into()].into(),
            choice: Choice::Any,
        };
        state.set("stray", vec![stray]).await.unwrap();
        drop(state);

        group.enter();
        let state = start_on(&group).await;
        let port = inside(&state, serve).await;
        let reached = |to: String| inside(&state, move || TcpStream::connect((to, port)).is_ok());
        // Before anything is declared again.
        assert!(reached(SERVICE.into()).await);
        assert!(reached(gone.to_string()).await);
        state.set("sandbox", sandbox()).await.unwrap();
        state.set("service", service(&BACKENDS[..1])).await.unwrap();
        assert_eq!(state.collect().await.unwrap(), 1);
        assert!(reached(SERVICE.into()).await);
        assert!(!reached(gone.to_string()).await);
        assert_eq!(state.audit().await.unwrap(), [""; 0]);
        group.leave();
    });
}
