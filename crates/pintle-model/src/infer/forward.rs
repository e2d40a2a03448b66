//! One step through the network: rows of several sequences, each at its own position, as one batch.
//!
//! The leader does what is small and touches everything (normalisation, rotation, the residual stream), all threads
//! together do the products and the attention. A phase is cut into parts of a matrix's panels, each
//! with a buffer of its own. Locks keep the phases apart for the compiler's sake; nobody ever waits for one.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{
    cache::{BlockId, Cache},
    crew::{Crew, Work},
    weights::{EngineModel, Matrix},
};
use crate::{
    ModelError,
    locks::lock,
    math::{Cells, Heads, PANEL, Queries, Rows, Scratch, attend_cached, rms_norm, rows_at_once, silu_gate},
};

/// What one sequence contributes to a step.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) tokens: Vec<u32>,
    /// The position of the first of them.
    pub(super) position: usize,
    /// The sequence's blocks of the cache, in order.
    pub(super) blocks: Vec<BlockId>,
}

/// A phase of a step.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Qkv(usize),
    Attend(usize),
    Out(usize),
    GateUp(usize),
    Down(usize),
    Head,
}

impl Phase {
    const KINDS: usize = 5;

    /// As a number, for the crew.
    const fn number(self) -> usize {
        match self {
            Phase::Head => 0,
            Phase::Qkv(layer) => 1 + layer * Phase::KINDS,
            Phase::Attend(layer) => 2 + layer * Phase::KINDS,
            Phase::Out(layer) => 3 + layer * Phase::KINDS,
            Phase::GateUp(layer) => 4 + layer * Phase::KINDS,
            Phase::Down(layer) => 5 + layer * Phase::KINDS,
        }
    }

    const fn of(number: usize) -> Phase {
        let Some(rest) = number.checked_sub(1) else { return Phase::Head };
        let layer = rest / Phase::KINDS;
        match rest % Phase::KINDS {
            0 => Phase::Qkv(layer),
            1 => Phase::Attend(layer),
            2 => Phase::Out(layer),
            3 => Phase::GateUp(layer),
            _ => Phase::Down(layer),
        }
    }
}

/// Query rows of one sequence and one head of keys: what a thread attends to at once.
#[derive(Debug)]
struct Unit {
    span: usize,
    shared: usize,
    /// The row in the batch and the query head of each query.
    members: Vec<(usize, usize)>,
    /// How many positions each query sees.
    seen: Vec<usize>,
    queries: Rows,
}

/// Who attends to what in this step.
#[derive(Debug, Default)]
struct Plan {
    units: Vec<Unit>,
    /// Each part's units.
    shares: Vec<Range<usize>>,
    tables: Vec<Vec<BlockId>>,
}

/// What comes of one part of a phase.
#[derive(Debug, Default)]
struct Output {
    cells: Vec<Cells>,
    wide: Vec<Cells>,
    scratch: Scratch,
}

/// What the threads share.
#[derive(Debug)]
struct Floor {
    model: Arc<EngineModel>,
    parts: usize,
    input: RwLock<Rows>,
    plan: RwLock<Plan>,
    cache: RwLock<Cache>,
    outputs: Vec<Mutex<Output>>,
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Into how many parts a phase is cut for each of several threads.
const PARTS_PER_THREAD: usize = 4;

impl Work for Floor {
    fn parts(&self) -> usize {
        self.parts
    }

    fn work(&self, phase: usize, part: usize) {
        let Some(mut output) = self.outputs.get(part).map(lock) else { return };
        let layer = |layer: usize| self.model.layers.get(layer);
        match Phase::of(phase) {
            Phase::Qkv(at) => self.multiply(layer(at).map(|l| &l.qkv), part, &mut output),
            Phase::Attend(at) => self.attend(at, part, &mut output),
            Phase::Out(at) => self.multiply(layer(at).map(|l| &l.out), part, &mut output),
            Phase::GateUp(at) => self.gate(layer(at).map(|l| &l.gate_up), part, &mut output),
            Phase::Down(at) => self.multiply(layer(at).map(|l| &l.down), part, &mut output),
            Phase::Head => self.multiply(Some(&*self.model.head), part, &mut output),
        }
    }
}

impl Floor {
    /// A part's share of `count` things, all shares in order.
    fn share(&self, count: usize, part: usize) -> Range<usize> {
        count * part / self.parts..count * (part + 1) / self.parts
    }

