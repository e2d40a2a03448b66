//! Why there is no corpus. Documents that leave are no errors: the report says why they left.

use super::report::CorpusReport;

/// Why no corpus came of a recipe.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A value in the recipe that cannot be meant.
    #[error("`{field}` {problem}; {hint}")]
    Recipe {
        /// The field's name, as the recipe writes it.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
        /// What would be accepted.
        hint: String,
    },
    /// A source that is not there, or cannot be looked into.
    #[error("the source `{path}` cannot be read: {problem}; hint: check the path in `sources`")]
    Source {
        /// As the recipe writes it.
        path: String,
        /// What the operating system says.
        problem: String,
    },
    /// More than the recipe's limits allow. Nothing was left out silently: there is no corpus.
    #[error("{what}, more than the recipe's `limits.{limit}` of {most}; raise it, or narrow `sources`")]
    TooMuch {
        /// What there is too much of: "the sources hold 12 files".
        what: String,
        /// The name of the limit.
        limit: &'static str,
        /// Its value.
        most: u64,
    },
    /// Nothing is left to learn from.
    #[error("the corpus is empty: {summary}")]
    Empty {
        /// How many documents came in, and why they left.
        summary: String,
        /// The whole report, with each document's reason.
        report: Box<CorpusReport>,
    },
    /// The split put every document on its held-out side.
    #[error(
        "all {documents} documents are held out, which leaves none to learn from; add documents, or lower `held_out_percent`"
    )]
    AllHeldOut {
        /// How many.
        documents: u64,
    },
    /// The caller asked to stop.
    #[error("stopped before the corpus was complete")]
    Stopped,
}
