//! Attention with grouped heads: several query heads share one head of keys and values. Causal for models that write,
//! both ways for models that only read.

use super::{Into, Mat, MatMut, dot, exp::softmax_inline, matmul, wide};

/// How the heads of a row lie: queries, then keys, then values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    /// Query heads.
    pub(crate) queries: usize,
    /// Heads of keys, and as many of values. Divides `queries`.
    pub(crate) shared: usize,
    /// Values in a head.
    pub(crate) dim: usize,
}

impl Heads {
    /// Values of all query heads.
    pub(crate) const fn query_width(self) -> usize {
        self.queries * self.dim
    }

    /// Values of all heads of keys, or of values.
    pub(crate) const fn shared_width(self) -> usize {
        self.shared * self.dim
    }

    /// A row: queries, keys, values.
    pub(crate) const fn row_width(self) -> usize {
        self.query_width() + 2 * self.shared_width()
    }

    /// What scores are multiplied with.
    pub(crate) fn scale(self) -> f32 {
        1.0 / (self.dim as f32).sqrt()
    }

    /// Where the query head begins in a row, and its keys, and its values.
    const fn places(self, head: usize) -> (usize, usize, usize) {
        let group = head / (self.queries / self.shared);
        let keys = self.query_width() + group * self.dim;
        (head * self.dim, keys, keys + self.shared_width())
    }
}

/// Row `i` of a square of scores becomes probabilities over the columns up to `i`, and zero beyond.
fn softmax_causal(scores: &mut [f32], length: usize) {
    wide(
        #[inline(always)]
        || {
            for (i, row) in scores.chunks_exact_mut(length).enumerate() {
                // A little beyond what may be seen, so that the loops take whole registers: those get probabilities
                // that are zero in all but name.
                let (taken, _) = row.split_at_mut((i + 1).next_multiple_of(REGISTER).min(length));
                for hidden in taken.iter_mut().skip(i + 1) {
                    *hidden = f32::MIN / 2.0;
                }
                softmax_inline(taken);
                for hidden in row.iter_mut().skip(i + 1) {
                    *hidden = 0.0;
                }
            }
        },
    );
}

/// Values in a wide register.
const REGISTER: usize = 16;

/// Causal attention of one sequence: `qkv` has its rows, `to` gets the heads' answers side by side. The probabilities of
/// each head, `length × length`, stay in `probabilities` for the way back.
pub(crate) fn attend(to: &mut [f32], probabilities: &mut [f32], qkv: &[f32], length: usize, heads: Heads) {
    for (head, square) in probabilities.chunks_exact_mut(length * length).enumerate() {
        attend_head(to, square, qkv, head, length, heads, softmax_causal);
    }
}

/// Attention of one sequence in which every token sees all. `square` is a buffer of `length × length`.
pub(crate) fn attend_both_ways(to: &mut [f32], square: &mut [f32], qkv: &[f32], length: usize, heads: Heads) {
    for head in 0..heads.queries {
        attend_head(to, square, qkv, head, length, heads, softmax_rows);
    }
}

fn attend_head(
    to: &mut [f32],
    square: &mut [f32],
    qkv: &[f32],
    head: usize,
    length: usize,
    heads: Heads,
    softmax: impl Fn(&mut [f32], usize),
) {
    let (width, row) = (heads.query_width(), heads.row_width());
    let (q, k, v) = heads.places(head);
    let part = |from: usize| Mat::strided(tail(qkv, from), length, heads.dim, row);
    matmul(MatMut::new(square, length, length), part(q), part(k).t(), heads.scale(), Into::Replace);
    softmax(square, length);
    let out = MatMut::strided(tail_mut(to, head * heads.dim), length, heads.dim, width);
    matmul(out, Mat::new(square, length, length), part(v), 1.0, Into::Replace);
}

/// Each row of a square of scores becomes probabilities.
fn softmax_rows(scores: &mut [f32], length: usize) {
    wide(
        #[inline(always)]
        || {
            for row in scores.chunks_exact_mut(length) {
                softmax_inline(row);
            }
        },
    );
}

/// The way back of [`attend`]: `d_qkv` gets the gradients of queries, keys and values. `scratch` holds one square.
pub(crate) fn attend_back(
    d_qkv: &mut [f32],
    scratch: &mut [f32],
    d_to: &[f32],
    probabilities: &[f32],
    qkv: &[f32],
    length: usize,
    heads: Heads,
) {
    let (width, row) = (heads.query_width(), heads.row_width());
    let group = heads.queries / heads.shared;
    for (head, square) in probabilities.chunks_exact(length * length).enumerate() {
        let (q, k, v) = heads.places(head);
        let part = |from: usize| Mat::strided(tail(qkv, from), length, heads.dim, row);
        let d_out = Mat::strided(tail(d_to, head * heads.dim), length, heads.dim, width);
        // The first head of a group finds nothing there yet, the others add to it.
        let into = if head % group == 0 { Into::Replace } else { Into::Add };
        let mut back = |from: usize, left: Mat<'_>, right: Mat<'_>, scale: f32, into: Into| {
            let to = MatMut::strided(tail_mut(d_qkv, from), length, heads.dim, row);
            matmul(to, left, right, scale, into);
        };
        let square_mat = Mat::new(square, length, length);
        back(v, square_mat.t(), d_out, 1.0, into);
        matmul(MatMut::new(scratch, length, length), d_out, part(v).t(), 1.0, Into::Replace);
        softmax_back(scratch, square, length);
        let d_scores = Mat::new(scratch, length, length);
        back(q, d_scores, part(k), heads.scale(), Into::Replace);
        back(k, d_scores.t(), part(q), heads.scale(), into);
    }
}

/// Gradients of probabilities become gradients of scores, in place.
fn softmax_back(d: &mut [f32], probabilities: &[f32], length: usize) {
    wide(
        #[inline(always)]
        || {
            let rows = d.chunks_exact_mut(length).zip(probabilities.chunks_exact(length));
            for (i, (d, p)) in rows.enumerate() {
                // Beyond what may be seen the probabilities are zero, and so is what becomes of the gradients there.
                let end = (i + 1).next_multiple_of(REGISTER).min(length);
                let ((seen, hidden), (p, _)) = (d.split_at_mut(end), p.split_at(end));
                let along = dot(seen, p);
                for (d, p) in seen.iter_mut().zip(p) {
                    *d = p * (*d - along);
                }
                hidden.fill(0.0);
            }
        },
    );
}

fn tail(values: &[f32], from: usize) -> &[f32] {
    values.get(from..).unwrap_or_default()
}

fn tail_mut(values: &mut [f32], from: usize) -> &mut [f32] {
    values.get_mut(from..).unwrap_or_default()
}
