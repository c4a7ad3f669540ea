//! Logs of services: this node's lines for the managers' readers, and the reader behind `docker service logs`.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use engine::{Attached, Engine, LogOptions, StdStream};
use engine_types::{Filters, Result};
use swarm_wire::pb;
use swarm_wire::prost_types::Timestamp;
use tokio::sync::mpsc;
use tracing::debug;

use crate::errors;

/// How often a follower looks for the container of a task that has none yet.
const LOOK: Duration = Duration::from_millis(200);
const BUFFER: usize = 16;

/// A task's lines, as [`swarm::agent::Executor::logs`] wants them.
pub fn of_task(
    engine: Engine,
    task_id: &str,
    options: pb::LogSubscriptionOptions,
) -> mpsc::Receiver<pb::LogMessage> {
    let (sink, lines) = mpsc::channel(BUFFER);
    let label = format!("com.docker.swarm.task.id={task_id}");
    tokio::spawn(async move {
        let Some(container) = started(&engine, label, options.follow, &sink).await else {
            return;
        };
        match engine.logs(&container, read_options(&options)).await {
            Ok(log) => forward(log.output, &sink).await,
            Err(error) => debug!(container, %error, "no log to pass on"),
        }
    });
    lines
}

/// The task's container once it has started; a follower waits for it.
async fn started(
    engine: &Engine,
    label: String,
    follow: bool,
    sink: &mpsc::Sender<pb::LogMessage>,
) -> Option<String> {
    let filters = Filters([("label".to_owned(), vec![label])].into());
    loop {
        let found = engine.list(true, None, false, &filters).await.ok()?.pop();
        match found.filter(|container| !follow || container.state != "created") {
            Some(container) => return Some(container.id),
            None if !follow || sink.is_closed() => return None,
            None => tokio::time::sleep(LOOK).await,
        }
    }
}

/// From the wire: a tail of 0 is everything, of -n-1 the last n lines; no streams are both.
fn read_options(options: &pb::LogSubscriptionOptions) -> LogOptions {
    let wants = |stream: pb::LogStream| {
        options.streams.is_empty() || options.streams.contains(&i32::from(stream))
    };
    LogOptions {
        stdout: wants(pb::LogStream::Stdout),
        stderr: wants(pb::LogStream::Stderr),
        follow: options.follow,
        timestamps: true,
        since: options.since.as_ref().map(|t| (t.seconds, t.nanos)),
        until: None,
        tail: (options.tail < 0).then(|| usize::try_from(-(options.tail + 1)).unwrap_or(0)),
    }
}

async fn forward(
    mut output: mpsc::Receiver<(StdStream, Bytes)>,
    sink: &mpsc::Sender<pb::LogMessage>,
) {
    let mut stamps = Stamps::default();
    while let Some((stream, chunk)) = output.recv().await {
        if sink.send(stamps.message(stream, chunk)).await.is_err() {
            return;
        }
    }
}

/// Per stream, the time of the line that goes on with the next chunk.
#[derive(Default)]
struct Stamps([Option<Timestamp>; 2]);

impl Stamps {
    /// A line of the log begins with its time and a space; what continues it has none.
    fn message(&mut self, stream: StdStream, mut chunk: Bytes) -> pb::LogMessage {
        let (wire, open) = match stream {
            StdStream::Stderr => (pb::LogStream::Stderr, &mut self.0[1]),
            StdStream::Stdin | StdStream::Stdout => (pb::LogStream::Stdout, &mut self.0[0]),
        };
        let timestamp = match open.take() {
            Some(timestamp) => Some(timestamp),
            None => {
                let end = chunk.iter().position(|b| *b == b' ');
                let head = end.and_then(|end| std::str::from_utf8(&chunk[..end]).ok());
                let parsed = head.and_then(|text| text.parse().ok());
                if let (Some(end), Some(_)) = (end, &parsed) {
                    chunk = chunk.slice(end + 1..);
                }
                parsed
            }
        };
        if !chunk.ends_with(b"\n") {
            *open = timestamp;
        }
        pb::LogMessage {
            timestamp,
            stream: wire.into(),
            data: chunk.to_vec(),
            ..Default::default()
        }
    }
}

impl crate::Cluster {
    /// A service's log, each line with the words before it that the options ask for.
    pub async fn service_logs(
        &self,
        id: &str,
        options: LogOptions,
        details: bool,
    ) -> Result<Attached> {
        let service = self.find_service(id)?;
        let task = service.spec.as_ref().and_then(|s| s.task.as_ref());
        let selector = pb::LogSelector {
            service_ids: vec![service.id.clone()],
            ..Default::default()
        };
        self.read_logs(selector, task, options, details)
    }

    pub async fn task_logs(
        &self,
        id: &str,
        options: LogOptions,
        details: bool,
    ) -> Result<Attached> {
        let task = self.find_task(id)?;
        let selector = pb::LogSelector {
            task_ids: vec![task.id.clone()],
            ..Default::default()
        };
        self.read_logs(selector, task.spec.as_ref(), options, details)
    }

