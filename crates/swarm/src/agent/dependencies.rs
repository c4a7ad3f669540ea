//! Secrets and configs that the managers assigned. They are kept in memory only.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use swarm_wire::pb;
use swarm_wire::pb::ResourceType;
use swarm_wire::pb::task_spec::Runtime;

use super::Dependencies;

#[derive(Clone, Default)]
pub(super) struct Assigned(Arc<RwLock<Items>>);

#[derive(Default)]
struct Items {
    secrets: BTreeMap<String, pb::Secret>,
    configs: BTreeMap<String, pb::Config>,
}

impl Assigned {
    fn change(&self, change: impl FnOnce(&mut Items)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
    pub fn clear(&self) {
        self.change(|items| *items = Items::default());
    }
    pub fn put_secret(&self, secret: pb::Secret) {
        self.change(|items| drop(items.secrets.insert(secret.id.clone(), secret)));
    }
    pub fn put_config(&self, config: pb::Config) {
        self.change(|items| drop(items.configs.insert(config.id.clone(), config)));
    }
    pub fn remove_secret(&self, id: &str) {
        self.change(|items| drop(items.secrets.remove(id)));
    }
    pub fn remove_config(&self, id: &str) {
        self.change(|items| drop(items.configs.remove(id)));
    }

    /// What `task` may see of it.
    pub fn of_task(&self, task: &Arc<pb::Task>) -> Arc<dyn Dependencies> {
        Arc::new(OfTask {
            assigned: self.clone(),
            task: task.clone(),
        })
    }
}

struct OfTask {
    assigned: Assigned,
    task: Arc<pb::Task>,
}

impl OfTask {
    fn refers(&self, kind: ResourceType, id: &str) -> bool {
        let Some(spec) = &self.task.spec else {
            return false;
        };
        let named = match (&spec.runtime, kind) {
            (Some(Runtime::Container(c)), ResourceType::Secret) => {
                c.secrets.iter().any(|r| r.secret_id == id)
            }
            (Some(Runtime::Container(c)), ResourceType::Config) => {
                c.configs.iter().any(|r| r.config_id == id)
            }
            _ => false,
        };
        named
            || spec
                .resource_references
                .iter()
                .any(|r| r.resource_type() == kind && r.resource_id == id)
    }
}

impl Dependencies for OfTask {
    /// A secret made for this task alone comes before the one that all tasks share.
    fn secret(&self, id: &str) -> Option<pb::Secret> {
        if !self.refers(ResourceType::Secret, id) {
            return None;
        }
        let items = self
            .assigned
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let own = items.secrets.get(&format!("{id}.{}", self.task.id));
        own.or_else(|| items.secrets.get(id)).cloned()
    }

    fn config(&self, id: &str) -> Option<pb::Config> {
        if !self.refers(ResourceType::Config, id) {
            return None;
        }
        let items = self
            .assigned
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        items.configs.get(id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_sees_only_what_it_names() {
        let assigned = Assigned::default();
        let secret = |id: &str| pb::Secret {
            id: id.into(),
            ..Default::default()
        };
        for id in ["s", "other", "s.t"] {
            assigned.put_secret(secret(id));
        }
        let container = pb::ContainerSpec {
            secrets: vec![pb::SecretReference {
                secret_id: "s".into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let task = |id: &str| {
            Arc::new(pb::Task {
                id: id.into(),
                spec: Some(pb::TaskSpec {
                    runtime: Some(Runtime::Container(container.clone())),
                    ..Default::default()
                }),
                ..Default::default()
            })
        };
        assert_eq!(
            assigned.of_task(&task("t")).secret("s"),
            Some(secret("s.t"))
        );
        assert_eq!(assigned.of_task(&task("u")).secret("s"), Some(secret("s")));
        assert_eq!(assigned.of_task(&task("t")).secret("other"), None);
        assigned.clear();
        assert_eq!(assigned.of_task(&task("t")).secret("s"), None);
    }
}
