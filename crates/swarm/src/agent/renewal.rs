//! Keeps the node's certificate fresh: between half and four fifths of its life, and at once when the managers ask.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::warn;

use super::Inner;
use crate::ca::{Error, request};

const RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_secs(60);

/// Demands to renew now.
#[derive(Default)]
pub(super) struct Renewal {
    demanded: Mutex<Demand>,
    news: Notify,
}

#[derive(Default)]
struct Demand {
    rotate: bool,
    root_pem: Option<Vec<u8>>,
}

impl Renewal {
    /// The managers mark the node's certificate as one to replace.
    pub fn rotate(&self) {
        self.demand(|demand| demand.rotate = true);
    }

    /// The managers have another root.
    pub fn root(&self, root_pem: Vec<u8>) {
        self.demand(|demand| demand.root_pem = Some(root_pem));
    }

    fn demand(&self, change: impl FnOnce(&mut Demand)) {
        change(&mut self.demanded.lock().unwrap_or_else(PoisonError::into_inner));
        self.news.notify_one();
    }

    fn take(&self) -> Demand {
        let mut demanded = self.demanded.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *demanded)
    }

    /// Waits until something is demanded that is not done already: sessions repeat themselves.
    async fn demanded(&self, agent: &Inner) {
        loop {
            self.news.notified().await;
            let root_pem = agent.identity.live.get().root_pem.clone();
            let demanded = self.demanded.lock().unwrap_or_else(PoisonError::into_inner);
            if demanded.rotate
                || demanded
                    .root_pem
                    .as_ref()
                    .is_some_and(|new| *new != root_pem)
            {
                return;
            }
        }
    }
}

pub(super) async fn run(agent: &Inner) {
    loop {
        let leaf = agent.identity.live.get().leaf.clone();
        let due = leaf.renewal(rand::random_range(0.0..1.0));
        tokio::select! {
            () = sleep(due.duration_since(SystemTime::now()).unwrap_or_default()) => {}
            () = agent.renewal.demanded(agent) => {}
        }
        let mut pause = RETRY;
        while let Err(error) = renew(agent).await {
            warn!(node.id = agent.identity.node_id, %error, "failed to renew the certificate");
            sleep(pause).await;
            pause = (pause * 2).min(MAX_RETRY);
        }
    }
}

/// Waits for a session, then renews. A new root that does not hold is dropped: the managers repeat it.
pub(super) async fn renew(agent: &Inner) -> Result<(), Error> {
    let mut channel = agent.channel.subscribe();
    let channel = channel
        .wait_for(Option::is_some)
        .await
        .ok()
        .and_then(|channel| channel.clone());
    let channel = channel.ok_or_else(|| Error::Other("the agent is stopping".into()))?;
    let demand = agent.renewal.take();
    let root_pem = demand
        .root_pem
        .unwrap_or_else(|| agent.identity.live.get().root_pem.clone());
    request::renew(&agent.identity, channel, &root_pem).await
}
