//! What a version's reports say: its evaluation and its corpus. Shares run from 0 to 1. Texts went through
//! the guard's mask before they were written down.

use std::collections::BTreeMap;

use pintle_core::DataClass;
use serde::{Deserialize, Serialize};

/// The evaluation of a version.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct EvaluationView {
    /// The name of the model before tuning, where there is one.
    pub base: Option<String>,
    /// Bits per byte of held-out documents.
    pub held_out: HeldOutView,
    /// Held-out questions, where there are any.
    pub questions: Option<QuestionsView>,
    /// The general texts.
    pub general: GeneralView,
    /// Sampled answers.
    pub leaks: LeaksView,
    /// What evaluation and training share.
    pub contamination: ContaminationView,
    /// What the recipe's gate asked for, in its order.
    pub criteria: Vec<CriterionView>,
}

/// Bits per byte of text that was not trained on; less is better.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct HeldOutView {
    /// Documents measured.
    pub documents: usize,
    /// Their size.
    pub bytes: u64,
    /// The model's.
    pub model_bits_per_byte: f64,
    /// The base's.
    pub base_bits_per_byte: Option<f64>,
    /// Single bytes by their frequency.
    pub unigram_bits_per_byte: f64,
    /// Bytes of the longest run that the n-gram baseline counts.
    pub ngram_order: usize,
    /// That baseline's.
    pub ngram_bits_per_byte: f64,
    /// What `xz` adds to the compressed training text for the held-out text.
    pub xz_given_training_bits_per_byte: f64,
    /// `xz` on the held-out text alone.
    pub xz_alone_bits_per_byte: f64,
}

/// A count as a share of a total, with its 95% interval.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
pub struct ShareView {
    /// How many.
    pub count: usize,
    /// Of how many.
    pub total: usize,
    /// 0 to 1.
    pub share: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

/// One model's marks on a set of questions.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct ScoresView {
    /// Equal to the expected answer or value.
    pub exact_match: ShareView,
    /// Exact, or holding the expected value.
    pub correct: ShareView,
    /// The mean of the words shared with the expected answer, 0 to 1.
    pub token_f1: f64,
}

/// The marks on the questions of one kind.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct KindScoresView {
    /// The kind as the questions name it.
    pub kind: String,
    /// The model's.
    pub model: ScoresView,
    /// The base's.
    pub base: Option<ScoresView>,
}

/// Marks on held-out questions.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct QuestionsView {
    /// Questions asked.
    pub asked: usize,
    /// Questions there are.
    pub given: usize,
    /// The model's marks.
    pub model: ScoresView,
    /// The base's.
    pub base: Option<ScoresView>,
    /// Questions that only the model answers correctly.
    pub gained: Option<usize>,
    /// Questions that only the base answers correctly.
    pub lost: Option<usize>,
    /// Correct answers among questions that are not contaminated.
    pub correct_without_contaminated: ShareView,
    /// By kind.
    pub kinds: Vec<KindScoresView>,
    /// The worst answers, masked.
    pub worst: Vec<WorstAnswerView>,
}

/// An answer that was wrong, or least right. Texts are masked and cut.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct WorstAnswerView {
    /// The question's number in the set, from 1.
    pub number: usize,
    /// The kind.
    pub kind: String,
    /// What was asked.
    pub question: String,
    /// What was expected.
    pub expected: String,
    /// What the model said.
    pub answer: String,
    /// Whether it counts as correct.
    pub correct: bool,
    /// 0 to 1.
    pub token_f1: f64,
}

/// Whether tuning did harm to general text.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct GeneralView {
    /// Texts in the set.
    pub texts: usize,
    /// Their size.
    pub bytes: u64,
    /// The model's.
    pub model_bits_per_byte: f64,
    /// The base's.
    pub base_bits_per_byte: Option<f64>,
    /// The model's less the base's: above zero is worse.
    pub worsening_bits_per_byte: Option<f64>,
    /// The standard error of it.
    pub worsening_standard_error: Option<f64>,
}

