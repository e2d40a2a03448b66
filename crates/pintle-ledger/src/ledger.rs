//! The ledger itself: hold → dispatch → settle, and the flusher behind it.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::tz::TimeZone;
use pintle_core::{Amount, Clock, Currency, MoneyError, Name, PriceCard, TokenUsage, UsageSource};
use pintle_db::Database;
use tokio::sync::Notify;

use crate::{
    BudgetState, Entry, EntryState, JournalError, Outcome, Period, RequestRecord, ReserveError, Scope,
    account::Accounts,
    journal::{Journal, LineKind, SegmentId, SharedJournal},
    store::{self, Row},
};

/// More records than this waiting for the database, and no new request is held (fail closed).
const MOST_BACKLOG: usize = 20_000;
/// The flusher wakes up this often, or when [`WAKE_AT`] records wait. Each commit makes the file system
/// write its own journal, and appends of requests wait for that: so not too often.
const FLUSH_EVERY: Duration = Duration::from_millis(250);
const WAKE_AT: usize = 2_000;
/// So long the writer rests between statements, unless many records wait.
const PAUSE: Duration = Duration::from_millis(1);
/// The disk is asked to keep the journal this often: what a power cut may take.
const SYNC_EVERY: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why the ledger could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database failed.
    #[error("the ledger's database failed")]
    Database(#[from] sqlx::Error),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Budgets could not be loaded or held.
    #[error(transparent)]
    Reserve(#[from] ReserveError),
    /// The ledger counts in one currency for good.
    #[error(
        "the ledger counts in `{kept}` and the configuration says `{configured}`; hint: keep `{kept}`, or begin a new data folder"
    )]
    CurrencyChanged {
        /// The ledger's.
        kept: String,
        /// The configuration's.
        configured: Currency,
    },
    /// The configuration file is the master of this budget.
    #[error("this budget is set in the configuration; hint: change it at {0}")]
    SetByFile(String),
    /// A row holds what cannot be read.
    #[error("the ledger holds a value that cannot be read: {0}")]
    Corrupt(String),
}

/// What the ledger must know of the organisation.
#[derive(Debug, Clone)]
pub struct LedgerSettings {
    /// The one currency.
    pub currency: Currency,
    /// Where months begin and days end.
    pub time_zone: TimeZone,
    /// The organisation's hard budget per month and where the configuration sets it, if it does.
    pub organisation_budget: Option<(Amount, String)>,
}

/// What was found at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Records of the last process that were not in the database yet.
    pub records: usize,
    /// Of them, requests whose end nobody knows; posted at their hold.
    pub in_doubt: usize,
    /// Lines of the journal that do not check out; their segment is kept.
    pub damaged_lines: usize,
}

/// A record on its way to the database.
pub(crate) struct Pending {
    pub(crate) row: Row,
    pub(crate) json: String,
    lines: Vec<SegmentId>,
}

/// The ledger. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    database: Database,
    pub(crate) clock: Arc<dyn Clock>,
    currency: Currency,
    pub(crate) accounts: Accounts,
    /// Where the configuration sets the organisation's budget.
    file_budget: Mutex<Option<String>>,
    journal: SharedJournal,
    pending: Mutex<Vec<Pending>>,
    pending_count: AtomicUsize,
    wake: Notify,
    /// One flush at a time.
    flush: tokio::sync::Mutex<()>,
    is_healthy: AtomicBool,
}

