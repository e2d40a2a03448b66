//! A BERT-shaped network, forward: texts of any lengths one behind the other, so that nothing is padded.

use std::ops::Range;

use super::{EncoderConfig, Pooling, settings::Settings};
use crate::{
    ModelError, Tensor,
    artefact::weights::Shards,
    layout::Builder,
    math::{Heads, Into, Mat, MatMut, add_to_rows, attend_both_ways, dot, gelu, layer_norm, matmul},
};

/// A matrix with a row for each output, and what is added to each; also the weights of a normalisation.
#[derive(Debug)]
struct Affine {
    weight: Range<usize>,
    bias: Range<usize>,
}

/// Where a layer's weights lie. Queries, keys and values are one matrix.
#[derive(Debug)]
struct LayerPlaces {
    qkv: Affine,
    out: Affine,
    norm_between: Affine,
    up: Affine,
    down: Affine,
    norm_after: Affine,
}

#[derive(Debug)]
pub(super) struct Network {
    hidden: usize,
    inner: usize,
    heads: Heads,
    epsilon: f32,
    words: Range<usize>,
    positions: Range<usize>,
    kinds: Range<usize>,
    norm_first: Affine,
    layers: Vec<LayerPlaces>,
    weights: Vec<f32>,
}

/// The buffers of one thread. They grow to the largest pass and stay.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    residual: Vec<f32>,
    qkv: Vec<f32>,
    attended: Vec<f32>,
    square: Vec<f32>,
    inner: Vec<f32>,
}

/// Tensors of a `BertModel` that no embedding depends on.
fn is_idle(name: &str) -> bool {
    name == "embeddings.position_ids" || name.starts_with("pooler.")
}

/// The tensors in the order in which they lie, and the network without its weights.
fn lay_out(config: &EncoderConfig) -> (Vec<Tensor>, usize, Network) {
    let mut builder = Builder::default();
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let mut embedding = |name: &str, rows: usize| {
        builder.add(format!("embeddings.{name}_embeddings.weight"), &[rows, hidden])
    };
    let words = embedding("word", config.vocab_size);
    let positions = embedding("position", config.max_position_embeddings);
    let kinds = embedding("token_type", config.type_vocab_size);
    let norm = |builder: &mut Builder, name: &str| Affine {
        weight: builder.add(format!("{name}.LayerNorm.weight"), &[hidden]),
        bias: builder.add(format!("{name}.LayerNorm.bias"), &[hidden]),
    };
    let dense = |builder: &mut Builder, name: &str, outputs: usize, inputs: usize| Affine {
        weight: builder.add(format!("{name}.dense.weight"), &[outputs, inputs]),
        bias: builder.add(format!("{name}.dense.bias"), &[outputs]),
    };
    let norm_first = norm(&mut builder, "embeddings");
    let mut layers = Vec::new();
    for layer in 0..config.num_hidden_layers {
        let at = |part: &str| format!("encoder.layer.{layer}.{part}");
        let mut three = |kind: &str, shape: &[usize]| {
            let parts = ["query", "key", "value"]
                .map(|part| builder.add(at(&format!("attention.self.{part}.{kind}")), shape));
            let [first, _, last] = parts;
            first.start..last.end
        };
        let qkv = Affine { weight: three("weight", &[hidden, hidden]), bias: three("bias", &[hidden]) };
        layers.push(LayerPlaces {
            qkv,
            out: dense(&mut builder, &at("attention.output"), hidden, hidden),
            norm_between: norm(&mut builder, &at("attention.output")),
            up: dense(&mut builder, &at("intermediate"), inner, hidden),
            down: dense(&mut builder, &at("output"), hidden, inner),
            norm_after: norm(&mut builder, &at("output")),
        });
    }
    let heads = config.num_attention_heads;
    let network = Network {
        hidden,
        inner,
        heads: Heads { queries: heads, shared: heads, dim: hidden / heads },
        epsilon: config.layer_norm_eps,
        words,
        positions,
        kinds,
        norm_first,
        layers,
        weights: Vec::new(),
    };
    (builder.tensors, builder.weights, network)
}

impl Network {
    /// Reads the weights of a checked shape, after the file has been found to hold all of them.
    pub(super) fn read(config: &EncoderConfig, shards: &mut Shards) -> Result<Self, ModelError> {
        let (tensors, count, mut network) = lay_out(config);
        for tensor in &tensors {
            shards.check(tensor)?;
        }
        shards.refuse_others(&tensors, is_idle)?;
        network.weights = vec![0.0; count];
        for tensor in &tensors {
            let Some(into) = network.weights.get_mut(tensor.range.clone()) else { continue };
            shards.read(tensor, into)?;
        }
        Ok(network)
    }

