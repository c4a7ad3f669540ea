//! `/services`.

use axum::Router;
use axum::extract::{Extension, Path, State};
use axum::routing::{get, post};
use engine_types::swarm::ServiceSpec;
use engine_types::{Error, Result};

use crate::body::Json;
use crate::params::Params;
use crate::reply::{Reply, created, done, ok};
use crate::routes::streams::{log_lines, service_log_options};
use crate::serve::Api;
use crate::version::ApiVersion;

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/services", get(list))
        .route("/services/create", post(create))
        .route("/services/{id}", get(inspect).delete(remove))
        .route("/services/{id}/update", post(update))
        .route("/services/{id}/logs", get(logs))
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

async fn logs(
    State(api): State<Api>,
    Extension(version): Extension<ApiVersion>,
    Path(id): Path<String>,
    params: Params,
) -> Reply {
    let (options, details) = (service_log_options(&params)?, params.flag("details"));
    let cluster = &api.backend.cluster;
    let log = cluster.service_logs(&id, options, details).await?;
    Ok(log_lines(&api, version, log))
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
