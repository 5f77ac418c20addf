//! A token that cancels a running query.

use std::sync::Arc;

use tokio::sync::watch;

/// Cancels the queries that it was given to. Clones share one state.
#[derive(Debug, Clone)]
pub struct CancelToken {
    state: Arc<watch::Sender<bool>>,
}

impl Default for CancelToken {
    fn default() -> Self {
        Self { state: Arc::new(watch::Sender::new(false)) }
    }
}

impl CancelToken {
    /// A token that nobody has cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels; later queries with this token fail at once.
    pub fn cancel(&self) {
        self.state.send_replace(true);
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        *self.state.borrow()
    }

    /// Waits until it is cancelled.
    pub async fn cancelled(&self) {
        let mut seen = self.state.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = seen.wait_for(|cancelled| *cancelled).await;
    }
}
