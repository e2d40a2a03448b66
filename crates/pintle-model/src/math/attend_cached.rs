//! Attention over cached keys and values, for the query rows of one group of heads.
//!
//! The cache comes in blocks of 32 positions that lie as panels for the product of `panel`: keys with the positions as
//! outputs, values with the positions as steps. Every query sees its own past only, and its sums do not depend on
//! which queries are computed beside it.

use pulp::{Arch, Simd, WithSimd};

use super::{
    Into,
    exp::softmax_inline,
    panel::{Cells, PANEL, Single, group_panel},
};

/// What one block of the cache holds for a layer and a head: `dim` steps of keys, then for each panel of a head's
/// values a step for each position.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockPart<'a> {
    pub(crate) keys: &'a [Single],
    pub(crate) values: &'a [Single],
}

/// Query rows that read the same keys and values: at most `rows_at_once` of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Queries<'a> {
    /// Along the head's dimension, a value of each query; scaled.
    pub(crate) values: &'a [f32],
    /// How many queries a step of `values` has, among them some without meaning.
    pub(crate) lanes: usize,
    /// How many positions each query sees; as many entries as there are queries.
    pub(crate) seen: &'a [usize],
}

/// Buffers of one thread.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    scores: Vec<f32>,
    turned: Vec<f32>,
    cells: Vec<Cells>,
}

/// `to` gets the answers: for each panel of a head's values, cells for each query.
pub(crate) fn attend_cached(
    to: &mut [Cells],
    queries: Queries<'_>,
    blocks: &[BlockPart<'_>],
    scratch: &mut Scratch,
) {
    struct Work<'a> {
        to: &'a mut [Cells],
        queries: Queries<'a>,
        blocks: &'a [BlockPart<'a>],
        scratch: &'a mut Scratch,
    }
    impl WithSimd for Work<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            attend(simd, self.to, self.queries, self.blocks, self.scratch);
        }
    }
    Arch::new().dispatch(Work { to, queries, blocks, scratch });
}

#[inline(always)]
fn attend<S: Simd>(
    simd: S,
    to: &mut [Cells],
    queries: Queries<'_>,
    blocks: &[BlockPart<'_>],
    scratch: &mut Scratch,
) {
    let (count, lanes) = (queries.seen.len(), queries.lanes);
    let end = queries.seen.iter().copied().max().unwrap_or(0);
    let used = end.div_ceil(PANEL);
    let width = used * PANEL;
    let Scratch { scores, turned, cells } = scratch;
    scores.resize(count * width, 0.0);
    cells.resize(count, [0.0; PANEL]);
    for (block, part) in blocks.iter().take(used).enumerate() {
        group_panel(simd, cells, queries.values, lanes, part.keys, Into::Replace);
        for (scores, cells) in scores.chunks_exact_mut(width).zip(cells.iter()) {
            if let Some(to) = scores.get_mut(block * PANEL..(block + 1) * PANEL) {
                to.copy_from_slice(cells);
            }
        }
    }
    // The length that a softmax runs over follows from what its query sees alone: company must not change its sums.
    for (scores, seen) in scores.chunks_exact_mut(width).zip(queries.seen) {
        let (own, beyond) = scores.split_at_mut(seen.next_multiple_of(PANEL).min(width));
        let hidden = own.get_mut(*seen..).unwrap_or_default();
        hidden.fill(f32::MIN / 2.0);
        softmax_inline(own);
        own.get_mut(*seen..).unwrap_or_default().fill(0.0);
        beyond.fill(0.0);
    }
    turned.resize(lanes * end, 0.0);
    if lanes == 1 {
        turned.copy_from_slice(scores.get(..end).unwrap_or_default());
    } else {
        for (lane, scores) in scores.chunks_exact(width).enumerate() {
            let to = turned.get_mut(lane..).unwrap_or_default();
            for (to, score) in to.iter_mut().step_by(lanes).zip(scores) {
                *to = *score;
            }
        }
    }
    for (panel, to) in to.chunks_exact_mut(count).enumerate() {
        to.fill([0.0; PANEL]);
        for (probabilities, part) in turned.chunks(PANEL * lanes).zip(blocks) {
            let steps = part.values.get(panel * PANEL..).unwrap_or_default();
            group_panel(simd, to, probabilities, lanes, steps, Into::Add);
        }
    }
}
