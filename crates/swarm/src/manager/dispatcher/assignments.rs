//! What one node was told to run, and how that differs from what it should.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use raft_store::State;
use swarm_wire::pb;
use swarm_wire::pb::assignment::Item;
use swarm_wire::pb::assignment_change::AssignmentAction;
use swarm_wire::pb::{ResourceType, TaskState, task_spec::Runtime};

pub(super) struct Assignments {
    node_id: String,
    tasks: BTreeMap<String, Arc<pb::Task>>,
    /// Secrets and configs that were sent, by kind and id.
    dependencies: BTreeSet<(ResourceType, String)>,
    /// Number of messages so far: the last one's `results_in`.
    sequence: u64,
}

impl Assignments {
    pub fn new(node_id: &str) -> Self {
        Self {
            node_id: node_id.to_owned(),
            tasks: BTreeMap::new(),
            dependencies: BTreeSet::new(),
            sequence: 0,
        }
    }

    /// The next message of the stream: COMPLETE at first, then INCREMENTAL when the node has something to learn.
    pub fn message(&mut self, state: &State) -> Option<pb::AssignmentsMessage> {
        use pb::assignments_message::Type;

        let changes = self.changes(state);
        let (kind, applies_to) = match self.sequence {
            0 => (Type::Complete, String::new()),
            _ if changes.is_empty() => return None,
            last => (Type::Incremental, last.to_string()),
        };
        self.sequence += 1;
        Some(pb::AssignmentsMessage {
            r#type: kind.into(),
            applies_to,
            results_in: self.sequence.to_string(),
            changes,
        })
    }

    fn changes(&mut self, state: &State) -> Vec<pb::AssignmentChange> {
        let mut changes = Vec::new();
        let mut current = BTreeMap::new();
        for task in state.node_tasks(&self.node_id) {
            if state_of(task) < TaskState::Assigned as i32 {
                continue;
            }
            let old = self.tasks.get(&task.id);
            if !old.is_some_and(|old| nothing_to_do(old, task)) {
                changes.push(update(Item::Task(pb::Task::clone(task))));
            }
            current.insert(task.id.clone(), task.clone());
        }
        let gone = self.tasks.keys().filter(|id| !current.contains_key(*id));
        changes.extend(gone.map(|id| {
            remove(Item::Task(pb::Task {
                id: id.clone(),
                ..Default::default()
            }))
        }));
        self.tasks = current;
        self.dependency_changes(state, &mut changes);
        changes
    }

    /// A secret or config is on a node from the first task there that uses it until the last one ends.
    fn dependency_changes(&mut self, state: &State, changes: &mut Vec<pb::AssignmentChange>) {
        let running = |task: &&Arc<pb::Task>| state_of(task) <= TaskState::Running as i32;
        let tasks = self.tasks.values().filter(running);
        let mut wanted: BTreeSet<_> = tasks.flat_map(|task| references(task)).collect();
        for key in self.dependencies.difference(&wanted) {
            let id = key.1.clone();
            changes.push(remove(match key.0 {
                ResourceType::Secret => Item::Secret(pb::Secret {
                    id,
                    ..Default::default()
                }),
                _ => Item::Config(pb::Config {
                    id,
                    ..Default::default()
                }),
            }));
        }
        wanted.retain(|key| {
            if self.dependencies.contains(key) {
                return true;
            }
            let item = match key.0 {
                ResourceType::Secret => {
                    let secret = state.secrets.get(&key.1);
                    secret.map(|secret| Item::Secret(pb::Secret::clone(secret)))
                }
                _ => {
                    let config = state.configs.get(&key.1);
                    config.map(|config| Item::Config(pb::Config::clone(config)))
                }
            };
            let found = item.is_some();
            changes.extend(item.map(update));
            found
        });
        self.dependencies = wanted;
    }
}

fn state_of(task: &pb::Task) -> i32 {
    task.status.as_ref().map_or(0, |status| status.state)
}

/// The node itself reports states above ASSIGNED: that alone is no news to it.
fn nothing_to_do(old: &Arc<pb::Task>, new: &Arc<pb::Task>) -> bool {
    let bare = |task: &pb::Task| pb::Task {
        status: None,
        meta: None,
        ..task.clone()
    };
    Arc::ptr_eq(old, new) || state_of(new) > TaskState::Assigned as i32 && bare(old) == bare(new)
}

