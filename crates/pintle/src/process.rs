//! The running process, as the console sees it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::body::Body;
use bytes::Bytes;
use pintle_console::{Answer, OwnModels, PlacementView, Process, ProcessView, RuleView};
use pintle_core::{Clock, Currency, Name, Price, Pricing, SystemClock, Timestamp};
use pintle_gateway::{Gateway, Health, PlacementStatus, Settings, UpstreamError};
use pintle_policy::{PolicyEngine, Rule};
use pintle_registry::Organisation;

use crate::config::LoadedConfig;

/// What changes with a reload.
struct Current {
    organisation: Organisation,
    engine: Arc<PolicyEngine>,
    source: String,
    loaded_at: Timestamp,
    last_error: Option<String>,
}

/// The process: the gateway, and what is in force in it.
pub(crate) struct Running {
    gateway: Arc<Gateway>,
    started_at: Timestamp,
    listen: SocketAddr,
    data: String,
    public_url: String,
    own_models: Option<Arc<dyn OwnModels>>,
    current: Mutex<Current>,
}

impl Running {
    pub(crate) fn new(
        gateway: Arc<Gateway>,
        config: &LoadedConfig,
        listen: SocketAddr,
        now: Timestamp,
    ) -> Self {
        let public_url = if config.server.listen.port() == 0 {
            format!("http://{listen}")
        } else {
            config.server.public_url.clone()
        };
        Running {
            gateway,
            started_at: now,
            listen,
            data: config.data_folder.display().to_string(),
            public_url,
            own_models: None,
            current: Mutex::new(Current::of(config, now)),
        }
    }

    /// Shows the models of the data folder in the console, and lets it promote them.
    pub(crate) fn with_own_models(mut self, models: Arc<dyn OwnModels>) -> Self {
        self.own_models = Some(models);
        self
    }

    pub(crate) fn public_url(&self) -> &str {
        &self.public_url
    }

    /// Puts a new configuration in force.
    pub(crate) fn reload(&self, config: &LoadedConfig, settings: Settings) -> Result<(), UpstreamError> {
        self.gateway.reload(settings)?;
        if let Ok(mut current) = self.current.lock() {
            *current = Current::of(config, SystemClock.now());
        }
        Ok(())
    }

    /// Puts other versions of own models into service; the configuration stays.
    pub(crate) fn take_models(&self, settings: Settings) -> Result<(), UpstreamError> {
        self.gateway.reload(settings)
    }

    /// Keeps what is in force, and the reason why the new configuration is not.
    pub(crate) fn reload_failed(&self, error: &str) {
        tracing::error!("the new configuration is not taken, the old one stays in force:\n{error}");
        if let Ok(mut current) = self.current.lock() {
            current.last_error = Some(error.to_owned());
        }
    }
}

impl Current {
    fn of(config: &LoadedConfig, now: Timestamp) -> Self {
        Current {
            organisation: config.organisation.clone(),
            engine: Arc::clone(&config.engine),
            source: config.source.to_string(),
            loaded_at: now,
            last_error: None,
        }
    }
}

impl Process for Running {
    fn view(&self) -> ProcessView {
        // A thread that died while it held the lock has left complete values behind.
        let current = self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let currency = &current.organisation.currency;
        let placements = self.gateway.placements();
        ProcessView {
            organisation: current.organisation.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
            listen: self.listen.to_string(),
            data: self.data.clone(),
            policy_version: current.engine.version().to_owned(),
            rules: current.engine.rules().iter().map(rule_view).collect(),
            placements: placements.iter().map(|status| placement_view(status, currency)).collect(),
            config_source: current.source.clone(),
            loaded_at: current.loaded_at,
            last_config_error: current.last_error.clone(),
        }
    }

    fn try_it(&self, person: &str, use_case: &Name, body: Bytes) -> Answer {
        let gateway = Arc::clone(&self.gateway);
        let (person, use_case) = (person.to_owned(), use_case.clone());
        Box::pin(async move { gateway.chat_as(&person, &use_case, Body::from(body)).await })
    }

    fn own_models(&self) -> Option<Arc<dyn OwnModels>> {
        self.own_models.clone()
    }
}

fn rule_view(rule: &Rule) -> RuleView {
    RuleView {
        id: rule.id.to_string(),
        title: rule.title.as_deref().map(str::to_owned),
        effect: rule.effect.to_string(),
        guidance: rule.guidance.as_deref().map(str::to_owned),
        owner: rule.owner.as_deref().map(str::to_owned),
        source: if rule.line == 0 { rule.file.to_string() } else { format!("{}:{}", rule.file, rule.line) },
    }
}

fn placement_view(status: &PlacementStatus, currency: &Currency) -> PlacementView {
    let health = match status.health {
        Health::Healthy => "healthy".to_owned(),
        Health::Resting { ms } => format!("cooling down for {} s", ms.div_ceil(1_000)),
    };
    let price = match &status.placement.pricing {
        Pricing::Unpriced => "unpriced".to_owned(),
        Pricing::Priced(card) => {
            let show =
                |price: Price| pintle_core::Amount::from_nanos(price.nanos_per_million()).display(currency);
            format!("{} in, {} out per million tokens", show(card.input), show(card.output))
        }
    };
    PlacementView { placement: Arc::clone(&status.placement), health, price }
}
