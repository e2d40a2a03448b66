//! Steps of training on several threads. A batch is cut into shards, each with buffers and gradients of its own; the
//! number of shards is part of a run's settings, so that the sums, and with them the whole curve, do not depend on how
//! many threads a machine has.

use super::optimiser::{Moments, OptimiserSettings, Update, stretches};
use crate::{
    ModelError,
    math::{IGNORE, wide},
    network::{Pass, Shape, Task},
};

/// The whole state of training: what a checkpoint keeps.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) weights: Vec<f32>,
    pub(crate) moments: Moments,
    /// Steps that were made.
    pub(crate) step: u64,
}

/// Sequences of one length, one after the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Batch {
    pub(crate) tokens: Vec<u32>,
    pub(crate) targets: Vec<u32>,
    pub(crate) length: usize,
}

impl Batch {
    /// How many tokens the model is to predict.
    pub(crate) fn asked(&self) -> usize {
        self.targets.iter().filter(|target| **target != IGNORE).count()
    }
}

/// What a step came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stepped {
    /// Nats per predicted token.
    pub(crate) loss: f64,
    /// Of the gradients, before they were clipped.
    pub(crate) norm: f64,
}

/// The threads' buffers.
#[derive(Debug)]
pub(crate) struct Machine {
    shape: Shape,
    shards: Vec<Shard>,
    stretches: Vec<Vec<(std::ops::Range<usize>, bool)>>,
}

#[derive(Debug)]
struct Shard {
    pass: Pass,
    gradients: Vec<f32>,
}

impl Machine {
    pub(crate) fn new(shape: &Shape, shards: usize) -> Self {
        let shard = || Shard { pass: Pass::new(shape), gradients: vec![0.0; shape.layout.weights] };
        Machine {
            shape: shape.clone(),
            shards: (0..shards.max(1)).map(|_| shard()).collect(),
            stretches: stretches(&shape.layout, shards.max(1)),
        }
    }

    /// One step over one or several batches, whose gradients are accumulated: `1 × 8` and `8 × 1` sequences give the
    /// same step, because every token counts alike.
    pub(crate) fn step(
        &mut self,
        state: &mut State,
        batches: &[Batch],
        settings: &OptimiserSettings,
        rate: f32,
    ) -> Result<Stepped, ModelError> {
        let asked: usize = batches.iter().map(Batch::asked).sum();
        for shard in &mut self.shards {
            shard.gradients.fill(0.0);
        }
        let mut loss = 0.0;
        for batch in batches {
            loss += self.gradients(&state.weights, batch, 1.0 / asked.max(1) as f32)?;
        }
        let norm = self.gather()?;
        state.step += 1;
        let loss = loss / asked.max(1) as f64;
        if !loss.is_finite() || !norm.is_finite() {
            return Err(ModelError::Diverged { step: state.step });
        }
        let clip = f64::from(settings.clip);
        #[expect(clippy::cast_possible_truncation, reason = "gradients are single precision")]
        let shorten = if clip > 0.0 && norm > clip { (clip / norm) as f32 } else { 1.0 };
        let update = Update { settings: *settings, rate, step: state.step, shorten };
        self.update(state, update)?;
        Ok(Stepped { loss, norm })
    }

    /// The loss of a batch in nats, summed, without learning.
    pub(crate) fn loss(&mut self, weights: &[f32], batch: &Batch) -> Result<f64, ModelError> {
        self.each_part(batch, |shard, part| shard.pass.loss(weights, part), 0.0)
    }

    fn gradients(&mut self, weights: &[f32], batch: &Batch, scale: f32) -> Result<f64, ModelError> {
        self.each_part(batch, |shard, part| shard.pass.learn(weights, &mut shard.gradients, part), scale)
    }

