//! What is only read: usage, requests, administrative acts, rules.

use axum::{
    Json,
    extract::{Path, State},
};
use jiff::civil::Date;
use pintle_core::{Currency, RequestId};
use pintle_ledger::{RequestFilter, RequestRecord, RequestRow, UsageBy, UsageRow};
use pintle_registry::AdminAct;
use serde::{Deserialize, Serialize};

use super::id;
use crate::{RuleView, app::App, forms, problem::Problem};

const ROWS: u32 = 50;
const ROWS_MAX: u32 = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsageQuery {
    by: String,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    use_case: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Usage {
    currency: Currency,
    rows: Vec<UsageRow>,
}

/// `GET /admin/api/usage?by=use-case|placement|day&from=&to=&use_case=`; both days count in.
pub(crate) async fn usage(
    State(app): State<App>,
    forms::Query(query): forms::Query<UsageQuery>,
) -> Result<Json<Usage>, Problem> {
    let by: UsageBy = query.by.parse().map_err(|error| Problem::parse("by", &error))?;
    let (from, to) = (day("from", query.from)?, day("to", query.to)?);
    let use_case = query.use_case.map(|name| app.use_case(&name)).transpose()?;
    app.settle_reads().await;
    let ledger = &app.parts.ledger;
    let name = use_case.as_ref().map(|it| it.name());
    let rows = ledger.usage(by, from.as_deref(), to.as_deref(), name).await?;
    Ok(Json(Usage { currency: ledger.currency().clone(), rows }))
}

/// A day as the ledger writes it. An empty one is none: forms send those.
fn day(field: &'static str, text: Option<String>) -> Result<Option<String>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let date: Date = text.parse().map_err(|_| Problem::field(field, "write the day as 2026-11-24"))?;
    Ok(Some(date.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestsQuery {
    #[serde(default)]
    use_case: Option<String>,
    #[serde(default)]
    outcome: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    before: Option<RequestId>,
    #[serde(default)]
    limit: Option<u32>,
}

#[derive(Serialize)]
pub(crate) struct Requests {
    currency: Currency,
    rows: Vec<RequestRow>,
    /// What to pass as `before` for the next page; absent on the last one.
    next: Option<RequestId>,
}

/// `GET /admin/api/requests?use_case=&outcome=&text=&before=&limit=`, newest first.
pub(crate) async fn requests(
    State(app): State<App>,
    forms::Query(query): forms::Query<RequestsQuery>,
) -> Result<Json<Requests>, Problem> {
    let use_case = query.use_case.map(|name| app.use_case(&name)).transpose()?;
    let outcome = forms::outcome(query.outcome.as_deref().unwrap_or_default())?;
    let limit = query.limit.unwrap_or(ROWS).clamp(1, ROWS_MAX - 1);
    app.settle_reads().await;
    let filter = RequestFilter {
        use_case: use_case.map(|it| it.name().clone()),
        outcome: outcome.map(|it| it.as_str().to_owned()),
        text: query.text,
        before: query.before,
        from: None,
        unpriced: None,
        // One more than asked for tells whether there is a next page.
        limit: limit.saturating_add(1),
    };
    let ledger = &app.parts.ledger;
    let mut rows = ledger.requests(&filter).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > most;
    rows.truncate(most);
    let next = if has_more { rows.last().map(|row| row.id) } else { None };
    Ok(Json(Requests { currency: ledger.currency().clone(), rows, next }))
}

/// `GET /admin/api/requests/{id}`: the whole record; it holds no content.
pub(crate) async fn request(
    State(app): State<App>,
    Path(text): Path<String>,
) -> Result<Json<RequestRecord>, Problem> {
    let id: RequestId = id("request", &text)?;
    app.settle_reads().await;
    let record = app.parts.ledger.request(id).await?;
    record.map(Json).ok_or_else(|| Problem::not_found("request", &text))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActsQuery {
    #[serde(default)]
    target: Option<String>,
    #[serde(default)]
    limit: Option<u32>,
}

/// `GET /admin/api/acts?target=&limit=`, newest first.
pub(crate) async fn acts(
    State(app): State<App>,
    forms::Query(query): forms::Query<ActsQuery>,
) -> Result<Json<Vec<AdminAct>>, Problem> {
    let limit = query.limit.unwrap_or(ROWS).clamp(1, ROWS_MAX);
    Ok(Json(app.parts.registry.acts(query.target.as_deref(), limit).await?))
}

/// `GET /admin/api/rules`.
pub(crate) async fn rules(State(app): State<App>) -> Json<Vec<RuleView>> {
    Json(app.parts.process.view().rules)
}
