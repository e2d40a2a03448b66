//! One event of a streamed chat completion, or completion: its texts by channel, its usage, its end; and the chunks that
//! Pintle makes itself when it held text back.
//!
//! A guard needs the pieces of one text in order. A [`Channel`] names such a text within a choice; what arrives
//! whole (a tool's name) or where Pintle knows no text (a provider's extension) says so.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use pintle_core::{Place, TokenUsage};
use serde_json::{Map, Value, json};

use crate::{
    answer,
    blocks::object,
    error::AnswerError,
    fault::{ProviderFault, to_bytes},
    protocol, usage,
};

/// The event that ends a stream.
pub const SSE_DONE: &[u8] = b"data: [DONE]\n\n";

/// What one `data` field of a stream says.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamItem {
    /// A piece of the answer, or the usage.
    Chunk(ChatChunk),
    /// The provider reports an error; nothing of use follows.
    Fault(ProviderFault),
    /// The stream is complete. A stream that ends without it was cut.
    Done,
}

/// Parses one `data` field of an OpenAI-compatible stream.
///
/// # Errors
/// When it is neither `[DONE]` nor a chunk nor an error object. At the end of a stream that means it was cut.
pub fn parse_stream_data(data: &[u8]) -> Result<StreamItem, AnswerError> {
    if data.trim_ascii() == b"[DONE]" {
        return Ok(StreamItem::Done);
    }
    match answer::parse_object(data) {
        Ok(body) => match body.get("choices") {
            None | Some(Value::Null) => Ok(StreamItem::Chunk(ChatChunk { body })),
            Some(Value::Array(choices)) if choices.iter().all(Value::is_object) => {
                Ok(StreamItem::Chunk(ChatChunk { body }))
            }
            Some(_) => Err(AnswerError::Shape { path: "choices", expected: "an array of objects" }),
        },
        Err(AnswerError::Provider(fault)) => Ok(StreamItem::Fault(fault)),
        Err(error) => Err(error),
    }
}

/// Which text of a choice a piece belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Channel {
    /// `text` of a choice: a completion's only text.
    Text,
    /// `delta.content`.
    Content,
    /// `delta.refusal`.
    Refusal,
    /// `delta.reasoning_content`.
    Reasoning,
    /// `delta.reasoning`, as newer servers call it. Some send both names with the same text.
    Thought,
    /// `delta.tool_calls[].function.arguments` of the call with this index. JSON in pieces: hold it until the
    /// call is complete and use [`crate::map_argument_texts`].
    ToolArguments(u32),
    /// `delta.tool_calls[].custom.input` of the call with this index.
    ToolInput(u32),
    /// `delta.function_call.arguments`, the older form of a single tool call. JSON in pieces as well.
    FunctionArguments,
    /// `delta.audio.transcript`.
    Transcript,
    /// A text that arrives in one piece: a tool call's id or name. The path stands within the choice.
    Whole(Arc<str>),
    /// A text at a place that Pintle does not know, perhaps a piece of a longer one. It can be scanned only by
    /// itself, so a guard that has to be sure empties it. The path stands within the chunk.
    Unknown(Arc<str>),
}

impl Channel {
    /// Whether pieces of this channel make one text, so that the guard must look across them.
    #[must_use]
    pub const fn is_incremental(&self) -> bool {
        !matches!(self, Channel::Whole(_) | Channel::Unknown(_))
    }

    /// Whether the whole text is a JSON document, which is scanned when it is complete.
    #[must_use]
    pub const fn is_json(&self) -> bool {
        matches!(self, Channel::ToolArguments(_) | Channel::FunctionArguments)
    }

