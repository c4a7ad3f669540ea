//! The next step of a task, from the state that it has and the state that it should have. SwarmKit's `exec.Do`.

use swarm_wire::pb::TaskState;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Until the desired state changes.
    Rest,
    /// No work, only a name.
    Move(TaskState, &'static str),
    Prepare,
    Start,
    /// Until it ends by itself.
    Wait,
    Shutdown,
}

pub(super) fn next(state: TaskState, desired: TaskState) -> Step {
    use TaskState::{
        Accepted, Assigned, Complete, New, Pending, Preparing, Ready, Running, Shutdown, Starting,
    };

    if desired >= Shutdown {
        return if state >= Complete {
            Step::Rest
        } else {
            Step::Shutdown
        };
    }
    if state > desired {
        return Step::Rest;
    }
    match state {
        Preparing => Step::Prepare,
        Starting => Step::Start,
        Running => Step::Wait,
        _ if state == desired => Step::Rest,
        New | Pending | Assigned => Step::Move(Accepted, "accepted"),
        Accepted => Step::Move(Preparing, "preparing"),
        Ready => Step::Move(Starting, "starting"),
        _ => Step::Rest,
    }
}

/// Where a failure leads: what never started is REJECTED.
pub(super) fn failure(state: TaskState) -> TaskState {
    if state < TaskState::Starting {
        TaskState::Rejected
    } else {
        TaskState::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(mut state: TaskState, desired: TaskState) -> Vec<Step> {
        let mut steps = Vec::new();
        loop {
            let step = next(state, desired);
            steps.push(step);
            state = match step {
                Step::Rest | Step::Wait | Step::Shutdown => return steps,
                Step::Move(next, _) => next,
                Step::Prepare => TaskState::Ready,
                Step::Start => TaskState::Running,
            };
        }
    }

    #[test]
    fn a_task_runs_up_to_what_is_desired() {
        let up = [
            Step::Move(TaskState::Accepted, "accepted"),
            Step::Move(TaskState::Preparing, "preparing"),
            Step::Prepare,
            Step::Move(TaskState::Starting, "starting"),
            Step::Start,
            Step::Wait,
        ];
        assert_eq!(path(TaskState::Assigned, TaskState::Running), up);
        let mut ready = up[..3].to_vec();
        ready.push(Step::Rest);
        assert_eq!(path(TaskState::Assigned, TaskState::Ready), ready);
        assert_eq!(path(TaskState::Ready, TaskState::Running), up[3..]);
    }

    #[test]
    fn what_ended_rests_and_the_rest_is_shut_down() {
        for state in [TaskState::Complete, TaskState::Failed, TaskState::Rejected] {
            assert_eq!(next(state, TaskState::Running), Step::Rest);
            assert_eq!(next(state, TaskState::Shutdown), Step::Rest);
        }
        for state in [
            TaskState::Assigned,
            TaskState::Preparing,
            TaskState::Running,
        ] {
            assert_eq!(next(state, TaskState::Shutdown), Step::Shutdown);
            assert_eq!(next(state, TaskState::Remove), Step::Shutdown);
        }
        assert_eq!(failure(TaskState::Preparing), TaskState::Rejected);
        assert_eq!(failure(TaskState::Starting), TaskState::Failed);
    }
}
