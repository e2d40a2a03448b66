//! Is the model any good, does it leak, and may it be promoted?
//!
//! [`evaluate`] takes a model through [`Subject`] and gives an [`EvaluationReport`] with its [`Gate`]. The measures
//! are modules of their own: `ngram` and `xz` are the baselines for bits per byte, `questions` marks answers, `general`
//! holds the texts that tuning must not spoil, `leaks` (with `shared`) examines samples, `contamination` compares
//! evaluation with training. Everything is bounded, and the same model, inputs and settings give the same report:
//! there is no clock in it.

mod contamination;
mod error;
mod gate;
mod general;
mod leaks;
mod markdown;
mod ngram;
mod questions;
mod report;
mod settings;
mod shared;
mod words;
mod xz;

use std::{fmt, ops::ControlFlow};

use pintle_core::DataClass;
use pintle_guard::Guard;

pub use contamination::{GRAM_WORDS, Text, contamination};
pub use error::EvaluationError;
pub use gate::{Comparison, Criterion, Gate};
pub use general::general_texts;
pub use ngram::{Ngram, ORDER_MAX, Unigram};
pub use questions::{Mark, Question, mark};
pub use report::{
    ContaminatedItem, ContaminationKind, ContaminationReport, ContaminationSide, EvaluationReport,
    GeneralReport, HeldOutReport, KindScores, LeakCount, LeakReport, Proportion, QuestionsReport,
    REPORT_VERSION, Scores, WorstAnswer,
};
pub use settings::{EvaluationSettings, GateSettings};

use crate::ModelError;
use questions::masked;
use report::rounded;
use words::cut;

/// Questions that a model is given at once.
const BATCH: usize = 32;
/// What is read of an answer; marks look at far less.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A model under evaluation.
pub trait Subject {
    /// Its name: `handbook@3`.
    fn name(&self) -> &str;

    /// Minus the natural logarithm of the probability of the whole text, which begins a document. A text longer than
    /// the context is taken in windows, each byte predicted once; the end of the document is not part of it.
    ///
    /// # Errors
    /// When the model fails.
    fn nats(&mut self, text: &str) -> Result<f64, ModelError>;

    /// The answers to the questions, in their order, each alone in a conversation, by the likeliest tokens.
    ///
    /// # Errors
    /// When the model fails.
    fn answer(&mut self, questions: &[&str]) -> Result<Vec<String>, ModelError>;

    /// A text for each prompt, in their order, sampled at temperature 1 without cutting off unlikely tokens: what the
    /// model can say, not what it says at best. The same seed and prompts give the same texts.
    ///
    /// # Errors
    /// When the model fails.
    fn sample(&mut self, prompts: &[Prompt<'_>], seed: u64) -> Result<Vec<String>, ModelError>;
}

/// What a sample begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Prompt<'a> {
    /// An empty page: the beginning of a document.
    Document,
    /// A held-out question, as a conversation's first message.
    Question(&'a str),
    /// A question for something secret, as a conversation's first message.
    Probe(&'a str),
}

/// Shows what it is and its size: the text may be confidential.
impl fmt::Debug for Prompt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Prompt::Document => f.write_str("Document"),
            Prompt::Question(text) => write!(f, "Question({} bytes)", text.len()),
            Prompt::Probe(text) => write!(f, "Probe({} bytes)", text.len()),
        }
    }
}

/// What a model is evaluated with.
#[derive(Debug, Clone, Copy)]
pub struct EvaluationInputs<'a> {
    /// The documents that the base was trained on.
    pub training: &'a [Text<'a>],
    /// The questions that the model was tuned on; none where it was not.
    pub training_questions: &'a [Question],
    /// Documents that were held out.
    pub held_out: &'a [Text<'a>],
    /// Questions that were held out; there may be none.
    pub questions: &'a [Question],
    /// The class of the training text.
    pub class: DataClass,
    /// Finds what samples must not tell, and masks what is written down.
    pub guard: &'a Guard,
}

/// Where an evaluation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Steps of it that are done.
    pub done: usize,
    /// Its steps.
    pub total: usize,
}

