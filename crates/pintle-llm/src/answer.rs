//! A whole answer: read, scanned, rewritten, given back in OpenAI's shape.

use bytes::Bytes;
use pintle_core::TokenUsage;
use serde_json::{Map, Value};

use crate::{
    blocks::{self, object},
    embedded,
    error::{AnswerError, RewriteError},
    estimate::TokenEstimator,
    fault::{ProviderFault, to_bytes},
    json,
    usage::{self, AnthropicUsage},
    walk::{self, Rewriter, Side, Step, TextField},
};

/// A chat completion. It keeps the whole document; its `Debug` shows no content.
#[derive(Clone, PartialEq)]
pub struct ChatAnswer {
    body: Map<String, Value>,
    received_bytes: usize,
}

impl std::fmt::Debug for ChatAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatAnswer")
            .field("choices", &self.choices().len())
            .field("received_bytes", &self.received_bytes)
            .finish()
    }
}

/// Parses an object that does not report an error.
pub(crate) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, AnswerError> {
    let value = json::parse(bytes)?;
    // `"error": null` stands in many a good answer.
    if let Some(fault) = ProviderFault::from_value(&value) {
        return Err(AnswerError::Provider(fault));
    }
    match value {
        Value::Object(body) => Ok(body),
        _ => Err(AnswerError::Shape { path: "body", expected: "an object" }),
    }
}

impl ChatAnswer {
    /// Parses the body of an OpenAI-compatible provider's answer.
    ///
    /// # Errors
    /// When the body is not a chat completion, or reports an error.
    pub fn parse(bytes: &[u8]) -> Result<Self, AnswerError> {
        let body = parse_object(bytes)?;
        match body.get("choices") {
            Some(Value::Array(choices)) if choices.iter().all(Value::is_object) => {
                Ok(ChatAnswer { body, received_bytes: bytes.len() })
            }
            _ => Err(AnswerError::Shape { path: "choices", expected: "an array of objects" }),
        }
    }

    /// Converts the body of an Anthropic answer. Text blocks are joined into `content`, thinking into
    /// `reasoning_content`; blocks of other kinds come only from server tools, which are never asked for, and
    /// are left out. `created_s` is the time now in Unix seconds, which Anthropic does not report.
    ///
    /// # Errors
    /// When the body is not a message, or reports an error.
    pub fn from_anthropic(bytes: &[u8], created_s: i64) -> Result<Self, AnswerError> {
        let body = parse_object(bytes)?;
        let Some(Value::Array(content)) = body.get("content") else {
            return Err(AnswerError::Shape { path: "content", expected: "an array of blocks" });
        };
        let message = message_from_blocks(content);
        let finish = body.get("stop_reason").and_then(Value::as_str).map(blocks::finish_reason);
        let mut counts = AnthropicUsage::default();
        counts.update(body.get("usage"));
        let mut answer = Map::new();
        answer.insert("id".into(), blocks::text(body.get("id")).into());
        answer.insert("object".into(), "chat.completion".into());
        answer.insert("created".into(), created_s.into());
        answer.insert("model".into(), blocks::text(body.get("model")).into());
        let choice = object([
            ("index", 0.into()),
            ("message", message),
            ("logprobs", Value::Null),
            ("finish_reason", finish.into()),
        ]);
        answer.insert("choices".into(), Value::Array(vec![choice]));
        if let Some(tokens) = counts.tokens() {
            answer.insert("usage".into(), usage::to_openai(&tokens));
        }
        Ok(ChatAnswer { body: answer, received_bytes: bytes.len() })
    }

    /// The document.
    #[must_use]
    pub const fn body(&self) -> &Map<String, Value> {
        &self.body
    }