impl Ledger {
    /// Opens the ledger: finishes what the last process left in the journal, then loads the budgets.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub async fn open(
        database: Database,
        folder: &Path,
        settings: LedgerSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Recovery), LedgerError> {
        store::check_currency(&database, &settings.currency).await?;
        let (journal, leftovers) = Journal::open(&folder.join("journal"))?;
        let recovery = Recovery {
            records: leftovers.records.len(),
            in_doubt: leftovers.in_doubt,
            damaged_lines: leftovers.damaged_lines,
        };
        let zone = settings.time_zone;
        store::recover(&database, &zone, &leftovers.records).await?;
        Journal::forget(&leftovers);
        let accounts = Accounts::new(zone);
        let now = clock.now();
        let period = Period::month_of(now, accounts.zone())?;
        let mut total = Amount::ZERO;
        for (use_case, posted) in
            store::posted_since(&database, &store::day_of(period.start.as_millisecond(), accounts.zone()))
                .await?
        {
            total = total.plus(posted).map_err(ReserveError::from)?;
            accounts.load(Scope::UseCase(use_case), posted, now)?;
        }
        accounts.load(Scope::Organisation, total, now)?;
        for (scope, limit) in store::budgets(&database).await? {
            accounts.set_limit(scope, Some(limit), now)?;
        }
        if let Some((limit, _)) = &settings.organisation_budget {
            accounts.set_limit(Scope::Organisation, Some(*limit), now)?;
        }
        let inner = Inner {
            database,
            clock,
            currency: settings.currency,
            accounts,
            file_budget: Mutex::new(settings.organisation_budget.map(|(_, source)| source)),
            journal: Arc::new(journal),
            pending: Mutex::default(),
            pending_count: AtomicUsize::new(0),
            wake: Notify::new(),
            flush: tokio::sync::Mutex::new(()),
            is_healthy: AtomicBool::new(true),
        };
        Ok((Ledger { inner: Arc::new(inner) }, recovery))
    }

    /// The one currency.
    #[must_use]
    pub fn currency(&self) -> &Currency {
        &self.inner.currency
    }

    /// Where months begin and days end.
    #[must_use]
    pub fn time_zone(&self) -> &TimeZone {
        self.inner.accounts.zone()
    }

    pub(crate) fn database(&self) -> &Database {
        &self.inner.database
    }

    /// Records that wait for the database.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.inner.pending_count.load(Ordering::Relaxed)
    }

    /// Whether so many records wait for the database that nothing new may begin, not even what would only
    /// be refused: each record takes memory until it is written.
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        self.backlog() > MOST_BACKLOG
    }

    /// Whether the last write to the database went well.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.inner.is_healthy.load(Ordering::Relaxed)
    }

    /// Holds `amount` for a use case, in its own budget and the organisation's, all or nothing (I2).
    /// Dropping the hold releases it.
    ///
    /// # Errors
    /// When a hard budget has no room, or the ledger cannot keep up.
    pub fn hold(&self, use_case: &Name, amount: Amount) -> Result<Hold, ReserveError> {
        if self.is_overloaded() {
            return Err(ReserveError::Backlog);
        }
        // The use case first: the refusal names the budget that its owner can do something about.
        let scopes = [Scope::UseCase(use_case.clone()), Scope::Organisation];
        let at = self.inner.clock.now();
        let period = self.inner.accounts.hold(&scopes, amount, at)?;
        let at_ms = at.as_millisecond();
        Ok(Hold { inner: Arc::clone(&self.inner), scopes, amount, at_ms, period, is_open: true })
    }

    /// The hard monthly limit of a scope, if it has one.
    #[must_use]
    pub fn limit(&self, scope: &Scope) -> Option<Amount> {
        self.inner.accounts.limit(scope)
    }

    /// Every budget as it stands now.
    ///
    /// # Errors
    /// When the accounts cannot be read.
    pub fn budgets(&self) -> Result<Vec<BudgetState>, ReserveError> {
        self.inner.accounts.states(self.inner.clock.now())
    }

    /// Where the configuration sets the organisation's budget, if it does.
    #[must_use]
    pub fn organisation_budget_source(&self) -> Option<String> {
        self.inner.file_budget.lock().ok()?.clone()
    }

    /// Takes over what a newly read configuration says of the organisation's budget: the limit and where
    /// it stands. When it no longer says anything, the limit stays until somebody sets another.
    ///
    /// # Errors
    /// When the accounts cannot be used.
    pub fn set_organisation_budget_by_file(
        &self,
        budget: Option<(Amount, String)>,
    ) -> Result<(), ReserveError> {
        let mut source = self.inner.file_budget.lock().map_err(|_| ReserveError::Broken)?;
        if let Some((limit, _)) = &budget {
            self.inner.accounts.set_limit(Scope::Organisation, Some(*limit), self.inner.clock.now())?;
        }
        *source = budget.map(|(_, source)| source);
        Ok(())
    }

    /// Sets or removes a hard budget; it acts at once.
    ///
    /// # Errors
    /// When the configuration file is its master, or the database fails.
    pub async fn set_budget(&self, scope: Scope, limit: Option<Amount>) -> Result<(), LedgerError> {
        if scope == Scope::Organisation
            && let Some(source) = self.organisation_budget_source()
        {
            return Err(LedgerError::SetByFile(source));
        }
        let now = self.inner.clock.now();
        store::put_budget(&self.inner.database, &scope, limit, now).await?;
        Ok(self.inner.accounts.set_limit(scope, limit, now)?)
    }

    /// Keeps the record of a request that was never dispatched.
    ///
    /// # Errors
    /// When the journal cannot be written. The record is kept in memory for the database all the same.
    pub fn record(&self, record: &RequestRecord) -> Result<(), JournalError> {
        self.inner.keep(record, Vec::new())
    }

    /// Writes batches to the database until `stop` is done, then a last one. Run it once, as a task.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        let mut stop = std::pin::pin!(stop);
        let mut synced = tokio::time::Instant::now();
        loop {
            let wait = if self.is_healthy() { FLUSH_EVERY } else { RETRY_AFTER };
            tokio::select! {
                () = &mut stop => break,
                () = tokio::time::sleep(wait) => {}
                () = self.inner.wake.notified() => {}
            }
            let pause = (self.backlog() < 2 * WAKE_AT).then_some(PAUSE);
            self.flush_and_say(pause).await;
            if synced.elapsed() >= SYNC_EVERY {
                synced = tokio::time::Instant::now();
                self.sync_journal().await;
            }
        }
        self.flush_and_say(None).await;
    }

    /// Asks the disk to keep what the journal has, off the async threads. An error shows at the next append.
    async fn sync_journal(&self) {
        let files = self.inner.journal.files_to_sync();
        if !files.is_empty() {
            let sync = move || files.iter().try_for_each(std::fs::File::sync_data);
            let _ = tokio::task::spawn_blocking(sync).await;
        }
    }

    async fn flush_and_say(&self, pause: Option<Duration>) {
        let result = self.flush_with(pause).await;
        let was_healthy = self.inner.is_healthy.swap(result.is_ok(), Ordering::Relaxed);
        match result {
            Err(error) if was_healthy => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    backlog = self.backlog(),
                    "records cannot be written to the database; they wait in the journal"
                );
            }
            Ok(()) if !was_healthy => tracing::info!("records are written to the database again"),
            _ => {}
        }
    }

    /// Writes everything that waits to the database, in transactions of bounded size.
    ///
    /// # Errors
    /// When the database fails; what was not written waits on.
    pub async fn flush(&self) -> Result<(), LedgerError> {
        self.flush_with(None).await
    }

    async fn flush_with(&self, pause: Option<Duration>) -> Result<(), LedgerError> {
        let inner = &self.inner;
        let _one_at_a_time = inner.flush.lock().await;
        let batch = Batch::take(inner);
        if batch.records.is_empty() {
            return Ok(());
        }
        store::write(&inner.database, inner.accounts.zone(), &batch.records, pause).await?;
        batch.written();
        Ok(())
    }
}

