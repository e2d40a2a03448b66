//! AdamW with decoupled weight decay, and the learning rate's course.

use serde::{Deserialize, Serialize};

use crate::{Layout, math::wide};

/// How weights follow their gradients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimiserSettings {
    /// The highest learning rate, after the warm-up.
    pub learning_rate: f32,
    /// The learning rate at the last step.
    pub learning_rate_min: f32,
    /// Steps until the highest learning rate is reached.
    pub warm_up_steps: u64,
    /// How fast the mean of the gradients forgets.
    pub beta1: f32,
    /// How fast the mean of their squares forgets.
    pub beta2: f32,
    /// Keeps the step finite where gradients are zero.
    pub epsilon: f32,
    /// Pulls matrices towards zero; the weights of normalisation are left alone.
    pub weight_decay: f32,
    /// Gradients longer than this are shortened to it; zero lets them be.
    pub clip: f32,
}

impl Default for OptimiserSettings {
    fn default() -> Self {
        OptimiserSettings {
            learning_rate: 1e-3,
            learning_rate_min: 1e-4,
            warm_up_steps: 100,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            weight_decay: 0.1,
            clip: 1.0,
        }
    }
}

impl OptimiserSettings {
    /// The learning rate of a step, from 1 to `steps`: a line up, then half a cosine down.
    #[must_use]
    pub fn rate(&self, step: u64, steps: u64) -> f32 {
        let (step, steps, warm_up) = (step as f32, steps as f32, self.warm_up_steps as f32);
        if step <= warm_up {
            return self.learning_rate * step / warm_up.max(1.0);
        }
        let way = ((step - warm_up) / (steps - warm_up).max(1.0)).min(1.0);
        let above = self.learning_rate - self.learning_rate_min;
        self.learning_rate_min + above * 0.5 * (1.0 + (std::f32::consts::PI * way).cos())
    }
}

/// The two running means, as long as the weights.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moments {
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
}

impl Moments {
    pub(crate) fn new(weights: usize) -> Self {
        Moments { first: vec![0.0; weights], second: vec![0.0; weights] }
    }
}

/// One step's figures, the same for all weights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update {
    pub(crate) settings: OptimiserSettings,
    /// This step's learning rate.
    pub(crate) rate: f32,
    /// The step, from 1: the means are corrected for having begun at zero.
    pub(crate) step: u64,
    /// What gradients are multiplied with to be clipped.
    pub(crate) shorten: f32,
}

impl Update {
    /// Moves a stretch of weights that decay or do not.
    pub(crate) fn apply(
        &self,
        weights: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
        gradients: &[f32],
        decays: bool,
    ) {
        let OptimiserSettings { beta1, beta2, epsilon, weight_decay, .. } = self.settings;
        // After a million steps the correction is one.
        let step = i32::try_from(self.step.min(1_000_000)).unwrap_or(i32::MAX);
        let correct1 = 1.0 / (1.0 - beta1.powi(step));
        let correct2 = 1.0 / (1.0 - beta2.powi(step));
        let keep = if decays { 1.0 - self.rate * weight_decay } else { 1.0 };
        let (rate, shorten) = (self.rate, self.shorten);
        wide(
            #[inline(always)]
            || {
                let means = first.iter_mut().zip(second);
                for ((weight, gradient), (first, second)) in weights.iter_mut().zip(gradients).zip(means) {
                    let gradient = gradient * shorten;
                    *first = beta1 * *first + (1.0 - beta1) * gradient;
                    *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
                    let move_by = *first * correct1 / ((*second * correct2).sqrt() + epsilon);
                    *weight = *weight * keep - rate * move_by;
                }
            },
        );
    }
}

/// Stretches of weights with one answer to "do they decay?", cut so that several threads share the work evenly.
pub(crate) fn stretches(
    tensors: impl Iterator<Item = (std::ops::Range<usize>, bool)>,
    weights: usize,
    parts: usize,
) -> Vec<Vec<(std::ops::Range<usize>, bool)>> {
    let target = weights.div_ceil(parts.max(1)).max(1);
    let mut all = vec![Vec::new()];
    let mut room = target;
    for (mut range, decays) in tensors {
        while !range.is_empty() {
            let end = range.end.min(range.start + room);
            if let Some(part) = all.last_mut() {
                part.push((range.start..end, decays));
            }
            room -= end - range.start;
            range.start = end;
            if room == 0 {
                all.push(Vec::new());
                room = target;
            }
        }
    }
    all
}

/// The stretches of a whole network.
pub(crate) fn stretches_of(layout: &Layout, parts: usize) -> Vec<Vec<(std::ops::Range<usize>, bool)>> {
    let tensors = layout.tensors.iter().map(|tensor| (tensor.range.clone(), tensor.is_matrix()));
    stretches(tensors, layout.weights, parts)
}
