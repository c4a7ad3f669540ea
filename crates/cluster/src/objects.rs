//! The managers' objects for the API: listings, look-ups by name or id, and changes.

use std::sync::Arc;

use engine_types::{Error, Filters, Result, swarm as api};
use raft_store::State;
use swarm_wire::pb;

use crate::balance_labels::balance;
use crate::convert::{self, TASK_STATE};
use crate::lookup::{Named as _, find, matches};
use crate::publish_labels::choices;
use crate::status::{mode, runtime, service_status};
use crate::{Cluster, errors};

/// Which tokens an update turns over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rotate {
    pub worker_token: bool,
    pub manager_token: bool,
    pub unlock_key: bool,
}

impl Cluster {
    fn view(&self) -> Result<State> {
        Ok(self.control()?.view())
    }

    fn cluster_object(&self) -> Result<Arc<pb::Cluster>> {
        let view = self.view()?;
        view.clusters
            .values()
            .next()
            .cloned()
            .ok_or_else(|| Error::not_found("no such cluster"))
    }

    pub async fn inspect(&self) -> Result<api::Swarm> {
        Ok(convert::cluster_json(&*self.cluster_object()?))
    }

    pub async fn update(&self, version: u64, spec: api::Spec, rotate: Rotate) -> Result<()> {
        if spec.encryption_config.auto_lock_managers || rotate.unlock_key {
            return Err(Error::not_implemented("autolock is not supported"));
        }
        let id = self.cluster_object()?.id.clone();
        let rotation = pb::KeyRotation {
            worker_join_token: rotate.worker_token,
            manager_join_token: rotate.manager_token,
            manager_unlock_key: false,
        };
        let spec = convert::cluster_spec_pb(spec)?;
        self.control()?
            .update_cluster(&id, version, spec, rotation)
            .await
            .map_err(errors::from_status)?;
        Ok(())
    }

    /// Empty: the managers' store is not locked.
    pub async fn unlock_key(&self) -> Result<String> {
        self.control()?;
        Ok(String::new())
    }

    pub async fn unlock(&self, _key: &str) -> Result<()> {
        match self.inner.member() {
            Some(_) => Err(Error::conflict("swarm is not locked")),
            None => Err(errors::no_swarm()),
        }
    }

    pub async fn nodes(&self, filters: &Filters) -> Result<Vec<api::Node>> {
        filters.validate(&["name", "id", "label", "role", "membership", "node.label"])?;
        for role in filters.get("role") {
            if !matches!(role.as_str(), "worker" | "manager") {
                return Err(Error::invalid(format!("Invalid role filter: '{role}'")));
            }
        }
        let wanted = |node: &pb::Node| {
            let engine = node
                .description
                .as_ref()
                .and_then(|d| d.engine.as_ref())
                .map(|e| e.labels.clone());
            let role = if node.role == i32::from(pb::NodeRole::Manager) {
                "manager"
            } else {
                "worker"
            };
            filters.any("id", |id| node.id.starts_with(id))
                && filters.any("name", |name| node.name().starts_with(name))
                && filters.any("role", |r| r == role)
                && filters.any("membership", |m| m == "accepted")
                && filters.labels_match("label", &engine.unwrap_or_default())
                && filters.labels_match("node.label", &node.labels())
        };
        Ok(self
            .view()?
            .nodes
            .values()
            .filter(|n| wanted(n))
            .map(|n| convert::node_json(n))
            .collect())
    }

    pub async fn node(&self, id: &str) -> Result<api::Node> {
        Ok(convert::node_json(&*self.find_node(id)?))
    }

    fn find_node(&self, id: &str) -> Result<Arc<pb::Node>> {
        let own = self.inner.member().map(|m| m.identity.node_id.clone());
        let id = if id == "self" {
            own.unwrap_or_default()
        } else {
            id.to_owned()
        };
        find(&self.view()?.nodes, &id)
    }

    pub async fn node_update(&self, id: &str, version: u64, spec: api::NodeSpec) -> Result<()> {
        let node = self.find_node(id)?;
        let spec = convert::node_spec_pb(spec)?;
        self.control()?
            .update_node(&node.id, version, spec)
            .await
            .map_err(errors::from_status)?;
        Ok(())
    }

