//! What is measured, against whom, and what the issues ask of it.

use anyhow::Result;

use crate::balance::{self, Way};
use crate::report::Aim::{self, AtLeast, AtMost};
use crate::world::Engine::{Docker, Podman, Pontoon};
use crate::world::{Engine, Engines, World};
use crate::{bridge, crowd, dns, memory, mixed, publish, service, start, traffic};

pub type Take = fn(&World) -> Result<f64>;

/// One figure: what it is called, how often it is taken, and how.
#[derive(Clone, Copy)]
pub struct Measure {
    pub name: &'static str,
    pub unit: &'static str,
    /// What is asked of the ratio of ours to another's.
    pub aim: Aim,
    pub rounds: usize,
    pub take: Take,
    /// Pontoon alone, or a swarm of both.
    pub ours: Engines,
    /// What ours stands against.
    pub others: &'static [Other],
    /// The other's part is IPVS, which not every kernel has.
    pub needs_ipvs: bool,
}

#[derive(Clone, Copy)]
pub enum Other {
    Engine(Engine),
    /// Ours as well, but on this way.
    Ours(&'static str, Take),
}

impl Other {
    pub fn name(self) -> String {
        match self {
            Self::Engine(engine) => format!("{engine:?}"),
            Self::Ours(way, _) => way.to_owned(),
        }
    }
}

const fn measure(
    name: &'static str,
    unit: &'static str,
    aim: Aim,
    rounds: usize,
    take: Take,
) -> Measure {
    Measure {
        name,
        unit,
        aim,
        rounds,
        take,
        ours: [Pontoon; 2],
        others: &[Other::Engine(Docker)],
        needs_ipvs: false,
    }
}

impl Measure {
    const fn and_podman(self) -> Self {
        Self {
            others: &[Other::Engine(Docker), Other::Engine(Podman)],
            ..self
        }
    }

    const fn against(self, others: &'static [Other]) -> Self {
        Self { others, ..self }
    }

    const fn ipvs(self) -> Self {
        Self {
            needs_ipvs: true,
            ..self
        }
    }

