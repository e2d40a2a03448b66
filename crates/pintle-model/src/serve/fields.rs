//! Reads the fields of a request strictly: what a model cannot do is refused by name and never left out in silence.
//! Refusals have OpenAI's shape. They say which field and what is expected there, not what stood there.

use std::ops::RangeInclusive;

use bytes::Bytes;
use pintle_llm::{ErrorBody, LocalAnswer};
use serde_json::{Map, Value};

use super::ask::Kind;
use crate::{ModelError, infer::SubmitError};

/// Why a request gets no answer, as its caller reads it.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    retry_after_s: Option<u64>,
    body: Box<ErrorBody>,
}

impl Refusal {
    fn new(code: &'static str, param: Option<String>, message: String) -> Self {
        let mut body = ErrorBody::new("invalid_request_error", code, message);
        body.param = param;
        Refusal { status: 400, retry_after_s: None, body: Box::new(body) }
    }

    /// A field that has to be there is not.
    pub(super) fn missing(param: &str, hint: &str) -> Self {
        let message = format!("`{param}`: this field is required; hint: {hint}");
        Refusal::new("missing_field", Some(param.to_owned()), message)
    }

    /// A field holds something else than it may.
    pub(super) fn invalid(param: impl Into<String>, expected: &str) -> Self {
        let param = param.into();
        let message = format!("`{param}`: expected {expected}");
        Refusal::new("invalid_field", Some(param), message)
    }

    /// A field asks for what this model cannot do.
    pub(super) fn unsupported(param: impl Into<String>, why: &str) -> Self {
        let param = param.into();
        let message = format!("`{param}`: {why}");
        Refusal::new("unsupported", Some(param), message)
    }

    /// The prompt, or what is to follow it, is too long.
    pub(super) fn overflow(param: &str, message: String) -> Self {
        Refusal::new("context_length_exceeded", Some(param.to_owned()), message)
    }

    /// A text that the tokeniser or the chat template does not take. Their errors quote no text.
    pub(super) fn text(param: &str, error: &ModelError) -> Self {
        Refusal::new("invalid_field", Some(param.to_owned()), format!("`{param}`: {error}"))
    }

    /// The engine does not take the job.
    pub(super) fn of_submit(error: &SubmitError, kind: Kind, retry_after_s: u64) -> Self {
        match error {
            SubmitError::QueueFull { .. } => Refusal::busy(error.to_string(), retry_after_s),
            SubmitError::ContextOverflow { .. } => Refusal::overflow(kind.prompt(), error.to_string()),
            SubmitError::Invalid { field, why } => {
                let param = if *field == "prompt" { kind.prompt() } else { field };
                Refusal::invalid(param, why)
            }
            SubmitError::Stopped => Refusal::server("engine_stopped", &error.to_string()),
        }
    }

    /// There is no room for the request now.
    pub(super) fn busy(message: String, retry_after_s: u64) -> Self {
        let body = ErrorBody::new("rate_limit_error", "queue_full", message);
        Refusal { status: 429, retry_after_s: Some(retry_after_s), body: Box::new(body) }
    }

    /// Nothing is wrong with the request.
    pub(super) fn server(code: &'static str, message: &str) -> Self {
        let body = ErrorBody::new("server_error", code, message);
        Refusal { status: 503, retry_after_s: None, body: Box::new(body) }
    }

    pub(super) fn into_answer(self) -> LocalAnswer {
        let Refusal { status, retry_after_s, body } = self;
        LocalAnswer { status, retry_after_s, body: Box::pin(Some(body.to_bytes())) }
    }
}

/// A whole document as an answer.
pub(super) fn document(value: &Value) -> LocalAnswer {
    LocalAnswer { status: 200, retry_after_s: None, body: Box::pin(Some(Bytes::from(value.to_string()))) }
}

/// The fields of a request. `null` is as good as absent.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(&'a Map<String, Value>);

/// Fields that say who asks and why, or what to do with the answer outside of the model.
const ABOUT: [&str; 11] = [
    "model",
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "parallel_tool_calls",
    "reasoning_effort",
    "verbosity",
];

