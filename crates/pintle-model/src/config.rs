//! The shape of a network, in the words of Hugging Face's `config.json` for Llama.

use serde::{Deserialize, Serialize};

use crate::ModelError;

/// The shape of a Llama-shaped network. Other fields of a `config.json` are ignored, but for those that would make
/// it another network: [`ModelConfig::check`] refuses them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Values per token in the residual stream.
    pub hidden_size: usize,
    /// Values per token within the feed-forward part.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Heads of keys and values; divides the query heads.
    #[serde(default)]
    pub num_key_value_heads: Option<usize>,
    /// Values in a head; the hidden size over the heads where it is not given.
    #[serde(default)]
    pub head_dim: Option<usize>,
    /// The longest sequence, in tokens.
    pub max_position_embeddings: usize,
    /// Keeps normalisation away from a division by zero.
    #[serde(default = "default_epsilon")]
    pub rms_norm_eps: f32,
    /// The base of the rotary angles.
    #[serde(default = "default_theta")]
    pub rope_theta: f64,
    /// Whether the output head is the embedding.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Scaled rotary angles: not supported, so it must be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<serde_json::Value>,
    /// Biases of the attention: not supported.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub attention_bias: bool,
    /// Biases of the feed-forward part: not supported.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mlp_bias: bool,
    /// `silu` where it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_act: Option<String>,
}

fn default_epsilon() -> f32 {
    1e-6
}

fn default_theta() -> f64 {
    10_000.0
}

/// Bounds that keep a broken file from asking for all memory.
pub(crate) const SIZE_MAX: usize = 1 << 20;
pub(crate) const LAYERS_MAX: usize = 512;
/// The most weights of a network: 16 GB in single precision. Within it no product of sizes overflows 64 bits.
pub(crate) const WEIGHTS_MAX: u64 = 4_000_000_000;
/// Rotary angles are computed for each position and value of a head beforehand: half a gigabyte at most.
const ANGLES_MAX: usize = 1 << 27;

impl ModelConfig {
    /// Heads of keys and values.
    #[must_use]
    pub fn key_value_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Values in a head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// How many weights a shape has; `None` beyond 64 bits.
    #[must_use]
    pub fn weights(&self) -> Option<u64> {
        let size = |value: usize| u64::try_from(value).ok();
        let (hidden, inner) = (size(self.hidden_size)?, size(self.intermediate_size)?);
        let queries = size(self.num_attention_heads)?.checked_mul(size(self.head_dim())?)?;
        let shared = size(self.key_value_heads())?.checked_mul(size(self.head_dim())?)?;
        let attention = queries.checked_mul(2)?.checked_add(shared.checked_mul(2)?)?;
        let rows = attention.checked_add(inner.checked_mul(3)?)?.checked_add(2)?;
        let layers = rows.checked_mul(hidden)?.checked_mul(size(self.num_hidden_layers)?)?;
        let tables = if self.tie_word_embeddings { 1 } else { 2 };
        let tables = size(self.vocab_size)?.checked_mul(hidden)?.checked_mul(tables)?;
        layers.checked_add(tables)?.checked_add(hidden)
    }

    /// Refuses shapes that do not fit together and variants that this engine does not compute.
    ///
    /// # Errors
    /// With the field and why.
    pub fn check(&self) -> Result<(), ModelError> {
        let fail = |field: &'static str, why: &'static str| Err(ModelError::Config { field, why });
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.key_value_heads()),
            ("head_dim", self.head_dim()),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        for (field, size) in sizes {
            if size == 0 || size > SIZE_MAX {
                return fail(field, "it must be between 1 and 1,048,576");
            }
        }
        if self.num_hidden_layers > LAYERS_MAX {
            return fail("num_hidden_layers", "it must be at most 512");
        }
        if !self.num_attention_heads.is_multiple_of(self.key_value_heads()) {
            return fail("num_key_value_heads", "it must divide `num_attention_heads`");
        }
        if !self.head_dim().is_multiple_of(2) {
            return fail("head_dim", "it must be even, for the rotary embedding");
        }
        if self.rms_norm_eps <= 0.0 || self.rms_norm_eps.is_nan() {
            return fail("rms_norm_eps", "it must be above zero");
        }
        if self.rope_theta <= 0.0 || self.rope_theta.is_nan() {
            return fail("rope_theta", "it must be above zero");
        }
        if self.rope_scaling.as_ref().is_some_and(|value| !value.is_null()) {
            return fail("rope_scaling", "scaled rotary angles are not supported");
        }
        if self.attention_bias || self.mlp_bias {
            return fail("attention_bias", "biases are not supported");
        }
        if self.hidden_act.as_deref().is_some_and(|name| name != "silu") {
            return fail("hidden_act", "only `silu` is supported");
        }
        if self.head_dim().saturating_mul(self.max_position_embeddings) > ANGLES_MAX {
            return fail("max_position_embeddings", "times `head_dim` it must be at most 134,217,728");
        }
        if self.weights().is_none_or(|weights| weights > WEIGHTS_MAX) {
            return fail("hidden_size", "the network would have more than 4,000,000,000 weights");
        }
        Ok(())
    }
}
