//! Why an evaluation did not come about.

use crate::ModelError;

/// Why a model could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// A setting is out of its bounds.
    #[error("`{field}` of the evaluation does not fit; hint: {hint}")]
    Setting {
        /// The field within `[evaluation]`.
        field: &'static str,
        /// What would be accepted.
        hint: &'static str,
    },
    /// There is nothing to measure with.
    #[error("there is no {0}; hint: give the corpus more documents, or hold more of them out")]
    Nothing(&'static str),
    /// The model did not do what it was asked.
    #[error("the model `{model}` gave {given} where {wanted} were wanted")]
    Subject {
        /// Its name.
        model: String,
        /// What came.
        given: String,
        /// What was asked for.
        wanted: String,
    },
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The `xz` baseline failed.
    #[error("the `xz` baseline failed: {0}")]
    Xz(#[source] std::io::Error),
    /// The caller asked to stop.
    #[error("the evaluation was stopped")]
    Stopped,
}
