//! A chat completion request in OpenAI's dialect: parsed once, scanned, rewritten, sent.

use std::sync::Arc;

use bytes::Bytes;
use pintle_core::Place;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use crate::{
    error::{RequestError, RewriteError},
    estimate::estimate_tokens,
    fault::to_bytes,
    json,
    validate::{self, View},
    walk::{self, Rewriter, Side, Step, TextField},
};

/// Tokens around each message: its role and separators.
const TOKENS_PER_MESSAGE: u64 = 5;
/// An image at full detail in the vision models of 2024 to 2026 costs 85 to about 1,600 tokens. `gpt-4o-mini`
/// counts up to thirty times as many at a price thirty times lower per token than its text: the known miss.
const TOKENS_PER_IMAGE: u64 = 1_600;
/// An image at low detail.
const TOKENS_PER_SMALL_IMAGE: u64 = 300;
/// A file that is named but not sent along; its size is unknown.
const TOKENS_PER_NAMED_FILE: u64 = 5_000;
/// Base64 characters per token, for sound and files: 16 kB/s at 10 tokens per second would be 2,000, a page of a
/// PDF with its picture can be as dense as 16.
const BASE64_PER_TOKEN: u64 = 16;

/// A parsed and valid chat request. It keeps the whole document; its `Debug` shows no content.
#[derive(Clone, PartialEq)]
pub struct ChatRequest {
    body: Map<String, Value>,
    view: View,
    /// Length of the client's bytes: a good guess for the length of what is sent.
    received_bytes: usize,
}

/// A part of a request that the guard cannot read. Content with such a part counts as restricted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unscannable {
    /// Where it stands.
    pub place: Place,
    /// `image`, `audio`, `file`, `tokens`, or `unknown_part` for a type that Pintle does not know.
    pub what: &'static str,
}

impl std::fmt::Debug for ChatRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatRequest")
            .field("stream", &self.stream())
            .field("n", &self.n())
            .field("messages", &self.messages().len())
            .field("received_bytes", &self.received_bytes)
            .finish()
    }
}

