//! A request of any endpoint: what the gateway's phases need of it, whatever it asks for.

use crate::{
    ChatRequest, Endpoint, PromptRequest, RequestError, RewriteError, TextField, Unscannable,
    prompt::COMPLETION_TOKENS_MAX,
};

/// A parsed and valid request. Its `Debug` shows no content.
#[derive(Debug, Clone)]
pub enum AnyRequest {
    /// A chat completion.
    Chat(ChatRequest),
    /// Anything else.
    Prompt(PromptRequest),
}

impl AnyRequest {
    /// Parses the body of a request to `endpoint`.
    ///
    /// # Errors
    /// When the body is not UTF-8, not JSON, too deep, too large in values, or not such a request.
    pub fn parse(endpoint: Endpoint, bytes: &[u8]) -> Result<Self, RequestError> {
        match endpoint {
            Endpoint::Chat => ChatRequest::parse(bytes).map(AnyRequest::Chat),
            _ => PromptRequest::parse(endpoint, bytes).map(AnyRequest::Prompt),
        }
    }

    /// The model that the client asks for, not yet checked against anything. Requests to a tokeniser may name none.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        match self {
            AnyRequest::Chat(chat) => Some(chat.model()),
            AnyRequest::Prompt(prompt) => prompt.model(),
        }
    }

    /// Whether the answer is to be streamed.
    #[must_use]
    pub const fn stream(&self) -> bool {
        match self {
            AnyRequest::Chat(chat) => chat.stream(),
            AnyRequest::Prompt(prompt) => prompt.stream(),
        }
    }

    /// Whether the client asked for a usage chunk at the stream's end.
    #[must_use]
    pub const fn wants_usage_chunk(&self) -> bool {
        match self {
            AnyRequest::Chat(chat) => chat.wants_usage_chunk(),
            AnyRequest::Prompt(prompt) => prompt.wants_usage_chunk(),
        }
    }

    /// How many choices the answer has, over all prompts.
    #[must_use]
    pub const fn choices(&self) -> u32 {
        match self {
            AnyRequest::Chat(chat) => chat.n(),
            AnyRequest::Prompt(prompt) => prompt.choices(),
        }
    }

    /// The most tokens of output, over all choices; `most` for a chat that names no bound. None for what generates
    /// nothing.
    #[must_use]
    pub fn output_tokens_max(&self, most: u64) -> u64 {
        let each = match self {
            AnyRequest::Chat(chat) => chat.max_output_tokens().unwrap_or(most),
            AnyRequest::Prompt(prompt) if prompt.endpoint() == Endpoint::Completions => {
                prompt.max_output_tokens().unwrap_or(COMPLETION_TOKENS_MAX)
            }
            AnyRequest::Prompt(_) => 0,
        };
        each.saturating_mul(u64::from(self.choices()))
    }

    /// Guesses the input tokens, upwards.
    #[must_use]
    pub fn estimate_input_tokens(&self) -> u64 {
        match self {
            AnyRequest::Chat(chat) => chat.estimate_input_tokens(),
            AnyRequest::Prompt(prompt) => prompt.estimate_input_tokens(),
        }
    }

    /// Guesses how many tokens of the request the answer repeats, over all choices.
    #[must_use]
    pub fn estimate_echoed_tokens(&self) -> u64 {
        match self {
            AnyRequest::Chat(_) => 0,
            AnyRequest::Prompt(prompt) => prompt.estimate_echoed_tokens(),
        }
    }

    /// Parts that the guard cannot read: images, sound, files; token ids that nobody has read.
    #[must_use]
    pub fn unscannable_parts(&self) -> Vec<Unscannable> {
        match self {
            AnyRequest::Chat(chat) => chat.unscannable_parts(),
            AnyRequest::Prompt(prompt) => prompt.unscannable_parts(),
        }
    }

    /// Visits every text of the document; see [`ChatRequest::for_each_text`].
    pub fn for_each_text(&self, f: &mut dyn FnMut(&TextField<'_>)) {
        match self {
            AnyRequest::Chat(chat) => chat.for_each_text(f),
            AnyRequest::Prompt(prompt) => prompt.for_each_text(f),
        }
    }

    /// Rewrites texts; see [`ChatRequest::map_texts`].
    ///
    /// # Errors
    /// When the name of a field would have to change. The request is then half rewritten and must not be sent.
    pub fn map_texts(
        &mut self,
        f: &mut dyn FnMut(&TextField<'_>) -> Option<String>,
    ) -> Result<usize, RewriteError> {
        match self {
            AnyRequest::Chat(chat) => chat.map_texts(f),
            AnyRequest::Prompt(prompt) => prompt.map_texts(f),
        }
    }
}
