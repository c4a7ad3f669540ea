//! The daemon's side: that a relay runs where it is wanted, and nowhere else.

use std::ffi::OsString;
use std::future::pending;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use engine_types::Error;
use rustix::process::Signal;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::process::{Process, identity, relay, relays};

const START: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_secs(1);

/// A handle; the keeper ends with it, and the relay goes on.
#[derive(Debug)]
pub struct Keeper(mpsc::UnboundedSender<Order>);

#[derive(Debug)]
struct Order {
    sandbox: Option<PathBuf>,
    wanted: bool,
    done: oneshot::Sender<Result<()>>,
}

impl Keeper {
    /// `arguments`: with which this program is a relay, once the path of a namespace follows them.
    pub fn start(arguments: Vec<OsString>) -> Self {
        let (sender, orders) = mpsc::unbounded_channel();
        let keeping = Keeping {
            arguments,
            sandbox: None,
            wanted: false,
            kept: None,
        };
        tokio::spawn(keeping.run(orders));
        Self(sender)
    }
}

#[async_trait]
impl cnm::Relay for Keeper {
    async fn keep(&self, sandbox: Option<PathBuf>, wanted: bool) -> engine_types::Result<()> {
        let (done, result) = oneshot::channel();
        let stopped = || Error::system("the keeper of the relay has stopped");
        let order = Order {
            sandbox,
            wanted,
            done,
        };
        self.0.send(order).map_err(|_| stopped())?;
        let kept = result.await.map_err(|_| stopped())?;
        kept.map_err(|error| Error::system(format!("{error:#}")))
    }
}

struct Keeping {
    arguments: Vec<OsString>,
    /// With the namespace that it was: its path may be gone, or another's.
    sandbox: Option<(PathBuf, (u64, u64))>,
    wanted: bool,
    kept: Option<Process>,
}

impl Keeping {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            let kept = async {
                match &self.kept {
                    Some(relay) => relay.ended().await,
                    None if self.wanted && self.sandbox.is_some() => sleep(AGAIN).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                order = orders.recv() => {
                    let Some(order) = order else { return };
                    let obeyed = self.obey(order.sandbox, order.wanted).await;
                    // Whoever asked may have gone.
                    let _ = order.done.send(obeyed);
                }
                () = kept => {
                    if self.kept.take().is_some() {
                        warn!("relay of published ports has ended: starting another");
                    }
                    if let Err(error) = self.put_right().await {
                        warn!(error = format!("{error:#}"), "no relay of published ports");
                    }
                }
            }
        }
    }

    async fn obey(&mut self, sandbox: Option<PathBuf>, wanted: bool) -> Result<()> {
        let known = |path: PathBuf| {
            let identity = identity(&path);
            let identity = identity.with_context(|| format!("cannot look at {}", path.display()));
            Ok::<_, anyhow::Error>((path, identity?))
        };
        // It may be about to be made.
        let sandbox = sandbox.filter(|path| path.exists());
        let sandbox = sandbox.map(known).transpose()?;
        if sandbox == self.sandbox && wanted == self.wanted {
            return Ok(());
        }
        if sandbox != self.sandbox
            && let Some((_, former)) = &self.sandbox
        {
            // Their connections lead nowhere any more.
            let gone = relays(*former);
            gone.iter().for_each(|relay| relay.signal(Signal::KILL));
            self.kept = None;
        }
        (self.sandbox, self.wanted) = (sandbox, wanted);
        self.put_right().await
    }

    /// One relay of this program where it is wanted; others finish what they have begun.
    async fn put_right(&mut self) -> Result<()> {
        let Some((path, namespace)) = self.sandbox.clone() else {
            return Ok(());
        };
        let mut serving = relays(namespace);
        serving.retain(|relay| relay.serves);
        let found = serving.iter().position(|relay| relay.current);
        let found = found.map(|i| serving.swap_remove(i));
        self.kept = match (self.wanted, found) {
            (true, Some(relay)) => Some(relay),
            (true, None) => {
                let pid = self.spawn(path).await?;
                Some(relay(pid, namespace).context("the relay has ended at once")?)
            }
            (false, found) => {
                serving.extend(found);
                None
            }
        };
        for relay in serving {
            info!("a relay of published ports is no longer needed");
            relay.signal(Signal::TERM);
        }
        Ok(())
    }

    /// Returns its number when it listens.
    async fn spawn(&self, sandbox: PathBuf) -> Result<i32> {
        let mut relay = Command::new("/proc/self/exe")
            .arg0("pontoon")
            .args(&self.arguments)
            .arg(sandbox)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // What a terminal sends us is not for it.
            .process_group(0)
            .spawn()
            .context("cannot start a relay")?;
        let pid = relay.id().context("the relay is gone at once")?;
        let mut output = relay.stdout.take().context("the relay has no output")?;
        match timeout(START, output.read_u8()).await {
            Ok(Ok(_)) => Ok(i32::try_from(pid)?),
            Ok(Err(_)) => bail!("the relay ended: {}", relay.wait().await?),
            Err(_) => {
                relay.start_kill()?;
                bail!("the relay does not listen after {START:?}")
            }
        }
    }
}