    /// Where the text would stand in the answer, were it not streamed: findings name that place.
    #[must_use]
    pub fn place(&self, choice: u32) -> Place {
        let within = match self {
            Channel::Text => "text".to_owned(),
            Channel::Content => "message.content".to_owned(),
            Channel::Refusal => "message.refusal".to_owned(),
            Channel::Reasoning => "message.reasoning_content".to_owned(),
            Channel::Thought => "message.reasoning".to_owned(),
            Channel::ToolArguments(call) => format!("message.tool_calls[{call}].function.arguments"),
            Channel::ToolInput(call) => format!("message.tool_calls[{call}].custom.input"),
            Channel::FunctionArguments => "message.function_call.arguments".to_owned(),
            Channel::Transcript => "message.audio.transcript".to_owned(),
            Channel::Whole(path) => format!("message.{path}"),
            Channel::Unknown(path) => {
                let message = path.starts_with("choices").then_some(choice);
                return Place { message, path: Arc::clone(path) };
            }
        };
        Place { message: Some(choice), path: Arc::from(format!("choices[{choice}].{within}")) }
    }
}

/// One piece of text in a chunk, to be read or changed.
#[derive(Debug)]
pub struct DeltaText<'a> {
    /// The choice's `index`.
    pub choice: u32,
    /// Which of its texts.
    pub channel: Channel,
    /// The piece. Emptying it keeps the chunk valid.
    pub text: &'a mut String,
}

/// One chunk. It keeps the whole document; its `Debug` shows no content.
#[derive(Clone, PartialEq)]
pub struct ChatChunk {
    body: Map<String, Value>,
}

impl std::fmt::Debug for ChatChunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChatChunk({} choices)", self.choices().len())
    }
}

impl ChatChunk {
    /// The document.
    #[must_use]
    pub const fn body(&self) -> &Map<String, Value> {
        &self.body
    }

    fn choices(&self) -> &[Value] {
        self.body.get("choices").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Whether the chunk has no choice: a usage chunk, or a provider's prologue.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.choices().is_empty()
    }

    /// The choices that this chunk ends, by `index`. Text held back for them must be sent before it. An empty
    /// reason, which some servers send in place of null, ends nothing.
    pub fn finished(&self) -> impl Iterator<Item = u32> + '_ {
        let is_last = |choice: &Value| {
            choice.get("finish_reason").and_then(Value::as_str).is_some_and(|reason| !reason.is_empty())
        };
        let choices = self.choices().iter().enumerate().filter(move |(_, choice)| is_last(choice));
        choices.map(|(at, choice)| choice_index(choice.get("index"), at))
    }

    /// The usage that this chunk carries.
    #[must_use]
    pub fn usage(&self) -> Option<TokenUsage> {
        self.body.get("usage").and_then(usage::from_openai)
    }

    /// Removes `usage`, for clients that did not ask for it.
    pub fn remove_usage(&mut self) {
        self.body.shift_remove("usage");
    }

    /// Sets the model's name that the client sees.
    pub fn set_model(&mut self, model: &str) {
        self.body.insert("model".to_owned(), model.into());
    }

    /// Sets the log probabilities of one choice, or of all, to null; see
    /// [`crate::ChatAnswer::strip_logprobs`].
    pub fn strip_logprobs(&mut self, choice: Option<u32>) {
        answer::strip_logprobs(&mut self.body, choice);
    }

    /// Takes the log probabilities of each choice out, and leaves null: they repeat a text that the guard has
    /// not seen the end of. [`HeldLogprobs`] keeps them until it has.
    pub fn take_logprobs(&mut self) -> Vec<(u32, Value)> {
        let mut taken = Vec::new();
        let Some(Value::Array(choices)) = self.body.get_mut("choices") else { return taken };
        for (at, choice) in choices.iter_mut().enumerate() {
            let Some(fields) = choice.as_object_mut() else { continue };
            let index = choice_index(fields.get("index"), at);
            if let Some(logprobs) = fields.get_mut("logprobs").filter(|value| !value.is_null()) {
                taken.push((index, logprobs.take()));
            }
        }
        taken
    }

    /// Gives a choice of this chunk its log probabilities.
    pub fn put_logprobs(&mut self, choice: u32, logprobs: Value) {
        let Some(Value::Array(choices)) = self.body.get_mut("choices") else { return };
        for (at, value) in choices.iter_mut().enumerate() {
            let Some(fields) = value.as_object_mut() else { continue };
            if choice_index(fields.get("index"), at) == choice {
                fields.insert("logprobs".to_owned(), logprobs);
                return;
            }
        }
    }

    /// Visits every text of the chunk, to be read or changed in place, but the constants of the protocol, the
    /// log probabilities, and the head (`id`, `model`, `system_fingerprint`) that each chunk repeats.
    pub fn for_each_text(&mut self, f: &mut dyn FnMut(DeltaText<'_>)) {
        for (at, (key, value)) in self.body.iter_mut().enumerate() {
            match (key.as_str(), value) {
                ("id" | "object" | "model" | "system_fingerprint" | "service_tier" | "usage", _) => {}
                ("choices", Value::Array(choices)) => {
                    for (at, choice) in choices.iter_mut().enumerate() {
                        choice_texts(choice, at, f);
                    }
                }
                (key, value) => unknown(value, &name(key, at), Some(key), 0, f),
            }
        }
    }

    /// What this chunk shares with the others of its stream, for chunks that Pintle adds.
    #[must_use]
    pub fn head(&self) -> ChunkHead {
        let fields = ["id", "object", "created", "model", "system_fingerprint"];
        let shared =
            fields.iter().filter_map(|field| Some(((*field).to_owned(), self.body.get(*field)?.clone())));
        ChunkHead { fields: shared.collect() }
    }

    /// Appends this chunk as an SSE event.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_slice(b"data: ");
        out.put_slice(&self.to_bytes());
        out.put_slice(b"\n\n");
    }

    /// The chunk's JSON.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        to_bytes(&self.body, 384)
    }
}

