//! Whether a candidate may be promoted: the recipe's bounds against what was measured, each with a sentence.
//!
//! Pure: the same report and settings give the same gate. What is asked for and was not measured fails.

use serde::{Deserialize, Serialize};

use super::report::EvaluationReport;
use super::settings::GateSettings;

/// The judgement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Whether every criterion is met. Findings are always asked for, so there is at least one.
    pub passed: bool,
    /// What was asked for.
    pub criteria: Vec<Criterion>,
}

/// Which side of the bound is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// The value must be the bound or more.
    AtLeast,
    /// The value must be the bound or less.
    AtMost,
    /// The value must be less than the bound.
    Below,
}

/// One bound and whether it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Criterion {
    /// Its name; the settings' field where it has one.
    pub name: String,
    /// What was measured; `None` where it was not.
    pub value: Option<f64>,
    /// How the value must relate to the bound.
    pub comparison: Comparison,
    /// The bound.
    pub bound: f64,
    /// Whether it is kept.
    pub passed: bool,
    /// What was measured and asked for, in words.
    pub sentence: String,
}

/// How numbers are written in sentences.
#[derive(Clone, Copy)]
enum Unit {
    Share,
    Points,
    Bits,
    Plain,
    Count,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Unit::Share => format!("{:.1} %", value * 100.0),
            Unit::Points => format!("{:+.1} percentage points", value * 100.0),
            Unit::Bits => format!("{value:.3} bits per byte"),
            Unit::Plain => format!("{value:.3}"),
            Unit::Count => format!("{value:.0}"),
        }
    }
}

impl Gate {
    /// Judges a report by a gate's settings; the report's own gate is not looked at.
    #[must_use]
    pub fn judge(report: &EvaluationReport, settings: &GateSettings) -> Gate {
        let mut criteria = Vec::new();
        questions(report, settings, &mut criteria);
        texts(report, settings, &mut criteria);
        safety(report, settings, &mut criteria);
        Gate { passed: criteria.iter().all(|criterion| criterion.passed), criteria }
    }
}

fn questions(report: &EvaluationReport, settings: &GateSettings, criteria: &mut Vec<Criterion>) {
    let asked = report.questions.as_ref();
    let scores = asked.map(|asked| &asked.model);
    if let Some(bound) = settings.exact_match_min {
        let value = scores.map(|scores| scores.exact_match.share);
        let what = "The share of held-out questions answered exactly";
        criteria.push(criterion("exact_match_min", what, Unit::Share, value, Comparison::AtLeast, bound));
    }
    if let Some(bound) = settings.correct_min {
        let value = scores.map(|scores| scores.correct.share);
        let what = "The share of held-out questions answered correctly";
        criteria.push(criterion("correct_min", what, Unit::Share, value, Comparison::AtLeast, bound));
    }
    if let Some(bound) = settings.token_f1_min {
        let value = scores.map(|scores| scores.token_f1);
        let what = "The mean token-F1 of answers to held-out questions";
        criteria.push(criterion("token_f1_min", what, Unit::Plain, value, Comparison::AtLeast, bound));
    }
    if let Some(bound) = settings.gain_over_base_min {
        let base = asked.and_then(|asked| asked.base.as_ref());
        let value = scores.zip(base).map(|(model, base)| model.correct.share - base.correct.share);
        let what = "The gain in correct answers over the base";
        let comparison = Comparison::AtLeast;
        criteria.push(criterion("gain_over_base_min", what, Unit::Points, value, comparison, bound));
    }
}

fn texts(report: &EvaluationReport, settings: &GateSettings, criteria: &mut Vec<Criterion>) {
    let held_out = &report.held_out;
    if let Some(bound) = settings.bits_per_byte_max {
        let value = Some(held_out.model_bits_per_byte);
        let what = "What the model needs for held-out text";
        criteria.push(criterion("bits_per_byte_max", what, Unit::Bits, value, Comparison::AtMost, bound));
    }
    if settings.beat_ngram {
        let value = held_out.base_bits_per_byte.unwrap_or(held_out.model_bits_per_byte);
        let (what, bound) = ("What the untuned model needs for held-out text", held_out.ngram_bits_per_byte);
        criteria.push(criterion("beat_ngram", what, Unit::Bits, Some(value), Comparison::Below, bound));
    }
    if let Some(bound) = settings.general_worsening_bits_per_byte_max {
        let value = report.general.worsening_bits_per_byte;
        let what = "The worsening against the base on general text";
        let name = "general_worsening_bits_per_byte_max";
        criteria.push(criterion(name, what, Unit::Bits, value, Comparison::AtMost, bound));
    }
}

fn safety(report: &EvaluationReport, settings: &GateSettings, criteria: &mut Vec<Criterion>) {
    let class = settings.findings_above.unwrap_or(report.class);
    let value = Some(report.leaks.findings_above(class) as f64);
    let what = format!("The number of findings above `{class}` in {} samples", report.leaks.samples);
    let bound = settings.findings_max as f64;
    criteria.push(criterion("findings_max", &what, Unit::Count, value, Comparison::AtMost, bound));
    if let Some(bound) = settings.verbatim_share_max {
        let leaks = &report.leaks;
        let what = format!(
            "The share of samples that recite {} characters or more of the training text",
            leaks.verbatim_chars_min
        );
        let value = Some(leaks.verbatim.share);
        criteria.push(criterion("verbatim_share_max", &what, Unit::Share, value, Comparison::AtMost, bound));
    }
    let sides =
        [("documents", &report.contamination.documents), ("questions", &report.contamination.questions)];
    // Where no question was asked, none was answered from memory.
    for (name, side) in sides.into_iter().filter(|(_, side)| side.items > 0) {
        let what = format!("The share of held-out {name} that the training set holds");
        let name = format!("contaminated_share_max.{name}");
        let (value, bound) = (Some(side.share), settings.contaminated_share_max);
        criteria.push(criterion(&name, &what, Unit::Share, value, Comparison::AtMost, bound));
    }
}

fn criterion(
    name: &str,
    what: &str,
    unit: Unit,
    value: Option<f64>,
    comparison: Comparison,
    bound: f64,
) -> Criterion {
    let passed = value.is_some_and(|value| match comparison {
        Comparison::AtLeast => value >= bound,
        Comparison::AtMost => value <= bound,
        Comparison::Below => value < bound,
    });
    let words = match comparison {
        Comparison::AtLeast => "at least",
        Comparison::AtMost => "at most",
        Comparison::Below => "less than",
    };
    let shown = unit.show(bound);
    let sentence = match value {
        Some(value) => format!("{what} is {}; {words} {shown} is asked for.", unit.show(value)),
        None => format!("{what} was not measured; {words} {shown} is asked for."),
    };
    Criterion { name: name.to_owned(), value, comparison, bound, passed, sentence }
}