    pub async fn node_remove(&self, id: &str, force: bool) -> Result<()> {
        let node = self.find_node(id)?;
        self.control()?
            .remove_node(&node.id, force)
            .await
            .map_err(errors::from_status)
    }

    pub async fn services(&self, filters: &Filters, status: bool) -> Result<Vec<api::Service>> {
        filters.validate(&["name", "id", "label", "mode", "runtime"])?;
        let view = self.view()?;
        let wanted = |s: &pb::Service| matches(s, filters) && filters.any("mode", |m| m == mode(s));
        let json = |s: &Arc<pb::Service>| {
            let mut json = convert::service_json(s);
            json.service_status =
                status.then(|| service_status(s, &view.service_tasks(&s.id).collect::<Vec<_>>()));
            json
        };
        Ok(view
            .services
            .values()
            .filter(|s| wanted(s))
            .map(json)
            .collect())
    }

    pub async fn service(&self, id: &str, _insert_defaults: bool) -> Result<api::Service> {
        Ok(convert::service_json(&*self.find_service(id)?))
    }

    pub(crate) fn find_service(&self, id: &str) -> Result<Arc<pb::Service>> {
        find(&self.view()?.services, id)
    }

    pub(crate) fn find_task(&self, id: &str) -> Result<Arc<pb::Task>> {
        find(&self.view()?.tasks, id)
    }

    pub async fn service_create(
        &self,
        mut spec: api::ServiceSpec,
    ) -> Result<api::ServiceCreateResponse> {
        if spec.annotations.name.is_empty() {
            spec.annotations.name = engine::random_name(0)?;
        }
        let spec = self.service_spec(spec).await?;
        let made = self
            .control()?
            .create_service(spec)
            .await
            .map_err(errors::from_status)?;
        Ok(api::ServiceCreateResponse {
            id: made.id.clone(),
            warnings: None,
        })
    }

    pub async fn service_update(
        &self,
        id: &str,
        version: u64,
        spec: api::ServiceSpec,
        rollback: bool,
    ) -> Result<api::ServiceUpdateResponse> {
        let service = self.find_service(id)?;
        let spec = self.service_spec(spec).await?;
        self.control()?
            .update_service(&service.id, version, spec, rollback)
            .await
            .map_err(errors::from_status)?;
        Ok(api::ServiceUpdateResponse::default())
    }

    pub async fn service_remove(&self, id: &str) -> Result<()> {
        let service = self.find_service(id)?;
        self.control()?
            .remove_service(&service.id)
            .await
            .map_err(errors::from_status)
    }

    /// Networks by id, and only those of the swarm.
    async fn service_spec(&self, mut spec: api::ServiceSpec) -> Result<pb::ServiceSpec> {
        let choices = choices(spec.annotations.labels.iter().flatten())?;
        balance(spec.annotations.labels.iter().flatten())?;
        let view = self.view()?;
        let asked = spec.networks.take().unwrap_or_default();
        let networks = spec.task_template.networks.get_or_insert_default();
        if networks.is_empty() {
            *networks = asked;
        }
        for network in networks {
            match find(&view.networks, &network.target) {
                Ok(found) => network.target.clone_from(&found.id),
                Err(missing) => {
                    let local = self
                        .inner
                        .networks
                        .inspect(&network.target, false, "local")
                        .await;
                    return Err(match local {
                        Ok(n) => Error::forbidden(format!(
                            "The network {} cannot be used with services. Only networks scoped to the swarm can be used, such as those created with the overlay driver.",
                            n.name
                        )),
                        Err(_) => missing,
                    });
                }
            }
        }
        let mut spec = convert::service_spec_pb(spec)?;
        if let Some(endpoint) = &mut spec.endpoint {
            choices.name(&mut endpoint.ports)?;
        }
        Ok(spec)
    }

