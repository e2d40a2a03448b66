//! The reference model (Llama-shaped, tied embedding): its parameters and its forward pass.
//!
//! Activations are time-major: row `t * batch + b` is position `t` of sequence `b`. All rows of one position
//! are then contiguous, and rotary embedding is one small matrix product per position (see `rotations`).

use burn_backend::ops::{FloatTensorOps, ModuleOps};
use burn_backend::{Shape, TensorData, TensorMetadata};

use crate::ops::{self, Flex, Graph, Plain, Tracked};

pub const CONTEXT: usize = 64;
const WIDTH: usize = 128;
const HIDDEN: usize = 344;
const LAYERS: usize = 4;
pub const HEADS: usize = 4;
pub const HEAD_DIM: usize = WIDTH / HEADS;
const PER_LAYER: usize = 8;

/// Xorshift generator with a Box-Muller normal; enough for initial weights and batch offsets.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        let mut rng = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..16 {
            rng.next();
        }
        rng
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Uniform in `0..bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    fn normal(&mut self) -> f64 {
        let unit = |bits: u64| ((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        let (a, b) = (unit(self.next()), unit(self.next()));
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }
}

pub fn plain<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Plain {
    Flex::float_from_data(TensorData::new(values, shape), &Default::default())
}

/// All parameters: the embedding, eight tensors per layer (attention norm, query+key, value, output, MLP norm,
/// gate, up, down in this order; see `forward`), the last norm. Matrices are stored input × output; query and
/// key share one matrix, which changes neither the function nor any update.
pub fn parameters(vocabulary: usize, rng: &mut Rng) -> Vec<Plain> {
    let residual = 0.02 / (2.0 * LAYERS as f64).sqrt();
    let mut matrix = |rows: usize, columns: usize, std: f64| {
        plain((0..rows * columns).map(|_| (rng.normal() * std) as f32).collect(), [rows, columns])
    };
    let ones = || plain(vec![1.0; WIDTH], [WIDTH]);
    let mut all = vec![matrix(vocabulary, WIDTH, 0.02)];
    for _ in 0..LAYERS {
        all.push(ones());
        all.push(matrix(WIDTH, 2 * WIDTH, 0.02));
        all.push(matrix(WIDTH, WIDTH, 0.02));
        all.push(matrix(WIDTH, WIDTH, residual));
        all.push(ones());
        all.push(matrix(WIDTH, HIDDEN, 0.02));
        all.push(matrix(WIDTH, HIDDEN, 0.02));
        all.push(matrix(HIDDEN, WIDTH, residual));
    }
    all.push(ones());
    all
}

/// Tensors that never change: one rotation matrix per position, and the causal mask.
#[derive(Clone)]
pub struct Constants {
    pub rotations: Plain,
    pub mask: Plain,
}

impl Constants {
    pub fn new() -> Self {
        let mut mask = vec![0.0; CONTEXT * CONTEXT];
        for row in 0..CONTEXT {
            mask[row * CONTEXT + row + 1..(row + 1) * CONTEXT].fill(f32::NEG_INFINITY);
        }
        Self { rotations: rotations(), mask: plain(mask, [CONTEXT, CONTEXT]) }
    }
}

/// Rotary embedding ("rotate half" layout) as `row × matrix`, for each position. Query and key both carry the
/// fourth root of the attention scale, so that their product comes out scaled.
fn rotations() -> Plain {
    let half = HEAD_DIM / 2;
    let scale = (HEAD_DIM as f64).powf(-0.25);
    let mut values = vec![0.0; CONTEXT * HEAD_DIM * HEAD_DIM];
    for (position, matrix) in values.chunks_mut(HEAD_DIM * HEAD_DIM).enumerate() {
        for i in 0..half {
            let angle = position as f64 * 10_000f64.powf(-(i as f64) / half as f64);
            let (sin, cos) = ((angle.sin() * scale) as f32, (angle.cos() * scale) as f32);
            matrix[i * HEAD_DIM + i] = cos;
            matrix[(i + half) * HEAD_DIM + i] = -sin;
            matrix[i * HEAD_DIM + i + half] = sin;
            matrix[(i + half) * HEAD_DIM + i + half] = cos;
        }
    }
    plain(values, [CONTEXT, HEAD_DIM, HEAD_DIM])
}

/// Sum of the cross-entropies of `targets` given `inputs` (both time-major), divided by `divisor`.
pub fn loss(
    p: &[Tracked],
    constants: &Constants,
    inputs: Vec<i64>,
    targets: Vec<i64>,
    divisor: usize,
) -> Tracked {
    let rows = inputs.len();
    let indices = |values, shape: [usize; 2]| {
        <Flex as burn_backend::ops::IntTensorOps<Flex>>::int_from_data(
            TensorData::new(values, shape),
            &Default::default(),
        )
    };
    let embedded = Graph::embedding(p[0].clone(), indices(inputs, [1, rows]));
    let mut x = Graph::float_reshape(embedded, Shape::from([rows, WIDTH]));
    for layer in p[1..p.len() - 1].chunks(PER_LAYER) {
        let [norm1, qk, v, o, norm2, gate, up, down] = std::array::from_fn(|i| layer[i].clone());
        let h = ops::rms_norm(x.clone(), norm1);
        let queries_keys = Graph::float_matmul(h.clone(), qk);
        let attended = ops::attention(queries_keys, Graph::float_matmul(h, v), constants);
        x = Graph::float_add(x, Graph::float_matmul(attended, o));
        let h = ops::rms_norm(x.clone(), norm2);
        let gated = ops::swiglu(Graph::float_matmul(h.clone(), gate), Graph::float_matmul(h, up));
        x = Graph::float_add(x, Graph::float_matmul(gated, down));
    }
    let h = ops::rms_norm(x, p[p.len() - 1].clone());
    let logits = Graph::float_matmul(h, Graph::float_transpose(p[0].clone()));
    debug_assert_eq!(logits.shape()[0], rows);
    ops::cross_entropy(logits, indices(targets, [rows, 1]), divisor)
}
