//! A container's or an exec's standard streams.

use bytes::Bytes;
use tokio::sync::mpsc;

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
