//! Why a call did not do what it should: one type, which `gate` renders as RFC 9457 for the admin API
//! and as a page for people.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use pintle_core::ParseError;
use pintle_ledger::{LedgerError, ReserveError};
use pintle_registry::RegistryError;
use serde::Serialize;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FieldError {
    pub(crate) field: String,
    pub(crate) message: String,
}

/// A problem, ready to be told. The inside cause is in the log, under the call's id.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// Stable: the fragment of `type`.
    pub(crate) slug: &'static str,
    pub(crate) title: &'static str,
    pub(crate) detail: String,
    pub(crate) fix: Option<String>,
    pub(crate) errors: Vec<FieldError>,
}

/// The wire form, `application/problem+json`.
#[derive(Serialize)]
pub(crate) struct Wire<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    request_id: &'a str,
}

impl Problem {
    fn new(status: StatusCode, slug: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Problem { status, slug, title, detail: detail.into(), fix: None, errors: Vec::new() }
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// There is no such thing.
    pub(crate) fn not_found(what: &str, name: &str) -> Self {
        let name: String = name.chars().take(64).collect();
        let detail = format!("there is no {what} `{name}`");
        Problem::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
            .fix("check the spelling; lists show what there is")
    }

    /// There is no such page, for anybody.
    pub(crate) fn no_page(path: &str) -> Self {
        Problem { fix: None, ..Problem::not_found("page", path) }
    }

    /// A field holds what it must not.
    pub(crate) fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        let (field, message) = (field.into(), message.into());
        let detail = format!("`{field}`: {message}");
        let mut problem =
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-field", "A field is not right", detail);
        problem.errors = vec![FieldError { field, message }];
        problem
    }

    /// A field's text does not parse.
    pub(crate) fn parse(field: &str, error: &ParseError) -> Self {
        Problem::field(field, error.to_string())
    }

    /// The body is not JSON.
    pub(crate) fn malformed(reason: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, "malformed-body", "The body cannot be read", reason)
            .fix("send a JSON object in UTF-8")
    }

    /// The body is too large.
    pub(crate) fn too_large() -> Self {
        let detail = format!("the body is larger than {} KiB", crate::routes::BODY_BYTES_MAX / 1024);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large", detail)
    }

    /// Nobody knows who calls.
    pub(crate) fn unauthenticated(detail: &str) -> Self {
        Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "Sign in first", detail).fix(
            "send the token of the data folder's `admin.json` as `Authorization: Bearer …`, or sign in to the \
             console",
        )
    }

    /// The call comes from another site's page.
    pub(crate) fn cross_origin() -> Self {
        Problem::new(
            StatusCode::FORBIDDEN,
            "cross-origin",
            "This came from somewhere else",
            "the request was not sent by a page of this console, so it was not carried out",
        )
        .fix("open the console itself and try again from there")
    }

    /// The path knows other methods.
    pub(crate) fn method_not_allowed() -> Self {
        Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "Not this way",
            "this path does not take this method",
        )
    }

    /// The change does not fit the state of things. A `hint:` in the text becomes the fix.
    pub(crate) fn conflict(slug: &'static str, text: &str) -> Self {
        let (detail, fix) = match text.split_once("; hint: ") {
            Some((detail, fix)) => (detail, Some(fix.to_owned())),
            None => (text, None),
        };
        let problem =
            Problem::new(StatusCode::CONFLICT, slug, "That does not fit the state of things", detail);
        Problem { fix, ..problem }
    }

    /// The link is not good, any more or at all.
    pub(crate) fn bad_link() -> Self {
        Problem::new(
            StatusCode::GONE,
            "link-gone",
            "This link no longer works",
            "each set-up link works once and for 15 minutes, and only the newest one is good",
        )
        .fix("run `pintle setup-link` on the server for a new one")
    }

    /// Pintle itself failed. `cause` goes to the log.
    pub(crate) fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = cause, "a call to the console failed");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something broke here",
            "Pintle failed while it handled this; nothing is wrong with your request",
        )
        .fix("the server's log says more, under this request's id")
    }

    /// The wire form.
    pub(crate) fn wire<'a>(&'a self, request_id: &'a str) -> Wire<'a> {
        Wire {
            r#type: format!("/docs/errors#{}", self.slug),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            fix: self.fix.as_deref(),
            errors: &self.errors,
            request_id,
        }
    }
}

/// The body is left to `gate`, which knows who asks and under which id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        match &error {
            RegistryError::NotFound { what, name } => Problem::not_found(what, name),
            RegistryError::Taken(_) => Problem::conflict("taken", &error.to_string()),
            RegistryError::Invalid { field, message } => Problem::field(*field, message.clone()),
            RegistryError::Conflict(text) => Problem::conflict("conflict", text),
            RegistryError::Database(_) | RegistryError::Corrupt(_) | RegistryError::Random => {
                Problem::internal(&error)
            }
        }
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        match &error {
            LedgerError::SetByFile(_) => Problem::conflict("set-by-file", &error.to_string()),
            LedgerError::Database(_)
            | LedgerError::Journal(_)
            | LedgerError::Reserve(_)
            | LedgerError::CurrencyChanged { .. }
            | LedgerError::Corrupt(_) => Problem::internal(&error),
        }
    }
}

impl From<ReserveError> for Problem {
    fn from(error: ReserveError) -> Self {
        Problem::internal(&error)
    }
}
