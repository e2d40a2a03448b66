//! The data plane's routes: OpenAI's paths, health, metrics. What is not there says so in the same shape.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, Method, Uri},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderValue, StatusCode, header};
use pintle_core::Name;
use pintle_llm::{Endpoint, ErrorBody, ModelEntry, ModelList};
use pintle_registry::PresentedKey;

use crate::{
    caller::Caller,
    error::Stop,
    judge,
    life::error_response,
    phases,
    state::{Gateway, Loaded},
};

/// The paths of [`Endpoint`] (a tokeniser's also below `/v1`), `/v1/models`, `/healthz`, `/readyz`, `/metrics`, and
/// errors in OpenAI's shape for everything else below `/v1`.
pub fn router(gateway: Arc<Gateway>) -> Router {
    let to = |endpoint: Endpoint| {
        let answer = move |State(gateway): State<Arc<Gateway>>, headers: HeaderMap, body: Body| async move {
            let caller = Caller::Key(presented(&headers));
            phases::govern(&gateway, endpoint, caller, body).await.into_response()
        };
        post(answer).fallback(wrong_method)
    };
    Router::new()
        .route("/v1/chat/completions", to(Endpoint::Chat))
        .route("/v1/completions", to(Endpoint::Completions))
        .route("/v1/embeddings", to(Endpoint::Embeddings))
        .route("/tokenize", to(Endpoint::Tokenize))
        .route("/v1/tokenize", to(Endpoint::Tokenize))
        .route("/detokenize", to(Endpoint::Detokenize))
        .route("/v1/detokenize", to(Endpoint::Detokenize))
        .route("/tokenizer_info", get(tokenizer_info).fallback(wrong_method))
        .route("/v1/tokenizer_info", get(tokenizer_info).fallback(wrong_method))
        .route("/v1/models", get(models).fallback(wrong_method))
        .route("/v1/models/{*id}", get(model).fallback(wrong_method))
        .route("/v1/{*path}", axum::routing::any(unknown_endpoint))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(gateway)
}

impl Gateway {
    /// A request by a person in the console, as the given use case. The answer has OpenAI's shape.
    pub async fn chat_as(self: &Arc<Self>, person: &str, use_case: &Name, body: Body) -> Response {
        let caller = Caller::Person { person: person.into(), use_case: use_case.clone() };
        phases::govern(self, Endpoint::Chat, caller, body).await.into_response()
    }
}

/// The one request without a body: the `model` in its query is governed as one.
async fn tokenizer_info(
    State(gateway): State<Arc<Gateway>>,
    query: Result<Query<HashMap<String, String>>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let model = query.ok().and_then(|Query(mut fields)| fields.remove("model"));
    let body = Body::from(serde_json::json!({ "model": model }).to_string());
    let caller = Caller::Key(presented(&headers));
    phases::govern(&gateway, Endpoint::TokenizerInfo, caller, body).await.into_response()
}

/// The key, from `Authorization: Bearer` or from `x-api-key`, as Anthropic's SDKs send it.
pub(crate) fn presented(headers: &HeaderMap) -> Option<PresentedKey> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    let key = bearer.or_else(|| headers.get("x-api-key").and_then(|value| value.to_str().ok()));
    key.filter(|key| !key.is_empty()).map(PresentedKey::hash)
}

/// What the caller may use: placements to which the policies let at least something through.
fn usable(gateway: &Gateway, loaded: &Loaded, headers: &HeaderMap) -> Result<Vec<ModelEntry>, Stop> {
    let snapshot = gateway.parts.registry.snapshot();
    let now = gateway.parts.clock.now();
    let key = gateway.active_key(&snapshot, presented(headers), now)?;
    let use_case = snapshot.use_case(&key.use_case).ok_or(Stop::NoUseCase)?;
    let subject = gateway.subject(use_case);
    let mut entries: Vec<_> = judge::usable(gateway, loaded, use_case, &subject)
        .into_iter()
        .map(|station| {
            let placement = station.placement();
            ModelEntry {
                id: placement.name.to_string(),
                display_name: format!("{} ({})", placement.model, placement.zone),
                owned_by: placement.provider.name().to_owned(),
                created: use_case.created_at,
            }
        })
        .collect();
    if !entries.is_empty() {
        entries.insert(
            0,
            ModelEntry {
                id: "auto".to_owned(),
                display_name: "auto (let Pintle place it)".to_owned(),
                owned_by: "pintle".to_owned(),
                created: use_case.created_at,
            },
        );
    }
    Ok(entries)
}

async fn models(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response {
    match usable(&gateway, &gateway.loaded(), &headers) {
        Ok(models) => json(ModelList { models }.to_bytes()),
        Err(stop) => unadmitted(&gateway, &stop),
    }
}

async fn model(
    State(gateway): State<Arc<Gateway>>,
    axum::extract::Path(id): axum::extract::Path<String>,
    headers: HeaderMap,
) -> Response {
    match usable(&gateway, &gateway.loaded(), &headers) {
        Err(stop) => unadmitted(&gateway, &stop),
        Ok(models) => match models.iter().find(|model| model.id == id) {
            Some(model) => json(model.to_bytes()),
            None => {
                let known = models.iter().map(|model| format!("`{}`", model.id)).collect();
                let model = id.chars().take(64).filter(|c| !c.is_control()).collect();
                error_response(&Stop::NoSuchModel { model, known }, None)
            }
        },
    }
}

pub(crate) fn unadmitted(gateway: &Gateway, stop: &Stop) -> Response {
    gateway.metrics.unadmitted(stop.code());
    error_response(stop, None)
}

pub(crate) fn json(body: bytes::Bytes) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

pub(crate) async fn wrong_method(method: Method, uri: Uri) -> Response {
    let message = format!("`{}` does not take {method}.", uri.path());
    let body = ErrorBody::new("invalid_request_error", "method_not_allowed", message);
    (StatusCode::METHOD_NOT_ALLOWED, json(body.to_bytes())).into_response()
}

async fn unknown_endpoint(uri: Uri) -> Response {
    let path: String = uri.path().chars().take(128).collect();
    let message = format!(
        "There is no `{path}` here. Pintle serves `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`, \
         `/v1/models`, `/tokenize`, `/detokenize` and `/tokenizer_info`; check the SDK's base URL."
    );
    let body = ErrorBody::new("invalid_request_error", "unknown_endpoint", message);
    (StatusCode::NOT_FOUND, json(body.to_bytes())).into_response()
}

/// The process lives.
async fn healthz() -> &'static str {
    "ok\n"
}

/// It can do its work: the last write to the database went well. Providers are not asked: a provider
/// that is down must not take the gateway out of service.
async fn readyz(State(gateway): State<Arc<Gateway>>) -> Response {
    if gateway.parts.ledger.is_healthy() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the ledger's database cannot be written\n").into_response()
    }
}

async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    match gateway.metrics.encode(gateway.parts.ledger.backlog()) {
        Some(text) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
