//! Whatever happens in whatever order: what the API shows is what a simple model says, addresses are unique, the kernel
//! is asked for exactly what is there, and a failure or a restart changes nothing of that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Create(u8),
    Remove(u8),
    Run(u8),
    Stop(u8),
    Connect(u8, u8),
    Disconnect(u8, u8),
    /// The daemon is killed; some containers die meanwhile.
    Restart(u8),
    /// The next change is refused by the kernel.
    Break,
}

fn step() -> impl Strategy<Value = Step> {
    let (n, c) = (0..3u8, 0..4u8);
    prop_oneof![
        2 => n.clone().prop_map(Step::Create),
        1 => n.clone().prop_map(Step::Remove),
        3 => c.clone().prop_map(Step::Run),
        1 => c.clone().prop_map(Step::Stop),
        6 => (c.clone(), n.clone()).prop_map(|(c, n)| Step::Connect(c, n)),
        3 => (c, n).prop_map(|(c, n)| Step::Disconnect(c, n)),
        1 => any::<u8>().prop_map(Step::Restart),
        1 => Just(Step::Break),
    ]
}

#[derive(Default)]
struct Model {
    networks: BTreeSet<String>,
    containers: BTreeMap<String, BTreeSet<String>>,
    broken: bool,
}

/// Six addresses each, one of them the gateway's: five containers would not fit.
fn subnet(n: u8) -> String {
    format!("10.9.{n}.0/29")
}

async fn take(world: World, model: &mut Model, step: Step) -> World {
    let net = |n: u8| format!("net{n}");
    let name = |c: u8| format!("c{c}");
    let broken = std::mem::take(&mut model.broken);
    let c = world.controller.clone();
    match step {
        Step::Create(n) => {
            let made = c.create(&net(n), with_subnet(&subnet(n))).await;
            let expected = !model.networks.contains(&net(n)) && !broken;
            assert_eq!(made.is_ok(), expected, "{made:?}");
            if expected {
                model.networks.insert(net(n));
            }
        }
        Step::Remove(n) => {
            let in_use = model.containers.values().any(|on| on.contains(&net(n)));
            let removed = c.remove(&net(n)).await;
            let expected = model.networks.contains(&net(n)) && !in_use && !broken;
            assert_eq!(removed.is_ok(), expected, "{removed:?}");
            if expected {
                model.networks.remove(&net(n));
            }
        }
        Step::Run(n) => {
            if model.containers.contains_key(&name(n)) {
                model.broken = broken;
                return world;
            }
            let made = c.sandbox_create(world.spec(&name(n))).await;
            assert_eq!(made.is_ok(), !broken, "{made:?}");
            if !broken {
                model.containers.insert(name(n), BTreeSet::new());
            }
        }
        Step::Stop(n) => {
            // Goes on past failures.
            let errors = c.sandbox_remove(&container_id(&name(n))).await;
            assert!(errors.is_empty(), "{errors:?}");
            model.containers.remove(&name(n));
        }
        Step::Connect(n, m) => {
            let made = c.connect(&container_id(&name(n)), to(&net(m))).await;
            let on = model.containers.get_mut(&name(n));
            let fits = on.as_ref().is_some_and(|on| !on.contains(&net(m)));
            let expected = fits && model.networks.contains(&net(m)) && !broken;
            assert_eq!(made.is_ok(), expected, "{made:?}");
            if let (true, Some(on)) = (expected, on) {
                on.insert(net(m));
            }
        }
        Step::Disconnect(n, m) => {
            let made = c.disconnect(&container_id(&name(n)), &net(m), false).await;
            let on = model.containers.get_mut(&name(n));
            let there = on.as_ref().is_some_and(|on| on.contains(&net(m)));
            assert_eq!(made.is_ok(), there && !broken, "{made:?}");
            if let (true, Some(on)) = (there && !broken, on) {
                on.remove(&net(m));
            }
        }
        Step::Restart(dead) => {
            drop(c);
            let die = |name: &str| dead & 1 << (name.as_bytes()[1] - b'0') != 0;
            model.containers.retain(|name, _| !die(name));
            let alive: Vec<_> = model.containers.keys().map(|n| container_id(n)).collect();
            return world.restart(&alive).await;
        }
        Step::Break => {
            world.kernel.fail_in.store(1, Ordering::SeqCst);
            model.broken = true;
            return world;
        }
    }
    world.kernel.fail_in.store(0, Ordering::SeqCst);
    world
}

fn check(world: &World, model: &Model) {
    let state = world.controller.0.state();
    let networks = state.networks.values().map(|e| e.network.name.clone());
    let mut expected = model.networks.clone();
    expected.extend(["bridge", "host", "none"].map(String::from));
    assert_eq!(networks.collect::<BTreeSet<_>>(), expected);

    let mut owners = BTreeSet::new();
    for entry in state.networks.values() {
        owners.insert(format!("network/{}", entry.network.id));
        let used: BTreeSet<_> = state
            .endpoints_on(&entry.network.id)
            .flat_map(|(_, e)| e.ipv4)
            .collect();
        let count = state.endpoints_on(&entry.network.id).count();
        if let Some(space) = entry.addresses.first() {
            assert_eq!(used.len(), count, "two endpoints share an address");
            let fresh = Entry::new(entry.network.clone()).addresses[0].used();
            assert_eq!(space.used(), fresh + count as u128, "an address leaked");
        }
    }
    for (name, on) in &model.containers {
        let record = &state.records[&container_id(name)];
        owners.insert(format!("sandbox/{}", record.id));
        owners.extend(
            record
                .endpoints
                .iter()
                .map(|e| format!("endpoint/{}", e.id)),
        );
        let names = record
            .endpoints
            .iter()
            .map(|e| state.network(&e.network).unwrap().name.clone());
        assert_eq!(&names.collect::<BTreeSet<_>>(), on);
    }
    assert_eq!(state.records.len(), model.containers.len());
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

use crate::state::Entry;

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
