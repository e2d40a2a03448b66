//! A model within the process, as the gateway calls it. It speaks OpenAI's protocol like any provider, but without a
//! connection: the contract between who serves own models and who lets requests through to them.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use pintle_core::DataClass;
use serde_json::Value;

use crate::{ChatRequest, Endpoint, ErrorBody};

/// One version of a model, ready to answer.
pub trait LocalModel: Send + Sync + std::fmt::Debug {
    /// The class of what it was trained on.
    fn trained_on(&self) -> DataClass;

    /// What it can be asked at all; what it refuses of that, it says itself.
    fn offers(&self, endpoint: Endpoint) -> bool {
        let _ = endpoint;
        true
    }

    /// Begins an answer to a chat completion. Must not block: the work is done elsewhere and its result is fetched
    /// from the body.
    fn chat(&self, request: &ChatRequest) -> LocalAnswer {
        let _ = request;
        LocalAnswer::unsupported("chat completions")
    }

    /// Begins an answer to `POST /v1/completions`; `model` in the body is not looked at. A whole answer's body that
    /// ends with an error before its first byte is a 500. Must not block.
    fn completions(&self, body: &Value) -> LocalAnswer {
        let _ = body;
        LocalAnswer::unsupported("completions")
    }

    /// Answers `POST /v1/embeddings`; `model` in the body is not looked at. Must not block.
    fn embeddings(&self, body: &Value) -> LocalAnswer {
        let _ = body;
        LocalAnswer::unsupported("embeddings")
    }

    /// Answers `POST /tokenize`: `{"prompt": …}` or `{"messages": …}`.
    fn tokenize(&self, body: &Value) -> LocalAnswer {
        let _ = body;
        LocalAnswer::unsupported("`/tokenize`")
    }

    /// Answers `POST /detokenize`: `{"tokens": …}`.
    fn detokenize(&self, body: &Value) -> LocalAnswer {
        let _ = body;
        LocalAnswer::unsupported("`/detokenize`")
    }

    /// Answers `GET /tokenizer_info`: the content of `tokenizer_config.json`, with the chat template.
    fn tokenizer_info(&self) -> LocalAnswer {
        LocalAnswer::unsupported("`/tokenizer_info`")
    }

    /// The text of tokens, so that a prompt of token ids can be scanned; `None` if one of them is not the model's.
    fn text_of(&self, tokens: &[u32]) -> Option<String> {
        let _ = tokens;
        None
    }
}

/// An answer whose head is known and whose body is on its way. Dropping it stops the work.
pub struct LocalAnswer {
    /// The HTTP status: 200, 400 for what the model cannot do, 429 when its queue is full.
    pub status: u16,
    /// After how many seconds to try again, with a 429.
    pub retry_after_s: Option<u64>,
    /// The body in OpenAI's form: one document, or server-sent events.
    pub body: Pin<Box<dyn LocalBody>>,
}

impl LocalAnswer {
    /// The answer of a model that has no such function.
    #[must_use]
    pub fn unsupported(what: &str) -> Self {
        let message = format!("This model does not serve {what}; GET /v1/models lists the others.");
        let body = ErrorBody::new("invalid_request_error", "unsupported_by_model", message);
        LocalAnswer { status: 400, retry_after_s: None, body: Box::pin(Some(body.to_bytes())) }
    }
}

impl std::fmt::Debug for LocalAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalAnswer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// A body in pieces.
pub trait LocalBody: Send {
    /// The next piece; `None` at the end. An error ends the body before its time.
    fn poll_data(self: Pin<&mut Self>, context: &mut Context<'_>)
    -> Poll<Option<Result<Bytes, LocalBroken>>>;
}

/// The model died within an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the model broke off its answer")]
pub struct LocalBroken;

/// A body that is there as a whole.
impl LocalBody for Option<Bytes> {
    fn poll_data(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, LocalBroken>>> {
        Poll::Ready(self.take().map(Ok))
    }
}
