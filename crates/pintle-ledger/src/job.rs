//! Work that takes minutes or hours and outlives the process, such as a tuning job: held like a request, but not
//! announced in the journal.
//!
//! A request that was on its way when the process died has an unknown end, and is posted at its hold. A job's end is
//! known: whoever runs it keeps its own record and meter on the disk, and after a start goes on where it was. So nothing
//! is written here before the end; after a start the job's keeper holds again, asks whether the record is there already
//! ([`Ledger::request`]), and posts it if it is not. The primary key of the entries sees to "exactly one" (I3).

use pintle_core::{Amount, Energy, Name, TokenUsage, UsageSource};

use crate::{Entry, EntryState, Hold, JournalError, Ledger, Period, RequestRecord, ReserveError, Scope};

/// What a job came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobCost {
    /// What it cost; `None` when nobody has said what its time costs (I4).
    pub cost: Option<Amount>,
    /// Tokens that were learnt from, as input.
    pub tokens: u64,
    /// What it took from the socket.
    pub energy: Option<Energy>,
}

impl Ledger {
    /// A hold of nothing, for work that was done before its money could be held again: what it cost is then posted beyond
    /// the hold, and shown as overage.
    ///
    /// # Errors
    /// When the clock shows a time outside the calendar.
    pub fn hold_nothing(&self, use_case: &Name) -> Result<Hold, ReserveError> {
        let at = self.inner.clock.now();
        let period = Period::month_of(at, self.time_zone())?;
        Ok(Hold {
            inner: std::sync::Arc::clone(&self.inner),
            scopes: [Scope::UseCase(use_case.clone()), Scope::Organisation],
            amount: Amount::ZERO,
            at_ms: at.as_millisecond(),
            period,
            is_open: true,
        })
    }
}

impl Hold {
    /// Posts what a job cost, with its record, which must name a placement. The rest of the hold is given back.
    ///
    /// # Errors
    /// When the journal cannot be written; the entry goes to the database all the same.
    pub fn post(mut self, mut record: Box<RequestRecord>, job: JobCost) -> Result<(), JournalError> {
        record.entry = Some(Entry {
            state: EntryState::Posted,
            hold: self.amount,
            cost: job.cost,
            usage: TokenUsage { input: job.tokens, ..TokenUsage::default() },
            // Whoever did the work counted.
            usage_source: UsageSource::Provider,
            prices: None,
            held_at_ms: self.at_ms,
            settled_at_ms: self.inner.clock.now().as_millisecond(),
            energy: job.energy,
        });
        let kept = self.inner.keep(&record, Vec::new());
        self.close(job.cost.unwrap_or(Amount::ZERO));
        kept
    }
}