impl ChatRequest {
    /// Parses the body of `POST /v1/chat/completions`.
    ///
    /// # Errors
    /// When the body is not UTF-8, not JSON, too deep, too large in values, or not a chat request.
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        let body = match json::parse(bytes)? {
            Value::Object(body) => body,
            other => return Err(RequestError::invalid("body", "an object", &other)),
        };
        let view = validate::view(&body)?;
        Ok(ChatRequest { body, view, received_bytes: bytes.len() })
    }

    /// The model that the client asks for; not yet checked against anything.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.view.model
    }

    /// Whether the answer is to be streamed.
    #[must_use]
    pub const fn stream(&self) -> bool {
        self.view.stream
    }

    /// Whether the client asked for a usage chunk at the stream's end.
    #[must_use]
    pub const fn wants_usage_chunk(&self) -> bool {
        self.view.include_usage
    }

    /// How many answers are asked for, 1 to 128. Each may use [`ChatRequest::max_output_tokens`].
    #[must_use]
    pub const fn n(&self) -> u32 {
        self.view.answers
    }

    /// The client's bound on each answer: the larger of `max_completion_tokens` and `max_tokens`.
    #[must_use]
    pub const fn max_output_tokens(&self) -> Option<u64> {
        self.view.max_output
    }

    /// How many messages there are, at least 1.
    #[must_use]
    pub fn message_count(&self) -> usize {
        self.messages().len()
    }

    /// The document, for what this type has no word for.
    #[must_use]
    pub const fn body(&self) -> &Map<String, Value> {
        &self.body
    }

    pub(crate) fn messages(&self) -> &[Value] {
        self.body.get("messages").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Parts of messages that are not text: images, sound, files, and parts of unknown type. What such a part
    /// holds as text (a file's name, a URL) is visited by [`ChatRequest::for_each_text`] all the same.
    #[must_use]
    pub fn unscannable_parts(&self) -> Vec<Unscannable> {
        let mut found = Vec::new();
        for (at, message) in self.messages().iter().enumerate() {
            let Some(parts) = message.get("content").and_then(Value::as_array) else { continue };
            for (part_at, part) in parts.iter().enumerate() {
                let what = match part.get("type").and_then(Value::as_str) {
                    Some("text" | "refusal") => continue,
                    Some("image_url") => "image",
                    Some("input_audio") => "audio",
                    Some("file") => "file",
                    _ => "unknown_part",
                };
                let path = Arc::from(format!("messages[{at}].content[{part_at}]"));
                found.push(Unscannable { place: Place { message: u32::try_from(at).ok(), path }, what });
            }
        }
        found
    }

    /// Visits every text of the document, in its order: every string, every field's name that is not the
    /// protocol's own, every number of seven digits or more. Left out are only constants of the protocol (a
    /// `role` that is one, a `type` that is one), `model`, and the bytes of parts that
    /// [`ChatRequest::unscannable_parts`] reports. Strings that hold JSON with escapes are visited inside.
    pub fn for_each_text(&self, f: &mut dyn FnMut(&TextField<'_>)) {
        walk::visit_map(Side::Request, &self.body, &Step::root(), f);
    }

    /// Rewrites texts: `f` gives the new text or `None`. Gives the number of texts changed.
    ///
    /// # Errors
    /// When the name of a field would have to change outside of a string that holds JSON. The request is then
    /// half rewritten and must not be sent.
    pub fn map_texts(
        &mut self,
        f: &mut dyn FnMut(&TextField<'_>) -> Option<String>,
    ) -> Result<usize, RewriteError> {
        let mut rewriter = Rewriter { side: Side::Request, f, changed: 0 };
        rewriter.map(&mut self.body, &Step::root())?;
        Ok(rewriter.changed)
    }

    /// Guesses the input tokens, upwards; see [`estimate_tokens`] for text. Images and files add fixed or
    /// size-dependent amounts, tool definitions and the response format count with all their JSON.
    #[must_use]
    pub fn estimate_input_tokens(&self) -> u64 {
        let definitions = ["tools", "functions", "response_format"];
        let mut total = definitions.iter().filter_map(|key| self.body.get(*key)).map(schema_tokens).sum();
        for message in self.messages() {
            let Value::Object(fields) = message else { continue };
            total += TOKENS_PER_MESSAGE;
            for (key, value) in fields {
                total += match (key.as_str(), value) {
                    ("role", _) => 0,
                    ("content", Value::Array(parts)) => parts.iter().map(part_tokens).sum(),
                    ("content", Value::String(text)) => estimate_tokens(text),
                    (_, value) => schema_tokens(value),
                };
            }
        }
        total
    }

    /// The body to send to an OpenAI-compatible provider: this document with `model` set and, in a streamed
    /// request with `force_usage`, `stream_options.include_usage`, so that the call can be accounted for.
    #[must_use]
    pub fn to_openai_body(&self, model: &str, force_usage: bool) -> Bytes {
        let wire = OpenAiBody { body: &self.body, model, force_usage: force_usage && self.stream() };
        to_bytes(&wire, self.received_bytes + self.received_bytes / 16 + 64)
    }

    /// The body to send to Anthropic's Messages API, with `default_max_tokens` where the client set no bound
    /// (Anthropic demands one). See the module `to_anthropic` for what is converted, dropped and refused.
    ///
    /// # Errors
    /// When the request asks for what Anthropic cannot do, or holds tool arguments that are not JSON.
    pub fn to_anthropic_body(&self, model: &str, default_max_tokens: u64) -> Result<Bytes, RequestError> {
        let body = crate::to_anthropic::convert(self, model, default_max_tokens)?;
        Ok(to_bytes(&body, self.received_bytes + self.received_bytes / 8 + 64))
    }
}

/// Serialises a document with two fields replaced, without copying it.
pub(crate) struct OpenAiBody<'a> {
    pub(crate) body: &'a Map<String, Value>,
    pub(crate) model: &'a str,
    pub(crate) force_usage: bool,
}

impl Serialize for OpenAiBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut has_options = false;
        for (key, value) in self.body {
            match key.as_str() {
                "model" => map.serialize_entry(key, self.model)?,
                "stream_options" if self.force_usage => {
                    has_options = true;
                    map.serialize_entry(key, &with_usage(value))?;
                }
                _ => map.serialize_entry(key, value)?,
            }
        }
        if self.force_usage && !has_options {
            map.serialize_entry("stream_options", &with_usage(&Value::Null))?;
        }
        map.end()
    }
}

pub(crate) fn with_usage(options: &Value) -> Map<String, Value> {
    let mut options = options.as_object().cloned().unwrap_or_default();
    options.insert("include_usage".to_owned(), Value::Bool(true));
    options
}

/// All strings, names and structure of a JSON value.
fn schema_tokens(value: &Value) -> u64 {
    match value {
        Value::Null => 0,
        Value::Bool(_) | Value::Number(_) => 2,
        Value::String(text) => estimate_tokens(text) + 1,
        Value::Array(values) => values.iter().map(schema_tokens).sum::<u64>() + 1,
        Value::Object(map) => {
            map.iter().map(|(key, value)| estimate_tokens(key) + schema_tokens(value) + 1).sum::<u64>() + 1
        }
    }
}

fn part_tokens(part: &Value) -> u64 {
    let base64 = |text: Option<&Value>| {
        text.and_then(Value::as_str).map(|text| (text.len() as u64).div_ceil(BASE64_PER_TOKEN))
    };
    match part.get("type").and_then(Value::as_str) {
        Some("text") => part.get("text").and_then(Value::as_str).map_or(0, estimate_tokens),
        Some("image_url") => match part.pointer("/image_url/detail").and_then(Value::as_str) {
            Some("low") => TOKENS_PER_SMALL_IMAGE,
            _ => TOKENS_PER_IMAGE,
        },
        Some("input_audio") => base64(part.pointer("/input_audio/data")).unwrap_or(TOKENS_PER_NAMED_FILE),
        Some("file") => base64(part.pointer("/file/file_data")).unwrap_or(TOKENS_PER_NAMED_FILE),
        _ => schema_tokens(part),
    }
}
