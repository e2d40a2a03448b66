//! What every handler gets: the console's parts, its assets, and the caller.

use std::{ops::Deref, sync::Arc};

use pintle_core::{Id, IdKind, Name};
use pintle_ledger::LedgerError;
use pintle_registry::UseCase;

use crate::{ConsoleParts, assets::Assets, problem::Problem};

/// Marks ids of calls to the console and the admin API. They stand in the log, not in the ledger.
pub(crate) enum CallKind {}
impl IdKind for CallKind {
    const PREFIX: &'static str = "adm";
    const WANTED: &'static str = "an admin call's id";
}

/// One call to the console or the admin API.
pub(crate) type CallId = Id<CallKind>;

/// Who calls, once it is known.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The name that acts are written down under: a person, or `cli`.
    pub(crate) name: String,
}

/// Shared by all handlers.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) parts: ConsoleParts,
    pub(crate) assets: Assets,
}

impl App {
    pub(crate) fn new(parts: ConsoleParts) -> Self {
        App(Arc::new(Inner { parts, assets: Assets::new() }))
    }

    /// The use case of the given name.
    pub(crate) fn use_case(&self, name: &str) -> Result<Arc<UseCase>, Problem> {
        let missing = || Problem::not_found("use case", name);
        let name: Name = name.parse().map_err(|_| missing())?;
        self.parts.registry.snapshot().use_case(&name).cloned().ok_or_else(missing)
    }

    /// Writes what has just been settled, so that the reader who comes next sees it. Cheap when nothing
    /// waits. When the database fails, what is there already is still worth reading.
    pub(crate) async fn settle_reads(&self) {
        if let Err(error) = self.parts.ledger.flush().await {
            note(&error);
        }
    }
}

fn note(error: &LedgerError) {
    tracing::warn!(error = error as &dyn std::error::Error, "the newest records are not in the database yet");
}

impl Deref for App {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}
