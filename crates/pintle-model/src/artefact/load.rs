//! Reads a model's folder: ours, or any Llama-shaped one in Hugging Face's layout.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use super::{Generation, Model, check_ids, config, weights::Shards};
use crate::{
    Layout, ModelConfig, ModelError, Tensor,
    tokenise::{Tokeniser, files::read_bounded},
};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const INDEX_BYTES_MAX: u64 = 16 << 20;
const SHARDS_MAX: usize = 1024;

/// A folder whose files fit together, before its weights are read.
pub(crate) struct Opened {
    pub(crate) config: ModelConfig,
    pub(crate) generation: Generation,
    pub(crate) tokeniser: Tokeniser,
    layout: Layout,
    shards: Shards,
}

/// Opens a folder and checks all of it but the numbers themselves. Nothing is reserved for them: what the files' headers
/// say is true for each tensor, so a shape that claims more than they hold fails at a tensor.
pub(crate) fn open(folder: &Path) -> Result<Opened, ModelError> {
    let (config, mut generation) = config::read(folder)?;
    let tokeniser = Tokeniser::load(folder)?;
    let shards = Shards::open(&shard_paths(folder)?)?;
    let layout = Layout::new(&config);
    for tensor in &layout.tensors {
        shards.check(tensor)?;
    }
    // A tied head is the embedding, and the angles follow from the shape.
    let is_tied = config.tie_word_embeddings;
    shards.refuse_others(&layout.tensors, |name| {
        name.ends_with("rotary_emb.inv_freq") || (is_tied && name == "lm_head.weight")
    })?;
    if generation.eos.is_empty() {
        generation.eos.extend(tokeniser.eos());
    }
    generation.bos = generation.bos.or(tokeniser.bos());
    generation.pad = generation.pad.or(tokeniser.pad());
    check_ids(&config, &tokeniser, &generation).map_err(|error| match error {
        ModelError::Parts(why) => ModelError::Broken { path: folder.into(), why },
        other => other,
    })?;
    Ok(Opened { config, generation, tokeniser, layout, shards })
}

impl Opened {
    /// The numbers of one tensor.
    pub(crate) fn read(&mut self, tensor: &Tensor) -> Result<Vec<f32>, ModelError> {
        let mut values = vec![0.0; tensor.range.len()];
        self.shards.read(tensor, &mut values)?;
        Ok(values)
    }
}

/// Reads a model. Nothing is looked up outside the folder.
///
/// # Errors
/// With the file's name: one that is missing, broken, too large, or asks for another network; a tensor that is missing
/// or has another shape; a tokeniser that belongs to another model.
pub fn load(folder: &Path) -> Result<Model, ModelError> {
    let Opened { config, generation, tokeniser, layout, mut shards } = open(folder)?;
    let mut weights = vec![0.0; layout.weights];
    for tensor in &layout.tensors {
        let Some(into) = weights.get_mut(tensor.range.clone()) else { continue };
        shards.read(tensor, into)?;
    }
    Model::new(config, Arc::new(weights), Arc::new(tokeniser), generation)
}

/// The files of the weights: one, or those that the index names.
fn shard_paths(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let index = folder.join(INDEX);
    let single = folder.join(SINGLE);
    if single.exists() || !index.exists() {
        return Ok(vec![single]);
    }
    let broken = |why: &str| ModelError::Broken { path: index.clone(), why: why.into() };
    let text = read_bounded(&index, INDEX_BYTES_MAX)?;
    let value: Value = serde_json::from_str(&text).map_err(|error| broken(&error.to_string()))?;
    let map = value.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| broken("it has no `weight_map`"))?;
    let names: Option<BTreeSet<&str>> = map.values().map(Value::as_str).collect();
    let names = names.ok_or_else(|| broken("a file's name in it is no text"))?;
    if names.is_empty() || names.len() > SHARDS_MAX {
        return Err(broken("it names no file, or more than 1,024"));
    }
    // A name with a folder in it could read what is no part of the model.
    let is_plain = |name: &&str| {
        Path::new(name).file_name().is_some_and(|file| file == *name) && name.ends_with(".safetensors")
    };
    if !names.iter().all(is_plain) {
        return Err(broken("a file that it names is not a `.safetensors` file beside it"));
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}
