//! The recipe's `[evaluation]` part, and the bounds that a candidate must keep to be promoted.

use pintle_core::DataClass;
use serde::{Deserialize, Serialize};

use super::{EvaluationError, ngram::ORDER_MAX};

const MIB: u64 = 1 << 20;

/// How a model is evaluated. Every bound of a size is there so that an evaluation ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationSettings {
    /// The seed of sampled answers.
    pub seed: u64,
    /// Answers sampled for the leak check; 1 to 1,000.
    pub samples: usize,
    /// Bytes in the n-gram baseline's longest n-gram; 1 to 8.
    pub ngram_order: usize,
    /// Training text that the baselines learn from: the first documents up to this size, at most 64 MiB. The n-gram
    /// takes up to about 20 times as much memory, `xz` about 12 times.
    pub baseline_training_bytes_max: u64,
    /// Held-out text that is measured: the first documents up to this size, at most 64 MiB.
    pub held_out_bytes_max: u64,
    /// Questions that are asked: the first ones; at most 100,000.
    pub questions_max: usize,
    /// The share of an item's words in shared runs of 13 from which it counts as contaminated; above 0 to 1.
    pub contaminated_words_share_min: f64,
    /// Characters shared with the training text from which a sample counts as recited.
    pub verbatim_chars_min: usize,
    /// What a candidate must reach to be promoted.
    pub gate: GateSettings,
}

impl Default for EvaluationSettings {
    fn default() -> Self {
        EvaluationSettings {
            seed: 1,
            samples: 200,
            ngram_order: 6,
            baseline_training_bytes_max: 16 * MIB,
            held_out_bytes_max: 2 * MIB,
            questions_max: 2_000,
            contaminated_words_share_min: 0.2,
            verbatim_chars_min: 100,
            gate: GateSettings::default(),
        }
    }
}

/// The bounds of promotion. An optional one that is left out is not asked for; one that is set and could not be
/// measured fails. Findings and contamination are always asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateSettings {
    /// The least share of held-out questions answered exactly, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact_match_min: Option<f64>,
    /// The least share answered correctly (exactly, or with the expected value as whole words), 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correct_min: Option<f64>,
    /// The least mean token-F1, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_f1_min: Option<f64>,
    /// By how much the tuned model's share of correct answers must exceed the base's, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gain_over_base_min: Option<f64>,
    /// The most bits per byte of held-out text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_per_byte_max: Option<f64>,
    /// Whether the base (the model itself where there is none) must need fewer bits than the n-gram baseline.
    pub beat_ngram: bool,
    /// By how many bits per byte the tuned model may be worse than the base on the general texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub general_worsening_bits_per_byte_max: Option<f64>,
    /// The most findings in sampled answers above `findings_above`.
    pub findings_max: u64,
    /// Findings of a class above this one count; the model's own class where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings_above: Option<DataClass>,
    /// The largest share of samples that recite the training text, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbatim_share_max: Option<f64>,
    /// The largest contaminated share of the held-out questions, and of the held-out documents, 0 to 1.
    pub contaminated_share_max: f64,
}

impl Default for GateSettings {
    fn default() -> Self {
        GateSettings {
            exact_match_min: None,
            correct_min: None,
            token_f1_min: None,
            gain_over_base_min: None,
            bits_per_byte_max: None,
            beat_ngram: false,
            general_worsening_bits_per_byte_max: None,
            findings_max: 0,
            findings_above: None,
            verbatim_share_max: None,
            contaminated_share_max: 0.05,
        }
    }
}

impl EvaluationSettings {
    /// Refuses values outside of their bounds.
    ///
    /// # Errors
    /// With the field and what is expected of it.
    pub fn check(&self) -> Result<(), EvaluationError> {
        let gate = &self.gate;
        let bytes = |value: u64| (1..=64 * MIB).contains(&value);
        let share = |value: Option<f64>| value.is_none_or(|value| (0.0..=1.0).contains(&value));
        let bits = |value: Option<f64>| value.is_none_or(|value| (0.0..=64.0).contains(&value));
        let checks = [
            ("samples", (1..=1_000).contains(&self.samples), "use 1 to 1,000"),
            ("ngram_order", (1..=ORDER_MAX).contains(&self.ngram_order), "use 1 to 8"),
            ("baseline_training_bytes_max", bytes(self.baseline_training_bytes_max), "use 1 byte to 64 MiB"),
            ("held_out_bytes_max", bytes(self.held_out_bytes_max), "use 1 byte to 64 MiB"),
            ("questions_max", self.questions_max <= 100_000, "use at most 100,000"),
            (
                "contaminated_words_share_min",
                self.contaminated_words_share_min > 0.0 && self.contaminated_words_share_min <= 1.0,
                "use a share above 0, at most 1",
            ),
            ("verbatim_chars_min", self.verbatim_chars_min > 0, "use at least 1"),
            ("gate.exact_match_min", share(gate.exact_match_min), "use a share from 0 to 1"),
            ("gate.correct_min", share(gate.correct_min), "use a share from 0 to 1"),
            ("gate.token_f1_min", share(gate.token_f1_min), "use a value from 0 to 1"),
            ("gate.gain_over_base_min", share(gate.gain_over_base_min), "use a share from 0 to 1"),
            ("gate.bits_per_byte_max", bits(gate.bits_per_byte_max), "use 0 to 64"),
            (
                "gate.general_worsening_bits_per_byte_max",
                bits(gate.general_worsening_bits_per_byte_max),
                "use 0 to 64",
            ),
            ("gate.verbatim_share_max", share(gate.verbatim_share_max), "use a share from 0 to 1"),
            (
                "gate.contaminated_share_max",
                share(Some(gate.contaminated_share_max)),
                "use a share from 0 to 1",
            ),
        ];
        match checks.into_iter().find(|(_, holds, _)| !holds) {
            Some((field, _, hint)) => Err(EvaluationError::Setting { field, hint }),
            None => Ok(()),
        }
    }
}
