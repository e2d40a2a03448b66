//! Where each tensor of a network lies in its one flat list of weights, and what Hugging Face calls it.

use std::ops::Range;

use crate::ModelConfig;

/// One tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name in Hugging Face's layout: `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// Rows and columns; a list has one row less: `[columns]`.
    pub shape: Vec<usize>,
    /// Where it lies in the list of weights.
    pub range: Range<usize>,
}

impl Tensor {
    /// Whether weight decay applies: to matrices, not to the weights of normalisation.
    #[must_use]
    pub fn is_matrix(&self) -> bool {
        self.shape.len() == 2
    }
}

/// The places of one layer's tensors. Queries, keys and values lie one after the other, and so do gate and up, so that
/// each group is one matrix.
#[derive(Debug, Clone)]
pub(crate) struct LayerPlaces {
    pub(crate) norm_before: Range<usize>,
    pub(crate) qkv: Range<usize>,
    pub(crate) out: Range<usize>,
    pub(crate) norm_between: Range<usize>,
    pub(crate) gate_up: Range<usize>,
    pub(crate) down: Range<usize>,
}

/// The places of all tensors.
#[derive(Debug, Clone)]
pub struct Layout {
    /// In the order in which they lie.
    pub tensors: Vec<Tensor>,
    /// How many weights there are.
    pub weights: usize,
    pub(crate) embedding: Range<usize>,
    pub(crate) layers: Vec<LayerPlaces>,
    pub(crate) norm_last: Range<usize>,
    /// The output head; the embedding itself where they are tied.
    pub(crate) head: Range<usize>,
}

/// Lays tensors one behind the other. Only for shapes whose weights have been counted.
#[derive(Default)]
pub(crate) struct Builder {
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) weights: usize,
}

impl Builder {
    pub(crate) fn add(&mut self, name: String, shape: &[usize]) -> Range<usize> {
        let range = self.weights..self.weights + shape.iter().product::<usize>();
        self.weights = range.end;
        self.tensors.push(Tensor { name, shape: shape.to_vec(), range: range.clone() });
        range
    }
}

impl Layout {
    /// The layout of a checked shape.
    #[must_use]
    pub fn new(config: &ModelConfig) -> Self {
        let mut builder = Builder::default();
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let queries = config.num_attention_heads * config.head_dim();
        let shared = config.key_value_heads() * config.head_dim();
        let embedding = builder.add("model.embed_tokens.weight".into(), &[config.vocab_size, hidden]);
        let layers = (0..config.num_hidden_layers)
            .map(|layer| {
                let mut add = |name: &str, shape: &[usize]| {
                    builder.add(format!("model.layers.{layer}.{name}.weight"), shape)
                };
                let norm_before = add("input_layernorm", &[hidden]);
                let q = add("self_attn.q_proj", &[queries, hidden]);
                add("self_attn.k_proj", &[shared, hidden]);
                let v = add("self_attn.v_proj", &[shared, hidden]);
                let out = add("self_attn.o_proj", &[hidden, queries]);
                let norm_between = add("post_attention_layernorm", &[hidden]);
                let gate = add("mlp.gate_proj", &[inner, hidden]);
                let up = add("mlp.up_proj", &[inner, hidden]);
                let down = add("mlp.down_proj", &[hidden, inner]);
                LayerPlaces {
                    norm_before,
                    qkv: q.start..v.end,
                    out,
                    norm_between,
                    gate_up: gate.start..up.end,
                    down,
                }
            })
            .collect();
        let norm_last = builder.add("model.norm.weight".into(), &[hidden]);
        let head = if config.tie_word_embeddings {
            embedding.clone()
        } else {
            builder.add("lm_head.weight".into(), &[config.vocab_size, hidden])
        };
        let Builder { tensors, weights } = builder;
        Layout { tensors, weights, embedding, layers, norm_last, head }
    }
}
