//! Placements: addresses, secrets, prices, clearance. What passes here can be called without asking again.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use http::Uri;
use pintle_core::{DataClass, ModelName, Name, Pricing, Secret, Zone};
use pintle_model::infer::Precision;
use pintle_registry::{Placement, Provider, Timeouts};

use super::{
    files,
    parse::Parsed,
    problem::{Fault, missing_hint},
    schema::{PlacementConfig, PriceConfig, ProviderKind, SecretSource, TimeoutsConfig, WeightsKind},
    settings::{Inputs, Secrets},
};

/// Each request asks policy about each placement.
const PLACEMENTS_MAX: usize = 200;
const TIMEOUT_MS_MAX: u64 = 3_600_000;
const SECRET_FILE_MIB_MAX: u64 = 1;

/// What Pintle serves itself at a placement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnPlacement {
    /// The placement.
    pub(crate) placement: Name,
    /// What is served there.
    pub(crate) own: Own,
}

/// A model that Pintle serves itself. Placements that state the same share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Own {
    /// As answers and applications call it.
    pub(crate) model: ModelName,
    /// Where it comes from.
    pub(crate) source: OwnSource,
    /// How its weights are kept in memory.
    pub(crate) weights: Precision,
}

/// Where a model that Pintle serves itself comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum OwnSource {
    /// The version in production of the own model of this name.
    Production(Name),
    /// A folder.
    Folder {
        /// Where it lies.
        path: PathBuf,
        /// The class of what its model was trained on.
        class: DataClass,
    },
}

/// Every placement that is right, and what Pintle serves itself at some of them; the faults of the others are reported.
/// Files of secrets are added to `watched`, so that a rotated key is noticed.
pub(crate) fn check(
    parsed: &mut Parsed,
    inputs: &Inputs,
    folder: &Path,
    watched: &mut Vec<PathBuf>,
) -> (Vec<Arc<Placement>>, Vec<OwnPlacement>) {
    let configs = std::mem::take(&mut parsed.config.placement);
    if configs.is_empty() && !parsed.rejected.contains("placement") {
        parsed.warn_at("placement", &Fault::NoPlacement);
    }
    if configs.len() > PLACEMENTS_MAX {
        parsed.error_at("placement", &Fault::TooMany { path: "placement", most: PLACEMENTS_MAX });
        return (Vec::new(), Vec::new());
    }
    let mut seen: BTreeMap<Name, usize> = BTreeMap::new();
    let (mut placements, mut owns) = (Vec::new(), Vec::new());
    for (index, config) in configs.iter().enumerate() {
        let path = format!("placement[{index}]");
        if let Some(name) = &config.name {
            match seen.get(name) {
                Some(first) => {
                    let first = line_of(parsed, &format!("placement[{first}]"));
                    let fault = Fault::Duplicate { what: "placement", name: name.to_string(), first };
                    parsed.error_at(&format!("{path}.name"), &fault);
                }
                None => {
                    seen.insert(name.clone(), index);
                }
            }
        }
        let mut checker = Checker { parsed, inputs, folder, watched: &mut *watched, path, config };
        let own = checker.own();
        if let Some(placement) = checker.placement() {
            owns.extend(own.map(|own| OwnPlacement { placement: placement.name.clone(), own }));
            placements.push(Arc::new(placement));
        }
    }
    parsed.config.placement = configs;
    (placements, owns)
}

fn line_of(parsed: &Parsed, path: &str) -> String {
    let line = parsed.map.get(path).map_or(0, |mark| parsed.source.line(mark.key.start));
    format!("{}:{line}", parsed.source.name)
}

struct Checker<'a> {
    parsed: &'a mut Parsed,
    inputs: &'a Inputs,
    folder: &'a Path,
    watched: &'a mut Vec<PathBuf>,
    path: String,
    config: &'a PlacementConfig,
}

