//! `pintle.toml`: reading, checking, explaining and watching the configuration.
//!
//! [`load`] is the one way in. `schema.rs` says what the file may contain, `parse.rs` turns text into
//! that shape, `check.rs` (with `placements.rs` and `words.rs`) gives it its meaning, `problem.rs` words
//! what is wrong, `explain.rs` tells where each value comes from, `watch.rs` notices changes. What comes
//! out is complete and valid: secrets are read, policies compiled, dictionaries loaded.

mod check;
mod explain;
mod files;
mod parse;
mod placements;
mod problem;
mod schema;
mod settings;
mod source;
mod suggest;
mod template;
mod watch;
mod words;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use check::cedar_files;
pub(crate) use explain::Explained;
pub(crate) use files::{plain_reason, read_text};
pub(crate) use placements::{Own, OwnPlacement, OwnSource};
pub(crate) use problem::{ConfigError, Problem, Severity};
pub(crate) use schema::{Limits, UnpricedRule, json_schema};
pub(crate) use settings::{Flags, Inputs, Secrets};
pub(crate) use template::TEMPLATE;
pub(crate) use watch::{Reloaded, watch};

use pintle_core::Amount;
use pintle_guard::Guard;
use pintle_policy::PolicyEngine;
use pintle_registry::{Organisation, Placement};

use self::{
    files::ReadError,
    settings::{CONFIG, DEFAULT_CONFIG},
    source::SourceText,
};

/// The demonstration's configuration: a labelled sample organisation and simulated placements.
pub(crate) const DEMO: &str = include_str!("../demo.toml");
/// The demonstration's configuration in messages that go on with a line number.
const DEMO_FILE: &str = "built-in demo.toml";
const FILE_MIB_MAX: u64 = 1;

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerConfig {
    /// Address and port.
    pub(crate) listen: SocketAddr,
    /// What people see in links, without a slash at its end.
    pub(crate) public_url: String,
}

/// What tuning costs, and what it takes from the socket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TuningConfig {
    /// Of processor time; `None` when nobody has said (I4).
    pub(crate) price_per_hour: Option<Amount>,
    /// Of one busy core, where nothing measures it.
    pub(crate) watts_per_core: f64,
}

/// Which text was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConfigSource {
    /// A file.
    File(PathBuf),
    /// The built-in demonstration.
    Demo,
}

impl std::fmt::Display for ConfigSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ConfigSource::File(path) => path.display().fmt(f),
            ConfigSource::Demo => f.write_str("built-in demonstration"),
        }
    }
}

/// A configuration without errors, complete and ready to run on.
#[derive(Clone)]
pub(crate) struct LoadedConfig {
    /// Whose ledger and policies these are.
    pub(crate) organisation: Organisation,
    /// The organisation's hard budget per calendar month.
    pub(crate) organisation_budget: Option<Amount>,
    /// Where the server listens.
    pub(crate) server: ServerConfig,
    /// Where the data lies.
    pub(crate) data_folder: PathBuf,
    /// What one request, one key and the whole server may use.
    pub(crate) limits: Limits,
    /// What tuning costs, and what it takes from the socket.
    pub(crate) tuning: TuningConfig,
    /// The guard, made.
    pub(crate) scanner: Arc<Guard>,
    /// The policies, compiled: the organisation's own, or the built-in ones.
    pub(crate) engine: Arc<PolicyEngine>,
    /// The deployments of models that requests may go to, in the file's order.
    pub(crate) placements: Vec<Arc<Placement>>,
    /// What Pintle serves itself at some of them.
    pub(crate) owns: Vec<OwnPlacement>,
    /// Which text was read.
    pub(crate) source: ConfigSource,
    /// The files and folders that a change of which makes this configuration outdated.
    pub(crate) watched: Vec<PathBuf>,
    /// What somebody should look at, although it does not stop the start.
    pub(crate) warnings: Vec<Problem>,
    /// Each setting with where it comes from.
    pub(crate) explained: Vec<Explained>,
}

