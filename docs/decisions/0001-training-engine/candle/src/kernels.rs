//! Loops on plain slices behind the operations of `ops.rs`. Sizes are constants, so that the
//! compiler unrolls them and keeps the accumulators in vector registers.

use crate::{CONTEXT, DIM, EPS, HEAD_DIM, HEADS, HIDDEN, THETA};

const LANES: usize = 16;
const HALF: usize = HEAD_DIM / 2;
const QKV: usize = 3 * DIM;
const ROWS: usize = 4;

/// One head's matrix: a row of `HEAD_DIM` numbers for each position.
type Head = [[f32; HEAD_DIM]; CONTEXT];
/// The same, transposed.
type HeadT = [[f32; CONTEXT]; HEAD_DIM];
/// One head's square of attention weights, or of their gradients.
type Square = [[f32; CONTEXT]; CONTEXT];

/// `exp` for arguments up to about 88, with about 1e-7 of relative error; small ones give 0.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding 1.5·2^23 rounds to a whole number, which then sits in the low bits of the float.
    const ROUND: f32 = 12_582_912.0;
    let x = x.max(-87.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let whole = shifted - ROUND;
    let rest = whole.mul_add(-0.693_359_4, x);
    let rest = whole.mul_add(2.121_944_4e-4, rest);
    let mut sum = 1.0 / 720.0;
    for term in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = rest.mul_add(sum, term);
    }
    f32::from_bits(sum.to_bits().wrapping_add(shifted.to_bits() << 23))
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp((-x).min(87.0)))
}

/// Adds up the lanes in pairs.
#[inline(always)]
fn across(mut lanes: [f32; LANES]) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
    }
    lanes[0]
}

/// Adds up `f(0) + … + f(len - 1)` in independent lanes. `len` must be a multiple of `LANES`.
#[inline(always)]
fn lane_sum(len: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    for start in (0..len).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += f(start + lane);
        }
    }
    across(lanes)
}

pub fn sum_of_squares(values: &[f32]) -> f32 {
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for block in blocks {
        for (sum, value) in lanes.iter_mut().zip(block) {
            *sum = value.mul_add(*value, *sum);
        }
    }
    across(lanes) + rest.iter().map(|value| value * value).sum::<f32>()
}

#[inline(always)]
fn inverse_rms(x: &[f32; DIM]) -> f32 {
    1.0 / (lane_sum(DIM, |i| x[i] * x[i]) / DIM as f32 + EPS).sqrt()
}

pub fn rms_norm(x: &[f32], weight: &[f32]) -> Vec<f32> {
    let weight: &[f32; DIM] = weight.try_into().expect("a weight for each column");
    let mut out = vec![0.0; x.len()];
    for (row, out) in x.as_chunks::<DIM>().0.iter().zip(out.as_chunks_mut::<DIM>().0) {
        let scale = inverse_rms(row);
        for i in 0..DIM {
            out[i] = row[i] * scale * weight[i];
        }
    }
    out
}

/// Gradients of the input and of the weight.
pub fn rms_norm_backward(x: &[f32], weight: &[f32], grad: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let weight: &[f32; DIM] = weight.try_into().expect("a weight for each column");
    let mut grad_x = vec![0.0; x.len()];
    let mut grad_weight = [0.0; DIM];
    let rows = x.as_chunks::<DIM>().0.iter().zip(grad.as_chunks::<DIM>().0);
    for ((x, grad), out) in rows.zip(grad_x.as_chunks_mut::<DIM>().0) {
        let scale = inverse_rms(x);
        let along = lane_sum(DIM, |i| x[i] * grad[i] * weight[i]);
        let pull = along * scale * scale * scale / DIM as f32;
        for i in 0..DIM {
            grad_weight[i] += grad[i] * x[i] * scale;
            out[i] = grad[i] * weight[i] * scale - x[i] * pull;
        }
    }
    (grad_x, grad_weight.to_vec())
}

