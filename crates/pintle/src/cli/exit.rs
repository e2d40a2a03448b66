//! How a command ends: the one list of exit codes, and the errors that lead to them.

use std::{path::PathBuf, process::ExitCode};

use pintle_model::ModelError;
use pintle_policy::PolicyError;

use crate::config::ConfigError;

use super::api::ApiProblem;

/// Exit codes, so that scripts can tell kinds of failure apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It worked.
    Ok = 0,
    /// It did not, for a reason that has no code of its own.
    Failure = 1,
    /// The command line, or a value in it, is wrong.
    Usage = 2,
    /// The configuration is wrong.
    Config = 3,
    /// The server does not accept who is asking.
    Auth = 4,
    /// What was named does not exist.
    NotFound = 5,
    /// It contradicts what is there.
    Conflict = 6,
    /// No server is running, or it cannot be reached, or what it depends on cannot.
    Upstream = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// A value on the command line is wrong.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to write.
        hint: String,
    },
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A decision table cannot be read, or makes no sense.
    #[error("{0}")]
    Table(PolicyError),
    /// A model cannot be trained, read or promoted.
    #[error("{}", parts(.0).0)]
    Model(Box<ModelError>),
    /// What was named does not exist.
    #[error("{message}")]
    NotFound {
        /// What is not there.
        message: String,
        /// What there is, and what to do.
        hint: String,
    },
    /// There is no server with this data folder.
    #[error("no pintle server is running with the data folder `{}`", .data.display())]
    NotRunning {
        /// The data folder.
        data: PathBuf,
    },
    /// There is a server, or was, and talking to it failed.
    #[error("the pintle server at {url} {reason}")]
    Unreachable {
        /// Its address.
        url: String,
        /// What happened: "did not answer within 30 s".
        reason: String,
    },
    /// The file that says where the server is cannot be used.
    #[error("`{}` cannot be used: {reason}", .path.display())]
    AdminFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The server refused.
    #[error("{0}")]
    Api(Box<ApiProblem>),
    /// A file that is there already would be overwritten.
    #[error("`{}` is there already and stays as it is", .0.display())]
    WouldOverwrite(PathBuf),
    /// A file cannot be read or written.
    #[error("`{}` cannot be {verb}: {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        verb: &'static str,
        /// Why.
        reason: String,
    },
    /// The checks ran and not all passed; what failed has been printed.
    #[error("{0}")]
    ChecksFailed(String),
    /// The operating system failed us.
    #[error("{what}: {reason}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        reason: String,
    },
    /// Nobody reads the output any more (`pintle … | head`): no reason to complain.
    #[error("the output was closed")]
    OutputClosed,
}

impl CliError {
    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            CliError::Usage { .. } | CliError::Table(_) => Exit::Usage,
            CliError::NotFound { .. } => Exit::NotFound,
            CliError::Model(error) => match **error {
                ModelError::Recipe { .. } => Exit::Config,
                ModelError::NoVersionId(_) => Exit::Usage,
                ModelError::Gate { .. } => Exit::Conflict,
                _ => Exit::Failure,
            },
            CliError::Config(_) => Exit::Config,
            CliError::NotRunning { .. } | CliError::Unreachable { .. } => Exit::Upstream,
            CliError::AdminFile { .. } => Exit::Auth,
            CliError::Api(problem) => problem.exit(),
            CliError::WouldOverwrite(_) => Exit::Conflict,
            CliError::File { .. } | CliError::ChecksFailed(_) | CliError::System { .. } => Exit::Failure,
            CliError::OutputClosed => Exit::Ok,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            CliError::Usage { hint, .. } | CliError::NotFound { hint, .. } => Some(hint.clone()),
            // Most mistakes in a table bring a hint of their own.
            CliError::Table(error) => error
                .problems()
                .iter()
                .all(|problem| problem.hint.is_empty())
                .then(|| "docs/policies.md shows how a decision table is written".to_owned()),
            CliError::Model(error) => parts(error).1,
            CliError::Config(error) => error.hint().map(str::to_owned),
            CliError::NotRunning { data } => {
                Some(format!("start one with `pintle serve --data {}`", data.display()))
            }
            CliError::Unreachable { .. } => {
                Some("see what the server printed; `pintle doctor` checks what it needs".to_owned())
            }
            CliError::AdminFile { .. } => {
                Some("run this as the user who started the server, or restart the server".to_owned())
            }
            CliError::Api(problem) => problem.fix.clone(),
            CliError::WouldOverwrite(_) => Some("`--force` overwrites it".to_owned()),
            CliError::File { .. } => Some("check its path and permissions".to_owned()),
            CliError::ChecksFailed(_) | CliError::System { .. } | CliError::OutputClosed => None,
        }
    }
}

/// A model's error says what to do in the same sentence; here it gets a line of its own.
fn parts(error: &ModelError) -> (String, Option<String>) {
    let text = error.to_string();
    match text.split_once("; hint: ") {
        Some((message, hint)) => (message.to_owned(), Some(hint.to_owned())),
        None => (text, None),
    }
}
