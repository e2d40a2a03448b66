//! The arithmetic of the network: each operation forward and backward, over plain slices of `f32`.
//!
//! Every function here runs on one thread; the trainer gives each thread sequences of its own. Rows are tokens, and
//! matrices are stored row by row. Gradients with regard to weights are added to what is there, gradients with
//! regard to inputs replace it, unless a function says otherwise.

mod activation;
mod attend_cached;
mod attention;
mod exp;
#[cfg(test)]
mod gradients;
mod log_sum;
mod loss;
mod matmul;
mod norm;
mod panel;
mod rope;

pub(crate) use activation::{gelu, silu_gate, silu_gate_back};
pub(crate) use attend_cached::{BlockPart, Queries, Scratch, attend_cached};
pub(crate) use attention::{Heads, attend, attend_back, attend_both_ways};
pub(crate) use log_sum::log_sum_exp;
pub(crate) use loss::{IGNORE, cross_entropy};
pub(crate) use matmul::{Into, Mat, MatMut, matmul};
pub(crate) use norm::{layer_norm, rms_norm, rms_norm_back};
pub(crate) use panel::{Brain, Byte, Cells, PANEL, Rows, Single, Step, product, rows_at_once};
pub(crate) use rope::{Rotation, Turn};

use pulp::{Arch, NullaryFnOnce};

/// Runs a loop as the widest vectors of this machine can. What it calls must be inlined into it to gain from it.
#[inline]
pub(crate) fn wide<R>(work: impl FnOnce() -> R) -> R {
    struct Work<F>(F);
    impl<R, F: FnOnce() -> R> NullaryFnOnce for Work<F> {
        type Output = R;
        #[inline(always)]
        fn call(self) -> R {
            (self.0)()
        }
    }
    Arch::new().dispatch(Work(work).0)
}

/// Lanes of the sums below: as many as a wide register holds.
const LANES: usize = 16;

/// The sum of the products. In lanes of its own, since floating-point sums may not be reordered by the compiler.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (a_parts, a_rest) = a.as_chunks::<LANES>();
    let (b_parts, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_parts.iter().zip(b_parts) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// The sum of the values, in lanes as [`dot`].
#[inline(always)]
pub(crate) fn sum(values: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (parts, rest) = values.as_chunks::<LANES>();
    for part in parts {
        for (sum, value) in sums.iter_mut().zip(part) {
            *sum += value;
        }
    }
    sums.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

/// Adds the same values to each row, in place.
pub(crate) fn add_to_rows(rows: &mut [f32], values: &[f32]) {
    wide(
        #[inline(always)]
        || {
            for row in rows.chunks_exact_mut(values.len()) {
                for (to, value) in row.iter_mut().zip(values) {
                    *to += value;
                }
            }
        },
    );
}
