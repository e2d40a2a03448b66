//! What pages, the admin API and the command line read from the ledger.

use std::str::FromStr;

use pintle_core::{Amount, Name, ParseError, RequestId, Timestamp};
use serde::Serialize;
use sqlx::{QueryBuilder, Row as _, Sqlite, sqlite::SqliteRow};

use crate::{Ledger, LedgerError, RequestRecord, store};

/// Longer lists are cut; pages say so.
const MOST_ROWS: u32 = 1_000;

/// How usage is grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageBy {
    /// By use case.
    UseCase,
    /// By placement.
    Placement,
    /// By day, in the organisation's time zone.
    Day,
}

impl FromStr for UsageBy {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "use_case" | "use-case" => Ok(UsageBy::UseCase),
            "placement" => Ok(UsageBy::Placement),
            "day" => Ok(UsageBy::Day),
            _ => Err(ParseError::new(text, "a grouping", "use `use-case`, `placement` or `day`")),
        }
    }
}

/// Sums of one group. Unpriced requests are counted beside the cost, never in it (I4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsageRow {
    /// The use case, placement or day.
    pub group: String,
    /// Dispatched requests.
    pub requests: i64,
    /// Input tokens at the full rate, cache writes included.
    pub input_tokens: i64,
    /// Input tokens read from a provider's cache.
    pub cached_tokens: i64,
    /// Output tokens.
    pub output_tokens: i64,
    /// What they cost, in nano-units.
    pub cost_nanos: i64,
    /// Requests without a known price.
    pub unpriced_requests: i64,
    /// Requests whose tokens Pintle counted.
    pub estimated_requests: i64,
    /// Requests posted at their hold.
    pub in_doubt_requests: i64,
}

/// One line of a list of requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestRow {
    /// Its id.
    pub id: RequestId,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Whose.
    pub use_case: String,
    /// What was asked for.
    pub model: String,
    /// Where it went.
    pub placement: Option<String>,
    /// The zone of that placement.
    pub zone: Option<String>,
    /// Its class.
    pub class: Option<String>,
    /// How it ended.
    pub outcome: String,
    /// The error's code.
    pub code: Option<String>,
    /// The HTTP status.
    pub status: i64,
    /// What it cost, in nano-units; `None` when nothing was sent or there is no price.
    pub cost_nanos: Option<i64>,
    /// How long it took, in microseconds.
    pub duration_us: i64,
}

/// What a list of requests is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct RequestFilter {
    /// One use case.
    pub use_case: Option<Name>,
    /// One outcome.
    pub outcome: Option<String>,
    /// A request's id or its last digits, an error's code, a placement or a class.
    pub text: Option<String>,
    /// Only those without a price, or only those with one (or without cost).
    pub unpriced: Option<bool>,
    /// Only requests before this one: the next page.
    pub before: Option<RequestId>,
    /// Only requests from this one on: [`RequestId::lower_bound`] of a moment.
    pub from: Option<RequestId>,
    /// How many at the most.
    pub limit: u32,
}

/// How many of something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    /// What is counted; the second part is empty when there is one.
    pub of: (String, String),
    /// How many.
    pub count: i64,
}

/// A day's sums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DaySum {
    /// The day: `2026-11-24`.
    pub day: String,
    /// Dispatched requests.
    pub requests: i64,
    /// What they cost, in nano-units.
    pub cost_nanos: i64,
}

/// Today at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// The day, in the organisation's time zone.
    pub day: String,
    /// Requests by outcome.
    pub outcomes: Vec<Count>,
    /// Dispatched requests by zone and class.
    pub zones_and_classes: Vec<Count>,
    /// Refused requests by code.
    pub stops: Vec<Count>,
    /// Dispatched requests without a price, this day.
    pub unpriced: i64,
    /// Entries in doubt, ever.
    pub in_doubt: i64,
}

