//! `/networks`.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use engine_types::network::{ConnectOptions, CreateRequest, DisconnectOptions};

use crate::body::Json;
use crate::params::Params;
use crate::reply::{Reply, created, done, no_content, ok};
use crate::serve::Api;

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/networks", get(list))
        .route("/networks/", get(list))
        .route("/networks/create", post(create))
        .route("/networks/prune", post(prune))
        .route("/networks/{id}", get(inspect).delete(remove))
        .route("/networks/{id}/connect", post(connect))
        .route("/networks/{id}/disconnect", post(disconnect))
}

async fn list(State(api): State<Api>, params: Params) -> Reply {
    ok(&api.backend.networks.list(&params.filters()?).await?)
}

async fn inspect(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Reply {
    let (verbose, scope) = (params.flag("verbose"), params.text("scope"));
    ok(&api.backend.networks.inspect(&id, verbose, scope).await?)
}

async fn create(State(api): State<Api>, Json(request): Json<CreateRequest>) -> Reply {
    let CreateRequest {
        create_options,
        name,
        // A taken name is always refused, as since 1.44.
        check_duplicate: _,
    } = request;
    created(&api.backend.networks.create(&name, create_options).await?)
}

async fn connect(
    State(api): State<Api>,
    Path(network): Path<String>,
    Json(options): Json<ConnectOptions>,
) -> Reply {
    api.backend
        .engine
        .network_connect(&network, options)
        .await?;
    done()
}

async fn disconnect(
    State(api): State<Api>,
    Path(network): Path<String>,
    Json(options): Json<DisconnectOptions>,
) -> Reply {
    api.backend
        .engine
        .network_disconnect(&network, options)
        .await?;
    done()
}

async fn prune(State(api): State<Api>, params: Params) -> Reply {
    let filters = params.filters()?;
    filters.validate(&["label", "label!", "until"])?;
    ok(&api.backend.networks.prune(&filters).await?)
}

async fn remove(State(api): State<Api>, Path(id): Path<String>) -> Reply {
    api.backend.networks.remove(&id).await?;
    no_content()
}
