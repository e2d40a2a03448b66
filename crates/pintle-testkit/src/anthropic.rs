//! Scripts that answer as Anthropic's Messages API does.

use serde_json::{Value, json};

use crate::script::{Script, Usage};

const MODEL: &str = "fake-claude";

impl Script {
    /// A whole message that says `text`.
    #[must_use]
    pub fn anthropic_answer(text: &str, usage: Usage) -> Self {
        Script::json(200, &message(&json!([{"type": "text", "text": text}]), Some("end_turn"), usage))
    }

    /// A whole message that uses the tool `name` with `input`.
    #[must_use]
    pub fn anthropic_tool_use(id: &str, name: &str, input: &Value, usage: Usage) -> Self {
        let content = json!([{"type": "tool_use", "id": id, "name": name, "input": input}]);
        Script::json(200, &message(&content, Some("tool_use"), usage))
    }

    /// A streamed message whose text deltas are `texts`. Sends beyond the head: `message_start`,
    /// `content_block_start`, `ping`, one per text, `content_block_stop`, `message_delta`,
    /// `message_stop`, end of body.
    #[must_use]
    pub fn anthropic_stream(texts: &[&str], usage: Usage) -> Self {
        let deltas = texts.iter().map(|text| json!({"type": "text_delta", "text": text}));
        stream(&json!({"type": "text", "text": ""}), deltas, "end_turn", usage)
    }

    /// A streamed message that uses the tool `name`, its input in the given fragments of JSON text.
    #[must_use]
    pub fn anthropic_tool_use_stream(id: &str, name: &str, fragments: &[&str], usage: Usage) -> Self {
        let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
        let deltas = fragments.iter().map(|part| json!({"type": "input_json_delta", "partial_json": part}));
        stream(&block, deltas, "tool_use", usage)
    }

    /// A streamed message that breaks off after `texts` with an `error` event.
    #[must_use]
    pub fn anthropic_error_mid_stream(texts: &[&str], kind: &str, text: &str) -> Self {
        let usage = Usage::new(10, 0);
        let mut events = vec![
            event(&json!({"type": "message_start", "message": message(&json!([]), None, usage)})),
            event(
                &json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            ),
        ];
        events.extend(texts.iter().map(|text| {
            event(&json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}))
        }));
        events.push(event(&json!({"type": "error", "error": {"type": kind, "message": text}})));
        Script::sse(events)
    }

    /// An error response in Anthropic's shape.
    #[must_use]
    pub fn anthropic_error(status: u16, kind: &str, text: &str) -> Self {
        Script::json(
            status,
            &json!({"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_fake"}),
        )
    }
}

fn stream(block: &Value, deltas: impl Iterator<Item = Value>, stop_reason: &str, usage: Usage) -> Script {
    let start = Usage { output: 1, ..usage };
    let mut events = vec![
        event(&json!({"type": "message_start", "message": message(&json!([]), None, start)})),
        event(&json!({"type": "content_block_start", "index": 0, "content_block": block})),
        event(&json!({"type": "ping"})),
    ];
    events.extend(
        deltas.map(|delta| event(&json!({"type": "content_block_delta", "index": 0, "delta": delta}))),
    );
    events.push(event(&json!({"type": "content_block_stop", "index": 0})));
    events.push(event(&json!({"type": "message_delta",
        "delta": {"stop_reason": stop_reason, "stop_sequence": null}, "usage": {"output_tokens": usage.output}})));
    events.push(event(&json!({"type": "message_stop"})));
    Script::sse(events)
}

fn event(data: &Value) -> String {
    let kind = data.get("type").and_then(Value::as_str).unwrap_or_default();
    format!("event: {kind}\ndata: {data}\n\n")
}

fn message(content: &Value, stop_reason: Option<&str>, usage: Usage) -> Value {
    let fresh = usage.input.saturating_sub(usage.cached_input).saturating_sub(usage.cache_write);
    json!({"id": "msg_fake", "type": "message", "role": "assistant", "model": MODEL, "content": content,
           "stop_reason": stop_reason, "stop_sequence": null,
           "usage": {"input_tokens": fresh, "cache_creation_input_tokens": usage.cache_write,
                     "cache_read_input_tokens": usage.cached_input, "output_tokens": usage.output}})
}
