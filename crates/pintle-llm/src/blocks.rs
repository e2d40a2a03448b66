//! What the conversions to and from Anthropic's dialect have in common.

use serde_json::{Map, Value, json};

/// An object of these fields. Unlike `json!`, it moves its values, which may be megabytes.
pub(crate) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// OpenAI's `finish_reason` for Anthropic's `stop_reason`. One that is new to us counts as a plain end.
pub(crate) fn finish_reason(stop_reason: &str) -> &'static str {
    match stop_reason {
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        _ => "stop",
    }
}

/// One tool call in OpenAI's form, as it stands in a whole message.
pub(crate) fn tool_call(block: &Map<String, Value>, arguments: &str) -> Value {
    json!({
        "id": text(block.get("id")),
        "type": "function",
        "function": { "name": text(block.get("name")), "arguments": arguments },
    })
}

/// A string, or an empty one where the provider sent none.
pub(crate) fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}
