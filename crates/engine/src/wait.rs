//! `docker wait`.

use engine_types::Result;
use engine_types::container::WaitResponse;
use tokio::sync::oneshot;

use crate::{Engine, WaitCondition};

impl Engine {
    /// Resolves at once when the condition holds already. The container's existence is checked before this returns its
    /// receiver.
    pub async fn wait(
        &self,
        id: &str,
        condition: WaitCondition,
    ) -> Result<oneshot::Receiver<WaitResponse>> {
        let container = self.inner.find(id)?;
        let mut phase = container.phase.subscribe();
        let exits = phase.borrow().exits;
        let (mut send, receive) = oneshot::channel();
        tokio::spawn(async move {
            let holds = phase.wait_for(|phase| match condition {
                // A run that ended counts, whether or not a policy begins the next one.
                WaitCondition::NotRunning => !phase.running || phase.exits > exits,
                WaitCondition::NextExit => phase.exits > exits || phase.removed,
                WaitCondition::Removed => phase.removed,
            });
            let status_code = tokio::select! {
                phase = holds => phase.map_or(0, |phase| phase.exit_code),
                () = send.closed() => return,
            };
            drop(container);
            let _ = send.send(WaitResponse {
                status_code,
                ..WaitResponse::default()
            });
        });
        Ok(receive)
    }
}
