//! The demonstration's own model as it ships: a version that `pintle demo train` made, put into the data folder of a new
//! demonstration, so that its first request to the organisation's own machines is answered by a real model.

use std::path::Path;

use pintle_core::Timestamp;
use pintle_model::{Manifest, ModelError, ModelStore, Promotion};

const MANIFEST: &str = include_str!("../demo_model/version.json");

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../demo_model/", $name)).as_slice())),*]
    };
}

/// The files of the version, but for its manifest, which is written anew.
const FILES: [(&str, &[u8]); 9] = shipped![
    "README.md",
    "config.json",
    "corpus.json",
    "evaluation.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "training.json",
];

/// Puts the model into production where there is none of its name yet.
///
/// # Errors
/// When the data folder cannot be written.
pub(crate) fn install(store: &ModelStore, now: Timestamp) -> Result<(), ModelError> {
    let broken = |error: serde_json::Error| ModelError::Broken {
        path: Path::new("demo_model/version.json").into(),
        why: error.to_string(),
    };
    let manifest: Manifest = serde_json::from_str(MANIFEST).map_err(broken)?;
    let model = manifest.id.model.clone();
    if !store.versions(&model)?.is_empty() {
        return Ok(());
    }
    let version = store.register_files(&FILES, manifest)?.id;
    let reason = "It ships with the demonstration, made by pintle demo train.".to_owned();
    store.promote(&Promotion { version, at: now, by: "Pintle".to_owned(), reason })
}