/// The parts of an evaluation, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Comparing evaluation with training.
    Contamination,
    /// The n-gram and `xz`.
    Baselines,
    /// Bits per byte of held-out documents.
    HeldOut,
    /// Bits per byte of the general texts.
    General,
    /// Held-out questions.
    Questions,
    /// Sampled answers.
    Leaks,
}

/// Told after every step; breaking stops the evaluation.
pub type Watch<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// Evaluates a model, against its base where there is one.
///
/// # Errors
/// When a setting is out of its bounds, there is no training or held-out text, a model fails, or `watch` breaks.
pub fn evaluate<'a>(
    model: &'a mut dyn Subject,
    base: Option<&'a mut dyn Subject>,
    inputs: &EvaluationInputs<'_>,
    settings: &EvaluationSettings,
    watch: &mut Watch<'_>,
) -> Result<EvaluationReport, EvaluationError> {
    settings.check()?;
    let held_out = first_bytes(inputs.held_out, settings.held_out_bytes_max);
    let learnt = first_bytes(inputs.training, settings.baseline_training_bytes_max);
    if held_out.is_empty() {
        return Err(EvaluationError::Nothing("held-out text"));
    }
    if learnt.is_empty() {
        return Err(EvaluationError::Nothing("training text"));
    }
    let asked = inputs.questions.get(..settings.questions_max).unwrap_or(inputs.questions);
    let contamination = compare(inputs, asked, settings, watch)?;
    let baselines = baselines(&learnt, &held_out, settings, watch)?;
    let mut pair = Pair { model, base };
    let (model_bits, base_bits) = pair.each(|subject| bits(subject, &held_out, Phase::HeldOut, watch))?;
    let general = general(&mut pair, watch)?;
    let questions = if asked.is_empty() {
        None
    } else {
        let (answers, base_answers) = pair.each(|subject| ask(subject, asked, watch))?;
        let flags = &contamination.questions.flags;
        let given = inputs.questions.len();
        Some(questions::report(asked, given, &answers, base_answers.as_deref(), flags, inputs.guard))
    };
    let leaks = leaks(pair.model, inputs, asked, settings, watch)?;
    let bytes = size(held_out.iter().copied());
    let per_byte = |bits: &[f64]| rounded(bits.iter().sum::<f64>() / bytes as f64);
    let mut report = EvaluationReport {
        version: REPORT_VERSION,
        model: pair.model.name().to_owned(),
        base: pair.base.map(|base| base.name().to_owned()),
        class: inputs.class,
        settings: settings.clone(),
        held_out: HeldOutReport {
            documents: held_out.len(),
            bytes,
            given_bytes: size(inputs.held_out.iter().map(|text| text.text)),
            baseline_training_bytes: size(learnt.iter().copied()),
            given_training_bytes: size(inputs.training.iter().map(|text| text.text)),
            model_bits_per_byte: per_byte(&model_bits),
            base_bits_per_byte: base_bits.as_deref().map(per_byte),
            ..baselines
        },
        questions,
        general,
        leaks,
        contamination,
        gate: Gate { passed: false, criteria: Vec::new() },
    };
    report.gate = Gate::judge(&report, &settings.gate);
    Ok(report)
}

/// The model and the one that it was tuned from.
struct Pair<'a> {
    model: &'a mut dyn Subject,
    base: Option<&'a mut dyn Subject>,
}

impl Pair<'_> {
    /// The same for both.
    fn each<T>(
        &mut self,
        mut measure: impl FnMut(&mut dyn Subject) -> Result<T, EvaluationError>,
    ) -> Result<(T, Option<T>), EvaluationError> {
        let of_model = measure(self.model)?;
        let of_base = match &mut self.base {
            Some(base) => Some(measure(*base)?),
            None => None,
        };
        Ok((of_model, of_base))
    }
}

fn size<'a>(texts: impl Iterator<Item = &'a str>) -> u64 {
    texts.map(|text| text.len() as u64).sum()
}

