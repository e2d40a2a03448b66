//! What the feed-forward parts apply value by value: `silu(gate) · up` (SwiGLU), where `gate` and `up` lie side by side
//! in each row, and GELU.
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

/// `x · Φ(x)`, Φ being the normal distribution: GELU by its definition, not by the `tanh` that is close to it. In place.
pub(crate) fn gelu(values: &mut [f32]) {
    wide(
        #[inline(always)]
        || {
            let (parts, rest) = values.as_chunks_mut::<LANES>();
            for part in parts {
                *part = gelu_of(*part);
            }
            for value in rest {
                [*value] = gelu_of([*value]);
            }
        },
    );
}

/// Φ is 1 - erfc(x / √2) / 2, and on the other side erfc(-x / √2) / 2: what is small is never the difference of what is
/// large. The polynomial is Abramowitz and Stegun's 7.1.26, which is off by 1.5e-7 at most.
#[inline(always)]
fn gelu_of<const N: usize>(values: [f32; N]) -> [f32; N] {
    let mut to = [0.0; N];
    for (to, x) in to.iter_mut().zip(values) {
        let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
        let t = 1.0 / (1.0 + 0.327_591_1 * z);
        let mut p = 1.061_405_4;
        p = p * t - 1.453_152;
        p = p * t + 1.421_413_8;
        p = p * t - 0.284_496_74;
        p = p * t + 0.254_829_6;
        let tail = 0.5 * p * t * exp(-z * z);
        *to = x * if x < 0.0 { tail } else { 1.0 - tail };
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `erf` by its series, which converges everywhere and is exact enough below 6.
    fn erf(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn gelu_is_that_of_the_definition() {
        let values: Vec<f32> = (-5_000..=5_000).map(|i| i as f32 / 1_000.0).collect();
        let mut got = values.clone();
        gelu(&mut got);
        for (x, got) in values.iter().zip(got) {
            let x = f64::from(*x);
            let expected = x * 0.5 * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2));
            assert!((f64::from(got) - expected).abs() < 1e-6, "{x}: {got} {expected}");
        }
        let mut far = [-1e30, -40.0, 40.0, 1e30];
        gelu(&mut far);
        assert!(far[0].abs() < 1e-30 && far[1].abs() < 1e-30);
        assert_eq!([far[2], far[3]].map(f32::to_bits), [40.0_f32, 1e30].map(f32::to_bits));
    }
}
