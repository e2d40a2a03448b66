//! Use cases: read, write down, edit, move to another stage.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use http::StatusCode;
use pintle_core::{Amount, Name, Stage};
use pintle_ledger::Scope;
use pintle_registry::{UseCase, UseCaseDraft};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::budgets::{self, Budget};
use crate::{
    app::{App, Caller},
    forms,
    problem::Problem,
};

/// A use case with its budget.
#[derive(Serialize)]
pub(crate) struct Sheet {
    #[serde(flatten)]
    use_case: Arc<UseCase>,
    budget: Budget,
}

fn sheet(app: &App, use_case: Arc<UseCase>) -> Result<Sheet, Problem> {
    let budget = budgets::of(app, &Scope::UseCase(use_case.name().clone()))?;
    Ok(Sheet { use_case, budget })
}

/// `GET /admin/api/use-cases`.
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<Sheet>>, Problem> {
    let snapshot = app.parts.registry.snapshot();
    snapshot.use_cases().map(|it| sheet(&app, Arc::clone(it))).collect::<Result<_, _>>().map(Json)
}

/// `GET /admin/api/use-cases/{name}`.
pub(crate) async fn show(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Sheet>, Problem> {
    let use_case = app.use_case(&name)?;
    sheet(&app, use_case).map(Json)
}

/// `POST /admin/api/use-cases`: a draft, and optionally `stage` and `monthly_budget`.
pub(crate) async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    forms::Json(mut fields): forms::Json<Map<String, Value>>,
) -> Result<(StatusCode, Json<Sheet>), Problem> {
    let stage = match taken(&mut fields, "stage") {
        Some(value) => in_field("stage", value)?,
        None => Stage::Idea,
    };
    let budget = match taken(&mut fields, "monthly_budget") {
        Some(value) => {
            Some(budgets::amount("monthly_budget", &in_field::<String>("monthly_budget", value)?)?)
        }
        None => None,
    };
    let draft: UseCaseDraft = forms::typed(Value::Object(fields))?;
    let made = app.parts.registry.create_use_case(&caller.name, draft, stage, false).await?;
    if let Some(budget) = budget {
        set_budget(&app, &caller, made.name(), budget).await?;
    }
    Ok((StatusCode::CREATED, Json(sheet(&app, made)?)))
}

async fn set_budget(app: &App, caller: &Caller, name: &Name, budget: Amount) -> Result<(), Problem> {
    budgets::change(app, caller, Scope::UseCase(name.clone()), Some(budget)).await
}

/// `null` counts as absent.
fn taken(fields: &mut Map<String, Value>, name: &str) -> Option<Value> {
    fields.shift_remove(name).filter(|value| !value.is_null())
}

fn in_field<T: serde::de::DeserializeOwned>(field: &str, value: Value) -> Result<T, Problem> {
    serde_json::from_value(value).map_err(|error| Problem::field(field, error.to_string()))
}

/// `PATCH /admin/api/use-cases/{name}`: part of a draft, merged over the current one (RFC 7396: `null`
/// removes).
pub(crate) async fn edit(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    forms::Json(patch): forms::Json<Map<String, Value>>,
) -> Result<Json<Sheet>, Problem> {
    let current = app.use_case(&name)?;
    if patch.get("name").is_some_and(|new| new != current.name().as_str()) {
        return Err(Problem::field("name", "a name stays; keys, budgets and records refer to it"));
    }
    if patch.contains_key("stage") {
        let message = "change the stage with `POST /admin/api/use-cases/{name}/stage`";
        return Err(Problem::field("stage", message));
    }
    if patch.contains_key("monthly_budget") {
        return Err(Problem::field(
            "monthly_budget",
            "change the budget with `PUT /admin/api/budgets/{scope}`",
        ));
    }
    let mut merged = serde_json::to_value(&current.draft).map_err(|error| Problem::internal(&error))?;
    merge(&mut merged, Value::Object(patch));
    let draft: UseCaseDraft = forms::typed(merged)?;
    let changed = app.parts.registry.edit_use_case(&caller.name, draft).await?;
    sheet(&app, changed).map(Json)
}

/// A merge patch is as deep as a body's JSON, which the parser bounds at 128 levels.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            fields.shift_remove(&name);
        } else {
            merge(fields.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewStage {
    stage: Stage,
}

/// `POST /admin/api/use-cases/{name}/stage`.
pub(crate) async fn set_stage(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    forms::Json(new): forms::Json<NewStage>,
) -> Result<Json<Sheet>, Problem> {
    let use_case = app.use_case(&name)?;
    let changed = app.parts.registry.set_stage(&caller.name, use_case.name(), new.stage).await?;
    sheet(&app, changed).map(Json)
}