/// Records on their way to the database. Dropping it, because the write failed or because whoever waited
/// for it went away in the middle, puts them back: writing a record a second time changes nothing.
struct Batch<'a> {
    inner: &'a Inner,
    records: Vec<Pending>,
}

impl<'a> Batch<'a> {
    fn take(inner: &'a Inner) -> Self {
        let records = inner.pending.lock().map(|mut pending| std::mem::take(&mut *pending));
        Batch { inner, records: records.unwrap_or_default() }
    }

    fn written(mut self) {
        let records = std::mem::take(&mut self.records);
        self.inner.pending_count.fetch_sub(records.len(), Ordering::Relaxed);
        self.inner.journal.release(records.iter().flat_map(|pending| pending.lines.iter().copied()));
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if self.records.is_empty() {
            return;
        }
        if let Ok(mut pending) = self.inner.pending.lock() {
            let newer = std::mem::replace(&mut *pending, std::mem::take(&mut self.records));
            pending.extend(newer);
        }
    }
}

impl Inner {
    fn append(&self, kind: LineKind, record: &RequestRecord) -> Result<SegmentId, JournalError> {
        let json = serde_json::to_vec(record).map_err(|_| JournalError::Broken)?;
        self.journal.append(kind, &json)
    }

    /// Journals a record and queues it for the database. When the journal fails, it is queued all the
    /// same: a running process writes it, and only a killed one would post its intent instead.
    pub(crate) fn keep(&self, record: &RequestRecord, mut lines: Vec<SegmentId>) -> Result<(), JournalError> {
        let json = serde_json::to_string(record).map_err(|_| JournalError::Broken)?;
        let appended = self.journal.append(LineKind::Record, json.as_bytes());
        if let Ok(line) = &appended {
            lines.push(*line);
        }
        let waiting = self.pending_count.fetch_add(1, Ordering::Relaxed) + 1;
        let mut pending = self.pending.lock().map_err(|_| JournalError::Broken)?;
        pending.push(Pending { row: Row::of(record), json, lines });
        drop(pending);
        if waiting == WAKE_AT {
            self.wake.notify_one();
        }
        appended.map(drop)
    }
}

