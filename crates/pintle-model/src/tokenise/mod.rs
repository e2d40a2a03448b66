//! Text to tokens and back. A [`Tokeniser`] is what a model's folder holds in `tokenizer.json` and
//! `tokenizer_config.json`: `train` makes one from documents, `chat` turns conversations into tokens, `template`
//! renders the stored chat template, `stream` gives an answer out while it is made.
//!
//! A control token is only ever written by a template. Text, a user's or a document's, that spells `<|end|>` is
//! encoded as the letters that it is.

mod chat;
pub(crate) mod files;
mod stream;
mod template;
mod train;

use std::{collections::BTreeSet, fmt};

use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use crate::ModelError;
use stream::Vocabulary;
use template::ChatTemplate;

pub use chat::{ChatTurn, Dialogue, Role};
pub use stream::StreamDecoder;
pub use template::CHAT_TEMPLATE;
pub use train::{END_OF_ANSWER, END_OF_TEXT, TokeniserRecipe};

/// Longer texts are cut between two words before they are encoded, as the library keeps some hundred bytes for each
/// byte that it is given at once.
const PIECE_BYTES: usize = 64 * 1024;

/// A control token and how it takes the spaces around it.
#[derive(Debug, Clone)]
struct Special {
    text: String,
    id: u32,
    takes_space_before: bool,
    takes_space_after: bool,
}

/// Turns text into tokens and back, as `tokenizer.json` says.
pub struct Tokeniser {
    /// Never finds a control token in a text.
    library: Tokenizer,
    /// Finds them. Only where the pieces between control tokens cannot be encoded one by one: SentencePiece's way
    /// of marking the beginning of a text needs the whole of it.
    whole: Option<Tokenizer>,
    /// The content of `tokenizer.json`, kept to the byte.
    json: String,
    /// The content of `tokenizer_config.json` but for the template.
    settings: Map<String, Value>,
    specials: Vec<Special>,
    special_ids: BTreeSet<u32>,
    unknown: Option<u32>,
    vocabulary: Vocabulary,
    template: Option<ChatTemplate>,
    vocab_size: usize,
    begin: Option<u32>,
    end: Option<u32>,
    pad: Option<u32>,
}

impl fmt::Debug for Tokeniser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tokeniser").field("vocab_size", &self.vocab_size).finish_non_exhaustive()
    }
}

impl Tokeniser {
    /// One more than the highest id.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The token that ends an answer; for our own tokenisers [`END_OF_ANSWER`].
    #[must_use]
    pub fn eos(&self) -> Option<u32> {
        self.end
    }

    /// The token that begins a text; for our own tokenisers [`END_OF_TEXT`], which stands between documents.
    #[must_use]
    pub fn bos(&self) -> Option<u32> {
        self.begin
    }

    /// The token that fills a row up; for our own tokenisers [`END_OF_TEXT`].
    #[must_use]
    pub fn pad(&self) -> Option<u32> {
        self.pad
    }

    /// The longest text that its settings name, in tokens; some folders name a number beyond all bounds for none.
    pub(crate) fn stated_length(&self) -> Option<usize> {
        let stated = self.settings.get("model_max_length").and_then(Value::as_u64)?;
        usize::try_from(stated).ok()
    }

    /// The id of a control token by its spelling.
    #[must_use]
    pub fn control_token(&self, text: &str) -> Option<u32> {
        self.specials.iter().find(|special| special.text == text).map(|special| special.id)
    }

    /// Whether an id is a control token's.
    #[must_use]
    pub fn is_control(&self, id: u32) -> bool {
        self.special_ids.contains(&id)
    }

    /// The Jinja text of the chat template, where there is one.
    #[must_use]
    pub fn chat_template(&self) -> Option<&str> {
        self.template.as_ref().map(ChatTemplate::source)
    }

