//! One task on this node: drives its controller from state to state and reports.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use swarm_wire::pb;
use swarm_wire::pb::TaskState;
use swarm_wire::pb::task_status::RuntimeStatus;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::database::{Database, Write};
use super::machine::{Step, failure, next};
use super::reporter::Reporter;
use super::{TaskController, TaskError};

const RETRY: Duration = Duration::from_secs(1);
/// What `prepare` and `start` get to come to an end of their own when the task is no longer wanted.
const GRACE: Duration = Duration::from_secs(2);
/// Tries of a clean-up before a task is given up.
const CLEANUPS: usize = 3;

/// What the managers want of the task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wish {
    pub desired: TaskState,
    /// It is not assigned any more: everything of it goes.
    pub remove: bool,
}

impl Wish {
    fn unwanted(self) -> bool {
        self.remove || self.desired >= TaskState::Shutdown
    }
}

pub(super) struct Runner {
    task: Arc<pb::Task>,
    status: pb::TaskStatus,
    controller: Box<dyn TaskController>,
    wish: watch::Receiver<Wish>,
    reporter: Reporter,
    database: Database,
}

impl Runner {
    pub fn new(
        task: Arc<pb::Task>,
        controller: Box<dyn TaskController>,
        wish: watch::Receiver<Wish>,
        reporter: Reporter,
        database: Database,
    ) -> Self {
        let status = task.status.clone().unwrap_or_default();
        reporter.set(&task.id, status.clone());
        Self {
            task,
            status,
            controller,
            wish,
            reporter,
            database,
        }
    }

    /// Until the task is removed. Dropping it leaves what runs alone.
    pub async fn run(mut self) {
        self.adopt().await;
        loop {
            let wish = *self.wish.borrow_and_update();
            if wish.remove {
                return self.remove().await;
            }
            let ended = match next(self.status.state(), wish.desired) {
                Step::Rest => {
                    if self.wish.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                Step::Move(state, message) => {
                    self.reach(state, message).await;
                    continue;
                }
                Step::Prepare => {
                    let done = unless(self.wish.clone(), GRACE, self.controller.prepare()).await;
                    (done, TaskState::Ready, "prepared")
                }
                Step::Start => {
                    let done = unless(self.wish.clone(), GRACE, self.controller.start()).await;
                    (done, TaskState::Running, "started")
                }
                Step::Wait => {
                    let done =
                        unless(self.wish.clone(), Duration::ZERO, self.controller.wait()).await;
                    (done, TaskState::Complete, "finished")
                }
                Step::Shutdown => (
                    Some(self.controller.shutdown().await),
                    TaskState::Shutdown,
                    "shutdown",
                ),
            };
            match ended {
                (Some(Ok(())), state, message) => self.reach(state, message).await,
                (Some(Err(error)), ..) => self.fail(error).await,
                (None, ..) => {}
            }
        }
    }

    /// After a restart: takes up again what the task had got to, without going through its states once more.
    async fn adopt(&mut self) {
        let state = self.status.state();
        loop {
            let wish = *self.wish.borrow_and_update();
            if wish.unwanted()
                || !(TaskState::Ready..=TaskState::Running).contains(&self.status.state())
            {
                return;
            }
            debug!(task.id = self.task.id, "taking up a task again");
            let mut done = unless(self.wish.clone(), GRACE, self.controller.prepare()).await;
            if matches!(done, Some(Ok(()))) && state == TaskState::Running {
                done = unless(self.wish.clone(), GRACE, self.controller.start()).await;
            }
            match done {
                Some(Err(error)) => self.fail(error).await,
                Some(Ok(())) | None => return,
            }
        }
    }

    async fn reach(&mut self, state: TaskState, message: &str) {
        self.status.state = state.into();
        self.status.message = message.to_owned();
        self.status.err.clear();
        self.report(None).await;
    }

    async fn fail(&mut self, error: TaskError) {
        let (text, code) = match &error {
            TaskError::Exit { code, message } if !message.is_empty() => {
                (message.clone(), Some(*code))
            }
            TaskError::Exit { code, .. } => (error.to_string(), Some(*code)),
            TaskError::Temporary(text) | TaskError::Fatal(text) => (text.clone(), None),
        };
        self.status.err = text;
        if matches!(error, TaskError::Temporary(_)) {
            self.report(code).await;
            tokio::select! {
                () = sleep(RETRY) => {}
                _ = self.wish.changed() => {}
            }
            return;
        }
        debug!(
            task.id = self.task.id,
            error = self.status.err,
            "task failed"
        );
        self.status.state = failure(self.status.state()).into();
        self.report(code).await;
    }

    async fn report(&mut self, exit_code: Option<i32>) {
        if self.status.state() >= TaskState::Starting {
            if let Some(container) = self.controller.container_status().await {
                self.status.runtime_status = Some(RuntimeStatus::Container(container));
            }
            if let Some(code) = exit_code {
                let none = || RuntimeStatus::Container(pb::ContainerStatus::default());
                let RuntimeStatus::Container(container) =
                    self.status.runtime_status.get_or_insert_with(none);
                container.exit_code = code;
            }
            self.status.port_status = self.controller.port_status().await;
        }
        self.status.timestamp = Some(SystemTime::now().into());
        if self.wish.borrow().remove {
            // Nobody asks any more.
            return;
        }
        self.reporter.set(&self.task.id, self.status.clone());
        let write = Write::State(self.task.id.clone(), self.status.clone());
        self.database.write(write).await;
    }

    async fn remove(mut self) {
        if self.status.state() < TaskState::Complete
            && let Err(error) = self.controller.shutdown().await
        {
            warn!(task.id = self.task.id, %error, "task did not stop in good order");
        }
        for _ in 0..CLEANUPS {
            match self.controller.remove().await {
                Ok(()) => return,
                Err(error) => warn!(task.id = self.task.id, %error, "task could not be removed"),
            }
            sleep(RETRY).await;
        }
    }
}

/// Runs `operation`, and drops it when the task is unwanted and `grace` did not suffice: `None`.
async fn unless(
    mut wish: watch::Receiver<Wish>,
    grace: Duration,
    operation: impl Future<Output = Result<(), TaskError>>,
) -> Option<Result<(), TaskError>> {
    tokio::pin!(operation);
    tokio::select! {
        biased;
        done = &mut operation => return Some(done),
        // When nobody can wish any more, the agent is stopping and this future is about to be dropped.
        _ = wish.wait_for(|wish| wish.unwanted()) => {}
    }
    timeout(grace, operation).await.ok()
}
