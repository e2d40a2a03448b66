//! Every way in which a request ends without an answer, and the one mapping from there to HTTP.
//!
//! The outside sees a status, OpenAI's error shape, a stable code and a sentence that says what to do.
//! The inside cause goes to the log, never into the answer.

use std::borrow::Cow;

use http::{HeaderValue, StatusCode, header};
use pintle_core::RequestId;
use pintle_ledger::{BudgetState, Outcome, Scope};
use pintle_llm::{ErrorBody, ProviderFault, RequestError};
use serde_json::{Map, Value, json};

use crate::{guidance::Refusal, tuning::DeskError};

/// What a model within the process says against a request.
#[derive(Debug)]
pub(crate) struct ModelRefusal {
    code: &'static str,
    message: String,
    param: Option<String>,
}

impl ModelRefusal {
    /// More than any of our own sentences.
    const MESSAGE_CHARS_MAX: usize = 600;

    /// Reads the body of a model's refusal; `None` if it is none.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let error = body.get("error")?;
        let text = |field: &str| error.get(field).and_then(Value::as_str);
        let shown = |text: &str| {
            text.chars().filter(|c| !c.is_control()).take(Self::MESSAGE_CHARS_MAX).collect::<String>()
        };
        let code = match text("code")? {
            "missing_field" => "missing_field",
            "invalid_field" => "invalid_field",
            "unsupported" => "unsupported",
            "unsupported_by_model" => "unsupported_by_model",
            "context_length_exceeded" => "context_length_exceeded",
            _ => return None,
        };
        Some(ModelRefusal { code, message: shown(text("message")?), param: text("param").map(shown) })
    }

    /// Whether another placement may well be able to do it.
    pub(crate) fn is_unable(&self) -> bool {
        matches!(self.code, "unsupported" | "unsupported_by_model")
    }
}

