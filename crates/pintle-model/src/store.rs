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
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use pintle_core::{DataClass, Energy, Name, Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::ModelError;

const MANIFEST: &str = "version.json";
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
            write_json(&folder.join(MANIFEST), &manifest)?;
            let path = self.path(&manifest.id);
            match std::fs::rename(folder, &path) {
                Ok(()) => return Ok(manifest),
                Err(_) if path.exists() => {}
                Err(source) => return Err(ModelError::Io { path, source }),
            }
        }
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
        let mut line = serde_json::to_vec(promotion).map_err(|error| broken(&path, &error))?;
        line.push(b'\n');
        let append = || -> std::io::Result<()> {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
            file.write_all(&line)?;
            file.sync_all()
        };
        append().map_err(ModelError::io(&path))?;
        write_json(&folder.join(PRODUCTION), promotion)
    }

    /// Checks that a version's files are those that were registered.
    ///
    /// # Errors
    /// Naming the file that is not.
    pub fn verify(&self, manifest: &Manifest) -> Result<(), ModelError> {
        let folder = self.path(&manifest.id);
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
fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ModelError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|error| broken(path, &error))?;
    let beside = path.with_extension("json.new");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&beside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().map_err(ModelError::io(path))
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
