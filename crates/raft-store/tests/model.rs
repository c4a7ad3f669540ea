//! Random histories on the store and on a plain map give the same, over restarts too.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use raft_store::{Error, Kind, State, Store};
use swarm_wire::pb;

#[derive(Clone, Debug)]
enum Op {
    /// Each transaction: creates, updates and removals of small ids. The flag makes it fail at its end.
    Transaction(Vec<(Verb, u8, u8)>, bool),
    Restart,
}

#[derive(Clone, Copy, Debug)]
enum Verb {
    Create,
    Update,
    Stale,
    Remove,
}

fn op() -> impl Strategy<Value = Op> {
    let verb = prop_oneof![
        Just(Verb::Create),
        Just(Verb::Update),
        Just(Verb::Stale),
        Just(Verb::Remove)
    ];
    let change = (verb, 0..6u8, 0..3u8);
    prop_oneof![
        6 => (proptest::collection::vec(change, 0..5), proptest::bool::weighted(0.1))
            .prop_map(|(changes, fails)| Op::Transaction(changes, fails)),
        1 => Just(Op::Restart),
    ]
}

/// Id to service and slot.
type Model = BTreeMap<String, (String, u64)>;

fn change(tx: &mut raft_store::Tx, verb: Verb, id: u8, service: u8) -> Result<(), Error> {
    let id = format!("t{id}");
    let stored = tx.state().tasks.get(&id).map(|task| task.as_ref().clone());
    let mut task = stored.unwrap_or_default();
    task.id.clone_from(&id);
    task.service_id = format!("s{service}");
    task.slot += 1;
    match verb {
        Verb::Create => tx.create(pb::Task { slot: 1, ..task }),
        Verb::Update => tx.update(task),
        Verb::Stale => {
            task.meta = Some(pb::Meta {
                version: Some(pb::Version { index: u64::MAX }),
                ..Default::default()
            });
            tx.update(task)
        }
        Verb::Remove => tx.remove(Kind::Task, &id),
    }
}

fn change_model(model: &mut Model, verb: Verb, id: u8, service: u8) -> Result<(), Error> {
    let (id, service) = (format!("t{id}"), format!("s{service}"));
    let stored = model.get(&id).map(|(_, slot)| *slot);
    match (verb, stored) {
        (Verb::Create, Some(_)) => return Err(Error::Exists),
        (Verb::Create, None) => model.insert(id, (service, 1)),
        (_, None) => return Err(Error::NotFound),
        (Verb::Update, Some(slot)) => model.insert(id, (service, slot + 1)),
        (Verb::Stale, Some(_)) => return Err(Error::OutOfSequence),
        (Verb::Remove, Some(_)) => model.remove(&id),
    };
    Ok(())
}

fn of_state(state: &State) -> Model {
    let entry =
        |task: &std::sync::Arc<pb::Task>| (task.id.clone(), (task.service_id.clone(), task.slot));
    state.tasks.values().map(entry).collect()
}

async fn same(ops: &[Op]) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path().into()).await.unwrap();
    let mut model = Model::new();
    for op in ops {
        match op {
            Op::Transaction(changes, fails) => {
                let mut next = model.clone();
                let mut expected = changes.iter().try_for_each(|(verb, id, service)| {
                    change_model(&mut next, *verb, *id, *service)
                });
                if *fails {
                    expected = expected.and(Err(Error::Storage("given up".into())));
                }
                let before = store.view();
                let mut watch = store.watch();
                let done = store
                    .update(|tx| {
                        for (verb, id, service) in changes {
                            change(tx, *verb, *id, *service)?;
                        }
                        match fails {
                            true => Err(Error::Storage("given up".into())),
                            false => Ok(()),
                        }
                    })
                    .await;
                assert_eq!(done, expected);
                let after = store.view();
                if expected.is_ok() {
                    model = next;
                }
                // An object that comes and goes in one transaction leaves no trace.
                match watch.try_recv() {
                    Ok(commit) => {
                        assert_eq!(commit.state.version, after.version);
                        assert_eq!(commit.changes, before.diff(&after));
                    }
                    Err(_) => assert_eq!(before.version, after.version),
                }
                assert!(watch.try_recv().is_err());
            }
            Op::Restart => {
                let before = store.view();
                store.close().await;
                store = Store::open(dir.path().into()).await.unwrap();
                assert_eq!(before.version, store.view().version);
                assert!(before.diff(&store.view()).is_empty());
            }
        }
        let state = store.view();
        assert_eq!(of_state(&state), model);
        // The index says what a search would.
        for service in ["s0", "s1", "s2"] {
            let indexed: Vec<_> = state.service_tasks(service).map(|task| &task.id).collect();
            let searched: Vec<_> = model
                .iter()
                .filter(|(_, (s, _))| s == service)
                .map(|(id, _)| id)
                .collect();
            assert_eq!(indexed, searched);
        }
    }
    store.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_store_is_a_map_that_lasts(ops in proptest::collection::vec(op(), 1..30)) {
        tokio::runtime::Runtime::new().unwrap().block_on(same(&ops));
    }

    /// What a diff tells is all that happened.
    #[test]
    fn a_diff_leads_from_one_state_to_the_other(
        first in proptest::collection::vec((0..40u8, 0..3u8), 0..60),
        second in proptest::collection::vec((0..40u8, 0..3u8, any::<bool>()), 0..20),
    ) {
        let now = std::time::SystemTime::UNIX_EPOCH;
        let mut tx = raft_store::Tx::new(State::default(), now);
        for (id, service) in first {
            let _ = change(&mut tx, Verb::Create, id, service);
        }
        let old = State::default().commit(tx).unwrap();
        let mut tx = raft_store::Tx::new(old.clone(), now);
        for (id, service, remove) in second {
            let verb = if remove { Verb::Remove } else { Verb::Update };
            let _ = change(&mut tx, verb, id, service);
        }
        let new = old.commit(tx).unwrap();
        let mut replayed = of_state(&old);
        for change in old.diff(&new) {
            match change {
                raft_store::Change::Removed(object) => { replayed.remove(object.id()); }
                raft_store::Change::Created(raft_store::Object::Task(task))
                | raft_store::Change::Updated { new: raft_store::Object::Task(task), .. } => {
                    replayed.insert(task.id.clone(), (task.service_id.clone(), task.slot));
                }
                other => panic!("{other:?}"),
            }
        }
        prop_assert_eq!(replayed, of_state(&new));
    }
}
