//! The store on disk: transactions, watching, restarts and crashes.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use raft_store::{Change, Error, Kind, Object, Store};
use swarm_wire::pb;

fn task(id: &str, service: &str) -> pb::Task {
    pb::Task {
        id: id.into(),
        service_id: service.into(),
        ..Default::default()
    }
}

async fn create(store: &Store, id: &str) -> Result<(), Error> {
    store.update(|tx| tx.create(task(id, "s"))).await
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::copy(from.join("store.redb"), to.join("store.redb")).unwrap();
}

#[tokio::test]
async fn an_object_goes_through_its_life() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("raft")).await.unwrap();
    create(&store, "a").await.unwrap();
    assert_eq!(create(&store, "a").await, Err(Error::Exists));
    let first = store.view().tasks["a"].as_ref().clone();
    let version = first.meta.as_ref().unwrap().version.unwrap().index;
    assert_eq!(version, store.view().version);
    assert!(first.meta.as_ref().unwrap().created_at.is_some());

    let mut changed = first.clone();
    changed.slot = 3;
    store.update(|tx| tx.update(changed.clone())).await.unwrap();
    let late: Result<(), Error> = store.update(|tx| tx.update(first.clone())).await;
    assert_eq!(late, Err(Error::OutOfSequence));
    assert_eq!(store.view().tasks["a"].slot, 3);
    assert_eq!(
        store.view().tasks["a"]
            .meta
            .as_ref()
            .unwrap()
            .version
            .unwrap()
            .index,
        store.view().version
    );
    assert_eq!(store.view().service_tasks("s").count(), 1);

    let remove = |tx: &mut raft_store::Tx| tx.remove(Kind::Task, "a");
    store.update(remove).await.unwrap();
    assert_eq!(store.update(remove).await, Err(Error::NotFound));
    assert_eq!(store.view().service_tasks("s").count(), 0);
    store.close().await;
}

#[tokio::test]
async fn a_failed_transaction_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().into()).await.unwrap();
    let before = store.view().version;
    let failed: Result<(), Error> = store
        .update(|tx| {
            tx.create(task("a", "s"))?;
            tx.create(task("a", "s"))
        })
        .await;
    assert_eq!(failed, Err(Error::Exists));
    let nothing: Result<(), Error> = store.update(|_| Ok(())).await;
    nothing.unwrap();
    assert_eq!(store.view().version, before);
    assert!(store.view().tasks.is_empty());
    store.close().await;
}

#[tokio::test]
async fn files_are_private_and_locked_until_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("raft");
    let store = Store::open(path.clone()).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("store.redb")), 0o600);
    let error = Store::open(path.clone()).await.err().unwrap().to_string();
    assert!(error.contains("already open"), "{error}");

    let clone = store.clone();
    store.close().await;
    assert!(create(&clone, "late").await.is_err());
    Store::open(path).await.unwrap().close().await;
}

#[tokio::test]
async fn concurrent_transactions_are_serial() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().into()).await.unwrap();
    create(&store, "counter").await.unwrap();
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = store.clone();
        workers.spawn(async move {
            for _ in 0..5 {
                let done: Result<(), Error> = store
                    .update(|tx| {
                        let mut counter = tx.state().tasks["counter"].as_ref().clone();
                        counter.slot += 1;
                        tx.update(counter)
                    })
                    .await;
                done.unwrap();
            }
        });
    }
    workers.join_all().await;
    assert_eq!(store.view().tasks["counter"].slot, 100);
    store.close().await;
}

/// A caller that goes away lets go of its turn while its commit is under way: the next one must not undo it.
#[tokio::test]
async fn a_dropped_update_is_not_lost_or_half_done() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().into()).await.unwrap();
    create(&store, "counter").await.unwrap();
    let mut least = 0;
    for round in 0..60u64 {
        let add = || {
            store.update(|tx| {
                let mut counter = tx.state().tasks["counter"].as_ref().clone();
                counter.slot += 1;
                tx.update(counter)
            })
        };
        let hasty = tokio::time::timeout(Duration::from_micros(round * 20), add()).await;
        least += u64::from(hasty.is_ok());
        let done: Result<(), Error> = add().await;
        done.unwrap();
        least += 1;
    }
    let slot = store.view().tasks["counter"].slot;
    assert!((least..=120).contains(&slot), "{least} <= {slot} <= 120");
    store.close().await;
}

