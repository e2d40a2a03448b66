//! Training: steps, their schedule, and the run that survives being killed.

mod checkpoint;
mod data;
mod machine;
mod optimiser;
mod run;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::atomic::AtomicBool};

use crate::{ModelConfig, ModelError, network::Shape};

pub use data::{Example, Source};
pub(crate) use machine::Machine;
pub use optimiser::OptimiserSettings;
pub(crate) use run::Run;
pub use run::{HeldOut, Point, Progress, RunSettings, Trained};

/// Trains a network from weights drawn by the seed: what the base step of a pipeline does, without a recipe and its
/// documents. Goes on with the checkpoint in `folder` when that is of the same run; `stop` asks for an end after the
/// step that is on its way.
///
/// # Errors
/// A shape that does not fit together, too little to learn from, a loss that is no number, a folder that cannot be
/// written.
pub fn pretrain(
    config: ModelConfig,
    source: &Source,
    held_out: &HeldOut,
    settings: &RunSettings,
    folder: &Path,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Trained, ModelError> {
    let shape = Shape::new(config)?;
    let run = Run {
        identity: "without a recipe",
        first: shape.first_weights(settings.seed),
        source,
        held_out,
        settings,
        machine: Machine::new(&shape, settings.shards),
    };
    run.train(folder, stop, progress)
}
