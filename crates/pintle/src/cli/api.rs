//! What the admin API sends and takes, as far as the command line needs more than to print it.

use serde::{Deserialize, Serialize};

use super::exit::Exit;

/// How to reach the running server: `DATA/admin.json`, which the server writes with mode 0600.
#[derive(Deserialize)]
pub(crate) struct AdminFile {
    /// `http://127.0.0.1:7411`.
    pub(crate) url: String,
    /// What proves that the caller may read the file.
    pub(crate) token: String,
}

/// An error of the admin API (RFC 9457, `application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ApiProblem {
    /// What is wrong, in short.
    #[serde(default)]
    pub(crate) title: String,
    /// The HTTP status.
    #[serde(default)]
    pub(crate) status: u16,
    /// What is wrong, with the particulars.
    #[serde(default)]
    pub(crate) detail: Option<String>,
    /// What to do about it.
    #[serde(default)]
    pub(crate) fix: Option<String>,
    /// What is wrong with single fields.
    #[serde(default)]
    pub(crate) errors: Vec<FieldError>,
    /// To find the request in the server's log.
    #[serde(default)]
    pub(crate) request_id: Option<String>,
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct FieldError {
    /// The field.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) message: String,
}

impl ApiProblem {
    /// The exit code for the status.
    pub(crate) fn exit(&self) -> Exit {
        match self.status {
            400 | 413 | 415 | 422 => Exit::Usage,
            401 | 403 => Exit::Auth,
            404 | 410 => Exit::NotFound,
            409 | 412 => Exit::Conflict,
            502..=504 => Exit::Upstream,
            _ => Exit::Failure,
        }
    }
}

impl std::fmt::Display for ApiProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The detail of a refused field repeats it under its name on the wire; the list below has the flag.
        let says_more = |detail: &&str| {
            let repeats = |error: &FieldError| detail.contains(&error.message);
            !detail.is_empty() && !self.errors.first().is_some_and(repeats)
        };
        match self.detail.as_deref().filter(says_more) {
            Some(detail) => f.write_str(detail)?,
            None if self.title.is_empty() => write!(f, "the server answered with status {}", self.status)?,
            None => write!(f, "{}", lower_first(&self.title))?,
        }
        for error in &self.errors {
            write!(f, "\n  {}: {}", flag_of(&error.field), error.message)?;
        }
        match &self.request_id {
            Some(id) => write!(f, "\n  (request {id})"),
            None => Ok(()),
        }
    }
}

/// Titles begin with a capital; messages here do not.
fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// The flag that sets a field: people typed `--cost-centre`, not `cost_centre`.
fn flag_of(field: &str) -> String {
    match field {
        "name" | "target" | "monthly" => field.to_owned(),
        "transformations" => "--transformation".to_owned(),
        "monthly_budget" => "--budget".to_owned(),
        "exceptions" => "--except".to_owned(),
        "ends_at" => "--until".to_owned(),
        "starts_at" => "--from".to_owned(),
        "expires_at" => "--expires-in".to_owned(),
        "overlap_hours" => "--overlap".to_owned(),
        other => format!("--{}", other.replace('_', "-")),
    }
}

/// A link to sign in with.
#[derive(Deserialize)]
pub(crate) struct SetupLink {
    /// Where it leads on the server: `/console/set-up?token=…`.
    pub(crate) path: String,
}

/// A key to be made.
#[derive(Debug, Serialize)]
pub(crate) struct NewKeyBody<'a> {
    /// Whose requests it makes.
    pub(crate) use_case: &'a str,
    /// What its maker calls it.
    pub(crate) label: &'a str,
    /// When it stops by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<jiff::Timestamp>,
}

/// A key that was made: the only moment at which its text exists.
#[derive(Deserialize)]
pub(crate) struct CreatedKey {
    /// Its id.
    pub(crate) id: String,
    /// Its text.
    pub(crate) key: String,
    /// Whose requests it makes.
    pub(crate) use_case: String,
}
