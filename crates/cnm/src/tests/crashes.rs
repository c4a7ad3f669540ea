//! `kill -9` at every step of every change: what the kernel was asked for and what was stored go on from there.

use super::model::{Action, Model, carry_out, check, crash};
use super::*;

/// Three networks, one of both families, one that nobody is on; two containers that are on them, the first with published ports.
const BEFORE: [Action; 8] = [
    Action::Create(0),
    Action::Create(2),
    Action::Create(3),
    Action::Run(0),
    Action::Run(1),
    Action::Connect(0, 0),
    Action::Connect(1, 0),
    Action::Connect(1, 2),
];

async fn prepared() -> (World, Model) {
    let world = World::new().await;
    let mut model = Model::default();
    for action in BEFORE {
        carry_out(&world, action).await.unwrap();
        model = model.after(action).unwrap();
    }
    check(&world, &model);
    (world, model)
}

/// More steps than any change has.
const MANY: usize = 40;

async fn at_every_step(action: Action, least: usize) {
    let mut crashes = 0;
    for at in 1..MANY {
        let (world, mut model) = prepared().await;
        let (world, ended) = crash(world, &mut model, action, at).await;
        check(&world, &model);
        // What had not come to its end can be done now, and all of it can be undone.
        if let Some(after) = model.after(action) {
            carry_out(&world, action).await.unwrap();
            model = after;
            check(&world, &model);
        }
        for undo in [Action::Stop(0), Action::Stop(1), Action::Stop(2)] {
            carry_out(&world, undo).await.unwrap();
            model = model.after(undo).unwrap();
        }
        for n in 0..4 {
            if let Some(after) = model.after(Action::Remove(n)) {
                carry_out(&world, Action::Remove(n)).await.unwrap();
                model = after;
            }
        }
        check(&world, &model);
        assert_eq!(model, Model::default());
        if ended {
            break;
        }
        crashes += 1;
    }
    assert!(
        (least..MANY - 1).contains(&crashes),
        "{action:?}: {crashes} steps"
    );
}

#[tokio::test]
async fn create_and_remove_a_network() {
    // The host's routes are read, and the kernel is changed; a step is before and behind each.
    at_every_step(Action::Create(1), 4).await;
    // Nobody is on that one.
    at_every_step(Action::Remove(3), 2).await;
}

#[tokio::test]
async fn make_and_remove_a_sandbox() {
    at_every_step(Action::Run(2), 2).await;
    at_every_step(Action::Stop(0), 2).await;
    at_every_step(Action::Stop(1), 2).await;
}

#[tokio::test]
async fn connect_and_disconnect() {
    at_every_step(Action::Connect(0, 2), 2).await;
    at_every_step(Action::Disconnect(1, 2), 2).await;
    // The last network goes, and the published ports with it.
    at_every_step(Action::Disconnect(0, 0), 2).await;
}
