//! Where programs that balance are put.

use std::path::PathBuf;

use netstate::{Config, NetState};

use super::{DIR, MARK};

/// A group of the unified hierarchy, gone with the test.
pub struct Group(PathBuf);

impl Group {
    pub fn new(name: &str) -> Self {
        let root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
        let root = root
            .into_iter()
            .find(|root| std::fs::exists(format!("{root}/cgroup.subtree_control")).unwrap());
        let name = format!("pontoon-test-{name}-{}", std::process::id());
        Self(PathBuf::from(root.unwrap()).join(name))
    }
    /// The calling process is in it from now on.
    pub fn enter(&self) {
        std::fs::write(self.0.join("cgroup.procs"), "0").unwrap();
    }
    pub fn leave(&self) {
        let parent = self.0.parent().unwrap().join("cgroup.procs");
        std::fs::write(parent, "0").unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.leave();
        std::fs::remove_dir(&self.0).unwrap();
    }
}

pub async fn start_on(group: &Group) -> NetState {
    let state = NetState::start(Config {
        netns_dir: DIR.into(),
        mark: MARK.into(),
        cgroup: Some(group.0.clone()),
    });
    let state = state.await.unwrap();
    assert!(state.balances());
    state
}
