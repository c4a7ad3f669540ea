//! `/pontoon`: what Docker's API has nothing for. `pontoon drift` and `pontoon network explain` are its clients.
//!
//! * `GET /pontoon/drift`: desired against actual kernel state, and counters
//! * `POST /pontoon/drift/hold?seconds=N`: nothing is put right for so long (0 ends it)
//! * `GET /pontoon/explain?from=CONTAINER&to=CONTAINER|NAME|ADDRESS`: the way between them, step by step

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use engine_types::Error;

use crate::params::Params;
use crate::reply::{Reply, no_content, ok};
use crate::serve::Api;

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/pontoon/drift", get(drift))
        .route("/pontoon/drift/hold", post(hold))
        .route("/pontoon/explain", get(explain))
}

async fn drift(State(api): State<Api>) -> Reply {
    ok(&api.backend.networks.drift().await?)
}

async fn hold(State(api): State<Api>, params: Params) -> Reply {
    let seconds = params.number("seconds")?.unwrap_or_default();
    let time = Duration::from_secs(seconds);
    api.backend.networks.hold_healing(time).await?;
    no_content()
}

async fn explain(State(api): State<Api>, params: Params) -> Reply {
    let wanted = |key: &str| {
        let missing = || Error::invalid(format!("parameter {key} is missing"));
        params.optional(key).ok_or_else(missing)
    };
    let (from, to) = (wanted("from")?, wanted("to")?);
    ok(&api.backend.engine.explain(from, to).await?)
}
