//! Attach and exec: the connection stops being HTTP and becomes the process's streams.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use engine::{Attached, StdStream};
use futures_util::{Stream, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::body;
use crate::detach::DetachKeys;
use crate::frame::Framing;
use crate::version::ApiVersion;

/// Taken from the request before its body is read.
pub struct Hijack {
    upgrade: Option<OnUpgrade>,
    version: ApiVersion,
}

impl Hijack {
    pub fn of(request: &mut Request, version: ApiVersion) -> Self {
        let asked = request.headers().contains_key(header::UPGRADE);
        let upgrade = asked.then(|| hyper::upgrade::on(request));
        Self { upgrade, version }
    }

    /// Answers the request and connects the client with the process. A client that asks for no upgrade gets the output
    /// as the answer's body, and has no way to send input.
    pub fn connect(self, attached: Attached, framing: Framing, keys: DetachKeys) -> Response {
        let content_type = framing.content_type(self.version);
        let Some(upgrade) = self.upgrade else {
            let raw = "application/vnd.docker.raw-stream";
            return body::raw(raw, output(attached.output, framing));
        };
        tokio::spawn(async move {
            match upgrade.await {
                Ok(io) => pump(io, attached, framing, keys).await,
                Err(error) => tracing::debug!(%error, "the client left before the upgrade"),
            }
        });
        switching(content_type)
    }
}

/// A log's or a process's output as it goes over the wire.
pub fn output(
    output: mpsc::Receiver<(StdStream, Bytes)>,
    framing: Framing,
) -> impl Stream<Item = Bytes> + Send {
    ReceiverStream::new(output).map(move |(stream, bytes)| framing.encode(stream, bytes))
}

fn switching(content_type: &'static str) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("tcp"));
    let mut response = (StatusCode::SWITCHING_PROTOCOLS, headers).into_response();
    let reason = hyper::ext::ReasonPhrase::from_static(b"UPGRADED");
    response.extensions_mut().insert(reason);
    response
}

async fn pump(io: Upgraded, attached: Attached, framing: Framing, keys: DetachKeys) {
    let (reader, writer) = tokio::io::split(TokioIo::new(io));
    let keys = attached.tty.then_some(keys);
    copy(reader, writer, attached, framing, keys).await;
}

/// Until the process's output ends, the client is gone, or it typed the detach keys. The end of the client's input
/// closes only the process's stdin.
async fn copy(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    attached: Attached,
    framing: Framing,
    keys: Option<DetachKeys>,
) {
    let mut output = std::pin::pin!(output(attached.output, framing));
    let send = async {
        while let Some(chunk) = output.next().await {
            if writer.write_all(&chunk).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
    };
    let receive = async {
        if input(&mut reader, attached.stdin, keys).await == InputEnd::Closed {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = send => {}
        () = receive => tracing::debug!("the client detached"),
    }
    if let Err(error) = writer.shutdown().await {
        tracing::trace!(%error, "the client was gone already");
    }
}

#[derive(Debug, PartialEq, Eq)]
enum InputEnd {
    /// The client sends no more, or the process takes no more.
    Closed,
    Detached,
}

async fn input(
    reader: &mut (impl AsyncRead + Unpin),
    mut stdin: Option<mpsc::Sender<Bytes>>,
    mut keys: Option<DetachKeys>,
) -> InputEnd {
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let n = match reader.read(&mut buffer).await {
            Ok(n) if n > 0 => n,
            _ => return InputEnd::Closed,
        };
        let mut passed = Vec::with_capacity(n);
        let detached = match &mut keys {
            Some(keys) => keys.feed(&buffer[..n], &mut passed),
            None => {
                passed.extend_from_slice(&buffer[..n]);
                false
            }
        };
        if !passed.is_empty()
            && let Some(sender) = &stdin
            && sender.send(passed.into()).await.is_err()
        {
            // The process takes no more, but the detach keys still count.
            stdin = None;
        }
        if detached {
            return InputEnd::Detached;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::framed;
    use crate::testing::{Client, serve};
    use axum::Router;
    use axum::extract::Extension;
    use axum::routing::post;
    use std::time::Duration;
    use tokio::io::DuplexStream;
    use tokio::time::timeout;

    struct Process {
        client: DuplexStream,
        output: mpsc::Sender<(StdStream, Bytes)>,
        stdin: mpsc::Receiver<Bytes>,
        task: tokio::task::JoinHandle<()>,
    }

    fn attach(tty: bool) -> Process {
        let (client, server) = tokio::io::duplex(1024);
        let (output, out) = mpsc::channel(4);
        let (sender, stdin) = mpsc::channel(4);
        let attached = Attached {
            tty,
            output: out,
            stdin: Some(sender),
        };
        let keys = tty.then(|| DetachKeys::parse("").unwrap());
        let task = tokio::spawn(async move {
            let (reader, writer) = tokio::io::split(server);
            copy(reader, writer, attached, Framing { tty }, keys).await;
        });
        Process {
            client,
            output,
            stdin,
            task,
        }
    }

    async fn soon<T>(future: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(5), future).await.unwrap()
    }

    #[tokio::test]
    async fn input_ends_before_output() {
        let mut process = attach(false);
        process.client.write_all(b"question").await.unwrap();
        assert_eq!(soon(process.stdin.recv()).await.unwrap(), "question");
        process.client.shutdown().await.unwrap();
        assert_eq!(soon(process.stdin.recv()).await, None);

        let answer = (StdStream::Stdout, Bytes::from_static(b"answer"));
        process.output.send(answer).await.unwrap();
        drop(process.output);
        let mut all = Vec::new();
        soon(process.client.read_to_end(&mut all)).await.unwrap();
        assert_eq!(all, b"\x01\0\0\0\0\0\0\x06answer");
        soon(process.task).await.unwrap();
    }

    #[tokio::test]
    async fn detach_keys_end_the_attachment_only() {
        let mut process = attach(true);
        process.client.write_all(b"ls\x10\x11").await.unwrap();
        assert_eq!(soon(process.stdin.recv()).await.unwrap(), "ls");
        soon(process.task).await.unwrap();
        let mut rest = Vec::new();
        soon(process.client.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty());
    }

    #[tokio::test]
    async fn without_a_terminal_the_keys_are_bytes() {
        let mut process = attach(false);
        process.client.write_all(b"\x10\x11").await.unwrap();
        assert_eq!(soon(process.stdin.recv()).await.unwrap(), "\x10\x11");
    }

    #[tokio::test]
    async fn a_client_that_is_gone_frees_the_process_streams() {
        let process = attach(false);
        drop(process.client);
        let line = || (StdStream::Stdout, Bytes::from_static(b"x"));
        while soon(process.output.send(line())).await.is_ok() {}
        soon(process.task).await.unwrap();
    }

    /// A process that says back what it hears and ends with its input.
    fn echo(tty: bool) -> Attached {
        let (sender, output) = mpsc::channel(4);
        let (stdin, mut heard) = mpsc::channel(4);
        tokio::spawn(async move {
            while let Some(bytes) = heard.recv().await {
                sender.send((StdStream::Stdout, bytes)).await.unwrap();
            }
        });
        Attached {
            tty,
            output,
            stdin: Some(stdin),
        }
    }

    async fn attached(head: &str, tty: bool) -> Client {
        let attach = async move |Extension(version): Extension<ApiVersion>,
                                 mut request: Request| {
            let hijack = Hijack::of(&mut request, version);
            hijack.connect(echo(tty), Framing { tty }, DetachKeys::parse("").unwrap())
        };
        let routes = Router::new().route("/attach", post(attach));
        let mut client = serve(framed(routes, "Docker/1 (linux)".into())).await;
        client.send(head).await;
        client
    }

    #[tokio::test]
    async fn a_connection_is_taken_over() {
        for (path, tty, kind, answer) in [
            (
                "/attach",
                false,
                "multiplexed",
                &b"\x01\0\0\0\0\0\0\x02hi"[..],
            ),
            ("/v1.41/attach", false, "raw", b"\x01\0\0\0\0\0\0\x02hi"),
            ("/attach", true, "raw", b"hi"),
        ] {
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
            );
            let mut client = attached(&head, tty).await;
            let head = client.head().await;
            assert!(head.starts_with("HTTP/1.1 101 UPGRADED\r\n"), "{head}");
            assert!(head.contains("upgrade: tcp\r\n"), "{head}");
            let content_type = format!("content-type: application/vnd.docker.{kind}-stream\r\n");
            assert!(head.contains(&content_type), "{head}");
            client.send("hi").await;
            assert_eq!(client.read(answer.len()).await, answer);
            client.close_write().await;
            assert!(client.rest().await.is_empty());
        }
    }

    #[tokio::test]
    async fn without_an_upgrade_the_output_is_the_body() {
        let head = "POST /attach HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";
        let mut client = attached(head, false).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("application/vnd.docker.raw-stream"), "{head}");
        // The process had no input to wait for, so it said nothing.
        assert_eq!(client.rest().await, b"0\r\n\r\n");
    }
}