/// Findings of one kind in sampled answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct LeakView {
    /// The detector's kind.
    pub kind: String,
    /// Its class.
    pub class: DataClass,
    /// Findings, each sighting counted.
    pub findings: u64,
    /// Those whose value stands in the training text. The others the model made up.
    pub in_training_text: u64,
    /// Samples with at least one.
    pub samples: u64,
}

/// What sampled answers give away.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct LeaksView {
    /// Samples taken.
    pub samples: usize,
    /// Of which continue from an empty page.
    pub from_documents: usize,
    /// Of which answer held-out questions.
    pub from_questions: usize,
    /// Of which answer questions that ask for secrets.
    pub from_probes: usize,
    /// By class, the highest first, then by kind.
    pub findings: Vec<LeakView>,
    /// Samples with at least one finding.
    pub samples_with_findings: ShareView,
    /// Samples that share at least `verbatim_chars_min` characters in a row with the training text.
    pub verbatim: ShareView,
    /// The bound that `verbatim` counts from.
    pub verbatim_chars_min: usize,
    /// The longest run of characters that a sample shares with the training text.
    pub longest_shared_chars: usize,
    /// Half of the samples share at most this.
    pub median_shared_chars: usize,
}

/// What evaluation and training sets share.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct ContaminationView {
    /// Held-out documents against training documents.
    pub documents: SharedView,
    /// Held-out questions against training documents and questions.
    pub questions: SharedView,
}

/// One set of items against the training set.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct SharedView {
    /// Items compared.
    pub items: usize,
    /// Items whose words are exactly those of a training text.
    pub exact: usize,
    /// Items that are near one.
    pub near: usize,
    /// Exact and near ones as a share.
    pub share: f64,
    /// Items with any run of 13 words in the training set, near or not.
    pub with_any_shared_run: usize,
    /// The first contaminated items.
    pub listed: Vec<ContaminatedView>,
}

/// An item of the evaluation that the training set holds.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct ContaminatedView {
    /// Its path, or number.
    pub item: String,
    /// `exact`, `near` or `reordered`.
    pub how: String,
    /// The share of its words in shared runs.
    pub shared_share: f64,
    /// The training text that it shares them with.
    pub with: String,
}

/// One bound of the gate and whether it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct CriterionView {
    /// Its name in the recipe.
    pub name: String,
    /// Whether it is kept.
    pub passed: bool,
    /// What was measured and asked for, in words.
    pub sentence: String,
}

/// What became of the documents. Counts of bytes, characters and words are of the texts kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct CorpusView {
    /// The hash of all documents kept, whatever their order.
    pub hash: String,
    /// The class of the corpus.
    pub class: DataClass,
    /// The highest class that the recipe accepts in a document.
    pub accepts: DataClass,
    /// Documents found.
    pub documents_in: u64,
    /// Documents kept.
    pub documents_kept: u64,
    /// Of them, those held out.
    pub documents_held_out: u64,
    /// Documents that left, by reason.
    pub left: Vec<LeftView>,
    /// Files and folders whose names begin with a dot.
    pub hidden: u64,
    /// Files that the recipe's patterns leave out.
    pub excluded: u64,
    /// In UTF-8.
    pub bytes: u64,
    /// Unicode scalar values.
    pub characters: u64,
    /// Runs of letters and digits.
    pub words: u64,
    /// Documents by the class that they came with.
    pub classes_found: BTreeMap<DataClass, u64>,
    /// Documents kept, by their class after masking.
    pub classes_kept: BTreeMap<DataClass, u64>,
    /// What the guard found in all documents, by type.
    pub findings: BTreeMap<String, u64>,
    /// Values masked in the documents kept, by type.
    pub masked: BTreeMap<String, u64>,
    /// What the guard still finds in the documents kept, by type.
    pub findings_kept: BTreeMap<String, u64>,
}

/// The documents that left for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct LeftView {
    /// The reason as a heading: "above the accepted class".
    pub reason: String,
    /// How many.
    pub documents: u64,
    /// The first of them.
    pub listed: Vec<LeftDocumentView>,
}

/// A document that left.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct LeftDocumentView {
    /// Its path.
    pub path: String,
    /// The line in the file, from 1, where it is about one.
    pub line: Option<u64>,
    /// What is the matter with it, as the rest of a sentence about it: "has 12 characters, …".
    pub because: String,
}
