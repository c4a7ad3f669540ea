//! What a service's own address costs as services become more: ten backends each, balanced when a socket connects.
//!
//! `cargo bench -p netstate --bench services`, as root: in fresh namespaces, with connections on their loopback device. Each line:
//! how long all services take into the kernel; new TCP connections per second to a backend directly and through a
//! service, in turn; how long one changed backend takes; what the kernel and this process keep for each service.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot measure ends")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use common::group::{Group, start_on};
use common::{isolated, named};
use netstate::{Choice, NetState, Row};

const NETWORK: u32 = 4097;
const BACKENDS: u32 = 10;
/// The first of them; all services have the same.
const BACKEND: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
/// The first of them: on the network, and nowhere to be found but by its backends.
const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 1, 128, 1);
/// Of one figure, and of how many the median is taken.
const LONG: Duration = Duration::from_millis(400);
const ROUNDS: usize = 7;

fn main() {
    println!(
        "services   programmed   direct, conn/s   service, conn/s   ratio   one change   kernel/service   process/service"
    );
    for services in [1, 100, 1_000, 10_000] {
        // Namespaces are a thread's.
        std::thread::spawn(move || isolated(|| measure(services)))
            .join()
            .unwrap();
    }
}

async fn measure(services: u32) {
    let group = Group::new("bench");
    let state = start_on(&group).await;
    group.enter();
    state.set("sandbox", sandbox()).await.unwrap();
    let port = inside(&state, serve).await;
    let (kernel, process) = (available(), resident());
    let began = Instant::now();
    let all = (0..services).map(|i| (format!("service/{i}"), vec![row(i, BACKENDS)]));
    state.set_many(all.collect()).await.unwrap();
    let programmed = began.elapsed();
    let each = |bytes: u64| bytes as f64 / f64::from(services);
    let (kernel, process) = (
        kernel.saturating_sub(available()),
        resident().saturating_sub(process),
    );

    let (mut direct, mut through, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let d = inside(&state, move || rate(|i| nth(BACKEND, i % BACKENDS), port)).await;
        let t = inside(&state, move || rate(|i| nth(SERVICE, i % services), port)).await;
        direct.push(d);
        through.push(t);
        ratios.push(t / d);
    }
    let mut changes = Vec::new();
    for i in 0..ROUNDS as u32 {
        let one = vec![row(0, BACKENDS - 1 + i % 2)];
        let began = Instant::now();
        state.set("service/0", one).await.unwrap();
        changes.push(began.elapsed().as_secs_f64() * 1e6);
    }
    println!(
        "{services:>8}   {:>7.1} ms   {:>14.0}   {:>15.0}   {:>5.2}   {:>7.0} µs   {:>12.0} B   {:>13.0} B",
        programmed.as_secs_f64() * 1e3,
        median(direct),
        median(through),
        median(ratios),
        median(changes),
        each(kernel),
        each(process),
    );
    group.leave();
}

fn nth(first: Ipv4Addr, n: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(first) + n)
}

fn row(i: u32, backends: u32) -> Row {
    Row::Service {
        network: NETWORK,
        address: nth(SERVICE, i).into(),
        backends: (0..backends).map(|b| nth(BACKEND, b).into()).collect(),
        choice: Choice::Any,
    }
}

/// The backends are here, and so are those who connect.
fn sandbox() -> Vec<Row> {
    let ns = named("c");
    vec![
        Row::Netns(ns.clone()),
        Row::Address {
            ns: ns.clone(),
            link: "lo".into(),
            address: "10.1.0.1/17".parse().unwrap(),
        },
        Row::Client {
            ns,
            subnet: "10.1.0.0/16".parse().unwrap(),
            network: NETWORK,
        },
    ]
}

async fn inside<T: Send + 'static>(state: &NetState, f: impl FnOnce() -> T + Send + 'static) -> T {
    state.run_in(&named("c"), f).await.unwrap()
}

/// Takes every connection and drops it.
fn serve() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    port
}

/// Connections per second, each to the next address.
fn rate(to: impl Fn(u32) -> Ipv4Addr, port: u16) -> f64 {
    let began = Instant::now();
    let mut done = 0;
    while began.elapsed() < LONG {
        TcpStream::connect((to(done), port)).unwrap();
        done += 1;
    }
    f64::from(done) / began.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Bytes that the kernel could give.
fn available() -> u64 {
    figure("/proc/meminfo", "MemAvailable:")
}

/// Bytes of this process.
fn resident() -> u64 {
    figure("/proc/self/status", "VmRSS:")
}

fn figure(file: &str, key: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}
