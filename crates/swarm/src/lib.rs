//! Swarm mode: identity, managers and agents.

pub mod agent;
pub mod ca;
pub mod control;
pub mod id;
pub mod manager;
