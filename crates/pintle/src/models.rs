//! Models that Pintle serves itself: which one serves at a placement, and the change to another one.
//!
//! The files of the data folder are the master: whoever promotes a version, with a command or on the console, writes
//! them, and [`House::look`] notices within a second. Requests that are on their way keep the version that they began
//! with, and its engine ends when the last of them does. A folder that the configuration names is read once; it is read
//! again when the configuration states it otherwise, and after a failure when its files have changed.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use pintle_core::{Clock, DataClass, Name};
use pintle_llm::{ChatRequest, ErrorBody, LocalAnswer, LocalModel};
use pintle_model::{
    ModelError, ModelStore, Promotion, VersionId,
    infer::EngineSettings,
    serve::{self, ServeSettings},
};

use crate::config::{Own, OwnPlacement, OwnSource};

/// The demonstration's handbook is the one of this seed.
pub(crate) const DEMO_SEED: u64 = 7;
/// The recipe of the demonstration's model.
pub(crate) const DEMO_RECIPE: &str = include_str!("demo_recipe.toml");

/// The models in service.
pub(crate) struct House {
    store: ModelStore,
    clock: Arc<dyn Clock>,
    serving: Mutex<HashMap<Own, Serving>>,
    /// What could not be served: it is not tried again each second, only when it is something else.
    refused: Mutex<HashMap<Own, Refused>>,
}

struct Serving {
    /// `None` for a folder's.
    version: Option<VersionId>,
    model: Arc<dyn LocalModel>,
}

struct Refused {
    attempt: Attempt,
    /// Says so to those who ask, where nothing else serves.
    stand_in: Arc<dyn LocalModel>,
}

/// What could not be served.
#[derive(Debug, Clone, PartialEq)]
enum Attempt {
    /// The version of this decision; the same one promoted again is another attempt.
    Promotion(Promotion),
    Folder(Vec<FileState>),
}

/// A file of a folder as it was when the folder was read: its name, its length, and when it was written.
type FileState = (std::ffi::OsString, u64, Option<SystemTime>);

