//! The models of a data folder: immutable versions, which of them is in production, and who decided that and why.
//!
//! ```text
//! models/
//!   handbook/
//!     work/             a run that is not finished: checkpoints, the prepared corpus
//!     1/                a version: the model in Hugging Face's layout, version.json, evaluation.json
//!     production.json   the version in production
//!     history.jsonl     every promotion, oldest first
//! ```
//!
//! These files are the master. A running server looks at `production.json` and follows it; so a promotion works from
//! any process, and undoing one is another promotion.

use std::{
    collections::BTreeMap,
    fs::{File, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use pintle_core::{DataClass, Energy, Name, Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::ModelError;

const MANIFEST: &str = "version.json";
const LOCK: &str = ".lock";
const PRODUCTION: &str = "production.json";
const HISTORY: &str = "history.jsonl";
const SMALL_FILE_BYTES_MAX: u64 = 64 << 20;

/// One version of a model: `handbook@3`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionId {
    /// The model.
    pub model: Name,
    /// From 1.
    pub version: u32,
}

impl std::fmt::Display for VersionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.model, self.version)
    }
}

impl From<VersionId> for String {
    fn from(id: VersionId) -> String {
        id.to_string()
    }
}

impl TryFrom<String> for VersionId {
    type Error = ModelError;

    fn try_from(text: String) -> Result<Self, ModelError> {
        text.parse()
    }
}

impl std::str::FromStr for VersionId {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let bad = || ModelError::NoVersionId(text.chars().take(64).collect());
        let (model, version) = text.split_once('@').ok_or_else(bad)?;
        let version = version.parse().ok().filter(|version| *version > 0).ok_or_else(bad)?;
        Ok(VersionId { model: model.parse().map_err(|_| bad())?, version })
    }
}

/// What a version was made of, and what became of it. Written once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// `handbook@3`.
    pub id: VersionId,
    /// When it was finished.
    pub made_at: Timestamp,
    /// The version of Pintle that made it.
    pub pintle: String,
    /// The recipe's text, whole.
    pub recipe: String,
    /// What decided the first weights and the order of the data.
    pub seed: u64,
    /// The class of what it was trained on.
    pub class: DataClass,
    /// The licences of what it was trained on, as the recipe states them.
    pub licences: Vec<String>,
    /// SHA-256 of the training data, by part: `corpus`, `tuning`.
    pub data_sha256: BTreeMap<String, String>,
    /// The version that it was tuned from, if it was.
    pub base: Option<VersionId>,
    /// Weights.
    pub parameters: u64,
    /// Tokens that were trained on.
    pub trained_tokens: u64,
    /// Seconds of computing.
    pub training_s: f64,
    /// What it took from the socket; `None` where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy: Option<Energy>,
    /// Why it may not be promoted, sentence by sentence; empty when the recipe's gate lets it pass.
    pub gate_failures: Vec<String>,
    /// SHA-256 of each file of the version, by its name.
    pub files_sha256: BTreeMap<String, String>,
}

/// A decision that a version serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Promotion {
    /// Which version.
    pub version: VersionId,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// The models of one data folder.
#[derive(Debug, Clone)]
pub struct ModelStore {
    folder: PathBuf,
}

impl ModelStore {
    /// The models of the given data folder. Nothing is made before something is written.
    #[must_use]
    pub fn new(data_folder: &Path) -> Self {
        ModelStore { folder: data_folder.join("models") }
    }

    /// The models that have a folder, by name.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn models(&self) -> Result<Vec<Name>, ModelError> {
        let mut names: Vec<Name> =
            entries(&self.folder)?.iter().filter_map(|name| name.parse().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// The versions of a model, oldest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn versions(&self, model: &Name) -> Result<Vec<VersionId>, ModelError> {
        let folder = self.folder.join(model.as_str());
        let mut versions: Vec<u32> = entries(&folder)?
            .iter()
            .filter_map(|name| name.parse().ok().filter(|version| *version > 0))
            .collect();
        versions.sort_unstable();
        Ok(versions.into_iter().map(|version| VersionId { model: model.clone(), version }).collect())
    }

    /// Where a version lies.
    #[must_use]
    pub fn path(&self, id: &VersionId) -> PathBuf {
        self.folder.join(id.model.as_str()).join(id.version.to_string())
    }