/// Log probabilities of one choice, held until its text has passed the guard as it was.
#[derive(Debug, Default)]
pub struct HeldLogprobs {
    lists: Map<String, Value>,
    entries: usize,
}

impl HeldLogprobs {
    /// More tokens than any answer has; beyond it the rest is left out.
    const ENTRIES_MAX: usize = 200_000;

    /// Appends what one chunk had: `{"content": […], "refusal": […]}`, or a completion's lists side by side.
    pub fn absorb(&mut self, logprobs: Value) {
        let Value::Object(lists) = logprobs else { return };
        for (name, value) in lists {
            match (self.lists.get_mut(&name), value) {
                (Some(Value::Array(known)), Value::Array(more)) => {
                    self.entries += more.len();
                    if self.entries <= Self::ENTRIES_MAX {
                        known.extend(more);
                    }
                }
                (None | Some(Value::Null), value) => {
                    self.lists.insert(name, value);
                }
                _ => {}
            }
        }
    }

    /// Everything, in the shape of one chunk's; `None` when there was nothing.
    #[must_use]
    pub fn release(self) -> Option<Value> {
        (!self.lists.is_empty()).then_some(Value::Object(self.lists))
    }
}

/// The fields that all chunks of one stream share.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChunkHead {
    fields: Map<String, Value>,
}

impl ChunkHead {
    /// A chunk that carries a piece of text in a channel: what a guard held back and now lets go. `None` for
    /// the channels in which nothing can be held back ([`Channel::is_incremental`]).
    #[must_use]
    pub fn text_chunk(&self, choice: u32, channel: &Channel, text: &str) -> Option<ChatChunk> {
        let delta = match channel {
            Channel::Text => return Some(self.chunk(vec![completion_choice(choice, text)])),
            Channel::Content => json!({ "content": text }),
            Channel::Refusal => json!({ "refusal": text }),
            Channel::Reasoning => json!({ "reasoning_content": text }),
            Channel::Thought => json!({ "reasoning": text }),
            Channel::ToolArguments(call) => {
                json!({ "tool_calls": [{ "index": call, "function": { "arguments": text } }] })
            }
            Channel::ToolInput(call) => {
                json!({ "tool_calls": [{ "index": call, "custom": { "input": text } }] })
            }
            Channel::FunctionArguments => json!({ "function_call": { "arguments": text } }),
            Channel::Transcript => json!({ "audio": { "transcript": text } }),
            Channel::Whole(_) | Channel::Unknown(_) => return None,
        };
        Some(self.delta_chunk(choice, delta, None))
    }

