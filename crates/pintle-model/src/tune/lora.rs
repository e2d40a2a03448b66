//! Low-rank adapters (LoRA): beside each chosen matrix `W` stand two thin ones, and the layer computes with
//! `W + alpha / rank · B · A`.
//!
//! The product is added to a copy of the weights before each step, and the copy's gradients are projected onto the two
//! thin matrices after it. That is the exact gradient of the adapter for the price of a pass over the weights, and the
//! network knows nothing of adapters, in training or in serving.

use std::ops::Range;

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use serde::{Deserialize, Serialize};

use crate::{
    Layout, ModelError,
    math::{Into, Mat, MatMut, matmul},
};

/// Which matrices get an adapter, and how large.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoraSettings {
    /// Rows of `A` and columns of `B`.
    pub rank: usize,
    /// The adapter counts `alpha / rank`-fold.
    pub alpha: f32,
    /// The matrices, by the last part of their name: `q_proj`, `v_proj`, `gate_proj` …
    pub targets: Vec<String>,
}

/// What an adapter can stand beside. The embedding and the output head are never among them: other tools merge them
/// wrongly.
const TARGETS: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
const RANK_MAX: usize = 512;

impl Default for LoraSettings {
    fn default() -> Self {
        LoraSettings { rank: 16, alpha: 32.0, targets: TARGETS.map(str::to_owned).to_vec() }
    }
}

/// The two thin matrices beside one matrix.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    /// The base's tensor: `model.layers.0.self_attn.q_proj`.
    pub(crate) name: String,
    rows: usize,
    cols: usize,
    base: Range<usize>,
    /// `rank × cols`, in the adapter's own list.
    pub(crate) a: Range<usize>,
    /// `rows × rank`, in the adapter's own list.
    pub(crate) b: Range<usize>,
}

/// The adapter of one network: where its matrices lie in its own flat list of weights.
#[derive(Debug, Clone)]
pub(crate) struct Adapter {
    pub(crate) pairs: Vec<Pair>,
    pub(crate) rank: usize,
    scale: f32,
    pub(crate) weights: usize,
}

impl Adapter {
    pub(crate) fn new(layout: &Layout, settings: &LoraSettings) -> Result<Self, ModelError> {
        let fail = |field, why| Err(ModelError::Config { field, why });
        let LoraSettings { rank, alpha, ref targets } = *settings;
        if rank == 0 || rank > RANK_MAX {
            return fail("rank", "it must be between 1 and 512");
        }
        if !alpha.is_finite() || alpha <= 0.0 {
            return fail("alpha", "it must be above zero");
        }
        if targets.is_empty() || targets.iter().any(|target| !TARGETS.contains(&target.as_str())) {
            return fail(
                "targets",
                "it must list some of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj",
            );
        }
        let (mut pairs, mut weights) = (Vec::new(), 0);
        for tensor in &layout.tensors {
            let name = tensor.name.trim_end_matches(".weight");
            let is_target = targets.iter().any(|target| name.rsplit('.').next() == Some(target));
            let ([rows, cols], true) = (tensor.shape.as_slice(), is_target) else { continue };
            let a = weights..weights + rank * cols;
            let b = a.end..a.end + rows * rank;
            weights = b.end;
            let name = name.to_owned();
            pairs.push(Pair { name, rows: *rows, cols: *cols, base: tensor.range.clone(), a, b });
        }
        Ok(Adapter { pairs, rank, scale: alpha / rank as f32, weights })
    }

    /// `A` random and `B` zero: at first the adapter changes nothing.
    pub(crate) fn first_weights(&self, seed: u64) -> Vec<f32> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut weights = vec![0.0; self.weights];
        for pair in &self.pairs {
            let bound = 1.0 / (pair.cols as f32).sqrt();
            for value in weights.get_mut(pair.a.clone()).unwrap_or_default() {
                let unit = (random.next_u32() >> 8) as f32 / (1 << 24) as f32;
                *value = (2.0 * unit - 1.0) * bound;
            }
        }
        weights
    }

    /// `to = base + scale · B · A`.
    pub(crate) fn merge(&self, to: &mut Vec<f32>, base: &[f32], adapter: &[f32]) {
        to.clear();
        to.extend_from_slice(base);
        for pair in &self.pairs {
            let (a, b) = self.halves(pair, adapter);
            let to = MatMut::new(part_mut(to, &pair.base), pair.rows, pair.cols);
            matmul(to, b, a, self.scale, Into::Add);
        }
    }

    /// The adapter's gradients from those of the merged weights.
    pub(crate) fn project(&self, to: &mut [f32], merged: &[f32], adapter: &[f32]) {
        for pair in &self.pairs {
            let (a, b) = self.halves(pair, adapter);
            let d = Mat::new(part(merged, &pair.base), pair.rows, pair.cols);
            let d_a = MatMut::new(part_mut(to, &pair.a), self.rank, pair.cols);
            matmul(d_a, b.t(), d, self.scale, Into::Replace);
            let d_b = MatMut::new(part_mut(to, &pair.b), pair.rows, self.rank);
            matmul(d_b, d, a.t(), self.scale, Into::Replace);
        }
    }

    fn halves<'a>(&self, pair: &Pair, adapter: &'a [f32]) -> (Mat<'a>, Mat<'a>) {
        let a = Mat::new(part(adapter, &pair.a), self.rank, pair.cols);
        let b = Mat::new(part(adapter, &pair.b), pair.rows, self.rank);
        (a, b)
    }
}

fn part<'a>(values: &'a [f32], range: &Range<usize>) -> &'a [f32] {
    values.get(range.clone()).unwrap_or_default()
}

fn part_mut<'a>(values: &'a mut [f32], range: &Range<usize>) -> &'a mut [f32] {
    values.get_mut(range.clone()).unwrap_or_default()
}
