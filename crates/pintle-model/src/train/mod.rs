//! Training: steps, their schedule, and the run that survives being killed.

mod checkpoint;
mod data;
mod machine;
mod optimiser;
mod run;
#[cfg(test)]
mod tests;

pub use data::{Example, Source};
pub(crate) use machine::Machine;
pub use optimiser::OptimiserSettings;
pub(crate) use run::Run;
pub use run::{HeldOut, Point, Progress, RunSettings, Trained};
