//! Bans: list, add, lift.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use http::StatusCode;
use pintle_core::Timestamp;
use pintle_registry::{Ban, NewBan};
use serde::Serialize;

use super::id;
use crate::{
    app::{App, Caller},
    forms,
    problem::Problem,
};

#[derive(Serialize)]
pub(crate) struct Listed {
    #[serde(flatten)]
    ban: Arc<Ban>,
    state: &'static str,
}

/// `active`, `scheduled`, `ended` or `lifted`.
pub(crate) fn state(ban: &Ban, now: Timestamp) -> &'static str {
    if ban.lifted_at.is_some() {
        "lifted"
    } else if ban.is_active(now) {
        "active"
    } else if now < ban.starts_at {
        "scheduled"
    } else {
        "ended"
    }
}

impl Listed {
    fn new(app: &App, ban: Arc<Ban>) -> Self {
        Listed { state: state(&ban, app.parts.clock.now()), ban }
    }
}

/// `GET /admin/api/bans`: all of them, newest first.
pub(crate) async fn list(State(app): State<App>) -> Json<Vec<Listed>> {
    let snapshot = app.parts.registry.snapshot();
    Json(snapshot.bans().iter().map(|ban| Listed::new(&app, Arc::clone(ban))).collect())
}

/// `POST /admin/api/bans`.
pub(crate) async fn add(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    forms::Json(new): forms::Json<NewBan>,
) -> Result<(StatusCode, Json<Listed>), Problem> {
    let ban = app.parts.registry.add_ban(&caller.name, new).await?;
    Ok((StatusCode::CREATED, Json(Listed::new(&app, ban))))
}

/// `POST /admin/api/bans/{id}/lift`.
pub(crate) async fn lift(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Result<Json<Listed>, Problem> {
    let ban = app.parts.registry.lift_ban(&caller.name, id("ban", &text)?).await?;
    Ok(Json(Listed::new(&app, ban)))
}
