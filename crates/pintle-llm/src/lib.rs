//! Wire types and conversion, SSE codec, usage extraction; no I/O.
//!
//! A request is parsed once into a [`ChatRequest`], which keeps the whole JSON document, so that fields
//! nobody here has heard of reach the provider unchanged. Every text in it is offered to the guard
//! ([`ChatRequest::for_each_text`]) and may be rewritten ([`ChatRequest::map_texts`]). What is sent is always
//! serialised from the document that was scanned, never copied from the client's bytes: a duplicate key or an
//! odd escape cannot make the provider read something else than the guard did.
//!
//! What is asked of a model beside chatting (completions, embeddings, its tokeniser) is a [`PromptRequest`];
//! [`AnyRequest`] is either. Token ids in it are read by the model that they are meant for before they count as
//! scanned.
//!
//! Answers come back as a [`ChatAnswer`], or as a stream: bytes → [`SseDecoder`] → [`StreamItem`]. Anthropic's
//! forms are converted to OpenAI's by [`ChatAnswer::from_anthropic`] and [`AnthropicStream`].
//!
//! Nothing here reads a clock, opens a socket or knows an async runtime. Every size and depth is bounded, and
//! no error repeats what a user or a provider wrote: only paths, type names and codes.

mod answer;
mod anthropic;
mod blocks;
mod chat;
mod embedded;
mod embeddings;
mod endpoint;
mod error;
mod estimate;
mod fault;
mod json;
mod local;
mod models;
mod prompt;
mod protocol;
mod request;
mod sse;
mod stream;
mod to_anthropic;
mod tokens;
mod usage;
mod validate;
mod walk;

pub use answer::ChatAnswer;
pub use anthropic::AnthropicStream;
pub use chat::{ChatRequest, Unscannable};
pub use embedded::{for_each_argument_text, map_argument_texts};
pub use embeddings::EmbeddingsAnswer;
pub use endpoint::Endpoint;
pub use error::{AnswerError, RequestError, RewriteError};
pub use estimate::{TokenEstimator, estimate_tokens};
pub use fault::{ErrorBody, ProviderFault};
pub use json::parse_body;
pub use local::{LocalAnswer, LocalBody, LocalBroken, LocalModel};
pub use models::{ModelEntry, ModelList};
pub use prompt::{PromptRequest, Readings};
pub use request::AnyRequest;
pub use sse::{SseDecoder, SseError, SseEvent, encode_event, encode_sse};
pub use stream::{
    Channel, ChatChunk, ChunkHead, DeltaText, HeldLogprobs, SSE_DONE, StreamItem, parse_stream_data,
};
pub use tokens::DetokenizedText;
pub use walk::{FieldKind, TextField};
