//! What the kernel has against what is wanted of it, as an administrator sees it.

use std::time::Duration;

use engine_types::pontoon::{Difference, Drift};
use engine_types::{Error, Result};

use crate::Controller;

/// Longer is not experimenting but switching off.
const LONGEST_HOLD: Duration = Duration::from_secs(600);

impl Controller {
    /// Compares, and puts nothing right.
    pub async fn drift(&self) -> Result<Drift> {
        let found = self.0.kernel.compare().await.map_err(Error::system)?;
        let shown = |d: netstate::Difference| Difference {
            netns: d.row.ns().to_string(),
            text: d.text,
        };
        Ok(Drift {
            wanted: found.stats.rows,
            applied: found.stats.applied,
            healed: found.stats.healed,
            failed: found.stats.failed,
            held_seconds: found.held.as_secs_f64().ceil() as u64,
            differences: found.differences.into_iter().map(shown).collect(),
        })
    }

    /// Puts nothing right for so long; nought ends that.
    pub async fn hold_healing(&self, time: Duration) -> Result<()> {
        if time > LONGEST_HOLD {
            return Err(Error::invalid(format!(
                "healing can be held for {} seconds at most, not {}",
                LONGEST_HOLD.as_secs(),
                time.as_secs()
            )));
        }
        if !time.is_zero() {
            tracing::warn!(seconds = time.as_secs(), "healing is held by request");
        }
        self.0.kernel.hold(time).await.map_err(Error::system)
    }
}
