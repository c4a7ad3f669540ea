//! Swarm mode: who a node is, what managers decide, what agents run.
//!
//! ```text
//!        manager ── store, loops (allocator, scheduler, orchestrators), services on 2377
//!           ▲ │
//!  join,    │ │ session: node, managers, keys, root      ca: root, tokens, certificates
//!  reports, │ │ assignments: tasks, secrets, configs     tls: both ends of a connection
//!  beats    │ ▼
//!         agent ── worker: one state machine per task ──► Executor, TaskController (crate `cluster`)
//! ```
//!
//! Wire, texts and timings are SwarmKit's, so that either end may be Docker's. What this crate does not do: run containers,
//! touch the kernel, or gossip; and a swarm has one manager for now.
#![forbid(unsafe_code)]

pub mod agent;
mod allocator;
pub mod ca;
mod constraint;
pub mod control;
mod ext;
#[doc(hidden)]
pub mod fuzzing;
pub mod id;
pub mod loops;
pub mod manager;
mod orchestrator;
mod scheduler;
mod tls;
mod turn;

/// A gRPC failure as Docker's users know it: `rpc error: code = NotFound desc = …`.
pub fn status_text(status: &tonic::Status) -> String {
    let code = match status.code() {
        tonic::Code::Cancelled => "Canceled".to_owned(),
        code => format!("{code:?}"),
    };
    format!("rpc error: code = {code} desc = {}", status.message())
}
