//! Hold, dispatch, settle; and what a killed process leaves behind.

use std::sync::Arc;

use jiff::tz::TimeZone;
use pintle_core::{
    Amount, Clock, DataClass, Energy, EnergyMethod, ManualClock, Name, PriceCard, RequestId, TokenUsage,
    UsageSource, Zone,
};
use pintle_db::Database;
use pintle_ledger::{
    Dialect, Dispatched, EntryState, JobCost, Ledger, LedgerSettings, Outcome, Recovery, RequestFilter,
    RequestRecord, ReserveError, Scope, Settlement, UsageBy,
};
use tempfile::TempDir;

fn settings() -> LedgerSettings {
    LedgerSettings {
        currency: "EUR".parse().unwrap(),
        time_zone: TimeZone::get("Europe/Berlin").unwrap(),
        organisation_budget: None,
    }
}

fn clock() -> ManualClock {
    ManualClock::new("2026-11-24T08:00:00Z".parse().unwrap())
}

async fn open(folder: &TempDir, clock: &ManualClock) -> (Ledger, Recovery) {
    let database = Database::open(folder.path()).await.unwrap();
    Ledger::open(database, folder.path(), settings(), Arc::new(clock.clone())).await.unwrap()
}

fn replies() -> Name {
    "replies".parse().unwrap()
}

fn record(clock: &ManualClock) -> Box<RequestRecord> {
    let now = clock.now();
    let mut record = RequestRecord::new(
        RequestId::new(now).unwrap(),
        now.as_millisecond(),
        replies(),
        Dialect::OpenAiChat,
    );
    record.placement = Some("cloud".parse().unwrap());
    record.zone = Some(Zone::PublicCloud);
    record.class = Some(DataClass::Internal);
    Box::new(record)
}

/// One currency unit per million input tokens, two per million of output.
fn prices() -> PriceCard {
    serde_json::from_str(r#"{"input":"1","output":"2"}"#).unwrap()
}

fn dispatch(ledger: &Ledger, clock: &ManualClock, hold: i64) -> Dispatched {
    let hold = ledger.hold(&replies(), Amount::from_nanos(hold)).unwrap();
    hold.dispatch(record(clock), Some(prices())).unwrap()
}

fn settle(mut dispatched: Dispatched, input: u64) {
    dispatched.record_mut().outcome = Outcome::Answered;
    dispatched.record_mut().status = 200;
    dispatched
        .settle(
            Settlement {
                state: EntryState::Posted,
                usage: TokenUsage { input, ..TokenUsage::default() },
                usage_source: UsageSource::Provider,
                prices: Some(prices()),
            },
            |_| {},
        )
        .unwrap();
}

fn state(ledger: &Ledger, scope: &Scope) -> (i64, i64) {
    let states = ledger.budgets().unwrap();
    let state = states.iter().find(|state| state.scope == *scope).unwrap();
    (state.posted.nanos(), state.held.nanos())
}

/// Ends the process as `kill -9` would: nothing in memory is written. Gives the disk as it was left.
fn kill(folder: &TempDir, ledger: Ledger, on_the_way: Vec<Dispatched>) -> TempDir {
    let left = tempfile::tempdir().unwrap();
    std::fs::create_dir(left.path().join("journal")).unwrap();
    for part in ["", "journal"] {
        for entry in std::fs::read_dir(folder.path().join(part)).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), left.path().join(part).join(entry.file_name())).unwrap();
            }
        }
    }
    on_the_way.into_iter().for_each(std::mem::forget);
    drop(ledger);
    left
}

#[tokio::test]
async fn a_hold_becomes_what_it_cost_and_the_rest_returns() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let (ledger, _) = open(&folder, &clock).await;
    let dispatched = dispatch(&ledger, &clock, 9_000);
    assert_eq!(state(&ledger, &Scope::Organisation), (0, 9_000));
    settle(dispatched, 5);
    assert_eq!(state(&ledger, &Scope::Organisation), (5_000, 0));
    assert_eq!(state(&ledger, &Scope::UseCase(replies())), (5_000, 0));
    drop(ledger.hold(&replies(), Amount::from_nanos(7)).unwrap());
    assert_eq!(state(&ledger, &Scope::Organisation), (5_000, 0), "a dropped hold returns");
    ledger.flush().await.unwrap();
    let rows = ledger.usage(UsageBy::UseCase, None, None, None).await.unwrap();
    assert_eq!((rows[0].requests, rows[0].cost_nanos, rows[0].input_tokens), (1, 5_000, 5));
}

