//! A container's streams: attach, logs, the wait for its end, and files in and out.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use engine::{Attached, LogOptions, WaitCondition};
use engine_types::container::{WaitExitError, WaitResponse};
use engine_types::{Error, Result};
use futures_util::StreamExt;

use crate::body;
use crate::detach::DetachKeys;
use crate::frame::Framing;
use crate::hijack::{self, Hijack};
use crate::params::Params;
use crate::reply::{Reply, done};
use crate::serve::Api;
use crate::version::ApiVersion;

const PATH_STAT: HeaderName = HeaderName::from_static("x-docker-container-path-stat");

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/containers/{id}/attach", post(attach))
        .route("/containers/{id}/logs", get(logs))
        .route("/containers/{id}/wait", post(wait))
        .route("/containers/{id}/export", get(export))
        .route(
            "/containers/{id}/archive",
            get(archive_get).head(archive_head).put(archive_put),
        )
}

async fn attach(
    State(api): State<Api>,
    Extension(version): Extension<ApiVersion>,
    Path(id): Path<String>,
    params: Params,
    mut request: Request,
) -> Reply {
    let keys = DetachKeys::parse(params.text("detachKeys"))?;
    let hijack = Hijack::of(&mut request, version);
    let flag = |key| params.flag(key);
    let engine = &api.backend.engine;
    let attached = engine
        .attach(
            &id,
            flag("stdin"),
            flag("stdout"),
            flag("stderr"),
            flag("logs"),
            flag("stream"),
        )
        .await?;
    let framing = Framing { tty: attached.tty };
    Ok(hijack.connect(attached, framing, keys))
}

async fn logs(
    State(api): State<Api>,
    Extension(version): Extension<ApiVersion>,
    Path(id): Path<String>,
    params: Params,
) -> Reply {
    let log = api.backend.engine.logs(&id, log_options(&params)?).await?;
    Ok(log_lines(&api, version, log))
}

pub fn log_lines(api: &Api, version: ApiVersion, log: Attached) -> Response {
    let framing = Framing { tty: log.tty };
    let content_type = framing.content_type(version);
    let lines = hijack::output(log.output, framing).take_until(api.stop.clone().cancelled_owned());
    body::raw(content_type, lines)
}

/// As for a container's log, but Docker is strict about a service's tail.
pub fn service_log_options(params: &Params) -> Result<LogOptions> {
    let options = log_options(params)?;
    match params.text("tail") {
        "" | "all" => Ok(options),
        text if text.parse::<i64>().is_ok_and(|lines| lines < 0) => {
            Err(Error::invalid("negative tail values not supported"))
        }
        _ if options.tail.is_none() => Err(Error::invalid(
            "tail value must be a positive integer or \"all\"",
        )),
        _ => Ok(options),
    }
}

fn log_options(params: &Params) -> Result<LogOptions> {
    let (stdout, stderr) = (params.flag("stdout"), params.flag("stderr"));
    if !stdout && !stderr {
        return Err(Error::invalid(
            "Bad parameters: you must choose at least one stream",
        ));
    }
    Ok(LogOptions {
        stdout,
        stderr,
        follow: params.flag("follow"),
        timestamps: params.flag("timestamps"),
        since: params.moment("since")?,
        until: params.moment("until")?,
        // As in Docker, what is no number means all.
        tail: params.text("tail").parse().ok(),
    })
}

/// The headers go out at once: they tell the client that the wait has begun, so that it may start the container.
async fn wait(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Reply {
    let condition = match params.text("condition") {
        "" | "not-running" => WaitCondition::NotRunning,
        "next-exit" => WaitCondition::NextExit,
        "removed" => WaitCondition::Removed,
        other => return Err(Error::invalid(format!("invalid condition: {other:?}")).into()),
    };
    let end = api.backend.engine.wait(&id, condition).await?;
    let line = async {
        let response = end.await.unwrap_or_else(|_| WaitResponse {
            error: Some(WaitExitError {
                message: "the engine stopped".into(),
            }),
            status_code: -1,
        });
        let mut line = serde_json::to_vec(&response).unwrap_or_default();
        line.push(b'\n');
        Ok::<_, Infallible>(line)
    };
    let body = Body::from_stream(futures_util::stream::once(line));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

async fn export(State(api): State<Api>, Path(id): Path<String>) -> Reply {
    Ok(body::archive(api.backend.engine.export(&id).await?))
}

async fn archive_get(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Reply {
    let (stat, chunks) = api.backend.engine.archive_get(&id, path(&params)?).await?;
    with_stat(body::archive(chunks), &stat)
}

async fn archive_head(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Reply {
    let (stat, _) = api.backend.engine.archive_get(&id, path(&params)?).await?;
    with_stat(done()?, &stat)
}

fn with_stat(mut response: Response, stat: &str) -> Reply {
    let stat = HeaderValue::from_str(stat).map_err(Error::system)?;
    response.headers_mut().insert(PATH_STAT, stat);
    Ok(response)
}

async fn archive_put(
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
    request: Request,
) -> Reply {
    if params.flag("copyUIDGID") {
        return Err(Error::not_implemented(
            "copying the owner of files (-a) is not supported by this engine",
        )
        .into());
    }
    let chunks = body::incoming(request.into_body());
    api.backend
        .engine
        .archive_put(&id, path(&params)?, chunks)
        .await?;
    done()
}

fn path(params: &Params) -> Result<&str> {
    params
        .optional("path")
        .ok_or_else(|| Error::invalid("bad parameter: path cannot be empty"))
}
