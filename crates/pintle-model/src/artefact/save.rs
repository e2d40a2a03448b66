//! Writes a model's folder: into a folder beside the place first, all of it on the disk, then renamed. Whoever looks
//! sees a whole model or none.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::Value;

use super::{Card, Model, Precision, config, weights};
use crate::{Layout, ModelError};

/// Writes a model into a new folder.
///
/// # Errors
/// Where the folder exists already (an empty one is taken), and where a file cannot be written; then nothing is left
/// behind.
pub fn save(model: &Model, folder: &Path, card: &Card, precision: Precision) -> Result<(), ModelError> {
    refuse_existing(folder)?;
    let unfinished = Unfinished::beside(folder)?;
    fs::create_dir(&unfinished.path).map_err(ModelError::io(&unfinished.path))?;
    let put = |name: &str, text: &str| write_file(&unfinished.path.join(name), text);
    put("config.json", &pretty(&config::config_json(model, precision)))?;
    put("generation_config.json", &pretty(&config::generation_json(&model.generation)))?;
    put("tokenizer.json", model.tokeniser.json())?;
    let settings = model.tokeniser.settings_json(model.config.max_position_embeddings);
    put("tokenizer_config.json", &pretty(&settings))?;
    put("README.md", &card_text(card))?;
    let numbers = unfinished.path.join("model.safetensors");
    weights::write(&numbers, &Layout::new(&model.config), &model.weights, precision)?;
    unfinished.finish(folder)
}

fn refuse_existing(path: &Path) -> Result<(), ModelError> {
    let is_empty = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    if path.symlink_metadata().is_ok() && !is_empty {
        return Err(ModelError::Exists { path: path.into() });
    }
    Ok(())
}

fn write_file(path: &Path, text: &str) -> Result<(), ModelError> {
    let write = || {
        let mut file = fs::File::create(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(ModelError::io(path))
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// YAML reads JSON, so each value is written as JSON: no text can break out of its field.
fn card_text(card: &Card) -> String {
    let mut out = String::from("---\n");
    for (name, value) in &card.front {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{}: {value}", Value::from(name.as_str()));
    }
    out.push_str("---\n\n");
    out.push_str(card.text.trim());
    out.push('\n');
    out
}

/// A file or folder that is not whole yet, removed unless it is finished.
pub(super) struct Unfinished {
    pub(super) path: PathBuf,
    is_done: bool,
}

impl Unfinished {
    /// In the same folder, so that renaming is one step. The process and a count make the name its own.
    pub(super) fn beside(target: &Path) -> Result<Self, ModelError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let no_name =
            || std::io::Error::new(std::io::ErrorKind::InvalidInput, "the path has no name at its end");
        let name = target.file_name().ok_or_else(no_name).map_err(ModelError::io(target))?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!(".{}.unfinished-{}-{count}", name.to_string_lossy(), std::process::id());
        let unfinished = Unfinished { path: target.with_file_name(name), is_done: false };
        // Left over from a process of the same number that was killed.
        unfinished.remove();
        Ok(unfinished)
    }

    /// Everything is on the disk before the name is, and the name before this returns.
    pub(super) fn finish(mut self, target: &Path) -> Result<(), ModelError> {
        sync(&self.path)?;
        fs::rename(&self.path, target).map_err(ModelError::io(target))?;
        self.is_done = true;
        match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync(parent),
            _ => sync(Path::new(".")),
        }
    }

    fn remove(&self) {
        // It may be either, or not be there.
        let _ = fs::remove_dir_all(&self.path).or_else(|_| fs::remove_file(&self.path));
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_done {
            self.remove();
        }
    }
}

fn sync(path: &Path) -> Result<(), ModelError> {
    fs::File::open(path).and_then(|file| file.sync_all()).map_err(ModelError::io(path))
}
