//! Reads a container's log, from where it is asked to and on while the container runs.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use engine_types::Result;
use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use crate::cri::{self, Line};
use crate::error::{Doing, blocking};
use crate::inner::Container;
use crate::log_tail::tail_position;
use crate::streams::{LogOptions, StdStream};

/// conmon writes at most 8 KiB of text into one record.
const RECORD_LIMIT: u64 = 64 << 10;

pub(crate) type Output = mpsc::Sender<(StdStream, Bytes)>;

/// Reads a log from where the options say, and on while the container runs.
pub(crate) struct LogReader {
    path: PathBuf,
    options: LogOptions,
    since: Option<jiff::Timestamp>,
    until: Option<jiff::Timestamp>,
    /// Per stream (stdout, stderr): the next record continues a line.
    inside_line: [bool; 2],
    position: u64,
    inode: u64,
}

impl LogReader {
    pub fn new(path: PathBuf, options: LogOptions) -> Self {
        let time = |time: Option<(i64, i32)>| {
            time.and_then(|(seconds, nanos)| jiff::Timestamp::new(seconds, nanos).ok())
        };
        Self {
            path,
            since: time(options.since),
            until: time(options.until),
            options,
            inside_line: [false; 2],
            position: 0,
            inode: 0,
        }
    }

    pub async fn run(mut self, container: &Container, output: &Output) -> Result<()> {
        // The watch comes before the first look, so that nothing falls between them.
        let watch = match self.options.follow {
            true => Some(Watch::new(&self.path)?),
            false => None,
        };
        if let Some(tail) = self.options.tail {
            let (path, streams) = (
                self.path.clone(),
                (self.options.stdout, self.options.stderr),
            );
            self.position = blocking(move || tail_position(&path, tail, streams)).await?;
            self.inode = std::fs::metadata(&self.path).map_or(0, |m| m.ino());
        }
        let mut phase = container.phase.subscribe();
        loop {
            // Looked at before reading: what was written before the end is then read in this round.
            let running = phase.borrow_and_update().running;
            if !self.drain(output).await? {
                return Ok(());
            }
            let Some(watch) = watch.as_ref().filter(|_| running) else {
                return Ok(());
            };
            tokio::select! {
                () = watch.changed() => {}
                _ = phase.changed() => {}
                () = output.closed() => return Ok(()),
                () = until(self.until) => return Ok(()),
            }
        }
    }

    /// Sends all complete records; false when nobody listens or the time is over.
    async fn drain(&mut self, output: &Output) -> Result<bool> {
        let Ok(file) = File::open(&self.path) else {
            return Ok(true);
        };
        let metadata = file.metadata().doing("read the log")?;
        // Rotated (another file), or cut: from its beginning.
        if (self.inode != 0 && metadata.ino() != self.inode) || metadata.len() < self.position {
            self.position = 0;
        }
        self.inode = metadata.ino();
        let mut reader = BufReader::new(file);
        reader
            .seek(SeekFrom::Start(self.position))
            .doing("read the log")?;
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = (&mut reader)
                .take(RECORD_LIMIT)
                .read_until(b'\n', &mut line)
                .doing("read the log")?;
            if line.pop() != Some(b'\n') {
                // The rest is not written yet; a record beyond the limit is none of conmon's.
                if length as u64 == RECORD_LIMIT {
                    self.position += length as u64;
                    continue;
                }
                return Ok(true);
            }
            self.position += length as u64;
            let Some(record) = cri::parse(&line) else {
                continue;
            };
            match self.take(&record) {
                Taken::Skip => {}
                Taken::Over => return Ok(false),
                Taken::Send(bytes) => {
                    if output.send((record.stream, bytes)).await.is_err() {
                        return Ok(false);
                    }
                }
            }
        }
    }

    fn take(&mut self, record: &Line<'_>) -> Taken {
        let (index, wanted) = match record.stream {
            StdStream::Stderr => (1, self.options.stderr),
            _ => (0, self.options.stdout),
        };
        let continues = std::mem::replace(&mut self.inside_line[index], !record.ends);
        if self.since.is_some() || self.until.is_some() {
            let Some(time) = record.timestamp() else {
                return Taken::Skip;
            };
            if self.until.is_some_and(|until| time > until) {
                return Taken::Over;
            }
            if self.since.is_some_and(|since| time < since) {
                return Taken::Skip;
            }
        }
        if !wanted {
            return Taken::Skip;
        }
        let mut bytes = Vec::with_capacity(record.text.len() + 40);
        if self.options.timestamps && !continues {
            let time = record
                .timestamp()
                .map_or_else(|| record.time.to_owned(), |time| format!("{time:.9}"));
            bytes.extend_from_slice(time.as_bytes());
            bytes.push(b' ');
        }
        bytes.extend_from_slice(record.text);
        if record.ends {
            bytes.push(b'\n');
        }
        Taken::Send(Bytes::from(bytes))
    }
}

