//! Chat completions: the messages and the fields that only this interface has.

use serde_json::{Map, Value};

use super::{
    ask::{ASK_FIELDS, Ask, Kind},
    fields::{Fields, Refusal},
};
use crate::{
    artefact::Generation,
    infer::Job,
    tokenise::{ChatTurn, Role},
};

const CHAT_FIELDS: [&str; 5] =
    ["messages", "max_tokens", "max_completion_tokens", "logprobs", "top_logprobs"];
/// As the gateway allows.
const MESSAGES_MAX: usize = 10_000;

/// A chat completion that was asked for.
pub(super) struct ChatAsk {
    pub(super) turns: Vec<ChatTurn>,
    pub(super) tokens_max: Option<u32>,
    /// The likeliest tokens at each place, with the log-probabilities; `None` for no log-probabilities.
    pub(super) logprobs: Option<u8>,
    pub(super) ask: Ask,
}

impl ChatAsk {
    pub(super) fn read(body: &Map<String, Value>, generation: &Generation) -> Result<Self, Refusal> {
        let fields = Fields::new(body);
        fields.refuse_others(&[&CHAT_FIELDS[..], &ASK_FIELDS[..]].concat())?;
        // The newer name counts where both are there.
        let newer = fields.whole("max_completion_tokens", 1..=u32::MAX)?;
        let older = fields.whole("max_tokens", 1..=u32::MAX)?;
        Ok(ChatAsk {
            turns: turns(fields)?,
            tokens_max: newer.or(older),
            logprobs: logprobs(fields)?,
            ask: Ask::read(fields, Kind::Chat, generation)?,
        })
    }
}

fn logprobs(fields: Fields<'_>) -> Result<Option<u8>, Refusal> {
    let top = fields.whole("top_logprobs", 0..=u32::from(Job::TOP_MAX))?;
    match (fields.boolean("logprobs")?.unwrap_or(false), top) {
        (true, top) => Ok(Some(top.and_then(|top| u8::try_from(top).ok()).unwrap_or(0))),
        (false, None | Some(0)) => Ok(None),
        (false, Some(_)) => Err(Refusal::invalid("top_logprobs", "`logprobs` to be true beside it")),
    }
}

/// The messages of a request.
pub(super) fn turns(fields: Fields<'_>) -> Result<Vec<ChatTurn>, Refusal> {
    let missing = || Refusal::missing("messages", "send at least one message");
    let list = fields.get("messages").ok_or_else(missing)?;
    let list = list.as_array().filter(|list| (1..=MESSAGES_MAX).contains(&list.len()));
    let list = list.ok_or_else(|| Refusal::invalid("messages", "an array of 1 to 10000 messages"))?;
    list.iter().enumerate().map(|(at, message)| turn(&format!("messages[{at}]"), message)).collect()
}

fn turn(at: &str, message: &Value) -> Result<ChatTurn, Refusal> {
    let message = message.as_object().ok_or_else(|| Refusal::invalid(at, "an object"))?;
    let fields = Fields::new(message);
    let role = match fields.get("role").and_then(Value::as_str) {
        // `developer` is what newer clients call the system's messages.
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("tool" | "function") => {
            let why = "this model calls no tools; hint: send their results in a message of the user";
            return Err(Refusal::unsupported(format!("{at}.role"), why));
        }
        _ => {
            return Err(Refusal::invalid(
                format!("{at}.role"),
                "`system`, `developer`, `user` or `assistant`",
            ));
        }
    };
    // Clients send earlier answers back as they came, with lists of nothing in them.
    let is_idle = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    for (name, _) in message.iter().filter(|(_, value)| !is_idle(value)) {
        match name.as_str() {
            "role" | "content" | "name" => {}
            "tool_calls" | "function_call" | "audio" | "refusal" | "tool_call_id" => {
                return Err(Refusal::unsupported(format!("{at}.{name}"), "this model reads text only"));
            }
            _ => return Err(Refusal::unsupported(at, "this model does not know one of its fields")),
        }
    }
    let param = format!("{at}.content");
    let content = match fields.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts_text(&param, parts)?,
        None if role == Role::Assistant => String::new(),
        _ => return Err(Refusal::invalid(param, "a string or an array of text parts")),
    };
    Ok(ChatTurn { role, content })
}

/// Parts of text stand on lines of their own, as vLLM puts them.
fn parts_text(param: &str, parts: &[Value]) -> Result<String, Refusal> {
    let mut texts = Vec::with_capacity(parts.len());
    for (at, part) in parts.iter().enumerate() {
        let at = || format!("{param}[{at}]");
        match part.get("type").and_then(Value::as_str) {
            Some("text") => {}
            Some(_) => {
                let why = "this model reads text only; hint: leave out images, sound and files";
                return Err(Refusal::unsupported(at(), why));
            }
            None => return Err(Refusal::invalid(format!("{}.type", at()), "a string")),
        }
        let text = part.get("text").and_then(Value::as_str);
        texts.push(text.ok_or_else(|| Refusal::invalid(format!("{}.text", at()), "a string"))?);
    }
    Ok(texts.join("\n"))
}
