//! Errors as they look on the wire: ours in OpenAI's shape, and what may be kept of a provider's.

use std::fmt;

use bytes::{Bytes, BytesMut};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use crate::{json, sse};

/// An error in the shape that OpenAI's SDKs parse: `{"error":{"message","type","param","code", …}}`.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorBody {
    /// The sentence that a person reads.
    pub message: String,
    /// The family: `invalid_request_error`, `permission_error`, `server_error` …
    pub kind: &'static str,
    /// The stable code.
    pub code: &'static str,
    /// Path of the field at fault.
    pub param: Option<String>,
    /// Further members of the `error` object: guidance, ways forward, a reference. A member here that is
    /// named like one of the four above is left out.
    pub extra: Map<String, Value>,
}

impl ErrorBody {
    /// An error without parameter and extras.
    #[must_use]
    pub fn new(kind: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        ErrorBody { message: message.into(), kind, code, param: None, extra: Map::new() }
    }

    /// The body of an HTTP answer.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        to_bytes(self, 256)
    }

    /// One SSE event, as OpenAI sends an error in the middle of a stream: `data: {"error":…}`.
    #[must_use]
    pub fn to_sse(&self) -> Bytes {
        let mut out = BytesMut::new();
        sse::encode_sse(&mut out, &self.to_bytes());
        out.freeze()
    }
}

impl Serialize for ErrorBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Inner<'a>(&'a ErrorBody);
        impl Serialize for Inner<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("message", &self.0.message)?;
                map.serialize_entry("type", self.0.kind)?;
                map.serialize_entry("param", &self.0.param)?;
                map.serialize_entry("code", self.0.code)?;
                for (key, value) in &self.0.extra {
                    if !matches!(key.as_str(), "message" | "type" | "param" | "code") {
                        map.serialize_entry(key, value)?;
                    }
                }
                map.end()
            }
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("error", &Inner(self))?;
        map.end()
    }
}

impl From<&crate::RequestError> for ErrorBody {
    fn from(error: &crate::RequestError) -> Self {
        let mut body = ErrorBody::new("invalid_request_error", error.code(), error.to_string());
        body.param = error.param().map(str::to_owned);
        body
    }
}

/// Serialises what cannot fail: values whose keys are strings, written to memory.
pub(crate) fn to_bytes(value: &impl Serialize, size_hint: usize) -> Bytes {
    let mut out = Vec::with_capacity(size_hint);
    // Writing to a `Vec` never fails and our types never refuse; an empty body would be noticed at once.
    match serde_json::to_writer(&mut out, value) {
        Ok(()) => Bytes::from(out),
        Err(_) => Bytes::new(),
    }
}

/// What is kept of a provider's error: its code and type, if they look like identifiers. Its message may quote
/// the prompt, a key or an internal address, so it is never read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProviderFault {
    /// `context_length_exceeded`, `429` …
    pub code: Option<String>,
    /// `invalid_request_error`, `overloaded_error` …
    pub kind: Option<String>,
}

impl ProviderFault {
    /// Reads the body of an error answer in OpenAI's shape, Anthropic's, or that of servers which put `code`
    /// and `type` at the root. A body that is none of these gives an empty summary.
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        json::parse(body).ok().and_then(|value| Self::from_value(&value)).unwrap_or_default()
    }

    /// The fault that a document reports, or `None` if it reports none.
    pub(crate) fn from_value(value: &Value) -> Option<Self> {
        let root = value.as_object()?;
        match root.get("error") {
            Some(Value::Object(error)) => Some(Self::from_object(error)),
            Some(Value::String(_)) => Some(Self::from_object(root)),
            _ if root.get("object").or(root.get("type")).and_then(Value::as_str) == Some("error") => {
                Some(Self::from_object(root))
            }
            _ => None,
        }
    }

    fn from_object(error: &Map<String, Value>) -> Self {
        ProviderFault { code: identifier(error.get("code")), kind: identifier(error.get("type")) }
    }

    /// Whether the same request may succeed a moment later, at this provider or another.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let transient = |name: &Option<String>| {
            matches!(
                name.as_deref(),
                Some(
                    "overloaded_error"
                        | "rate_limit_error"
                        | "rate_limit_exceeded"
                        | "api_error"
                        | "server_error"
                        | "internal_error"
                        | "timeout_error"
                        | "service_unavailable"
                        | "429"
                        | "500"
                        | "502"
                        | "503"
                        | "504"
                        | "529"
                )
            )
        };
        transient(&self.code) || transient(&self.kind)
    }

    /// Whether the request is longer than the model's context.
    #[must_use]
    pub fn is_context_overflow(&self) -> bool {
        self.code.as_deref() == Some("context_length_exceeded")
    }
}

impl fmt::Display for ProviderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.kind, &self.code) {
            (Some(kind), Some(code)) => write!(f, "type `{kind}`, code `{code}`"),
            (Some(kind), None) => write!(f, "type `{kind}`"),
            (None, Some(code)) => write!(f, "code `{code}`"),
            (None, None) => f.write_str("without a code"),
        }
    }
}

/// A code that is safe to repeat: at most 40 characters, lowercase words joined by `_`, `-` or `.`, or a status
/// number. Anything else could be a sentence, a key or a name.
fn identifier(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => {
            let is_plain = |c: char| c.is_ascii_lowercase() || "_-.".contains(c);
            let is_word = !text.is_empty() && text.len() <= 40 && text.chars().all(is_plain);
            let is_status = text.len() == 3 && text.chars().all(|c| c.is_ascii_digit());
            (is_word || is_status).then(|| text.clone())
        }
        Value::Number(number) => number.as_u64().filter(|n| *n < 1_000).map(|n| n.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_words_are_not_kept() {
        let openai = br#"{"error":{"message":"bad key sk-123","type":"invalid_request_error","code":"invalid_api_key"}}"#;
        let fault = ProviderFault::parse(openai);
        assert_eq!(fault.to_string(), "type `invalid_request_error`, code `invalid_api_key`");
        let anthropic = br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
        assert!(ProviderFault::parse(anthropic).is_transient());
        let vllm = br#"{"object":"error","message":"too long","type":"BadRequestError","code":400}"#;
        assert_eq!(ProviderFault::parse(vllm).to_string(), "code `400`");
        let sneaky = br#"{"error":{"code":"Dear Jane, your key is sk-1","type":"sk-proj-AbC123"}}"#;
        assert_eq!(ProviderFault::parse(sneaky).to_string(), "without a code");
        assert_eq!(ProviderFault::parse(b"<html>502</html>"), ProviderFault::default());
    }
}
