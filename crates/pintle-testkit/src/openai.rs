//! Scripts that answer as an OpenAI-compatible server does.

use serde_json::{Value, json};

use crate::script::{Script, Step, Usage};

const MODEL: &str = "fake-model";
/// 24 November 2026; a constant, so that recorded answers are equal from run to run.
const CREATED_S: u64 = 1_795_478_400;

impl Script {
    /// A whole chat completion that says `text`; without usage, as silent servers answer.
    #[must_use]
    pub fn openai_answer(text: &str, usage: impl Into<Option<Usage>>) -> Self {
        Script::openai_answers(&[text], usage)
    }

    /// A whole chat completion with one choice for each text (`n` > 1).
    #[must_use]
    pub fn openai_answers(texts: &[&str], usage: impl Into<Option<Usage>>) -> Self {
        let choices: Vec<Value> = texts
            .iter()
            .enumerate()
            .map(|(index, text)| {
                json!({"index": index, "message": {"role": "assistant", "content": text},
                       "logprobs": null, "finish_reason": "stop"})
            })
            .collect();
        Script::json(200, &completion(&choices.into(), usage.into()))
    }

    /// A whole chat completion that calls the tool `name`; `arguments` is the JSON text of its arguments.
    #[must_use]
    pub fn openai_tool_call(id: &str, name: &str, arguments: &str, usage: impl Into<Option<Usage>>) -> Self {
        let call = json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
        let choice = json!({"index": 0, "message": {"role": "assistant", "content": null, "tool_calls": [call]},
                            "logprobs": null, "finish_reason": "tool_calls"});
        Script::json(200, &completion(&json!([choice]), usage.into()))
    }

    /// A streamed chat completion whose content deltas are `texts`, one event and one chunk each. Sends
    /// beyond the head: role, one per text, finish, usage (when given), `[DONE]`, end of body.
    #[must_use]
    pub fn openai_stream(texts: &[&str], usage: impl Into<Option<Usage>>) -> Self {
        let mut events = vec![delta(&json!({"role": "assistant", "content": ""}), None)];
        events.extend(texts.iter().map(|text| delta(&json!({"content": text}), None)));
        events.push(delta(&json!({}), Some("stop")));
        Script::sse(finished(events, usage.into()))
    }

    /// A streamed chat completion that calls the tool `name`, its arguments in the given fragments.
    #[must_use]
    pub fn openai_tool_call_stream(
        id: &str,
        name: &str,
        fragments: &[&str],
        usage: impl Into<Option<Usage>>,
    ) -> Self {
        let begin =
            json!({"index": 0, "id": id, "type": "function", "function": {"name": name, "arguments": ""}});
        let mut events =
            vec![delta(&json!({"role": "assistant", "content": null, "tool_calls": [begin]}), None)];
        events.extend(fragments.iter().map(|fragment| {
            delta(&json!({"tool_calls": [{"index": 0, "function": {"arguments": fragment}}]}), None)
        }));
        events.push(delta(&json!({}), Some("tool_calls")));
        Script::sse(finished(events, usage.into()))
    }

    /// A stream of `chunks` content deltas (`word 1 `, `word 2 `, …) that is then cut: the connection
    /// closes in the middle of the body, without finish reason, usage, `[DONE]` or last chunk.
    #[must_use]
    pub fn cut_mid_stream(chunks: usize) -> Self {
        let words: Vec<String> = (1..=chunks + 1).map(|n| format!("word {n} ")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // Head and role come before the first content delta.
        Script::openai_stream(&words, None).cut_after(2 + chunks, Step::Close)
    }

    /// A stream whose last event ends in the middle of a two-byte character, and is never completed,
    /// though the body itself ends properly.
    #[must_use]
    pub fn truncated_utf8_stream() -> Self {
        let whole = delta(&json!({"role": "assistant", "content": "Stra"}), None).into_bytes();
        let half = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\xc3".to_vec();
        Script::sse([whole, half])
    }

    /// A stream that sends `texts`, then an error in OpenAI's mid-stream shape, then ends properly.
    #[must_use]
    pub fn error_mid_stream(texts: &[&str], message: &str) -> Self {
        let mut events: Vec<String> =
            texts.iter().map(|text| delta(&json!({"content": text}), None)).collect();
        let error = json!({"error": {"message": message, "type": "server_error", "param": null, "code": "server_error"}});
        events.push(format!("data: {error}\n\n"));
        Script::sse(events)
    }

    /// An error response in OpenAI's shape.
    #[must_use]
    pub fn openai_error(status: u16, code: &str, message: &str) -> Self {
        Script::json(
            status,
            &json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": code}}),
        )
    }
}

fn finished(mut events: Vec<String>, usage: Option<Usage>) -> Vec<String> {
    if let Some(usage) = usage {
        let mut last = envelope("chat.completion.chunk", &json!([]));
        insert(&mut last, "usage", usage_json(usage));
        events.push(format!("data: {last}\n\n"));
    }
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn delta(delta: &Value, finish_reason: Option<&str>) -> String {
    let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
    format!("data: {}\n\n", envelope("chat.completion.chunk", &json!([choice])))
}

fn completion(choices: &Value, usage: Option<Usage>) -> Value {
    let mut body = envelope("chat.completion", choices);
    if let Some(usage) = usage {
        insert(&mut body, "usage", usage_json(usage));
    }
    body
}

fn envelope(object: &str, choices: &Value) -> Value {
    json!({"id": "chatcmpl-fake", "object": object, "created": CREATED_S, "model": MODEL,
           "system_fingerprint": "fp_fake", "choices": choices})
}

fn insert(into: &mut Value, key: &str, value: Value) {
    if let Some(object) = into.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

fn usage_json(usage: Usage) -> Value {
    json!({"prompt_tokens": usage.input, "completion_tokens": usage.output,
           "total_tokens": usage.input + usage.output,
           "prompt_tokens_details": {"cached_tokens": usage.cached_input, "audio_tokens": 0},
           "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": 0}})
}
