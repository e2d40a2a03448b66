//! `status` and `setup-link`: the process as a whole.

use axum::{Json, extract::State};
use pintle_core::{Currency, DataClass, ModelName, Name, Pricing, Timestamp, Zone};
use serde::Serialize;

use crate::{PlacementView, app::App, problem::Problem};

#[derive(Serialize)]
pub(crate) struct Status {
    version: String,
    started_at: Timestamp,
    demo: bool,
    organisation: Organisation,
    listen: String,
    data: String,
    placements: Vec<Placement>,
    backlog: usize,
    policy_version: String,
    config: Config,
}

#[derive(Serialize)]
struct Organisation {
    name: String,
    currency: Currency,
    time_zone: String,
}

#[derive(Serialize)]
struct Placement {
    name: Name,
    model: ModelName,
    provider: &'static str,
    zone: Zone,
    region: String,
    clearance: DataClass,
    priced: bool,
    price: String,
    health: String,
    source: String,
}

#[derive(Serialize)]
struct Config {
    source: String,
    loaded_at: Timestamp,
    last_error: Option<String>,
}

impl Placement {
    fn of(view: PlacementView) -> Self {
        let placement = &view.placement;
        Placement {
            name: placement.name.clone(),
            model: placement.model.clone(),
            provider: placement.provider.name(),
            zone: placement.zone,
            region: placement.region.clone(),
            clearance: placement.clearance,
            priced: matches!(placement.pricing, Pricing::Priced(_)),
            source: placement.source.clone(),
            price: view.price,
            health: view.health,
        }
    }
}

/// `GET /admin/api/status`.
pub(crate) async fn show(State(app): State<App>) -> Json<Status> {
    let view = app.parts.process.view();
    Json(Status {
        version: view.version,
        started_at: view.started_at,
        demo: view.organisation.is_demo,
        organisation: Organisation {
            name: view.organisation.name,
            currency: view.organisation.currency,
            time_zone: view.organisation.time_zone.iana_name().unwrap_or("UTC").to_owned(),
        },
        listen: view.listen,
        data: view.data,
        placements: view.placements.into_iter().map(Placement::of).collect(),
        backlog: app.parts.ledger.backlog(),
        policy_version: view.policy_version,
        config: Config {
            source: view.config_source,
            loaded_at: view.loaded_at,
            last_error: view.last_config_error,
        },
    })
}

#[derive(Serialize)]
pub(crate) struct Link {
    path: String,
}

/// `POST /admin/api/setup-link`: a fresh link; the one before stops working.
pub(crate) async fn setup_link(State(app): State<App>) -> Result<Json<Link>, Problem> {
    let token = app.parts.sessions.new_setup_link().await?;
    Ok(Json(Link { path: format!("/console/set-up?token={}", *token) }))
}
