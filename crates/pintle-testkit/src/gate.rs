//! Gates: where a script stands still until the test lets it go on.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use crate::PATIENCE;

/// A gate in a script. Clones are the same gate, so one gate may stand in several scripts.
///
/// The test opens it for good with [`Gate::open`] or lets single pauses through with
/// [`Gate::let_through`]; [`Gate::reached`] waits until a script stands before it.
#[derive(Debug, Clone)]
pub struct Gate {
    passes: Arc<Semaphore>,
    arrivals: Arc<watch::Sender<usize>>,
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Gate { passes: Arc::new(Semaphore::new(0)), arrivals: Arc::new(watch::Sender::new(0)) }
    }

    /// Opens the gate for all pauses, now and later.
    pub fn open(&self) {
        // A closed semaphore refuses `acquire` at once: that is what "open" means to `pass`.
        self.passes.close();
    }

    /// Lets the next `n` pauses through and then stays closed.
    pub fn let_through(&self, n: usize) {
        self.passes.add_permits(n);
    }

    /// Waits until scripts have come to this gate `n` times, counted from its creation. Everything that
    /// stands before the gate in the script has been sent by then.
    pub async fn reached(&self, n: usize) {
        let mut arrivals = self.arrivals.subscribe();
        let wait = tokio::time::timeout(PATIENCE, arrivals.wait_for(|seen| *seen >= n)).await;
        assert!(wait.is_ok(), "no script came to the gate {n} times within {PATIENCE:?}");
    }

    pub(crate) async fn pass(&self) {
        self.arrivals.send_modify(|seen| *seen += 1);
        if let Ok(permit) = self.passes.acquire().await {
            permit.forget();
        }
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}