#[tokio::test]
async fn i2_a_refusal_names_the_budget_and_when_it_renews() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let (ledger, _) = open(&folder, &clock).await;
    ledger.set_budget(Scope::UseCase(replies()), Some(Amount::from_nanos(10_000))).await.unwrap();
    settle(dispatch(&ledger, &clock, 9_000), 9);
    let ReserveError::Exceeded(full) = ledger.hold(&replies(), Amount::from_nanos(1_001)).unwrap_err() else {
        panic!("expected a full budget");
    };
    assert_eq!(full.scope, Scope::UseCase(replies()));
    assert_eq!((full.limit, full.posted), (Some(Amount::from_nanos(10_000)), Amount::from_nanos(9_000)));
    assert_eq!(full.period.end.to_string(), "2026-11-30T23:00:00Z");
    clock.set(full.period.end);
    let next_month = ledger.hold(&replies(), Amount::from_nanos(10_000)).unwrap();
    drop(next_month);
}

#[tokio::test]
async fn i2_an_overage_is_recorded_and_shown() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let (ledger, _) = open(&folder, &clock).await;
    ledger.set_budget(Scope::Organisation, Some(Amount::from_nanos(10_000))).await.unwrap();
    let dispatched = dispatch(&ledger, &clock, 9_000);
    let id = dispatched.record().id;
    settle(dispatched, 12);
    assert_eq!(state(&ledger, &Scope::Organisation), (12_000, 0));
    assert!(ledger.hold(&replies(), Amount::from_nanos(1)).is_err());
    ledger.flush().await.unwrap();
    let entry = ledger.request(id).await.unwrap().unwrap().entry.unwrap();
    assert_eq!(entry.overage(), Some(Amount::from_nanos(3_000)));
}

#[tokio::test]
async fn i3_a_killed_process_loses_and_doubles_nothing() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let (ledger, _) = open(&folder, &clock).await;
    // In the database; settled but not in the database; on its way; held but never dispatched.
    settle(dispatch(&ledger, &clock, 9_000), 1);
    ledger.flush().await.unwrap();
    settle(dispatch(&ledger, &clock, 9_000), 2);
    let lost = dispatch(&ledger, &clock, 4_000);
    let lost_id = lost.record().id;
    std::mem::forget(ledger.hold(&replies(), Amount::from_nanos(1_000)).unwrap());
    let mut folder = kill(&folder, ledger, vec![lost]);

    for round in 0..3 {
        let (ledger, recovery) = open(&folder, &clock).await;
        let expected = if round == 0 { (2, 1) } else { (0, 0) };
        assert_eq!((recovery.records, recovery.in_doubt), expected, "round {round}");
        assert_eq!(state(&ledger, &Scope::Organisation), (1_000 + 2_000 + 4_000, 0));
        let rows = ledger.usage(UsageBy::Placement, None, None, None).await.unwrap();
        assert_eq!((rows[0].requests, rows[0].cost_nanos, rows[0].in_doubt_requests), (3, 7_000, 1));
        let lost = ledger.request(lost_id).await.unwrap().unwrap();
        assert_eq!((lost.outcome, lost.entry.unwrap().state), (Outcome::InDoubt, EntryState::InDoubt));
        folder = kill(&folder, ledger, Vec::new());
    }
}

#[tokio::test]
async fn i3_a_dropped_request_posts_its_hold_in_doubt() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let (ledger, _) = open(&folder, &clock).await;
    drop(dispatch(&ledger, &clock, 4_000));
    assert_eq!(state(&ledger, &Scope::Organisation), (4_000, 0));
    ledger.flush().await.unwrap();
    let rows = ledger.usage(UsageBy::UseCase, None, None, None).await.unwrap();
    assert_eq!((rows[0].requests, rows[0].in_doubt_requests), (1, 1));
}

