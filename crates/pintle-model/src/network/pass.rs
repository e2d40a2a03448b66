//! One thread's way through the network and back.

use std::ops::Range;

use super::Shape;
use crate::math::{
    Into, Mat, MatMut, Turn, attend, attend_back, cross_entropy, matmul, rms_norm, rms_norm_back, silu_gate,
    silu_gate_back,
};

/// Sequences to learn from: `tokens` and `targets` have the same length, sequence after sequence of `length`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) tokens: &'a [u32],
    pub(crate) targets: &'a [u32],
    /// Of each sequence, in tokens.
    pub(crate) length: usize,
    /// What the gradient of each target is multiplied with: one over the targets of the whole batch.
    pub(crate) scale: f32,
}

/// Rows of logits are made and used in parts of so many, so that a large vocabulary does not fill the memory.
const LOGIT_ROWS: usize = 256;

/// What one layer keeps for the way back.
#[derive(Debug, Default)]
struct Kept {
    input: Vec<f32>,
    inverse_before: Vec<f32>,
    normed_before: Vec<f32>,
    qkv: Vec<f32>,
    probabilities: Vec<f32>,
    attended: Vec<f32>,
    middle: Vec<f32>,
    inverse_between: Vec<f32>,
    normed_between: Vec<f32>,
    gate_up: Vec<f32>,
    gated: Vec<f32>,
}

/// The buffers of one thread. They grow to the largest task and stay.
#[derive(Debug)]
pub(crate) struct Pass {
    shape: Shape,
    layers: Vec<Kept>,
    last: Vec<f32>,
    inverse_last: Vec<f32>,
    normed_last: Vec<f32>,
    logits: Vec<f32>,
    // The way back.
    d_residual: Vec<f32>,
    d_wide: Vec<f32>,
    d_inner: Vec<f32>,
    square: Vec<f32>,
}

impl Pass {
    pub(crate) fn new(shape: &Shape) -> Self {
        Pass {
            shape: shape.clone(),
            layers: (0..shape.config.num_hidden_layers).map(|_| Kept::default()).collect(),
            last: Vec::new(),
            inverse_last: Vec::new(),
            normed_last: Vec::new(),
            logits: Vec::new(),
            d_residual: Vec::new(),
            d_wide: Vec::new(),
            d_inner: Vec::new(),
            square: Vec::new(),
        }
    }

    /// The summed loss of a task, in nats.
    pub(crate) fn loss(&mut self, weights: &[f32], task: Task<'_>) -> f64 {
        self.forward(weights, task);
        let hidden = self.shape.config.hidden_size;
        let vocabulary = self.shape.config.vocab_size;
        let head = at(weights, &self.shape.layout.head);
        let mut loss = 0.0;
        let parts = self.normed_last.chunks(LOGIT_ROWS * hidden).zip(task.targets.chunks(LOGIT_ROWS));
        for (normed, targets) in parts {
            let logits = sized(&mut self.logits, targets.len() * vocabulary);
            linear(logits, normed, head, hidden);
            loss += cross_entropy(logits, vocabulary, targets, 0.0);
        }
        loss
    }

    /// The logits of every row of `tokens`, sequences of `length`.
    pub(crate) fn logits(&mut self, weights: &[f32], tokens: &[u32], length: usize) -> Vec<f32> {
        self.forward(weights, Task { tokens, targets: &[], length, scale: 0.0 });
        let mut logits = vec![0.0; tokens.len() * self.shape.config.vocab_size];
        let head = at(weights, &self.shape.layout.head);
        linear(&mut logits, &self.normed_last, head, self.shape.config.hidden_size);
        logits
    }

    /// The summed loss of a task, in nats; its gradients are added to `gradients`.
    pub(crate) fn learn(&mut self, weights: &[f32], gradients: &mut [f32], task: Task<'_>) -> f64 {
        self.forward(weights, task);
        let loss = self.back_from_loss(weights, gradients, task);
        for layer in (0..self.layers.len()).rev() {
            self.back_through(weights, gradients, layer, task.length);
        }
        let hidden = self.shape.config.hidden_size;
        let embedding = at_mut(gradients, &self.shape.layout.embedding);
        for (token, d_row) in task.tokens.iter().zip(self.d_residual.chunks_exact(hidden)) {
            let start = *token as usize * hidden;
            let Some(row) = embedding.get_mut(start..start + hidden) else { continue };
            add(row, d_row);
        }
        loss
    }

