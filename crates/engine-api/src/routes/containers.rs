//! `/containers`: life and inspection. Streams of a container are in `streams`, its processes in `exec`.

use axum::Router;
use axum::extract::{Extension, Path, Request, State};
use axum::routing::{get, post};
use engine_types::container::{ContainerUpdate, CreateRequest};
use engine_types::{Error, Result};
use serde_json::json;

use crate::body::{self, Json};
use crate::params::Params;
use crate::reply::{Reply, created, done, no_content, ok};
use crate::serve::Api;
use crate::version::ApiVersion;

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/containers/create", post(create))
        .route("/containers/json", get(list))
        .route("/containers/prune", post(prune))
        .route("/containers/{id}", axum::routing::delete(remove))
        .route("/containers/{id}/json", get(inspect))
        .route("/containers/{id}/top", get(top))
        .route("/containers/{id}/start", post(start))
        .route("/containers/{id}/stop", post(stop))
        .route("/containers/{id}/restart", post(restart))
        .route("/containers/{id}/kill", post(kill))
        .route("/containers/{id}/pause", post(pause))
        .route("/containers/{id}/unpause", post(unpause))
        .route("/containers/{id}/rename", post(rename))
        .route("/containers/{id}/update", post(update))
        .route("/containers/{id}/resize", post(resize))
}

async fn create(
    State(api): State<Api>,
    Extension(version): Extension<ApiVersion>,
    params: Params,
    request: Request,
) -> Reply {
    let mut create: Option<CreateRequest> = body::read_json(request).await?;
    let Some(create) = &mut create else {
        return Err(Error::invalid("config cannot be empty in order to create a container").into());
    };
    check_platform(params.text("platform"), &create.config.image)?;
    as_version_expects(create, version);
    let name = params.optional("name");
    let mut response = api.backend.engine.create(name, create.clone()).await?;
    response.warnings.get_or_insert_default();
    created(&response)
}

/// Images of other platforms than this host's are not kept, so asking for one is asking for an image that is not there.
fn check_platform(wanted: &str, image: &str) -> Result<()> {
    let here = format!("linux/{}", crate::system::go_arch());
    if wanted.is_empty() || wanted == "linux" || wanted == here {
        return Ok(());
    }
    Err(Error::not_found(format!(
        "image with reference {image} was found but does not match the specified platform: wanted {wanted}, actual: {here}"
    )))
}

/// Defaults that changed after `version`, put in where the client relies on the old ones.
fn as_version_expects(create: &mut CreateRequest, version: ApiVersion) {
    if !version.at_least(44)
        && let Some(check) = &mut create.config.healthcheck
    {
        check.start_interval = 0;
    }
    let Some(host) = &mut create.host_config else {
        return;
    };
    if !version.at_least(25) {
        host.auto_remove = false;
    }
    if !version.at_least(40) && host.ipc_mode.is_empty() {
        host.ipc_mode = "shareable".into();
    }
    if !version.at_least(41) && host.cgroupns_mode.is_empty() {
        host.cgroupns_mode = "host".into();
    }
}

async fn list(State(api): State<Api>, params: Params) -> Reply {
    let limit = params.number::<i64>("limit")?;
    let limit = limit
        .and_then(|n| usize::try_from(n).ok())
        .filter(|&n| n > 0);
    let filters = params.filters()?;
    let (all, size) = (params.flag("all"), params.flag("size"));
    ok(&api.backend.engine.list(all, limit, size, &filters).await?)
}

async fn inspect(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Reply {
    ok(&api.backend.engine.inspect(&id, params.flag("size")).await?)
}

async fn top(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Reply {
    let args = params.optional("ps_args").unwrap_or("-ef");
    let (titles, processes) = api.backend.engine.top(&id, args).await?;
    ok(&json!({"Titles": titles, "Processes": processes}))
}

async fn start(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Reply {
    if params.optional("checkpoint").is_some() {
        return Err(Error::not_implemented("checkpoints are not supported by this engine").into());
    }
    api.backend.engine.start_container(&id).await?;
    no_content()
}

async fn stop(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Reply {
    let (signal, timeout) = (params.optional("signal"), params.number("t")?);
    api.backend.engine.stop(&id, signal, timeout).await?;
    no_content()
}

async fn restart(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Reply {
    let (signal, timeout) = (params.optional("signal"), params.number("t")?);
    api.backend.engine.restart(&id, signal, timeout).await?;
    no_content()
}

async fn kill(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Reply {
    let signal = params.optional("signal").unwrap_or("SIGKILL");
    api.backend.engine.kill(&id, signal).await?;
    no_content()
}

async fn pause(State(api): State<Api>, Path(id): Path<String>) -> Reply {
    api.backend.engine.pause(&id, true).await?;
    no_content()
}

async fn unpause(State(api): State<Api>, Path(id): Path<String>) -> Reply {
    api.backend.engine.pause(&id, false).await?;
    no_content()
}

async fn rename(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Reply {
    api.backend.engine.rename(&id, params.text("name")).await?;
    no_content()
}

async fn update(
    State(api): State<Api>,
    Path(id): Path<String>,
    Json(update): Json<ContainerUpdate>,
) -> Reply {
    let warnings = api.backend.engine.update(&id, update).await?;
    ok(&json!({"Warnings": warnings}))
}

async fn resize(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Reply {
    let (height, width) = size(&params)?;
    api.backend.engine.resize(&id, height, width).await?;
    done()
}

/// `h=` and `w=` of a terminal, in characters.
pub fn size(params: &Params) -> Result<(u16, u16)> {
    let side = |key| {
        params
            .number(key)?
            .ok_or_else(|| Error::invalid(format!("invalid value for {key}: ''")))
    };
    Ok((side("h")?, side("w")?))
}

async fn remove(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Reply {
    if params.flag("link") {
        return Err(
            Error::not_implemented("removing a link is not supported by this engine").into(),
        );
    }
    let (force, volumes) = (params.flag("force"), params.flag("v"));
    api.backend.engine.remove(&id, force, volumes).await?;
    no_content()
}

async fn prune(State(api): State<Api>, params: Params) -> Reply {
    let (deleted, reclaimed) = api.backend.engine.prune(&params.filters()?).await?;
    let deleted = Some(deleted).filter(|deleted| !deleted.is_empty());
    ok(&json!({"ContainersDeleted": deleted, "SpaceReclaimed": reclaimed}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine_types::container::HostConfig;

    #[test]
    fn older_clients_get_the_defaults_of_their_time() {
        let created_with = |minor| {
            let mut create = CreateRequest {
                host_config: Some(HostConfig {
                    auto_remove: true,
                    ..Default::default()
                }),
                ..Default::default()
            };
            as_version_expects(&mut create, ApiVersion(1, minor));
            let host = create.host_config.unwrap();
            (host.auto_remove, host.ipc_mode, host.cgroupns_mode)
        };
        assert_eq!(created_with(24), (false, "shareable".into(), "host".into()));
        assert_eq!(created_with(40), (true, String::new(), "host".into()));
        assert_eq!(created_with(41), (true, String::new(), String::new()));
    }

    #[test]
    fn another_platform_is_an_image_that_is_not_here() {
        let here = format!("linux/{}", crate::system::go_arch());
        assert!(check_platform("", "i").is_ok());
        assert!(check_platform(&here, "i").is_ok());
        let error = check_platform("linux/sparc", "i").unwrap_err();
        assert_eq!(error.kind, engine_types::ErrorKind::NotFound);
    }
}
