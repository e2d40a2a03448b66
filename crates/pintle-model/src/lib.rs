//! Own models: from the organisation's documents to a model that answers behind the same endpoint as any other.
//!
//! The steps are modules of their own and talk through files: `corpus` reads and guards documents, `train` makes
//! a network of them, `demo` writes the handbook that the demo's model learns. `math` and `network` are the engine.
//! `encode` computes embeddings with encoders that others trained.

pub mod artefact;
mod config;
pub mod corpus;
pub mod demo;
pub mod encode;
mod error;
pub mod evaluate;
pub mod infer;
mod layout;
mod locks;
mod math;
mod network;
pub mod pairs;
pub mod pipeline;
mod recipe;
pub mod serve;
mod store;
pub mod tokenise;
mod train;
mod tune;

pub use config::ModelConfig;
pub use error::ModelError;
pub use layout::{Layout, Tensor};
pub use recipe::{OutputPart, RECIPE_TEMPLATE, Recipe, Size, TuneMethod};
pub use store::{Manifest, ModelStore, Promotion, VersionId};
pub use train::{
    Example, HeldOut, OptimiserSettings, Point, Progress, RunSettings, Source, Trained, pretrain,
};
pub use tune::LoraSettings;
