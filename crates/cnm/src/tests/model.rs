//! Whatever happens in whatever order: what the API shows is what a simple model says, addresses and subnets are unique and
//! none leaks, the kernel is asked for exactly what is there; and a failure, a restart or a crash at any step changes
//! nothing of that: what was under way has happened as a whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::*;
use crate::state::Entry;

/// One change, on one of a few networks and containers.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    Create(u8),
    Remove(u8),
    /// With published ports, when it is an even one.
    Run(u8),
    Stop(u8),
    Connect(u8, u8),
    Disconnect(u8, u8),
}

#[derive(Clone, Debug)]
enum Step {
    Do(Action),
    /// The daemon is killed; some containers die meanwhile.
    Restart(u8),
    /// The next change is refused by the kernel.
    Break,
    /// The daemon is killed while the action has got so far, …
    Crash(Action, usize),
    /// … and again while it starts.
    CrashAtStart(usize),
}

fn action() -> impl Strategy<Value = Action> {
    let (n, c) = (0..4u8, 0..4u8);
    prop_oneof![
        2 => n.clone().prop_map(Action::Create),
        1 => n.clone().prop_map(Action::Remove),
        3 => c.clone().prop_map(Action::Run),
        1 => c.clone().prop_map(Action::Stop),
        6 => (c.clone(), n.clone()).prop_map(|(c, n)| Action::Connect(c, n)),
        3 => (c, n).prop_map(|(c, n)| Action::Disconnect(c, n)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => action().prop_map(Step::Do),
        1 => any::<u8>().prop_map(Step::Restart),
        1 => Just(Step::Break),
        4 => (action(), 1..9usize).prop_map(|(action, at)| Step::Crash(action, at)),
        1 => (1..9usize).prop_map(Step::CrashAtStart),
    ]
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    networks: BTreeSet<String>,
    containers: BTreeMap<String, BTreeSet<String>>,
    broken: bool,
}

fn net(n: u8) -> String {
    format!("net{n}")
}

fn name(c: u8) -> String {
    format!("c{c}")
}

/// Six addresses, one of them the gateway's: five containers would not fit. Both families, and subnets out of the default
/// pools.
fn options(n: u8) -> CreateOptions {
    let subnet = format!("10.9.{n}.0/29");
    match n {
        0 | 1 => with_subnet(&subnet),
        2 => {
            let mut options = with_subnet(&subnet);
            let config = options.ipam.as_mut().and_then(|i| i.config.as_mut());
            config.unwrap().push(IPAMConfig {
                subnet: "fd09::/64".into(),
                ..IPAMConfig::default()
            });
            options.enable_ipv6 = Some(true);
            options
        }
        _ => CreateOptions::default(),
    }
}

impl Model {
    /// What the action makes of it; `None` when it is refused.
    pub fn after(&self, action: Action) -> Option<Model> {
        let mut next = self.clone();
        let done = match action {
            Action::Create(n) => next.networks.insert(net(n)),
            Action::Remove(n) => {
                let in_use = self.containers.values().any(|on| on.contains(&net(n)));
                !in_use && next.networks.remove(&net(n))
            }
            Action::Run(c) => next.containers.insert(name(c), BTreeSet::new()).is_none(),
            // Goes on past failures, and past what is not there.
            Action::Stop(c) => {
                next.containers.remove(&name(c));
                true
            }
            Action::Connect(c, n) => {
                let there = self.networks.contains(&net(n));
                let on = next.containers.get_mut(&name(c));
                there && on.is_some_and(|on| on.insert(net(n)))
            }
            Action::Disconnect(c, n) => {
                let on = next.containers.get_mut(&name(c));
                on.is_some_and(|on| on.remove(&net(n)))
            }
        };
        done.then_some(next)
    }

    /// Whose processes run.
    pub fn alive(&self) -> Vec<String> {
        self.containers.keys().map(|n| container_id(n)).collect()
    }
}

pub async fn carry_out(world: &World, action: Action) -> Result<()> {
    let c = &world.controller;
    match action {
        Action::Create(n) => c.create(&net(n), options(n)).await.map(drop),
        Action::Remove(n) => c.remove(&net(n)).await,
        Action::Run(n) => {
            let mut spec = world.spec(&name(n));
            if n % 2 == 0 {
                let ports = [("80/tcp", None), ("53/udp", None)].into();
                spec.ports = crate::published(&ports).unwrap();
            }
            c.sandbox_create(spec).await.map(drop)
        }
        Action::Stop(n) => {
            let errors = c.sandbox_remove(&container_id(&name(n))).await;
            errors.into_iter().next().map_or(Ok(()), Err)
        }
        Action::Connect(n, m) => c.connect(&container_id(&name(n)), to(&net(m))).await,
        Action::Disconnect(n, m) => c.disconnect(&container_id(&name(n)), &net(m), false).await,
    }
}

/// The daemon dies when the action has come to its `at`-th step, and starts again. Whether the action came to its end.
pub async fn crash(world: World, model: &mut Model, action: Action, at: usize) -> (World, bool) {
    let after = model.after(action).unwrap_or_else(|| model.clone());
    world.kernel.die_in.store(at, Ordering::SeqCst);
    let ended = tokio::select! {
        _ = carry_out(&world, action) => true,
        () = world.kernel.died.notified() => false,
    };
    // A container that is being made or removed has no process.
    let alive = match action {
        Action::Run(_) if !ended => model.alive(),
        _ => after.alive(),
    };
    let world = world.restart(&alive).await;
    let found = found(&world);
    assert!(
        found == *model || found == after,
        "{action:?} at {at}: {model:?} became {found:?}"
    );
    if ended {
        assert_eq!(found, after, "{action:?} had come to its end");
    }
    *model = found;
    (world, ended)
}

async fn take(world: World, model: &mut Model, step: Step) -> World {
    let broken = std::mem::take(&mut model.broken);
    match step {
        Step::Do(Action::Run(n)) if model.containers.contains_key(&name(n)) => {
            model.broken = broken;
            return world;
        }
        Step::Do(action) => {
            let refused = broken && !matches!(action, Action::Stop(_));
            let after = model.after(action).filter(|_| !refused);
            let done = carry_out(&world, action).await;
            assert_eq!(done.is_ok(), after.is_some(), "{action:?}: {done:?}");
            *model = after.unwrap_or_else(|| model.clone());
        }
        Step::Restart(dead) => {
            let die = |name: &str| dead & 1 << (name.as_bytes()[1] - b'0') != 0;
            model.containers.retain(|name, _| !die(name));
            return world.restart(&model.alive()).await;
        }
        Step::Break => {
            world.kernel.fail_in.store(1, Ordering::SeqCst);
            model.broken = true;
            return world;
        }
        Step::Crash(Action::Run(n), _) if model.containers.contains_key(&name(n)) => {
            model.broken = broken;
            return world;
        }
        Step::Crash(action, at) => {
            world.kernel.fail_in.store(0, Ordering::SeqCst);
            return crash(world, model, action, at).await.0;
        }
        Step::CrashAtStart(at) => {
            let alive = model.alive();
            return world.restart_twice(&alive, at).await;
        }
    }
    world.kernel.fail_in.store(0, Ordering::SeqCst);
    world
}

/// What is there, in the model's words.
fn found(world: &World) -> Model {
    let state = world.controller.0.state();
    let networks = state.networks.values().map(|e| e.network.name.clone());
    let networks = networks.filter(|n| n.starts_with("net")).collect();
    let name_of = |id: &String| state.network(id).map(|n| n.name.clone());
    let containers = state.records.values().map(|record| {
        let on = record
            .endpoints
            .iter()
            .map(|e| name_of(&e.network).unwrap());
        let name = record.spec.container_name.trim_start_matches('/');
        (name.to_string(), on.collect())
    });
    Model {
        networks,
        containers: containers.collect(),
        broken: false,
    }
}

pub fn check(world: &World, model: &Model) {
    let expected = Model {
        broken: false,
        ..model.clone()
    };
    assert_eq!(found(world), expected);
    let state = world.controller.0.state();
    let mut owners = BTreeSet::new();
    let mut pools = state.pools.clone();
    for entry in state.networks.values() {
        owners.insert(format!("network/{}", entry.network.id));
        let fresh = Entry::new(entry.network.clone()).addresses;
        for ((pool, space), fresh) in entry.network.pools.iter().zip(&entry.addresses).zip(fresh) {
            assert_eq!(
                pools.overlapping(&pool.subnet),
                Some(pool.subnet),
                "a subnet is not held"
            );
            pools.release(&pool.subnet);
            let endpoints = state.endpoints_on(&entry.network.id).map(|(_, e)| e);
            let taken: Vec<_> = endpoints
                .flat_map(|e| e.addresses().collect::<Vec<_>>())
                .filter(|a| pool.subnet.contains(&a.addr()))
                .collect();
            let unique: BTreeSet<_> = taken.iter().collect();
            assert_eq!(unique.len(), taken.len(), "two endpoints share an address");
            assert_eq!(
                space.used(),
                fresh.used() + taken.len() as u128,
                "an address leaked"
            );
        }
    }
    for all in ["0.0.0.0/0", "::/0"] {
        assert_eq!(
            pools.overlapping(&all.parse().unwrap()),
            None,
            "a subnet leaked"
        );
    }
    let mut ports = BTreeSet::new();
    for record in state.records.values() {
        owners.insert(format!("sandbox/{}", record.id));
        let endpoints = record
            .endpoints
            .iter()
            .map(|e| format!("endpoint/{}", e.id));
        owners.extend(endpoints);
        // Ports are published as soon as something leads to them.
        let wanted = record.spec.ports.len();
        assert_eq!(
            record.mappings.len(),
            if record.endpoints.is_empty() {
                0
            } else {
                wanted
            }
        );
        for mapping in &record.mappings {
            assert!(ports.insert(mapping.clone()), "a port is published twice");
        }
    }
    let wanted: BTreeSet<_> = world
        .kernel
        .owners
        .lock()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(wanted, owners, "the kernel is asked for something else");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn follows_the_model(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            let mut model = Model::default();
            for step in steps {
                world = take(world, &mut model, step).await;
                check(&world, &model);
            }
        });
    }
}
