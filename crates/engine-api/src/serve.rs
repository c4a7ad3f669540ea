//! The server around the routes: one per listener.

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::IntoMakeService;
use axum::serve::Listener;
use axum::{Router, ServiceExt};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};

use crate::reply::Failure;
use crate::version::{self, MAX_VERSION};
use crate::{Backend, routes};

/// How long requests may go on after a stop was asked for. Events and logs, which may have no end, are cut at once.
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
    let name = api.backend.system.server();
    let service = framed(routes::router().with_state(api), name);
    let server =
        axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
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

/// Around every request: the version in front, before a route is chosen; Docker's headers behind.
pub fn framed(routes: Router, server: String) -> IntoMakeService<impl Answer> {
    let service = middleware::from_fn_with_state(Arc::from(server), frame).layer(routes);
    ServiceExt::<Request>::into_make_service(service)
}

/// What [`axum::serve`] can call for each request.
pub trait Answer:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Answer for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

async fn frame(State(server): State<Arc<str>>, mut request: Request, next: Next) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    let mut response = match version::strip(&mut request) {
        Ok(()) => next.run(request).await,
        Err(error) => Failure(error).into_response(),
    };
    tracing::debug!(status = response.status().as_u16(), "{line}");
    let version = MAX_VERSION.to_string();
    let headers = response.headers_mut();
    for (name, value) in [
        (HeaderName::from_static("api-version"), version.as_str()),
        (HeaderName::from_static("docker-experimental"), "false"),
        (HeaderName::from_static("ostype"), "linux"),
        (header::SERVER, &server),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::page_not_found;
    use crate::testing::{Client, serve};
    use crate::version::ApiVersion;
    use axum::extract::Extension;
    use axum::routing::get;

    async fn client() -> Client {
        let version = async |Extension(version): Extension<ApiVersion>| version.to_string();
        let routes = Router::new()
            .route("/what", get(version))
            .fallback(|| async { page_not_found() })
            .method_not_allowed_fallback(|| async { page_not_found() });
        serve(framed(routes, "Docker/1 (linux)".into())).await
    }

    #[tokio::test]
    async fn the_version_is_read_before_a_route_is_chosen() {
        for (path, expected) in [("/what", "1.51"), ("/v1.41/what?x=1", "1.41")] {
            let mut client = client().await;
            client
                .send(&format!("GET {path} HTTP/1.1\r\nHost: d\r\n\r\n"))
                .await;
            let head = client.head().await;
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert!(head.contains("api-version: 1.51\r\n"), "{head}");
            assert!(head.contains("server: Docker/1 (linux)\r\n"), "{head}");
            assert_eq!(client.read(4).await, expected.as_bytes());
        }
    }

    #[tokio::test]
    async fn what_is_not_there_gets_dockers_answers() {
        for (line, status, message) in [
            ("GET /v1.41/nope", "404 Not Found", "page not found"),
            ("PUT /what", "404 Not Found", "page not found"),
            (
                "GET /v1.99/what",
                "400 Bad Request",
                "client version 1.99 is too new",
            ),
        ] {
            let mut client = client().await;
            client
                .send(&format!(
                    "{line} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"
                ))
                .await;
            let head = client.head().await;
            assert!(
                head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
                "{head}"
            );
            assert!(head.contains("ostype: linux\r\n"), "{head}");
            let body = String::from_utf8(client.rest().await).unwrap();
            assert!(
                body.starts_with(&format!("{{\"message\":\"{message}")),
                "{body}"
            );
        }
    }
}
