//! The engine itself: ping, version, info, events.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::StreamExt;

use crate::body;
use crate::events::Selection;
use crate::params::Params;
use crate::reply::{Reply, ok};
use crate::serve::Api;

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/_ping", get(ping).head(ping_head))
        .route("/version", get(version))
        .route("/info", get(info))
        .route("/events", get(events))
}

async fn ping(State(api): State<Api>) -> Response {
    (ping_headers(&api), "OK").into_response()
}

async fn ping_head(State(api): State<Api>) -> Response {
    let mut headers = ping_headers(&api);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers.into_response()
}

fn ping_headers(api: &Api) -> HeaderMap {
    let swarm = api.backend.cluster.ping_header();
    let pairs = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
        (header::PRAGMA, "no-cache"),
        // 2 would send the client to BuildKit, which is not here.
        (HeaderName::from_static("builder-version"), "1"),
        (HeaderName::from_static("swarm"), &swarm),
    ];
    pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name, HeaderValue::from_str(value).ok()?)))
        .collect()
}

async fn version(State(api): State<Api>) -> Reply {
    ok(&api.backend.system.version_response())
}

async fn info(State(api): State<Api>) -> Reply {
    let backend = &api.backend;
    let mut info = backend.system.info();
    let (running, paused, stopped, images) = backend.engine.counts();
    info.containers = running + paused + stopped;
    info.containers_running = running;
    info.containers_paused = paused;
    info.containers_stopped = stopped;
    info.images = images;
    info.plugins.network = backend.networks.driver_names();
    info.swarm = backend.cluster.info().await;
    info.n_events_listener = Arc::strong_count(&api.listeners) - 1;
    ok(&info)
}

async fn events(State(api): State<Api>, params: Params) -> Reply {
    let (since, until) = (params.moment("since")?, params.moment("until")?);
    let selection = Selection::new(params.filters()?, since, until)?;
    let (history, live) = api.backend.engine.events().subscribe();
    let listener = Arc::clone(&api.listeners);
    let lines = selection
        .stream(history, live)
        .take_until(api.stop.clone().cancelled_owned())
        .filter_map(move |event| {
            let _held_while_listening = &listener;
            std::future::ready(serde_json::to_value(event).ok())
        });
    Ok(body::lines_of_json(lines))
}
