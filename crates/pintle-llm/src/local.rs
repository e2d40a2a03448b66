//! A model within the process, as the gateway calls it. It speaks OpenAI's protocol like any provider, but without a
//! connection: the contract between who serves own models and who lets requests through to them.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use pintle_core::DataClass;

use crate::ChatRequest;

/// One version of a model, ready to answer.
pub trait LocalModel: Send + Sync + std::fmt::Debug {
    /// The class of what it was trained on.
    fn trained_on(&self) -> DataClass;

    /// Begins an answer to a chat completion. Must not block: the work is done elsewhere and its result is fetched
    /// from the body.
    fn chat(&self, request: &ChatRequest) -> LocalAnswer;
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
