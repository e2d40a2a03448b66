//! Steps of training on several threads. A batch is cut into shards, each with buffers and gradients of its own; the
//! number of shards is part of a run's settings, so that the sums, and with them the whole curve, do not depend on how
//! many threads a machine has.

use std::sync::Arc;

use super::optimiser::{Moments, OptimiserSettings, Update, stretches, stretches_of};
use crate::{
    ModelError,
    math::{IGNORE, wide},
    network::{Pass, Shape, Task},
    tune::Adapter,
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
    shards: Vec<Shard>,
    stretches: Vec<Vec<(std::ops::Range<usize>, bool)>>,
    adapted: Option<Adapted>,
}

#[derive(Debug)]
struct Shard {
    pass: Pass,
    gradients: Vec<f32>,
}

/// What training an adapter needs besides: the weights that stay, their sum with the adapter, the adapter's gradients.
#[derive(Debug)]
struct Adapted {
    adapter: Adapter,
    base: Arc<Vec<f32>>,
    merged: Vec<f32>,
    gradients: Vec<f32>,
}

impl Machine {
    /// Trains all weights of a network.
    pub(crate) fn new(shape: &Shape, shards: usize) -> Self {
        let shard = || Shard { pass: Pass::new(shape), gradients: vec![0.0; shape.layout.weights] };
        Machine {
            shards: (0..shards.max(1)).map(|_| shard()).collect(),
            stretches: stretches_of(&shape.layout, shards),
            adapted: None,
        }
    }

    /// Trains an adapter beside weights that stay as they are.
    pub(crate) fn adapting(shape: &Shape, shards: usize, adapter: Adapter, base: Arc<Vec<f32>>) -> Self {
        let all = std::iter::once((0..adapter.weights, true));
        let stretches = stretches(all, adapter.weights, shards);
        let gradients = vec![0.0; adapter.weights];
        let adapted = Some(Adapted { adapter, base, merged: Vec::new(), gradients });
        Machine { stretches, adapted, ..Machine::new(shape, shards) }
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
        let scale = 1.0 / asked.max(1) as f32;
        let loss = self.with_weights(&state.weights, |machine, weights| {
            batches.iter().try_fold(0.0, |loss, batch| {
                let learn =
                    |shard: &mut Shard, part: Task<'_>| shard.pass.learn(weights, &mut shard.gradients, part);
                Ok::<f64, ModelError>(loss + machine.each_part(batch, learn, scale)?)
            })
        })?;
        self.gather()?;
        let gradients = self.shards.first().map(|shard| shard.gradients.as_slice()).unwrap_or_default();
        let gradients = match &mut self.adapted {
            None => gradients,
            Some(adapted) => {
                adapted.adapter.project(&mut adapted.gradients, gradients, &state.weights);
                &adapted.gradients
            }
        };
        let norm = length(gradients);
        state.step += 1;
        let loss = loss / asked.max(1) as f64;
        if !loss.is_finite() || !norm.is_finite() {
            return Err(ModelError::Diverged { step: state.step });
        }
        let clip = f64::from(settings.clip);
        #[expect(clippy::cast_possible_truncation, reason = "gradients are single precision")]
        let shorten = if clip > 0.0 && norm > clip { (clip / norm) as f32 } else { 1.0 };
        let update = Update { settings: *settings, rate, step: state.step, shorten };
        apply(&self.stretches, state, gradients, update)?;
        Ok(Stepped { loss, norm })
    }

    /// The loss of a batch in nats, summed, without learning.
    pub(crate) fn loss(&mut self, weights: &[f32], batch: &Batch) -> Result<f64, ModelError> {
        self.with_weights(weights, |machine, weights| {
            machine.each_part(batch, |shard, part| shard.pass.loss(weights, part), 0.0)
        })
    }

    /// Hands over the weights that the network computes with: those that are trained, or the base with the adapter.
    fn with_weights<R>(&mut self, trained: &[f32], work: impl FnOnce(&mut Self, &[f32]) -> R) -> R {
        let Some(adapted) = &mut self.adapted else { return work(self, trained) };
        let mut merged = std::mem::take(&mut adapted.merged);
        adapted.adapter.merge(&mut merged, &adapted.base, trained);
        let result = work(self, &merged);
        if let Some(adapted) = &mut self.adapted {
            adapted.merged = merged;
        }
        result
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

    /// Adds all shards' gradients into the first's.
    fn gather(&mut self) -> Result<(), ModelError> {
        let Some((first, others)) = self.shards.split_first_mut() else { return Ok(()) };
        let part = first.gradients.len().div_ceil(others.len() + 1).max(1);
        let others: Vec<&[f32]> = others.iter().map(|shard| shard.gradients.as_slice()).collect();
        over_parts(first.gradients.chunks_mut(part).enumerate(), |(index, sum)| {
            for other in &others {
                let other = other.get(index * part..).unwrap_or_default();
                wide(
                    #[inline(always)]
                    || sum.iter_mut().zip(other).for_each(|(sum, value)| *sum += value),
                );
            }
        })?;
        Ok(())
    }
}

/// The Euclidean length. In pieces, so that single precision does not lose the small ones among many.
fn length(values: &[f32]) -> f64 {
    let square = |piece: &[f32]| {
        f64::from(wide(
            #[inline(always)]
            || crate::math::dot(piece, piece),
        ))
    };
    values.chunks(4096).map(square).sum::<f64>().sqrt()
}

/// Moves all weights, each part on a thread of its own.
fn apply(
    stretches: &[Vec<(std::ops::Range<usize>, bool)>],
    state: &mut State,
    mut gradients: &[f32],
    update: Update,
) -> Result<(), ModelError> {
    let mut weights = state.weights.as_mut_slice();
    let mut means = (state.moments.first.as_mut_slice(), state.moments.second.as_mut_slice());
    let mut parts = Vec::new();
    for stretches in stretches {
        let mut part = Vec::new();
        for (range, decays) in stretches {
            let (piece, gradient);
            (piece, weights) = weights.split_at_mut(range.len());
            let (first, rest_first) = means.0.split_at_mut(range.len());
            let (second, rest_second) = means.1.split_at_mut(range.len());
            means = (rest_first, rest_second);
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
