//! Makes a tokeniser from texts: byte-level BPE with the control tokens of the chat template.
//!
//! Words are split as SmolLM's and StarCoder's tokenisers split them, since llama.cpp knows that rule by name: each
//! digit stands alone, the rest is GPT-2's. Single digits make a number a short spelling that a small model can copy;
//! groups of three would fill a small vocabulary with a thousand rarely seen entries.

use tokenizers::{
    AddedToken, DecoderWrapper, PreTokenizerWrapper, Tokenizer,
    models::{
        ModelWrapper, TrainerWrapper,
        bpe::{BPE, BpeTrainer},
    },
    pre_tokenizers::{byte_level::ByteLevel, digits::Digits, sequence::Sequence},
};

use super::{CHAT_TEMPLATE, Tokeniser, cut, files::Settings};
use crate::ModelError;

/// Ends a document, begins a text and fills rows up.
pub const END_OF_TEXT: &str = "<|endoftext|>";
/// Ends each turn of a conversation.
pub const END_OF_ANSWER: &str = "<|end|>";
/// In the order of their ids, from 0. A turn begins with the token of its role.
pub(super) const CONTROL_TOKENS: [&str; 5] =
    [END_OF_TEXT, END_OF_ANSWER, "<|system|>", "<|user|>", "<|assistant|>"];

/// Entries that every vocabulary has: the control tokens and each byte.
const FIXED: usize = CONTROL_TOKENS.len() + 256;
const VOCABULARY_MAX: usize = 65_536;

/// How a tokeniser is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokeniserRecipe {
    /// Entries of the vocabulary. A small corpus can give fewer.
    pub vocab_size: usize,
    /// How much text is read; what is beyond it changes a vocabulary of some thousand entries little.
    pub bytes_max: usize,
}

impl Default for TokeniserRecipe {
    fn default() -> Self {
        TokeniserRecipe { vocab_size: 4096, bytes_max: 256 << 20 }
    }
}

impl Tokeniser {
    /// Learns a vocabulary from texts. The same texts in the same order give the same vocabulary.
    ///
    /// # Errors
    /// For a size outside 261 to 65,536 and for no text at all.
    pub fn train<'a>(
        texts: impl Iterator<Item = &'a str> + Send,
        recipe: TokeniserRecipe,
    ) -> Result<Self, ModelError> {
        if recipe.vocab_size < FIXED || recipe.vocab_size > VOCABULARY_MAX {
            let why = format!("a vocabulary has between {FIXED} and {VOCABULARY_MAX} entries");
            return Err(ModelError::Tokeniser(why));
        }
        let failed = |_| ModelError::Tokeniser("it could not be trained".into());
        let mut library = Tokenizer::new(BPE::default());
        let split: [PreTokenizerWrapper; 2] =
            [Digits::new(true).into(), ByteLevel::new(false, false, true).into()];
        library.with_pre_tokenizer(Some(Sequence::new(split.into())));
        library.with_decoder(Some(DecoderWrapper::ByteLevel(ByteLevel::new(false, false, true))));
        let specials: Vec<_> = CONTROL_TOKENS.iter().map(|token| AddedToken::from(*token, true)).collect();
        let mut trainer = TrainerWrapper::BpeTrainer(
            BpeTrainer::builder()
                .vocab_size(recipe.vocab_size)
                .min_frequency(2)
                .show_progress(false)
                .special_tokens(specials)
                .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
                .build(),
        );
        let mut read = 0_usize;
        let pieces = texts.flat_map(Pieces).take_while(|piece| {
            read = read.saturating_add(piece.len());
            read <= recipe.bytes_max
        });
        library.train(&mut trainer, pieces).map_err(failed)?;
        if !matches!(library.get_model(), ModelWrapper::BPE(_)) || read == 0 {
            return Err(ModelError::TooLittle("the corpus has no text for a tokeniser".into()));
        }
        let json = library.to_string(false).map_err(failed)?;
        let settings = Settings::own(CHAT_TEMPLATE)?;
        Tokeniser::from_json(json, settings)
    }
}

/// A text in pieces of bounded length.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let (piece, rest) = cut(self.0).unwrap_or((self.0, ""));
        self.0 = rest;
        Some(piece)
    }
}
