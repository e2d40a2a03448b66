//! Embeddings: BERT-shaped encoders in Hugging Face's layout, as sentence-transformers writes them. They turn a text into
//! a list of numbers that lies near those of texts with a like meaning.
//!
//! `settings` reads what a folder says about itself, `network` computes, and [`EncoderModel`] is both with the
//! tokeniser. Inference only: encoders are taken as others trained them. `serve` puts one behind the gateway.

mod network;
mod settings;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{ModelError, artefact::weights::Shards, tokenise::Tokeniser};
use network::{Network, Scratch};
use settings::Settings;
pub use settings::{EncoderConfig, Pooling};

/// Tokens that are computed in one pass: enough for the matrix products, and few enough that what stands between them
/// stays near the processor. A longer text makes a pass of its own.
const PASS_TOKENS: usize = 256;

/// The embeddings, or `None` where somebody lost interest.
type Encoded = Result<Option<Vec<Vec<f32>>>, ModelError>;

/// An encoder, ready to be asked.
pub struct EncoderModel {
    settings: Settings,
    network: Network,
    tokeniser: Arc<Tokeniser>,
}

impl std::fmt::Debug for EncoderModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncoderModel").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Whether a folder says that it holds an encoder of this kind.
///
/// # Errors
/// When its `config.json` cannot be read.
pub fn is_encoder(folder: &Path) -> Result<bool, ModelError> {
    settings::is_encoder(folder)
}

impl EncoderModel {
    /// Reads an encoder's folder. Nothing is looked up outside of it, and nothing is reserved for the weights before the
    /// file has been found to hold them.
    ///
    /// # Errors
    /// With the file's name: one that is missing, broken or too large, or asks for what is not computed here; a tensor
    /// that is missing or has another shape; a tokeniser that belongs to another model.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let tokeniser = Tokeniser::load(folder)?;
        let settings = Settings::read(folder, &tokeniser)?;
        let vocabulary = settings.config.vocab_size;
        if tokeniser.vocab_size() > vocabulary {
            let why = format!(
                "it has ids up to {}, the model's vocabulary has {vocabulary} entries; hint: it is another model's",
                tokeniser.vocab_size() - 1
            );
            return Err(ModelError::Broken { path: folder.join("tokenizer.json"), why });
        }
        let mut shards = Shards::open(&[folder.join("model.safetensors")])?;
        let network = Network::read(&settings.config, &mut shards)?;
        Ok(EncoderModel { settings, network, tokeniser: Arc::new(tokeniser) })
    }

    /// Numbers in an embedding.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.settings.config.hidden_size
    }

    /// The longest text, in tokens, those that the tokeniser puts around it among them.
    #[must_use]
    pub fn tokens_max(&self) -> usize {
        self.settings.tokens_max
    }

    /// The shape of its network.
    #[must_use]
    pub fn config(&self) -> &EncoderConfig {
        &self.settings.config
    }

    /// Text to tokens: [`Tokeniser::encode_prompt`] puts around a text what the model expects there.
    #[must_use]
    pub fn tokeniser(&self) -> &Arc<Tokeniser> {
        &self.tokeniser
    }

    /// The embeddings of texts, each [`EncoderModel::dimensions`] numbers, in the order of the texts. Computed by so many
    /// threads. A text's numbers are the same in any company, but for their rounding.
    ///
    /// # Errors
    /// For a text without tokens, with more than [`EncoderModel::tokens_max`], or with one beyond the vocabulary; and
    /// where the network's answer is not made of numbers.
    pub fn encode(&self, texts: &[Vec<u32>], threads: usize) -> Result<Vec<Vec<f32>>, ModelError> {
        let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        // Nobody loses interest here.
        let embeddings = self.encode_while(&texts, threads, &|| true)?.unwrap_or_default();
        if embeddings.iter().flatten().all(|value| value.is_finite()) {
            Ok(embeddings)
        } else {
            Err(ModelError::NotANumber)
        }
    }

    /// As [`EncoderModel::encode`], as long as `wanted` says so; it is asked before each pass. Whether the embeddings are
    /// made of numbers is left to the caller.
    pub(crate) fn encode_while(
        &self,
        texts: &[&[u32]],
        threads: usize,
        wanted: &(dyn Fn() -> bool + Sync),
    ) -> Encoded {
        for text in texts {
            self.check(text)?;
        }
        let passes = passes(texts);
        let next = AtomicUsize::new(0);
        let work = || {
            let mut scratch = Scratch::default();
            let mut done: Vec<(usize, Vec<f32>)> = Vec::new();
            while let Some(pass) = passes.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| wanted()) {
                let rows: Vec<&[u32]> = pass.iter().filter_map(|index| texts.get(*index)).copied().collect();
                let embeddings = self.network.embed(&rows, &self.settings, &mut scratch);
                done.extend(pass.iter().copied().zip(embeddings));
            }
            done
        };
        let helpers = threads.min(passes.len()).saturating_sub(1);
        let done = std::thread::scope(|scope| {
            let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
            let mut done = work();
            for helper in helpers {
                done.extend(helper.join().map_err(|_| ModelError::Worker)?);
            }
            Ok::<_, ModelError>(done)
        })?;
        if done.len() < texts.len() {
            return Ok(None);
        }
        let mut embeddings = vec![Vec::new(); texts.len()];
        for (index, embedding) in done {
            if let Some(to) = embeddings.get_mut(index) {
                *to = embedding;
            }
        }
        Ok(Some(embeddings))
    }

    fn check(&self, text: &[u32]) -> Result<(), ModelError> {
        if text.is_empty() {
            return Err(ModelError::Tokens("there are none"));
        }
        if text.len() > self.settings.tokens_max {
            return Err(ModelError::Tokens("there are more than the model reads at once"));
        }
        if text.iter().any(|id| *id as usize >= self.settings.config.vocab_size) {
            return Err(ModelError::Tokens("one is beyond the vocabulary"));
        }
        Ok(())
    }
}

/// Which texts are computed together: the longest first, so that no thread begins with a long one at the end.
fn passes(texts: &[&[u32]]) -> Vec<Vec<usize>> {
    let mut order: Vec<(usize, usize)> = texts.iter().map(|text| text.len()).enumerate().collect();
    order.sort_by_key(|(_, length)| std::cmp::Reverse(*length));
    let mut passes: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for (index, length) in order {
        match passes.last_mut() {
            Some(pass) if length <= room => {
                pass.push(index);
                room -= length;
            }
            _ => {
                passes.push(vec![index]);
                room = PASS_TOKENS.saturating_sub(length);
            }
        }
    }
    passes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_hold_every_text_once_and_are_bounded() {
        let texts: Vec<Vec<u32>> =
            [3, 700, 100, 100, 57, 56, 1, 256].iter().map(|length| vec![0; *length]).collect();
        let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let passes = passes(&texts);
        assert_eq!(passes, [vec![1], vec![7], vec![2, 3], vec![4, 5, 0, 6]]);
        assert!(super::passes(&[]).is_empty());
    }
}
