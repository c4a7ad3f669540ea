//! `docker events`: a bounded history and a live stream.

use engine_types::system::Event;
use tokio::sync::broadcast;

#[derive(Clone)]
pub struct Events {}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

impl Events {
    pub fn new() -> Self {
        todo!()
    }
    pub fn publish(
        &self,
        _kind: &str,
        _action: &str,
        _id: &str,
        _attributes: std::collections::BTreeMap<String, String>,
        _scope: &str,
    ) {
        todo!()
    }
    /// What is remembered (at most 256), and the events from here on.
    pub fn subscribe(&self) -> (Vec<Event>, broadcast::Receiver<Event>) {
        todo!()
    }
}