    /// A chunk without choices that carries the usage.
    #[must_use]
    pub fn usage_chunk(&self, usage: &TokenUsage) -> ChatChunk {
        let mut chunk = self.chunk(Vec::new());
        chunk.body.insert("usage".to_owned(), usage::to_openai(usage));
        chunk
    }

    /// A chunk of one choice.
    pub(crate) fn delta_chunk(&self, choice: u32, delta: Value, finish: Option<&str>) -> ChatChunk {
        let fields = [("index", choice.into()), ("delta", delta), ("finish_reason", finish.into())];
        self.chunk(vec![object(fields)])
    }

    fn chunk(&self, choices: Vec<Value>) -> ChatChunk {
        let mut body = self.fields.clone();
        body.insert("choices".to_owned(), Value::Array(choices));
        ChatChunk { body }
    }

    pub(crate) fn new(id: &str, model: &str, created_s: i64) -> Self {
        let mut fields = Map::new();
        fields.insert("id".to_owned(), id.into());
        fields.insert("object".to_owned(), "chat.completion.chunk".into());
        fields.insert("created".to_owned(), created_s.into());
        fields.insert("model".to_owned(), model.into());
        ChunkHead { fields }
    }
}

/// A choice of a completion's stream that does not end with this piece.
fn completion_choice(choice: u32, text: &str) -> Value {
    json!({ "index": choice, "text": text, "logprobs": null, "finish_reason": null })
}

fn choice_index(index: Option<&Value>, at: usize) -> u32 {
    let index = index.and_then(Value::as_u64).and_then(|index| u32::try_from(index).ok());
    index.unwrap_or_else(|| u32::try_from(at).unwrap_or(u32::MAX))
}

/// A field's name as paths show it; see [`crate::TextField::path`].
fn name(key: &str, at: usize) -> String {
    if protocol::is_protocol_key(key) { key.to_owned() } else { format!("#{at}") }
}