/// `silu(gate) * up`, where each row of the input holds the gate and then the up half.
pub fn swiglu(gate_up: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; gate_up.len() / 2];
    let rows = gate_up.as_chunks::<{ 2 * HIDDEN }>().0;
    for (row, out) in rows.iter().zip(out.as_chunks_mut::<HIDDEN>().0) {
        let (gate, up) = row.split_at(HIDDEN);
        for i in 0..HIDDEN {
            out[i] = gate[i] * sigmoid(gate[i]) * up[i];
        }
    }
    out
}

/// Replaces gate and up by their gradients.
pub fn swiglu_backward(gate_up: &mut [f32], grad: &[f32]) {
    let rows = gate_up.as_chunks_mut::<{ 2 * HIDDEN }>().0;
    for (row, grad) in rows.iter_mut().zip(grad.as_chunks::<HIDDEN>().0) {
        let (gate, up) = row.split_at_mut(HIDDEN);
        for i in 0..HIDDEN {
            let sigmoid = sigmoid(gate[i]);
            let silu = gate[i] * sigmoid;
            gate[i] = grad[i] * up[i] * (sigmoid + silu * (1.0 - sigmoid));
            up[i] = grad[i] * silu;
        }
    }
}

/// Cosine and sine of each position's angles.
pub struct RopeTable {
    cos: [[f32; HALF]; CONTEXT],
    sin: [[f32; HALF]; CONTEXT],
}

impl RopeTable {
    pub fn new() -> Self {
        let mut table = Self { cos: [[0.0; HALF]; CONTEXT], sin: [[0.0; HALF]; CONTEXT] };
        for position in 0..CONTEXT {
            for i in 0..HALF {
                let angle = position as f64 * THETA.powf(-(i as f64) / HALF as f64);
                table.cos[position][i] = angle.cos() as f32;
                table.sin[position][i] = angle.sin() as f32;
            }
        }
        table
    }

    /// Rotates a head in place; `direction` is 1, or -1 for the inverse, which is the gradient.
    fn rotate(&self, head: &mut Head, direction: f32) {
        for (position, row) in head.iter_mut().enumerate() {
            let (low, high) = row.split_at_mut(HALF);
            for i in 0..HALF {
                let (cos, sin) = (self.cos[position][i], direction * self.sin[position][i]);
                (low[i], high[i]) = (low[i] * cos - high[i] * sin, high[i] * cos + low[i] * sin);
            }
        }
    }
}

fn load(sequence: &[f32], stride: usize, column: usize) -> Head {
    let mut head = [[0.0; HEAD_DIM]; CONTEXT];
    for (row, values) in head.iter_mut().zip(sequence.chunks_exact(stride)) {
        row.copy_from_slice(&values[column..column + HEAD_DIM]);
    }
    head
}

fn store(head: &Head, sequence: &mut [f32], stride: usize, column: usize) {
    for (row, values) in head.iter().zip(sequence.chunks_exact_mut(stride)) {
        values[column..column + HEAD_DIM].copy_from_slice(row);
    }
}

fn transpose(head: &Head) -> HeadT {
    let mut out = [[0.0; CONTEXT]; HEAD_DIM];
    for (position, row) in head.iter().enumerate() {
        for (i, value) in row.iter().enumerate() {
            out[i][position] = *value;
        }
    }
    out
}

/// `acc[r] += scale[r] * row` for a block of rows: the inner step of all products below.
#[inline(always)]
fn add_outer<const N: usize>(acc: &mut [[f32; N]; ROWS], scale: [f32; ROWS], row: &[f32; N]) {
    for (acc, scale) in acc.iter_mut().zip(scale) {
        for (acc, value) in acc.iter_mut().zip(row) {
            *acc = scale.mul_add(*value, *acc);
        }
    }
}

/// `left · rightᵀ` for rows `first..first + ROWS`, only the first `N` columns.
#[inline(always)]
fn score_block<const N: usize>(left: &Head, right_t: &HeadT, first: usize, out: &mut Square) {
    let mut acc = [[0.0; N]; ROWS];
    for i in 0..HEAD_DIM {
        let scale = std::array::from_fn(|r| left[first + r][i]);
        add_outer(&mut acc, scale, right_t[i].first_chunk().expect("N is at most CONTEXT"));
    }
    for (acc, out) in acc.iter().zip(&mut out[first..first + ROWS]) {
        out[..N].copy_from_slice(acc);
    }
}

