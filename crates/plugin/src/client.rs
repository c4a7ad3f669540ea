//! One call: a POST with JSON in both directions, bounded in time and size.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine_types::Error;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::address::Address;
use crate::find::Place;
use crate::wire::{self, MIME};

/// No answer of the protocol comes near it.
const MAX_ANSWER: usize = 1 << 20;
/// Of a connection that cannot be made: after 1, 2, 4 … seconds it is tried again, as long as the whole stays below this.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Why a call has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    #[error("plugin {plugin:?} cannot be reached at {address}: {why}")]
    Unreachable {
        plugin: String,
        address: String,
        why: String,
    },
    #[error("plugin {plugin:?} did not answer {method} within {seconds} seconds")]
    Late {
        plugin: String,
        method: &'static str,
        seconds: u64,
    },
    #[error("plugin {plugin:?} broke off {method}: {why}")]
    Broken {
        plugin: String,
        method: &'static str,
        why: String,
    },
    /// The plugin refuses, by HTTP's status.
    #[error("{method}: {text}")]
    Status {
        method: &'static str,
        status: StatusCode,
        text: String,
    },
    /// The plugin refuses, in its answer.
    #[error("remote: {0}")]
    Refused(String),
    #[error("plugin {plugin:?} answered {method} with nonsense: {why}")]
    Nonsense {
        plugin: String,
        method: &'static str,
        why: String,
    },
}

impl Failure {
    /// The plugin does not know the method.
    pub fn is_unknown_method(&self) -> bool {
        matches!(self, Self::Status { status, .. } if *status == StatusCode::NOT_FOUND)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Error::system(failure)
    }
}

/// Speaks to one plugin.
#[derive(Clone, Debug)]
pub struct Client {
    pub plugin: String,
    address: Address,
    tls: Option<Arc<ClientConfig>>,
    patience: Duration,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Client {
    pub fn new(plugin: &str, place: &Place, patience: Duration) -> Result<Self, String> {
        let tls = match place.address {
            Address::Tcp { tls: true, .. } => Some(place.tls.client()?),
            _ => None,
        };
        Ok(Self {
            plugin: plugin.to_string(),
            address: place.address.clone(),
            tls,
            patience,
        })
    }

    /// A call whose time is limited by `end` as well.
    pub async fn call_until<T: DeserializeOwned>(
        &self,
        end: Instant,
        method: &'static str,
        request: &impl Serialize,
    ) -> Result<T, Failure> {
        let end = end.min(Instant::now() + self.patience);
        let late = |_| Failure::Late {
            plugin: self.plugin.clone(),
            method,
            seconds: self.patience.as_secs(),
        };
        let mut body = serde_json::to_vec(request).map_err(|e| self.nonsense(method, &e))?;
        // Nothing to say is an empty body.
        if body == b"null" {
            body.clear();
        }
        let called = tokio::time::timeout_at(end.into(), self.attempt(end, method, body.into()));
        let answer = called.await.map_err(late)??;
        wire::answer(&answer).map_err(|fault| match fault {
            wire::Fault::Refused(text) => Failure::Refused(text),
            wire::Fault::Nonsense(why) => self.nonsense(method, &why),
        })
    }

    pub async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        request: &impl Serialize,
    ) -> Result<T, Failure> {
        self.call_until(Instant::now() + self.patience, method, request)
            .await
    }

    pub fn nonsense(&self, method: &'static str, why: &dyn ToString) -> Failure {
        Failure::Nonsense {
            plugin: self.plugin.clone(),
            method,
            why: wire::readable(&why.to_string()),
        }
    }

    /// When the calls of one errand have to be over.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.patience
    }

    /// Connects with patience. What has been sent is sent once: nobody knows what a plugin did before it broke off.
    async fn attempt(
        &self,
        end: Instant,
        method: &'static str,
        body: Bytes,
    ) -> Result<Bytes, Failure> {
        let mut pause = Duration::from_secs(1);
        let stream = loop {
            match self.connect().await {
                Ok(stream) => break stream,
                Err(error) if Instant::now() + pause >= end => {
                    return Err(Failure::Unreachable {
                        plugin: self.plugin.clone(),
                        address: self.address.to_string(),
                        why: lower(&error),
                    });
                }
                Err(error) => {
                    tracing::info!(plugin = self.plugin, %error, "plugin cannot be reached; trying again in {pause:?}");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
            }
        };
        let broken = |why: &dyn std::error::Error| Failure::Broken {
            plugin: self.plugin.clone(),
            method,
            why: why.to_string(),
        };
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(64 << 10)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| broken(&e))?;
        // It ends with the sender, or with what the plugin does.
        let connection = AbortOnDrop(tokio::spawn(connection));
        let request = Request::post(format!("/{method}"))
            .header(HOST, "plugin")
            .header(ACCEPT, MIME)
            .header(CONTENT_TYPE, MIME)
            .body(Full::new(body))
            .map_err(|e| broken(&e))?;
        let answer = sender.send_request(request).await.map_err(|e| broken(&e))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER);
        let body = body.collect().await.map_err(|e| {
            self.nonsense(
                method,
                &format!("the answer cannot be read, or is longer than 1 MiB: {e}"),
            )
        })?;
        drop(connection);
        let body = body.to_bytes();
        match status {
            StatusCode::OK => Ok(body),
            status => Err(Failure::Status {
                method,
                status,
                text: wire::refusal(&body),
            }),
        }
    }

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match &self.address {
            Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Address::Tcp { host, port, .. } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                match &self.tls {
                    None => Box::new(stream),
                    Some(tls) => {
                        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                        let connector = TlsConnector::from(tls.clone());
                        Box::new(connector.connect(name, stream).await?)
                    }
                }
            }
        })
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Go's way: `connection refused` where Rust says `Connection refused (os error 111)`.
fn lower(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error")
        .map_or(text.as_str(), |(text, _)| text)
        .to_lowercase()
}