/// Why a request got no answer.
#[derive(Debug)]
pub(crate) enum Stop {
    /// No key came with it.
    MissingKey,
    /// The key is not known.
    UnknownKey,
    /// The key's time is over.
    ExpiredKey,
    /// The key was revoked.
    RevokedKey,
    /// The use case is not in the register.
    NoUseCase,
    /// The key has as many requests on their way as it may.
    KeyBusy { most: usize },
    /// Pintle has as much to do as it can.
    Overloaded,
    /// The body is larger than allowed.
    TooLarge { most_mib: u64 },
    /// The body did not arrive in time.
    SlowBody,
    /// The body broke off.
    BrokenBody,
    /// The body is not a request.
    Request(RequestError),
    /// What the request names does not serve this path, or names nothing where several do.
    NotServed { path: &'static str, model: Option<String>, known: Vec<String> },
    /// The body is not the form that it should be.
    Form(&'static str),
    /// Files or tuning jobs are not as was asked.
    Desk(DeskError),
    /// No placement has this name or model.
    NoSuchModel { model: String, known: Vec<String> },
    /// A rule stops the use case, the content or the answer.
    Refused(Box<Refusal>),
    /// A budget has no room.
    Budget { state: Box<BudgetState>, limit: String, used: String, renews: String },
    /// The ledger cannot take it.
    Ledger(&'static str),
    /// No placement could be reached, or none worked; the last one tried, and its status if it gave one.
    Unavailable { placement: String, status: Option<u16> },
    /// A model that Pintle serves itself cannot be loaded.
    ModelUnavailable { placement: String },
    /// The provider is busy.
    ProviderBusy { placement: String, retry_after_s: Option<u64> },
    /// The provider refused the request.
    ProviderRefused { placement: String, status: u16, fault: ProviderFault },
    /// The provider does not accept Pintle's own credentials or does not know its model.
    ProviderSetUp { placement: String, status: u16 },
    /// The provider's answer makes no sense or broke off.
    ProviderBroken { placement: String },
    /// The connection was lost after the request was sent.
    ProviderLost { placement: String },
    /// The provider said nothing for too long.
    ProviderSilent { placement: String },
    /// The request's time is over.
    Deadline { seconds: u64 },
    /// A model of our own refused the request. Its words are ours: they name fields, never content.
    ModelRefused(Box<ModelRefusal>),
    /// A model of our own died within its answer.
    ModelBroken { placement: String },
    /// Pintle itself failed.
    Internal(&'static str),
    /// The client went away; nobody reads this.
    ClientGone,
}

impl Stop {
    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Stop::MissingKey => "missing_api_key",
            Stop::UnknownKey => "invalid_api_key",
            Stop::ExpiredKey => "expired_api_key",
            Stop::RevokedKey => "revoked_api_key",
            Stop::NoUseCase => "unknown_use_case",
            Stop::KeyBusy { .. } => "too_many_concurrent_requests",
            Stop::Overloaded => "overloaded",
            Stop::TooLarge { .. } => "request_too_large",
            Stop::SlowBody => "request_timeout",
            Stop::BrokenBody => "incomplete_body",
            Stop::Request(error) => error.code(),
            Stop::NotServed { model: None, known, .. } if known.len() > 1 => "missing_field",
            Stop::NotServed { .. } => "endpoint_unsupported",
            Stop::Form(_) => "invalid_form",
            Stop::Desk(error) => error.code(),
            Stop::NoSuchModel { .. } => "model_not_found",
            Stop::Refused(refusal) => refusal.code,
            Stop::Budget { .. } => "budget_exceeded",
            Stop::Ledger(_) => "ledger_unavailable",
            Stop::Unavailable { .. } => "provider_unavailable",
            Stop::ModelUnavailable { .. } => "model_unavailable",
            Stop::ProviderBusy { .. } => "provider_rate_limited",
            Stop::ProviderRefused { fault, .. } if fault.is_context_overflow() => "context_length_exceeded",
            Stop::ProviderRefused { .. } => "provider_refused",
            Stop::ProviderSetUp { .. } => "provider_misconfigured",
            Stop::ProviderBroken { .. } => "provider_broken_answer",
            Stop::ProviderLost { .. } => "provider_connection_lost",
            Stop::ProviderSilent { .. } => "provider_timeout",
            Stop::Deadline { .. } => "deadline_exceeded",
            Stop::ModelRefused(refusal) => refusal.code,
            Stop::ModelBroken { .. } => "model_broken",
            Stop::Internal(_) => "internal_error",
            Stop::ClientGone => "client_gone",
        }
    }

    /// The status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Stop::MissingKey | Stop::UnknownKey | Stop::ExpiredKey | Stop::RevokedKey => {
                StatusCode::UNAUTHORIZED
            }
            Stop::NoUseCase | Stop::Refused(_) => StatusCode::FORBIDDEN,
            Stop::KeyBusy { .. } | Stop::Budget { .. } | Stop::ProviderBusy { .. } => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Stop::Overloaded | Stop::Ledger(_) | Stop::ModelUnavailable { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Stop::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Stop::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Stop::BrokenBody
            | Stop::Request(_)
            | Stop::Form(_)
            | Stop::NotServed { .. }
            | Stop::ModelRefused(_)
            | Stop::ProviderRefused { .. } => StatusCode::BAD_REQUEST,
            Stop::Desk(error) => error.status(),
            Stop::NoSuchModel { .. } => StatusCode::NOT_FOUND,
            Stop::Unavailable { .. }
            | Stop::ProviderSetUp { .. }
            | Stop::ProviderBroken { .. }
            | Stop::ProviderLost { .. } => StatusCode::BAD_GATEWAY,
            Stop::ProviderSilent { .. } | Stop::Deadline { .. } => StatusCode::GATEWAY_TIMEOUT,
            Stop::ModelBroken { .. } | Stop::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            // Nginx's word for it; no client sees it, the record does.
            Stop::ClientGone => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        }
    }

