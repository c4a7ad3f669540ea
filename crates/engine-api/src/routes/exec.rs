//! Further processes in a container.

use axum::Router;
use axum::extract::{Extension, Path, Request, State};
use axum::routing::{get, post};
use bytes::Bytes;
use engine::{Attached, StdStream};
use engine_types::container::{ExecCreateResponse, ExecOptions, ExecStartOptions};
use engine_types::{Error, ErrorKind};
use tokio::sync::mpsc;

use super::containers::size;
use crate::body::{self, Json};
use crate::detach::DetachKeys;
use crate::frame::Framing;
use crate::hijack::Hijack;
use crate::params::Params;
use crate::reply::{Reply, created, done, ok};
use crate::serve::Api;
use crate::version::ApiVersion;

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/containers/{id}/exec", post(create))
        .route("/exec/{id}/start", post(start))
        .route("/exec/{id}/resize", post(resize))
        .route("/exec/{id}/json", get(inspect))
}

async fn create(
    State(api): State<Api>,
    Path(id): Path<String>,
    Json(options): Json<ExecOptions>,
) -> Reply {
    if options.cmd.as_ref().is_none_or(Vec::is_empty) {
        return Err(Error::invalid("No exec command specified").into());
    }
    DetachKeys::parse(&options.detach_keys)?;
    let id = api.backend.engine.exec_create(&id, options).await?;
    created(&ExecCreateResponse { id })
}

async fn start(
    State(api): State<Api>,
    Extension(version): Extension<ApiVersion>,
    Path(id): Path<String>,
    mut request: Request,
) -> Reply {
    let hijack = Hijack::of(&mut request, version);
    let options: ExecStartOptions = body::read_json(request).await?;
    let engine = &api.backend.engine;
    let exec = engine.exec_inspect(&id).await?;
    let keys = DetachKeys::parse(exec["DetachKeys"].as_str().unwrap_or_default())?;

    let attached = match engine.exec_start(&id, options.detach, options.tty).await {
        Ok(Some(attached)) => attached,
        Ok(None) => return done(),
        Err(error) if options.detach || !is_outcome(&error) => return Err(error.into()),
        Err(error) => last_words(options.tty, &error),
    };
    if let Some([height, width]) = options.console_size.as_deref()
        && let (Ok(height), Ok(width)) = (u16::try_from(*height), u16::try_from(*width))
        && let Err(error) = engine.exec_resize(&id, height, width).await
    {
        tracing::debug!(%error, "the terminal keeps its size");
    }
    Ok(hijack.connect(attached, Framing { tty: options.tty }, keys))
}

/// The runtime's own failure (no such program …) is what the process says: clients print it and then ask for the exit code.
fn is_outcome(error: &Error) -> bool {
    !matches!(error.kind, ErrorKind::NotFound | ErrorKind::Conflict)
}

fn last_words(tty: bool, error: &Error) -> Attached {
    let (sender, output) = mpsc::channel(1);
    let text = Bytes::from(format!("{error}\r\n"));
    // The channel has room for one and its receiver is in hand.
    let _ = sender.try_send((StdStream::Stdout, text));
    Attached {
        tty,
        output,
        stdin: None,
    }
}

async fn resize(State(api): State<Api>, Path(id): Path<String>, params: Params) -> Reply {
    let (height, width) = size(&params)?;
    api.backend.engine.exec_resize(&id, height, width).await?;
    done()
}

async fn inspect(State(api): State<Api>, Path(id): Path<String>) -> Reply {
    ok(&api.backend.engine.exec_inspect(&id).await?)
}