impl Ledger {
    /// Sums by group from `from` to `to` (days, both inclusive; open when absent).
    ///
    /// # Errors
    /// When the database fails, or a sum leaves `i64`.
    pub async fn usage(
        &self,
        by: UsageBy,
        from: Option<&str>,
        to: Option<&str>,
        use_case: Option<&Name>,
    ) -> Result<Vec<UsageRow>, LedgerError> {
        let column = match by {
            UsageBy::UseCase => "use_case",
            UsageBy::Placement => "placement",
            UsageBy::Day => "day",
        };
        let mut query = QueryBuilder::<Sqlite>::new("SELECT ");
        query.push(column).push(
            " AS name, COUNT(*) AS requests, SUM(input + cache_write) AS input, SUM(cached_input) AS cached, \
             SUM(output) AS output, COALESCE(SUM(cost_nanos), 0) AS cost, SUM(cost_nanos IS NULL) AS unpriced, \
             SUM(usage_source = 'estimated') AS estimated, SUM(state = 'in_doubt') AS in_doubt \
             FROM ledger_entries WHERE TRUE",
        );
        if let Some(from) = from {
            query.push(" AND day >= ").push_bind(from);
        }
        if let Some(to) = to {
            query.push(" AND day <= ").push_bind(to);
        }
        if let Some(use_case) = use_case {
            query.push(" AND use_case = ").push_bind(use_case.as_str());
        }
        query.push(" GROUP BY name ORDER BY name DESC LIMIT ").push_bind(MOST_ROWS);
        let rows = query.build().fetch_all(self.database().reader()).await?;
        let mut rows = rows.iter().map(usage_row).collect::<Result<Vec<_>, _>>()?;
        if by != UsageBy::Day {
            rows.sort_by_key(|row| std::cmp::Reverse(row.cost_nanos));
        }
        Ok(rows)
    }

    /// The whole record of a request.
    ///
    /// # Errors
    /// When the database fails or holds what cannot be read.
    pub async fn request(&self, id: RequestId) -> Result<Option<RequestRecord>, LedgerError> {
        let json: Option<String> = sqlx::query_scalar("SELECT record FROM requests WHERE id = ?")
            .bind(id.as_uuid().as_bytes().as_slice())
            .fetch_optional(self.database().reader())
            .await?;
        json.map(|json| {
            serde_json::from_str(&json).map_err(|_| LedgerError::Corrupt(format!("request `{id}`")))
        })
        .transpose()
    }

