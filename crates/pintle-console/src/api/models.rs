//! Own models: list, look at a version, put one into production.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use pintle_core::Name;
use serde::Deserialize;

use crate::{
    ModelView, OwnModels, OwnModelsError, VersionView,
    app::{App, Caller},
    forms,
    problem::Problem,
};

/// A reason is a sentence or two, for those who ask later.
pub(crate) const REASON_CHARS_MAX: usize = 500;

impl From<OwnModelsError> for Problem {
    fn from(error: OwnModelsError) -> Self {
        match &error {
            OwnModelsError::Refused(sentence) => Problem::conflict("conflict", sentence),
            OwnModelsError::Failed(_) => Problem::internal(&error),
        }
    }
}

/// All models, by name; none where the process keeps none.
pub(crate) async fn all(app: &App) -> Result<Vec<ModelView>, Problem> {
    match app.parts.process.own_models() {
        Some(models) => Ok(models.list().await?),
        None => Ok(Vec::new()),
    }
}

/// The model of the given name.
pub(crate) async fn named(app: &App, name: &str) -> Result<ModelView, Problem> {
    let found = all(app).await?.into_iter().find(|model| model.name.as_str() == name);
    found.ok_or_else(|| Problem::not_found("model", name))
}

/// A version, named by the parts of its path.
pub(crate) async fn version(app: &App, model: &str, version: &str) -> Result<Box<VersionView>, Problem> {
    let missing = || Problem::not_found("version", &format!("{model}@{version}"));
    let (models, name, number) = parsed(app, model, version).ok_or_else(missing)?;
    models.version(&name, number).await?.ok_or_else(missing)
}

fn parsed(app: &App, model: &str, version: &str) -> Option<(Arc<dyn OwnModels>, Name, u32)> {
    // `+3` and `03` would be second names of the same thing.
    let number: u32 = version.parse().ok().filter(|number: &u32| *number > 0)?;
    (number.to_string() == version)
        .then(|| Some((app.parts.process.own_models()?, model.parse().ok()?, number)))?
}

/// Puts a version into production, and writes down who did and why.
pub(crate) async fn change(
    app: &App,
    caller: &Caller,
    model: &ModelView,
    version: u32,
    reason: &str,
) -> Result<(), Problem> {
    let id = format!("{}@{version}", model.name);
    if model.versions.iter().all(|row| row.version != version) {
        return Err(Problem::not_found("version", &id));
    }
    let reason = reason.trim();
    if reason.is_empty() {
        let message = "say why, for those who ask later why this version serves";
        return Err(Problem::field("reason", message));
    }
    if reason.chars().count() > REASON_CHARS_MAX {
        return Err(Problem::field("reason", format!("write at most {REASON_CHARS_MAX} characters")));
    }
    let before = model.production.as_ref().map(|now| now.version);
    if before == Some(version) {
        return Err(Problem::conflict("conflict", &format!("`{id}` is in production already")));
    }
    let models = app.parts.process.own_models().ok_or_else(|| Problem::not_found("version", &id))?;
    models.promote(&model.name, version, &caller.name, reason).await?;
    let detail = serde_json::json!({ "before": before, "after": version, "reason": reason });
    Ok(app.parts.registry.note_act(&caller.name, "model.promote", &id, detail).await?)
}

/// `GET /admin/api/models`.
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<ModelView>>, Problem> {
    all(&app).await.map(Json)
}

/// `GET /admin/api/models/{model}/{version}`.
pub(crate) async fn show(
    State(app): State<App>,
    Path((model, number)): Path<(String, String)>,
) -> Result<Json<VersionView>, Problem> {
    version(&app, &model, &number).await.map(|version| Json(*version))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Promote {
    version: u32,
    reason: String,
}

/// `POST /admin/api/models/{model}/promote`: answers with the model as it is then.
pub(crate) async fn promote(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(model): Path<String>,
    forms::Json(wish): forms::Json<Promote>,
) -> Result<Json<ModelView>, Problem> {
    let found = named(&app, &model).await?;
    change(&app, &caller, &found, wish.version, &wish.reason).await?;
    named(&app, &model).await.map(Json)
}
