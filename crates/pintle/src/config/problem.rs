//! What can be wrong with a configuration, and how it reads: file, line and column, the line with a mark
//! below the fault, and a hint that says what to write instead. The one place of these sentences.

use std::path::PathBuf;

use super::{schema::PRICE_HINT, source::Place};

/// What is wrong. The message is a lowercase fragment; no secret is ever part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0}")]
    Syntax(String),
    #[error("`{key}` is not a setting of {table}")]
    UnknownKey { key: String, table: String, hint: String },
    #[error("this is not a setting of `api_key`")]
    UnknownSecretKey,
    #[error("{message}")]
    BadValue { message: String, hint: String },
    #[error("`{key}` is missing in {table}")]
    Missing { key: String, table: String, hint: String },
    #[error("`{path}` is a list: each entry starts with its own header")]
    NotAList { path: String },
    #[error("`{path}` is {value}, which is out of range")]
    OutOfRange { path: String, value: u64, least: u64, most: u64 },
    #[error("`{0}` is not a time zone")]
    TimeZone(String),
    #[error("`{0}` is not an address to listen on")]
    Listen(String),
    #[error("the demonstration may not listen on `{0}`, which other machines can reach")]
    DemoNotLoopback(String),
    #[error("the {what} `{name}` is defined twice")]
    Duplicate { what: &'static str, name: String, first: String },
    #[error("`{url}` is not a web address")]
    Url { url: String },
    #[error("the address carries a user name or password")]
    UrlCredentials,
    #[error("the address has a query or a fragment")]
    UrlQuery,
    #[error("`{url}` would send prompts and the key unencrypted over the public internet")]
    UrlPlain { url: String },
    #[error(
        "placement `{placement}` is `{provider}`: it answers from within Pintle, and nothing is sent anywhere"
    )]
    UrlOfOwn { placement: String, provider: &'static str },
    #[error("placement `{placement}` is at `{provider}`, which does not use `{key}`")]
    NotUsed { placement: String, provider: &'static str, key: &'static str },
    #[error("there is no model in `{0}`")]
    NoModel(String),
    #[error("a public cloud may not be cleared for `restricted` data")]
    PublicRestricted,
    #[error("the environment variable `{0}` is not set")]
    SecretVariable(String),
    #[error("`env` does not name an environment variable")]
    SecretVariableName,
    #[error("the secret in {0} is empty")]
    SecretEmpty(String),
    #[error("the secret in {0} is not a key: it has spaces, line breaks or other signs in it")]
    SecretUnfit(String),
    #[error("the {what} `{path}` cannot be read: {reason}")]
    Unreadable { what: &'static str, path: String, reason: String },
    #[error("the secret file `{0}` can be read by other users of this machine")]
    SecretFileOpen(String),
    #[error("{0}")]
    Dictionary(String),
    #[error("`{0}` is not a kind of finding")]
    UnknownKind(String, String),
    #[error("the policy folder `{0}` has no `.cedar` file")]
    NoPolicies(String),
    #[error("{message}")]
    Policy { message: String, hint: String },
    #[error("no placement is defined, so no request can be answered")]
    NoPlacement,
    #[error("there are more than {most} entries in `{path}`")]
    TooMany { path: &'static str, most: usize },
}

impl Fault {
    /// Whether the line may hold a secret because of what is wrong with it.
    pub(crate) fn is_about_a_secret(&self) -> bool {
        matches!(self, Fault::UrlCredentials | Fault::UrlQuery)
    }

    /// What to do about it; empty when the message says it all.
    pub(crate) fn hint(&self) -> String {
        match self {
            Fault::Syntax(_) => "the file is TOML: texts stand in double quotes, tables start with `[name]`".into(),
            Fault::UnknownKey { hint, .. }
            | Fault::BadValue { hint, .. }
            | Fault::Missing { hint, .. }
            | Fault::Policy { hint, .. }
            | Fault::UnknownKind(_, hint) => hint.clone(),
            Fault::UnknownSecretKey | Fault::SecretVariableName => {
                "write { env = \"PROVIDER_OPENAI_KEY\" } with the name of a variable (capital letters, digits, `_`), or \
                 { file = \"PATH\" }; never the secret itself"
                    .into()
            }
            Fault::NotAList { path } => format!("write `[[{path}]]` with two brackets"),
            Fault::OutOfRange { least, most, .. } => format!("use a whole number from {least} to {most}"),
            Fault::TimeZone(_) => "use a name of the IANA database, such as `Europe/Berlin` or `UTC`".into(),
            Fault::Listen(_) => "write an IP address and a port, such as `127.0.0.1:7411` or `[::1]:7411`".into(),
            Fault::DemoNotLoopback(_) => {
                "its key is printed for all to see; use `127.0.0.1:7411`, or write your own configuration with \
                 `pintle init`"
                    .into()
            }
            Fault::Duplicate { first, .. } => format!("the first stands at {first}; give each its own name"),
            Fault::Url { .. } => "write it in full: `https://`, the host, and the path if there is one".into(),
            Fault::UrlCredentials => "remove them; a provider's key belongs into `api_key`".into(),
            Fault::UrlQuery => "end the address with its path; Azure's version goes into `api_version`".into(),
            Fault::UrlPlain { .. } => {
                "use `https://`; or, if this machine is not in a public cloud, correct `zone`".into()
            }
            Fault::UrlOfOwn { .. } => "remove `base_url` and `api_key`, or choose another `provider`".into(),
            Fault::NotUsed { key, .. } => format!("remove `{key}`, or choose another `provider`"),
            Fault::NoModel(_) => {
                "the placement answers nothing before there is a folder in Hugging Face's layout, with its `config.json`".into()
            }
            Fault::PublicRestricted => {
                "`restricted` must not leave the premises; use `confidential` or a lower class, or correct `zone`".into()
            }
            Fault::SecretVariable(name) => format!("export {name} before the start, or use {{ file = \"PATH\" }}"),
            Fault::SecretEmpty(_) | Fault::SecretUnfit(_) => "store the provider's key there, and nothing else".into(),
            Fault::Unreadable { .. } => {
                "relative paths start at the folder of the configuration file; check name and permissions".into()
            }
            Fault::SecretFileOpen(path) => format!("run `chmod 600 {path}`"),
            Fault::Dictionary(_) => {
                "one entry stands on each line; leave out what is too short or too long to be looked for".into()
            }
            Fault::NoPolicies(_) => {
                "put your policies there, or remove `folder` to use the built-in ones".into()
            }
            Fault::NoPlacement => "add a `[[placement]]`; `pintle init` writes examples".into(),
            Fault::TooMany { .. } => "merge or remove some".into(),
        }
    }
}

/// Whether a problem stops the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// It does.
    Error,
    /// It does not, but somebody should look.
    Warning,
}

/// One thing that is wrong, where it stands and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Problem {
    /// Whether it stops the start.
    pub(crate) severity: Severity,
    /// Where it stands.
    #[serde(flatten)]
    pub(crate) place: Place,
    /// What is wrong: a lowercase fragment with the input in backticks.
    pub(crate) message: String,
    /// What to do about it; may be empty.
    pub(crate) hint: String,
}

