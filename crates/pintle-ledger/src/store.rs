//! The ledger's rows: what is written, in batches, and what is read at the start.

use std::{sync::LazyLock, time::Duration};

use jiff::tz::TimeZone;
use pintle_core::{Amount, Currency, KeyId, Name, RequestId, Timestamp};
use pintle_db::Database;
use sqlx::{Row as _, Sqlite, Transaction};

use crate::{Entry, LedgerError, RequestRecord, Scope, ledger::Pending};

/// Records per transaction, so that a long backlog does not become one long lock.
const RECORDS_PER_TRANSACTION: usize = 2_000;

/// The columns of a record that lists and sums need.
pub(crate) struct Row {
    id: RequestId,
    at_ms: i64,
    use_case: Name,
    key: Option<KeyId>,
    model: std::sync::Arc<str>,
    placement: Option<Name>,
    zone: Option<&'static str>,
    class: Option<&'static str>,
    outcome: &'static str,
    code: Option<std::borrow::Cow<'static, str>>,
    status: u16,
    duration_us: u64,
    entry: Option<Entry>,
}

impl Row {
    pub(crate) fn of(record: &RequestRecord) -> Self {
        Row {
            id: record.id,
            at_ms: record.at_ms,
            use_case: record.use_case.clone(),
            key: record.key,
            model: record.model.clone(),
            placement: record.placement.clone(),
            zone: record.zone.map(|zone| zone.as_str()),
            class: record.class.map(|class| class.as_str()),
            outcome: record.outcome.as_str(),
            code: record.code.clone(),
            status: record.status,
            duration_us: record.duration_us,
            entry: record.entry.clone(),
        }
    }

    /// The day in the organisation's time zone on which the money was held: `2026-11-24`.
    fn day(&self, zone: &TimeZone) -> String {
        day_of(self.entry.as_ref().map_or(self.at_ms, |entry| entry.held_at_ms), zone)
    }
}

pub(crate) fn day_of(at_ms: i64, zone: &TimeZone) -> String {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned_datetime(zone.clone()).date().to_string()
}

/// Counts above `i64` do not exist in the database; they are written as its largest value.
fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Writes a batch. A request that is there already stays as it is: the first word in the database is
/// final, which makes a second try of the same batch harmless (I3).
///
/// With a `pause`, the writer makes short statements and rests that long after each, so that on a machine with
/// few cores a request waits for one short statement at the most, and not for the whole batch.
pub(crate) async fn write(
    database: &Database,
    zone: &TimeZone,
    batch: &[Pending],
    pause: Option<Duration>,
) -> Result<(), LedgerError> {
    for part in batch.chunks(RECORDS_PER_TRANSACTION) {
        let mut transaction = database.writer().begin().await?;
        let rows: Vec<_> = part.iter().map(|it| (&it.row, it.row.day(zone), it.json.as_str())).collect();
        let size = if pause.is_some() { ROWS_WHEN_CALM } else { ROWS_PER_STATEMENT };
        for rows in rows.chunks(size) {
            insert_requests(&mut transaction, rows).await?;
            insert_entries(&mut transaction, rows).await?;
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
        transaction.commit().await?;
    }
    Ok(())
}

/// Writes what the journal held at the start.
pub(crate) async fn recover(
    database: &Database,
    zone: &TimeZone,
    records: &[RequestRecord],
) -> Result<(), LedgerError> {
    for part in records.chunks(RECORDS_PER_TRANSACTION) {
        let mut rows = Vec::with_capacity(part.len());
        for record in part {
            let json = serde_json::to_string(record)
                .map_err(|_| LedgerError::Corrupt("a record of the journal".into()))?;
            rows.push((Row::of(record), json));
        }
        let rows: Vec<_> = rows.iter().map(|(row, json)| (row, row.day(zone), json.as_str())).collect();
        let mut transaction = database.writer().begin().await?;
        insert_requests(&mut transaction, &rows).await?;
        insert_entries(&mut transaction, &rows).await?;
        transaction.commit().await?;
    }
    Ok(())
}

type RowRef<'a> = (&'a Row, String, &'a str);

/// Rows per statement. Three sizes, so that each statement is prepared once and found again: preparing a
/// statement of its own length for each batch costs more than running it.
const SIZES: [usize; 3] = [ROWS_PER_STATEMENT, ROWS_WHEN_CALM, 1];
const ROWS_PER_STATEMENT: usize = 32;
const ROWS_WHEN_CALM: usize = 8;

/// `INSERT` statements for so many rows at once, in the order of [`SIZES`].
struct Inserts([String; 3]);

impl Inserts {
    fn new(table: &str, columns: &str, key: &str) -> Self {
        let row = format!("({})", vec!["?"; columns.split(',').count()].join(", "));
        Inserts(SIZES.map(|rows| {
            let rows = vec![row.as_str(); rows].join(", ");
            format!("INSERT INTO {table} ({columns}) VALUES {rows} ON CONFLICT ({key}) DO NOTHING")
        }))
    }

    /// Cuts `rows` into parts of the known sizes, each with its statement.
    fn parts<'a, T>(&'static self, mut rows: &'a [T]) -> Vec<(&'static str, &'a [T])> {
        let mut parts = Vec::new();
        for (sql, size) in self.0.iter().zip(SIZES) {
            while let Some((part, rest)) = rows.split_at_checked(size).filter(|(part, _)| !part.is_empty()) {
                parts.push((sql.as_str(), part));
                rows = rest;
            }
        }
        parts
    }
}