/// Money reserved for a request that has not left yet. Dropping it gives the money back.
#[must_use = "dropping a hold releases it"]
pub struct Hold {
    pub(crate) inner: Arc<Inner>,
    pub(crate) scopes: [Scope; 2],
    pub(crate) amount: Amount,
    pub(crate) at_ms: i64,
    pub(crate) period: Period,
    pub(crate) is_open: bool,
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hold").field("amount", &self.amount).finish_non_exhaustive()
    }
}

impl Hold {
    /// What is held.
    #[must_use]
    pub fn amount(&self) -> Amount {
        self.amount
    }

    /// Announces the request in the journal. After this it must be settled; if it never is, it counts
    /// as in doubt, at its hold.
    ///
    /// # Errors
    /// When the journal cannot be written: the request must not leave. The hold is released, and the
    /// record comes back.
    pub fn dispatch(
        self,
        mut record: Box<RequestRecord>,
        prices: Option<PriceCard>,
    ) -> Result<Dispatched, (JournalError, Box<RequestRecord>)> {
        record.entry = Some(Entry {
            state: EntryState::InDoubt,
            hold: self.amount,
            cost: prices.map(|_| self.amount),
            usage: TokenUsage::default(),
            usage_source: UsageSource::Held,
            prices: None,
            held_at_ms: self.at_ms,
            settled_at_ms: self.at_ms,
            energy: None,
        });
        let outcome = std::mem::replace(&mut record.outcome, Outcome::InDoubt);
        let appended = self.inner.append(LineKind::Intent, &record);
        record.outcome = outcome;
        // The intent leaves the prices out: it is posted at its hold, whatever they are.
        if let Some(entry) = &mut record.entry {
            entry.prices = prices;
        }
        match appended {
            Ok(line) => Ok(Dispatched { hold: self, record, lines: vec![line], is_settled: false }),
            Err(error) => {
                record.entry = None;
                Err((error, record))
            }
        }
    }