impl LoadedConfig {
    /// What differs from `before` and takes effect with a restart only, in words. Everything else can be
    /// exchanged while requests are in flight.
    #[must_use]
    pub(crate) fn needs_restart(&self, before: &LoadedConfig) -> Vec<String> {
        let zone = |config: &LoadedConfig| config.organisation.time_zone.iana_name().map(str::to_owned);
        let pairs = [
            ("server.listen", before.server.listen.to_string(), self.server.listen.to_string()),
            ("data", before.data_folder.display().to_string(), self.data_folder.display().to_string()),
            ("organisation.time_zone", zone(before).unwrap_or_default(), zone(self).unwrap_or_default()),
        ];
        pairs
            .into_iter()
            .filter(|(_, old, new)| old != new)
            .map(|(key, old, new)| format!("`{key}` changed from `{old}` to `{new}`: this needs a restart"))
            .collect()
    }

    /// Whether it may take the place of `before` in a running server. Prices and budgets in another
    /// currency must not meet the ledger of the old one (I9), and an organisation's real configuration must
    /// not meet the demonstration's data.
    ///
    /// # Errors
    /// What stands against it.
    pub(crate) fn may_replace(&self, before: &LoadedConfig) -> Result<(), ConfigError> {
        let (old, new) = (&before.organisation, &self.organisation);
        if old.currency != new.currency {
            return Err(ConfigError::NotWhileRunning(format!(
                "`organisation.currency` changed from `{}` to `{}`, and the ledger is in `{}`",
                old.currency, new.currency, old.currency
            )));
        }
        if old.is_demo != new.is_demo {
            return Err(ConfigError::NotWhileRunning(format!(
                "the configuration changed from {} to {}",
                before.source, self.source
            )));
        }
        Ok(())
    }
}

/// Reads and checks the configuration that flags and environment ask for: the named file, else
/// `./pintle.toml`, else the built-in demonstration.
///
/// # Errors
/// A file that cannot be read, or all that is wrong in it.
pub(crate) fn load(inputs: &Inputs) -> Result<LoadedConfig, ConfigError> {
    match chosen(inputs) {
        ConfigSource::Demo => load_text(inputs, ConfigSource::Demo, DEMO.to_owned(), Path::new("")),
        ConfigSource::File(path) => {
            let text = files::read_text(&path, FILE_MIB_MAX).map_err(|error| match error {
                ReadError::Missing => ConfigError::Missing(path.clone()),
                other => ConfigError::Unreadable { path: path.clone(), reason: other.to_string() },
            })?;
            let folder = path.parent().unwrap_or(Path::new("")).to_owned();
            load_text(inputs, ConfigSource::File(path), text, &folder)
        }
    }
}

/// Which text flags and environment ask for.
fn chosen(inputs: &Inputs) -> ConfigSource {
    if inputs.flags.demo {
        return ConfigSource::Demo;
    }
    if let Some(path) = &inputs.flags.config {
        return ConfigSource::File(path.clone());
    }
    match inputs.overriding(&CONFIG) {
        Some((path, _)) => ConfigSource::File(path.into()),
        None if Path::new(DEFAULT_CONFIG).exists() => ConfigSource::File(DEFAULT_CONFIG.into()),
        None => ConfigSource::Demo,
    }
}

fn load_text(
    inputs: &Inputs,
    source: ConfigSource,
    text: String,
    folder: &Path,
) -> Result<LoadedConfig, ConfigError> {
    let name = match &source {
        ConfigSource::File(path) => path.display().to_string(),
        ConfigSource::Demo => DEMO_FILE.to_owned(),
    };
    let parsed = parse::parse(&SourceText { name, text }).map_err(ConfigError::Invalid)?;
    check::check(parsed, inputs, source, folder).map_err(ConfigError::Invalid)
}
