//! The settings that flags and environment variables can override: one table, so that help, `config
//! explain` and the loader cannot disagree. Precedence: flag > environment > file > default.

use std::{path::PathBuf, sync::Arc};

use serde::{Serialize, Serializer};

/// Where environment variables are looked up; injected, so that tests set none of the process.
pub(crate) type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The environment of this process. Variables that are not Unicode count as not set.
#[must_use]
pub(crate) fn process_environment() -> Environment {
    Arc::new(|name| std::env::var(name).ok())
}

/// What the command line says about the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// `--config`.
    pub(crate) config: Option<PathBuf>,
    /// `--data`.
    pub(crate) data: Option<PathBuf>,
    /// `--listen`.
    pub(crate) listen: Option<String>,
    /// `--demo`.
    pub(crate) demo: bool,
}

/// Whether secrets must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Secrets {
    /// A missing secret is an error.
    #[default]
    Required,
    /// Secrets are not looked for: to check a file on a machine that must not have them. What is loaded
    /// this way must not serve.
    Skipped,
}

/// All that a configuration is made from.
#[derive(Clone)]
pub(crate) struct Inputs {
    /// What the command line says.
    pub(crate) flags: Flags,
    /// Where variables are looked up.
    pub(crate) environment: Environment,
    /// Whether secrets must be there.
    pub(crate) secrets: Secrets,
}

impl Inputs {
    /// The flags, and the environment of this process.
    #[must_use]
    pub(crate) fn of(flags: Flags) -> Self {
        Inputs { flags, environment: process_environment(), secrets: Secrets::Required }
    }
}

/// A setting that can be overridden.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Its path in the file, or its name if it has no place there.
    pub(crate) path: &'static str,
    /// The flag that overrides all else.
    pub(crate) flag: Option<&'static str>,
    /// The environment variable that overrides the file.
    pub(crate) variable: &'static str,
}

pub(crate) const CONFIG: Setting =
    Setting { path: "config", flag: Some("--config"), variable: "PINTLE_CONFIG" };
pub(crate) const DATA: Setting = Setting { path: "data", flag: Some("--data"), variable: "PINTLE_DATA" };
pub(crate) const LISTEN: Setting =
    Setting { path: "server.listen", flag: Some("--listen"), variable: "PINTLE_LISTEN" };
pub(crate) const PUBLIC_URL: Setting =
    Setting { path: "server.public_url", flag: None, variable: "PINTLE_PUBLIC_URL" };

/// Every setting that can be overridden.
pub(crate) const SETTINGS: [&Setting; 4] = [&CONFIG, &DATA, &LISTEN, &PUBLIC_URL];

/// Where the data lies when nobody says otherwise.
pub(crate) const DEFAULT_DATA: &str = "./pintle-data";
/// The configuration that is used when it is there and no other is named.
pub(crate) const DEFAULT_CONFIG: &str = "pintle.toml";

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A command-line flag.
    Flag(&'static str),
    /// An environment variable.
    Environment(&'static str),
    /// A line of a file: `pintle.toml:7`.
    File {
        /// The file's name.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// Nobody said anything.
    Default,
}

impl Origin {
    /// Where the value stands, for the start of an error message.
    pub(crate) fn place_name(&self) -> String {
        match self {
            Origin::Flag(flag) => (*flag).to_owned(),
            Origin::Environment(variable) => (*variable).to_owned(),
            Origin::File { file, line } => format!("{file}:{line}"),
            Origin::Default => "default".to_owned(),
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Flag(flag) => write!(f, "flag {flag}"),
            Origin::Environment(variable) => write!(f, "environment {variable}"),
            Origin::File { file, line } => write!(f, "{file}:{line}"),
            Origin::Default => f.write_str("default"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl Inputs {
    /// What flag or environment say about a setting. An empty variable counts as not set.
    pub(crate) fn overriding(&self, setting: &Setting) -> Option<(String, Origin)> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let by_flag = match setting.flag {
            Some("--config") => path(&self.flags.config),
            Some("--data") => path(&self.flags.data),
            Some("--listen") => self.flags.listen.clone(),
            _ => None,
        };
        if let (Some(value), Some(flag)) = (by_flag, setting.flag) {
            return Some((value, Origin::Flag(flag)));
        }
        let value = (self.environment)(setting.variable).filter(|value| !value.is_empty())?;
        Some((value, Origin::Environment(setting.variable)))
    }

    /// The data folder and where its name comes from.
    #[must_use]
    pub(crate) fn data_folder(&self) -> (PathBuf, Origin) {
        // The flag's path is taken as it is, because it need not be Unicode.
        if let Some(path) = &self.flags.data {
            return (path.clone(), Origin::Flag("--data"));
        }
        match self.overriding(&DATA) {
            Some((value, origin)) => (value.into(), origin),
            None => (DEFAULT_DATA.into(), Origin::Default),
        }
    }
}
