//! Secrets and configs: named bytes that services refer to.

use std::sync::Arc;

use raft_store::{Kind, State};
use swarm_wire::pb;
use swarm_wire::pb::task_spec::Runtime;
use tonic::Status;

use super::refusal::Refusal;
use super::{Control, names};
use crate::ext::ServiceExt;
use crate::id::new_id;

/// Bytes that the data must stay below, as Docker has it.
const SECRET_LIMIT: usize = 500 * 1024;
const CONFIG_LIMIT: usize = 1000 * 1024;

macro_rules! verbs {
    ($kind:ident, $spec:ident, $word:literal, $objects:ident, $id:ident, $check:path,
     $create:ident, $update:ident, $remove:ident) => {
        impl Control {
            pub async fn $create(&self, spec: pb::$spec) -> Result<Arc<pb::$kind>, Status> {
                names::check_payload(spec.annotations.as_ref())?;
                $check(&spec)?;
                let id = new_id();
                self.update(|tx| {
                    let name = spec.annotations.as_ref().map_or("", |a| &a.name);
                    let taken = |object: &Arc<pb::$kind>| {
                        let spec = object.spec.as_ref();
                        spec.and_then(|spec| spec.annotations.as_ref())
                            .is_some_and(|a| a.name == name)
                    };
                    if tx.state().$objects.values().any(taken) {
                        return Err(Refusal::exists(format!("{} {name} already exists", $word)));
                    }
                    tx.create(pb::$kind {
                        id: id.clone(),
                        spec: Some(spec.clone()),
                        ..Default::default()
                    })?;
                    Ok(())
                })
                .await?;
                let object = self.view().$objects.get(&id).cloned();
                object.ok_or_else(|| unknown($word, &id).into())
            }

            /// Only labels may change.
            pub async fn $update(
                &self,
                id: &str,
                version: u64,
                spec: pb::$spec,
            ) -> Result<Arc<pb::$kind>, Status> {
                self.update(|tx| {
                    let object = tx
                        .state()
                        .$objects
                        .get(id)
                        .ok_or_else(|| unknown($word, id))?;
                    let mut object = object.as_ref().clone();
                    let old = object.spec.get_or_insert_default();
                    let name = |a: &Option<pb::Annotations>| a.as_ref().map(|a| a.name.clone());
                    if name(&old.annotations) != name(&spec.annotations)
                        || !spec.data.is_empty() && spec.data != old.data
                    {
                        return Err(Refusal::invalid("only updates to Labels are allowed"));
                    }
                    old.annotations.get_or_insert_default().labels =
                        spec.annotations.clone().unwrap_or_default().labels;
                    object.meta.get_or_insert_default().version =
                        Some(pb::Version { index: version });
                    Ok(tx.update(object)?)
                })
                .await?;
                let object = self.view().$objects.get(id).cloned();
                object.ok_or_else(|| unknown($word, id).into())
            }

            pub async fn $remove(&self, id: &str) -> Result<(), Status> {
                self.update(|tx| {
                    let state = tx.state();
                    let Some(object) = state.$objects.get(id) else {
                        return Err(Refusal::not_found(format!("could not find {} {id}", $word)));
                    };
                    let spec = object.spec.as_ref();
                    let name = spec
                        .and_then(|spec| spec.annotations.as_ref())
                        .map_or("", |a| &a.name);
                    let refers = |c: &pb::ContainerSpec| c.$objects.iter().any(|r| r.$id == id);
                    check_unused($word, name, &users(state, refers))?;
                    Ok(tx.remove(Kind::$kind, id)?)
                })
                .await
            }
        }
    };
}

verbs!(
    Secret,
    SecretSpec,
    "secret",
    secrets,
    secret_id,
    check_secret,
    create_secret,
    update_secret,
    remove_secret
);
verbs!(
    Config,
    ConfigSpec,
    "config",
    configs,
    config_id,
    check_config,
    create_config,
    update_config,
    remove_config
);

fn check_secret(spec: &pb::SecretSpec) -> Result<(), Refusal> {
    match &spec.driver {
        Some(driver) if driver.name.is_empty() => {
            Err(Refusal::invalid("secret driver must have a name"))
        }
        Some(driver) => Err(Refusal::unimplemented(format!(
            "secret driver {} is not supported",
            driver.name
        ))),
        None => check_size("secret", &spec.data, SECRET_LIMIT),
    }
}

fn check_config(spec: &pb::ConfigSpec) -> Result<(), Refusal> {
    check_size("config", &spec.data, CONFIG_LIMIT)
}

fn check_size(word: &str, data: &[u8], limit: usize) -> Result<(), Refusal> {
    match (1..limit).contains(&data.len()) {
        true => Ok(()),
        false => Err(Refusal::invalid(format!(
            "{word} data must be larger than 0 and less than {limit} bytes"
        ))),
    }
}

fn unknown(word: &str, id: &str) -> Refusal {
    Refusal::not_found(format!("{word} {id} not found"))
}

fn users(state: &State, refers: impl Fn(&pb::ContainerSpec) -> bool) -> Vec<&str> {
    let uses = |service: &&Arc<pb::Service>| match service
        .task_spec()
        .and_then(|task| task.runtime.as_ref())
    {
        Some(Runtime::Container(container)) => refers(container),
        _ => false,
    };
    state
        .services
        .values()
        .filter(uses)
        .map(|service| service.name())
        .collect()
}

fn check_unused(word: &str, name: &str, users: &[&str]) -> Result<(), Refusal> {
    let plural = if users.len() == 1 { "" } else { "s" };
    match users.is_empty() {
        true => Ok(()),
        false => Err(Refusal::invalid(format!(
            "{word} '{name}' is in use by the following service{plural}: {}",
            users.join(", ")
        ))),
    }
}