    /// Where a model's unfinished run keeps what it needs to go on. It need not be there.
    #[must_use]
    pub fn work_path(&self, model: &Name) -> PathBuf {
        self.folder.join(model.as_str()).join("work")
    }

    /// Keeps other processes from training this model for as long as the file is held: the work folder is one run's.
    ///
    /// # Errors
    /// When another process holds it, or the folder cannot be written.
    pub(crate) fn lock_work(&self, model: &Name) -> Result<File, ModelError> {
        let folder = self.folder.join(model.as_str());
        std::fs::create_dir_all(&folder).map_err(ModelError::io(&folder))?;
        let path = folder.join(LOCK);
        let file = File::create(&path).map_err(ModelError::io(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(ModelError::Busy(model.clone())),
            Err(TryLockError::Error(source)) => Err(ModelError::Io { path, source }),
        }
    }

    /// The same folder, made when it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn work_folder(&self, model: &Name) -> Result<PathBuf, ModelError> {
        let path = self.work_path(model);
        std::fs::create_dir_all(&path).map_err(ModelError::io(&path))?;
        Ok(path)
    }

    /// What a version says of itself.
    ///
    /// # Errors
    /// When there is no such version, or its manifest cannot be read.
    pub fn manifest(&self, id: &VersionId) -> Result<Manifest, ModelError> {
        let path = self.path(id).join(MANIFEST);
        if !path.exists() {
            return Err(ModelError::NoVersion(id.clone()));
        }
        read_json(&path)?.ok_or_else(|| ModelError::NoVersion(id.clone()))
    }

    /// Makes a version of a folder that is complete but for its manifest: the files' hashes are added, the number is the
    /// next one, and the folder becomes the version in one step.
    ///
    /// # Errors
    /// When something cannot be read or written; then there is no version.
    pub fn register(&self, folder: &Path, mut manifest: Manifest) -> Result<Manifest, ModelError> {
        let model = manifest.id.model.clone();
        manifest.files_sha256 = files(folder)?
            .into_iter()
            .filter(|name| name != MANIFEST)
            .map(|name| Ok((name.clone(), sha256_of(&folder.join(name))?)))
            .collect::<Result<_, ModelError>>()?;
        let parent = self.folder.join(model.as_str());
        std::fs::create_dir_all(&parent).map_err(ModelError::io(&parent))?;
        // Two runs may end at the same moment: whoever finds the number taken takes the next one.
        loop {
            let next = self.versions(&model)?.last().map_or(1, |last| last.version.saturating_add(1));
            manifest.id.version = next;
            let file = folder.join(MANIFEST);
            write_json(&file, &manifest).map_err(ModelError::io(&file))?;
            let path = self.path(&manifest.id);
            match std::fs::rename(folder, &path) {
                Ok(()) => return Ok(manifest),
                Err(_) if path.exists() => {}
                Err(source) => return Err(ModelError::Io { path, source }),
            }
        }
    }

