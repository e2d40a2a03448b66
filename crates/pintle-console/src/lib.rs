//! Server-rendered pages and the admin API.
//!
//! One table, [`ROUTES`], names every path and who may call it; the router is built from it, so that a
//! route without an answer to that question cannot exist. Pages are maud templates with an own
//! stylesheet and a little own script; they work without the script, except that answers then arrive
//! whole instead of streaming.
//!
//! What the console needs to know of the rest of the process comes through [`Process`], which the
//! binary implements.
//!
//! Absences: this crate does not import the gateway; it never sees a placement's credentials, the
//! content of a request or a value that was found; no page shows money as zero when it is unknown.

mod api;
mod app;
mod assets;
mod forms;
mod gate;
mod own_models;
mod pages;
mod problem;
mod routes;

use std::{pin::Pin, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use pintle_core::{Clock, Name, Secret, Timestamp};
use pintle_ledger::Ledger;
use pintle_registry::{Organisation, Placement, Registry, Sessions};
use serde::Serialize;

pub use own_models::{
    ContaminatedView, ContaminationView, CorpusView, CriterionView, Curve, CurvePoint, EvaluationView,
    GeneralView, HeldOutView, KindScoresView, LeakView, LeaksView, LeftDocumentView, LeftView, ModelView,
    OwnModels, OwnModelsError, PromotionView, QuestionsView, SAMPLES_MAX, SampleView, ScoresView, ShareView,
    SharedView, TrainingStage, TrainingView, TuningRow, VersionRow, VersionView, WorstAnswerView,
};
pub use routes::{Access, ROUTES, Route};

/// What the console works with.
pub struct ConsoleParts {
    /// Use cases, keys, bans.
    pub registry: Arc<Registry>,
    /// Budgets and records.
    pub ledger: Ledger,
    /// Set-up links and signed-in browsers.
    pub sessions: Sessions,
    /// The rest of the process.
    pub process: Arc<dyn Process>,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// What the command line presents to the admin API. An empty token matches nothing.
    pub admin_token: Secret,
    /// How people reach this server: `http://127.0.0.1:7411`. Shown in examples.
    pub public_url: String,
}

/// What the process around the console gives, on its way.
pub type Soon<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// The answer of [`Process::try_it`], on its way.
pub type Answer = Soon<http::Response<Body>>;

/// What the console needs to know of the process around it, and what it may have it do.
pub trait Process: Send + Sync + 'static {
    /// The process as it is now. Called once for each page, so it must not wait.
    fn view(&self) -> ProcessView;

    /// Sends an OpenAI chat completion through the gateway, as the given person for the given use case,
    /// with all that happens to other requests. Answers in OpenAI's JSON or as a stream of events, with
    /// the headers `x-pintle-request-id`, `-placement`, `-zone`, `-class` and `-cost`.
    fn try_it(&self, person: &str, use_case: &Name, body: Bytes) -> Answer;

    /// The models that the organisation trained itself; `None` where this process keeps none.
    fn own_models(&self) -> Option<Arc<dyn OwnModels>>;
}

/// The process as pages show it.
#[derive(Debug, Clone)]
pub struct ProcessView {
    /// Whose it is.
    pub organisation: Organisation,
    /// Pintle's version.
    pub version: String,
    /// When the process began.
    pub started_at: Timestamp,
    /// The address that it listens on.
    pub listen: String,
    /// The data folder.
    pub data: String,
    /// The policies' version, as records name it.
    pub policy_version: String,
    /// The rules in force.
    pub rules: Vec<RuleView>,
    /// The placements in force.
    pub placements: Vec<PlacementView>,
    /// Where the configuration comes from: a file, or `built-in demonstration`.
    pub config_source: String,
    /// When it was read.
    pub loaded_at: Timestamp,
    /// Why the newest version of it was not taken, if it was not.
    pub last_config_error: Option<String>,
}

/// One rule as pages and the admin API show it.
#[derive(Debug, Clone, Serialize)]
pub struct RuleView {
    /// Its id.
    pub id: String,
    /// One line that says what it is.
    pub title: Option<String>,
    /// `permit` or `forbid`.
    pub effect: String,
    /// What a person can do when it refuses.
    pub guidance: Option<String>,
    /// Whom to ask.
    pub owner: Option<String>,
    /// Where it stands: `content.cedar:4`, or `built in`.
    pub source: String,
}

/// One placement as pages and the admin API show it.
#[derive(Debug, Clone)]
pub struct PlacementView {
    /// The placement.
    pub placement: Arc<Placement>,
    /// `healthy`, `cooling down`, or whatever else the gateway says of it.
    pub health: String,
    /// Its price in words: `€0.15 in, €0.60 out per million tokens`, or `unpriced`.
    pub price: String,
}

/// The routes of pages and admin API, and `/`, which leads to the pages. It has no fallback of its own,
/// so that it can be merged with other routers.
pub fn router(parts: ConsoleParts) -> axum::Router {
    routes::build(app::App::new(parts))
}
