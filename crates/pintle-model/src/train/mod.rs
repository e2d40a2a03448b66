//! Training: steps, their schedule, and the run that survives being killed.

mod machine;
mod optimiser;
#[cfg(test)]
mod tests;

pub use optimiser::OptimiserSettings;
