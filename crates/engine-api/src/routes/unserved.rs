//! Routes of Docker's that nothing serves yet. Each says so, so that nobody takes silence for success.

use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use engine_types::Error;

use crate::reply::{Reply, ok, unsupported};
use crate::serve::Api;

pub fn routes() -> Router<Api> {
    Router::new()
        .route(
            "/auth",
            post(async || unsupported("logging in to a registry")),
        )
        .route("/build", post(async || unsupported("building an image")))
        .route(
            "/build/prune",
            post(async || unsupported("the build cache")),
        )
        .route(
            "/commit",
            post(async || unsupported("committing a container")),
        )
        .route(
            "/system/df",
            get(async || unsupported("measuring disk usage")),
        )
        .route(
            "/containers/{id}/attach/ws",
            get(async || unsupported("attaching by websocket")),
        )
        .route(
            "/containers/{id}/changes",
            get(async || unsupported("listing a container's changes")),
        )
        .route(
            "/containers/{id}/stats",
            get(async || unsupported("measuring a container")),
        )
        .route(
            "/containers/{id}/checkpoints",
            get(async || unsupported("a checkpoint")).post(async || unsupported("a checkpoint")),
        )
        // `docker service create` asks here for a digest, and goes on with a warning.
        .route(
            "/distribution/{*name}",
            get(async || unsupported("asking a registry for a digest")),
        )
        .route("/plugins", get(async || ok(&[(); 0])))
        .route(
            "/plugins/{*name}",
            get(plugin)
                .post(async || unsupported("a managed plugin"))
                .delete(plugin),
        )
}

async fn plugin(Path(path): Path<String>) -> Reply {
    let name = path.strip_suffix("/json").unwrap_or(&path);
    Err(Error::not_found(format!("plugin {name:?} not found")).into())
}
