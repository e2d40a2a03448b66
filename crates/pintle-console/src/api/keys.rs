//! API keys: list, make, rotate, revoke. A key's text is in the answer that makes it, and nowhere else.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use http::StatusCode;
use pintle_core::{KeyId, Name, Timestamp};
use pintle_registry::{ApiKey, KeyState, NewKey};
use serde::{Deserialize, Serialize};

use super::id;
use crate::{
    app::{App, Caller},
    forms,
    problem::Problem,
};

/// A rotated key works for this long beside its successor, unless the call says otherwise.
const OVERLAP_HOURS: u32 = 24;
/// A year: longer, and the old key was never rotated.
const OVERLAP_HOURS_MAX: u32 = 8_784;

#[derive(Serialize)]
pub(crate) struct Key {
    #[serde(flatten)]
    key: Arc<ApiKey>,
    state: KeyState,
}

impl Key {
    fn new(app: &App, key: Arc<ApiKey>) -> Self {
        Key { state: key.state(app.parts.clock.now()), key }
    }
}

/// A key at the only moment at which its text exists.
#[derive(Serialize)]
pub(crate) struct Made {
    id: KeyId,
    key: String,
    prefix: String,
    label: String,
    use_case: Name,
    expires_at: Option<Timestamp>,
}

impl Made {
    fn new(made: NewKey) -> Self {
        Made {
            id: made.key.id,
            key: made.secret.as_str().to_owned(),
            prefix: made.key.prefix,
            label: made.key.label,
            use_case: made.key.use_case,
            expires_at: made.key.expires_at,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    #[serde(default)]
    use_case: Option<String>,
}

/// `GET /admin/api/keys?use_case=`.
pub(crate) async fn list(
    State(app): State<App>,
    forms::Query(filter): forms::Query<Filter>,
) -> Result<Json<Vec<Key>>, Problem> {
    let only = filter.use_case.map(|name| app.use_case(&name)).transpose()?;
    let keys = app.parts.registry.snapshot().keys();
    let wanted = keys.into_iter().filter(|key| only.as_ref().is_none_or(|it| *it.name() == key.use_case));
    Ok(Json(wanted.map(|key| Key::new(&app, key)).collect()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    use_case: String,
    #[serde(default)]
    label: String,
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

/// `POST /admin/api/keys`.
pub(crate) async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    forms::Json(new): forms::Json<New>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let use_case = app.use_case(&new.use_case)?;
    let registry = &app.parts.registry;
    let made = registry.create_key(&caller.name, use_case.name(), &new.label, new.expires_at).await?;
    Ok((StatusCode::CREATED, Json(Made::new(made))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    #[serde(default)]
    overlap_hours: Option<u32>,
}

/// `POST /admin/api/keys/{id}/rotate`.
pub(crate) async fn rotate(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    forms::Json(rotation): forms::Json<Rotation>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let hours = rotation.overlap_hours.unwrap_or(OVERLAP_HOURS);
    if hours > OVERLAP_HOURS_MAX {
        return Err(Problem::field("overlap_hours", format!("use at most {OVERLAP_HOURS_MAX} hours")));
    }
    let ends_at_ms = app.parts.clock.now().as_millisecond().saturating_add(i64::from(hours) * 3_600_000);
    let ends_at = Timestamp::from_millisecond(ends_at_ms).map_err(|error| Problem::internal(&error))?;
    let made = app.parts.registry.rotate_key(&caller.name, id("key", &text)?, ends_at).await?;
    Ok((StatusCode::CREATED, Json(Made::new(made))))
}

/// `POST /admin/api/keys/{id}/revoke`.
pub(crate) async fn revoke(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Result<Json<Key>, Problem> {
    let key = app.parts.registry.revoke_key(&caller.name, id("key", &text)?).await?;
    Ok(Json(Key::new(&app, key)))
}
