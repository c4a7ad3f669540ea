//! A real socket between a test and a few routes: what counts is what goes over the wire, and when.

use std::time::Duration;

use axum::routing::IntoMakeService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::serve::Answer;

pub struct Client {
    stream: UnixStream,
    _dir: tempfile::TempDir,
}

/// Serves `service` until the test's runtime ends, and connects to it.
pub async fn serve(service: IntoMakeService<impl Answer>) -> Client {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move { axum::serve(listener, service).await });
    Client {
        stream: UnixStream::connect(&path).await.unwrap(),
        _dir: dir,
    }
}

impl Client {
    pub async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Ends this side only.
    pub async fn close_write(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// The answer's status line and headers.
    pub async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.read(1).await);
        }
        String::from_utf8(head).unwrap()
    }

    pub async fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let read = self.stream.read_exact(&mut bytes);
        timeout(Duration::from_secs(5), read)
            .await
            .unwrap()
            .unwrap();
        bytes
    }

    /// Until the server closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = self.stream.read_to_end(&mut bytes);
        timeout(Duration::from_secs(5), read)
            .await
            .unwrap()
            .unwrap();
        bytes
    }
}