impl House {
    pub(crate) fn new(data_folder: &Path, clock: Arc<dyn Clock>) -> Self {
        House {
            store: ModelStore::new(data_folder),
            clock,
            serving: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// The models to be served, by placement. Loads those that are not loaded yet, and lets go of those that nobody names
    /// any more; a model that cannot be loaded keeps the version that it has, and the log says why. Without one, its
    /// placement answers that it cannot. Takes as long as reading the weights takes.
    pub(crate) fn look(&self, owns: &[OwnPlacement]) -> HashMap<Name, Arc<dyn LocalModel>> {
        // A thread that died while it held the lock has left complete values behind.
        let mut serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        let named: HashSet<&Own> = owns.iter().map(|placed| &placed.own).collect();
        serving.retain(|own, _| named.contains(own));
        self.refused().retain(|own, _| named.contains(own));
        for own in named {
            match &own.source {
                OwnSource::Folder { path, class } => self.read(&mut serving, own, path, *class),
                OwnSource::Production(model) => match self.store.production(model) {
                    Ok(None) => {
                        serving.remove(own);
                        self.refused().remove(own);
                    }
                    Ok(Some(promotion)) => self.follow(&mut serving, own, promotion),
                    Err(error) => tracing::error!(%error, %model, "what is in production cannot be read"),
                },
            }
        }
        let refused = self.refused();
        let model = |own: &Own| {
            let serving = serving.get(own).map(|serving| &serving.model);
            serving.or_else(|| refused.get(own).map(|refused| &refused.stand_in)).map(Arc::clone)
        };
        owns.iter().filter_map(|placed| Some((placed.placement.clone(), model(&placed.own)?))).collect()
    }

    /// Whether there is something else to serve than what is served.
    pub(crate) fn is_outdated(&self, owns: &[OwnPlacement]) -> bool {
        let serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = self.refused();
        owns.iter().any(|OwnPlacement { own, .. }| {
            let (serving, refused) = (serving.get(own), refused.get(own));
            let is_refused = |attempt: &Attempt| refused.is_some_and(|refused| refused.attempt == *attempt);
            match &own.source {
                OwnSource::Folder { path, .. } => serving.is_none() && !is_refused(&folder_attempt(path)),
                OwnSource::Production(model) => match self.store.production(model) {
                    Ok(None) => serving.is_some() || refused.is_some(),
                    Ok(Some(promotion)) => {
                        !serving.is_some_and(|serving| serving.serves(&promotion.version))
                            && !is_refused(&Attempt::Promotion(promotion))
                    }
                    Err(_) => false,
                },
            }
        })
    }

    /// Reads a folder, unless it is served already or was refused as it is.
    fn read(&self, serving: &mut HashMap<Own, Serving>, own: &Own, path: &Path, class: DataClass) {
        let attempt = folder_attempt(path);
        if serving.contains_key(own) || self.has_refused(own, &attempt) {
            return;
        }
        match self.open(path, own.model.as_str(), class, own) {
            Ok(model) => {
                tracing::info!(folder = %path.display(), model = %own.model, "a folder's model is in service");
                self.refused().remove(own);
                serving.insert(own.clone(), Serving { version: None, model });
            }
            Err(error) => {
                tracing::error!(%error, folder = %path.display(), "a folder's model cannot be served");
                self.refuse(own, attempt, class);
            }
        }
    }

    /// Serves the version in production, unless it is served already or was refused.
    fn follow(&self, serving: &mut HashMap<Own, Serving>, own: &Own, promotion: Promotion) {
        let attempt = Attempt::Promotion(promotion.clone());
        let version = promotion.version;
        if serving.get(own).is_some_and(|serving| serving.serves(&version)) || self.has_refused(own, &attempt)
        {
            return;
        }
        match self.open_version(&version, own) {
            Ok(model) => {
                tracing::info!(%version, by = promotion.by, reason = promotion.reason, "a version is in production");
                self.refused().remove(own);
                serving.insert(own.clone(), Serving { version: Some(version), model });
            }
            Err(error) => {
                tracing::error!(%error, %version, "a version cannot be served");
                // What it was trained on cannot be known for certain any more.
                self.refuse(own, attempt, DataClass::Restricted);
            }
        }
    }

    fn refuse(&self, own: &Own, attempt: Attempt, class: DataClass) {
        let stand_in = Arc::new(StandIn { class });
        self.refused().insert(own.clone(), Refused { attempt, stand_in });
    }

    fn has_refused(&self, own: &Own, attempt: &Attempt) -> bool {
        self.refused().get(own).is_some_and(|refused| refused.attempt == *attempt)
    }

    fn refused(&self) -> MutexGuard<'_, HashMap<Own, Refused>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A version whose files are not those that were registered is not served.
    fn open_version(&self, version: &VersionId, own: &Own) -> Result<Arc<dyn LocalModel>, ModelError> {
        let manifest = self.store.manifest(version)?;
        self.store.verify(&manifest)?;
        self.open(&self.store.path(version), &version.to_string(), manifest.class, own)
    }

    fn open(
        &self,
        folder: &Path,
        name: &str,
        class: DataClass,
        own: &Own,
    ) -> Result<Arc<dyn LocalModel>, ModelError> {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(THREADS_MAX);
        let engine = EngineSettings { threads, ..EngineSettings::default() };
        let settings = ServeSettings { engine, precision: own.weights };
        serve::open(folder, name, class, settings, Arc::clone(&self.clock))
    }
}

impl Serving {
    fn serves(&self, version: &VersionId) -> bool {
        self.version.as_ref() == Some(version)
    }
}

/// More than the engine takes gains nothing.
const THREADS_MAX: usize = 64;
/// A folder with more files is no model's.
const FILES_MAX: usize = 1000;

/// What tells a folder's content from another one's, without reading it. Nothing, for one that cannot be read.
fn folder_attempt(path: &Path) -> Attempt {
    let mut files: Vec<FileState> = Vec::new();
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten().take(FILES_MAX) {
        let Ok(metadata) = entry.metadata() else { continue };
        files.push((entry.file_name(), metadata.len(), metadata.modified().ok()));
    }
    files.sort();
    Attempt::Folder(files)
}

/// Stands where a model cannot be loaded: the placement is known, and says that it is out of service.
#[derive(Debug)]
struct StandIn {
    class: DataClass,
}

impl StandIn {
    fn answer() -> LocalAnswer {
        let message = "This model cannot be loaded; the server's log says why.".to_owned();
        let body = ErrorBody::new("server_error", "model_unavailable", message);
        LocalAnswer { status: 503, retry_after_s: None, body: Box::pin(Some(body.to_bytes())) }
    }
}

impl LocalModel for StandIn {
    fn trained_on(&self) -> DataClass {
        self.class
    }

    fn chat(&self, _: &ChatRequest) -> LocalAnswer {
        StandIn::answer()
    }

    fn completions(&self, _: &serde_json::Value) -> LocalAnswer {
        StandIn::answer()
    }

    fn embeddings(&self, _: &serde_json::Value) -> LocalAnswer {
        StandIn::answer()
    }

    fn tokenize(&self, _: &serde_json::Value) -> LocalAnswer {
        StandIn::answer()
    }

    fn detokenize(&self, _: &serde_json::Value) -> LocalAnswer {
        StandIn::answer()
    }

    fn tokenizer_info(&self) -> LocalAnswer {
        StandIn::answer()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::PathBuf};

    use pintle_core::ManualClock;
    use pintle_model::{
        Manifest, ModelConfig,
        artefact::{Card, Model, Precision as Numbers, save},
        infer::Precision,
        tokenise::{Tokeniser, TokeniserRecipe},
    };

    use super::*;

    struct Place {
        data: tempfile::TempDir,
        house: House,
    }

    fn place() -> Place {
        let data = tempfile::tempdir().unwrap();
        let clock = ManualClock::new("2026-11-24T08:00:00Z".parse().unwrap());
        Place { house: House::new(data.path(), Arc::new(clock)), data }
    }

    fn small(seed: u64) -> Model {
        let text = "The allowance is 42 euros per day; the office pays it within two weeks.";
        let recipe = TokeniserRecipe { vocab_size: 300, ..TokeniserRecipe::default() };
        let tokeniser = Tokeniser::train(std::iter::repeat_n(text, 3), recipe).unwrap();
        let config: ModelConfig = serde_json::from_value(serde_json::json!({
            "vocab_size": tokeniser.vocab_size(), "hidden_size": 16, "intermediate_size": 24,
            "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 64,
        }))
        .unwrap();
        Model::untrained(config, Arc::new(tokeniser), seed).unwrap()
    }

    fn encoder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../pintle-model/tests/data/tiny-encoder")
    }

    impl Place {
        fn store(&self) -> ModelStore {
            ModelStore::new(self.data.path())
        }

        /// Registers a version and puts it into production.
        fn version(&self) -> VersionId {
            let store = self.store();
            let folder = store.work_folder(&"handbook".parse().unwrap()).unwrap().join("finished");
            save(&small(1), &folder, &Card::default(), Numbers::F32).unwrap();
            let manifest = Manifest {
                id: "handbook@1".parse().unwrap(),
                made_at: "2026-11-24T08:00:00Z".parse().unwrap(),
                pintle: "0.1.0".into(),
                recipe: String::new(),
                seed: 1,
                class: DataClass::Confidential,
                licences: Vec::new(),
                data_sha256: BTreeMap::new(),
                base: None,
                parameters: 1,
                trained_tokens: 1,
                training_s: 1.0,
                energy: None,
                gate_failures: Vec::new(),
                files_sha256: BTreeMap::new(),
            };
            store.register(&folder, manifest).unwrap().id
        }

        fn promote(&self, version: &VersionId) {
            let promotion = Promotion {
                version: version.clone(),
                at: "2026-11-24T09:00:00Z".parse().unwrap(),
                by: "mara".into(),
                reason: "it answers".into(),
            };
            self.store().promote(&promotion).unwrap();
        }

        fn folder(&self, name: &str) -> PathBuf {
            let folder = self.data.path().join(name);
            save(&small(2), &folder, &Card::default(), Numbers::F32).unwrap();
            folder
        }
    }

    fn placed(name: &str, source: OwnSource, weights: Precision) -> OwnPlacement {
        let own = Own { model: name.parse().unwrap(), source, weights };
        OwnPlacement { placement: name.parse().unwrap(), own }
    }

    fn produced(name: &str) -> OwnPlacement {
        let source = OwnSource::Production("handbook".parse().unwrap());
        OwnPlacement { placement: name.parse().unwrap(), ..placed("handbook", source, Precision::F32) }
    }

    fn foldered(name: &str, path: &Path, weights: Precision) -> OwnPlacement {
        placed(name, OwnSource::Folder { path: path.into(), class: DataClass::Internal }, weights)
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn is_stand_in(model: &Arc<dyn LocalModel>) -> bool {
        let request = br#"{"model":"a","messages":[{"role":"user","content":"a"}]}"#;
        model.chat(&ChatRequest::parse(request).unwrap()).status == 503
            && model.embeddings(&serde_json::json!({ "input": "a" })).status == 503
    }

    #[test]
    fn production_is_followed() {
        let place = place();
        let owns = [produced("handbook"), produced("same")];
        assert!(place.house.look(&owns).is_empty() && !place.house.is_outdated(&owns));
        let first = place.version();
        place.promote(&first);
        assert!(place.house.is_outdated(&owns));
        let one = place.house.look(&owns);
        assert!(!place.house.is_outdated(&owns));
        assert_eq!(one[&name("handbook")].trained_on(), DataClass::Confidential);
        assert!(!is_stand_in(&one[&name("handbook")]));
        // Both placements share one engine, and looking again changes nothing.
        assert!(Arc::ptr_eq(&one[&name("handbook")], &one[&name("same")]));
        assert!(Arc::ptr_eq(&place.house.look(&owns)[&name("same")], &one[&name("same")]));
        let second = place.version();
        place.promote(&second);
        assert!(place.house.is_outdated(&owns));
        let two = place.house.look(&owns);
        assert!(!Arc::ptr_eq(&one[&name("handbook")], &two[&name("handbook")]));
        // What no placement names any more is let go.
        assert_eq!(Arc::strong_count(&two[&name("same")]), 3);
        assert!(place.house.look(&[]).is_empty());
        assert_eq!(Arc::strong_count(&two[&name("same")]), 2);
    }

    #[test]
    fn a_version_whose_files_have_changed_is_not_served_nor_tried_again() {
        let place = place();
        let owns = [produced("handbook")];
        let (good, bad) = (place.version(), place.version());
        place.promote(&bad);
        let weights = place.store().path(&bad).join("model.safetensors");
        let original = fs::read(&weights).unwrap();
        fs::write(&weights, [&original[..], b"more"].concat()).unwrap();
        // With nothing else to serve, the placement says that it cannot.
        let models = place.house.look(&owns);
        assert!(is_stand_in(&models[&name("handbook")]));
        assert_eq!(models[&name("handbook")].trained_on(), DataClass::Restricted);
        assert!(!place.house.is_outdated(&owns));
        // It is tried again when it is promoted again, and not before.
        fs::write(&weights, &original).unwrap();
        assert!(!place.house.is_outdated(&owns) && is_stand_in(&place.house.look(&owns)[&name("handbook")]));
        place.promote(&good);
        assert!(place.house.is_outdated(&owns));
        let serving = place.house.look(&owns);
        assert!(!is_stand_in(&serving[&name("handbook")]));
        // With something that serves, that goes on.
        fs::write(&weights, b"other").unwrap();
        let store = place.store();
        let file = place.data.path().join("models/handbook/production.json");
        let mut promotion = store.production(&name("handbook")).unwrap().unwrap();
        promotion.version = bad;
        fs::write(file, serde_json::to_vec(&promotion).unwrap()).unwrap();
        assert!(place.house.is_outdated(&owns));
        assert!(Arc::ptr_eq(&place.house.look(&owns)[&name("handbook")], &serving[&name("handbook")]));
        assert!(!place.house.is_outdated(&owns));
    }

    #[test]
    fn folders_are_served_in_each_precision_and_encoders_as_they_are() {
        let place = place();
        let folder = place.folder("llama");
        let owns = [
            foldered("single", &folder, Precision::F32),
            foldered("half", &folder, Precision::Bf16),
            foldered("bytes", &folder, Precision::Int8),
            foldered("minilm", &encoder(), Precision::F32),
            foldered("rounded", &encoder(), Precision::Int8),
        ];
        let models = place.house.look(&owns);
        assert!(!place.house.is_outdated(&owns));
        for writer in ["single", "half", "bytes"] {
            assert_eq!(models[&name(writer)].trained_on(), DataClass::Internal);
            assert_eq!(models[&name(writer)].embeddings(&serde_json::json!({ "input": "a" })).status, 400);
        }
        assert_eq!(models[&name("minilm")].embeddings(&serde_json::json!({ "input": "a" })).status, 200);
        assert!(is_stand_in(&models[&name("rounded")]));
    }

    #[test]
    fn a_folder_that_cannot_be_loaded_stops_no_other_and_is_tried_again_when_it_changes() {
        let place = place();
        let (good, bad) = (place.folder("good"), place.folder("bad"));
        let weights = bad.join("model.safetensors");
        let original = fs::read(&weights).unwrap();
        fs::write(&weights, &original[..original.len() / 2]).unwrap();
        let missing = place.data.path().join("missing");
        let owns = [
            foldered("bad", &bad, Precision::F32),
            foldered("missing", &missing, Precision::F32),
            foldered("good", &good, Precision::F32),
        ];
        let models = place.house.look(&owns);
        assert_eq!(["bad", "missing", "good"].map(|it| is_stand_in(&models[&name(it)])), [true, true, false]);
        assert!(!place.house.is_outdated(&owns));
        assert!(Arc::ptr_eq(&place.house.look(&owns)[&name("bad")], &models[&name("bad")]));
        fs::write(&weights, &original).unwrap();
        assert!(place.house.is_outdated(&owns));
        let models = place.house.look(&owns);
        assert_eq!(
            ["bad", "missing", "good"].map(|it| is_stand_in(&models[&name(it)])),
            [false, true, false]
        );
        // What serves is not exchanged below those who use it.
        fs::write(&weights, b"other").unwrap();
        assert!(!place.house.is_outdated(&owns));
        fs::rename(&good, &missing).unwrap();
        assert!(place.house.is_outdated(&owns));
        assert!(!is_stand_in(&place.house.look(&owns)[&name("missing")]));
    }
}
