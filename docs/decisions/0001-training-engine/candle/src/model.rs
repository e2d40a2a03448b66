//! The reference model on candle's tensors, and the seeded generator that it starts from.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor, Var};

use crate::kernels::RopeTable;
use crate::{CONTEXT, DIM, HIDDEN, LAYERS, basic, ops};

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// Box–Muller.
    fn normal(&mut self) -> f64 {
        let unit = |bits: u64| ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        let (radius, turn) = (unit(self.next()), unit(self.next()));
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
    }
}

/// Matrices are kept as (inputs, outputs), the way candle multiplies without a transposition.
struct Layer {
    attn_norm: Var,
    qkv: Var,
    o_proj: Var,
    mlp_norm: Var,
    gate_up: Var,
    down_proj: Var,
}

pub struct Model {
    embedding: Var,
    layers: Vec<Layer>,
    norm: Var,
    table: Arc<RopeTable>,
    /// With candle's basic operations alone, the ones that it also has on GPUs.
    basic: Option<basic::Tables>,
}

fn matrix(random: &mut Random, rows: usize, columns: usize, std: f64) -> Result<Var> {
    let values = (0..rows * columns).map(|_| (random.normal() * std) as f32).collect();
    Var::from_vec::<_, f32>(values, (rows, columns), &Device::Cpu)
}

fn ones() -> Result<Var> {
    Var::from_vec(vec![1.0_f32; DIM], DIM, &Device::Cpu)
}

impl Model {
    pub fn new(vocab: usize, seed: u64, basic: bool) -> Result<Self> {
        let random = &mut Random::new(seed);
        let out_std = 0.02 / (2.0 * LAYERS as f64).sqrt();
        let embedding = matrix(random, vocab, DIM, 0.02)?;
        let layers = (0..LAYERS)
            .map(|_| {
                Ok(Layer {
                    attn_norm: ones()?,
                    qkv: matrix(random, DIM, 3 * DIM, 0.02)?,
                    o_proj: matrix(random, DIM, DIM, out_std)?,
                    mlp_norm: ones()?,
                    gate_up: matrix(random, DIM, 2 * HIDDEN, 0.02)?,
                    down_proj: matrix(random, HIDDEN, DIM, out_std)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            embedding,
            layers,
            norm: ones()?,
            table: Arc::new(RopeTable::new()),
            basic: if basic { Some(basic::Tables::new()?) } else { None },
        })
    }

    pub fn parameters(&self) -> Vec<&Var> {
        let mut all = vec![&self.embedding, &self.norm];
        for l in &self.layers {
            all.extend([&l.attn_norm, &l.qkv, &l.o_proj, &l.mlp_norm, &l.gate_up, &l.down_proj]);
        }
        all
    }

    /// Sum of the cross-entropies of some sequences, times `scale`. `windows` holds each
    /// sequence's characters and the one after them.
    pub fn loss(&self, windows: &[&[u32]], scale: f32) -> Result<Tensor> {
        let ids: Vec<u32> = windows.iter().flat_map(|w| &w[..CONTEXT]).copied().collect();
        let targets: Vec<u32> = windows.iter().flat_map(|w| &w[1..]).copied().collect();
        let rows = ids.len();
        let ids = Tensor::from_vec(ids, rows, &Device::Cpu)?;
        let targets = Tensor::from_vec(targets, rows, &Device::Cpu)?;

        let mut x = self.embedding.index_select(&ids, 0)?;
        if let Some(tables) = &self.basic {
            for layer in &self.layers {
                let h = basic::rms_norm(&x, &layer.attn_norm)?;
                x = (x + basic::attention(&h, &layer.qkv, &layer.o_proj, tables)?)?;
                let h = basic::rms_norm(&x, &layer.mlp_norm)?;
                x = (x + basic::mlp(&h, &layer.gate_up, &layer.down_proj)?)?;
            }
            let logits = basic::rms_norm(&x, &self.norm)?.matmul(&self.embedding.t()?)?;
            return basic::cross_entropy(&logits, &targets, scale);
        }
        for layer in &self.layers {
            let h = ops::rms_norm(&x, &layer.attn_norm)?;
            x = (x + ops::attention(&h, &layer.qkv, &layer.o_proj, &self.table)?)?;
            let h = ops::rms_norm(&x, &layer.mlp_norm)?;
            x = (x + ops::mlp(&h, &layer.gate_up, &layer.down_proj)?)?;
        }
        let logits = ops::rms_norm(&x, &self.norm)?.matmul(&self.embedding.t()?)?;
        ops::cross_entropy(&logits, &targets, scale)
    }
}
