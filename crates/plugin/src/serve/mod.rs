//! The other side of the protocol: our bridge driver and our address pools, served to somebody else's engine.
//!
//! ```text
//!   engine ── POST /NetworkDriver.Method ──► calls ──► Served ──► files                    what was asked for
//!                                                       │   └───► bridge driver ──rows──► netstate
//!                                                       └───────► cnm::ports
//!          ── POST /IpamDriver.Method ─────► calls ──► Leases ──► files
//! ```
//!
//! To networks, the engine gives the addresses (ours, where it asks us for them), and looks after what is inside of the container's namespace. Ours is the host's side:
//! the bridge, the firewall, published ports, and a veth pair whose one end the engine takes away
//! ([`LinkKind::Handout`](netstate::LinkKind::Handout)).

mod calls;
mod files;
pub(crate) mod leases;
pub(crate) mod read;
mod rows;
mod served;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{UnixListener, UnixStream};

use crate::wire::MIME;
pub use rows::MARK;
pub use served::{Config, Served};

/// Every port of a container, published one by one, comes to half of it.
const MAX_REQUEST: usize = 16 << 20;

/// Answers until `shutdown`.
pub async fn serve(
    listener: UnixListener,
    served: Arc<Served>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            () = &mut shutdown => break,
        };
        tokio::spawn(connection(stream, served.clone()));
    }
    // What has begun ends first.
    served.close().await;
    Ok(())
}

async fn connection(stream: UnixStream, served: Arc<Served>) {
    let service = service_fn(move |request| {
        let served = served.clone();
        async move { Ok::<_, Infallible>(answer(request, served).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection of an engine broke off");
    }
}

async fn answer(request: Request<Incoming>, served: Arc<Served>) -> Response<Full<Bytes>> {
    let method = request.uri().path().trim_start_matches('/').to_string();
    if request.method() != Method::POST {
        return response(StatusCode::METHOD_NOT_ALLOWED, &refusal("want a POST"));
    }
    let body = Limited::new(request.into_body(), MAX_REQUEST);
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return response(StatusCode::BAD_REQUEST, &refusal(&error.to_string())),
    };
    // Whether or not the engine waits for the answer, it is done to its end.
    let called = tokio::spawn(async move {
        let answer = calls::call(&served, &method, &body).await;
        match &answer {
            calls::Answer::Refused(error) => tracing::info!(method, %error, "refused"),
            _ => tracing::debug!(method, "answered"),
        }
        answer
    });
    match called.await {
        Ok(calls::Answer::Done(value)) => response(StatusCode::OK, &value),
        // Docker takes status 404 for a method that need not be there, so a refusal has none.
        Ok(calls::Answer::Refused(error)) => response(StatusCode::OK, &refusal(&error.message)),
        Ok(calls::Answer::Unreadable(why)) => response(StatusCode::BAD_REQUEST, &refusal(&why)),
        Ok(calls::Answer::Unknown) => response(StatusCode::NOT_FOUND, &refusal("page not found")),
        Err(error) => {
            tracing::error!(%error, "call ended without an answer");
            response(
                StatusCode::INTERNAL_SERVER_ERROR,
                &refusal("internal error"),
            )
        }
    }
}

fn refusal(text: &str) -> serde_json::Value {
    // Network drivers say the one, IPAM drivers the other.
    json!({ "Err": text, "Error": text })
}

fn response(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MIME));
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod leases_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests;
