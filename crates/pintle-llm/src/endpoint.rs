//! What an application can ask for. One list, so that routes, records and connectors speak of the same things.

/// A path to which applications send content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`.
    Chat,
    /// `POST /v1/completions`.
    Completions,
    /// `POST /v1/embeddings`.
    Embeddings,
    /// `POST /tokenize`, in vLLM's shape.
    Tokenize,
    /// `POST /detokenize`, in vLLM's shape.
    Detokenize,
    /// `GET /tokenizer_info`, in vLLM's shape.
    TokenizerInfo,
}

impl Endpoint {
    /// Its path.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Endpoint::Chat => "/v1/chat/completions",
            Endpoint::Completions => "/v1/completions",
            Endpoint::Embeddings => "/v1/embeddings",
            Endpoint::Tokenize => "/tokenize",
            Endpoint::Detokenize => "/detokenize",
            Endpoint::TokenizerInfo => "/tokenizer_info",
        }
    }

    /// Whether only the model's tokeniser works, and not the model: nothing is generated, and nothing is to be paid.
    #[must_use]
    pub const fn is_tokenisers(self) -> bool {
        matches!(self, Endpoint::Tokenize | Endpoint::Detokenize | Endpoint::TokenizerInfo)
    }

    /// The field that holds texts, or token ids in place of texts.
    pub(crate) const fn input_field(self) -> Option<&'static str> {
        match self {
            Endpoint::Completions => Some("prompt"),
            Endpoint::Embeddings => Some("input"),
            Endpoint::Detokenize => Some("tokens"),
            Endpoint::Chat | Endpoint::Tokenize | Endpoint::TokenizerInfo => None,
        }
    }
}