enum Taken {
    Skip,
    Send(Bytes),
    /// Past `until`.
    Over,
}

async fn until(time: Option<jiff::Timestamp>) {
    match time {
        None => std::future::pending().await,
        Some(time) => {
            let wait = time.duration_since(jiff::Timestamp::now());
            tokio::time::sleep(std::time::Duration::try_from(wait).unwrap_or_default()).await;
        }
    }
}

/// Tells when the log's folder has changed.
struct Watch(AsyncFd<OwnedFd>);

impl Watch {
    fn new(log: &Path) -> Result<Self> {
        use inotify::{CreateFlags, WatchFlags};
        let what = "watch the log";
        let dir = log.parent().unwrap_or(Path::new("/"));
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).doing(what)?;
        let flags = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
        inotify::add_watch(&fd, dir, flags).doing(what)?;
        Ok(Self(crate::poll::register(fd).doing(what)?))
    }

    async fn changed(&self) {
        let drained = self
            .0
            .async_io(tokio::io::Interest::READABLE, |fd| {
                let mut buffer = [0; 4096];
                Ok(rustix::io::read(fd, &mut buffer)?)
            })
            .await;
        if let Err(error) = drained {
            tracing::warn!(%error, "a log can't be watched");
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[&str]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text: String = lines
            .iter()
            .map(|line| format!("2026-01-01T00:00:00Z {line}\n"))
            .collect();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    async fn read(file: &tempfile::NamedTempFile, options: LogOptions) -> String {
        let container = Container::new("x".to_owned(), crate::record::Record::default());
        let (send, mut receive) = mpsc::channel(10_000);
        let reader = LogReader::new(file.path().to_owned(), options);
        reader.run(&container, &send).await.unwrap();
        drop(send);
        let mut text = Vec::new();
        while let Some((_, bytes)) = receive.recv().await {
            text.extend_from_slice(&bytes);
        }
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn streams_partial_lines_and_tails() {
        let file = log(&[
            "stdout F one",
            "stderr F oops",
            "stdout P two, ",
            "stdout F and more",
            "stdout F three",
        ]);
        let check = |stdout, stderr, tail, timestamps| {
            read(
                &file,
                LogOptions {
                    stdout,
                    stderr,
                    tail,
                    timestamps,
                    ..LogOptions::default()
                },
            )
        };
        assert_eq!(
            check(true, true, None, false).await,
            "one\noops\ntwo, and more\nthree\n"
        );
        assert_eq!(check(false, true, None, false).await, "oops\n");
        assert_eq!(
            check(true, false, Some(2), false).await,
            "two, and more\nthree\n"
        );
        assert_eq!(check(true, true, Some(0), false).await, "");
        assert_eq!(
            check(true, false, Some(99), false).await,
            "one\ntwo, and more\nthree\n"
        );
        assert_eq!(
            check(true, false, Some(2), true).await,
            "2026-01-01T00:00:00.000000000Z two, and more\n2026-01-01T00:00:00.000000000Z three\n"
        );
    }

    #[tokio::test]
    async fn tails_across_blocks() {
        let lines: Vec<String> = (0..5000)
            .map(|n| format!("stdout F line number {n}"))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let file = log(&lines);
        let options = LogOptions {
            stdout: true,
            tail: Some(3000),
            ..LogOptions::default()
        };
        let text = read(&file, options).await;
        assert_eq!(text.lines().count(), 3000);
        assert!(text.starts_with("line number 2000\n"));
    }
}