    /// As [`ModelStore::register`], for a version whose files are in memory.
    ///
    /// # Errors
    /// When something cannot be written; then there is no version.
    pub fn register_files(
        &self,
        files: &[(&str, &[u8])],
        manifest: Manifest,
    ) -> Result<Manifest, ModelError> {
        let folder = self.work_folder(&manifest.id.model)?.join("received");
        // A process that was killed may have left some of it.
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(ModelError::io(&folder))?;
        }
        std::fs::create_dir(&folder).map_err(ModelError::io(&folder))?;
        for (name, content) in files {
            let path = folder.join(name);
            std::fs::write(&path, content).map_err(ModelError::io(&path))?;
        }
        self.register(&folder, manifest)
    }

    /// The version in production, if there is one.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn production(&self, model: &Name) -> Result<Option<Promotion>, ModelError> {
        read_json(&self.folder.join(model.as_str()).join(PRODUCTION))
    }

    /// Every promotion of a model, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn history(&self, model: &Name) -> Result<Vec<Promotion>, ModelError> {
        let path = self.folder.join(model.as_str()).join(HISTORY);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(ModelError::Io { path, source }),
        };
        // A torn last line was never decided.
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// Puts a version into production. Whoever serves the model changes over within seconds; requests that are on
    /// their way end with the version that they began with.
    ///
    /// # Errors
    /// When there is no such version, its gate has failed, its files have changed since it was made, or no reason is
    /// given.
    pub fn promote(&self, promotion: &Promotion) -> Result<(), ModelError> {
        let manifest = self.manifest(&promotion.version)?;
        if promotion.reason.trim().is_empty() {
            return Err(ModelError::NoReason);
        }
        if !manifest.gate_failures.is_empty() {
            return Err(ModelError::Gate { id: manifest.id, failures: manifest.gate_failures.join("; ") });
        }
        self.verify(&manifest)?;
        let folder = self.folder.join(promotion.version.model.as_str());
        let path = folder.join(HISTORY);
        let line = serde_json::to_string(promotion).map_err(|error| broken(&path, &error))?;
        let append = || -> std::io::Result<()> {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).read(true).open(&path)?;
            // Two processes that promote at once do so one after the other; the lock ends with the file.
            file.lock()?;
            // What a full disk tore off must not take the next line with it.
            let is_torn = match file.seek(SeekFrom::End(-1)) {
                Ok(_) => {
                    let mut last = [0];
                    file.read_exact(&mut last)?;
                    last != *b"\n"
                }
                // It is empty.
                Err(_) => false,
            };
            let start = if is_torn { "\n" } else { "" };
            file.write_all(format!("{start}{line}\n").as_bytes())?;
            file.sync_all()?;
            write_json(&folder.join(PRODUCTION), promotion)
        };
        append().map_err(ModelError::io(&path))
    }

    /// Checks that a version's files are those that were registered, and no others: some of those that a model's folder
    /// may have change what it does.
    ///
    /// # Errors
    /// Naming the file that is not.
    pub fn verify(&self, manifest: &Manifest) -> Result<(), ModelError> {
        let folder = self.path(&manifest.id);
        let is_new = |name: &String| name != MANIFEST && !manifest.files_sha256.contains_key(name);
        if let Some(name) = files(&folder)?.into_iter().find(is_new) {
            let why = "it was not there when the version was made".into();
            return Err(ModelError::Broken { path: folder.join(name), why });
        }
        for (name, expected) in &manifest.files_sha256 {
            let path = folder.join(name);
            if sha256_of(&path)? != *expected {
                return Err(ModelError::Broken {
                    path,
                    why: "it has changed since the version was made".into(),
                });
            }
        }
        Ok(())
    }
}

/// The names in a folder; none when it is not there.
fn entries(folder: &Path) -> Result<Vec<String>, ModelError> {
    let listing = match std::fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(ModelError::Io { path: folder.to_path_buf(), source }),
    };
    let mut names = Vec::new();
    for entry in listing {
        let entry = entry.map_err(ModelError::io(folder))?;
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// The files in a folder, and in the folders in it: `adapter/adapter_config.json`.
fn files(folder: &Path) -> Result<Vec<String>, ModelError> {
    let mut files = Vec::new();
    for name in entries(folder)? {
        let path = folder.join(&name);
        if path.is_dir() {
            files.extend(entries(&path)?.into_iter().map(|inner| format!("{name}/{inner}")));
        } else {
            files.push(name);
        }
    }
    Ok(files)
}

pub(crate) fn sha256_of(path: &Path) -> Result<String, ModelError> {
    let hash = || -> std::io::Result<String> {
        let mut hasher = Sha256::new();
        std::io::copy(&mut File::open(path)?, &mut hasher)?;
        Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    };
    hash().map_err(ModelError::io(path))
}

fn broken(path: &Path, error: &serde_json::Error) -> ModelError {
    ModelError::Broken { path: path.to_path_buf(), why: error.to_string() }
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ModelError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ModelError::Io { path: path.to_path_buf(), source }),
    };
    let bounded = std::io::BufReader::new(std::io::Read::take(file, SMALL_FILE_BYTES_MAX));
    serde_json::from_reader(bounded).map(Some).map_err(|error| broken(path, &error))
}