    /// The embeddings of texts that have been checked.
    pub(super) fn embed(
        &self,
        texts: &[&[u32]],
        settings: &Settings,
        scratch: &mut Scratch,
    ) -> Vec<Vec<f32>> {
        self.begin(texts, scratch);
        for layer in &self.layers {
            self.attend(layer, texts, scratch);
            self.feed(layer, scratch);
        }
        let mut embeddings = Vec::with_capacity(texts.len());
        let mut rest = scratch.residual.as_slice();
        for text in texts {
            let (rows, after) = rest.split_at(text.len() * self.hidden);
            let mut embedding = pool(rows, self.hidden, settings.pooling);
            if settings.normalises {
                normalise(&mut embedding);
            }
            embeddings.push(embedding);
            rest = after;
        }
        embeddings
    }

    /// A word, its place and the first kind of text, normalised.
    fn begin(&self, texts: &[&[u32]], scratch: &mut Scratch) {
        let (words, positions) = (self.at(&self.words), self.at(&self.positions));
        let (kind, _) = self.at(&self.kinds).split_at(self.hidden);
        let residual = &mut scratch.residual;
        residual.clear();
        for text in texts {
            for (token, position) in text.iter().zip(positions.chunks_exact(self.hidden)) {
                let start = *token as usize * self.hidden;
                let word = words.get(start..start + self.hidden).unwrap_or_default();
                let sums = word.iter().zip(position).zip(kind);
                residual.extend(sums.map(|((word, position), kind)| word + kind + position));
            }
        }
        self.norm(residual, &self.norm_first);
    }

    fn attend(&self, layer: &LayerPlaces, texts: &[&[u32]], scratch: &mut Scratch) {
        let Scratch { residual, qkv, attended, square, .. } = scratch;
        let rows = residual.len() / self.hidden;
        qkv.resize(rows * 3 * self.hidden, 0.0);
        attended.resize(rows * self.hidden, 0.0);
        self.affine(qkv, residual, &layer.qkv, Into::Replace);
        let (mut qkv, mut to) = (qkv.as_slice(), attended.as_mut_slice());
        for length in texts.iter().map(|text| text.len()) {
            let (own, others) = qkv.split_at(length * 3 * self.hidden);
            let (own_to, others_to) = to.split_at_mut(length * self.hidden);
            square.resize(length * length, 0.0);
            attend_both_ways(own_to, square, own, length, self.heads);
            (qkv, to) = (others, others_to);
        }
        self.affine(residual, attended, &layer.out, Into::Add);
        self.norm(residual, &layer.norm_between);
    }

    fn feed(&self, layer: &LayerPlaces, scratch: &mut Scratch) {
        let Scratch { residual, inner, .. } = scratch;
        inner.resize(residual.len() / self.hidden * self.inner, 0.0);
        self.affine(inner, residual, &layer.up, Into::Replace);
        gelu(inner);
        self.affine(residual, inner, &layer.down, Into::Add);
        self.norm(residual, &layer.norm_after);
    }

    /// `to = x · weightᵀ + bias` for each row, or `to += …`.
    fn affine(&self, to: &mut [f32], x: &[f32], part: &Affine, into: Into) {
        let (weight, bias) = (self.at(&part.weight), self.at(&part.bias));
        let outputs = bias.len();
        let (rows, inputs) = (to.len() / outputs, weight.len() / outputs);
        matmul(
            MatMut::new(to, rows, outputs),
            Mat::new(x, rows, inputs),
            Mat::new(weight, outputs, inputs).t(),
            1.0,
            into,
        );
        add_to_rows(to, bias);
    }

    fn norm(&self, x: &mut [f32], part: &Affine) {
        layer_norm(x, self.at(&part.weight), self.at(&part.bias), self.epsilon);
    }

    /// Ranges come from the layout that the list was made by.
    fn at(&self, range: &Range<usize>) -> &[f32] {
        self.weights.get(range.clone()).unwrap_or_default()
    }
}

fn pool(rows: &[f32], width: usize, pooling: Pooling) -> Vec<f32> {
    let mut rows = rows.chunks_exact(width);
    let mut embedding = rows.next().unwrap_or_default().to_vec();
    if pooling == Pooling::Mean {
        let mut count = 1.0_f32;
        for row in rows {
            for (sum, value) in embedding.iter_mut().zip(row) {
                *sum += value;
            }
            count += 1.0;
        }
        for value in &mut embedding {
            *value /= count;
        }
    }
    embedding
}

/// To the length one; what has no length keeps none.
fn normalise(embedding: &mut [f32]) {
    let length = dot(embedding, embedding).sqrt().max(1e-12);
    for value in embedding {
        *value /= length;
    }
}