/// `left · rightᵀ` on and below the diagonal; what stands above it is left undefined.
fn scores(left: &Head, right_t: &HeadT, out: &mut Square) {
    for first in (0..CONTEXT).step_by(ROWS) {
        match first / 16 {
            0 => score_block::<16>(left, right_t, first, out),
            1 => score_block::<32>(left, right_t, first, out),
            2 => score_block::<48>(left, right_t, first, out),
            _ => score_block::<64>(left, right_t, first, out),
        }
    }
}

/// `square · right`, where the square is zero above the diagonal.
fn mix(square: &Square, right: &Head) -> Head {
    let mut out = [[0.0; HEAD_DIM]; CONTEXT];
    for first in (0..CONTEXT).step_by(ROWS) {
        let mut acc = [[0.0; HEAD_DIM]; ROWS];
        for (j, row) in right[..first + ROWS].iter().enumerate() {
            add_outer(&mut acc, std::array::from_fn(|r| square[first + r][j]), row);
        }
        out[first..first + ROWS].copy_from_slice(&acc);
    }
    out
}

/// `squareᵀ · right`, where the square is zero above the diagonal.
fn mix_transposed(square: &Square, right: &Head) -> Head {
    let mut out = [[0.0; HEAD_DIM]; CONTEXT];
    for first in (0..CONTEXT).step_by(ROWS) {
        let mut acc = [[0.0; HEAD_DIM]; ROWS];
        for (j, row) in right.iter().enumerate().skip(first) {
            add_outer(&mut acc, std::array::from_fn(|r| square[j][first + r]), row);
        }
        out[first..first + ROWS].copy_from_slice(&acc);
    }
    out
}

/// Softmax of each row over the positions up to its own, and zeros after it.
fn causal_softmax(square: &mut Square) {
    let scale = 1.0 / (HEAD_DIM as f32).sqrt();
    for (position, row) in square.iter_mut().enumerate() {
        row[position + 1..].fill(f32::NEG_INFINITY);
        let mut lanes = [f32::NEG_INFINITY; LANES];
        for block in row.as_chunks::<LANES>().0 {
            for (lane, value) in lanes.iter_mut().zip(block) {
                *lane = lane.max(*value);
            }
        }
        let max = lanes.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
        for value in row.iter_mut() {
            *value = exp((*value - max) * scale);
        }
        row[position + 1..].fill(0.0);
        let inverse = 1.0 / lane_sum(CONTEXT, |i| row[i]);
        for value in row.iter_mut() {
            *value *= inverse;
        }
    }
}

/// Attention of every sequence and head. `qkv` has rows of queries, keys and values, and leaves
/// with queries and keys rotated. Gives the mixed values and the attention weights.
pub fn attention(qkv: &mut [f32], table: &RopeTable) -> (Vec<f32>, Vec<f32>) {
    let sequences = qkv.len() / (CONTEXT * QKV);
    let mut mixed = vec![0.0; sequences * CONTEXT * DIM];
    let mut weights = vec![0.0; sequences * HEADS * CONTEXT * CONTEXT];
    let mut squares = weights.as_chunks_mut().0.as_chunks_mut::<CONTEXT>().0.iter_mut();
    for (qkv, mixed) in qkv.chunks_exact_mut(CONTEXT * QKV).zip(mixed.chunks_exact_mut(CONTEXT * DIM)) {
        for (head, square) in (0..HEADS).zip(&mut squares) {
            let column = head * HEAD_DIM;
            let mut q = load(qkv, QKV, column);
            let mut k = load(qkv, QKV, DIM + column);
            table.rotate(&mut q, 1.0);
            table.rotate(&mut k, 1.0);
            store(&q, qkv, QKV, column);
            store(&k, qkv, QKV, DIM + column);
            scores(&q, &transpose(&k), square);
            causal_softmax(square);
            store(&mix(square, &load(qkv, QKV, 2 * DIM + column)), mixed, DIM, column);
        }
    }
    (mixed, weights)
}

