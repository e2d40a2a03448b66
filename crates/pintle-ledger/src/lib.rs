//! Money and what became of each request.
//!
//! A request **holds** its worst-case cost before it leaves, in every scope at once (I2), and is
//! **settled** after: posted at what it cost, or voided when nothing was sent. Between the two stands
//! the journal: before the first byte leaves, an intent is appended to a file; when the request ends,
//! its record is. A process that is killed finds both again at its next start, and posts what never
//! ended at its hold, flagged `in_doubt` (I3). Budgets live in memory; the database is written in
//! batches, off the request's path.
//!
//! Absences: no request waits for the database or for the disk; nothing here is a float; no entry is
//! ever changed or deleted.

mod account;
mod job;
mod journal;
mod ledger;
mod query;
mod record;
mod store;

pub use account::{BudgetState, Period, ReserveError, Scope};
pub use job::JobCost;
pub use journal::JournalError;
pub use ledger::{Dispatched, Hold, Ledger, LedgerError, LedgerSettings, Recovery, Settlement};
pub use query::{Count, DaySum, Overview, RequestFilter, RequestRow, UsageBy, UsageRow};
pub use record::{
    Attempt, Candidate, Dialect, Entry, EntryState, Outcome, Phase, PhaseTime, RequestRecord, ScanState,
};