    fn multiply(&self, matrix: Option<&Matrix>, part: usize, output: &mut Output) {
        let Some(matrix) = matrix else { return };
        let input = read(&self.input);
        let panels = self.share(matrix.panels(), part);
        output.cells.resize(panels.len() * input.len(), [0.0; PANEL]);
        matrix.product(&mut output.cells, &input, panels);
    }

    /// The product with gate and up, and what becomes of the two.
    fn gate(&self, matrix: Option<&Matrix>, part: usize, output: &mut Output) {
        let Some(matrix) = matrix else { return };
        let input = read(&self.input);
        let pairs = self.share(matrix.panels() / 2, part);
        let Output { cells, wide, .. } = output;
        cells.resize(pairs.len() * input.len(), [0.0; PANEL]);
        wide.resize(2 * cells.len(), [0.0; PANEL]);
        matrix.product(wide, &input, 2 * pairs.start..2 * pairs.end);
        silu_gate(cells.as_flattened_mut(), wide.as_flattened(), input.len() * PANEL);
    }

    fn attend(&self, layer: usize, part: usize, output: &mut Output) {
        let (plan, cache) = (read(&self.plan), read(&self.cache));
        let share = plan.shares.get(part).cloned().unwrap_or_default();
        let units = plan.units.get(share).unwrap_or_default();
        let panels = self.model.shape.heads.dim.div_ceil(PANEL);
        let Output { cells, scratch, .. } = output;
        cells.resize(units.iter().map(|unit| unit.members.len() * panels).sum(), [0.0; PANEL]);
        let mut rest = cells.as_mut_slice();
        for unit in units {
            let Some((to, after)) = rest.split_at_mut_checked(unit.members.len() * panels) else { return };
            rest = after;
            let table = plan.tables.get(unit.span).map(Vec::as_slice).unwrap_or_default();
            let blocks: Vec<_> =
                table.iter().filter_map(|block| cache.part(*block, layer, unit.shared)).collect();
            let Some((values, lanes)) = unit.queries.only_group() else { return };
            attend_cached(to, Queries { values, lanes, seen: &unit.seen }, &blocks, scratch);
        }
    }
}

/// Goes through the network, step by step.
#[derive(Debug)]
pub(super) struct Forward {
    crew: Crew<Floor>,
    at_once: usize,
    residual: Vec<f32>,
    normed: Vec<f32>,
    inverse: Vec<f32>,
    wide: Vec<f32>,
}

impl Forward {
    pub(super) fn new(model: Arc<EngineModel>, threads: usize, cache: Cache) -> Result<Self, ModelError> {
        let at_once = rows_at_once();
        let parts = if threads == 1 { 1 } else { PARTS_PER_THREAD * threads };
        let floor = Floor {
            model,
            parts,
            input: RwLock::new(Rows::new(at_once)),
            plan: RwLock::new(Plan::default()),
            cache: RwLock::new(cache),
            outputs: (0..parts).map(|_| Mutex::new(Output::default())).collect(),
        };
        Ok(Forward {
            crew: Crew::new(Arc::new(floor), threads)?,
            at_once,
            residual: Vec::new(),
            normed: Vec::new(),
            inverse: Vec::new(),
            wide: Vec::new(),
        })
    }

    /// The cache, between two steps.
    pub(super) fn cache(&self) -> RwLockWriteGuard<'_, Cache> {
        write(&self.crew.work().cache)
    }