fn choice_texts(choice: &mut Value, at: usize, f: &mut dyn FnMut(DeltaText<'_>)) {
    let Value::Object(fields) = choice else { return };
    let index = choice_index(fields.get("index"), at);
    for (at, (key, value)) in fields.iter_mut().enumerate() {
        match (key.as_str(), value) {
            ("logprobs", _) => {}
            ("text", Value::String(text)) => f(DeltaText { choice: index, channel: Channel::Text, text }),
            ("delta", Value::Object(delta)) => delta_texts(delta, index, f),
            (key, value) => {
                unknown(value, &format!("choices[{index}].{}", name(key, at)), Some(key), index, f)
            }
        }
    }
}

fn delta_texts(delta: &mut Map<String, Value>, choice: u32, f: &mut dyn FnMut(DeltaText<'_>)) {
    let path = |name: &str| format!("choices[{choice}].message.{name}");
    for (at, (key, value)) in delta.iter_mut().enumerate() {
        let channel = match key.as_str() {
            "content" => Some(Channel::Content),
            "refusal" => Some(Channel::Refusal),
            "reasoning_content" => Some(Channel::Reasoning),
            "reasoning" => Some(Channel::Thought),
            _ => None,
        };
        match (key.as_str(), value) {
            (_, Value::String(text)) if channel.is_some() => {
                if let Some(channel) = channel {
                    f(DeltaText { choice, channel, text });
                }
            }
            ("tool_calls", Value::Array(calls)) => {
                for (at, call) in calls.iter_mut().enumerate() {
                    call_texts(call, at, choice, f);
                }
            }
            ("function_call", Value::Object(call)) => {
                parts(call, "function_call", choice, f, |field| match field {
                    "arguments" => Some(Channel::FunctionArguments),
                    "name" => Some(Channel::Whole(Arc::from("function_call.name"))),
                    _ => None,
                });
            }
            ("audio", Value::Object(audio)) => {
                // The sound itself cannot be scanned; emptying it keeps the chunk valid.
                parts(audio, "audio", choice, f, |field| {
                    (field == "transcript").then_some(Channel::Transcript)
                });
            }
            (key, value) => unknown(value, &path(&name(key, at)), Some(key), choice, f),
        }
    }
}

fn call_texts(call: &mut Value, at: usize, choice: u32, f: &mut dyn FnMut(DeltaText<'_>)) {
    let Value::Object(fields) = call else {
        return unknown(call, &format!("choices[{choice}].message.tool_calls[{at}]"), None, choice, f);
    };
    let index = choice_index(fields.get("index"), at);
    let call_path = format!("tool_calls[{index}]");
    for (at, (key, value)) in fields.iter_mut().enumerate() {
        match (key.as_str(), value) {
            ("id", Value::String(text)) => {
                f(DeltaText { choice, channel: Channel::Whole(format!("{call_path}.id").into()), text });
            }
            ("function", Value::Object(function)) => {
                let path = format!("{call_path}.function");
                parts(function, &path, choice, f, |field| match field {
                    "arguments" => Some(Channel::ToolArguments(index)),
                    "name" => Some(Channel::Whole(format!("{path}.name").into())),
                    _ => None,
                });
            }
            ("custom", Value::Object(custom)) => {
                let path = format!("{call_path}.custom");
                parts(custom, &path, choice, f, |field| match field {
                    "input" => Some(Channel::ToolInput(index)),
                    "name" => Some(Channel::Whole(format!("{path}.name").into())),
                    _ => None,
                });
            }
            (key, value) => {
                let path = format!("choices[{choice}].message.{call_path}.{}", name(key, at));
                unknown(value, &path, Some(key), choice, f);
            }
        }
    }
}

/// The fields of one object of a delta: those that `channel` knows, and the rest as unknown.
fn parts(
    fields: &mut Map<String, Value>,
    path: &str,
    choice: u32,
    f: &mut dyn FnMut(DeltaText<'_>),
    channel: impl Fn(&str) -> Option<Channel>,
) {
    for (at, (key, value)) in fields.iter_mut().enumerate() {
        match (channel(key), value) {
            (Some(channel), Value::String(text)) => f(DeltaText { choice, channel, text }),
            (_, value) => {
                let path = format!("choices[{choice}].message.{path}.{}", name(key, at));
                unknown(value, &path, Some(key), choice, f);
            }
        }
    }
}

/// Every string under a value that no channel covers. Names of fields there are not visited: a guard that has
/// to be sure empties such texts, and a name alone is the provider's own word.
fn unknown(
    value: &mut Value,
    path: &str,
    label: Option<&str>,
    choice: u32,
    f: &mut dyn FnMut(DeltaText<'_>),
) {
    match value {
        Value::String(text) => {
            if !text.is_empty() && !label.is_some_and(|label| protocol::is_protocol_value(label, text)) {
                f(DeltaText { choice, channel: Channel::Unknown(Arc::from(path)), text });
            }
        }
        Value::Array(values) => {
            for (at, value) in values.iter_mut().enumerate() {
                unknown(value, &format!("{path}[{at}]"), label, choice, f);
            }
        }
        Value::Object(fields) => {
            for (at, (key, value)) in fields.iter_mut().enumerate() {
                unknown(value, &format!("{path}.{}", name(key, at)), Some(key), choice, f);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