    fn forward(&mut self, weights: &[f32], task: Task<'_>) {
        let Shape { config, layout, heads, rotation } = &self.shape;
        let (rows, hidden, inner) = (task.tokens.len(), config.hidden_size, config.intermediate_size);
        let residual = sized(&mut self.last, rows * hidden);
        let embedding = at(weights, &layout.embedding);
        for (row, token) in residual.chunks_exact_mut(hidden).zip(task.tokens) {
            let start = *token as usize * hidden;
            if let Some(embedded) = embedding.get(start..start + hidden) {
                row.copy_from_slice(embedded);
            }
        }
        let squares = rows * heads.queries * task.length;
        for (kept, places) in self.layers.iter_mut().zip(&layout.layers) {
            copy(&mut kept.input, residual);
            let normed = sized(&mut kept.normed_before, rows * hidden);
            let inverse = sized(&mut kept.inverse_before, rows);
            rms_norm(normed, inverse, residual, at(weights, &places.norm_before), config.rms_norm_eps);

            let qkv = sized(&mut kept.qkv, rows * heads.row_width());
            linear(qkv, normed, at(weights, &places.qkv), hidden);
            let turned = heads.query_width() + heads.shared_width();
            rotation.turn(qkv, heads.row_width(), turned, task.length, Turn::Forward);
            let attended = sized(&mut kept.attended, rows * heads.query_width());
            let probabilities = sized(&mut kept.probabilities, squares);
            let sequences = attended
                .chunks_exact_mut(task.length * heads.query_width())
                .zip(probabilities.chunks_exact_mut(heads.queries * task.length * task.length))
                .zip(qkv.chunks_exact(task.length * heads.row_width()));
            for ((attended, probabilities), qkv) in sequences {
                attend(attended, probabilities, qkv, task.length, *heads);
            }
            linear_add(residual, attended, at(weights, &places.out), heads.query_width());

            copy(&mut kept.middle, residual);
            let normed = sized(&mut kept.normed_between, rows * hidden);
            let inverse = sized(&mut kept.inverse_between, rows);
            rms_norm(normed, inverse, residual, at(weights, &places.norm_between), config.rms_norm_eps);
            let gate_up = sized(&mut kept.gate_up, rows * 2 * inner);
            linear(gate_up, normed, at(weights, &places.gate_up), hidden);
            let gated = sized(&mut kept.gated, rows * inner);
            silu_gate(gated, gate_up, inner);
            linear_add(residual, gated, at(weights, &places.down), inner);
        }
        let normed = sized(&mut self.normed_last, rows * hidden);
        let inverse = sized(&mut self.inverse_last, rows);
        rms_norm(normed, inverse, residual, at(weights, &layout.norm_last), config.rms_norm_eps);
    }

    /// From the loss to the residual stream after the last layer.
    fn back_from_loss(&mut self, weights: &[f32], gradients: &mut [f32], task: Task<'_>) -> f64 {
        let Shape { config, layout, .. } = &self.shape;
        let (hidden, vocabulary) = (config.hidden_size, config.vocab_size);
        let head = at(weights, &layout.head);
        let d_normed = sized(&mut self.d_wide, task.tokens.len() * hidden);
        let mut loss = 0.0;
        let parts = self.normed_last.chunks(LOGIT_ROWS * hidden).zip(task.targets.chunks(LOGIT_ROWS));
        for ((normed, targets), d_normed) in parts.zip(d_normed.chunks_mut(LOGIT_ROWS * hidden)) {
            let logits = sized(&mut self.logits, targets.len() * vocabulary);
            linear(logits, normed, head, hidden);
            loss += cross_entropy(logits, vocabulary, targets, task.scale);
            linear_back(d_normed, at_mut(gradients, &layout.head), logits, normed, head, vocabulary);
        }
        let d_residual = sized(&mut self.d_residual, task.tokens.len() * hidden);
        d_residual.fill(0.0);
        let weight = at(weights, &layout.norm_last);
        let d_weight = at_mut(gradients, &layout.norm_last);
        rms_norm_back(d_residual, d_weight, d_normed, &self.last, &self.inverse_last, weight);
        loss
    }