impl Checker<'_> {
    fn at(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    fn error(&mut self, key: &str, fault: &Fault) {
        let path = self.at(key);
        self.parsed.error_at(&path, fault);
    }

    fn placement(&mut self) -> Option<Placement> {
        let config = self.config;
        let keys = [
            ("name", config.name.is_some()),
            ("provider", config.provider.is_some()),
            ("model", config.model.is_some()),
            ("zone", config.zone.is_some()),
            ("clearance", config.clearance.is_some()),
            ("price", config.price.is_some()),
        ];
        let path = self.path.clone();
        self.parsed.require(&path, "placement", &keys);
        if (config.zone, config.clearance) == (Some(Zone::PublicCloud), Some(DataClass::Restricted)) {
            self.error("clearance", &Fault::PublicRestricted);
        }
        let timeouts = self.timeouts();
        let provider = config.provider.and_then(|kind| self.provider(kind));
        Some(Placement {
            name: config.name.clone()?,
            provider: provider?,
            model: config.model.clone()?,
            zone: config.zone?,
            region: config.region.clone(),
            clearance: config.clearance?,
            pricing: match config.price? {
                PriceConfig::Card(card) => Pricing::Priced(card),
                PriceConfig::Unpriced => Pricing::Unpriced,
            },
            timeouts,
            source: line_of(self.parsed, &self.path),
        })
    }

    fn provider(&mut self, kind: ProviderKind) -> Option<Provider> {
        if matches!(kind, ProviderKind::Embedded | ProviderKind::Simulated) {
            for (key, is_there) in
                [("base_url", self.config.base_url.is_some()), ("api_key", self.config.api_key.is_some())]
            {
                if is_there {
                    let placement = self.config.name.as_ref().map(ToString::to_string).unwrap_or_default();
                    let provider = if kind == ProviderKind::Embedded { "embedded" } else { "simulated" };
                    self.error(key, &Fault::UrlOfOwn { placement, provider });
                }
            }
        }
        if kind != ProviderKind::AzureOpenAi && self.config.api_version.is_some() {
            self.not_used(kind, "api_version");
        }
        match kind {
            ProviderKind::Embedded => return Some(Provider::Embedded),
            ProviderKind::Simulated => return Some(Provider::Simulated),
            ProviderKind::OpenAi | ProviderKind::AzureOpenAi | ProviderKind::Anthropic => {}
        }
        let base_url = self.base_url();
        let api_key = self.api_key();
        let base_url = base_url?;
        match kind {
            ProviderKind::OpenAi => Some(Provider::OpenAi { base_url, api_key }),
            ProviderKind::Anthropic => Some(Provider::Anthropic { base_url, api_key }),
            ProviderKind::AzureOpenAi => {
                let path = self.path.clone();
                let is_there = self.config.api_version.is_some();
                self.parsed.require(&path, "placement", &[("api_version", is_there)]);
                let api_version = self.config.api_version.clone()?;
                Some(Provider::AzureOpenAi { base_url, api_key, api_version })
            }
            ProviderKind::Embedded | ProviderKind::Simulated => None,
        }
    }

    fn not_used(&mut self, kind: ProviderKind, key: &'static str) {
        let placement = self.config.name.as_ref().map(ToString::to_string).unwrap_or_default();
        let provider = match kind {
            ProviderKind::OpenAi => "openai",
            ProviderKind::AzureOpenAi => "azure_openai",
            ProviderKind::Anthropic => "anthropic",
            ProviderKind::Embedded => "embedded",
            ProviderKind::Simulated => "simulated",
        };
        self.error(key, &Fault::NotUsed { placement, provider, key });
    }

    /// What Pintle serves itself here; `None` where another provider answers, or something is wrong.
    fn own(&mut self) -> Option<Own> {
        let config = self.config;
        let kind = config.provider?;
        if kind != ProviderKind::Embedded {
            for (key, is_there) in [
                ("folder", config.folder.is_some()),
                ("trained_on", config.trained_on.is_some()),
                ("weights", config.weights.is_some()),
            ] {
                if is_there {
                    self.not_used(kind, key);
                }
            }
            return None;
        }
        let source = match &config.folder {
            Some(folder) => self.own_folder(folder),
            None => self.own_version(),
        };
        Some(Own {
            model: config.model.clone()?,
            source: source?,
            weights: match config.weights {
                None | Some(WeightsKind::F32) => Precision::F32,
                Some(WeightsKind::Bf16) => Precision::Bf16,
                Some(WeightsKind::Int8) => Precision::Int8,
            },
        })
    }

    fn own_folder(&mut self, folder: &str) -> Option<OwnSource> {
        let path = self.path.clone();
        let class = self.config.trained_on;
        self.parsed.require(&path, "placement", &[("trained_on", class.is_some())]);
        if folder.trim().is_empty() {
            let hint = "write folder = \"models/my-llama\", relative to the folder of this file".to_owned();
            self.error("folder", &Fault::BadValue { message: "the folder's name is empty".to_owned(), hint });
            return None;
        }
        let path = self.folder.join(folder);
        // A model that comes later, or on a disk that is not there now, must not keep the others from starting.
        if !path.join("config.json").is_file() {
            let at = self.at("folder");
            self.parsed.warn_at(&at, &Fault::NoModel(path.display().to_string()));
        }
        Some(OwnSource::Folder { path, class: class? })
    }

    fn own_version(&mut self) -> Option<OwnSource> {
        if self.config.trained_on.is_some() {
            let message =
                "`trained_on` is for a `folder`: a version's class is that of its documents".to_owned();
            let hint = "remove `trained_on`, or name a `folder`".to_owned();
            self.error("trained_on", &Fault::BadValue { message, hint });
        }
        let model = self.config.model.as_ref()?;
        match model.as_str().parse() {
            Ok(name) => Some(OwnSource::Production(name)),
            Err(_) => {
                let message = format!("`{model}` is not the name of an own model");
                let hint = "write the name that `pintle model list` shows; or name a `folder`".to_owned();
                self.error("model", &Fault::BadValue { message, hint });
                None
            }
        }
    }

    fn base_url(&mut self) -> Option<Uri> {
        let Some(text) = &self.config.base_url else {
            let path = self.path.clone();
            if self.parsed.is_absent(&self.at("base_url")) {
                let fault = Fault::Missing {
                    key: "base_url".to_owned(),
                    table: "`[[placement]]`".to_owned(),
                    hint: missing_hint("placement", "base_url"),
                };
                self.parsed.error_at(&format!("{path}.base_url"), &fault);
            }
            return None;
        };
        let checked = web_address(text).and_then(|uri| {
            let is_plain = uri.scheme_str() == Some("http");
            let leaves = is_plain && !is_loopback(&uri);
            if leaves && self.config.zone == Some(Zone::PublicCloud) {
                Err(Fault::UrlPlain { url: text.clone() })
            } else {
                Ok(uri)
            }
        });
        checked.map_err(|fault| self.error("base_url", &fault)).ok()
    }

    fn api_key(&mut self) -> Option<Secret> {
        let source = self.config.api_key.as_ref()?;
        match self.secret(source) {
            Ok(secret) => secret,
            Err(fault) => {
                self.error("api_key", &fault);
                None
            }
        }
    }

    fn secret(&mut self, source: &SecretSource) -> Result<Option<Secret>, Fault> {
        let is_required = self.inputs.secrets == Secrets::Required;
        let (whence, text) = match (&source.env, &source.file) {
            (Some(variable), _) => {
                // A secret that was pasted here must not be echoed; few of them look like this.
                if !is_variable_name(variable) {
                    return Err(Fault::SecretVariableName);
                }
                if !is_required {
                    return Ok(None);
                }
                let text = (self.inputs.environment)(variable)
                    .ok_or_else(|| Fault::SecretVariable(variable.clone()))?;
                (format!("the environment variable `{variable}`"), text)
            }
            (None, Some(file)) if is_required => (format!("the file `{file}`"), self.secret_file(file)?),
            _ => return Ok(None),
        };
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            return Err(Fault::SecretEmpty(whence));
        }
        // It becomes a header's value.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Fault::SecretUnfit(whence));
        }
        Ok(Some(Secret::new(text)))
    }

    fn secret_file(&mut self, file: &str) -> Result<String, Fault> {
        let path = self.folder.join(file);
        self.watched.push(path.clone());
        let text = files::read_text(&path, SECRET_FILE_MIB_MAX).map_err(|error| Fault::Unreadable {
            what: "secret file",
            path: path.display().to_string(),
            reason: error.to_string(),
        })?;
        if files::is_open_to_others(&path) {
            let at = self.at("api_key");
            self.parsed.warn_at(&at, &Fault::SecretFileOpen(path.display().to_string()));
        }
        Ok(text)
    }

    fn timeouts(&mut self) -> Timeouts {
        let TimeoutsConfig { connect_ms, first_byte_ms, idle_ms } = self.config.timeouts;
        for (key, value) in
            [("connect_ms", connect_ms), ("first_byte_ms", first_byte_ms), ("idle_ms", idle_ms)]
        {
            if value == 0 || value > TIMEOUT_MS_MAX {
                let fault = Fault::OutOfRange { path: key.to_owned(), value, least: 1, most: TIMEOUT_MS_MAX };
                self.error(&format!("timeouts.{key}"), &fault);
            }
        }
        Timeouts { connect_ms, first_byte_ms, idle_ms }
    }
}

