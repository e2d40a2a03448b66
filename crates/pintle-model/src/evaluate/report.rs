//! What an evaluation found: one structure for the record, the console's page and the model card.
//!
//! Field names are stable and say their units. Texts in it went through the guard's mask first; values that the guard
//! finds are counted and never written down.

use pintle_core::DataClass;
use serde::{Deserialize, Serialize};

use super::{EvaluationSettings, Gate};

/// The format's version.
pub const REPORT_VERSION: u32 = 1;

/// The whole evaluation of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationReport {
    /// [`REPORT_VERSION`] when it was written.
    pub version: u32,
    /// The model's name.
    pub model: String,
    /// The name of the model before tuning, where there is one.
    pub base: Option<String>,
    /// The class of the model's training text.
    pub class: DataClass,
    /// How it was evaluated.
    pub settings: EvaluationSettings,
    /// Bits per byte of held-out documents.
    pub held_out: HeldOutReport,
    /// Held-out questions, where there are any.
    pub questions: Option<QuestionsReport>,
    /// The general texts.
    pub general: GeneralReport,
    /// Sampled answers.
    pub leaks: LeakReport,
    /// What evaluation and training share.
    pub contamination: ContaminationReport,
    /// Whether it may be promoted.
    pub gate: Gate,
}

/// Bits per byte of text that was not trained on; less is better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldOutReport {
    /// Documents measured.
    pub documents: usize,
    /// Their size.
    pub bytes: u64,
    /// The size of all held-out documents; more than `bytes` where the settings' bound cut.
    pub given_bytes: u64,
    /// The training text that the baselines learnt from.
    pub baseline_training_bytes: u64,
    /// The size of all training documents.
    pub given_training_bytes: u64,
    /// The model's.
    pub model_bits_per_byte: f64,
    /// The base's.
    pub base_bits_per_byte: Option<f64>,
    /// Single bytes by their frequency.
    pub unigram_bits_per_byte: f64,
    /// Bytes of the n-gram baseline's longest n-gram.
    pub ngram_order: usize,
    /// Interpolated Kneser-Ney over bytes.
    pub ngram_bits_per_byte: f64,
    /// What `xz` adds to the compressed training text for the held-out text.
    pub xz_given_training_bits_per_byte: f64,
    /// `xz` on the held-out text alone.
    pub xz_alone_bits_per_byte: f64,
}

/// A count as a share of a total with Wilson's 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Proportion {
    /// How many.
    pub count: usize,
    /// Of how many.
    pub total: usize,
    /// 0 to 1; 0 of none is 0, with the interval from 0 to 1.
    pub share: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

/// The 97.5 % point of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

impl Proportion {
    /// The share and its interval (Wilson, 1927).
    #[must_use]
    pub fn new(count: usize, total: usize) -> Proportion {
        if total == 0 {
            return Proportion { count, total, share: 0.0, low: 0.0, high: 1.0 };
        }
        let n = total as f64;
        let share = count as f64 / n;
        let scale = 1.0 + Z * Z / n;
        let centre = (share + Z * Z / (2.0 * n)) / scale;
        let half = Z / scale * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        let low = if count == 0 { 0.0 } else { (centre - half).max(0.0) };
        let high = if count == total { 1.0 } else { (centre + half).min(1.0) };
        Proportion { count, total, share: rounded(share), low: rounded(low), high: rounded(high) }
    }
}

/// One model's marks on a set of questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Equal to the expected answer or value after normalisation.
    pub exact_match: Proportion,
    /// Exact, or holding the expected value as whole words.
    pub correct: Proportion,
    /// The mean of the token-F1 against the expected answer, 0 to 1.
    pub token_f1: f64,
}

/// The marks on the questions of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KindScores {
    /// The kind as the questions name it.
    pub kind: String,
    /// The model's.
    pub model: Scores,
    /// The base's.
    pub base: Option<Scores>,
}

/// Marks on held-out questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuestionsReport {
    /// Questions asked.
    pub asked: usize,
    /// Questions there are.
    pub given: usize,
    /// The model's marks.
    pub model: Scores,
    /// The base's.
    pub base: Option<Scores>,
    /// Questions that the model answers correctly and the base does not.
    pub gained: Option<usize>,
    /// Questions that the base answers correctly and the model does not.
    pub lost: Option<usize>,
    /// The model's correct answers among questions that are not contaminated.
    pub correct_without_contaminated: Proportion,
    /// By kind, in alphabetical order.
    pub kinds: Vec<KindScores>,
    /// The 20 worst answers, masked.
    pub worst: Vec<WorstAnswer>,
}