    pub async fn tasks(&self, filters: &Filters) -> Result<Vec<api::Task>> {
        filters.validate(&[
            "name",
            "id",
            "label",
            "service",
            "node",
            "desired-state",
            "runtime",
            "_up-to-date",
        ])?;
        let view = self.view()?;
        let ids = |key: &str, resolve: &dyn Fn(&str) -> Result<String>| -> Result<Vec<String>> {
            filters.get(key).iter().map(|v| resolve(v)).collect()
        };
        let services = ids("service", &|v| Ok(find(&view.services, v)?.id.clone()))?;
        let nodes = ids("node", &|v| Ok(self.find_node(v)?.id.clone()))?;
        let desired: Vec<i32> = filters
            .get("desired-state")
            .iter()
            .map(|v| TASK_STATE.value(v))
            .collect::<Result<_>>()?;
        // Standalone containers' places on a network are tasks too, and no client expects them unasked.
        let services_only = ["container".to_owned(), "plugin".to_owned()];
        let runtimes = match filters.get("runtime") {
            [] => &services_only[..],
            asked => asked,
        };
        let wanted = |t: &pb::Task| {
            let name = crate::request::container_name(t);
            filters.any("id", |id| t.id.starts_with(id))
                && filters.any("name", |n| name.starts_with(n))
                && filters.labels_match("label", &t.labels())
                && (services.is_empty() || services.contains(&t.service_id))
                && (nodes.is_empty() || nodes.contains(&t.node_id))
                && (desired.is_empty() || desired.contains(&t.desired_state))
                && runtimes.iter().any(|r| r == runtime(t))
        };
        Ok(view
            .tasks
            .values()
            .filter(|t| wanted(t))
            .map(|t| convert::task_json(t))
            .collect())
    }

    pub async fn task(&self, id: &str) -> Result<api::Task> {
        Ok(convert::task_json(&*self.find_task(id)?))
    }

    pub async fn secrets(&self, filters: &Filters) -> Result<Vec<api::Secret>> {
        filters.validate(&["name", "id", "label", "names"])?;
        let view = self.view()?;
        Ok(view
            .secrets
            .values()
            .filter(|s| matches(&***s, filters))
            .map(|s| convert::secret_json(s))
            .collect())
    }

    pub async fn secret(&self, id: &str) -> Result<api::Secret> {
        Ok(convert::secret_json(&*find(&self.view()?.secrets, id)?))
    }

    pub async fn secret_create(&self, spec: api::SecretSpec) -> Result<String> {
        let made = self
            .control()?
            .create_secret(convert::secret_spec_pb(spec))
            .await
            .map_err(errors::from_status)?;
        Ok(made.id.clone())
    }

    pub async fn secret_update(&self, id: &str, version: u64, spec: api::SecretSpec) -> Result<()> {
        let id = find(&self.view()?.secrets, id)?.id.clone();
        let spec = convert::secret_spec_pb(spec);
        self.control()?
            .update_secret(&id, version, spec)
            .await
            .map_err(errors::from_status)?;
        Ok(())
    }

    pub async fn secret_remove(&self, id: &str) -> Result<()> {
        let id = find(&self.view()?.secrets, id)?.id.clone();
        self.control()?
            .remove_secret(&id)
            .await
            .map_err(errors::from_status)
    }

    pub async fn configs(&self, filters: &Filters) -> Result<Vec<api::Config>> {
        filters.validate(&["name", "id", "label", "names"])?;
        let view = self.view()?;
        Ok(view
            .configs
            .values()
            .filter(|c| matches(&***c, filters))
            .map(|c| convert::config_json(c))
            .collect())
    }

    pub async fn config(&self, id: &str) -> Result<api::Config> {
        Ok(convert::config_json(&*find(&self.view()?.configs, id)?))
    }

    pub async fn config_create(&self, spec: api::ConfigSpec) -> Result<String> {
        let made = self
            .control()?
            .create_config(convert::config_spec_pb(spec))
            .await
            .map_err(errors::from_status)?;
        Ok(made.id.clone())
    }

    pub async fn config_update(&self, id: &str, version: u64, spec: api::ConfigSpec) -> Result<()> {
        let id = find(&self.view()?.configs, id)?.id.clone();
        let spec = convert::config_spec_pb(spec);
        self.control()?
            .update_config(&id, version, spec)
            .await
            .map_err(errors::from_status)?;
        Ok(())
    }

    pub async fn config_remove(&self, id: &str) -> Result<()> {
        let id = find(&self.view()?.configs, id)?.id.clone();
        self.control()?
            .remove_config(&id)
            .await
            .map_err(errors::from_status)
    }
}
