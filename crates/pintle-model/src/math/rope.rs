//! Rotary position embedding, in Hugging Face's layout: the first half of a head turns with the second.

use super::wide;

/// Cosines and sines for each position.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    half: usize,
    /// Per position: `half` cosines, then `half` sines.
    table: Vec<f32>,
}

/// Which way to turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Forward,
    /// The inverse, which is also the way back of a gradient.
    Back,
}

impl Rotation {
    /// For positions below `positions`. Angles are computed in `f64`: at `f32` late positions lose digits.
    pub(crate) fn new(head_dim: usize, theta: f64, positions: usize) -> Self {
        let half = head_dim / 2;
        let mut table = Vec::with_capacity(positions * head_dim);
        for position in 0..positions {
            let angle = |i: usize| position as f64 * theta.powf(-2.0 * i as f64 / head_dim as f64);
            #[expect(clippy::cast_possible_truncation, reason = "weights and angles are single precision")]
            table.extend((0..half).map(|i| angle(i).cos() as f32));
            #[expect(clippy::cast_possible_truncation, reason = "weights and angles are single precision")]
            table.extend((0..half).map(|i| angle(i).sin() as f32));
        }
        Rotation { half, table }
    }

    /// Turns the heads at the beginning of a row that stands at `position`. A position beyond the table is left
    /// unturned; callers keep within the shape's positions.
    #[inline(always)]
    fn row(&self, heads: &mut [f32], position: usize, turn: Turn) {
        let width = 2 * self.half;
        let Some(angles) = self.table.get(position * width..(position + 1) * width) else { return };
        let (cos, sin) = angles.split_at(self.half);
        let sign = if turn == Turn::Forward { 1.0 } else { -1.0 };
        for head in heads.chunks_exact_mut(width) {
            let (a, b) = head.split_at_mut(self.half);
            for (((a, b), cos), sin) in a.iter_mut().zip(b).zip(cos).zip(sin) {
                let sin = sin * sign;
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }

    /// Turns the first `turned` values of each row of `row_width`; rows are tokens of sequences of `length`.
    pub(crate) fn turn(&self, rows: &mut [f32], row_width: usize, turned: usize, length: usize, turn: Turn) {
        wide(
            #[inline(always)]
            || {
                for (index, row) in rows.chunks_exact_mut(row_width).enumerate() {
                    let (heads, _) = row.split_at_mut(turned);
                    self.row(heads, index % length, turn);
                }
            },
        );
    }

    /// Turns one row's heads at a position of its own.
    pub(crate) fn turn_one(&self, heads: &mut [f32], position: usize) {
        wide(
            #[inline(always)]
            || self.row(heads, position, Turn::Forward),
        );
    }
}