    fn read_logs(
        &self,
        selector: pb::LogSelector,
        task: Option<&pb::TaskSpec>,
        options: LogOptions,
        details: bool,
    ) -> Result<Attached> {
        let tty = matches!(task.and_then(|t| t.runtime.as_ref()), Some(pb::task_spec::Runtime::Container(c)) if c.tty);
        let mut messages = self
            .manager()?
            .subscribe_logs(selector, subscription(&options))
            .map_err(errors::from_status)?;
        let (sink, output) = mpsc::channel(BUFFER);
        tokio::spawn(async move {
            while let Some(news) = messages.recv().await {
                let lines = match news {
                    Ok(news) => news
                        .messages
                        .into_iter()
                        .map(|m| line(m, options.timestamps, details))
                        .collect(),
                    Err(status) => {
                        let reason = errors::from_status(status).message;
                        vec![(
                            StdStream::Stderr,
                            format!("Error grabbing logs: {reason}\n").into(),
                        )]
                    }
                };
                for line in lines {
                    if sink.send(line).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Attached {
            tty,
            output,
            stdin: None,
        })
    }
}

fn subscription(options: &LogOptions) -> pb::LogSubscriptionOptions {
    let streams = [
        (options.stdout, pb::LogStream::Stdout),
        (options.stderr, pb::LogStream::Stderr),
    ];
    pb::LogSubscriptionOptions {
        streams: streams
            .into_iter()
            .filter(|(wanted, _)| *wanted)
            .map(|(_, stream)| stream.into())
            .collect(),
        follow: options.follow,
        tail: options
            .tail
            .map_or(0, |lines| -i64::try_from(lines).unwrap_or(i64::MAX - 1) - 1),
        since: options
            .since
            .map(|(seconds, nanos)| Timestamp { seconds, nanos }),
    }
}

/// As Docker writes it: the time, then the details, then the text.
fn line(message: pb::LogMessage, timestamps: bool, details: bool) -> (StdStream, Bytes) {
    let mut line = BytesMut::new();
    if timestamps {
        let t = message.timestamp.unwrap_or_default();
        // Nine digits always, so that lines stay in columns.
        let whole = Timestamp { nanos: 0, ..t }.to_string();
        let whole = whole.trim_end_matches('Z');
        line.put(format!("{whole}.{:09}Z ", t.nanos).as_bytes());
    }
    if details {
        let context = message.context.unwrap_or_default();
        let mut all: Vec<(String, String)> = message
            .attrs
            .into_iter()
            .map(|a| (a.key, a.value))
            .collect();
        for (key, value) in [
            ("node", context.node_id),
            ("service", context.service_id),
            ("task", context.task_id),
        ] {
            all.push((format!("com.docker.swarm.{key}.id"), value));
        }
        all.sort();
        let words: Vec<_> = all
            .iter()
            .map(|(k, v)| format!("{}={}", escape(k), escape(v)))
            .collect();
        line.put(words.join(",").as_bytes());
        line.put_u8(b' ');
    }
    line.put(&message.data[..]);
    let stream = match message.stream == i32::from(pb::LogStream::Stderr) {
        true => StdStream::Stderr,
        false => StdStream::Stdout,
    };
    (stream, line.freeze())
}

/// Go's `url.QueryEscape`.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(byte.into())
            }
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_survives_the_wire() {
        for tail in [None, Some(0), Some(7)] {
            let options = LogOptions {
                stdout: true,
                tail,
                ..Default::default()
            };
            let read = read_options(&subscription(&options));
            assert_eq!((read.tail, read.stdout, read.stderr), (tail, true, false));
        }
        let all = read_options(&pb::LogSubscriptionOptions::default());
        assert_eq!((all.tail, all.stdout, all.stderr), (None, true, true));
    }

    #[test]
    fn a_long_line_keeps_its_time() {
        let mut stamps = Stamps::default();
        let mut go = |stream, text: &'static str| {
            let m = stamps.message(stream, Bytes::from_static(text.as_bytes()));
            (
                m.timestamp.map(|t| t.nanos),
                String::from_utf8(m.data).unwrap(),
            )
        };
        assert_eq!(
            go(StdStream::Stdout, "2026-01-01T00:00:00.000000005Z begins "),
            (Some(5), "begins ".into())
        );
        assert_eq!(
            go(StdStream::Stderr, "2026-01-01T00:00:00.000000006Z other\n"),
            (Some(6), "other\n".into())
        );
        assert_eq!(
            go(StdStream::Stdout, "and ends\n"),
            (Some(5), "and ends\n".into())
        );
        assert_eq!(
            go(StdStream::Stdout, "no time\n"),
            (None, "no time\n".into())
        );
        assert_eq!(go(StdStream::Stdout, "\n"), (None, "\n".into()));
    }

    #[test]
    fn a_line_is_as_docker_writes_it() {
        let message = || pb::LogMessage {
            context: Some(pb::LogContext {
                service_id: "s".into(),
                node_id: "n".into(),
                task_id: "t".into(),
            }),
            timestamp: Some(Timestamp {
                seconds: 1_767_225_600,
                nanos: 5,
            }),
            stream: pb::LogStream::Stderr.into(),
            data: b"text\n".to_vec(),
            attrs: vec![pb::LogAttr {
                key: "a b".into(),
                value: "ü,".into(),
            }],
        };
        let check = |timestamps, details, expected: &str| {
            let (stream, line) = line(message(), timestamps, details);
            assert_eq!(
                (stream, &line[..]),
                (StdStream::Stderr, expected.as_bytes())
            );
        };
        let details = "a+b=%C3%BC%2C,com.docker.swarm.node.id=n,com.docker.swarm.service.id=s,com.docker.swarm.task.id=t";
        check(false, false, "text\n");
        check(
            true,
            true,
            &format!("2026-01-01T00:00:00.000000005Z {details} text\n"),
        );
    }
}