/// An answer that was wrong, or least right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorstAnswer {
    /// The question's number in the set, from 1.
    pub number: usize,
    /// The kind.
    pub kind: String,
    /// Masked and cut.
    pub question: String,
    /// The expected value, or the answer where there is none. Masked and cut.
    pub expected: String,
    /// What the model said. Masked and cut.
    pub answer: String,
    /// Whether it counts as correct.
    pub correct: bool,
    /// 0 to 1.
    pub token_f1: f64,
}

/// Whether tuning did harm to general text. The set is tiny; see [`super::general_texts`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeneralReport {
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
    /// The standard error of it, from the differences of the single texts.
    pub worsening_standard_error: Option<f64>,
}

/// Findings of one kind in sampled answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeakCount {
    /// The detector's kind.
    pub kind: String,
    /// Its class.
    pub class: DataClass,
    /// Findings, each sighting counted.
    pub findings: u64,
    /// Those whose value stands, letter for letter, in the training text. The others the model made up.
    pub in_training_text: u64,
    /// Samples with at least one.
    pub samples: u64,
}

/// What sampled answers give away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeakReport {
    /// Samples taken.
    pub samples: usize,
    /// Of which continue from an empty page.
    pub from_documents: usize,
    /// Of which answer held-out questions.
    pub from_questions: usize,
    /// Of which answer questions that ask for secrets.
    pub from_probes: usize,
    /// Samples that were longer than what is examined, and cut.
    pub cut: usize,
    /// The most bytes of a sample that are examined.
    pub sample_bytes_max: usize,
    /// By class, the highest first, then by kind.
    pub findings: Vec<LeakCount>,
    /// Samples with at least one finding.
    pub samples_with_findings: Proportion,
    /// Samples that share at least `verbatim_chars_min` characters in a row with the training text.
    pub verbatim: Proportion,
    /// The bound that `verbatim` counts from.
    pub verbatim_chars_min: usize,
    /// The longest run of characters that a sample shares with the training text.
    pub longest_shared_chars: usize,
    /// Half of the samples share at most this.
    pub median_shared_chars: usize,
}

impl LeakReport {
    /// Findings of a class above `class`.
    #[must_use]
    pub fn findings_above(&self, class: DataClass) -> u64 {
        self.findings.iter().filter(|count| count.class > class).map(|count| count.findings).sum()
    }
}

/// What evaluation and training sets share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ContaminationReport {
    /// Held-out documents against training documents.
    pub documents: ContaminationSide,
    /// Held-out questions against training documents and questions.
    pub questions: ContaminationSide,
}

/// One set of items against the training set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ContaminationSide {
    /// Items compared.
    pub items: usize,
    /// Items whose words are exactly those of a training text.
    pub exact: usize,
    /// Items that are near one.
    pub near: usize,
    /// Exact and near ones as a share, 0 to 1.
    pub share: f64,
    /// Items with any run of 13 words (all of a shorter item's) in the training set, near or not.
    pub with_any_shared_run: usize,
    /// The first 100 contaminated items.
    pub listed: Vec<ContaminatedItem>,
    /// For each item, whether it is contaminated. Not part of the record.
    #[serde(skip)]
    pub(super) flags: Vec<bool>,
}

/// An item of the evaluation that the training set holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContaminatedItem {
    /// Its path, or number.
    pub item: String,
    /// In which way.
    pub how: ContaminationKind,
    /// The share of its words in shared runs, 0 to 1.
    pub shared_share: f64,
    /// The training text it shares the most telling part with: the first one found.
    pub with: String,
}

/// How an item is contaminated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContaminationKind {
    /// The same words.
    Exact,
    /// Runs of 13 words, or all of a shorter item within a text.
    Near,
    /// The same words in another order.
    Reordered,
}

impl ContaminationKind {
    /// The name in the record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ContaminationKind::Exact => "exact",
            ContaminationKind::Near => "near",
            ContaminationKind::Reordered => "reordered",
        }
    }
}

/// Six decimals: more would be noise, and two machines would differ in them.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against published tables of Wilson's interval.
    #[test]
    fn intervals() {
        let table = [
            (0, 10, 0.0, 0.2775),
            (5, 10, 0.2366, 0.7634),
            (10, 10, 0.7225, 1.0),
            (81, 263, 0.2553, 0.3662),
            (0, 0, 0.0, 1.0),
        ];
        for (count, total, low, high) in table {
            let found = Proportion::new(count, total);
            assert!((found.low - low).abs() < 5e-5 && (found.high - high).abs() < 5e-5, "{found:?}");
        }
    }
}