/// Writes a small file beside its place and puts it there: readers see the old one or the new one.
fn write_json(path: &Path, value: &impl Serialize) -> std::io::Result<()> {
    let bytes = serde_json::to_vec_pretty(value)?;
    let beside = path.with_extension("json.new");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&beside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().inspect_err(|_| {
        // A full disk leaves half a file behind; the one before it is still whole.
        let _ = std::fs::remove_file(&beside);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(failures: &[&str]) -> Manifest {
        Manifest {
            id: "handbook@1".parse().unwrap(),
            made_at: "2026-11-24T08:00:00Z".parse().unwrap(),
            pintle: "0.1.0".into(),
            recipe: String::new(),
            seed: 1,
            class: DataClass::Internal,
            licences: Vec::new(),
            data_sha256: BTreeMap::new(),
            base: None,
            parameters: 1,
            trained_tokens: 1,
            training_s: 1.0,
            energy: None,
            gate_failures: failures.iter().map(|text| (*text).to_owned()).collect(),
            files_sha256: BTreeMap::new(),
        }
    }

    fn make(store: &ModelStore, failures: &[&str]) -> Manifest {
        let model = "handbook".parse().unwrap();
        let folder = store.work_folder(&model).unwrap().join("finished");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("model.safetensors"), b"weights").unwrap();
        store.register(&folder, manifest(failures)).unwrap()
    }

    fn promotion(version: &str, reason: &str) -> Promotion {
        let (at, by) = ("2026-11-24T09:00:00Z".parse().unwrap(), "mara".to_owned());
        Promotion { version: version.parse().unwrap(), at, by, reason: reason.to_owned() }
    }

    #[test]
    fn versions_are_numbered_promoted_and_rolled_back() {
        let data = tempfile::tempdir().unwrap();
        let store = ModelStore::new(data.path());
        let model: Name = "handbook".parse().unwrap();
        assert!(store.models().unwrap().is_empty());
        assert_eq!(make(&store, &[]).id.to_string(), "handbook@1");
        assert_eq!(make(&store, &[]).id.to_string(), "handbook@2");
        assert_eq!(store.production(&model).unwrap(), None);
        store.promote(&promotion("handbook@2", "it answers better")).unwrap();
        store.promote(&promotion("handbook@1", "2 is too slow")).unwrap();
        assert_eq!(store.production(&model).unwrap().unwrap().version.version, 1);
        assert_eq!(store.history(&model).unwrap().len(), 2);
        assert_eq!(store.versions(&model).unwrap().len(), 2);
    }

    #[test]
    fn a_torn_line_of_the_history_takes_no_other_with_it() {
        let data = tempfile::tempdir().unwrap();
        let store = ModelStore::new(data.path());
        make(&store, &[]);
        store.promote(&promotion("handbook@1", "first")).unwrap();
        let path = data.path().join("models/handbook/history.jsonl");
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"version\":\"handb");
        std::fs::write(&path, text).unwrap();
        store.promote(&promotion("handbook@1", "second")).unwrap();
        store.promote(&promotion("handbook@1", "third")).unwrap();
        let reasons: Vec<String> = store
            .history(&"handbook".parse().unwrap())
            .unwrap()
            .into_iter()
            .map(|promotion| promotion.reason)
            .collect();
        assert_eq!(reasons, ["first", "second", "third"]);
    }

    #[test]
    fn a_file_that_was_added_makes_it_another_version() {
        let data = tempfile::tempdir().unwrap();
        let store = ModelStore::new(data.path());
        let manifest = make(&store, &[]);
        store.verify(&manifest).unwrap();
        // It would be taken for the model's template.
        std::fs::write(store.path(&manifest.id).join("chat_template.jinja"), "{{ 1 }}").unwrap();
        let error = store.verify(&manifest).unwrap_err().to_string();
        assert!(error.contains("chat_template.jinja"), "{error}");
    }

    #[test]
    fn what_did_not_pass_or_has_changed_is_not_promoted() {
        let data = tempfile::tempdir().unwrap();
        let store = ModelStore::new(data.path());
        make(&store, &["exact match is 0.40, the gate asks for 0.80"]);
        make(&store, &[]);
        let say =
            |version: &str, reason: &str| store.promote(&promotion(version, reason)).unwrap_err().to_string();
        assert!(say("handbook@1", "please").contains("exact match is 0.40"));
        assert!(say("handbook@2", " ").contains("reason"));
        assert!(say("handbook@3", "new").contains("handbook@3"));
        std::fs::write(store.path(&"handbook@2".parse().unwrap()).join("model.safetensors"), b"other")
            .unwrap();
        assert!(say("handbook@2", "new").contains("has changed"));
        assert_eq!(store.production(&"handbook".parse().unwrap()).unwrap(), None);
        assert!("handbook".parse::<VersionId>().is_err() && "handbook@0".parse::<VersionId>().is_err());
    }
}
