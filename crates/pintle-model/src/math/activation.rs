//! The gate of the feed-forward part: `silu(gate) · up` (SwiGLU). `gate` and `up` lie side by side in each row.
//!
//! Values are taken in arrays of one wide register's size: that the compiler turns into vectors without having to prove
//! that the slices do not overlap.

use super::{exp::exp, wide};

const LANES: usize = 16;

/// `to = silu(gate) · up` for rows of `gate_up`, each `2 × width` long.
pub(crate) fn silu_gate(to: &mut [f32], gate_up: &[f32], width: usize) {
    debug_assert!(gate_up.len() == 2 * to.len());
    wide(
        #[inline(always)]
        || {
            for (to, row) in to.chunks_exact_mut(width).zip(gate_up.chunks_exact(2 * width)) {
                let (gate, up) = row.split_at(width);
                let (to_parts, to_rest) = to.as_chunks_mut::<LANES>();
                let (gate_parts, gate_rest) = gate.as_chunks::<LANES>();
                let (up_parts, up_rest) = up.as_chunks::<LANES>();
                for ((to, gate), up) in to_parts.iter_mut().zip(gate_parts).zip(up_parts) {
                    *to = gated(*gate, *up);
                }
                for ((to, gate), up) in to_rest.iter_mut().zip(gate_rest).zip(up_rest) {
                    [*to] = gated([*gate], [*up]);
                }
            }
        },
    );
}

#[inline(always)]
fn gated<const N: usize>(gate: [f32; N], up: [f32; N]) -> [f32; N] {
    let mut to = [0.0; N];
    for ((to, gate), up) in to.iter_mut().zip(gate).zip(up) {
        *to = gate / (1.0 + exp(-gate)) * up;
    }
    to
}

/// The way back, in place: `gate_up` becomes its own gradient.
pub(crate) fn silu_gate_back(gate_up: &mut [f32], d_to: &[f32], width: usize) {
    debug_assert!(gate_up.len() == 2 * d_to.len());
    wide(
        #[inline(always)]
        || {
            for (row, d_to) in gate_up.chunks_exact_mut(2 * width).zip(d_to.chunks_exact(width)) {
                let (gate, up) = row.split_at_mut(width);
                let (gate_parts, gate_rest) = gate.as_chunks_mut::<LANES>();
                let (up_parts, up_rest) = up.as_chunks_mut::<LANES>();
                let (d_parts, d_rest) = d_to.as_chunks::<LANES>();
                for ((gate, up), d_to) in gate_parts.iter_mut().zip(up_parts).zip(d_parts) {
                    (*gate, *up) = gated_back(*gate, *up, *d_to);
                }
                for ((gate, up), d_to) in gate_rest.iter_mut().zip(up_rest).zip(d_rest) {
                    ([*gate], [*up]) = gated_back([*gate], [*up], [*d_to]);
                }
            }
        },
    );
}

#[inline(always)]
fn gated_back<const N: usize>(gate: [f32; N], up: [f32; N], d_to: [f32; N]) -> ([f32; N], [f32; N]) {
    let (mut d_gate, mut d_up) = ([0.0; N], [0.0; N]);
    for ((((d_gate, d_up), gate), up), d_to) in d_gate.iter_mut().zip(&mut d_up).zip(gate).zip(up).zip(d_to) {
        let sigmoid = 1.0 / (1.0 + exp(-gate));
        let silu = gate * sigmoid;
        *d_gate = d_to * up * (sigmoid + silu * (1.0 - sigmoid));
        *d_up = d_to * silu;
    }
    (d_gate, d_up)
}
