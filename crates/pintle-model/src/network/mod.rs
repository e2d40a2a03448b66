//! The network, forward and backward, over sequences of one length. One [`Pass`] belongs to one thread and keeps
//! what the way back needs; the weights are shared.

mod pass;

use std::sync::Arc;

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::{
    Layout, ModelConfig, ModelError,
    math::{Heads, Rotation},
};

pub(crate) use pass::{Pass, Task};

/// The shape of a network with everything that follows from it.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) config: ModelConfig,
    pub(crate) layout: Arc<Layout>,
    pub(crate) heads: Heads,
    pub(crate) rotation: Arc<Rotation>,
}

impl Shape {
    /// Checks the configuration and lays it out.
    pub(crate) fn new(config: ModelConfig) -> Result<Self, ModelError> {
        config.check()?;
        let layout = Arc::new(Layout::new(&config));
        let heads = Heads {
            queries: config.num_attention_heads,
            shared: config.key_value_heads(),
            dim: config.head_dim(),
        };
        let rotation =
            Arc::new(Rotation::new(config.head_dim(), config.rope_theta, config.max_position_embeddings));
        Ok(Shape { config, layout, heads, rotation })
    }

    /// Weights to begin with: normal with a deviation of 0.02, those that lead back into the residual stream smaller
    /// by the square root of how many there are, as in GPT-2; normalisation begins at one.
    pub(crate) fn first_weights(&self, seed: u64) -> Vec<f32> {
        let mut random = Normal { random: ChaCha8Rng::seed_from_u64(seed), spare: None };
        let mut weights = Vec::with_capacity(self.layout.weights);
        let into_residual = 0.02 / (2.0 * self.config.num_hidden_layers as f32).sqrt();
        for tensor in &self.layout.tensors {
            let is_last = tensor.name.ends_with("o_proj.weight") || tensor.name.ends_with("down_proj.weight");
            let deviation = if is_last { into_residual } else { 0.02 };
            let is_matrix = tensor.is_matrix();
            weights.extend(
                tensor.range.clone().map(|_| if is_matrix { random.draw() * deviation } else { 1.0 }),
            );
        }
        weights
    }
}

/// Normally distributed numbers (Box and Muller), the same on every machine up to the rounding of `ln` and `cos`.
struct Normal {
    random: ChaCha8Rng,
    spare: Option<f32>,
}

impl Normal {
    fn draw(&mut self) -> f32 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let mut unit = || f64::from((self.random.next_u32() >> 8) + 1) / f64::from(1 << 24);
        let (radius, angle) = ((-2.0 * unit().ln()).sqrt(), std::f64::consts::TAU * unit());
        #[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
        let (first, second) = ((radius * angle.cos()) as f32, (radius * angle.sin()) as f32);
        self.spare = Some(second);
        first
    }
}