    /// Requests, newest first.
    ///
    /// # Errors
    /// When the database fails or holds what cannot be read.
    pub async fn requests(&self, filter: &RequestFilter) -> Result<Vec<RequestRow>, LedgerError> {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT id, at, use_case, model, placement, zone, class, outcome, code, status, cost_nanos, duration_us \
             FROM requests WHERE TRUE",
        );
        if let Some(use_case) = &filter.use_case {
            query.push(" AND use_case = ").push_bind(use_case.as_str());
        }
        if let Some(outcome) = &filter.outcome {
            query.push(" AND outcome = ").push_bind(outcome);
        }
        if let Some(unpriced) = filter.unpriced {
            query.push(" AND is_unpriced = ").push_bind(unpriced);
        }
        if let Some(from) = &filter.from {
            query.push(" AND id >= ").push_bind(from.as_uuid().as_bytes().to_vec());
        }
        if let Some(before) = &filter.before {
            query.push(" AND id < ").push_bind(before.as_uuid().as_bytes().to_vec());
        }
        if let Some(text) = filter.text.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
            let text = text.to_lowercase();
            let ending: String = text.chars().filter(char::is_ascii_hexdigit).collect();
            query.push(" AND (code = ").push_bind(text.clone());
            query.push(" OR placement = ").push_bind(text.clone());
            query.push(" OR class = ").push_bind(text.clone());
            query.push(" OR use_case = ").push_bind(text.clone());
            query.push(" OR lower(model) = ").push_bind(text.clone());
            if ending.len() >= 4 && ending.len() == text.len() {
                query.push(" OR hex(id) LIKE ").push_bind(format!("%{ending}"));
            }
            if let Ok(id) = text.parse::<RequestId>() {
                query.push(" OR id = ").push_bind(id.as_uuid().as_bytes().to_vec());
            }
            query.push(")");
        }
        query.push(" ORDER BY id DESC LIMIT ").push_bind(filter.limit.clamp(1, MOST_ROWS));
        let rows = query.build().fetch_all(self.database().reader()).await?;
        rows.iter().map(request_row).collect()
    }

    /// Today at a glance.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn overview(&self, now: Timestamp) -> Result<Overview, LedgerError> {
        let day = store::day_of(now.as_millisecond(), self.time_zone());
        let from = RequestId::lower_bound(self.start_of_day(now));
        let outcomes = self
            .counts(
                "SELECT outcome, '', COUNT(*) FROM requests WHERE id >= ? GROUP BY 1 ORDER BY 3 DESC",
                from,
            )
            .await?;
        let zones_and_classes = self
            .counts(
                "SELECT zone, class, COUNT(*) FROM requests WHERE id >= ? AND zone IS NOT NULL AND class IS NOT NULL \
                 GROUP BY 1, 2",
                from,
            )
            .await?;
        let stops = self
            .counts(
                "SELECT COALESCE(code, 'other'), '', COUNT(*) FROM requests WHERE id >= ? AND outcome = 'refused' \
                 GROUP BY 1 ORDER BY 3 DESC",
                from,
            )
            .await?;
        let unpriced = sqlx::query_scalar(
            "SELECT COUNT(*) FROM ledger_entries WHERE day = ? AND cost_nanos IS NULL AND state <> 'voided'",
        )
        .bind(&day)
        .fetch_one(self.database().reader())
        .await?;
        let in_doubt = sqlx::query_scalar("SELECT COUNT(*) FROM ledger_entries WHERE state = 'in_doubt'")
            .fetch_one(self.database().reader())
            .await?;
        Ok(Overview { day, outcomes, zones_and_classes, stops, unpriced, in_doubt })
    }

    fn start_of_day(&self, at: Timestamp) -> Timestamp {
        let start = at.to_zoned_datetime(self.time_zone().clone()).start_of_day();
        start.map_or(at, |start| start.timestamp())
    }

    async fn counts(&self, sql: &'static str, from: RequestId) -> Result<Vec<Count>, LedgerError> {
        let from = from.as_uuid().as_bytes().to_vec();
        let rows: Vec<(String, String, i64)> =
            sqlx::query_as(sql).bind(from).fetch_all(self.database().reader()).await?;
        Ok(rows.into_iter().map(|(first, second, count)| Count { of: (first, second), count }).collect())
    }

    /// The sums of each day from `from` on, oldest first; days without requests are left out.
    ///
    /// # Errors
    /// When the database fails, or a sum leaves `i64`.
    pub async fn days(&self, from: &str, use_case: Option<&Name>) -> Result<Vec<DaySum>, LedgerError> {
        let mut rows = self.usage(UsageBy::Day, Some(from), None, use_case).await?;
        rows.reverse();
        let sum =
            |row: UsageRow| DaySum { day: row.group, requests: row.requests, cost_nanos: row.cost_nanos };
        Ok(rows.into_iter().map(sum).collect())
    }

    /// The day of a moment, in the organisation's time zone: `2026-11-24`.
    #[must_use]
    pub fn day_of(&self, at: Timestamp) -> String {
        store::day_of(at.as_millisecond(), self.time_zone())
    }

    /// An amount with the ledger's currency, as people read it.
    #[must_use]
    pub fn show(&self, amount: Amount) -> String {
        amount.display(self.currency())
    }
}

fn usage_row(row: &SqliteRow) -> Result<UsageRow, LedgerError> {
    Ok(UsageRow {
        group: row.try_get("name")?,
        requests: row.try_get("requests")?,
        input_tokens: row.try_get("input")?,
        cached_tokens: row.try_get("cached")?,
        output_tokens: row.try_get("output")?,
        cost_nanos: row.try_get("cost")?,
        unpriced_requests: row.try_get("unpriced")?,
        estimated_requests: row.try_get("estimated")?,
        in_doubt_requests: row.try_get("in_doubt")?,
    })
}

fn request_id(bytes: Vec<u8>) -> Result<RequestId, LedgerError> {
    let bytes: [u8; 16] = bytes.try_into().map_err(|_| LedgerError::Corrupt("a request's id".into()))?;
    Ok(RequestId::from_bytes(bytes))
}

fn request_row(row: &SqliteRow) -> Result<RequestRow, LedgerError> {
    Ok(RequestRow {
        id: request_id(row.try_get("id")?)?,
        at_ms: row.try_get("at")?,
        use_case: row.try_get("use_case")?,
        model: row.try_get("model")?,
        placement: row.try_get("placement")?,
        zone: row.try_get("zone")?,
        class: row.try_get("class")?,
        outcome: row.try_get("outcome")?,
        code: row.try_get("code")?,
        status: row.try_get("status")?,
        cost_nanos: row.try_get("cost_nanos")?,
        duration_us: row.try_get("duration_us")?,
    })
}
