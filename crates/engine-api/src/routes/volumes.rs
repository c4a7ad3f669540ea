//! `/volumes`.

use axum::Router;
use axum::extract::{Extension, Path, State};
use axum::routing::{get, post};
use engine_types::Error;
use engine_types::volume::{CreateRequest, ListResponse};

use crate::body::Json;
use crate::params::Params;
use crate::reply::{Reply, created, no_content, ok};
use crate::serve::Api;
use crate::version::ApiVersion;

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/volumes", get(list))
        .route("/volumes/create", post(create))
        .route("/volumes/prune", post(prune))
        .route("/volumes/{name}", get(inspect).put(update).delete(remove))
}

async fn list(State(api): State<Api>, params: Params) -> Reply {
    let volumes = api.backend.engine.volumes(&params.filters()?).await?;
    ok(&ListResponse {
        volumes,
        warnings: None,
    })
}

async fn create(State(api): State<Api>, Json(request): Json<CreateRequest>) -> Reply {
    created(&api.backend.engine.volume_create(request).await?)
}

async fn inspect(State(api): State<Api>, Path(name): Path<String>) -> Reply {
    ok(&api.backend.engine.volume(&name)?)
}

/// Only volumes of the cluster can be changed, and there are none.
async fn update() -> Reply {
    let text = "volume update only valid for cluster volumes, but swarm is unavailable";
    Err(Error::unavailable(text).into())
}

async fn remove(State(api): State<Api>, Path(name): Path<String>, params: Params) -> Reply {
    let force = params.flag("force");
    api.backend.engine.volume_remove(&name, force).await?;
    no_content()
}

async fn prune(
    State(api): State<Api>,
    Extension(version): Extension<ApiVersion>,
    params: Params,
) -> Reply {
    let mut filters = params.filters()?;
    // Clients of before know no anonymous volumes: they mean all.
    if !version.at_least(42) {
        filters.0.insert("all".into(), vec!["true".into()]);
    }
    ok(&api.backend.engine.volume_prune(&filters).await?)
}