impl Problem {
    pub(crate) fn error(place: Place, fault: &Fault) -> Self {
        let place = if fault.is_about_a_secret() { place.covered() } else { place };
        Problem { severity: Severity::Error, place, message: fault.to_string(), hint: fault.hint() }
    }

    pub(crate) fn warning(place: Place, fault: &Fault) -> Self {
        Problem { severity: Severity::Warning, ..Problem::error(place, fault) }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let label = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}: {label}: {}", self.place, self.message)?;
        if !self.place.excerpt.is_empty() {
            let number = self.place.line.to_string();
            let margin = " ".repeat(number.len());
            // A tab takes one column in the count and several on a terminal: the mark's own line repeats it.
            let width = self.place.excerpt.chars().count();
            let lead: String = self
                .place
                .excerpt
                .chars()
                .chain(std::iter::repeat(' '))
                // What is covered may have been longer.
                .take(self.place.column.saturating_sub(1).min(width))
                .map(|letter| if letter == '\t' { '\t' } else { ' ' })
                .collect();
            let mark = "^".repeat(self.place.width);
            write!(f, "\n {margin} |\n {number} | {}\n {margin} | {lead}{mark}", self.place.excerpt)?;
        }
        if self.hint.is_empty() { Ok(()) } else { write!(f, "\nhint: {}", self.hint) }
    }
}

