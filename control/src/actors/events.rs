//! What happens in the node, told to whoever listens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::broadcast;

use crate::api::{LifeEvent, What};

/// Events that a listener may be behind before it loses some and is told so.
const BACKLOG: usize = 1024;

/// The node's events. Clones tell and hear the same.
#[derive(Debug, Clone)]
pub struct Events {
    sender: broadcast::Sender<Arc<LifeEvent>>,
    sequence: Arc<AtomicU64>,
}

impl Events {
    /// With nobody listening.
    pub fn new() -> Self {
        Self { sender: broadcast::Sender::new(BACKLOG), sequence: Arc::default() }
    }

    /// Tells everybody.
    pub fn say(&self, what: What) {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let event = LifeEvent { sequence, at_ms: unix_ms(), what };
        log(&event.what);
        // Nobody may be listening.
        let _ = self.sender.send(Arc::new(event));
    }

    /// Hears what happens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<LifeEvent>> {
        self.sender.subscribe()
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

/// An end says why; candidates are for whoever looks closely.
fn log(what: &What) {
    let (call, event) = (what.call().unwrap_or_default(), what.name());
    match what {
        What::LegEnded { leg, .. } => {
            tracing::info!(call, event, leg = leg.id, role = leg.role, reason = ?leg.ended);
        }
        What::CallEnded { reason, .. } => tracing::info!(call, event, ?reason),
        What::RenegotiationNeeded { leg, because, .. } => {
            tracing::info!(call, event, leg, because);
        }
        What::Candidate { leg, .. } => tracing::debug!(call, event, leg),
        _ => tracing::info!(call, event),
    }
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
