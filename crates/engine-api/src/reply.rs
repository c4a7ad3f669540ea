//! Answers: Docker's status codes, its error body, and JSON.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine_types::{Error, ErrorKind};
use serde::Serialize;

/// What every handler returns.
pub type Reply = Result<Response, Failure>;

/// An error on its way out as a status code and `{"message": …}`.
#[derive(Debug)]
pub struct Failure(pub Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Error { kind, message } = self.0;
        match kind {
            ErrorKind::NotModified => return StatusCode::NOT_MODIFIED.into_response(),
            // Mostly what the user asked for and cannot have (a port in use, an exhausted pool), and he is told. What is
            // broken inside says so where it breaks.
            ErrorKind::System => tracing::info!(%message, "request failed"),
            _ => tracing::debug!(?kind, %message, "request refused"),
        }
        json(status(kind), &Message { message })
    }
}

#[derive(Serialize)]
struct Message {
    message: String,
}

fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotModified => StatusCode::NOT_MODIFIED,
        ErrorKind::InvalidParameter => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::System => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// JSON with a line end, as Go's encoder writes it.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let (status, mut text) = match serde_json::to_vec(value) {
        Ok(text) => (status, text),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            let text = br#"{"message":"the answer could not be encoded"}"#.to_vec();
            (StatusCode::INTERNAL_SERVER_ERROR, text)
        }
    };
    text.push(b'\n');
    let content_type = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, content_type)], text).into_response()
}

pub fn ok(value: &impl Serialize) -> Reply {
    Ok(json(StatusCode::OK, value))
}

pub fn created(value: &impl Serialize) -> Reply {
    Ok(json(StatusCode::CREATED, value))
}

pub fn no_content() -> Reply {
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// 200 without a body.
pub fn done() -> Reply {
    Ok(StatusCode::OK.into_response())
}

/// For what no room serves yet: `what` is the subject of the sentence, in the singular.
pub fn unsupported(what: &str) -> Reply {
    Err(Error::not_implemented(format!("{what} is not supported by this engine")).into())
}

/// Docker's answer to a route or a method that it does not have.
pub fn page_not_found() -> Response {
    let message = "page not found".to_owned();
    json(StatusCode::NOT_FOUND, &Message { message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn errors_have_dockers_body_and_status() {
        let response = Failure(Error::not_found("No such container: x")).into_response();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        let body = axum::body::to_bytes(response.into_body(), 1024)
            .await
            .unwrap();
        assert_eq!(&body[..], b"{\"message\":\"No such container: x\"}\n");
    }

    /// Every refused request of a user would otherwise wake somebody.
    #[test]
    fn a_failed_request_is_not_an_error_of_the_daemon() {
        struct Loudest(std::sync::Mutex<Option<tracing::Level>>);
        impl tracing::Subscriber for Loudest {
            fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
                true
            }
            fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
                tracing::span::Id::from_u64(1)
            }
            fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
            fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
            fn event(&self, event: &tracing::Event<'_>) {
                *self.0.lock().unwrap() = Some(*event.metadata().level());
            }
            fn enter(&self, _: &tracing::span::Id) {}
            fn exit(&self, _: &tracing::span::Id) {}
        }
        let seen = std::sync::Arc::new(Loudest(std::sync::Mutex::default()));
        tracing::subscriber::with_default(seen.clone(), || {
            let error = Error::system("Bind for 0.0.0.0:80 failed: port is already allocated");
            Failure(error).into_response()
        });
        assert_eq!(*seen.0.lock().unwrap(), Some(tracing::Level::INFO));
    }

    #[tokio::test]
    async fn not_modified_has_no_body() {
        let response = Failure(Error::not_modified("it stands still")).into_response();
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        let body = axum::body::to_bytes(response.into_body(), 1024)
            .await
            .unwrap();
        assert!(body.is_empty());
    }
}
