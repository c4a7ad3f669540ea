//! `docker logs` and `docker attach`.

use std::sync::Arc;

use engine_types::{Error, Result};
use tokio::sync::mpsc;

use crate::Engine;
use crate::error::lock;
use crate::inner::Container;
use crate::log_reader::LogReader;
use crate::streams::{Attached, Connection, LogOptions, pair};

impl Engine {
    pub async fn logs(&self, id: &str, options: LogOptions) -> Result<Attached> {
        if !options.stdout && !options.stderr {
            return Err(Error::invalid(
                "Bad parameters: you must choose at least one stream",
            ));
        }
        let container = self.inner.find(id)?;
        self.follow_log(&container, options)
    }

    fn follow_log(&self, container: &Arc<Container>, options: LogOptions) -> Result<Attached> {
        let (tty, keeps) = container.with(|record| (record.config.tty, record.keeps_log()));
        if !keeps {
            return Err(Error::not_implemented(
                "configured logging driver does not support reading",
            ));
        }
        let (output, receive) = mpsc::channel(64);
        let reader = LogReader::new(self.inner.log_path(&container.id), options);
        let container = container.clone();
        tokio::spawn(async move {
            if let Err(error) = reader.run(&container, &output).await {
                tracing::warn!(id = container.id, %error, "the log can't be read");
            }
        });
        Ok(Attached {
            tty,
            output: receive,
            stdin: None,
        })
    }

    pub async fn attach(
        &self,
        id: &str,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        logs: bool,
        stream: bool,
    ) -> Result<Attached> {
        let container = self.inner.find(id)?;
        let (config, paused, restarting) = container.with(|record| {
            (
                record.config.clone(),
                record.state.paused,
                record.state.restarting,
            )
        });
        if paused {
            return Err(Error::conflict(format!(
                "container {} is paused, unpause the container before attach",
                container.id
            )));
        }
        if restarting {
            return Err(Error::conflict(format!(
                "container {} is restarting, wait until the container is running",
                container.id
            )));
        }
        let stdin = stdin && stream && config.open_stdin;
        let options = LogOptions {
            stdout,
            stderr,
            follow: stream,
            ..LogOptions::default()
        };
        let mut attached = if logs && container.with(crate::record::Record::keeps_log) {
            // The log has all that was and all that comes, each once; only input needs the socket.
            let mut attached = self.follow_log(&container, options)?;
            if stdin {
                attached.stdin = self.connect(&container, true, false, false)?.stdin;
            }
            attached
        } else if stream {
            self.connect(&container, stdin, stdout, stderr)?
        } else {
            Attached {
                tty: false,
                output: mpsc::channel(1).1,
                stdin: None,
            }
        };
        attached.tty = config.tty;
        self.inner.event(&container, "attach", &[]);
        Ok(attached)
    }

    /// To the running container, or to its next run.
    fn connect(
        &self,
        container: &Arc<Container>,
        stdin: bool,
        stdout: bool,
        stderr: bool,
    ) -> Result<Attached> {
        let config = container.with(|record| record.config.clone());
        // conmon closes the input when any client leaves a `StdinOnce` container: one that only looks must not.
        let linger = config.open_stdin && config.stdin_once && !stdin;
        let (attached, wanted) = pair(config.tty, stdin, stdout, stderr, linger);
        let mut pending = lock(&container.pending);
        if container.live().is_some() {
            drop(pending);
            drop(Connection::open(&self.inner.run_dir(&container.id))?.pump(wanted));
        } else {
            pending.retain(|other| !other.output.is_closed());
            pending.push(wanted);
        }
        Ok(attached)
    }
}
