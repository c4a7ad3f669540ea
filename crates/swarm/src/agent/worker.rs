//! The tasks of this node: what the managers assign, turned into one [`Runner`] each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use swarm_wire::pb;
use swarm_wire::pb::assignment::Item;
use swarm_wire::pb::assignment_change::AssignmentAction;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::Executor;
use super::database::{Database, Write};
use super::dependencies::Assigned;
use super::reporter::Reporter;
use super::task::{Runner, Wish};

pub(super) struct Worker {
    executor: Arc<dyn Executor>,
    database: Database,
    assigned: Assigned,
    pub reporter: Reporter,
    tasks: Mutex<BTreeMap<String, Entry>>,
    /// The tasks that this node runs, for whoever follows their logs.
    listing: watch::Sender<BTreeMap<String, Arc<pb::Task>>>,
    runners: TaskTracker,
    stop: CancellationToken,
}

struct Entry {
    task: Arc<pb::Task>,
    wish: watch::Sender<Wish>,
}

impl Worker {
    /// Takes up the tasks of an earlier start.
    pub async fn start(
        executor: Arc<dyn Executor>,
        database: Database,
        stored: Vec<pb::Task>,
    ) -> Arc<Self> {
        let worker = Arc::new(Self {
            executor,
            database,
            assigned: Assigned::default(),
            reporter: Reporter::default(),
            tasks: Mutex::default(),
            listing: watch::Sender::default(),
            runners: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        {
            let mut tasks = worker.tasks.lock().await;
            for task in stored {
                worker.run(&mut tasks, task);
            }
            worker.publish(&tasks);
        }
        worker
    }

    /// Applies a message of the assignments stream. A `complete` one names all that there is to run: the rest goes.
    pub async fn assign(&self, complete: bool, changes: Vec<pb::AssignmentChange>) {
        let mut tasks = self.tasks.lock().await;
        let mut named = BTreeSet::new();
        let (mut updates, mut removals) = (Vec::new(), Vec::new());
        if complete {
            self.assigned.clear();
        }
        // Secrets and configs first: tasks of the same message need them.
        for change in changes {
            let remove = change.action() == AssignmentAction::Remove;
            match (
                change.assignment.and_then(|assignment| assignment.item),
                remove,
            ) {
                (Some(Item::Secret(secret)), false) => self.assigned.put_secret(secret),
                (Some(Item::Secret(secret)), true) => self.assigned.remove_secret(&secret.id),
                (Some(Item::Config(config)), false) => self.assigned.put_config(config),
                (Some(Item::Config(config)), true) => self.assigned.remove_config(&config.id),
                (Some(Item::Task(task)), false) => {
                    named.insert(task.id.clone());
                    updates.push(task);
                }
                (Some(Item::Task(task)), true) => removals.push(task.id),
                (Some(Item::Volume(volume)), _) => {
                    warn!(
                        volume.id = volume.id,
                        "cluster volumes are not supported on this node"
                    );
                }
                (None, _) => debug!("assignment of an unknown kind"),
            }
        }
        if complete {
            let unnamed = tasks.keys().filter(|id| !named.contains(*id));
            removals = unnamed.cloned().collect();
        }
        for task in updates {
            self.update(&mut tasks, task).await;
        }
        for id in removals {
            self.remove(&mut tasks, &id).await;
        }
        self.publish(&tasks);
    }

    async fn update(&self, tasks: &mut BTreeMap<String, Entry>, task: pb::Task) {
        self.database
            .write(Write::Task(Box::new(task.clone())))
            .await;
        let desired = task.desired_state();
        let Some(entry) = tasks.get(&task.id) else {
            return self.run(tasks, task);
        };
        entry.wish.send_if_modified(|wish| {
            let later = desired > wish.desired;
            if later {
                wish.desired = desired;
            }
            later
        });
    }

    async fn remove(&self, tasks: &mut BTreeMap<String, Entry>, id: &str) {
        self.database.write(Write::Remove(id.to_owned())).await;
        self.reporter.remove(id);
        if let Some(entry) = tasks.remove(id) {
            entry.wish.send_modify(|wish| wish.remove = true);
        }
    }

    fn run(&self, tasks: &mut BTreeMap<String, Entry>, task: pb::Task) {
        let (wish, wishes) = watch::channel(Wish {
            desired: task.desired_state(),
            remove: false,
        });
        let task = Arc::new(task);
        let dependencies = self.assigned.of_task(&task);
        let controller = self.executor.controller(task.clone(), dependencies);
        let runner = Runner::new(
            task.clone(),
            controller,
            wishes,
            self.reporter.clone(),
            self.database.clone(),
        );
        let running = self.stop.clone().run_until_cancelled_owned(runner.run());
        self.runners.spawn(running);
        tasks.insert(task.id.clone(), Entry { task, wish });
    }

    fn publish(&self, tasks: &BTreeMap<String, Entry>) {
        let listing = tasks
            .iter()
            .map(|(id, entry)| (id.clone(), entry.task.clone()));
        self.listing.send_replace(listing.collect());
    }

    pub fn listing(&self) -> watch::Receiver<BTreeMap<String, Arc<pb::Task>>> {
        self.listing.subscribe()
    }

    pub fn executor(&self) -> &Arc<dyn Executor> {
        &self.executor
    }

    /// Lets go of the tasks and leaves them running, or, with `remove`, stops and removes them first.
    pub async fn stop(&self, remove: bool) {
        self.runners.close();
        if remove {
            self.assign(true, Vec::new()).await;
        } else {
            self.stop.cancel();
        }
        self.runners.wait().await;
    }
}
