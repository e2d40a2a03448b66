//! The gateway and what it reads: settings that a reload replaces as a whole, and the counters that
//! outlive a reload.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Instant,
};

use arc_swap::ArcSwap;
use pintle_core::{Clock, KeyId, Name, Timestamp};
use pintle_guard::Guard;
use pintle_ledger::{Ledger, Scope};
use pintle_llm::LocalModel;
use pintle_policy::{PolicyEngine, Subject};
use pintle_registry::{
    ApiKey, KeyState, Organisation, Placement, PresentedKey, Provider, Registry, Snapshot, UseCase,
};
use tokio::sync::Semaphore;

use crate::{
    Health, Metrics,
    error::Stop,
    fleet::{RetryBudget, Station},
    upstream::{Connector, Dialler, UpstreamError},
};

/// Requests' bodies may take so much memory in all; a body that would go beyond waits for nobody: 503.
const BODY_MEMORY_KIB: usize = 512 * 1024;

/// What to do with a placement whose price nobody knows (I4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpriced {
    /// Nothing goes there.
    Refuse,
    /// Requests go there, and are flagged as unpriced.
    Flag,
}

/// Bounds on requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest body, in MiB; beyond it: 413.
    pub body_mib: u64,
    /// The longest request, in seconds, streamed answers included; beyond it: 504.
    pub request_deadline_s: u64,
    /// Requests on their way per key; beyond it: 429.
    pub concurrent_per_key: usize,
    /// Requests on their way in all; beyond it: 503.
    pub concurrent_total: usize,
    /// What is held for a request that names no limit to its output, in tokens.
    pub max_output_tokens: u64,
    /// Further tries after the first.
    pub retries: u32,
    /// What to do where the price is not known.
    pub unpriced: Unpriced,
}

/// What a reload replaces, all at once.
#[derive(Debug)]
pub struct Settings {
    /// Whose gateway it is.
    pub organisation: Organisation,
    /// Where requests may go.
    pub placements: Vec<Arc<Placement>>,
    /// The versions in production of own models, by the placement that serves them. A placement of an own model that
    /// is not here is out of service.
    pub models: HashMap<Name, Arc<dyn LocalModel>>,
    /// The policies.
    pub policies: Arc<PolicyEngine>,
    /// The detectors.
    pub guard: Arc<Guard>,
    /// Bounds.
    pub limits: Limits,
}

/// What stays from start to end.
#[derive(Clone)]
pub struct GatewayParts {
    /// Use cases, keys, bans.
    pub registry: Arc<Registry>,
    /// Budgets and records.
    pub ledger: Ledger,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// One request sees one of these from its beginning to its end.
pub(crate) struct Loaded {
    pub(crate) organisation: Organisation,
    pub(crate) stations: Vec<Arc<Station>>,
    pub(crate) policies: Arc<PolicyEngine>,
    pub(crate) guard: Arc<Guard>,
    pub(crate) limits: Limits,
    pub(crate) total: Arc<Semaphore>,
}

/// A placement's state, for pages and metrics.
#[derive(Debug, Clone)]
pub struct PlacementStatus {
    /// The placement.
    pub placement: Arc<Placement>,
    /// How it has been doing.
    pub health: Health,
}

/// The data plane.
pub struct Gateway {
    pub(crate) parts: GatewayParts,
    loaded: ArcSwap<Loaded>,
    dialler: Dialler,
    pub(crate) metrics: Metrics,
    pub(crate) retries: RetryBudget,
    pub(crate) body_memory: Arc<Semaphore>,
    keys_busy: Arc<Mutex<HashMap<Option<KeyId>, usize>>>,
    started: Instant,
}

impl Gateway {
    /// A gateway in the given organisation.
    ///
    /// # Errors
    /// When the system has no certificates to check providers with.
    pub fn new(parts: GatewayParts, settings: Settings) -> Result<Arc<Self>, UpstreamError> {
        let dialler = Dialler::default();
        let loaded = load(&dialler, settings, None)?;
        Ok(Arc::new(Gateway {
            parts,
            loaded: ArcSwap::from_pointee(loaded),
            dialler,
            metrics: Metrics::new(),
            retries: RetryBudget::new(),
            body_memory: Arc::new(Semaphore::new(BODY_MEMORY_KIB)),
            keys_busy: Arc::default(),
            started: Instant::now(),
        }))
    }