    /// Gives each shard its sequences, on a thread of its own, and adds what they say.
    fn each_part(
        &mut self,
        batch: &Batch,
        work: impl Fn(&mut Shard, Task<'_>) -> f64 + Sync,
        scale: f32,
    ) -> Result<f64, ModelError> {
        let sequences = batch.tokens.len() / batch.length.max(1);
        let part = sequences.div_ceil(self.shards.len()).max(1) * batch.length;
        let parts = batch.tokens.chunks(part).zip(batch.targets.chunks(part));
        let tasks = parts.map(|(tokens, targets)| Task { tokens, targets, length: batch.length, scale });
        let mut pairs: Vec<_> = self.shards.iter_mut().zip(tasks).collect();
        let Some((own_shard, own_task)) = pairs.pop() else { return Ok(0.0) };
        std::thread::scope(|scope| {
            let work = &work;
            let others: Vec<_> =
                pairs.into_iter().map(|(shard, task)| scope.spawn(move || work(shard, task))).collect();
            let own = work(own_shard, own_task);
            let mut total = 0.0;
            for other in others {
                total += other.join().map_err(|_| ModelError::Worker)?;
            }
            Ok(total + own)
        })
    }

    /// Adds all shards' gradients into the first's, and gives their length.
    fn gather(&mut self) -> Result<f64, ModelError> {
        let Some((first, others)) = self.shards.split_first_mut() else { return Ok(0.0) };
        let part = self.shape.layout.weights.div_ceil(others.len() + 1).max(1);
        let others: Vec<&[f32]> = others.iter().map(|shard| shard.gradients.as_slice()).collect();
        let sums = over_parts(first.gradients.chunks_mut(part).enumerate(), |(index, sum)| {
            for other in &others {
                let other = other.get(index * part..).unwrap_or_default();
                wide(
                    #[inline(always)]
                    || sum.iter_mut().zip(other).for_each(|(sum, value)| *sum += value),
                );
            }
            // In pieces, so that single precision does not lose the small ones among many.
            sum.chunks(4096)
                .map(|piece| {
                    f64::from(wide(
                        #[inline(always)]
                        || crate::math::dot(piece, piece),
                    ))
                })
                .sum::<f64>()
        })?;
        Ok(sums.into_iter().sum::<f64>().sqrt())
    }

    fn update(&mut self, state: &mut State, update: Update) -> Result<(), ModelError> {
        let Some(first) = self.shards.first() else { return Ok(()) };
        let mut weights = state.weights.as_mut_slice();
        let mut means = (state.moments.first.as_mut_slice(), state.moments.second.as_mut_slice());
        let mut gradients = first.gradients.as_slice();
        let mut parts = Vec::new();
        for stretches in &self.stretches {
            let mut part = Vec::new();
            for (range, decays) in stretches {
                let piece;
                (piece, weights) = weights.split_at_mut(range.len());
                let (first, rest_first) = means.0.split_at_mut(range.len());
                let (second, rest_second) = means.1.split_at_mut(range.len());
                means = (rest_first, rest_second);
                let gradient;
                (gradient, gradients) = gradients.split_at(range.len());
                part.push((piece, first, second, gradient, *decays));
            }
            parts.push(part);
        }
        over_parts(parts.into_iter(), |part| {
            for (weights, first, second, gradients, decays) in part {
                update.apply(weights, first, second, gradients, decays);
            }
        })?;
        Ok(())
    }
}

/// Does the work of each part on a thread of its own, the last one on this thread. Results in the order of the parts.
fn over_parts<P: Send, R: Send>(
    parts: impl Iterator<Item = P>,
    work: impl Fn(P) -> R + Sync,
) -> Result<Vec<R>, ModelError> {
    let mut parts: Vec<P> = parts.collect();
    let Some(own) = parts.pop() else { return Ok(Vec::new()) };
    std::thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> = parts.into_iter().map(|part| scope.spawn(move || work(part))).collect();
        let own = work(own);
        let mut results = Vec::with_capacity(others.len() + 1);
        for other in others {
            results.push(other.join().map_err(|_| ModelError::Worker)?);
        }
        results.push(own);
        Ok(results)
    })
}