/// Why there is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file that was asked for is not there.
    #[error("there is no configuration file `{}`", .0.display())]
    Missing(PathBuf),
    /// The file cannot be read.
    #[error("the configuration file `{}` cannot be read: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's word for it.
        reason: String,
    },
    /// The file is there and wrong. Each error is in the list, and the warnings too.
    #[error("{}", report(.0))]
    Invalid(Vec<Problem>),
    /// The file is right, and cannot be taken while the server runs: what changed.
    #[error("{0}")]
    NotWhileRunning(String),
    /// The operating system does not tell about changes of files.
    #[error("changes of the configuration cannot be watched: {0}")]
    Watch(String),
}

impl ConfigError {
    /// What to do about it, where the message does not say it already.
    #[must_use]
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            ConfigError::Missing(_) => {
                Some("check the path after `--config` or in PINTLE_CONFIG; `pintle init` writes a new file")
            }
            ConfigError::Unreadable { .. } => Some("it must be a text file that this user may read"),
            ConfigError::Invalid(_) => None,
            ConfigError::NotWhileRunning(_) => Some(
                "change it back; or stop Pintle and start it with a new data folder, because the old one's ledger keeps its currency",
            ),
            ConfigError::Watch(_) => Some("restart Pintle to apply a change, or send it SIGHUP"),
        }
    }

    /// The problems found within the file.
    #[must_use]
    pub(crate) fn problems(&self) -> &[Problem] {
        match self {
            ConfigError::Invalid(problems) => problems,
            _ => &[],
        }
    }
}

/// The problems one after the other, and how many there are.
fn report(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        text.push_str(&problem.to_string());
        text.push_str("\n\n");
    }
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let plural = if errors == 1 { "" } else { "s" };
    text.push_str(&format!("{errors} error{plural} in the configuration"));
    text
}

/// What to write for a key that must be there.
pub(crate) fn missing_hint(table: &str, key: &str) -> String {
    match (table, key) {
        ("organisation", "name") => "write name = \"Example AG\"",
        ("organisation", "currency") => "write currency = \"EUR\", the one currency of all prices and budgets",
        ("placement", "name") => "write name = \"cloud-mini\", by which applications may ask for it",
        ("placement", "provider") => {
            "write provider = \"openai\" for any compatible server, \"azure_openai\", \"anthropic\" or \"simulated\""
        }
        ("placement", "base_url") => "write base_url = \"https://api.openai.com/v1\", or your own server's address",
        ("placement", "api_version") => "write api_version = \"2024-10-21\", as your Azure resource asks for it",
        ("placement", "model") => "write model = \"gpt-4o-mini\", as the provider spells it",
        ("placement", "trained_on") => {
            "write trained_on = \"internal\": the highest class of what the model in the folder learnt, of public, internal, confidential, restricted"
        }
        ("placement", "zone") => "write zone = \"on_premises\", \"private_cloud\" or \"public_cloud\"",
        ("placement", "clearance") => {
            "write clearance = \"internal\": the highest class it may see, of public, internal, confidential, restricted"
        }
        ("placement", "price") => PRICE_HINT,
        ("placement.price", _) => "give both `input` and `output` per million tokens, such as { input = \"0.15\", output = \"0.60\" }",
        ("guard.dictionaries", "name") => "write name = \"clients\"",
        ("guard.dictionaries", "class") => "write class = \"confidential\"",
        ("guard.dictionaries", "file") => "write file = \"clients.txt\", with one entry per line",
        _ => "add it",
    }
    .to_owned()
}