    /// Replaces the settings. Requests on their way keep what they began with; placements that did not
    /// change keep their connections and their history.
    ///
    /// # Errors
    /// When a placement cannot be connected; everything stays as it was.
    pub fn reload(&self, settings: Settings) -> Result<(), UpstreamError> {
        let loaded = load(&self.dialler, settings, Some(&self.loaded.load()))?;
        self.loaded.store(Arc::new(loaded));
        Ok(())
    }

    pub(crate) fn loaded(&self) -> Arc<Loaded> {
        self.loaded.load_full()
    }

    /// Milliseconds since the gateway began: the clock of rests and deadlines, which no one can set.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The placements and how they have been doing.
    #[must_use]
    pub fn placements(&self) -> Vec<PlacementStatus> {
        let now_ms = self.now_ms();
        let status = |station: &Arc<Station>| PlacementStatus {
            placement: Arc::clone(station.placement()),
            health: station.health(now_ms),
        };
        self.loaded().stations.iter().map(status).collect()
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Counts one request of a key in (the console counts as one), unless it has `most` on their way.
    pub(crate) fn enter(&self, key: Option<KeyId>, most: usize) -> Option<Busy> {
        let mut busy = self.keys_busy.lock().ok()?;
        let count = busy.entry(key).or_insert(0);
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(busy);
        Some(Busy { counts: Arc::clone(&self.keys_busy), key })
    }

    /// The key that was presented, if it works now.
    pub(crate) fn active_key<'a>(
        &self,
        snapshot: &'a Snapshot,
        presented: Option<PresentedKey>,
        now: Timestamp,
    ) -> Result<&'a ApiKey, Stop> {
        let key = snapshot.key(&presented.ok_or(Stop::MissingKey)?).ok_or(Stop::UnknownKey)?;
        match key.state(now) {
            KeyState::Active => Ok(key),
            KeyState::Expired => Err(Stop::ExpiredKey),
            KeyState::Revoked => Err(Stop::RevokedKey),
        }
    }

    /// What the policies need to know of a use case.
    pub(crate) fn subject(&self, use_case: &UseCase) -> Subject {
        Subject {
            use_case: use_case.name().clone(),
            stage: use_case.stage,
            data_class: use_case.draft.data_class,
            transformations: use_case.draft.transformations.clone(),
            cost_centre: use_case.draft.cost_centre.clone(),
            budget: self.parts.ledger.limit(&Scope::UseCase(use_case.name().clone())),
        }
    }
}

/// One request on its way; dropping it counts it out.
pub(crate) struct Busy {
    counts: Arc<Mutex<HashMap<Option<KeyId>, usize>>>,
    key: Option<KeyId>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Ok(mut counts) = self.counts.lock() else { return };
        if let Some(count) = counts.get_mut(&self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

fn load(dialler: &Dialler, settings: Settings, before: Option<&Loaded>) -> Result<Loaded, UpstreamError> {
    let keep = |placement: &Arc<Placement>| {
        let same = |station: &&Arc<Station>| {
            let model = settings.models.get(&placement.name);
            **station.placement() == **placement && station.connector().serves(model)
        };
        before.and_then(|before| before.stations.iter().find(same)).cloned()
    };
    let station = |placement: Arc<Placement>| {
        if let Some(known) = keep(&placement) {
            return Ok(known);
        }
        let model = settings.models.get(&placement.name).map(Arc::clone);
        let connector = Connector::new(dialler, &placement, model)?;
        Ok(Arc::new(Station::new(placement, connector)))
    };
    let is_served = |placement: &&Arc<Placement>| {
        placement.provider != Provider::Embedded || settings.models.contains_key(&placement.name)
    };
    let placements = settings.placements.iter().filter(is_served).map(Arc::clone);
    let stations = placements.map(station).collect::<Result<_, UpstreamError>>()?;
    let same_bound =
        before.filter(|before| before.limits.concurrent_total == settings.limits.concurrent_total);
    Ok(Loaded {
        organisation: settings.organisation,
        stations,
        policies: settings.policies,
        guard: settings.guard,
        total: same_bound.map_or_else(
            || Arc::new(Semaphore::new(settings.limits.concurrent_total)),
            |before| Arc::clone(&before.total),
        ),
        limits: settings.limits,
    })
}
