//! The built-in simulated provider, for the demonstration: it answers in OpenAI's form, at the pace of a
//! model, and says in each answer that no model was asked.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use pintle_core::Zone;
use pintle_llm::{ChatRequest, SSE_DONE, encode_sse, estimate_tokens};
use pintle_registry::Placement;
use serde_json::{Value, json};
use tokio::time::Sleep;

use super::{Upstream, UpstreamBody};

const PACE: Duration = Duration::from_millis(18);
const QUOTED_CHARS: usize = 240;

/// An answer to the request, whole or streamed.
pub(super) fn answer(request: &ChatRequest, placement: &Placement) -> Upstream {
    let text = text(request, placement);
    let input = request.estimate_input_tokens();
    let output = estimate_tokens(&text);
    let usage =
        json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output });
    let head = |object: &str| json!({ "id": "chatcmpl-simulated", "object": object, "created": 0, "model": placement.model.as_str() });
    let pieces = if request.stream() {
        streamed(&text, &head("chat.completion.chunk"), &usage)
    } else {
        let mut body = head("chat.completion");
        merge(
            &mut body,
            json!({
                "choices": [{
                    "index": 0,
                    "message": { "role": "assistant", "content": text, "refusal": null },
                    "logprobs": null,
                    "finish_reason": "stop",
                }],
                "usage": usage,
            }),
        );
        VecDeque::from([Bytes::from(body.to_string())])
    };
    let body = Paced { pieces, sleep: None, is_paced: request.stream() };
    Upstream { status: StatusCode::OK, headers: HeaderMap::new(), body: UpstreamBody::Simulated(body) }
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

fn text(request: &ChatRequest, placement: &Placement) -> String {
    let place = match placement.zone {
        Zone::OnPremises => "on premises",
        Zone::PrivateCloud => "in the private cloud",
        Zone::PublicCloud => "in the public cloud",
    };
    let messages = request.body().get("messages").and_then(Value::as_array);
    let last = messages.and_then(|messages| messages.last()).and_then(|message| message.get("content"));
    let quoted = match last {
        Some(Value::String(text)) => text.chars().take(QUOTED_CHARS).collect(),
        _ => "something that is not plain text".to_owned(),
    };
    format!(
        "This is a simulated answer: no model was asked. Your request reached `{}` {place}, which read: “{quoted}”",
        placement.name
    )
}

fn streamed(text: &str, head: &Value, usage: &Value) -> VecDeque<Bytes> {
    let event = |choices: Value, usage: Option<&Value>| {
        let mut chunk = head.clone();
        merge(&mut chunk, json!({ "choices": choices }));
        if let Some(usage) = usage {
            merge(&mut chunk, json!({ "usage": usage }));
        }
        let mut out = BytesMut::new();
        encode_sse(&mut out, chunk.to_string().as_bytes());
        out.freeze()
    };
    let delta =
        |delta: Value, finish: Option<&str>| json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
    let mut pieces =
        VecDeque::from([event(delta(json!({ "role": "assistant", "content": "" }), None), None)]);
    for word in text.split_inclusive(' ') {
        pieces.push_back(event(delta(json!({ "content": word }), None), None));
    }
    pieces.push_back(event(delta(json!({}), Some("stop")), None));
    pieces.push_back(event(json!([]), Some(usage)));
    pieces.push_back(Bytes::from_static(SSE_DONE));
    pieces
}

/// A body whose pieces come at a steady pace.
pub(crate) struct Paced {
    pieces: VecDeque<Bytes>,
    sleep: Option<Pin<Box<Sleep>>>,
    is_paced: bool,
}

impl Paced {
    pub(super) fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.is_paced && !self.pieces.is_empty() {
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(PACE)));
            ready!(sleep.as_mut().poll(context));
            self.sleep = None;
        }
        Poll::Ready(self.pieces.pop_front())
    }
}
