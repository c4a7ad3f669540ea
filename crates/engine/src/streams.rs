//! A container's or an exec's standard streams, over conmon's attach socket.
//!
//! conmon listens on a sequenced-packet socket in the bundle. Each packet from it is one byte (2 stdout, 3 stderr) and
//! output; each packet to it is input; shutting down our sending side ends the process's input.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use engine_types::Result;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};

use crate::error::Doing;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StdStream {
    Stdin = 0,
    Stdout = 1,
    Stderr = 2,
}

/// An open connection to a process's streams.
pub struct Attached {
    /// The process has a terminal: output is one raw stream, all of it `Stdout`.
    pub tty: bool,
    /// Ends when the process (or the log) ends.
    pub output: mpsc::Receiver<(StdStream, Bytes)>,
    /// Dropping the sender closes the process's stdin.
    pub stdin: Option<mpsc::Sender<Bytes>>,
}

#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    pub stdout: bool,
    pub stderr: bool,
    pub follow: bool,
    pub timestamps: bool,
    /// Seconds (and nanoseconds) since 1970.
    pub since: Option<(i64, i32)>,
    pub until: Option<(i64, i32)>,
    /// `None` = all.
    pub tail: Option<usize>,
}

/// As large as conmon's packets get: its buffer and the stream's byte.
const PACKET: usize = 8192 + 1;
/// conmon reads at most this much at once and drops the rest of a packet.
const INPUT: usize = 8192;

/// What an attached client wants.
pub(crate) struct Wanted {
    pub stdout: bool,
    pub stderr: bool,
    pub output: mpsc::Sender<(StdStream, Bytes)>,
    pub stdin: Option<mpsc::Receiver<Bytes>>,
    /// Stay connected (and read on) after the client has gone, because conmon would close the process's stdin.
    pub linger: bool,
}

/// An attachment to a container that has not started yet.
pub(crate) type Pending = Wanted;

/// The client's and the pump's ends.
pub(crate) fn pair(
    tty: bool,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    linger: bool,
) -> (Attached, Wanted) {
    let (output, receive) = mpsc::channel(16);
    let (input, stdin) = match stdin.then(|| mpsc::channel(16)) {
        Some((send, receive)) => (Some(send), Some(receive)),
        None => (None, None),
    };
    let attached = Attached {
        tty,
        output: receive,
        stdin: input,
    };
    let wanted = Wanted {
        stdout,
        stderr,
        output,
        stdin,
        linger,
    };
    (attached, wanted)
}

/// A connection to conmon's attach socket.
pub(crate) struct Connection(Arc<AsyncFd<OwnedFd>>);

impl Connection {
    pub fn open(bundle: &Path) -> Result<Self> {
        let what = "attach to the container's streams";
        // By descriptor: a socket address holds 108 bytes, bundles have long paths.
        let dir = rustix::fs::open(
            bundle,
            rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .doing(what)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/attach", dir.as_raw_fd()));
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )
        .doing(what)?;
        let address = SocketAddrUnix::new(path).doing(what)?;
        rustix::net::connect(&socket, &address).doing(what)?;
        Ok(Self(Arc::new(crate::poll::register(socket).doing(what)?)))
    }

    /// Copies in both directions until the process or the client ends. `copied` resolves when the output has ended.
    pub fn pump(self, wanted: Wanted) -> oneshot::Receiver<()> {
        let (done, copied) = oneshot::channel();
        let Wanted {
            stdout,
            stderr,
            output,
            stdin,
            linger,
        } = wanted;
        let input = stdin.map(|stdin| tokio::spawn(send_input(self.0.clone(), stdin)));
        tokio::spawn(async move {
            let mut client = Some(output);
            let mut packet = vec![0; PACKET];
            loop {
                let gone = async {
                    match &client {
                        Some(client) => client.closed().await,
                        None => std::future::pending().await,
                    }
                };
                let received = tokio::select! {
                    received = receive(&self.0, &mut packet) => received,
                    () = gone, if !linger => break,
                };
                let Some(bytes) = received.filter(|bytes| !bytes.is_empty()) else {
                    break;
                };
                let (stream, wanted) = match bytes[0] {
                    3 => (StdStream::Stderr, stderr),
                    _ => (StdStream::Stdout, stdout),
                };
                if let Some(sender) = client.as_ref().filter(|_| wanted) {
                    let item = (stream, Bytes::copy_from_slice(&bytes[1..]));
                    if sender.send(item).await.is_err() {
                        if !linger {
                            break;
                        }
                        client = None;
                    }
                }
            }
            if let Some(input) = input {
                input.abort();
            }
            let _ = done.send(());
        });
        copied
    }
}

async fn receive<'a>(socket: &AsyncFd<OwnedFd>, packet: &'a mut [u8]) -> Option<&'a [u8]> {
    let length = socket
        .async_io(tokio::io::Interest::READABLE, |fd| {
            Ok(rustix::net::recv(fd, &mut *packet, rustix::net::RecvFlags::empty())?.0)
        })
        .await
        .ok()?;
    Some(&packet[..length])
}

async fn send_input(socket: Arc<AsyncFd<OwnedFd>>, mut stdin: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = stdin.recv().await {
        for chunk in bytes.chunks(INPUT) {
            let sent = socket
                .async_io(tokio::io::Interest::WRITABLE, |fd| {
                    Ok(rustix::net::send(
                        fd,
                        chunk,
                        rustix::net::SendFlags::NOSIGNAL,
                    )?)
                })
                .await;
            if sent.is_err() {
                return;
            }
        }
    }
    // End of input; output goes on.
    let _ = rustix::net::shutdown(socket.get_ref(), rustix::net::Shutdown::Write);
}

/// Tells conmon the terminal's size through its control fifo.
pub(crate) fn resize(bundle: &Path, height: u16, width: u16) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut control = std::fs::OpenOptions::new()
        .write(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(bundle.join("ctl"))
        .doing("resize the terminal")?;
    control
        .write_all(format!("1 {height} {width}\n").as_bytes())
        .doing("resize the terminal")
}