#[tokio::test]
async fn i3_a_database_that_fails_loses_nothing() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let database = Database::open(folder.path()).await.unwrap();
    let (ledger, _) =
        Ledger::open(database.clone(), folder.path(), settings(), Arc::new(clock.clone())).await.unwrap();
    settle(dispatch(&ledger, &clock, 9_000), 3);
    sqlx::query("ALTER TABLE ledger_entries RENAME TO gone").execute(database.writer()).await.unwrap();
    assert!(ledger.flush().await.is_err());
    assert_eq!(ledger.backlog(), 1);
    sqlx::query("ALTER TABLE gone RENAME TO ledger_entries").execute(database.writer()).await.unwrap();
    ledger.flush().await.unwrap();
    assert_eq!(ledger.backlog(), 0);
    assert_eq!(ledger.usage(UsageBy::UseCase, None, None, None).await.unwrap()[0].requests, 1);
}

#[tokio::test]
async fn i4_an_unpriced_request_is_counted_as_unpriced_and_never_as_free() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let (ledger, _) = open(&folder, &clock).await;
    let hold = ledger.hold(&replies(), Amount::ZERO).unwrap();
    let mut dispatched = hold.dispatch(record(&clock), None).unwrap();
    dispatched.record_mut().outcome = Outcome::Answered;
    let usage = TokenUsage { input: 9, ..TokenUsage::default() };
    dispatched
        .settle(
            Settlement {
                state: EntryState::Posted,
                usage,
                usage_source: UsageSource::Provider,
                prices: None,
            },
            |_| {},
        )
        .unwrap();
    ledger.flush().await.unwrap();
    let rows = ledger.usage(UsageBy::UseCase, None, None, None).await.unwrap();
    assert_eq!((rows[0].requests, rows[0].unpriced_requests), (1, 1));
    let listed = ledger.requests(&RequestFilter { limit: 5, ..RequestFilter::default() }).await.unwrap();
    assert_eq!(listed[0].cost_nanos, None);
    assert_eq!(ledger.overview(clock.now()).await.unwrap().unpriced, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i2_five_hundred_at_once_on_a_budget_for_a_hundred() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let (ledger, _) = open(&folder, &clock).await;
    ledger.set_budget(Scope::UseCase(replies()), Some(Amount::from_nanos(100_000))).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let (ledger, clock) = (ledger.clone(), clock.clone());
        tasks.spawn(async move {
            let Ok(hold) = ledger.hold(&replies(), Amount::from_nanos(1_000)) else { return false };
            let dispatched = hold.dispatch(record(&clock), Some(prices())).unwrap();
            tokio::task::yield_now().await;
            settle(dispatched, 1);
            true
        });
    }
    let admitted = tasks.join_all().await.into_iter().filter(|admitted| *admitted).count();
    assert_eq!(admitted, 100);
    assert_eq!(state(&ledger, &Scope::UseCase(replies())), (100_000, 0));
    ledger.flush().await.unwrap();
    assert_eq!(ledger.usage(UsageBy::UseCase, None, None, None).await.unwrap()[0].requests, 100);
}

#[tokio::test]
async fn the_currency_is_for_good() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    drop(open(&folder, &clock).await);
    let database = Database::open(folder.path()).await.unwrap();
    let dollars = LedgerSettings { currency: "USD".parse().unwrap(), ..settings() };
    let error = Ledger::open(database, folder.path(), dollars, Arc::new(clock)).await.err().unwrap();
    assert!(error.to_string().contains("the ledger counts in `EUR`"), "{error}");
}

