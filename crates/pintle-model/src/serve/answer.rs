//! The engine's events as OpenAI's document or stream.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use pintle_llm::{LocalBody, LocalBroken, SSE_DONE, encode_sse};
use serde_json::{Value, json};

use super::stops::Stops;
use crate::{
    artefact::Model,
    infer::{Event, Handle, Reason},
    tokenise::StreamDecoder,
};

/// What every document of an answer says of itself.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) created: i64,
    pub(super) model: String,
}

impl Head {
    fn document(&self, object: &str, choices: &Value) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.model,
            "choices": choices,
        })
    }
}

/// One of the answers to a request.
#[derive(Debug)]
pub(super) struct Choice {
    index: usize,
    /// `None` once it has ended: that frees its slot.
    handle: Option<Handle>,
    decoder: Option<StreamDecoder>,
    stops: Stops,
    prompt_tokens: u32,
    completion_tokens: u32,
    finish: Option<&'static str>,
}

/// What became of a choice.
enum Heard {
    Text(String),
    Ended(String),
    Nothing,
    Broken,
}

impl Choice {
    pub(super) fn new(index: usize, handle: Handle, model: &Model, stops: &[String]) -> Self {
        Choice {
            index,
            handle: Some(handle),
            decoder: Some(StreamDecoder::new(Arc::clone(&model.tokeniser))),
            stops: Stops::new(stops),
            prompt_tokens: 0,
            completion_tokens: 0,
            finish: None,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Heard> {
        let Some(handle) = &mut self.handle else { return Poll::Ready(Heard::Nothing) };
        let Poll::Ready(event) = handle.poll_next(context) else { return Poll::Pending };
        Poll::Ready(match event {
            Some(Event::Prompt(_)) => Heard::Text(String::new()),
            Some(Event::Token(token)) => {
                self.completion_tokens += 1;
                let piece = self.decoder.as_mut().map(|decoder| decoder.push(token.id)).unwrap_or_default();
                let (text, is_end) = self.stops.push(&piece);
                if is_end { self.end("stop", text) } else { Heard::Text(text) }
            }
            Some(Event::Done { reason, usage }) => {
                self.prompt_tokens = usage.prompt_tokens;
                self.completion_tokens = usage.completion_tokens;
                let tail = self.decoder.take().map(StreamDecoder::finish).unwrap_or_default();
                let (mut text, is_end) = self.stops.push(&tail);
                if !is_end {
                    text.push_str(&self.stops.finish());
                }
                let finish = if is_end || matches!(reason, Reason::Stop(_)) { "stop" } else { "length" };
                self.end(finish, text)
            }
            Some(Event::Failed(_)) | None => Heard::Broken,
        })
    }

    fn end(&mut self, finish: &'static str, text: String) -> Heard {
        self.finish = Some(finish);
        // Dropping the handle cancels what the engine might still do.
        self.handle = None;
        Heard::Ended(text)
    }
}

fn usage(choices: &[Choice]) -> Value {
    // The prompt is read once for all of them, and counted once, as OpenAI counts.
    let prompt: u64 = choices.iter().map(|choice| u64::from(choice.prompt_tokens)).max().unwrap_or(0);
    let completion: u64 = choices.iter().map(|choice| u64::from(choice.completion_tokens)).sum();
    json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion })
}

/// A whole answer: one document at the end.
#[derive(Debug)]
pub(super) struct WholeBody {
    head: Head,
    choices: Vec<Choice>,
    texts: Vec<String>,
    is_given: bool,
}

impl WholeBody {
    pub(super) fn new(head: Head, choices: Vec<Choice>) -> Self {
        let texts = vec![String::new(); choices.len()];
        WholeBody { head, choices, texts, is_given: false }
    }

    fn document(&self) -> Bytes {
        let pairs = self.choices.iter().zip(&self.texts);
        let choices: Vec<Value> = pairs
            .map(|(choice, text)| {
                json!({
                    "index": choice.index,
                    "message": { "role": "assistant", "content": text, "refusal": null },
                    "logprobs": null,
                    "finish_reason": choice.finish,
                })
            })
            .collect();
        let mut document = self.head.document("chat.completion", &Value::Array(choices));
        if let Value::Object(map) = &mut document {
            map.insert("usage".to_owned(), usage(&self.choices));
        }
        Bytes::from(document.to_string())
    }
}

