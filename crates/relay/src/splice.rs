//! Bytes from one connection to another, past our own memory: through a pipe, whose pages the kernel moves.

use std::io;

use rustix::io::Errno;
use rustix::net::Shutdown;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// What a pipe takes unless told otherwise.
const PIPE: usize = 64 << 10;

/// Until `from` has said its last word, of which `to` is told.
pub async fn pump(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let (output, input) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let moved = |result: Result<usize, Errno>| result.map_err(io::Error::from);
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        // The pipe is empty: what would block is the connection.
        let read = || moved(splice(from, None, &input, None, PIPE, flags));
        let mut left = from.async_io(Interest::READABLE, read).await?;
        if left == 0 {
            return Ok(rustix::net::shutdown(to, Shutdown::Write)?);
        }
        while left > 0 {
            let write = || moved(splice(&output, None, to, None, left, flags));
            left -= to.async_io(Interest::WRITABLE, write).await?;
        }
        tokio::task::consume_budget().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, server) = tokio::join!(client, listener.accept());
        (client.unwrap(), server.unwrap().0)
    }

    #[tokio::test]
    async fn all_bytes_arrive_and_then_the_end() {
        let ((mut client, from), (to, mut server)) = (connection().await, connection().await);
        let sent: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        let send = async {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let mut got = Vec::new();
        let (moved, (), read) = tokio::join!(pump(&from, &to), send, server.read_to_end(&mut got));
        moved.unwrap();
        read.unwrap();
        assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
        // The other half is open still.
        server.write_all(b"yes").await.unwrap();
        drop(server);
        let (moved, read) = tokio::join!(pump(&to, &from), async {
            let mut got = Vec::new();
            client.read_to_end(&mut got).await.unwrap();
            got
        });
        moved.unwrap();
        assert_eq!(read, b"yes");
    }

    #[tokio::test]
    async fn a_reader_that_goes_away_is_an_error() {
        let ((mut client, from), (to, server)) = (connection().await, connection().await);
        drop(server);
        let send = async {
            let bytes = vec![0; 1 << 20];
            while client.write_all(&bytes).await.is_ok() {}
        };
        tokio::select! {
            moved = pump(&from, &to) => assert!(moved.is_err()),
            () = send => panic!("nobody has closed this side"),
        }
    }
}
