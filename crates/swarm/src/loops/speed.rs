//! The loops on a real store.

use std::time::{Duration, Instant};

use raft_store::{Error, Store};
use swarm_wire::pb;
use swarm_wire::pb::service_spec::Mode;

use crate::control::Control;
use crate::ext::TaskExt;

fn named(name: &str) -> Option<pb::Annotations> {
    Some(pb::Annotations {
        name: name.into(),
        ..Default::default()
    })
}

fn node(id: &str) -> pb::Node {
    pb::Node {
        id: id.into(),
        spec: Some(pb::NodeSpec::default()),
        status: Some(pb::NodeStatus {
            state: pb::node_status::State::Ready.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Moves every task of this service to RUNNING as an agent would: a report for each state, all tasks of a moment in one.
async fn run_agents(store: &Store, service: &str) {
    let states = [
        pb::TaskState::Accepted,
        pb::TaskState::Preparing,
        pb::TaskState::Ready,
        pb::TaskState::Starting,
        pb::TaskState::Running,
    ];
    for state in states {
        let reported: Result<(), Error> = store
            .update(|tx| {
                let tasks: Vec<_> = tx.state().service_tasks(service).cloned().collect();
                for task in tasks {
                    let mut task = task.as_ref().clone();
                    task.status.get_or_insert_default().set_state(state);
                    tx.update(task)?;
                }
                Ok(())
            })
            .await;
        reported.unwrap();
    }
}

#[tokio::test]
async fn twenty_replicas_are_placed_at_once_and_found_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().into()).await.unwrap();
    let loops = super::spawn(store.clone());
    let nodes: Result<(), Error> = store
        .update(|tx| {
            ["a", "b", "c"]
                .iter()
                .try_for_each(|id| tx.create(node(id)))
        })
        .await;
    nodes.unwrap();
    let control = Control::new(store.clone());
    let network = pb::NetworkSpec {
        annotations: named("net"),
        ..Default::default()
    };
    let network = control.create_network(network).await.unwrap();
    let spec = pb::ServiceSpec {
        annotations: named("web"),
        task: Some(pb::TaskSpec {
            networks: vec![pb::NetworkAttachmentConfig {
                target: network.id.clone(),
                ..Default::default()
            }],
            runtime: Some(pb::task_spec::Runtime::Container(pb::ContainerSpec {
                image: "busybox".into(),
                ..Default::default()
            })),
            ..Default::default()
        }),
        mode: Some(Mode::Replicated(pb::ReplicatedService { replicas: 20 })),
        ..Default::default()
    };
    let mut commits = store.watch();
    let started = Instant::now();
    let service = control.create_service(spec).await.unwrap();
    let placed = |state: &raft_store::State| {
        let tasks = state.service_tasks(&service.id);
        tasks
            .filter(|task| task.observed() == pb::TaskState::Assigned)
            .count()
    };
    let all = tokio::time::timeout(Duration::from_secs(10), async {
        while placed(&commits.recv().await.unwrap().state) < 20 {}
    });
    all.await.unwrap();
    println!("20 replicas placed after {:?}", started.elapsed());
    run_agents(&store, &service.id).await;
    println!("and running after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(1));

    loops.stop().await;
    let before = store.view();
    store.close().await;
    let store = Store::open(dir.path().into()).await.unwrap();
    let loops = super::spawn(store.clone());
    let quiet: Result<(), Error> = store.update(|_| Ok(())).await;
    quiet.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(
        before.diff(&store.view()).is_empty(),
        "a restart changed something"
    );
    loops.stop().await;
    store.close().await;
}