    /// The content of `tokenizer.json`.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The tokens of a text, nothing added, control tokens in it not recognised.
    ///
    /// # Errors
    /// Where the library fails, or a vocabulary reads text as a control token all the same.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let mut tokens = Vec::with_capacity(text.len() / 3);
        let mut rest = text;
        while let Some((piece, after)) = self.vocabulary.is_bytes().then(|| cut(rest)).flatten() {
            self.encode_piece(piece, &mut tokens)?;
            rest = after;
        }
        self.encode_piece(rest, &mut tokens)?;
        Ok(tokens)
    }

    /// The tokens of a text to be continued: with what `tokenizer.json` puts around a text, for example a Llama's
    /// token for the beginning. Our own tokenisers put nothing around it.
    ///
    /// # Errors
    /// As for [`Tokeniser::encode`].
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        if self.library.get_post_processor().is_none() {
            return self.encode(text);
        }
        let around = self.library.encode_fast("", true).map_err(failed)?;
        let encoding = self.library.encode_fast(text, true).map_err(failed)?;
        let controls = |ids: &[u32]| ids.iter().filter(|id| self.is_forged(**id)).count();
        if controls(encoding.get_ids()) != controls(around.get_ids()) {
            return Err(forged());
        }
        Ok(encoding.get_ids().to_vec())
    }

    fn encode_piece(&self, text: &str, tokens: &mut Vec<u32>) -> Result<(), ModelError> {
        if text.is_empty() {
            return Ok(());
        }
        let encoding = self.library.encode_fast(text, false).map_err(failed)?;
        let ids = encoding.get_ids();
        if ids.iter().any(|id| self.is_forged(*id)) {
            return Err(forged());
        }
        tokens.extend_from_slice(ids);
        Ok(())
    }

    /// Whether an id must not come from text. The unknown token is a control token that text may well become.
    fn is_forged(&self, id: u32) -> bool {
        self.special_ids.contains(&id) && Some(id) != self.unknown
    }

    /// The text of tokens, control tokens left out, bytes that are no UTF-8 as U+FFFD.
    #[must_use]
    pub fn decode(&self, tokens: &[u32]) -> String {
        self.decode_some(tokens, true)
    }

    /// The text of tokens, control tokens spelled out.
    #[must_use]
    pub fn decode_all(&self, tokens: &[u32]) -> String {
        self.decode_some(tokens, false)
    }

    fn decode_some(&self, tokens: &[u32], without_controls: bool) -> String {
        let Vocabulary::Bytes(table) = &self.vocabulary else {
            return self.library.decode(tokens, without_controls).unwrap_or_default();
        };
        let mut bytes = Vec::with_capacity(tokens.len() * 4);
        for id in tokens {
            if !(without_controls && self.special_ids.contains(id)) {
                bytes.extend_from_slice(table.get(*id));
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The bytes that a token stands for; half a character is possible. `None` for an id outside the vocabulary.
    #[must_use]
    pub fn token_bytes(&self, id: u32) -> Option<Vec<u8>> {
        let spelled = self.library.id_to_token(id)?;
        Some(match &self.vocabulary {
            Vocabulary::Bytes(table) => table.get(id).to_vec(),
            Vocabulary::Library => spelled.into_bytes(),
        })
    }

    /// How many bytes of a text one token carries on average: the measure of a vocabulary. `None` for no text.
    ///
    /// # Errors
    /// As for [`Tokeniser::encode`].
    pub fn bytes_per_token(&self, text: &str) -> Result<Option<f64>, ModelError> {
        let tokens = self.encode(text)?.len();
        Ok((tokens > 0).then(|| text.len() as f64 / tokens as f64))
    }
}

/// The library's errors can quote the text; only what it could not do is said.
fn failed(_quotes: tokenizers::Error) -> ModelError {
    ModelError::Tokeniser("a text could not be turned into tokens".into())
}

fn forged() -> ModelError {
    ModelError::Tokeniser("its vocabulary reads text as a control token".into())
}

/// Cuts a long text where a letter, a space and a letter follow each other: every splitting rule of byte-level
/// vocabularies begins a new word with that space, so the tokens are those of the whole. `None` where the text is
/// short or has no such place.
fn cut(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let place = bytes.windows(3).skip(PIECE_BYTES).position(|window| {
        matches!(window, [before, b' ', after] if before.is_ascii_alphabetic() && after.is_ascii_alphabetic())
    })?;
    text.split_at_checked(PIECE_BYTES + place + 1)
}
