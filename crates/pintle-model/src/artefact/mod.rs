//! A model as files that others read too: the folder that Hugging Face's `transformers` knows (`save`, `load`), and
//! one GGUF file for llama.cpp (`gguf`). `weights` reads and writes the numbers.

pub(crate) mod config;
mod gguf;
mod load;
mod save;
pub(crate) mod weights;

use std::{fmt, sync::Arc};

use serde_json::Value;

use crate::{
    Layout, ModelConfig, ModelError,
    network::{Pass, Shape},
    tokenise::{END_OF_TEXT, Tokeniser},
};

pub use gguf::{GgufPrecision, export_gguf};
pub use load::load;
pub(crate) use load::{Opened, open};
pub use save::save;
pub use weights::Precision;

/// How a model writes unless it is told otherwise: `generation_config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// Tokens that end an answer; at least one for a model that can end one.
    pub eos: Vec<u32>,
    /// The token that begins a text.
    pub bos: Option<u32>,
    /// The token that fills a row up.
    pub pad: Option<u32>,
    /// The longest answer, in tokens.
    pub max_new_tokens: Option<u32>,
    /// 0 takes the likeliest token each time. `None` where the folder does not say.
    pub temperature: Option<f32>,
    /// The share of the probability that tokens are drawn from.
    pub top_p: Option<f32>,
    /// How many of the likeliest tokens are drawn from.
    pub top_k: Option<u32>,
}

impl Generation {
    /// For a tokeniser of our own: answers end at the end of a turn or of a text, and take the likeliest token, since a
    /// model that is to give facts should not draw lots.
    #[must_use]
    pub fn of(tokeniser: &Tokeniser) -> Self {
        let mut eos: Vec<u32> = tokeniser.eos().into_iter().collect();
        let end_of_text = tokeniser.control_token(END_OF_TEXT);
        eos.extend(end_of_text.filter(|id| !eos.contains(id)));
        Generation {
            eos,
            bos: tokeniser.bos(),
            pad: tokeniser.pad(),
            max_new_tokens: Some(256),
            temperature: Some(0.0),
            top_p: None,
            top_k: None,
        }
    }
}

/// What a model's `README.md` says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Card {
    /// The fields before the text (`license`, `language`, `tags`), in their order.
    pub front: Vec<(String, Value)>,
    /// The text, in Markdown.
    pub text: String,
}

/// A model: the shape, the weights, the tokeniser and how it writes. Its parts fit together.
#[derive(Clone)]
pub struct Model {
    /// The shape of the network.
    pub config: ModelConfig,
    /// All weights, as [`Layout`] says where.
    pub weights: Arc<Vec<f32>>,
    /// Text to tokens and back.
    pub tokeniser: Arc<Tokeniser>,
    /// How it writes unless told otherwise.
    pub generation: Generation,
}

impl fmt::Debug for Model {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Model")
            .field("config", &self.config)
            .field("weights", &self.weights.len())
            .field("tokeniser", &self.tokeniser)
            .field("generation", &self.generation)
            .finish()
    }
}

impl Model {
    /// Puts a model together.
    ///
    /// # Errors
    /// Where the weights are not as many as the shape has, or the tokeniser or the generation's settings have ids beyond
    /// the vocabulary.
    pub fn new(
        config: ModelConfig,
        weights: Arc<Vec<f32>>,
        tokeniser: Arc<Tokeniser>,
        generation: Generation,
    ) -> Result<Self, ModelError> {
        config.check()?;
        let expected = config.weights().unwrap_or(u64::MAX);
        if expected != weights.len() as u64 {
            let why = format!("the shape has {expected} weights, given are {}", weights.len());
            return Err(ModelError::Parts(why));
        }
        check_ids(&config, &tokeniser, &generation)?;
        Ok(Model { config, weights, tokeniser, generation })
    }

    /// A model that has learnt nothing yet.
    ///
    /// # Errors
    /// As for [`Model::new`].
    pub fn untrained(config: ModelConfig, tokeniser: Arc<Tokeniser>, seed: u64) -> Result<Self, ModelError> {
        let weights = Shape::new(config.clone())?.first_weights(seed);
        let generation = Generation::of(&tokeniser);
        Model::new(config, Arc::new(weights), tokeniser, generation)
    }

    /// The logits after each token: `tokens` rows of `vocab_size` values. Computed in one go, for checks and evaluation.
    ///
    /// # Errors
    /// For no tokens, more than the model reads, or one beyond the vocabulary.
    pub fn logits(&self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        if tokens.is_empty() {
            return Err(ModelError::Tokens("there are none"));
        }
        if tokens.len() > self.config.max_position_embeddings {
            return Err(ModelError::Tokens("there are more than the model reads at once"));
        }
        if tokens.iter().any(|id| *id as usize >= self.config.vocab_size) {
            return Err(ModelError::Tokens("one is beyond the vocabulary"));
        }
        let shape = Shape::new(self.config.clone())?;
        Ok(Pass::new(&shape).logits(&self.weights, tokens, tokens.len()))
    }

    /// Where each tensor lies in the weights.
    #[must_use]
    pub fn layout(&self) -> Layout {
        Layout::new(&self.config)
    }
}

/// Whether the tokeniser and the generation's settings name ids of the vocabulary only.
fn check_ids(config: &ModelConfig, tokeniser: &Tokeniser, generation: &Generation) -> Result<(), ModelError> {
    let size = config.vocab_size;
    if tokeniser.vocab_size() > size {
        return Err(ModelError::Parts(format!(
            "the tokeniser has ids up to {}, the model's vocabulary has {size} entries; hint: it is another model's \
             tokeniser",
            tokeniser.vocab_size() - 1,
        )));
    }
    let Generation { eos, bos, pad, .. } = generation;
    match eos.iter().chain(bos).chain(pad).find(|id| **id as usize >= size) {
        None => Ok(()),
        Some(id) => Err(ModelError::Parts(format!(
            "the token {id} that ends, begins or fills a text is beyond the vocabulary of {size} entries"
        ))),
    }
}
