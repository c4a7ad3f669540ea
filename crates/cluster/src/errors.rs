//! The swarm's failures in the API's terms, and the texts of a node's standing.

use engine_types::{Error, ErrorKind};
use tonic::{Code, Status};

/// As Docker shows it: `rpc error: code = NotFound desc = …`.
pub fn from_status(status: Status) -> Error {
    let kind = match status.code() {
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            ErrorKind::InvalidParameter
        }
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::Conflict,
        Code::PermissionDenied => ErrorKind::Forbidden,
        Code::Unauthenticated => ErrorKind::Unauthorized,
        Code::Unavailable => ErrorKind::Unavailable,
        Code::Unimplemented => ErrorKind::NotImplemented,
        _ => ErrorKind::System,
    };
    Error::new(
        kind,
        format!(
            "rpc error: code = {:?} desc = {}",
            status.code(),
            status.message()
        ),
    )
}

pub fn from_ca(error: swarm::ca::Error) -> Error {
    use swarm::ca::Error as Ca;
    match error {
        Ca::Rpc(status) => from_status(status),
        Ca::InvalidToken => Error::invalid(error),
        Ca::Unsupported(_) => Error::not_implemented(error),
        other => Error::system(other),
    }
}

pub fn already_member() -> Error {
    Error::unavailable(
        "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and join another one.",
    )
}

pub fn no_swarm() -> Error {
    Error::unavailable("This node is not part of a swarm")
}

pub fn inactive() -> Error {
    Error::unavailable(
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.",
    )
}

pub fn not_manager() -> Error {
    Error::unavailable(
        "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager.",
    )
}

pub fn manager_leaves() -> Error {
    Error::unavailable(
        "You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message. ",
    )
}

pub fn join_timeout() -> Error {
    Error::unavailable(
        "Timeout was reached before node joined. The attempt to join the swarm will continue in the background. Use the \"docker info\" command to see the current swarm status of your node.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_text_is_what_docker_prints() {
        let error = from_status(Status::already_exists("service web already exists"));
        assert_eq!(error.kind, ErrorKind::Conflict);
        assert_eq!(
            error.message,
            "rpc error: code = AlreadyExists desc = service web already exists"
        );
    }
}