    /// Takes the batch through all layers. What came of it is asked for by [`Forward::logits`].
    pub(super) fn step(&mut self, batch: &[Span]) -> Result<(), ModelError> {
        let model = Arc::clone(&self.crew.work().model);
        let config = &model.shape.config;
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let rows: usize = batch.iter().map(|span| span.tokens.len()).sum();
        self.residual.resize(rows * hidden, 0.0);
        let tokens = batch.iter().flat_map(|span| &span.tokens);
        for (to, token) in self.residual.chunks_exact_mut(hidden).zip(tokens) {
            model.embedding.row(*token as usize, to);
        }
        self.plan(batch, model.shape.heads);
        for (index, layer) in model.layers.iter().enumerate() {
            self.norm(&layer.norm_before, config.rms_norm_eps);
            self.crew.run(Phase::Qkv(index).number())?;
            self.gather(rows, model.shape.heads.row_width());
            self.place(&model, batch, index);
            self.crew.run(Phase::Attend(index).number())?;
            self.gather_attended(rows, model.shape.heads);
            self.crew.run(Phase::Out(index).number())?;
            self.gather_residual(rows, hidden);

            self.norm(&layer.norm_between, config.rms_norm_eps);
            self.crew.run(Phase::GateUp(index).number())?;
            self.gather(rows, inner);
            self.fill_from_wide(inner);
            self.crew.run(Phase::Down(index).number())?;
            self.gather_residual(rows, hidden);
        }
        Ok(())
    }

    /// The logits of some rows of the last step, row after row.
    pub(super) fn logits(&mut self, rows: &[usize]) -> Result<&[f32], ModelError> {
        let model = Arc::clone(&self.crew.work().model);
        let (hidden, vocabulary) = (model.shape.config.hidden_size, model.shape.config.vocab_size);
        // The residual stream is used up row by row: the wanted rows move to the buffer that is normalised.
        self.wide.clear();
        for row in rows {
            let start = row * hidden;
            self.wide.extend_from_slice(self.residual.get(start..start + hidden).unwrap_or_default());
        }
        self.normed.resize(self.wide.len(), 0.0);
        self.inverse.resize(rows.len(), 0.0);
        let epsilon = model.shape.config.rms_norm_eps;
        rms_norm(&mut self.normed, &mut self.inverse, &self.wide, &model.norm_last, epsilon);
        write(&self.crew.work().input).fill(&self.normed, hidden);
        self.crew.run(Phase::Head.number())?;
        self.gather(rows.len(), vocabulary);
        Ok(&self.wide)
    }

    /// Cuts the batch's attention into units, and the units into shares of about the same work.
    fn plan(&self, batch: &[Span], heads: Heads) {
        let floor = self.crew.work();
        let mut plan = write(&floor.plan);
        plan.units.clear();
        plan.tables = batch.iter().map(|span| span.blocks.clone()).collect();
        let group = heads.queries / heads.shared;
        let mut first = 0;
        for (index, span) in batch.iter().enumerate() {
            for shared in 0..heads.shared {
                let mut members = (0..span.tokens.len())
                    .flat_map(|row| (0..group).map(move |head| (row, shared * group + head)))
                    .peekable();
                while members.peek().is_some() {
                    let (mut taken, mut seen) = (Vec::new(), Vec::new());
                    for (row, head) in members.by_ref().take(self.at_once) {
                        taken.push((first + row, head));
                        seen.push(span.position + row + 1);
                    }
                    let mut queries = Rows::new(self.at_once);
                    queries.resize(taken.len(), heads.dim);
                    plan.units.push(Unit { span: index, shared, members: taken, seen, queries });
                }
            }
            first += span.tokens.len();
        }
        let cost = |unit: &Unit| unit.members.len() * unit.seen.last().copied().unwrap_or(0);
        let total: usize = plan.units.iter().map(cost).sum();
        let (mut done, mut start) = (0, 0);
        let mut shares = Vec::with_capacity(floor.parts);
        for part in 1..=floor.parts {
            let mut end = start;
            while let Some(unit) = plan.units.get(end)
                && done + cost(unit) / 2 < total * part / floor.parts
            {
                done += cost(unit);
                end += 1;
            }
            let end = if part == floor.parts { plan.units.len() } else { end };
            shares.push(start..end);
            start = end;
        }
        plan.shares = shares;
    }

    /// Normalises the residual stream into the next product's input.
    fn norm(&mut self, weight: &[f32], epsilon: f32) {
        self.normed.resize(self.residual.len(), 0.0);
        self.inverse.resize(self.residual.len() / weight.len(), 0.0);
        rms_norm(&mut self.normed, &mut self.inverse, &self.residual, weight, epsilon);
        write(&self.crew.work().input).fill(&self.normed, weight.len());
    }

