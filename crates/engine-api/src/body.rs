//! Bodies: JSON in with a bound, archives in and out as they come, progress out line by line.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use engine_types::Error;
use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::reply::{Failure, Reply};

/// No JSON that a client sends comes near this; a secret's 500 kB does most.
const JSON_LIMIT: usize = 4 << 20;

/// A JSON body. An empty one is the zero value, as in Docker.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        Ok(Self(read_json(request).await?))
    }
}

pub async fn read_json<T: DeserializeOwned + Default>(request: Request) -> Result<T, Error> {
    let content_type = request.headers().get(header::CONTENT_TYPE).cloned();
    let body = axum::body::to_bytes(request.into_body(), JSON_LIMIT)
        .await
        .map_err(|e| Error::invalid(format!("reading the request body: {e}")))?;
    if body.is_empty() {
        return Ok(T::default());
    }
    let content_type = content_type
        .as_ref()
        .map_or("", |v| v.to_str().unwrap_or(""));
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Error::invalid(format!(
            "unsupported Content-Type header ({content_type}): must be 'application/json'"
        )));
    }
    serde_json::from_slice(&body).map_err(|e| Error::invalid(format!("invalid JSON: {e}")))
}

/// A body on its way in, chunk by chunk: what is not read yet holds the client back.
pub fn incoming(body: Body) -> engine::Chunks {
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        let mut stream = body.into_data_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|e| Error::invalid(format!("reading the request body: {e}")));
            if sender.send(chunk).await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// An archive on its way out. A failure half way can only cut the connection.
pub fn archive(chunks: engine::Chunks) -> Response {
    let content_type = (header::CONTENT_TYPE, "application/x-tar");
    let body = Body::from_stream(ReceiverStream::new(chunks));
    ([content_type], body).into_response()
}

/// Lines of JSON as they come. A failure before the first one is an error of the request; after that it is a line.
pub async fn progress(mut lines: engine::Progress) -> Reply {
    let first = match lines.recv().await {
        Some(Err(error)) => return Err(error.into()),
        first => first,
    };
    let first = futures_util::stream::iter(first);
    Ok(lines_of_json(first.chain(ReceiverStream::new(lines)).map(
        |line| match line {
            Ok(line) => line,
            Err(e) => {
                serde_json::json!({"errorDetail": {"message": e.message}, "error": e.message})
            }
        },
    )))
}

/// A stream of JSON values, each flushed as it comes; the headers go out at once.
pub fn lines_of_json(values: impl Stream<Item = serde_json::Value> + Send + 'static) -> Response {
    let content_type = (header::CONTENT_TYPE, "application/json");
    let lines = values.map(|value| Ok::<_, std::convert::Infallible>(format!("{value}\r\n")));
    ([content_type], Body::from_stream(lines)).into_response()
}

/// A stream of bytes with its content type; the headers go out at once.
pub fn raw(
    content_type: &'static str,
    chunks: impl Stream<Item = Bytes> + Send + 'static,
) -> Response {
    let body = Body::from_stream(chunks.map(Ok::<_, std::convert::Infallible>));
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::framed;
    use crate::testing::serve;
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use serde_json::{Value, json};

    async fn read(content_type: &str, body: Vec<u8>) -> Result<Value, String> {
        let mut request = Request::builder();
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        read_json(request.body(Body::from(body)).unwrap())
            .await
            .map_err(|e| e.message)
    }

    #[tokio::test]
    async fn json_is_read_with_dockers_rules() {
        assert_eq!(read("", vec![]).await, Ok(Value::Null));
        let body = || br#"{"a":1}"#.to_vec();
        assert_eq!(
            read("application/json; charset=utf-8", body()).await,
            Ok(json!({"a": 1}))
        );
        assert_eq!(
            read("text/plain", body()).await.unwrap_err(),
            "unsupported Content-Type header (text/plain): must be 'application/json'"
        );
        let error = read("application/json", b"{".to_vec()).await.unwrap_err();
        assert!(error.starts_with("invalid JSON: EOF"), "{error}");
        let error = read("application/json", b"{} {}".to_vec())
            .await
            .unwrap_err();
        assert!(error.starts_with("invalid JSON: trailing"), "{error}");
    }

    #[tokio::test]
    async fn json_is_bounded() {
        let huge = vec![b' '; JSON_LIMIT + 1];
        let error = read("application/json", huge).await.unwrap_err();
        assert!(error.starts_with("reading the request body"), "{error}");
    }

    #[tokio::test]
    async fn a_failure_after_the_first_line_becomes_a_line() {
        let (sender, receiver) = mpsc::channel(4);
        sender.send(Ok(json!({"status": "Pulling"}))).await.unwrap();
        sender.send(Err(Error::system("lost"))).await.unwrap();
        drop(sender);
        let response = progress(receiver).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let body = axum::body::to_bytes(response.into_body(), 1024)
            .await
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&body),
            "{\"status\":\"Pulling\"}\r\n{\"error\":\"lost\",\"errorDetail\":{\"message\":\"lost\"}}\r\n"
        );
    }

    #[tokio::test]
    async fn a_failure_before_the_first_line_is_the_requests() {
        let (sender, receiver) = mpsc::channel(1);
        sender
            .send(Err(Error::not_found("no such image")))
            .await
            .unwrap();
        assert_eq!(
            progress(receiver).await.unwrap_err().0,
            Error::not_found("no such image")
        );
    }

    #[tokio::test]
    async fn a_body_comes_in_whole() {
        let mut chunks = incoming(Body::from("a tar"));
        let mut all = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            all.extend_from_slice(&chunk.unwrap());
        }
        assert_eq!(all, b"a tar");
    }

    #[tokio::test]
    async fn lines_go_out_as_they_come() {
        let (sender, receiver) = mpsc::channel(4);
        let receiver = std::sync::Arc::new(std::sync::Mutex::new(Some(receiver)));
        let events = async move || {
            let receiver = receiver.lock().unwrap().take().unwrap();
            lines_of_json(ReceiverStream::new(receiver))
        };
        let routes = Router::new().route("/events", get(events));
        let mut client = serve(framed(routes, String::new())).await;
        client.send("GET /events HTTP/1.1\r\nHost: d\r\n\r\n").await;
        let head = client.head().await;
        assert!(
            head.contains("content-type: application/json\r\n"),
            "{head}"
        );
        for n in [1, 2] {
            sender.send(json!({ "n": n })).await.unwrap();
            let chunk = format!("9\r\n{{\"n\":{n}}}\r\n\r\n");
            assert_eq!(client.read(chunk.len()).await, chunk.as_bytes());
        }
    }
}
