//! Own models in a running server: which version serves, and the change to another one.
//!
//! The files of the data folder are the master: whoever promotes a version, with a command or on the console, writes
//! them, and [`House::look`] notices within a second. Requests that are on their way keep the version that they began
//! with, and its engine ends when the last of them does.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pintle_core::{Clock, Name};
use pintle_llm::LocalModel;
use pintle_model::{
    ModelError, ModelStore, Promotion, VersionId,
    infer::EngineSettings,
    serve::{ServeSettings, ServedModel},
};
use pintle_registry::{Placement, Provider};

/// The demonstration's handbook is the one of this seed.
pub(crate) const DEMO_SEED: u64 = 7;
/// The recipe of the demonstration's model.
pub(crate) const DEMO_RECIPE: &str = include_str!("demo_recipe.toml");

/// The models in service.
pub(crate) struct House {
    store: ModelStore,
    clock: Arc<dyn Clock>,
    serving: Mutex<HashMap<Name, Serving>>,
    /// Versions that could not be served: they are not tried again each second, only after another promotion.
    refused: Mutex<HashMap<Name, VersionId>>,
}

struct Serving {
    version: VersionId,
    model: Arc<dyn LocalModel>,
}

impl House {
    pub(crate) fn new(data_folder: &Path, clock: Arc<dyn Clock>) -> Self {
        House {
            store: ModelStore::new(data_folder),
            clock,
            serving: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// The versions in production, by placement. Loads those that are not loaded yet; a model that cannot be loaded
    /// keeps the version that it has, and the log says why. Takes as long as reading the weights takes.
    pub(crate) fn look(&self, placements: &[Arc<Placement>]) -> HashMap<Name, Arc<dyn LocalModel>> {
        // A thread that died while it held the lock has left complete values behind.
        let mut serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        let mut models = HashMap::new();
        for (placement, model) in own(placements) {
            match self.store.production(&model) {
                Ok(None) => drop(serving.remove(&model)),
                Ok(Some(promotion)) => self.follow(&mut serving, &model, promotion),
                Err(error) => tracing::error!(%error, %model, "what is in production cannot be read"),
            }
            if let Some(serving) = serving.get(&model) {
                models.insert(placement.clone(), Arc::clone(&serving.model));
            }
        }
        models
    }

    /// Whether the files name other versions than those that serve.
    pub(crate) fn is_outdated(&self, placements: &[Arc<Placement>]) -> bool {
        let serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        own(placements).any(|(_, model)| match self.store.production(&model) {
            Ok(production) => {
                let version = production.map(|promotion| promotion.version);
                version != serving.get(&model).map(|it| it.version.clone())
                    && (version.is_none() || version != self.refused().get(&model).cloned())
            }
            Err(_) => false,
        })
    }

    fn follow(&self, serving: &mut HashMap<Name, Serving>, model: &Name, promotion: Promotion) {
        let version = promotion.version;
        if serving.get(model).is_some_and(|serving| serving.version == version) {
            return;
        }
        match self.open(&version) {
            Ok(opened) => {
                tracing::info!(%version, by = promotion.by, reason = promotion.reason, "a version is in production");
                self.refused().remove(model);
                serving.insert(model.clone(), Serving { version, model: opened });
            }
            Err(error) => {
                tracing::error!(%error, %version, "a version cannot be served");
                self.refused().insert(model.clone(), version);
            }
        }
    }

    fn refused(&self) -> MutexGuard<'_, HashMap<Name, VersionId>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A version whose files are not those that were registered is not served.
    fn open(&self, version: &VersionId) -> Result<Arc<dyn LocalModel>, ModelError> {
        let manifest = self.store.manifest(version)?;
        self.store.verify(&manifest)?;
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let engine = EngineSettings { threads, ..EngineSettings::default() };
        let settings = ServeSettings { engine, ..ServeSettings::default() };
        let folder = self.store.path(version);
        let model =
            ServedModel::open(&folder, version.clone(), manifest.class, settings, Arc::clone(&self.clock))?;
        Ok(model)
    }
}

/// The placements of own models, with the models that they serve.
fn own(placements: &[Arc<Placement>]) -> impl Iterator<Item = (&Name, Name)> {
    let own = placements.iter().filter(|placement| placement.provider == Provider::Embedded);
    own.filter_map(|placement| Some((&placement.name, placement.model.as_str().parse().ok()?)))
}
