//! The same layers in candle's basic operations, which differentiate by themselves and also run on GPUs.

use candle_core::{D, DType, Device, Result, Tensor};

use crate::{CONTEXT, DIM, HEADS, HIDDEN};

const HEAD: usize = DIM / HEADS;

/// Rotary cosines and sines, and the causal mask.
pub struct Tables {
    cos: Tensor,
    sin: Tensor,
    mask: Tensor,
}

impl Tables {
    pub fn new() -> Result<Self> {
        let angle = |at: usize| {
            let (position, pair) = (at / (HEAD / 2), at % (HEAD / 2));
            position as f64 / 10_000_f64.powf(2.0 * pair as f64 / HEAD as f64)
        };
        let table = |f: fn(f64) -> f64| {
            let values: Vec<f32> = (0..CONTEXT * HEAD / 2).map(|at| f(angle(at)) as f32).collect();
            Tensor::from_vec(values, (CONTEXT, HEAD / 2), &Device::Cpu)
        };
        let open = |at: usize| if at % CONTEXT <= at / CONTEXT { 0.0 } else { f32::NEG_INFINITY };
        let mask = (0..CONTEXT * CONTEXT).map(open).collect();
        Ok(Self {
            cos: table(f64::cos)?,
            sin: table(f64::sin)?,
            mask: Tensor::from_vec::<_, f32>(mask, (CONTEXT, CONTEXT), &Device::Cpu)?,
        })
    }
}

pub fn rms_norm(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let root = (x.sqr()?.mean_keepdim(D::Minus1)? + 1e-5)?.sqrt()?;
    x.broadcast_div(&root)?.broadcast_mul(weight)
}

/// (sequences, heads, positions, width), turned by the position.
fn rotate(x: &Tensor, tables: &Tables) -> Result<Tensor> {
    let (a, b) = (x.narrow(D::Minus1, 0, HEAD / 2)?, x.narrow(D::Minus1, HEAD / 2, HEAD / 2)?);
    let turned_a = (a.broadcast_mul(&tables.cos)? - b.broadcast_mul(&tables.sin)?)?;
    let turned_b = (b.broadcast_mul(&tables.cos)? + a.broadcast_mul(&tables.sin)?)?;
    Tensor::cat(&[turned_a, turned_b], D::Minus1)
}

pub fn attention(x: &Tensor, w_in: &Tensor, w_out: &Tensor, tables: &Tables) -> Result<Tensor> {
    let rows = x.dim(0)?;
    let qkv = x.matmul(w_in)?;
    let part = |index: usize| {
        let heads = (rows / CONTEXT, CONTEXT, HEADS, HEAD);
        qkv.narrow(1, index * DIM, DIM)?.reshape(heads)?.transpose(1, 2)?.contiguous()
    };
    let (q, k, v) = (rotate(&part(0)?, tables)?, rotate(&part(1)?, tables)?, part(2)?);
    let scores = (q.matmul(&k.t()?)? * (HEAD as f64).powf(-0.5))?.broadcast_add(&tables.mask)?;
    let exp = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
    let weights = exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)?;
    let mixed = weights.matmul(&v)?.transpose(1, 2)?.reshape((rows, DIM))?;
    mixed.matmul(w_out)
}

pub fn mlp(x: &Tensor, w_in: &Tensor, w_out: &Tensor) -> Result<Tensor> {
    let both = x.matmul(w_in)?;
    (both.narrow(1, 0, HIDDEN)?.silu()? * both.narrow(1, HIDDEN, HIDDEN)?)?.matmul(w_out)
}

pub fn cross_entropy(logits: &Tensor, targets: &Tensor, scale: f32) -> Result<Tensor> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let log_sum = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let chosen = shifted.gather(&targets.unsqueeze(1)?.to_dtype(DType::U32)?, 1)?;
    (log_sum - chosen)?.sum_all()? * f64::from(scale)
}