impl LocalBody for WholeBody {
    fn poll_data(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, LocalBroken>>> {
        let this = &mut *self;
        if this.is_given {
            return Poll::Ready(None);
        }
        let mut is_waiting = false;
        for (choice, text) in this.choices.iter_mut().zip(&mut this.texts) {
            while choice.finish.is_none() {
                match choice.poll(context) {
                    Poll::Ready(Heard::Text(piece) | Heard::Ended(piece)) => text.push_str(&piece),
                    Poll::Ready(Heard::Nothing) => break,
                    Poll::Ready(Heard::Broken) => return Poll::Ready(Some(Err(LocalBroken))),
                    Poll::Pending => {
                        is_waiting = true;
                        break;
                    }
                }
            }
        }
        if is_waiting {
            return Poll::Pending;
        }
        this.is_given = true;
        Poll::Ready(Some(Ok(this.document())))
    }
}

/// A streamed answer: a chunk for each piece of text.
#[derive(Debug)]
pub(super) struct StreamBody {
    head: Head,
    choices: Vec<Choice>,
    ready: VecDeque<Bytes>,
    with_usage: bool,
    is_closed: bool,
}

impl StreamBody {
    pub(super) fn new(head: Head, choices: Vec<Choice>, with_usage: bool) -> Self {
        let mut body = StreamBody { head, choices, ready: VecDeque::new(), with_usage, is_closed: false };
        for index in 0..body.choices.len() {
            body.say(index, &json!({ "role": "assistant", "content": "" }), None);
        }
        body
    }

    fn say(&mut self, index: usize, delta: &Value, finish: Option<&str>) {
        let choice = json!([{ "index": index, "delta": delta, "logprobs": null, "finish_reason": finish }]);
        let chunk = self.head.document("chat.completion.chunk", &choice);
        self.put(&chunk);
    }

    fn put(&mut self, chunk: &Value) {
        let mut out = BytesMut::new();
        encode_sse(&mut out, chunk.to_string().as_bytes());
        self.ready.push_back(out.freeze());
    }

    fn close(&mut self) {
        if self.with_usage {
            let mut chunk = self.head.document("chat.completion.chunk", &json!([]));
            if let Value::Object(map) = &mut chunk {
                map.insert("usage".to_owned(), usage(&self.choices));
            }
            self.put(&chunk);
        }
        self.ready.push_back(Bytes::from_static(SSE_DONE));
        self.is_closed = true;
    }
}

impl LocalBody for StreamBody {
    fn poll_data(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, LocalBroken>>> {
        let this = &mut *self;
        loop {
            if let Some(ready) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(ready)));
            }
            if this.is_closed {
                return Poll::Ready(None);
            }
            // Whoever was heard may have more to say, and wakes nobody for that.
            let mut is_heard = false;
            for index in 0..this.choices.len() {
                let Some(choice) = this.choices.get_mut(index).filter(|choice| choice.finish.is_none())
                else {
                    continue;
                };
                let heard = choice.poll(context);
                is_heard |= heard.is_ready();
                match heard {
                    Poll::Pending | Poll::Ready(Heard::Nothing) => {}
                    Poll::Ready(Heard::Broken) => return Poll::Ready(Some(Err(LocalBroken))),
                    Poll::Ready(Heard::Text(text)) if text.is_empty() => {}
                    Poll::Ready(Heard::Text(text)) => this.say(index, &json!({ "content": text }), None),
                    Poll::Ready(Heard::Ended(text)) => {
                        let finish = choice.finish;
                        if !text.is_empty() {
                            this.say(index, &json!({ "content": text }), None);
                        }
                        this.say(index, &json!({}), finish);
                    }
                }
            }
            if this.choices.iter().all(|choice| choice.finish.is_some()) {
                this.close();
            } else if !is_heard {
                return Poll::Pending;
            }
        }
    }
}