static INSERT_REQUESTS: LazyLock<Inserts> = LazyLock::new(|| {
    let columns = "id, at, use_case, model, placement, zone, class, outcome, code, status, cost_nanos, \
                   is_unpriced, duration_us, record";
    Inserts::new("requests", columns, "id")
});

static INSERT_ENTRIES: LazyLock<Inserts> = LazyLock::new(|| {
    let columns = "request_id, at, day, settled_at, use_case, key_id, placement, zone, model, state, hold_nanos, \
                   cost_nanos, input, cached_input, cache_write, output, reasoning, usage_source, energy_mwh, \
                   energy_method";
    Inserts::new("ledger_entries", columns, "request_id")
});

async fn insert_requests(
    transaction: &mut Transaction<'_, Sqlite>,
    rows: &[RowRef<'_>],
) -> Result<(), LedgerError> {
    for (sql, part) in INSERT_REQUESTS.parts(rows) {
        let mut query = sqlx::query(sql);
        for (row, _, json) in part {
            let is_unpriced = row.entry.as_ref().is_some_and(|entry| entry.cost.is_none());
            query = query
                .bind(row.id.as_uuid().as_bytes().as_slice())
                .bind(row.at_ms)
                .bind(row.use_case.as_str())
                .bind(&*row.model)
                .bind(row.placement.as_ref().map(Name::as_str))
                .bind(row.zone)
                .bind(row.class)
                .bind(row.outcome)
                .bind(row.code.as_deref())
                .bind(i64::from(row.status))
                .bind(row.entry.as_ref().and_then(|entry| entry.cost).map(Amount::nanos))
                .bind(is_unpriced)
                .bind(count(row.duration_us))
                .bind(*json);
        }
        query.execute(&mut **transaction).await?;
    }
    Ok(())
}

async fn insert_entries(
    transaction: &mut Transaction<'_, Sqlite>,
    rows: &[RowRef<'_>],
) -> Result<(), LedgerError> {
    let entries: Vec<_> = rows
        .iter()
        .filter_map(|(row, day, _)| Some((*row, day, row.entry.as_ref()?, row.placement.as_ref()?)))
        .collect();
    for (sql, part) in INSERT_ENTRIES.parts(&entries) {
        let mut query = sqlx::query(sql);
        for (row, day, entry, placement) in part {
            query = query
                .bind(row.id.as_uuid().as_bytes().as_slice())
                .bind(row.at_ms)
                .bind(day.as_str())
                .bind(entry.settled_at_ms)
                .bind(row.use_case.as_str())
                .bind(row.key.as_ref().map(|key| key.as_uuid().as_bytes().as_slice()))
                .bind(placement.as_str())
                .bind(row.zone.unwrap_or_default())
                .bind(&*row.model)
                .bind(entry.state.as_str())
                .bind(entry.hold.nanos())
                .bind(entry.cost.map(Amount::nanos))
                .bind(count(entry.usage.input))
                .bind(count(entry.usage.cached_input))
                .bind(count(entry.usage.cache_write))
                .bind(count(entry.usage.output))
                .bind(count(entry.usage.reasoning))
                .bind(entry.usage_source.as_str())
                .bind(entry.energy.map(|energy| count(energy.milliwatt_hours)))
                .bind(entry.energy.map(|energy| energy.method.as_str()));
        }
        query.execute(&mut **transaction).await?;
    }
    Ok(())
}

/// What each use case has spent since the month began (a day in the organisation's time zone). Rows
/// without a price count nothing and are listed as unpriced elsewhere; a sum beyond `i64` is an error of
/// the query, never a wrong figure.
pub(crate) async fn posted_since(
    database: &Database,
    first_day: &str,
) -> Result<Vec<(Name, Amount)>, LedgerError> {
    let rows = sqlx::query(
        "SELECT use_case, COALESCE(SUM(cost_nanos), 0) AS posted FROM ledger_entries WHERE day >= ? GROUP BY use_case",
    )
    .bind(first_day)
    .fetch_all(database.writer())
    .await?;
    rows.iter()
        .map(|row| Ok((parse(row.try_get("use_case")?)?, Amount::from_nanos(row.try_get("posted")?))))
        .collect()
}

pub(crate) fn parse<T: std::str::FromStr>(text: &str) -> Result<T, LedgerError> {
    text.parse().map_err(|_| LedgerError::Corrupt(format!("`{text}`")))
}

pub(crate) async fn budgets(database: &Database) -> Result<Vec<(Scope, Amount)>, LedgerError> {
    let rows = sqlx::query("SELECT scope, monthly_nanos FROM budgets").fetch_all(database.writer()).await?;
    rows.iter()
        .map(|row| Ok((parse(row.try_get("scope")?)?, Amount::from_nanos(row.try_get("monthly_nanos")?))))
        .collect()
}

pub(crate) async fn put_budget(
    database: &Database,
    scope: &Scope,
    limit: Option<Amount>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let query = match limit {
        Some(limit) => sqlx::query(
            "INSERT INTO budgets (scope, monthly_nanos, updated_at) VALUES (?1, ?2, ?3) \
             ON CONFLICT (scope) DO UPDATE SET monthly_nanos = ?2, updated_at = ?3",
        )
        .bind(scope.to_string())
        .bind(limit.nanos())
        .bind(now.as_millisecond()),
        None => sqlx::query("DELETE FROM budgets WHERE scope = ?1").bind(scope.to_string()),
    };
    query.execute(database.writer()).await?;
    Ok(())
}

/// The ledger's currency is written down at its first opening and never changes.
pub(crate) async fn check_currency(database: &Database, configured: &Currency) -> Result<(), LedgerError> {
    sqlx::query("INSERT INTO settings (name, value) VALUES ('currency', ?) ON CONFLICT (name) DO NOTHING")
        .bind(configured.as_str())
        .execute(database.writer())
        .await?;
    let kept: String = sqlx::query_scalar("SELECT value FROM settings WHERE name = 'currency'")
        .fetch_one(database.writer())
        .await?;
    if kept == configured.as_str() {
        Ok(())
    } else {
        Err(LedgerError::CurrencyChanged { kept, configured: configured.clone() })
    }
}
