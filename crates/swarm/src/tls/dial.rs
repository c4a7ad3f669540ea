//! A gRPC channel to a manager.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};

/// Of a dial, and of each unary call to a manager.
pub(crate) const RPC_TIMEOUT: Duration = Duration::from_secs(5);
/// A complete set of assignments can be large; the manager is trusted, but not without end.
pub(crate) const MAX_MESSAGE: usize = 256 << 20;

/// Connects now: the error is the user's "manager is not there". `addr` is `host:port`; the server's certificate must carry
/// `name` unless `tls` does not verify.
pub(crate) async fn connect(
    addr: &str,
    tls: Arc<ClientConfig>,
    name: &'static str,
) -> Result<Channel, Status> {
    let endpoint = Endpoint::from_shared(format!("https://{addr}"))
        .map_err(|error| Status::invalid_argument(format!("address {addr}: {error}")))?
        .tcp_nodelay(true);
    let io = tokio::time::timeout(RPC_TIMEOUT, handshake(addr, tls.clone(), name))
        .await
        .map_err(|_| unavailable(format!("Error while dialing: dial tcp {addr}: i/o timeout")))??;
    // The first connection is the one just made. There is no second: when it breaks, so does the session that uses it.
    let mut first = Some(io);
    let connector = tower::service_fn(move |_: Uri| {
        let io = first.take().ok_or_else(|| {
            std::io::Error::new(ErrorKind::ConnectionReset, "the connection is closed")
        });
        std::future::ready(io.map(TokioIo::new))
    });
    endpoint
        .connect_with_connector(connector)
        .await
        .map_err(|error| unavailable(error.to_string()))
}

async fn handshake(
    addr: &str,
    tls: Arc<ClientConfig>,
    name: &'static str,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Status> {
    let tcp = TcpStream::connect(addr).await.map_err(|error| {
        let reason = match error.kind() {
            ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
            ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
            ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
            _ => error.to_string(),
        };
        unavailable(format!("Error while dialing: dial tcp {addr}: {reason}"))
    })?;
    let failed = |error: String| unavailable(format!("authentication handshake failed: {error}"));
    tcp.set_nodelay(true).map_err(|e| failed(e.to_string()))?;
    let name = ServerName::try_from(name).map_err(|e| failed(e.to_string()))?;
    TlsConnector::from(tls)
        .connect(name, tcp)
        .await
        .map_err(|error| failed(error.to_string()))
}

fn unavailable(reason: String) -> Status {
    Status::unavailable(format!("connection error: desc = \"transport: {reason}\""))
}
