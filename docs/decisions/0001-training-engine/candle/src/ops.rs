//! Differentiable operations that candle lacks or cannot run backward, as custom operations.
//! Attention and the MLP are one operation each, matrix products included: candle's autodiff adds
//! every gradient to fresh zeros, so fewer nodes mean fewer passes over memory. All matrix
//! products are candle's.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CustomOp2, CustomOp3, Device, InplaceOp1, Layout, Result, Shape, Storage, Tensor,
};

use crate::kernels::{self, RopeTable, Step};
use crate::{DIM, HIDDEN};

/// Runs `f` on the numbers of contiguous tensors.
fn with_slices<const N: usize, R>(
    tensors: [&Tensor; N],
    f: impl FnOnce([&[f32]; N]) -> Result<R>,
) -> Result<R> {
    let guards = tensors.map(Tensor::storage_and_layout);
    let mut slices: [&[f32]; N] = [&[]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&guards) {
        let Storage::Cpu(storage) = &**storage else { candle_core::bail!("only the CPU is supported") };
        *slice = numbers(storage, layout)?;
    }
    f(slices)
}

fn numbers<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("a contiguous tensor is expected"),
    }
}

fn tensor(values: Vec<f32>, columns: usize) -> Result<Tensor> {
    let rows = values.len() / columns;
    Tensor::from_vec(values, (rows, columns), &Device::Cpu)
}

fn into_vec(storage: CpuStorage) -> Result<Vec<f32>> {
    match storage {
        CpuStorage::F32(values) => Ok(values),
        _ => candle_core::bail!("f32 is expected"),
    }
}

/// Matrix product of two matrices that are still bare storages.
fn product(a: &CpuStorage, la: &Layout, b: &CpuStorage, lb: &Layout) -> Result<Vec<f32>> {
    let ((m, k), (_, n)) = (la.shape().dims2()?, lb.shape().dims2()?);
    into_vec(a.matmul(b, (1, m, n, k), la, lb)?)
}

/// What the forward pass leaves for the backward pass of the same node.
struct Saved<T>(Mutex<Option<T>>);

impl<T> Saved<T> {
    fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn put(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }

    fn take(&self) -> Result<T> {
        let value = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        value.ok_or_else(|| candle_core::Error::Msg("backward runs once, after forward".into()))
    }
}

struct RmsNorm;

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        weight: &CpuStorage,
        lw: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let out = kernels::rms_norm(numbers(x, lx)?, numbers(weight, lw)?);
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (grad_x, grad_weight) = with_slices([x, weight, grad], |[x, weight, grad]| {
            Ok(kernels::rms_norm_backward(x, weight, grad))
        })?;
        let grad_weight = Tensor::from_vec(grad_weight, DIM, &Device::Cpu)?;
        Ok((Some(tensor(grad_x, DIM)?), Some(grad_weight)))
    }
}

pub fn rms_norm(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.apply_op2(weight, RmsNorm)
}

type Gradients3 = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

/// Projection to queries, keys and values, rotary positions, causal attention, output projection.
struct Attention {
    table: Arc<RopeTable>,
    /// Rotated queries, keys and values; mixed values; attention weights.
    saved: Saved<(Vec<f32>, Tensor, Vec<f32>)>,
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w_in: &CpuStorage,
        l_in: &Layout,
        w_out: &CpuStorage,
        l_out: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let mut qkv = product(x, lx, w_in, l_in)?;
        let (mixed, weights) = kernels::attention(&mut qkv, &self.table);
        let mixed = CpuStorage::F32(mixed);
        let out = product(&mixed, &Layout::contiguous(lx.shape()), w_out, l_out)?;
        self.saved.put((qkv, tensor(into_vec(mixed)?, DIM)?, weights));
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w_in: &Tensor,
        w_out: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<Gradients3> {
        let (mut qkv, mixed, weights) = self.saved.take()?;
        let grad_mixed = grad.matmul(&w_out.t()?)?;
        with_slices([&mixed, &grad_mixed], |[mixed, grad]| {
            kernels::attention_backward(&mut qkv, mixed, &weights, grad, &self.table);
            Ok(())
        })?;
        let grad_qkv = tensor(qkv, 3 * DIM)?;
        Ok((
            Some(grad_qkv.matmul(&w_in.t()?)?),
            Some(x.t()?.matmul(&grad_qkv)?),
            Some(mixed.t()?.matmul(grad)?),
        ))
    }
}

