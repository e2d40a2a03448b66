//! Anthropic's stream, event by event, as the chunks that an OpenAI client expects.
//!
//! Events that are new to us are ignored, as Anthropic asks of its clients. Thinking becomes
//! `reasoning_content`; its signatures are dropped, because OpenAI's dialect has no place to send them back from.

use pintle_core::TokenUsage;
use serde_json::{Map, Value, json};

use crate::{
    answer,
    blocks::{self, object},
    embedded,
    error::AnswerError,
    sse::SseEvent,
    stream::{ChunkHead, StreamItem},
    usage::AnthropicUsage,
};

/// Tool calls in one answer; more is no answer.
const MAX_CALLS: usize = 1_024;

/// Converts one stream.
#[derive(Debug)]
pub struct AnthropicStream {
    head: ChunkHead,
    created_s: i64,
    counts: AnthropicUsage,
    /// The last report of usage has come.
    is_counted: bool,
    calls: Vec<Call>,
}

/// A tool call, in order of its appearance, which is its index in OpenAI's dialect.
#[derive(Debug)]
struct Call {
    /// Index of its block.
    block: u64,
    has_arguments: bool,
}

impl AnthropicStream {
    /// A converter for a stream that begins now; `created_s` is the time in Unix seconds.
    #[must_use]
    pub fn new(created_s: i64) -> Self {
        AnthropicStream {
            head: ChunkHead::new("", "", created_s),
            created_s,
            counts: AnthropicUsage::default(),
            is_counted: false,
            calls: Vec::new(),
        }
    }

    /// Takes one event and appends what it means: nothing, chunks, a fault, or the end. The last chunk before
    /// the end carries the usage, whether or not the client asked for it.
    ///
    /// # Errors
    /// When the event is not JSON or not Anthropic's. At the end of a stream that means it was cut.
    pub fn push(&mut self, event: &SseEvent, out: &mut Vec<StreamItem>) -> Result<(), AnswerError> {
        let body = match answer::parse_object(&event.data) {
            Ok(body) => body,
            Err(AnswerError::Provider(fault)) => {
                out.push(StreamItem::Fault(fault));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match blocks::text(body.get("type")) {
            "message_start" => self.start(&body, out),
            "content_block_start" => self.block_start(&body, out)?,
            "content_block_delta" => self.block_delta(&body, out),
            "content_block_stop" => self.block_stop(&body, out),
            "message_delta" => self.message_delta(&body, out),
            "message_stop" => {
                if let Some(tokens) = self.usage() {
                    out.push(StreamItem::Chunk(self.head.usage_chunk(&tokens)));
                }
                out.push(StreamItem::Done);
            }
            _ => {}
        }
        Ok(())
    }

    /// The usage, once the provider has said its last word on it.
    #[must_use]
    pub fn usage(&self) -> Option<TokenUsage> {
        self.counts.tokens().filter(|_| self.is_counted)
    }

    /// The usage of a stream that was cut: the input that the provider reported at the start, with
    /// `output_estimate` where that is more than the output it had reported. `None` before the start.
    #[must_use]
    pub fn usage_when_cut(&self, output_estimate: u64) -> Option<TokenUsage> {
        let tokens = self.counts.tokens()?;
        Some(TokenUsage { output: tokens.output.max(output_estimate), ..tokens })
    }

    fn start(&mut self, body: &Map<String, Value>, out: &mut Vec<StreamItem>) {
        let message = body.get("message").and_then(Value::as_object);
        let field = |key: &str| blocks::text(message.and_then(|message| message.get(key)));
        self.head = ChunkHead::new(field("id"), field("model"), self.created_s);
        self.counts.update(message.and_then(|message| message.get("usage")));
        self.delta(json!({ "role": "assistant", "content": "" }), out);
    }

    fn block_start(
        &mut self,
        body: &Map<String, Value>,
        out: &mut Vec<StreamItem>,
    ) -> Result<(), AnswerError> {
        let Some(block) = body.get("content_block").and_then(Value::as_object) else { return Ok(()) };
        match blocks::text(block.get("type")) {
            "text" => self.text("content", block.get("text"), out),
            "thinking" => self.text("reasoning_content", block.get("thinking"), out),
            "tool_use" => {
                if self.calls.len() >= MAX_CALLS {
                    return Err(AnswerError::TooLarge { reason: "it calls too many tools" });
                }
                // Empty at the start of a stream; servers that do not stream arguments send them here.
                let input =
                    block.get("input").filter(|input| input.as_object().is_some_and(|map| !map.is_empty()));
                let arguments = input.map(embedded::to_text).unwrap_or_default();
                let block_index = body.get("index").and_then(Value::as_u64).unwrap_or(u64::MAX);
                let mut call = blocks::tool_call(block, &arguments);
                if let Some(fields) = call.as_object_mut() {
                    fields.shift_insert(0, "index".to_owned(), self.calls.len().into());
                }
                self.calls.push(Call { block: block_index, has_arguments: !arguments.is_empty() });
                self.delta(object([("tool_calls", Value::Array(vec![call]))]), out);
            }
            _ => {}
        }
        Ok(())
    }

    fn block_delta(&mut self, body: &Map<String, Value>, out: &mut Vec<StreamItem>) {
        let Some(delta) = body.get("delta").and_then(Value::as_object) else { return };
        match blocks::text(delta.get("type")) {
            "text_delta" => self.text("content", delta.get("text"), out),
            "thinking_delta" => self.text("reasoning_content", delta.get("thinking"), out),
            "input_json_delta" => self.arguments(body, blocks::text(delta.get("partial_json")), out),
            _ => {}
        }
    }

    fn block_stop(&mut self, body: &Map<String, Value>, out: &mut Vec<StreamItem>) {
        // A tool without parameters streams no arguments at all, but clients parse them as JSON.
        let is_empty = self.call(body).is_some_and(|(_, call)| !call.has_arguments);
        if is_empty {
            self.arguments(body, "{}", out);
        }
    }

    fn message_delta(&mut self, body: &Map<String, Value>, out: &mut Vec<StreamItem>) {
        self.counts.update(body.get("usage"));
        self.is_counted |= body.get("usage").is_some_and(Value::is_object);
        if let Some(reason) =
            body.get("delta").and_then(|delta| delta.get("stop_reason")).and_then(Value::as_str)
        {
            let finish = blocks::finish_reason(reason);
            out.push(StreamItem::Chunk(self.head.delta_chunk(0, json!({}), Some(finish))));
        }
    }

    fn arguments(&mut self, body: &Map<String, Value>, piece: &str, out: &mut Vec<StreamItem>) {
        let Some((index, call)) = self.call(body).filter(|_| !piece.is_empty()) else { return };
        call.has_arguments = true;
        self.delta(json!({ "tool_calls": [{ "index": index, "function": { "arguments": piece } }] }), out);
    }

    /// The tool call whose block an event names. Blocks of server tools stream input too, and have none.
    fn call(&mut self, body: &Map<String, Value>) -> Option<(usize, &mut Call)> {
        let block = body.get("index").and_then(Value::as_u64)?;
        self.calls.iter_mut().enumerate().rev().find(|(_, call)| call.block == block)
    }

    fn text(&self, field: &str, text: Option<&Value>, out: &mut Vec<StreamItem>) {
        let text = blocks::text(text);
        if !text.is_empty() {
            self.delta(object([(field, text.into())]), out);
        }
    }

    fn delta(&self, delta: Value, out: &mut Vec<StreamItem>) {
        out.push(StreamItem::Chunk(self.head.delta_chunk(0, delta, None)));
    }
}