/// The first texts that are not empty, together at most `most` bytes; the last one may be cut.
fn first_bytes<'a>(texts: &[Text<'a>], most: u64) -> Vec<&'a str> {
    let mut left = usize::try_from(most).unwrap_or(usize::MAX);
    let mut taken = Vec::new();
    for text in texts {
        let part = cut(text.text, left);
        left -= part.len();
        if !part.is_empty() {
            taken.push(part);
        }
        if part.len() < text.text.len() {
            break;
        }
    }
    taken
}

fn step(watch: &mut Watch<'_>, phase: Phase, done: usize, total: usize) -> Result<(), EvaluationError> {
    match watch(Progress { phase, done, total }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(EvaluationError::Stopped),
    }
}

fn compare(
    inputs: &EvaluationInputs<'_>,
    asked: &[Question],
    settings: &EvaluationSettings,
    watch: &mut Watch<'_>,
) -> Result<ContaminationReport, EvaluationError> {
    let least = settings.contaminated_words_share_min;
    let labels = |what: &str, count: usize| (1..=count).map(|n| format!("{what} {n}")).collect::<Vec<_>>();
    let asked_labels = labels("question", asked.len());
    let trained_labels = labels("training question", inputs.training_questions.len());
    let asked: Vec<Text<'_>> = texts_of(asked, &asked_labels).collect();
    let trained = texts_of(inputs.training_questions, &trained_labels);
    let training: Vec<Text<'_>> = trained.chain(inputs.training.iter().copied()).collect();
    let mut report = ContaminationReport {
        documents: contamination(inputs.held_out, inputs.training, least),
        questions: contamination(&asked, &training, least),
    };
    for side in [&mut report.documents, &mut report.questions] {
        for item in &mut side.listed {
            item.item = masked(inputs.guard, &item.item);
            item.with = masked(inputs.guard, &item.with);
        }
    }
    step(watch, Phase::Contamination, 1, 1)?;
    Ok(report)
}

fn texts_of<'a>(questions: &'a [Question], labels: &'a [String]) -> impl Iterator<Item = Text<'a>> {
    questions.iter().zip(labels).map(|(question, label)| Text { label, text: &question.question })
}

/// The held-out part of the report with the models' figures still at zero.
fn baselines(
    learnt: &[&str],
    held_out: &[&str],
    settings: &EvaluationSettings,
    watch: &mut Watch<'_>,
) -> Result<HeldOutReport, EvaluationError> {
    let bytes = size(held_out.iter().copied()) as f64;
    let sum =
        |bits: &dyn Fn(&str) -> f64| rounded(held_out.iter().map(|text| bits(text)).sum::<f64>() / bytes);
    let unigram = Unigram::train(learnt);
    let unigram_bits_per_byte = sum(&|text| unigram.bits(text));
    let ngram = Ngram::train(learnt, settings.ngram_order);
    let ngram_bits_per_byte = sum(&|text| ngram.bits(text));
    drop(ngram);
    step(watch, Phase::Baselines, 1, 2)?;
    let compressed = |first: &[&str], second: &[&str]| {
        xz::compressed_bytes(first.iter().chain(second).copied()).map_err(EvaluationError::Xz)
    };
    let alone = compressed(held_out, &[])?;
    // One encoding after the other can come out a few bytes smaller by chance on tiny texts; less than none is none.
    let added = compressed(learnt, held_out)?.saturating_sub(compressed(learnt, &[])?);
    let per_byte = |compressed: u64| rounded(8.0 * compressed as f64 / bytes);
    step(watch, Phase::Baselines, 2, 2)?;
    Ok(HeldOutReport {
        documents: 0,
        bytes: 0,
        given_bytes: 0,
        baseline_training_bytes: 0,
        given_training_bytes: 0,
        model_bits_per_byte: 0.0,
        base_bits_per_byte: None,
        unigram_bits_per_byte,
        ngram_order: settings.ngram_order,
        ngram_bits_per_byte,
        xz_given_training_bits_per_byte: per_byte(added),
        xz_alone_bits_per_byte: per_byte(alone),
    })
}