/// A name as shells export it, in capitals: what looks otherwise may be a pasted secret.
fn is_variable_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// An absolute `http` or `https` address without user, query and fragment; a slash at its end is dropped,
/// so that paths can be appended.
pub(crate) fn web_address(text: &str) -> Result<Uri, Fault> {
    if text.contains('@') {
        return Err(Fault::UrlCredentials);
    }
    if text.contains(['?', '#']) {
        return Err(Fault::UrlQuery);
    }
    let bad = || Fault::Url { url: text.chars().take(128).collect() };
    let uri: Uri = text.trim_end_matches('/').parse().map_err(|_| bad())?;
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    if !matches!(uri.scheme_str(), Some("http" | "https")) || !has_host {
        return Err(bad());
    }
    Ok(uri)
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_absolute_and_carry_no_secret() {
        assert_eq!(web_address("https://api.openai.com/v1/").unwrap().path(), "/v1");
        for bad in ["api.openai.com/v1", "ftp://x/", "https://", "https:///v1", "/v1", "", "https://a b/"] {
            assert!(matches!(web_address(bad), Err(Fault::Url { .. })), "{bad}");
        }
        let error = web_address("https://me:hunter2@example.com").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        assert!(matches!(web_address("https://x/?key=1"), Err(Fault::UrlQuery)));
        assert!(is_loopback(&web_address("http://[::1]:8000/v1").unwrap()));
        assert!(!is_loopback(&web_address("http://10.0.0.1/v1").unwrap()));
    }
}