pub fn attention(x: &Tensor, w_in: &Tensor, w_out: &Tensor, table: &Arc<RopeTable>) -> Result<Tensor> {
    x.apply_op3(w_in, w_out, Attention { table: Arc::clone(table), saved: Saved::new() })
}

/// The SwiGLU MLP: gate and up in one projection, then down.
struct Mlp {
    /// Gate and up; their product.
    saved: Saved<(Vec<f32>, Tensor)>,
}

impl CustomOp3 for Mlp {
    fn name(&self) -> &'static str {
        "mlp"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w_in: &CpuStorage,
        l_in: &Layout,
        w_out: &CpuStorage,
        l_out: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let gate_up = product(x, lx, w_in, l_in)?;
        let hidden = tensor(kernels::swiglu(&gate_up), HIDDEN)?;
        let out = {
            let (storage, layout) = hidden.storage_and_layout();
            let Storage::Cpu(storage) = &*storage else { candle_core::bail!("only the CPU is supported") };
            product(storage, layout, w_out, l_out)?
        };
        self.saved.put((gate_up, hidden));
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w_in: &Tensor,
        w_out: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<Gradients3> {
        let (mut gate_up, hidden) = self.saved.take()?;
        let grad_hidden = grad.matmul(&w_out.t()?)?;
        with_slices([&grad_hidden], |[grad]| {
            kernels::swiglu_backward(&mut gate_up, grad);
            Ok(())
        })?;
        let grad_gate_up = tensor(gate_up, 2 * HIDDEN)?;
        Ok((
            Some(grad_gate_up.matmul(&w_in.t()?)?),
            Some(x.t()?.matmul(&grad_gate_up)?),
            Some(hidden.t()?.matmul(grad)?),
        ))
    }
}

pub fn mlp(x: &Tensor, w_in: &Tensor, w_out: &Tensor) -> Result<Tensor> {
    x.apply_op3(w_in, w_out, Mlp { saved: Saved::new() })
}

struct CrossEntropy {
    scale: f32,
    saved: Saved<Vec<f32>>,
}

impl CustomOp2 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(
        &self,
        logits: &CpuStorage,
        l_logits: &Layout,
        targets: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let logits = numbers(logits, l_logits)?;
        let (loss, grad) = kernels::cross_entropy(logits, targets.as_slice()?, self.scale);
        self.saved.put(grad);
        Ok((CpuStorage::F32(vec![loss]), ().into()))
    }

    /// The loss is the last node, so its own gradient is 1.
    fn bwd(
        &self,
        logits: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(Tensor::from_vec(self.saved.take()?, logits.shape(), &Device::Cpu)?), None))
    }
}

/// Sum of the rows' cross-entropies times `scale`.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor, scale: f32) -> Result<Tensor> {
    logits.apply_op2(targets, CrossEntropy { scale, saved: Saved::new() })
}

/// AdamW's two moments of one parameter.
pub struct AdamW {
    moments: Mutex<(Vec<f32>, Vec<f32>)>,
}

struct Update<'a> {
    state: &'a AdamW,
    grad: &'a Tensor,
    step: &'a Step,
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> Result<()> {
        let CpuStorage::F32(weights) = storage else { candle_core::bail!("f32 is expected") };
        let mut moments = self.state.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, second) = &mut *moments;
        with_slices([self.grad], |[grad]| {
            kernels::adamw(weights, grad, first, second, self.step);
            Ok(())
        })
    }
}

impl AdamW {
    pub fn new(len: usize) -> Self {
        Self { moments: Mutex::new((vec![0.0; len], vec![0.0; len])) }
    }

    pub fn update(&self, parameter: &Tensor, grad: &Tensor, step: &Step) -> Result<()> {
        parameter.inplace_op1(&Update { state: self, grad, step })
    }
}

pub fn sum_of_squares(tensor: &Tensor) -> Result<f32> {
    with_slices([tensor], |[values]| Ok(kernels::sum_of_squares(values)))
}