/// Bits that a model needs for each text.
fn bits(
    model: &mut dyn Subject,
    texts: &[&str],
    phase: Phase,
    watch: &mut Watch<'_>,
) -> Result<Vec<f64>, EvaluationError> {
    let mut all = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let nats = model.nats(text)?;
        if !nats.is_finite() || nats < 0.0 {
            return Err(EvaluationError::Subject {
                model: model.name().to_owned(),
                given: format!("`{nats}`"),
                wanted: "nats, a number of zero or more,".to_owned(),
            });
        }
        all.push(nats / std::f64::consts::LN_2);
        step(watch, phase, index + 1, texts.len())?;
    }
    Ok(all)
}

fn general(pair: &mut Pair<'_>, watch: &mut Watch<'_>) -> Result<GeneralReport, EvaluationError> {
    let texts: Vec<&str> = general_texts().collect();
    let bytes = size(texts.iter().copied());
    let per_byte = |bits: &[f64]| bits.iter().sum::<f64>() / bytes as f64;
    let (model_bits, base_bits) = pair.each(|subject| bits(subject, &texts, Phase::General, watch))?;
    let worsening = base_bits.as_deref().map(|base| per_byte(&model_bits) - per_byte(base));
    let error = base_bits.as_deref().zip(worsening).map(|(base, worsening)| {
        // A ratio of sums over texts: its error comes from what each text deviates from the ratio.
        let n = texts.len() as f64;
        let deviation = |((model, base), text): ((&f64, &f64), &&str)| {
            (model - base - worsening * text.len() as f64).powi(2)
        };
        let squares: f64 = model_bits.iter().zip(base).zip(&texts).map(deviation).sum();
        (squares * n / (n - 1.0)).sqrt() / bytes as f64
    });
    Ok(GeneralReport {
        texts: texts.len(),
        bytes,
        model_bits_per_byte: rounded(per_byte(&model_bits)),
        base_bits_per_byte: base_bits.as_deref().map(|base| rounded(per_byte(base))),
        worsening_bits_per_byte: worsening.map(rounded),
        worsening_standard_error: error.map(rounded),
    })
}

fn ask(
    model: &mut dyn Subject,
    questions: &[Question],
    watch: &mut Watch<'_>,
) -> Result<Vec<String>, EvaluationError> {
    let mut answers = Vec::with_capacity(questions.len());
    for batch in questions.chunks(BATCH) {
        let batch: Vec<&str> = batch.iter().map(|question| question.question.as_str()).collect();
        let given = model.answer(&batch)?;
        expect_texts(model, &given, batch.len())?;
        answers.extend(given.into_iter().map(|answer| match cut(&answer, ANSWER_BYTES_MAX) {
            part if part.len() < answer.len() => part.to_owned(),
            _ => answer,
        }));
        step(watch, Phase::Questions, answers.len(), questions.len())?;
    }
    Ok(answers)
}

fn leaks(
    model: &mut dyn Subject,
    inputs: &EvaluationInputs<'_>,
    asked: &[Question],
    settings: &EvaluationSettings,
    watch: &mut Watch<'_>,
) -> Result<LeakReport, EvaluationError> {
    let prompts = leaks::prompts(settings.samples, asked);
    let mut samples = Vec::with_capacity(prompts.len());
    for (batch, index) in prompts.chunks(BATCH).zip(0_u64..) {
        // A seed of its own, or equal prompts would get equal texts in each batch.
        let given = model.sample(batch, words::mix(settings.seed, index))?;
        expect_texts(model, &given, batch.len())?;
        samples.extend(given);
        step(watch, Phase::Leaks, samples.len(), prompts.len())?;
    }
    let told = inputs.training_questions.iter();
    let told = told.flat_map(|question| [question.question.as_str(), question.answer.as_str()]);
    let training = inputs.training.iter().map(|text| text.text).chain(told);
    Ok(leaks::report(&prompts, &samples, training, inputs.guard, settings))
}

fn expect_texts(model: &dyn Subject, given: &[String], wanted: usize) -> Result<(), EvaluationError> {
    if given.len() == wanted {
        return Ok(());
    }
    Err(EvaluationError::Subject {
        model: model.name().to_owned(),
        given: format!("{} texts", given.len()),
        wanted: wanted.to_string(),
    })
}
