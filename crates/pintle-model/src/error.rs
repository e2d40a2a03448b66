//! What can go wrong with a model.

use std::path::PathBuf;

use crate::VersionId;

/// Why a model could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The shape of the network.
    #[error("`{field}` of the model's configuration does not fit: {why}")]
    Config {
        /// The field of `config.json`.
        field: &'static str,
        /// What is expected of it.
        why: &'static str,
    },
    /// A file or folder could not be read or written.
    #[error("`{path}` cannot be used: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("`{path}` cannot be read: {why}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The checkpoint belongs to something else.
    #[error(
        "`{0}` is the checkpoint of another run: the recipe, the documents or the seed have changed; hint: begin anew in another folder, or remove the checkpoint"
    )]
    OtherRun(PathBuf),
    /// The training data are not enough to train on.
    #[error("there is too little to train on: {0}")]
    TooLittle(String),
    /// Not a version's name.
    #[error(
        "`{0}` does not name a version of a model; hint: write the model's name and a number, such as `handbook@2`"
    )]
    NoVersionId(String),
    /// There is no such version.
    #[error("there is no version `{0}`; hint: `pintle model list` shows which there are")]
    NoVersion(VersionId),
    /// Nobody said why.
    #[error("a promotion needs a reason, for those who ask later why this version serves")]
    NoReason,
    /// The recipe's gate stops the version.
    #[error("`{id}` did not pass the gate of its recipe: {failures}")]
    Gate {
        /// The version.
        id: VersionId,
        /// What failed, and by how much.
        failures: String,
    },
    /// The loss left the numbers.
    #[error(
        "the loss is no longer a number at step {step}; hint: a lower learning rate, or a longer warm-up"
    )]
    Diverged {
        /// The step, from 1.
        step: u64,
    },
    /// A worker thread died.
    #[error("a thread of the computation died")]
    Worker,
}

impl ModelError {
    /// Says which file an operating system's error is about.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> ModelError {
        let path = path.into();
        move |source| ModelError::Io { path, source }
    }
}
