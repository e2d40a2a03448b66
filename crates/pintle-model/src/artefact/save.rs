//! Writes a model's folder: into a folder beside the place first, all of it on the disk, then renamed. Whoever looks
//! sees a whole model or none.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
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
    let unfinished = Unfinished::folder(folder)?;
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

/// A file or folder that is not whole yet, removed unless it is finished. It is locked while its process lives; what a
/// killed one left behind is swept by the next one that writes to the same place.
pub(super) struct Unfinished {
    pub(super) path: PathBuf,
    is_done: bool,
    lock: fs::File,
}

/// Between making and locking it there is a moment; only what has lain longer than this is swept.
const SWEPT_AFTER: Duration = Duration::from_secs(60);
/// Names that were taken before one gives up.
const NAMES_MAX: u32 = 1000;

impl Unfinished {
    /// A folder, in the same folder as its target, so that renaming is one step.
    pub(super) fn folder(target: &Path) -> Result<Self, ModelError> {
        Unfinished::make(target, |path| {
            fs::create_dir(path)?;
            fs::File::open(path)
        })
    }

    /// A file, with a handle to write it by.
    pub(super) fn file(target: &Path) -> Result<(Self, fs::File), ModelError> {
        let unfinished = Unfinished::make(target, |path| fs::File::create_new(path))?;
        let file = unfinished.lock.try_clone().map_err(ModelError::io(&unfinished.path))?;
        Ok((unfinished, file))
    }

    /// The process and a count make the name its own.
    fn make(target: &Path, make: impl Fn(&Path) -> std::io::Result<fs::File>) -> Result<Self, ModelError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let no_name =
            || std::io::Error::new(std::io::ErrorKind::InvalidInput, "the path has no name at its end");
        let name = target.file_name().ok_or_else(no_name).map_err(ModelError::io(target))?;
        let prefix = format!(".{}.unfinished-", name.to_string_lossy());
        for _ in 0..NAMES_MAX {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = target.with_file_name(format!("{prefix}{}-{count}", std::process::id()));
            match make(&path) {
                Ok(lock) => {
                    // Where a file system knows no locks, nothing is swept either.
                    let _ = lock.try_lock();
                    let unfinished = Unfinished { path, is_done: false, lock };
                    unfinished.sweep(&prefix);
                    return Ok(unfinished);
                }
                // Of a process of the same number, which may live: in another container on the same disk.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(ModelError::Io { path, source }),
            }
        }
        let source = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        Err(ModelError::Io { path: target.into(), source })
    }

    /// Removes what killed processes left for the same target. Nothing depends on it, so failures are passed over.
    fn sweep(&self, prefix: &str) {
        let Some(now) = self.lock.metadata().and_then(|metadata| metadata.modified()).ok() else { return };
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let entries = fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
            let path = entry.path();
            let Ok(lock) = fs::File::open(&path) else { continue };
            let made = lock.metadata().and_then(|metadata| metadata.modified());
            let age = made.ok().and_then(|made| now.duration_since(made).ok());
            if age.is_some_and(|age| age > SWEPT_AFTER) && lock.try_lock().is_ok() {
                remove(&path);
            }
        }
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
}

/// It may be a folder or a file, or not be there.
fn remove(path: &Path) {
    let _ = fs::remove_dir_all(path).or_else(|_| fs::remove_file(path));
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_done {
            remove(&self.path);
        }
    }
}

fn sync(path: &Path) -> Result<(), ModelError> {
    fs::File::open(path).and_then(|file| file.sync_all()).map_err(ModelError::io(path))
}