    fn fill_from_wide(&self, depth: usize) {
        write(&self.crew.work().input).fill(&self.wide, depth);
    }

    /// Puts the threads' panels together to rows.
    fn gather(&mut self, rows: usize, width: usize) {
        self.wide.resize(rows * width, 0.0);
        each_panel(self.crew.work(), rows, width, &mut self.wide, |to, from| {
            for (to, from) in to.iter_mut().zip(from) {
                *to = *from;
            }
        });
    }

    /// Adds the threads' panels to the residual stream.
    fn gather_residual(&mut self, rows: usize, width: usize) {
        each_panel(self.crew.work(), rows, width, &mut self.residual, |to, from| {
            for (to, from) in to.iter_mut().zip(from) {
                *to += *from;
            }
        });
    }

    /// Rotates queries and keys to their positions, puts keys and values into the cache and queries into the plan.
    fn place(&mut self, model: &EngineModel, batch: &[Span], layer: usize) {
        let heads = model.shape.heads;
        let floor = self.crew.work();
        let mut cache = write(&floor.cache);
        let (query_width, shared_width) = (heads.query_width(), heads.shared_width());
        let mut rows = self.wide.chunks_exact_mut(heads.row_width());
        for span in batch {
            for (offset, row) in rows.by_ref().take(span.tokens.len()).enumerate() {
                let position = span.position + offset;
                let Some((turned, values)) = row.split_at_mut_checked(query_width + shared_width) else {
                    return;
                };
                model.shape.rotation.turn_one(turned, position);
                let Some((queries, keys)) = turned.split_at_mut_checked(query_width) else { return };
                for query in queries {
                    *query *= heads.scale();
                }
                if let Some(block) = span.blocks.get(position / PANEL) {
                    cache.write(*block, layer, position % PANEL, keys, values);
                }
            }
        }
        let mut plan = write(&floor.plan);
        for Unit { members, queries, .. } in &mut plan.units {
            for (index, (row, head)) in members.iter().enumerate() {
                let start = row * heads.row_width() + head * heads.dim;
                queries.put(index, self.wide.get(start..start + heads.dim).unwrap_or_default());
            }
        }
    }

    /// Puts the answers of the heads side by side, as the next product's input.
    fn gather_attended(&mut self, rows: usize, heads: Heads) {
        let floor = self.crew.work();
        let width = heads.query_width();
        self.wide.resize(rows * width, 0.0);
        let plan = read(&floor.plan);
        let panels = heads.dim.div_ceil(PANEL);
        for (output, share) in floor.outputs.iter().zip(&plan.shares) {
            let output = lock(output);
            let mut cells = output.cells.as_slice();
            for unit in plan.units.get(share.clone()).unwrap_or_default() {
                let count = unit.members.len();
                let Some((own, rest)) = cells.split_at_checked(count * panels) else { return };
                cells = rest;
                for (panel, own) in own.chunks_exact(count).enumerate() {
                    for ((row, head), cells) in unit.members.iter().zip(own) {
                        let start = row * width + head * heads.dim + panel * PANEL;
                        let end = row * width + (head + 1) * heads.dim;
                        let to = self.wide.get_mut(start..end).unwrap_or_default();
                        for (to, from) in to.iter_mut().zip(cells) {
                            *to = *from;
                        }
                    }
                }
            }
        }
        write(&floor.input).fill(&self.wide, width);
    }
}

/// Shows each row's part of each panel together with what a thread made of it.
fn each_panel(
    floor: &Floor,
    rows: usize,
    width: usize,
    to: &mut [f32],
    mut take: impl FnMut(&mut [f32], &Cells),
) {
    let mut first = 0;
    for output in &floor.outputs {
        let output = lock(output);
        for panel in output.cells.chunks_exact(rows.max(1)) {
            let end = (first + PANEL).min(width);
            for (to, cells) in to.chunks_exact_mut(width).zip(panel) {
                take(to.get_mut(first..end).unwrap_or_default(), cells);
            }
            first += PANEL;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_and_their_numbers_are_inverse() {
        for number in 0..200 {
            assert_eq!(Phase::of(number).number(), number);
        }
    }
}