#[tokio::test]
async fn watch_delivers_each_commit_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().into()).await.unwrap();
    let mut watch = store.watch();
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..50 {
        let store = store.clone();
        writers.spawn(async move { create(&store, &format!("t{n}")).await.unwrap() });
    }
    writers.join_all().await;
    let (mut version, mut seen) = (0, std::collections::BTreeSet::new());
    for _ in 0..50 {
        let commit = watch.try_recv().unwrap();
        assert!(commit.state.version > version);
        version = commit.state.version;
        let [Change::Created(Object::Task(task))] = commit.changes.as_slice() else {
            panic!("{:?}", commit.changes);
        };
        assert!(commit.state.tasks.contains_key(&task.id));
        assert!(seen.insert(task.id.clone()));
    }
    assert!(watch.try_recv().is_err());
    store.close().await;
}

#[tokio::test]
async fn a_restart_finds_everything() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().into()).await.unwrap();
    for n in 0..10 {
        create(&store, &format!("t{n}")).await.unwrap();
    }
    let before = store.view();
    store.close().await;
    for _ in 0..3 {
        let store = Store::open(dir.path().into()).await.unwrap();
        assert_eq!(store.view().version, before.version);
        assert!(before.diff(&store.view()).is_empty());
        assert_eq!(store.view().service_tasks("s").count(), 10);
        store.close().await;
    }
}

/// Snapshots replace the log; what was purged comes back out of them.
#[tokio::test]
async fn a_long_history_is_compacted_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().into()).await.unwrap();
    create(&store, "keep").await.unwrap();
    create(&store, "counter").await.unwrap();
    for _ in 0..4200 {
        let done: Result<(), Error> = store
            .update(|tx| {
                let mut counter = tx.state().tasks["counter"].as_ref().clone();
                counter.slot += 1;
                tx.update(counter)
            })
            .await;
        done.unwrap();
    }
    let before = store.view();
    store.close().await;
    let store = Store::open(dir.path().into()).await.unwrap();
    assert!(before.diff(&store.view()).is_empty());
    assert_eq!(before.version, store.view().version);
    create(&store, "after").await.unwrap();
    store.close().await;
}

/// What lies on disk at any moment (all that is left after a kill) holds every update that has returned.
#[tokio::test]
async fn a_crash_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live");
    let store = Store::open(live.clone()).await.unwrap();
    for n in 0..8 {
        create(&store, &format!("t{n}")).await.unwrap();
        let image = dir.path().join(format!("image{n}"));
        copy(&live, &image);
        let found = Store::open(image).await.unwrap();
        assert_eq!(found.view().tasks.len(), n + 1);
        create(&found, "more").await.unwrap();
        found.close().await;
    }
    store.close().await;
}

#[test]
fn a_store_that_is_dropped_without_closing_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..3 {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = Store::open(dir.path().into()).await.unwrap();
            assert_eq!(store.view().tasks.len(), n);
            create(&store, &format!("t{n}")).await.unwrap();
        });
        drop(runtime);
    }
}

#[tokio::test]
async fn a_damaged_file_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("raft");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("store.redb"), vec![7u8; 8192]).unwrap();
    let error = Store::open(path).await.err().unwrap().to_string();
    assert!(error.contains("store.redb"), "{error}");

    // Cut off in the middle.
    let good = dir.path().join("good");
    let store = Store::open(good.clone()).await.unwrap();
    create(&store, "a").await.unwrap();
    store.close().await;
    let bytes = std::fs::read(good.join("store.redb")).unwrap();
    std::fs::write(good.join("store.redb"), &bytes[..bytes.len() / 3]).unwrap();
    let error = Store::open(good).await.err().unwrap().to_string();
    assert!(error.contains("store.redb"), "{error}");
}

#[tokio::test]
async fn one_update_is_quick() {
    let dir = tempfile::tempdir().unwrap();
    let started = std::time::Instant::now();
    let store = Store::open(dir.path().into()).await.unwrap();
    println!("open: {:?}", started.elapsed());
    let mut times = Vec::new();
    for n in 0..50 {
        let started = std::time::Instant::now();
        create(&store, &format!("t{n}")).await.unwrap();
        times.push(started.elapsed());
    }
    times.sort();
    println!("update: median {:?}, worst {:?}", times[25], times[49]);
    // Wide enough for a busy machine; what it is about is that no timer sits in the path.
    assert!(times[25] < Duration::from_millis(50), "{:?}", times[25]);
    store.close().await;
}
