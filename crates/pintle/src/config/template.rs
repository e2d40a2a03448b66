//! The file that `pintle init` writes: short, commented, and working as it stands.

/// A `pintle.toml` with simulated placements, and examples of real ones to uncomment.
pub(crate) const TEMPLATE: &str = include_str!("template.toml");
