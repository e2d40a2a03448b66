//! A whole answer of any endpoint: read, measured, guarded, given back. Used by the phase `screen`.

use bytes::Bytes;
use pintle_core::{Place, TokenUsage, UsageSource};
use pintle_ledger::ScanState;
use pintle_llm::{AnswerError, ChatAnswer, DetokenizedText, EmbeddingsAnswer, Endpoint, RewriteError};

use crate::{phases::Measured, screen::Screen, upstream::Protocol};

/// A whole answer.
pub(crate) enum Whole {
    /// Choices with texts: of a chat, or of a completion.
    Choices(ChatAnswer),
    /// Vectors.
    Embeddings(EmbeddingsAnswer),
    /// The text of tokens.
    Detokenized(DetokenizedText),
    /// What repeats no more than the caller's own text in pieces, or the model's settings.
    Tokeniser(Bytes),
}

impl Whole {
    /// Reads it. `created_s` is the time now, for providers that do not tell it.
    pub(crate) fn parse(
        endpoint: Endpoint,
        protocol: Protocol,
        body: Vec<u8>,
        created_s: i64,
    ) -> Result<Self, AnswerError> {
        Ok(match (endpoint, protocol) {
            (Endpoint::Chat, Protocol::Anthropic) => {
                Whole::Choices(ChatAnswer::from_anthropic(&body, created_s)?)
            }
            (Endpoint::Chat | Endpoint::Completions, _) => Whole::Choices(ChatAnswer::parse(&body)?),
            (Endpoint::Embeddings, _) => Whole::Embeddings(EmbeddingsAnswer::parse(&body)?),
            (Endpoint::Detokenize, _) => Whole::Detokenized(DetokenizedText::parse(&body)?),
            (Endpoint::Tokenize | Endpoint::TokenizerInfo, _) => Whole::Tokeniser(body.into()),
        })
    }

    /// What it used: as its provider says, else as it was counted here.
    pub(crate) fn measured(&self, input_estimate: u64, echo_estimate: u64) -> Measured {
        let usage = match self {
            Whole::Choices(answer) => answer.usage(),
            Whole::Embeddings(answer) => answer.usage(),
            Whole::Detokenized(_) | Whole::Tokeniser(_) => Some(TokenUsage::default()),
        };
        if let Some(usage) = usage {
            return Measured { usage, source: UsageSource::Provider };
        }
        let output = match self {
            Whole::Choices(answer) => answer.estimate_output_tokens().saturating_sub(echo_estimate),
            _ => 0,
        };
        let usage = TokenUsage { input: input_estimate, output, ..TokenUsage::default() };
        Measured { usage, source: UsageSource::Estimated }
    }

    /// Guards its texts in place, and says whether there was a scan.
    pub(crate) fn screen(&mut self, screen: &mut Screen) -> Result<ScanState, RewriteError> {
        match self {
            Whole::Choices(answer) => screen.whole(answer)?,
            Whole::Detokenized(answer) => {
                screen.piece(answer.text_mut(), || Place { message: None, path: "prompt".into() });
            }
            Whole::Embeddings(_) | Whole::Tokeniser(_) => return Ok(ScanState::NotRun),
        }
        Ok(ScanState::Complete)
    }

    /// The body to give back.
    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Whole::Choices(answer) => answer.to_bytes(),
            Whole::Embeddings(answer) => answer.into_bytes(),
            Whole::Detokenized(answer) => answer.to_bytes(),
            Whole::Tokeniser(body) => body,
        }
    }
}
