//! Bodies and queries, read strictly: what is not understood is refused with the field's name.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Query as AxumQuery, Request},
};
use http::{StatusCode, request::Parts};
use pintle_core::ParseError;
use pintle_ledger::Outcome;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::problem::Problem;

/// A JSON body. An empty one counts as `{}`, since several calls need nothing said.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes =
            Bytes::from_request(request, state).await.map_err(|rejection| unread(rejection.status()))?;
        if bytes.is_empty() {
            return typed(Value::Object(Map::new())).map(Json);
        }
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Problem::malformed(format!("the body is not JSON (line {line}, column {column})"))
        })?;
        typed(value).map(Json)
    }
}

/// A form that a page without script sends.
pub(crate) struct Form<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Form<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match axum::Form::from_request(request, state).await {
            Ok(axum::Form(form)) => Ok(Form(form)),
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(Problem::too_large())
            }
            Err(rejection) => Err(named(&rejection.body_text())),
        }
    }
}

/// The query of the URI.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match AxumQuery::try_from_uri(&parts.uri) {
            Ok(AxumQuery(query)) => Ok(Query(query)),
            Err(rejection) => Err(named(&rejection.body_text())),
        }
    }
}

/// A JSON value as the type wanted, or the field that is not right.
pub(crate) fn typed<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let message = error.into_inner().to_string();
        let field = if path == "." { in_backticks(&message).unwrap_or("body").to_owned() } else { path };
        // An unknown field's path already names it.
        Problem::field(field, message)
    })
}

/// The outcomes, in the order in which people look for them.
pub(crate) const OUTCOMES: [Outcome; 5] =
    [Outcome::Answered, Outcome::Refused, Outcome::Failed, Outcome::Cancelled, Outcome::InDoubt];

/// The outcome that a query asks for; an empty one is none, since forms send those.
pub(crate) fn outcome(text: &str) -> Result<Option<Outcome>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    let found = OUTCOMES.into_iter().find(|outcome| outcome.as_str() == text);
    found.map(Some).ok_or_else(|| {
        let names: Vec<_> = OUTCOMES.iter().map(|outcome| format!("`{}`", outcome.as_str())).collect();
        Problem::parse("outcome", &ParseError::new(text, "an outcome", format!("use {}", names.join(", "))))
    })
}

fn unread(status: StatusCode) -> Problem {
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        Problem::too_large()
    } else {
        Problem::malformed("the body broke off before its end")
    }
}

/// axum's sentence is "Failed to …: field: message"; the field may be missing.
fn named(sentence: &str) -> Problem {
    let message = sentence.split_once(": ").map_or(sentence, |(_, rest)| rest);
    match message.split_once(": ") {
        Some((field, message)) if !field.contains(' ') => Problem::field(field, message),
        _ => Problem::field(in_backticks(message).unwrap_or("query").to_owned(), message),
    }
}

fn in_backticks(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('`')?;
    rest.split_once('`').map(|(word, _)| word)
}
