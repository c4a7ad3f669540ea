//! The server around the routes: one per listener.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::ServiceExt;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use tokio_util::sync::CancellationToken;
use tower::Layer;

use crate::reply::Failure;
use crate::version::{self, MAX_VERSION};
use crate::{Backend, routes};

/// How long requests may go on after a stop was asked for. Streams without an end are cut at once.
const GRACE: Duration = Duration::from_secs(2);

/// What handlers share.
#[derive(Clone)]
pub struct Api {
    pub backend: Arc<Backend>,
    /// Cancelled when the server stops.
    pub stop: CancellationToken,
    /// One clone per open `GET /events`.
    pub listeners: Arc<()>,
}

/// Serves the API on `listener` (a Unix or TCP listener of tokio's) until `shutdown` resolves. Fails when the listener does.
pub async fn serve<L>(
    listener: L,
    backend: Backend,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()>
where
    L: Listener,
    L::Addr: Debug,
{
    let api = Api {
        backend: Arc::new(backend),
        stop: CancellationToken::new(),
        listeners: Arc::new(()),
    };
    let stop = api.stop.clone();
    let service =
        middleware::from_fn_with_state(api.clone(), frame).layer(routes::router().with_state(api));
    let server = axum::serve(listener, ServiceExt::<Request>::into_make_service(service))
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let deadline = async move {
        shutdown.await;
        stop.cancel();
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = server => served,
        () = deadline => Ok(()),
    }
}

/// Around every request: the version in front, Docker's headers behind.
async fn frame(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    let mut response = match version::strip(&mut request) {
        Ok(()) => next.run(request).await,
        Err(error) => Failure(error).into_response(),
    };
    tracing::debug!(status = response.status().as_u16(), "{line}");
    let server = api.backend.system.server();
    let headers = response.headers_mut();
    for (name, value) in [
        (
            HeaderName::from_static("api-version"),
            MAX_VERSION.to_string(),
        ),
        (
            HeaderName::from_static("docker-experimental"),
            "false".into(),
        ),
        (HeaderName::from_static("ostype"), "linux".into()),
        (header::SERVER, server),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}
