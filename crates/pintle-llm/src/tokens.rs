//! The answer to `POST /detokenize`, in vLLM's shape: one text.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{error::AnswerError, fault::to_bytes};

/// The text of tokens. Its `Debug` shows no content.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct DetokenizedText {
    prompt: String,
}

impl std::fmt::Debug for DetokenizedText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DetokenizedText({} bytes)", self.prompt.len())
    }
}

impl DetokenizedText {
    /// Reads the body of an answer; what else it holds is left out.
    ///
    /// # Errors
    /// When it is not such an answer.
    pub fn parse(bytes: &[u8]) -> Result<Self, AnswerError> {
        serde_json::from_slice(bytes)
            .map_err(|_| AnswerError::Shape { path: "prompt", expected: "the text of the tokens" })
    }

    /// The text, to be read or changed.
    #[must_use]
    pub const fn text_mut(&mut self) -> &mut String {
        &mut self.prompt
    }

    /// The body to give back.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        to_bytes(self, self.prompt.len() + 32)
    }
}