    fn choices(&self) -> &[Value] {
        self.body.get("choices").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// What the provider says the call used; `None` if it says nothing usable.
    #[must_use]
    pub fn usage(&self) -> Option<TokenUsage> {
        self.body.get("usage").and_then(usage::from_openai)
    }

    /// Visits every text of the document but `model` and log probabilities, as
    /// [`crate::ChatRequest::for_each_text`] does in a request. Only tool arguments are looked into as JSON, so
    /// that a content's findings are the same when it is streamed.
    pub fn for_each_text(&self, f: &mut dyn FnMut(&TextField<'_>)) {
        walk::visit_map(Side::Answer, &self.body, &Step::root(), f);
    }

    /// Rewrites texts: `f` gives the new text or `None`. Gives the number of texts changed. Log probabilities
    /// repeat the old content: see [`ChatAnswer::strip_logprobs`].
    ///
    /// # Errors
    /// When the name of a field would have to change outside of tool arguments.
    pub fn map_texts(
        &mut self,
        f: &mut dyn FnMut(&TextField<'_>) -> Option<String>,
    ) -> Result<usize, RewriteError> {
        let mut rewriter = Rewriter { side: Side::Answer, f, changed: 0 };
        rewriter.map(&mut self.body, &Step::root())?;
        Ok(rewriter.changed)
    }

    /// Sets the log probabilities of one choice (by position), or of all, to null. Whoever masks or restores a
    /// text of a choice must call this: they hold the tokens as they were.
    pub fn strip_logprobs(&mut self, choice: Option<u32>) {
        strip_logprobs(&mut self.body, choice);
    }

    /// Sets the model's name that the client sees.
    pub fn set_model(&mut self, model: &str) {
        self.body.insert("model".to_owned(), model.into());
    }

    /// Guesses the output tokens from the texts of the choices, upwards.
    #[must_use]
    pub fn estimate_output_tokens(&self) -> u64 {
        let mut total = 0_u64;
        self.for_each_text(&mut |field| {
            if field.message().is_some() {
                let mut estimator = TokenEstimator::default();
                estimator.feed(field.text());
                total = total.saturating_add(estimator.tokens());
            }
        });
        total
    }

    /// The body to give back.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        to_bytes(&self.body, self.received_bytes + 128)
    }
}

/// Shared with chunks: `choice` is compared with the position in a whole answer and with `index` in a chunk;
/// the two agree in every answer that sorts its choices, and a choice whose `index` differs is stripped for both.
pub(crate) fn strip_logprobs(body: &mut Map<String, Value>, choice: Option<u32>) {
    let Some(Value::Array(choices)) = body.get_mut("choices") else { return };
    for (at, value) in choices.iter_mut().enumerate() {
        let Some(fields) = value.as_object_mut() else { continue };
        let index = fields.get("index").and_then(Value::as_u64);
        let wanted = choice.is_none_or(|choice| {
            index == Some(choice.into()) || usize::try_from(choice).is_ok_and(|choice| choice == at)
        });
        if wanted && let Some(logprobs) = fields.get_mut("logprobs") {
            *logprobs = Value::Null;
        }
    }
}

fn message_from_blocks(content: &[Value]) -> Value {
    let mut text: Option<String> = None;
    let mut thinking = String::new();
    let mut calls = Vec::new();
    for block in content.iter().filter_map(Value::as_object) {
        match blocks::text(block.get("type")) {
            "text" => text.get_or_insert_default().push_str(blocks::text(block.get("text"))),
            "thinking" => thinking.push_str(blocks::text(block.get("thinking"))),
            "tool_use" => {
                let arguments = block.get("input").map_or_else(|| "{}".to_owned(), embedded::to_text);
                calls.push(blocks::tool_call(block, &arguments));
            }
            _ => {}
        }
    }
    let mut message = Map::new();
    message.insert("role".into(), "assistant".into());
    message.insert("content".into(), text.into());
    message.insert("refusal".into(), Value::Null);
    if !thinking.is_empty() {
        message.insert("reasoning_content".into(), thinking.into());
    }
    if !calls.is_empty() {
        message.insert("tool_calls".into(), calls.into());
    }
    Value::Object(message)
}