    fn back_through(&mut self, weights: &[f32], gradients: &mut [f32], layer: usize, length: usize) {
        let Shape { config, layout, heads, rotation } = &self.shape;
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (Some(kept), Some(places)) = (self.layers.get_mut(layer), layout.layers.get(layer)) else {
            return;
        };
        let d_residual = &mut self.d_residual;
        let rows = d_residual.len() / hidden;

        let d_gated = sized(&mut self.d_inner, rows * inner);
        let down = at(weights, &places.down);
        linear_back(d_gated, at_mut(gradients, &places.down), d_residual, &kept.gated, down, hidden);
        silu_gate_back(&mut kept.gate_up, d_gated, inner);
        let d_normed = sized(&mut self.d_wide, rows * hidden);
        let d_gate_up = at_mut(gradients, &places.gate_up);
        let gate_up = at(weights, &places.gate_up);
        linear_back(d_normed, d_gate_up, &kept.gate_up, &kept.normed_between, gate_up, 2 * inner);
        let weight = at(weights, &places.norm_between);
        let d_weight = at_mut(gradients, &places.norm_between);
        rms_norm_back(d_residual, d_weight, d_normed, &kept.middle, &kept.inverse_between, weight);

        let d_attended = sized(&mut self.d_inner, rows * heads.query_width());
        let out = at(weights, &places.out);
        linear_back(d_attended, at_mut(gradients, &places.out), d_residual, &kept.attended, out, hidden);
        let (row, square) = (heads.row_width(), sized(&mut self.square, length * length));
        let d_qkv = sized(&mut self.d_wide, rows * row);
        let sequences = d_qkv
            .chunks_exact_mut(length * row)
            .zip(d_attended.chunks_exact(length * heads.query_width()))
            .zip(kept.probabilities.chunks_exact(heads.queries * length * length))
            .zip(kept.qkv.chunks_exact(length * row));
        for (((d_qkv, d_attended), probabilities), qkv) in sequences {
            attend_back(d_qkv, square, d_attended, probabilities, qkv, length, *heads);
        }
        rotation.turn(d_qkv, row, heads.query_width() + heads.shared_width(), length, Turn::Back);
        let d_normed = sized(&mut self.d_inner, rows * hidden);
        let qkv = at(weights, &places.qkv);
        linear_back(d_normed, at_mut(gradients, &places.qkv), d_qkv, &kept.normed_before, qkv, row);
        let weight = at(weights, &places.norm_before);
        let d_weight = at_mut(gradients, &places.norm_before);
        rms_norm_back(d_residual, d_weight, d_normed, &kept.input, &kept.inverse_before, weight);
    }
}

/// `to = x · weightᵀ`; rows of `x` are `width` long, the weight has a row for each output.
fn linear(to: &mut [f32], x: &[f32], weight: &[f32], width: usize) {
    product(to, x, weight, width, Into::Replace);
}

fn linear_add(to: &mut [f32], x: &[f32], weight: &[f32], width: usize) {
    product(to, x, weight, width, Into::Add);
}

fn product(to: &mut [f32], x: &[f32], weight: &[f32], width: usize, into: Into) {
    let (rows, outputs) = (x.len() / width, weight.len() / width);
    matmul(
        MatMut::new(to, rows, outputs),
        Mat::new(x, rows, width),
        Mat::new(weight, outputs, width).t(),
        1.0,
        into,
    );
}

/// The way back of [`linear`]: replaces `d_x`, adds to `d_weight`.
fn linear_back(
    d_x: &mut [f32],
    d_weight: &mut [f32],
    d_to: &[f32],
    x: &[f32],
    weight: &[f32],
    outputs: usize,
) {
    let (rows, width) = (d_to.len() / outputs, weight.len() / outputs);
    let d_to = Mat::new(d_to, rows, outputs);
    matmul(MatMut::new(d_x, rows, width), d_to, Mat::new(weight, outputs, width), 1.0, Into::Replace);
    matmul(MatMut::new(d_weight, outputs, width), d_to.t(), Mat::new(x, rows, width), 1.0, Into::Add);
}

fn add(to: &mut [f32], values: &[f32]) {
    for (to, value) in to.iter_mut().zip(values) {
        *to += value;
    }
}

/// A buffer of the wanted length; what it holds is of no meaning.
fn sized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    buffer.resize(len, 0.0);
    buffer
}

fn copy(to: &mut Vec<f32>, from: &[f32]) {
    to.clear();
    to.extend_from_slice(from);
}

/// The weights of a tensor. Ranges come from the layout that the list was made by.
fn at<'a>(weights: &'a [f32], range: &Range<usize>) -> &'a [f32] {
    weights.get(range.clone()).unwrap_or_default()
}

fn at_mut<'a>(weights: &'a mut [f32], range: &Range<usize>) -> &'a mut [f32] {
    weights.get_mut(range.clone()).unwrap_or_default()
}
