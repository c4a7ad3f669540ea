//! `/secrets` and `/configs`.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use engine_types::swarm::{Config, ConfigCreateResponse, ConfigSpec};
use engine_types::swarm::{Secret, SecretCreateResponse, SecretSpec};
use engine_types::{Error, Filters, Result};

use crate::body::Json;
use crate::params::Params;
use crate::reply::{Reply, created, done, no_content, ok};
use crate::serve::Api;

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/secrets", get(secrets))
        .route("/secrets/create", post(secret_create))
        .route("/secrets/{id}", get(secret).delete(secret_remove))
        .route("/secrets/{id}/update", post(secret_update))
        .route("/configs", get(configs))
        .route("/configs/create", post(config_create))
        .route("/configs/{id}", get(config).delete(config_remove))
        .route("/configs/{id}/update", post(config_update))
}

/// The one of `objects` (id, name, itself) that `wanted` names: by id, by name, or by the beginning of an id.
fn select<T>(kind: &str, wanted: &str, objects: Vec<(String, String, T)>) -> Result<T> {
    let exact = |(id, name, _): &(String, String, T)| match () {
        () if id == wanted => 0,
        () if name == wanted => 1,
        () if id.starts_with(wanted) => 2,
        () => 3,
    };
    let best = objects.iter().map(exact).min().unwrap_or(3);
    let mut found = objects.into_iter().filter(|object| exact(object) == best);
    match (best, found.next(), found.count()) {
        (..3, Some((_, _, object)), 0) => Ok(object),
        (..3, Some(_), more) => Err(Error::invalid(format!(
            "{kind} {wanted} is ambiguous ({} matches found)",
            more + 1
        ))),
        _ => Err(Error::not_found(format!("{kind} {wanted} not found"))),
    }
}

async fn secrets(State(api): State<Api>, params: Params) -> Reply {
    ok(&api.backend.cluster.secrets(&params.filters()?).await?)
}

async fn secret(State(api): State<Api>, Path(id): Path<String>) -> Reply {
    let all = api.backend.cluster.secrets(&Filters::default()).await?;
    let keyed = |s: Secret| (s.id.clone(), s.spec.annotations.name.clone(), s);
    ok(&select(
        "secret",
        &id,
        all.into_iter().map(keyed).collect(),
    )?)
}

async fn secret_create(State(api): State<Api>, Json(spec): Json<SecretSpec>) -> Reply {
    let id = api.backend.cluster.secret_create(spec).await?;
    created(&SecretCreateResponse { id })
}

async fn secret_update(
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
    Json(spec): Json<SecretSpec>,
) -> Reply {
    let version = params.version("secret")?;
    api.backend
        .cluster
        .secret_update(&id, version, spec)
        .await?;
    done()
}

async fn secret_remove(State(api): State<Api>, Path(id): Path<String>) -> Reply {
    api.backend.cluster.secret_remove(&id).await?;
    no_content()
}

async fn configs(State(api): State<Api>, params: Params) -> Reply {
    ok(&api.backend.cluster.configs(&params.filters()?).await?)
}

async fn config(State(api): State<Api>, Path(id): Path<String>) -> Reply {
    let all = api.backend.cluster.configs(&Filters::default()).await?;
    let keyed = |c: Config| (c.id.clone(), c.spec.annotations.name.clone(), c);
    ok(&select(
        "config",
        &id,
        all.into_iter().map(keyed).collect(),
    )?)
}

async fn config_create(State(api): State<Api>, Json(spec): Json<ConfigSpec>) -> Reply {
    let id = api.backend.cluster.config_create(spec).await?;
    created(&ConfigCreateResponse { id })
}

async fn config_update(
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
    Json(spec): Json<ConfigSpec>,
) -> Reply {
    let version = params.version("config")?;
    api.backend
        .cluster
        .config_update(&id, version, spec)
        .await?;
    done()
}

async fn config_remove(State(api): State<Api>, Path(id): Path<String>) -> Reply {
    api.backend.cluster.config_remove(&id).await?;
    no_content()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_found_by_id_name_or_prefix() {
        let find = |wanted: &str| {
            let objects = [("abc1", "web"), ("abd2", "abc1"), ("xyz3", "ab")];
            let keyed = |(id, name): (&'static str, &'static str)| (id.into(), name.into(), id);
            select("secret", wanted, objects.into_iter().map(keyed).collect())
                .map_err(|e| e.message)
        };
        assert_eq!(find("abc1"), Ok("abc1"));
        assert_eq!(find("web"), Ok("abc1"));
        assert_eq!(find("ab"), Ok("xyz3"));
        assert_eq!(find("x"), Ok("xyz3"));
        assert_eq!(
            find("a").unwrap_err(),
            "secret a is ambiguous (2 matches found)"
        );
        assert_eq!(find("nope").unwrap_err(), "secret nope not found");
    }
}
