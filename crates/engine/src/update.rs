//! `docker rename` and `docker update`.

use engine_types::container::ContainerUpdate;
use engine_types::{Error, Result};

use crate::error::Doing;
use crate::spec::resources;
use crate::{Engine, names};

impl Engine {
    pub async fn rename(&self, id: &str, name: &str) -> Result<()> {
        let container = self.inner.find(id)?;
        if name.is_empty() {
            return Err(Error::invalid("Neither old nor new names may be empty"));
        }
        let name = names::validate(name)?;
        let _changing = container.changing.lock().await;
        let old = container.name();
        if old == name {
            return Err(Error::invalid(
                "Renaming a container with the same name as its current name",
            ));
        }
        self.inner
            .reserve(name, &container.id)
            .map_err(|error| error.context("Error when allocating new name"))?;
        if container.live().is_some()
            && let Err(error) = self.inner.networks.rename(&container.id, name).await
        {
            self.inner.release(name);
            return Err(error);
        }
        container.change(|record| name.clone_into(&mut record.name));
        self.inner.release(&old);
        self.inner.save(&container)?.await?;
        self.inner
            .event(&container, "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }

    pub async fn update(&self, id: &str, update: ContainerUpdate) -> Result<Vec<String>> {
        let container = self.inner.find(id)?;
        let _changing = container.changing.lock().await;
        let mut host = container.with(|record| record.host_config.clone());
        let new = &update.resources;
        let own = &mut host.resources;
        macro_rules! set {
            ($($field:ident),*) => { $(replace(&mut own.$field, &new.$field);)* };
        }
        set!(
            cpu_shares,
            memory,
            nano_cpus,
            blkio_weight,
            cpu_period,
            cpu_quota,
            cpu_realtime_period,
            cpu_realtime_runtime,
            cpuset_cpus,
            cpuset_mems,
            memory_reservation,
            memory_swap,
            pids_limit
        );
        if !update.restart_policy.name.is_empty() {
            if host.auto_remove && update.restart_policy.name != "no" {
                return Err(Error::invalid(
                    "Restart policy cannot be updated because AutoRemove is enabled for the container",
                ));
            }
            host.restart_policy = update.restart_policy.clone();
            crate::validate::check_restart(&host)?;
        }
        resources::validate(&host.resources)?;
        if container.live().is_some() {
            let limits = serde_json::to_vec(&resources::cgroup(&host.resources)?)
                .doing("encode the limits")?;
            self.inner
                .runtimes
                .run_with_input(
                    &host.runtime,
                    &["update", "--resources", "-", &container.id],
                    Some(&limits),
                )
                .await
                .map_err(|error| {
                    error.context(format!("Cannot update container {}", container.id))
                })?;
        }
        container.change(|record| record.host_config = host);
        self.inner.save(&container)?.await?;
        self.inner.event(&container, "update", &[]);
        Ok(Vec::new())
    }
}

/// Sets what the update gives; a zero value means "unchanged".
fn replace<T: Clone + Default + PartialEq>(value: &mut T, new: &T) {
    if *new != T::default() {
        value.clone_from(new);
    }
}