impl<'a> Fields<'a> {
    pub(super) fn new(fields: &'a Map<String, Value>) -> Self {
        Fields(fields)
    }

    /// Of a document that has to be an object.
    pub(super) fn of(body: &'a Value) -> Result<Self, Refusal> {
        body.as_object().map(Fields).ok_or_else(|| Refusal::invalid("body", "an object"))
    }

    pub(super) fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn boolean(self, name: &str) -> Result<Option<bool>, Refusal> {
        let value = self.get(name).map(|value| value.as_bool());
        value.map(|value| value.ok_or_else(|| Refusal::invalid(name, "true or false"))).transpose()
    }

    pub(super) fn number(self, name: &str, range: RangeInclusive<f64>) -> Result<Option<f32>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.as_f64().filter(|number| range.contains(number));
        let expected = || format!("a number from {} to {}", range.start(), range.end());
        let number = number.ok_or_else(|| Refusal::invalid(name, &expected()))?;
        #[expect(clippy::cast_possible_truncation, reason = "settings are single precision")]
        Ok(Some(number as f32))
    }

    pub(super) fn whole(self, name: &str, range: RangeInclusive<u32>) -> Result<Option<u32>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        let expected = || match *range.end() {
            u32::MAX => format!("a whole number of at least {}", range.start()),
            end => format!("a whole number from {} to {end}", range.start()),
        };
        let number = number.filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| Refusal::invalid(name, &expected()))
    }

    /// Refuses every field that is neither known nor without effect.
    pub(super) fn refuse_others(self, known: &[&str]) -> Result<(), Refusal> {
        let uses_tools = self.get("tool_choice").is_none_or(|choice| choice != "none");
        for (name, value) in self.0.iter().filter(|(_, value)| !value.is_null()) {
            let name = name.as_str();
            let is_idle_list = matches!(name, "tools" | "functions") && !uses_tools;
            if known.contains(&name) || ABOUT.contains(&name) || is_idle_list || is_neutral(name, value) {
                continue;
            }
            return Err(Refusal::unsupported(shown(name), why(name)));
        }
        Ok(())
    }
}

/// A field's name as a message may repeat it: a name, not a text that someone wrote in its place.
fn shown(name: &str) -> &str {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.len() <= 40 && name.bytes().all(is_plain) { name } else { "body" }
}

/// Whether a setting that this model does not have is set to what is the case anyway.
fn is_neutral(name: &str, value: &Value) -> bool {
    let is_number = |wanted: f64| value.as_f64().is_some_and(|number| (number - wanted).abs() < 1e-9);
    match name {
        "frequency_penalty" | "presence_penalty" | "min_p" => is_number(0.0),
        "repetition_penalty" | "best_of" => is_number(1.0),
        "logit_bias" => value.as_object().is_some_and(Map::is_empty),
        "tools" | "functions" => value.as_array().is_some_and(Vec::is_empty),
        // Without tools, both leave the model to write text.
        "tool_choice" | "function_call" => value == "none" || value == "auto",
        "response_format" => value.get("type").is_some_and(|kind| kind == "text"),
        "modalities" => value.as_array().is_some_and(|list| list.iter().all(|kind| kind == "text")),
        "suffix" => value == "",
        _ => false,
    }
}

fn why(name: &str) -> &'static str {
    match name {
        "frequency_penalty" | "presence_penalty" | "repetition_penalty" | "min_p" | "logit_bias" => {
            "this model does not draw that way; hint: `temperature`, `top_p` and `top_k` decide how it draws"
        }
        "tools" | "functions" | "tool_choice" | "function_call" => {
            "this model calls no tools; hint: leave them out, or send `\"tool_choice\": \"none\"`"
        }
        "response_format" => "this model writes plain text only; hint: ask for the form in the prompt",
        "modalities" | "audio" => "this model reads and writes text only",
        "best_of" => "answers are not ranked here; hint: ask for `n` and choose among them",
        _ => "this model does not know this field; hint: leave it out",
    }
}