    pub(crate) fn close(&mut self, cost: Amount) {
        if std::mem::replace(&mut self.is_open, false) {
            self.inner.accounts.settle(&self.scopes, self.amount, cost, self.period);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.close(Amount::ZERO);
    }
}

/// A request on its way. It ends in exactly one entry (I3): [`Dispatched::settle`] writes it, and when
/// that is never called, dropping does, in doubt and at the hold.
#[must_use = "dropping a dispatched request posts its hold, in doubt"]
pub struct Dispatched {
    hold: Hold,
    record: Box<RequestRecord>,
    lines: Vec<SegmentId>,
    is_settled: bool,
}

impl std::fmt::Debug for Dispatched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatched").field("id", &self.record.id).finish_non_exhaustive()
    }
}

/// What a dispatched request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// Posted, voided or in doubt.
    pub state: EntryState,
    /// The tokens.
    pub usage: TokenUsage,
    /// Where the figures come from.
    pub usage_source: UsageSource,
    /// The prices of the placement that answered; `None` when it is unpriced.
    pub prices: Option<PriceCard>,
}

impl Dispatched {
    /// The record as it stands, to be filled in.
    pub fn record_mut(&mut self) -> &mut RequestRecord {
        &mut self.record
    }

    /// The record as it stands.
    #[must_use]
    pub fn record(&self) -> &RequestRecord {
        &self.record
    }

    /// Announces a further try, at another placement: the newest intent counts if the process dies.
    ///
    /// # Errors
    /// When the journal cannot be written: this try must not be made.
    pub fn announce_again(&mut self, prices: Option<PriceCard>) -> Result<(), JournalError> {
        if let Some(entry) = &mut self.record.entry {
            entry.cost = prices.map(|_| entry.hold);
            entry.prices = prices;
        }
        let outcome = std::mem::replace(&mut self.record.outcome, Outcome::InDoubt);
        let appended = self.hold.inner.append(LineKind::Intent, &self.record);
        self.record.outcome = outcome;
        self.lines.push(appended?);
        Ok(())
    }

    /// What the given tokens cost at the given prices; `None` without prices.
    ///
    /// # Errors
    /// When the cost cannot be counted.
    pub fn cost(usage: &TokenUsage, prices: Option<PriceCard>) -> Result<Option<Amount>, MoneyError> {
        prices.map(|prices| prices.cost(usage)).transpose()
    }

    /// Posts or voids. The record must say by now how the request ended; `look` sees it with its entry. A
    /// cost that cannot be counted (a provider reports nonsense) posts the hold, in doubt.
    ///
    /// # Errors
    /// When the journal cannot be written; the entry goes to the database all the same.
    pub fn settle(
        mut self,
        settlement: Settlement,
        look: impl FnOnce(&RequestRecord),
    ) -> Result<(), JournalError> {
        let hold = self.hold.amount;
        let (state, cost) = match settlement.state {
            EntryState::Voided => (EntryState::Voided, Some(Amount::ZERO)),
            EntryState::InDoubt => (EntryState::InDoubt, settlement.prices.map(|_| hold)),
            EntryState::Posted => match Self::cost(&settlement.usage, settlement.prices) {
                Ok(cost) => (EntryState::Posted, cost),
                Err(MoneyError) => (EntryState::InDoubt, Some(hold)),
            },
        };
        self.record.entry = Some(Entry {
            state,
            hold,
            cost,
            usage: settlement.usage,
            usage_source: settlement.usage_source,
            prices: settlement.prices,
            held_at_ms: self.hold.at_ms,
            settled_at_ms: self.hold.inner.clock.now().as_millisecond(),
            energy: None,
        });
        look(&self.record);
        self.finish()
    }

    fn finish(&mut self) -> Result<(), JournalError> {
        self.is_settled = true;
        let cost = self.record.entry.as_ref().and_then(|entry| entry.cost).unwrap_or(Amount::ZERO);
        let kept = self.hold.inner.keep(&self.record, std::mem::take(&mut self.lines));
        self.hold.close(cost);
        kept
    }
}

impl Drop for Dispatched {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        // Reached when a task dies between dispatch and settlement: the entry still says what was held.
        self.record.outcome = Outcome::InDoubt;
        if let Err(error) = self.finish() {
            tracing::error!(%error, id = %self.record.id, "the entry of a dropped request is not in the journal");
        }
    }
}
