//! Own models in a running server: which version serves, and the change to another one.

/// The demonstration's handbook is the one of this seed.
pub(crate) const DEMO_SEED: u64 = 7;
/// The recipe of the demonstration's model.
pub(crate) const DEMO_RECIPE: &str = include_str!("demo_recipe.toml");
