//! The errors of this crate. Messages name paths and JSON types, never what stands there: they go to
//! clients, logs and the audit log.

use crate::json::JsonError;

/// Why a request cannot be understood or converted. [`RequestError::code`] is stable; clients may match on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The bytes are not UTF-8.
    #[error(
        "the body is not valid UTF-8: the byte at offset {offset} starts no character; send JSON encoded as UTF-8"
    )]
    InvalidUtf8 {
        /// Offset of the first bad byte, from 0.
        offset: usize,
    },
    /// The text is not JSON.
    #[error("the body is not valid JSON: {reason} at line {line}, column {column}")]
    InvalidJson {
        /// What is wrong, in words of our own.
        reason: &'static str,
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1; 0 in an empty line.
        column: usize,
    },
    /// Arrays and objects are nested too deeply.
    #[error("the body is nested more than {} levels deep; flatten it", crate::json::MAX_DEPTH)]
    TooDeep,
    /// The document has so many values that it would not fit the memory set aside for one request.
    #[error("the body holds more than {} JSON values; send less at once", crate::json::MAX_VALUES)]
    TooManyValues,
    /// A field that must be there is not.
    #[error("`{param}`: this field is required; {hint}")]
    MissingField {
        /// Path of the field.
        param: String,
        /// What to put there.
        hint: &'static str,
    },
    /// A field has a value of the wrong type or range.
    #[error("`{param}`: expected {expected}, found {found}")]
    InvalidField {
        /// Path of the field, or `body`.
        param: String,
        /// What would be accepted, with its article.
        expected: &'static str,
        /// What was there: a JSON type or a figure, never a text.
        found: String,
    },
    /// The request is fine, but the provider that it would go to cannot do it.
    #[error("`{param}`: {reason}")]
    Unsupported {
        /// Path of the field.
        param: String,
        /// What is not supported, and the way out.
        reason: &'static str,
    },
}

impl RequestError {
    /// The stable code: `invalid_json`, `too_deep`, `missing_field` …
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            RequestError::InvalidUtf8 { .. } => "invalid_utf8",
            RequestError::InvalidJson { .. } => "invalid_json",
            RequestError::TooDeep => "too_deep",
            RequestError::TooManyValues => "too_many_values",
            RequestError::MissingField { .. } => "missing_field",
            RequestError::InvalidField { .. } => "invalid_field",
            RequestError::Unsupported { .. } => "unsupported",
        }
    }

    /// Path of the field at fault, where there is one.
    #[must_use]
    pub fn param(&self) -> Option<&str> {
        match self {
            RequestError::MissingField { param, .. }
            | RequestError::InvalidField { param, .. }
            | RequestError::Unsupported { param, .. } => Some(param),
            _ => None,
        }
    }

    /// An [`RequestError::InvalidField`] that names only the type of what it found.
    pub(crate) fn invalid(
        param: impl Into<String>,
        expected: &'static str,
        found: &serde_json::Value,
    ) -> Self {
        RequestError::InvalidField { param: param.into(), expected, found: type_name(found).to_owned() }
    }

    pub(crate) fn unsupported(param: impl Into<String>, reason: &'static str) -> Self {
        RequestError::Unsupported { param: param.into(), reason }
    }
}

impl From<JsonError> for RequestError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::InvalidUtf8 { offset } => RequestError::InvalidUtf8 { offset },
            JsonError::Syntax { reason, line, column } => RequestError::InvalidJson { reason, line, column },
            JsonError::TooDeep => RequestError::TooDeep,
            JsonError::TooManyValues => RequestError::TooManyValues,
        }
    }
}

/// Why a provider's answer, or one event of its stream, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The answer is not JSON, or cut short.
    #[error("the provider's answer is not valid JSON: {reason}")]
    InvalidJson {
        /// What is wrong, in words of our own.
        reason: &'static str,
    },
    /// The answer is larger or deeper than anything a model answers.
    #[error("the provider's answer is too large: {reason}")]
    TooLarge {
        /// Which bound it broke.
        reason: &'static str,
    },
    /// The answer is JSON, but not the shape of its dialect.
    #[error("the provider's answer lacks its shape: `{path}` should be {expected}")]
    Shape {
        /// Path of the field at fault.
        path: &'static str,
        /// What should be there.
        expected: &'static str,
    },
    /// The provider answered with an error object, though its status said success.
    #[error("the provider answered with an error ({0})")]
    Provider(crate::ProviderFault),
}

impl From<JsonError> for AnswerError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::InvalidUtf8 { .. } => AnswerError::InvalidJson { reason: "it is not UTF-8" },
            JsonError::Syntax { reason, .. } => AnswerError::InvalidJson { reason },
            JsonError::TooDeep => AnswerError::TooLarge { reason: "it is nested too deeply" },
            JsonError::TooManyValues => AnswerError::TooLarge { reason: "it holds too many values" },
        }
    }
}

/// A rewriting that cannot be done. The caller refuses the request: what was found cannot be removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}`: the name of a field cannot be rewritten; rename the field or leave it out")]
pub struct RewriteError {
    /// Path of the field whose name would have to change.
    pub path: String,
}

/// The JSON type of a value, with its article, for messages.
pub(crate) const fn type_name(value: &serde_json::Value) -> &'static str {
    use serde_json::Value;
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
