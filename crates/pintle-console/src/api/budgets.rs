//! Budgets: the organisation's and each use case's, as they stand this month.

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use pintle_core::{Amount, Timestamp, month_bounds};
use pintle_ledger::{BudgetState, Period, Scope};
use serde::{Deserialize, Serialize};

use super::Money;
use crate::{
    app::{App, Caller},
    forms,
    problem::Problem,
};

/// A budget on the wire.
#[derive(Serialize)]
pub(crate) struct Budget {
    scope: String,
    monthly: Option<Money>,
    posted: Money,
    held: Money,
    percent: Option<u32>,
    period_start: Timestamp,
    period_end: Timestamp,
    set_by: Option<String>,
}

impl Budget {
    fn new(app: &App, state: &BudgetState) -> Self {
        let ledger = &app.parts.ledger;
        let money = |amount| Money::new(amount, ledger.currency());
        let set_by = match state.scope {
            Scope::Organisation => ledger.organisation_budget_source(),
            Scope::UseCase(_) => None,
        };
        Budget {
            scope: state.scope.to_string(),
            monthly: state.limit.map(money),
            posted: money(state.posted),
            held: money(state.held),
            percent: used_percent(state),
            period_start: state.period.start,
            period_end: state.period.end,
            set_by,
        }
    }
}

/// How much of the limit is spent or held.
pub(crate) fn used_percent(state: &BudgetState) -> Option<u32> {
    state.posted.plus(state.held).ok()?.percent_of(state.limit?)
}

/// Every budget as it stands: the organisation's first, then each use case's, also where nothing has been
/// spent and no limit is set.
pub(crate) fn states(app: &App) -> Result<Vec<BudgetState>, Problem> {
    let ledger = &app.parts.ledger;
    let known = ledger.budgets()?;
    let period = match known.first() {
        Some(state) => state.period,
        None => {
            let bounds = month_bounds(app.parts.clock.now(), ledger.time_zone());
            let (start, end) = bounds.map_err(|error| Problem::internal(&error))?;
            Period { start, end }
        }
    };
    let snapshot = app.parts.registry.snapshot();
    let scopes = snapshot.use_cases().map(|it| Scope::UseCase(it.name().clone()));
    let states = std::iter::once(Scope::Organisation).chain(scopes).map(|scope| {
        let found = known.iter().find(|state| state.scope == scope).cloned();
        found.unwrap_or(BudgetState { scope, limit: None, posted: Amount::ZERO, held: Amount::ZERO, period })
    });
    Ok(states.collect())
}

/// One budget as it stands.
pub(crate) fn of(app: &App, scope: &Scope) -> Result<Budget, Problem> {
    let states = states(app)?;
    let state = states.iter().find(|state| state.scope == *scope);
    state.map(|state| Budget::new(app, state)).ok_or_else(|| Problem::not_found("budget", &scope.to_string()))
}

/// A limit that was written as a decimal.
pub(crate) fn amount(field: &str, text: &str) -> Result<Amount, Problem> {
    let amount: Amount = text.parse().map_err(|error| Problem::parse(field, &error))?;
    if amount < Amount::ZERO {
        return Err(Problem::field(field, "a budget must not be negative; `0` lets nothing be spent"));
    }
    Ok(amount)
}

/// Sets or removes a limit, and writes down who did.
pub(crate) async fn change(
    app: &App,
    caller: &Caller,
    scope: Scope,
    limit: Option<Amount>,
) -> Result<(), Problem> {
    let ledger = &app.parts.ledger;
    let before = ledger.limit(&scope);
    ledger.set_budget(scope.clone(), limit).await?;
    let money = |amount: Option<Amount>| amount.map(|amount| Money::new(amount, ledger.currency()));
    let detail = serde_json::json!({ "before": money(before), "after": money(limit) });
    Ok(app.parts.registry.note_act(&caller.name, "budget.set", &scope.to_string(), detail).await?)
}

/// `GET /admin/api/budgets`.
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<Budget>>, Problem> {
    Ok(Json(states(&app)?.iter().map(|state| Budget::new(&app, state)).collect()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBudget {
    /// Named, so that a forgotten field removes no budget.
    #[serde(deserialize_with = "Option::deserialize")]
    monthly: Option<String>,
}

/// `PUT /admin/api/budgets/{scope}`.
pub(crate) async fn set(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(scope): Path<String>,
    forms::Json(new): forms::Json<NewBudget>,
) -> Result<Json<Budget>, Problem> {
    let scope: Scope = scope.parse().map_err(|_| Problem::not_found("budget", &scope))?;
    if let Scope::UseCase(name) = &scope {
        app.use_case(name.as_str())?;
    }
    let limit = new.monthly.map(|text| amount("monthly", &text)).transpose()?;
    change(&app, &caller, scope.clone(), limit).await?;
    of(&app, &scope).map(Json)
}
