//! Keys and values of the running sequences, in blocks of 32 positions that a sequence holds while it runs.

use crate::math::{BlockPart, Heads, PANEL, Single, Step};

/// The place of a block in the cache.
pub(super) type BlockId = usize;

/// All blocks. They are made when they are first needed, up to a bound, and used again.
#[derive(Debug)]
pub(super) struct Cache {
    layers: usize,
    heads: Heads,
    blocks: Vec<Vec<Single>>,
    free: Vec<BlockId>,
    /// Blocks that are promised to sequences, whether they took them yet or not.
    reserved: usize,
    blocks_max: usize,
}

impl Cache {
    /// Of at most `bytes_max`.
    pub(super) fn new(layers: usize, heads: Heads, bytes_max: usize) -> Self {
        let mut cache =
            Cache { layers, heads, blocks: Vec::new(), free: Vec::new(), reserved: 0, blocks_max: 0 };
        cache.blocks_max = bytes_max / cache.block_bytes();
        cache
    }

    /// How many blocks so many positions take.
    pub(super) fn blocks_of(positions: usize) -> usize {
        positions.div_ceil(PANEL)
    }

    /// The most positions that fit, all sequences together.
    pub(super) fn positions_max(&self) -> usize {
        self.blocks_max.saturating_mul(PANEL)
    }

    fn part_steps(&self) -> usize {
        self.heads.dim + self.heads.dim.div_ceil(PANEL) * PANEL
    }

    fn block_steps(&self) -> usize {
        self.layers * self.heads.shared * self.part_steps()
    }

    pub(super) fn block_bytes(&self) -> usize {
        self.block_steps() * size_of::<Single>()
    }

    /// Promises so many blocks to a sequence, where there are enough. They are made and cleaned one by one, when the
    /// sequence comes to them.
    pub(super) fn reserve(&mut self, count: usize) -> bool {
        let fits = self.reserved + count <= self.blocks_max;
        if fits {
            self.reserved += count;
        }
        fits
    }

    /// Takes a block that was promised. It is made of zeros: what another sequence left there must not be seen, not
    /// even where a probability of zero would hide it.
    pub(super) fn take(&mut self) -> BlockId {
        if let Some(id) = self.free.pop() {
            if let Some(block) = self.blocks.get_mut(id) {
                block.fill(Single::ZERO);
            }
            return id;
        }
        self.blocks.push(vec![Single::ZERO; self.block_steps()]);
        self.blocks.len() - 1
    }

    /// Takes back the blocks of a sequence, and the promise of `count`.
    pub(super) fn give_back(&mut self, blocks: &mut Vec<BlockId>, count: usize) {
        self.free.append(blocks);
        self.reserved = self.reserved.saturating_sub(count);
    }

    fn start(&self, layer: usize, head: usize) -> usize {
        (layer * self.heads.shared + head) * self.part_steps()
    }

    /// What a block holds for a layer and a head.
    pub(super) fn part(&self, block: BlockId, layer: usize, head: usize) -> Option<BlockPart<'_>> {
        let start = self.start(layer, head);
        let part = self.blocks.get(block)?.get(start..start + self.part_steps())?;
        let (keys, values) = part.split_at_checked(self.heads.dim)?;
        Some(BlockPart { keys, values })
    }

    /// Writes the keys and values of one position: all heads side by side.
    pub(super) fn write(&mut self, block: BlockId, layer: usize, place: usize, keys: &[f32], values: &[f32]) {
        let (dim, steps) = (self.heads.dim, self.part_steps());
        let start = self.start(layer, 0);
        let parts = self.blocks.get_mut(block).and_then(|block| block.get_mut(start..)).unwrap_or_default();
        let heads = keys.chunks_exact(dim).zip(values.chunks_exact(dim));
        for (part, (key, value)) in parts.chunks_exact_mut(steps).zip(heads) {
            let Some((key_steps, value_steps)) = part.split_at_mut_checked(dim) else { continue };
            for (step, key) in key_steps.iter_mut().zip(key) {
                if let Some(cell) = step.0.get_mut(place) {
                    *cell = *key;
                }
            }
            for (panel, value) in value_steps.chunks_exact_mut(PANEL).zip(value.chunks(PANEL)) {
                if let Some(step) = panel.get_mut(place) {
                    for (cell, value) in step.0.iter_mut().zip(value) {
                        *cell = *value;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_bounded_cleaned_and_used_again() {
        let heads = Heads { queries: 4, shared: 2, dim: 40 };
        let block_bytes = 3 * 2 * (40 + 64) * 128;
        let mut cache = Cache::new(3, heads, 4 * block_bytes + 1);
        assert_eq!((cache.block_bytes(), cache.positions_max()), (block_bytes, 128));
        assert!(cache.reserve(3) && !cache.reserve(2));
        let mut first: Vec<_> = (0..3).map(|_| cache.take()).collect();
        let row: Vec<f32> = (1..=80_u8).map(f32::from).collect();
        cache.write(first[1], 2, 31, &row, &row);
        let part = cache.part(first[1], 2, 1).unwrap();
        let got = [part.keys[39].0[31], part.values[31].0[31], part.values[63].0[7], part.values[63].0[8]];
        assert_eq!(got.map(f32::to_bits), [80.0_f32, 72.0, 80.0, 0.0].map(f32::to_bits));
        cache.give_back(&mut first, 3);
        assert!(cache.reserve(4) && !cache.reserve(1));
        let again: Vec<_> = (0..4).map(|_| cache.take()).collect();
        assert_eq!(again.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
        assert_eq!(cache.blocks.len(), 4);
        assert!(cache.blocks.iter().flatten().all(|step| step.0.iter().all(|v| v.to_bits() == 0)));
    }
}