/// Replaces what `attention` left in `qkv` by the gradient of what it was given there.
pub fn attention_backward(qkv: &mut [f32], mixed: &[f32], weights: &[f32], grad: &[f32], table: &RopeTable) {
    let scale = 1.0 / (HEAD_DIM as f32).sqrt();
    let mut squares = weights.as_chunks().0.as_chunks::<CONTEXT>().0.iter();
    let mut slope: Box<Square> = Box::new([[0.0; CONTEXT]; CONTEXT]);
    let sequences = qkv.chunks_exact_mut(CONTEXT * QKV);
    let rows = mixed.chunks_exact(CONTEXT * DIM).zip(grad.chunks_exact(CONTEXT * DIM));
    for (qkv, (mixed, grad)) in sequences.zip(rows) {
        for (head, square) in (0..HEADS).zip(&mut squares) {
            let column = head * HEAD_DIM;
            let (q, k) = (load(qkv, QKV, column), load(qkv, QKV, DIM + column));
            let v = load(qkv, QKV, 2 * DIM + column);
            let (mixed, grad) = (load(mixed, DIM, column), load(grad, DIM, column));
            scores(&grad, &transpose(&v), &mut slope);
            for position in 0..CONTEXT {
                let mean = lane_sum(HEAD_DIM, |i| mixed[position][i] * grad[position][i]);
                // The weights are zero above the diagonal, and the undefined slopes are finite.
                for (slope, weight) in slope[position].iter_mut().zip(&square[position]) {
                    *slope = weight * (*slope - mean) * scale;
                }
            }
            let mut grad_q = mix(&slope, &k);
            let mut grad_k = mix_transposed(&slope, &q);
            table.rotate(&mut grad_q, -1.0);
            table.rotate(&mut grad_k, -1.0);
            store(&grad_q, qkv, QKV, column);
            store(&grad_k, qkv, QKV, DIM + column);
            store(&mix_transposed(square, &grad), qkv, QKV, 2 * DIM + column);
        }
    }
}

/// Sum of the rows' cross-entropies times `scale`, and its gradient by the logits.
pub fn cross_entropy(logits: &[f32], targets: &[u32], scale: f32) -> (f32, Vec<f32>) {
    let vocab = logits.len() / targets.len();
    let mut grad = vec![0.0; logits.len()];
    let mut total = 0.0;
    let rows = logits.chunks_exact(vocab).zip(grad.chunks_exact_mut(vocab));
    for ((row, grad), target) in rows.zip(targets) {
        let max = row.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
        for (grad, logit) in grad.iter_mut().zip(row) {
            *grad = exp(logit - max);
        }
        let sum: f32 = grad.iter().sum();
        for grad in grad.iter_mut() {
            *grad *= scale / sum;
        }
        let target = *target as usize;
        grad[target] -= scale;
        total += sum.ln() + max - row[target];
    }
    (total * scale, grad)
}

/// The factors of one AdamW step.
pub struct Step {
    pub clip: f32,
    pub rate: f32,
    pub decay: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub eps: f32,
    /// `1 / (1 - beta^t)` for each moment.
    pub correction: (f32, f32),
}

pub fn adamw(weights: &mut [f32], grad: &[f32], first: &mut [f32], second: &mut [f32], s: &Step) {
    let keep = 1.0 - s.rate * s.decay;
    let moments = first.iter_mut().zip(second);
    for ((weight, grad), (first, second)) in weights.iter_mut().zip(grad).zip(moments) {
        let grad = grad * s.clip;
        *first = s.beta1 * *first + (1.0 - s.beta1) * grad;
        *second = s.beta2 * *second + (1.0 - s.beta2) * grad * grad;
        let step = *first * s.correction.0 / ((*second * s.correction.1).sqrt() + s.eps);
        *weight = *weight * keep - s.rate * step;
    }
}
