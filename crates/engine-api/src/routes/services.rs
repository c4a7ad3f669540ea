//! `/services`.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use engine_types::swarm::ServiceSpec;
use engine_types::{Error, Result};

use crate::body::Json;
use crate::params::Params;
use crate::reply::{Reply, created, done, ok, unsupported};
use crate::serve::Api;

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/services", get(list))
        .route("/services/create", post(create))
        .route("/services/{id}", get(inspect).delete(remove))
        .route("/services/{id}/update", post(update))
        .route(
            "/services/{id}/logs",
            get(async || unsupported("reading a service's log through a manager")),
        )
}

async fn list(State(api): State<Api>, params: Params) -> Reply {
    let (filters, status) = (params.filters()?, params.flag("status"));
    ok(&api.backend.cluster.services(&filters, status).await?)
}

async fn inspect(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Reply {
    let defaults = params.flag("insertDefaults");
    ok(&api.backend.cluster.service(&id, defaults).await?)
}

async fn create(State(api): State<Api>, Json(spec): Json<ServiceSpec>) -> Reply {
    created(&api.backend.cluster.service_create(spec).await?)
}

async fn update(
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
    Json(spec): Json<ServiceSpec>,
) -> Reply {
    let version = params.version("service")?;
    let rollback = rollback(params.text("rollback"))?;
    let cluster = &api.backend.cluster;
    ok(&cluster.service_update(&id, version, spec, rollback).await?)
}

fn rollback(text: &str) -> Result<bool> {
    match text {
        "" | "none" => Ok(false),
        "previous" => Ok(true),
        other => Err(Error::invalid(format!(
            "unrecognized rollback option {other}"
        ))),
    }
}

async fn remove(State(api): State<Api>, Path(id): Path<String>) -> Reply {
    api.backend.cluster.service_remove(&id).await?;
    done()
}