    /// The engine of h1, and the one of h2.
    const fn mixed(self, ours: Engines) -> Self {
        Self { ours, ..self }
    }
}

const THIRD: Aim = AtMost(1.0 / 3.0);
const FIFTH: Aim = AtMost(0.2);

#[rustfmt::skip] // A table: one line each.
pub const MEASURES: &[Measure] = &[
    // Two hosts, one network.
    measure("overlay throughput, TCP", "Gbit/s", AtLeast(1.0), 15, traffic::overlay),
    measure("overlay round trip", "µs", AtMost(1.0), 5, traffic::round_trip),
    measure("docker run -d on an overlay, returns", "ms", THIRD, 11, start::returns),
    measure("docker run -d on an overlay, first ping", "ms", THIRD, 11, start::first_ping),
    measure("service of 4 replicas, all running", "ms", THIRD, 5, service::four),
    measure("service of 20 replicas, all running", "ms", THIRD, 3, service::twenty),
    measure("engine with one container, resident", "MiB", FIFTH, 3, memory::resident),
    // Names.
    measure("resolver, own names", "queries/s", AtLeast(2.0), 5, |w| Ok(dns::own(w)?.rate)).and_podman(),
    measure("resolver, own names, p99", "µs", AtMost(0.5), 5, |w| Ok(dns::own(w)?.p99)).and_podman(),
    measure("resolver, the world's names", "queries/s", AtLeast(2.0), 5, |w| Ok(dns::foreign(w)?.rate)).and_podman(),
    measure("resolver, the world's names, p99", "µs", AtMost(0.5), 5, |w| Ok(dns::foreign(w)?.p99)).and_podman(),
    // One host.
    measure("bridge throughput, TCP", "Gbit/s", AtLeast(1.0), 9, traffic::bridge).and_podman(),
    measure("throughput to a published port, TCP", "Gbit/s", AtLeast(1.0), 9, traffic::published).and_podman(),
    measure("network's part of a start", "ms", FIFTH, 5, bridge::part_of_start),
    measure("connect to a bridge, p50", "ms", FIFTH, 3, |w| bridge::alone(w, 25, 50)).and_podman(),
    measure("connect to a bridge, p99", "ms", FIFTH, 3, |w| bridge::alone(w, 100, 99)),
    measure("100 connect to a bridge at once, p50", "ms", FIFTH, 2, |w| crowd::at_once(w, 50)),
    measure("100 connect to a bridge at once, p99", "ms", FIFTH, 2, |w| crowd::at_once(w, 99)),
    measure("connect beside 1,000 endpoints, p50", "ms", FIFTH, 3, |w| crowd::beside(w, 50)),
    measure("connect beside 1,000 endpoints, p99", "ms", FIFTH, 3, |w| crowd::beside(w, 99)),
    measure("start with 1,000 published ports", "ms", FIFTH, 1, publish::start),
    measure("1,000 published ports, private memory", "MiB", FIFTH, 1, publish::memory),
    // Services: ours against ours without a service, and against Docker's.
    measure("to a service's address, TCP", "Gbit/s", AtLeast(0.97), 9, |w| balance::throughput(w, Way::Service))
        .against(&[Other::Ours("its task", |w| balance::throughput(w, Way::Task))]),
    measure("to a service's address, round trip", "µs", AtMost(1.03), 5, |w| balance::round_trip(w, Way::Service))
        .against(&[Other::Ours("its task", |w| balance::round_trip(w, Way::Task))]),
    measure("to a port of the mesh, TCP", "Gbit/s", AtLeast(0.97), 9, |w| balance::throughput(w, Way::Mesh))
        .against(&[Other::Ours("container", |w| balance::throughput(w, Way::Published))]),
    measure("to a port of the mesh, round trip", "µs", AtMost(1.03), 5, |w| balance::round_trip(w, Way::Mesh))
        .against(&[Other::Ours("container", |w| balance::round_trip(w, Way::Published))]),
    measure("a service's address, against IPVS, TCP", "Gbit/s", AtLeast(1.0), 5, |w| balance::throughput(w, Way::Service)).ipvs(),
    measure("a service's address, against IPVS, round trip", "µs", AtMost(1.0), 5, |w| balance::round_trip(w, Way::Service)).ipvs(),
    measure("a service's address, against IPVS, new connections", "1/s", AtLeast(1.0), 11, |w| balance::connections(w, Way::Service)).ipvs(),
    measure("a port of the mesh, against IPVS, TCP", "Gbit/s", AtLeast(1.0), 5, |w| balance::throughput(w, Way::Mesh)).ipvs(),
    measure("a port of the mesh, against IPVS, round trip", "µs", AtMost(1.0), 5, |w| balance::round_trip(w, Way::Mesh)).ipvs(),
    measure("a port of the mesh, against IPVS, new connections", "1/s", AtLeast(1.0), 11, |w| balance::connections(w, Way::Mesh)).ipvs(),
    measure("a service's address, one of 100, against IPVS, TCP", "Gbit/s", AtLeast(1.0), 5, |w| balance::among_many(w, |w| balance::throughput(w, Way::Service))).ipvs(),
    measure("a service's address, one of 100, against IPVS, round trip", "µs", AtMost(1.0), 5, |w| balance::among_many(w, |w| balance::round_trip(w, Way::Service))).ipvs(),
    measure("a service's address, one of 100, against IPVS, new connections", "1/s", AtLeast(1.0), 5, |w| balance::among_many(w, |w| balance::connections(w, Way::Service))).ipvs(),
    measure("a port of the mesh, one of 100, against IPVS, TCP", "Gbit/s", AtLeast(1.0), 5, |w| balance::among_many(w, |w| balance::throughput(w, Way::Mesh))).ipvs(),
    measure("a port of the mesh, one of 100, against IPVS, round trip", "µs", AtMost(1.0), 5, |w| balance::among_many(w, |w| balance::round_trip(w, Way::Mesh))).ipvs(),
    measure("a port of the mesh, one of 100, against IPVS, new connections", "1/s", AtLeast(1.0), 5, |w| balance::among_many(w, |w| balance::connections(w, Way::Mesh))).ipvs(),
    // Swarms of both.
    measure("service on Pontoon, first ping from Docker", "ms", AtMost(1.0), 7, mixed::first_ping).mixed([Pontoon, Docker]),
    measure("service on Docker, first ping from Pontoon", "ms", AtMost(1.0), 7, mixed::first_ping).mixed([Docker, Pontoon]),
    measure("row of a Pontoon node on a Docker node", "ms", AtMost(1.0), 7, mixed::row).mixed([Pontoon, Docker]),
    measure("row of a Docker node on a Pontoon node", "ms", AtMost(1.0), 7, mixed::row).mixed([Docker, Pontoon]),
];