    /// How the record says that it ended.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Stop::ClientGone => Outcome::Cancelled,
            stop if stop.status().is_server_error() => Outcome::Failed,
            Stop::ProviderBusy { .. } | Stop::ProviderRefused { .. } | Stop::ModelRefused(_) => {
                Outcome::Failed
            }
            Stop::BrokenBody | Stop::SlowBody => Outcome::Cancelled,
            _ => Outcome::Refused,
        }
    }

    /// OpenAI's family of the error.
    fn kind(&self) -> &'static str {
        match self.status().as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            429 if matches!(self, Stop::Budget { .. }) => "insufficient_quota",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        }
    }

    /// Whether the same request, sent again in a moment, may go through. SDKs obey `x-should-retry`.
    fn should_retry(&self) -> bool {
        matches!(
            self,
            Stop::KeyBusy { .. }
                | Stop::Overloaded
                | Stop::Ledger(_)
                | Stop::Unavailable { .. }
                | Stop::ProviderLost { .. }
                | Stop::ProviderBusy { .. }
                | Stop::SlowBody
                | Stop::BrokenBody
                | Stop::Desk(DeskError::Busy { .. } | DeskError::Broken(_))
        )
    }

    /// The sentence that a person reads.
    fn message(&self) -> Cow<'static, str> {
        match self {
            Stop::MissingKey => {
                "No API key came with the request. Send it as `Authorization: Bearer pintle_…`; your use case's \
                 owners can make one with `pintle key create`."
                    .into()
            }
            Stop::UnknownKey => "This API key is not known here. Check that it is complete and meant for this \
                 Pintle; `pintle key list` shows how keys begin."
                .into(),
            Stop::ExpiredKey => {
                "This API key's time is over. Your use case's owners can make a new one with `pintle key create`."
                    .into()
            }
            Stop::RevokedKey => {
                "This API key was revoked. Your use case's owners can make a new one with `pintle key create`."
                    .into()
            }
            Stop::NoUseCase => "The use case that this request belongs to is not in the register.".into(),
            Stop::KeyBusy { most } => format!(
                "This key has {most} requests on their way, which is as many as it may. Wait for one to end."
            )
            .into(),
            Stop::Overloaded => "Pintle has as many requests on their way as it can take. Try again soon.".into(),
            Stop::TooLarge { most_mib } => {
                format!("The request is larger than {most_mib} MiB, which is the most that is taken here.").into()
            }
            Stop::SlowBody => "The request's body did not arrive in time.".into(),
            Stop::BrokenBody => "The request's body broke off before its end.".into(),
            Stop::Request(error) => error.to_string().into(),
            Stop::NoSuchModel { model, known } => no_such_model(model, known).into(),
            Stop::NotServed { path, model, known } => not_served(path, model.as_deref(), known).into(),
            Stop::ModelRefused(refusal) => refusal.message.clone().into(),
            Stop::Form(why) => format!("The body is not a form that can be read: {why}.").into(),
            Stop::Desk(error) => error.to_string().into(),
            Stop::Refused(refusal) => refusal.message().into(),
            Stop::Budget { state, limit, used, renews } => budget_message(state, limit, used, renews).into(),
            Stop::Ledger(_) => {
                "The ledger cannot take this request just now, so it was not sent. Try again soon.".into()
            }
            Stop::Internal(_) => "Pintle failed while it handled this request.".into(),
            Stop::ClientGone => "The client went away.".into(),
            Stop::Deadline { seconds } => {
                format!("The request was not answered within {seconds} seconds, which is the most it may take.")
                    .into()
            }
            provider => provider_message(provider).into(),
        }
    }

    /// The body in OpenAI's shape.
    pub(crate) fn body(&self, id: Option<RequestId>) -> ErrorBody {
        let mut body = ErrorBody::new(self.kind(), self.code(), self.message());
        if let Stop::Request(error) = self {
            body.param = error.param().map(str::to_owned);
        }
        match self {
            Stop::NoSuchModel { .. } | Stop::NotServed { .. } => body.param = Some("model".to_owned()),
            Stop::ModelRefused(refusal) => body.param.clone_from(&refusal.param),
            Stop::Desk(error) => body.param = error.param().map(str::to_owned),
            _ => {}
        }
        body.extra = self.extra();
        if let Some(id) = id {
            body.extra.insert("request_id".to_owned(), id.to_string().into());
            body.extra.insert("reference".to_owned(), id.short().into());
        }
        body
    }

    fn extra(&self) -> Map<String, Value> {
        let value = match self {
            Stop::Refused(refusal) => refusal.to_json(),
            Stop::Budget { state, limit, used, .. } => json!({ "budget": {
                "scope": state.scope.to_string(), "limit": limit, "used_and_held": used,
                "renews_at": state.period.end.to_string(),
            }}),
            _ => return Map::new(),
        };
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    /// Headers beside those that every answer carries.
    pub(crate) fn headers(&self) -> Vec<(header::HeaderName, HeaderValue)> {
        let should_retry = HeaderValue::from_static(if self.should_retry() { "true" } else { "false" });
        let mut headers = vec![(header::HeaderName::from_static("x-should-retry"), should_retry)];
        let wait_s = match self {
            Stop::ProviderBusy { retry_after_s: Some(seconds), .. } => Some(*seconds),
            Stop::KeyBusy { .. } | Stop::Overloaded | Stop::Ledger(_) => Some(1),
            Stop::Desk(DeskError::Busy { .. }) => Some(60),
            _ => None,
        };
        if let Some(seconds) = wait_s {
            headers.push((header::RETRY_AFTER, HeaderValue::from(seconds)));
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.push((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        }
        headers
    }
}

fn no_such_model(model: &str, known: &[String]) -> String {
    if known.is_empty() {
        return format!(
            "There is no placement or model `{model}` here, and none that this use case may use."
        );
    }
    format!("There is no placement or model `{model}` here. Use one of: {}.", known.join(", "))
}

fn not_served(path: &str, model: Option<&str>, known: &[String]) -> String {
    let what = match model {
        Some(model) => format!("`{model}` does not serve `{path}`."),
        None if known.len() > 1 => {
            return format!(
                "`model`: this field is required, since several placements serve `{path}`: name one of {}.",
                known.join(", ")
            );
        }
        None => String::new(),
    };
    let way = if known.is_empty() {
        format!("No placement that this use case may use serves `{path}`. Ask IT for one.")
    } else {
        format!("These placements do: {}.", known.join(", "))
    };
    format!("{what} {way}").trim_start().to_owned()
}

fn budget_message(state: &BudgetState, limit: &str, used: &str, renews: &str) -> String {
    let whose = match &state.scope {
        Scope::Organisation => "The organisation's monthly budget".to_owned(),
        Scope::UseCase(name) => format!("The monthly budget of the use case `{name}`"),
    };
    format!(
        "Not sent. {whose} has no room for this request: {used} of {limit} are spent or held. It renews on \
         {renews}. You can: ask for less at once (`max_tokens`, or fewer epochs of a tuning) · wait for what is on its \
         way to end · ask the use case's owners for a larger budget."
    )
}

fn provider_message(stop: &Stop) -> String {
    match stop {
        Stop::Unavailable { placement, status: None } => {
            format!("`{placement}` could not be reached. Try again soon, or use another model.")
        }
        Stop::Unavailable { placement, status: Some(status) } => format!(
            "The provider of `{placement}` failed (status {status}). Try again soon, or use another model."
        ),
        Stop::ModelUnavailable { placement } => format!(
            "The model of `{placement}` cannot be loaded: its files are missing, broken or not supported. Use another \
             model; IT finds the reason in Pintle's log."
        ),
        Stop::ProviderBusy { placement, .. } => {
            format!("`{placement}` takes no more requests just now. Wait a moment and try again.")
        }
        Stop::ProviderRefused { placement, fault, .. } if fault.is_context_overflow() => format!(
            "The request is longer than what the model at `{placement}` can read. Shorten it, or choose a model \
             with a larger context."
        ),
        Stop::ProviderRefused { placement, status, fault } => format!(
            "The provider of `{placement}` refused the request (status {status}, {fault}). Its own words are in \
             no record; check the parameters that this model knows."
        ),
        Stop::ProviderSetUp { placement, status } => format!(
            "The provider of `{placement}` answered with status {status}: Pintle's own credentials or the model's \
             name are not right. Nothing is wrong with your request: give IT the reference."
        ),
        Stop::ProviderBroken { placement } => {
            format!("The answer of `{placement}` broke off or makes no sense. Try again.")
        }
        Stop::ProviderLost { placement } => format!(
            "The connection to `{placement}` was lost before it answered. It may have charged for the request, so \
             Pintle does not repeat it by itself; you can send it again."
        ),
        Stop::ModelBroken { placement } => format!(
            "The model at `{placement}` broke off before it had answered. Try again; if it happens again, give IT the \
             reference."
        ),
        Stop::ProviderSilent { placement } => {
            format!("`{placement}` did not answer in time. Try again, or ask for a shorter answer.")
        }
        _ => "The request could not be answered.".to_owned(),
    }
}