#[tokio::test]
async fn a_request_is_found_by_its_last_digits_and_its_code() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let (ledger, _) = open(&folder, &clock).await;
    let mut refused = record(&clock);
    refused.outcome = Outcome::Refused;
    refused.code = Some("policy_refused".into());
    ledger.record(&refused).unwrap();
    settle(dispatch(&ledger, &clock, 1_000), 1);
    ledger.flush().await.unwrap();
    let find = async |text: &str| {
        let filter = RequestFilter { text: Some(text.into()), limit: 10, ..RequestFilter::default() };
        ledger.requests(&filter).await.unwrap().into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(find(&refused.id.short()).await, [refused.id]);
    assert_eq!(find("policy_refused").await, [refused.id]);
    assert_eq!(find("cloud").await.len(), 2);
    assert!(find("' OR 1=1 --").await.is_empty());
    let overview = ledger.overview(clock.now()).await.unwrap();
    assert_eq!(overview.stops[0].of.0, "policy_refused");
}

#[tokio::test]
async fn i3_a_flush_that_is_cancelled_at_any_point_loses_nothing() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let (ledger, _) = open(&folder, &clock).await;
    for polls in 0..40_usize {
        settle(dispatch(&ledger, &clock, 9_000), 1);
        let mut left = polls;
        let mut flush = std::pin::pin!(ledger.flush());
        // Polled so many times, then dropped in the middle, as when a browser closes its tab.
        std::future::poll_fn(|context| {
            if left == 0 || flush.as_mut().poll(context).is_ready() {
                return std::task::Poll::Ready(());
            }
            left -= 1;
            std::task::Poll::Pending
        })
        .await;
    }
    ledger.flush().await.unwrap();
    assert_eq!(ledger.backlog(), 0);
    assert_eq!(ledger.usage(UsageBy::UseCase, None, None, None).await.unwrap()[0].requests, 40);
}

#[tokio::test]
async fn i2_a_request_over_midnight_counts_in_the_month_that_held_it() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    clock.set("2026-11-30T22:59:59Z".parse().unwrap());
    let (ledger, _) = open(&folder, &clock).await;
    let early = record(&clock);
    clock.set("2026-11-30T23:00:01Z".parse().unwrap());
    let hold = ledger.hold(&replies(), Amount::from_nanos(9_000)).unwrap();
    settle(hold.dispatch(early, Some(prices())).unwrap(), 5);
    assert_eq!(state(&ledger, &Scope::Organisation), (5_000, 0));
    ledger.flush().await.unwrap();
    drop(ledger);
    let (ledger, _) = open(&folder, &clock).await;
    assert_eq!(state(&ledger, &Scope::Organisation), (5_000, 0), "the same after a restart");
}

#[tokio::test]
async fn a_job_is_held_for_as_long_as_it_takes_and_posted_once_with_its_energy() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let (ledger, _) = open(&folder, &clock).await;
    ledger.set_budget(Scope::UseCase(replies()), Some(Amount::from_nanos(10_000))).await.unwrap();
    let hold = ledger.hold(&replies(), Amount::from_nanos(9_000)).unwrap();
    let record = record(&clock);
    let id = record.id;
    let energy = Some(Energy { milliwatt_hours: 42, method: EnergyMethod::Estimated });
    let cost = JobCost { cost: Some(Amount::from_nanos(1_500)), tokens: 700, energy };
    hold.post(record, cost).unwrap();
    assert_eq!(state(&ledger, &Scope::UseCase(replies())), (1_500, 0), "the rest returns");
    // Work whose money could not be held again is posted beyond the budget, and shown.
    let late = self::record(&clock);
    let late_id = late.id;
    let beyond = JobCost { cost: Some(Amount::from_nanos(20_000)), ..cost };
    ledger.hold_nothing(&replies()).unwrap().post(late, beyond).unwrap();
    assert_eq!(state(&ledger, &Scope::UseCase(replies())), (21_500, 0));
    let left = kill(&folder, ledger, Vec::new());
    let (killed, _) = open(&left, &clock).await;
    let entry = killed.request(id).await.unwrap().unwrap().entry.unwrap();
    assert_eq!((entry.state, entry.energy, entry.usage.input), (EntryState::Posted, energy, 700));
    let late = killed.request(late_id).await.unwrap().unwrap().entry.unwrap();
    assert_eq!(late.overage(), Some(Amount::from_nanos(20_000)));
}
