//! `/swarm`, `/nodes` and `/tasks`.

use axum::Router;
use axum::extract::{Extension, Path, State};
use axum::routing::{get, post};
use cluster::Rotate;
use engine_types::swarm::{
    InitRequest, JoinRequest, NodeSpec, Spec, UnlockKeyResponse, UnlockRequest,
};

use crate::body::Json;
use crate::params::Params;
use crate::reply::{Reply, done, ok};
use crate::routes::streams::{log_lines, service_log_options};
use crate::serve::Api;
use crate::version::ApiVersion;

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/swarm", get(inspect))
        .route("/swarm/init", post(init))
        .route("/swarm/join", post(join))
        .route("/swarm/leave", post(leave))
        .route("/swarm/update", post(update))
        .route("/swarm/unlockkey", get(unlock_key))
        .route("/swarm/unlock", post(unlock))
        .route("/nodes", get(nodes))
        .route("/nodes/{id}", get(node).delete(node_remove))
        .route("/nodes/{id}/update", post(node_update))
        .route("/tasks", get(tasks))
        .route("/tasks/{id}", get(task))
        .route("/tasks/{id}/logs", get(task_logs))
}

async fn inspect(State(api): State<Api>) -> Reply {
    ok(&api.backend.cluster.inspect().await?)
}

async fn init(
    State(api): State<Api>,
    Extension(version): Extension<ApiVersion>,
    Json(mut request): Json<InitRequest>,
) -> Reply {
    // What a version does not have is not read from its clients.
    if !version.at_least(39) {
        request.default_addr_pool = None;
        request.subnet_size = 0;
    }
    if !version.at_least(40) {
        request.data_path_port = 0;
    }
    ok(&api.backend.cluster.init(request).await?)
}

async fn join(State(api): State<Api>, Json(request): Json<JoinRequest>) -> Reply {
    api.backend.cluster.join(request).await?;
    done()
}

async fn leave(State(api): State<Api>, params: Params) -> Reply {
    api.backend.cluster.leave(params.flag("force")).await?;
    done()
}

async fn update(State(api): State<Api>, params: Params, Json(spec): Json<Spec>) -> Reply {
    let version = params.version("swarm")?;
    let rotate = Rotate {
        worker_token: params.flag("rotateWorkerToken"),
        manager_token: params.flag("rotateManagerToken"),
        unlock_key: params.flag("rotateManagerUnlockKey"),
    };
    api.backend.cluster.update(version, spec, rotate).await?;
    done()
}

async fn unlock_key(State(api): State<Api>) -> Reply {
    let unlock_key = api.backend.cluster.unlock_key().await?;
    ok(&UnlockKeyResponse { unlock_key })
}

async fn unlock(State(api): State<Api>, Json(request): Json<UnlockRequest>) -> Reply {
    api.backend.cluster.unlock(&request.unlock_key).await?;
    done()
}

async fn nodes(State(api): State<Api>, params: Params) -> Reply {
    ok(&api.backend.cluster.nodes(&params.filters()?).await?)
}

async fn node(State(api): State<Api>, Path(id): Path<String>) -> Reply {
    ok(&api.backend.cluster.node(&id).await?)
}

async fn node_update(
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
    Json(spec): Json<NodeSpec>,
) -> Reply {
    let version = params.version("node")?;
    api.backend.cluster.node_update(&id, version, spec).await?;
    done()
}

async fn node_remove(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Reply {
    api.backend
        .cluster
        .node_remove(&id, params.flag("force"))
        .await?;
    done()
}

async fn tasks(State(api): State<Api>, params: Params) -> Reply {
    ok(&api.backend.cluster.tasks(&params.filters()?).await?)
}

async fn task(State(api): State<Api>, Path(id): Path<String>) -> Reply {
    ok(&api.backend.cluster.task(&id).await?)
}

async fn task_logs(
    State(api): State<Api>,
    Extension(version): Extension<ApiVersion>,
    Path(id): Path<String>,
    params: Params,
) -> Reply {
    let (options, details) = (service_log_options(&params)?, params.flag("details"));
    let log = api.backend.cluster.task_logs(&id, options, details).await?;
    Ok(log_lines(&api, version, log))
}