fn references(task: &pb::Task) -> Vec<(ResourceType, String)> {
    let Some(spec) = &task.spec else {
        return Vec::new();
    };
    let resources = spec.resource_references.iter();
    let mut found: Vec<_> = resources
        .filter(|r| {
            matches!(
                r.resource_type(),
                ResourceType::Secret | ResourceType::Config
            )
        })
        .map(|r| (r.resource_type(), r.resource_id.clone()))
        .collect();
    if let Some(Runtime::Container(container)) = &spec.runtime {
        let secrets = container.secrets.iter().map(|r| r.secret_id.clone());
        found.extend(secrets.map(|id| (ResourceType::Secret, id)));
        let configs = container.configs.iter().map(|r| r.config_id.clone());
        found.extend(configs.map(|id| (ResourceType::Config, id)));
    }
    found
}

fn update(item: Item) -> pb::AssignmentChange {
    change(item, AssignmentAction::Update)
}

fn remove(item: Item) -> pb::AssignmentChange {
    change(item, AssignmentAction::Remove)
}

fn change(item: Item, action: AssignmentAction) -> pb::AssignmentChange {
    pb::AssignmentChange {
        assignment: Some(pb::Assignment { item: Some(item) }),
        action: action.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use raft_store::{Kind, Tx};

    use super::*;

    fn commit(state: &State, write: impl FnOnce(&mut Tx)) -> State {
        let mut tx = Tx::new(state.clone(), SystemTime::UNIX_EPOCH);
        write(&mut tx);
        state.commit(tx).unwrap()
    }

    fn task(id: &str, state: TaskState) -> pb::Task {
        pb::Task {
            id: id.into(),
            node_id: "n".into(),
            spec: Some(pb::TaskSpec {
                runtime: Some(Runtime::Container(pb::ContainerSpec {
                    secrets: vec![pb::SecretReference {
                        secret_id: "s".into(),
                        ..Default::default()
                    }],
                    ..Default::default()
                })),
                ..Default::default()
            }),
            status: Some(pb::TaskStatus {
                state: state.into(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn edit(tx: &mut Tx, id: &str, edit: impl FnOnce(&mut pb::Task)) {
        let mut task = pb::Task::clone(&tx.state().tasks[id]);
        edit(&mut task);
        tx.update(task).unwrap();
    }

    /// `+t` for an update of task t, `-t` for its removal; secrets in capitals.
    fn told(message: Option<pb::AssignmentsMessage>) -> String {
        let Some(message) = message else {
            return "nothing".into();
        };
        let words = message.changes.into_iter().map(|change| {
            let sign = match change.action() {
                AssignmentAction::Update => '+',
                AssignmentAction::Remove => '-',
            };
            match change.assignment.unwrap().item.unwrap() {
                Item::Task(task) => format!("{sign}{}", task.id),
                Item::Secret(secret) => format!("{sign}{}", secret.id.to_uppercase()),
                other => panic!("{other:?}"),
            }
        });
        let words: Vec<_> = words.collect();
        format!(
            "{}>{} {}",
            message.applies_to,
            message.results_in,
            words.join(" ")
        )
    }

    #[test]
    fn complete_then_only_what_changed() {
        let mut set = Assignments::new("n");
        let state = commit(&State::default(), |tx| {
            tx.create(pb::Secret {
                id: "s".into(),
                ..Default::default()
            })
            .unwrap();
            tx.create(task("a", TaskState::Assigned)).unwrap();
            tx.create(task("b", TaskState::Pending)).unwrap();
            let foreign = pb::Task {
                node_id: "other".into(),
                ..task("c", TaskState::Assigned)
            };
            tx.create(foreign).unwrap();
        });
        assert_eq!(told(set.message(&state)), ">1 +a +S");
        assert_eq!(told(set.message(&state)), "nothing");

        let state = commit(&state, |tx| {
            edit(tx, "b", |task| {
                task.status = Some(pb::TaskStatus {
                    state: TaskState::Assigned.into(),
                    ..Default::default()
                })
            });
        });
        assert_eq!(told(set.message(&state)), "1>2 +b");

        let reported = commit(&state, |tx| {
            edit(tx, "a", |task| {
                task.status.as_mut().unwrap().state = TaskState::Running.into()
            });
        });
        assert_eq!(told(set.message(&reported)), "nothing");

        let stop = commit(&reported, |tx| {
            edit(tx, "a", |task| {
                task.desired_state = TaskState::Shutdown.into()
            });
        });
        assert_eq!(told(set.message(&stop)), "2>3 +a");

        let ended = commit(&stop, |tx| {
            for id in ["a", "b"] {
                edit(tx, id, |task| {
                    task.status.as_mut().unwrap().state = TaskState::Shutdown.into()
                });
            }
        });
        assert_eq!(told(set.message(&ended)), "3>4 -S");

        let deleted = commit(&ended, |tx| tx.remove(Kind::Task, "a").unwrap());
        assert_eq!(told(set.message(&deleted)), "4>5 -a");
    }
}
