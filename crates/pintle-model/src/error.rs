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
    /// A folder holds a model that this engine does not compute.
    #[error(
        "the model in `{path}` is not supported: {what}; hint: Llama-shaped models and BERT-shaped encoders in f32, bf16 or f16 are"
    )]
    Unsupported {
        /// The file that says so.
        path: PathBuf,
        /// What it asks for.
        what: String,
    },
    /// A model is never written over another one.
    #[error("`{path}` exists already; hint: a version of a model is never changed, choose another name")]
    Exists {
        /// The folder or file.
        path: PathBuf,
    },
    /// The parts of a model do not belong together.
    #[error("the parts of the model do not fit together: {0}")]
    Parts(String),
    /// A tokeniser could not be trained, or a text not be turned into tokens.
    #[error("the tokeniser cannot be used: {0}")]
    Tokeniser(String),
    /// A chat template could not be compiled, or refused a conversation.
    #[error("the model's chat template cannot be used: {0}")]
    Template(String),
    /// Tokens that a network cannot be given.
    #[error("these tokens cannot be given to the model: {0}")]
    Tokens(&'static str),
    /// The network computes something else than numbers.
    #[error("the model's answer is not made of numbers; hint: its weights are broken")]
    NotANumber,
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
    /// A recipe is wrong.
    #[error("the recipe `{path}` is wrong: {why}")]
    Recipe {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line where there is one.
        why: String,
    },
    /// A file of conversations cannot be learnt from. The text of the conversations is not repeated.
    #[error("the {part} cannot be used: {why}")]
    Chats {
        /// `training file` or `validation file`.
        part: &'static str,
        /// What is wrong, with the line.
        why: String,
    },
    /// A file of conversations holds more than it may.
    #[error("the {part} cannot be used: line {line} holds {class} content (`{kind}`)")]
    ChatsAboveClass {
        /// `training file` or `validation file`.
        part: &'static str,
        /// The line, from 1.
        line: usize,
        /// What was found, never the value.
        kind: String,
        /// Its class.
        class: pintle_core::DataClass,
    },
    /// The documents cannot be used.
    #[error(transparent)]
    Corpus(#[from] crate::corpus::CorpusError),
    /// The model cannot be measured.
    #[error(transparent)]
    Evaluation(#[from] Box<crate::evaluate::EvaluationError>),
    /// The loss left the numbers.
    #[error(
        "the loss is no longer a number at step {step}; hint: a lower learning rate, or a longer warm-up"
    )]
    Diverged {
        /// The step, from 1.
        step: u64,
    },
    /// Two runs of one recipe would write into each other's checkpoints.
    #[error("another process trains `{0}` at this moment; hint: wait for its end, or stop it")]
    Busy(pintle_core::Name),
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

    /// Says which file a value could not be written into.
    pub(crate) fn unwritable(path: &std::path::Path) -> impl FnOnce(serde_json::Error) -> ModelError {
        let path = path.to_path_buf();
        move |error| ModelError::Broken { path, why: error.to_string() }
    }
}
