//! `/images`. A name may hold slashes, so one catch-all route per method is split here by its last word.

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use engine_types::Error;
use serde_json::json;

use crate::body;
use crate::params::Params;
use crate::reply::{Reply, ok, page_not_found, unsupported};
use crate::serve::Api;

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/images/json", get(list))
        .route("/images/get", get(save_many))
        .route("/images/create", post(create))
        .route("/images/load", post(load))
        .route("/images/prune", post(prune))
        .route(
            "/images/search",
            get(async || unsupported("searching a registry")),
        )
        .route("/images/{*name}", get(read).post(act).delete(remove))
}

async fn list(State(api): State<Api>, params: Params) -> Reply {
    let mut filters = params.filters()?;
    // Clients before 1.25 name the reference that they look for by itself.
    if let Some(reference) = params.optional("filter") {
        let references = filters.0.entry("reference".into()).or_default();
        references.push(reference.to_owned());
    }
    ok(&api
        .backend
        .engine
        .images(params.flag("all"), &filters)
        .await?)
}

/// `GET /images/{name}/json`, `/history` or `/get`.
async fn read(State(api): State<Api>, Path(path): Path<String>) -> Reply {
    let engine = &api.backend.engine;
    match path.rsplit_once('/') {
        Some((name, "json")) => ok(&engine.image_inspect(name).await?),
        Some((name, "history")) => ok(&engine.image_history(name).await?),
        Some((name, "get")) => {
            let chunks = engine.image_save(&[name.to_owned()]).await?;
            Ok(body::archive(chunks))
        }
        _ => Ok(page_not_found()),
    }
}

async fn save_many(State(api): State<Api>, params: Params) -> Reply {
    let names: Vec<String> = params.all("names").map(Into::into).collect();
    Ok(body::archive(api.backend.engine.image_save(&names).await?))
}

/// `POST /images/{name}/tag` or `/push`.
async fn act(State(api): State<Api>, Path(path): Path<String>, params: Params) -> Reply {
    match path.rsplit_once('/') {
        Some((name, "tag")) => {
            let (repository, tag) = (params.text("repo"), params.text("tag"));
            api.backend.engine.image_tag(name, repository, tag).await?;
            Ok(StatusCode::CREATED.into_response())
        }
        Some((_, "push")) => unsupported("pushing an image"),
        _ => Ok(page_not_found()),
    }
}

async fn remove(State(api): State<Api>, Path(name): Path<String>, params: Params) -> Reply {
    let (force, prune) = (params.flag("force"), !params.flag("noprune"));
    ok(&api.backend.engine.image_remove(&name, force, prune).await?)
}

/// Pull (`fromImage`) or import (`fromSrc`).
async fn create(
    State(api): State<Api>,
    headers: HeaderMap,
    params: Params,
    request: Request,
) -> Reply {
    let engine = &api.backend.engine;
    if let Some(image) = params.optional("fromImage") {
        let reference = reference(image, params.text("tag"));
        let auth = headers.get("x-registry-auth");
        let auth = auth.and_then(|v| v.to_str().ok()).unwrap_or_default();
        let lines = engine
            .image_pull(&reference, params.text("platform"), auth)
            .await?;
        return body::progress(lines).await;
    }
    match params.text("fromSrc") {
        "-" => {
            let chunks = body::incoming(request.into_body());
            let reference = reference(params.text("repo"), params.text("tag"));
            let changes: Vec<String> = params.all("changes").map(Into::into).collect();
            let message = params.text("message");
            let lines = engine.image_import(chunks, &reference, message, &changes).await?;
            body::progress(lines).await
        }
        "" => Err(Error::invalid("fromImage or fromSrc must be given").into()),
        _ => Err(Error::not_implemented(
            "importing from a URL is not supported by this engine: download the archive and import it from standard input",
        )
        .into()),
    }
}

/// `tag` may also be a digest, or be part of the name.
fn reference(name: &str, tag: &str) -> String {
    match tag {
        "" => name.to_owned(),
        digest if digest.contains(':') => format!("{name}@{digest}"),
        tag => format!("{name}:{tag}"),
    }
}

async fn load(State(api): State<Api>, params: Params, request: Request) -> Reply {
    let quiet = params.text("quiet").is_empty() || params.flag("quiet");
    let chunks = body::incoming(request.into_body());
    body::progress(api.backend.engine.image_load(chunks, quiet).await?).await
}

async fn prune(State(api): State<Api>, params: Params) -> Reply {
    let (deleted, reclaimed) = api.backend.engine.image_prune(&params.filters()?).await?;
    let deleted = Some(deleted).filter(|deleted| !deleted.is_empty());
    ok(&json!({"ImagesDeleted": deleted, "SpaceReclaimed": reclaimed}))
}

#[cfg(test)]
mod tests {
    use super::reference;

    #[test]
    fn a_reference_is_put_together() {
        assert_eq!(reference("busybox", ""), "busybox");
        assert_eq!(reference("busybox", "1.36"), "busybox:1.36");
        assert_eq!(reference("busybox", "sha256:ab"), "busybox@sha256:ab");
    }
}
