//! Own models as pages and the admin API show them, and the one thing that may be done to them here: putting
//! a version into production. The crate that trains them stands on the same floor, so the binary fills
//! these structures in; their fields are named as that crate names them. `evaluation` holds what a version's
//! reports say.

mod evaluation;

use std::{collections::BTreeMap, error::Error};

use pintle_core::{Amount, DataClass, Energy, Name, RequestId, Timestamp};
use serde::Serialize;

pub use evaluation::{
    ContaminatedView, ContaminationView, CorpusView, CriterionView, EvaluationView, GeneralView, HeldOutView,
    KindScoresView, LeakView, LeaksView, LeftDocumentView, LeftView, QuestionsView, ScoresView, ShareView,
    SharedView, WorstAnswerView,
};

use crate::Soon;

/// The models of the data folder. They are read from files, so what asks for them waits.
pub trait OwnModels: Send + Sync + 'static {
    /// All models, by name, with the training that is on its way.
    fn list(&self) -> Soon<Result<Vec<ModelView>, OwnModelsError>>;

    /// One version with its reports and curves; `None` when there is no such version.
    fn version(&self, model: &Name, version: u32) -> Soon<Result<Option<Box<VersionView>>, OwnModelsError>>;

    /// Puts a version into production, whether it is the next one or an earlier one again. The caller notes
    /// the act; the store keeps `by` and `reason` beside the version.
    fn promote(&self, model: &Name, version: u32, by: &str, reason: &str)
    -> Soon<Result<(), OwnModelsError>>;

    /// The tuning jobs of all use cases, newest first; none where nobody tunes.
    fn tunings(&self) -> Vec<TuningRow> {
        Vec::new()
    }
}

/// A tuning job, as a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TuningRow {
    /// Its id, as the client knows it.
    pub id: String,
    /// Its ledger entry, once it has ended.
    pub request: RequestId,
    /// Whose.
    pub use_case: Name,
    /// When it was made.
    pub created_at: Timestamp,
    /// `queued`, `running` …
    pub status: String,
    /// Whether nothing more will come of it.
    pub is_over: bool,
    /// Why it failed, where it did.
    pub fault: Option<String>,
    /// The version that it began with: `handbook@1`.
    pub base: String,
    /// The version that came of it.
    pub version: Option<String>,
    /// What it cost; `None` before its end, and without a price.
    pub cost: Option<Amount>,
    /// Whether somebody said what its time costs.
    pub is_priced: bool,
    /// What it took from the socket so far.
    pub energy: Option<Energy>,
}

/// Why own models could not be shown or changed.
#[derive(Debug, thiserror::Error)]
pub enum OwnModelsError {
    /// A person's wish that the store does not fulfil: a failed gate, changed files. The sentence is shown
    /// as it is; what follows `; hint: ` in it says what to do.
    #[error("{0}")]
    Refused(String),
    /// The store could not be read or written. The cause goes to the log only.
    #[error("the store of own models failed")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

/// One model: what it is made of is its versions'.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelView {
    /// Its name.
    pub name: Name,
    /// Its versions, newest first.
    pub versions: Vec<VersionRow>,
    /// What serves now, and who decided that.
    pub production: Option<PromotionView>,
    /// Every promotion, newest first; the one in production is the first.
    pub history: Vec<PromotionView>,
    /// The training that would give the next version.
    pub training: Option<TrainingView>,
}

impl ModelView {
    /// The versions that somebody could promote for the first time, newest first: their gate passed and they
    /// never served.
    pub fn candidates(&self) -> impl Iterator<Item = &VersionRow> {
        self.versions.iter().filter(|row| {
            row.gate_failures.is_empty() && self.history.iter().all(|past| past.version != row.version)
        })
    }
}

/// A version as a row of its model's table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VersionRow {
    /// From 1.
    pub version: u32,
    /// When it was finished.
    pub made_at: Timestamp,
    /// Weights.
    pub parameters: u64,
    /// The class of what it learnt, which is the lowest class that may ask it.
    pub class: DataClass,
    /// What it needs for held-out text; less is better. `None` where its report cannot be read.
    pub held_out_bits_per_byte: Option<f64>,
    /// What counting runs of bytes needs for the same text.
    pub ngram_bits_per_byte: Option<f64>,
    /// Held-out questions that it answers correctly.
    pub correct: Option<ShareView>,
    /// The same before tuning.
    pub base_correct: Option<ShareView>,
    /// Why it may not be promoted, sentence by sentence; empty when its gate lets it pass.
    pub gate_failures: Vec<String>,
}

/// A decision that a version serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PromotionView {
    /// Which version.
    pub version: u32,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A version, whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VersionView {
    /// The model's name.
    pub model: Name,
    /// From 1.
    pub version: u32,
    /// When it was finished.
    pub made_at: Timestamp,
    /// The version of Pintle that made it.
    pub pintle: String,
    /// The recipe's text, whole.
    pub recipe: String,
    /// What decided the first weights and the order of the data.
    pub seed: u64,
    /// The class of what it learnt.
    pub class: DataClass,
    /// The licences of what it learnt, as the recipe states them.
    pub licences: Vec<String>,
    /// SHA-256 of the training data, by part: `corpus`, `tuning`.
    pub data_sha256: BTreeMap<String, String>,
    /// The version that it was tuned from, as `handbook@1`, if it was.
    pub base: Option<String>,
    /// Weights.
    pub parameters: u64,
    /// Tokens that were read in training.
    pub trained_tokens: u64,
    /// Seconds of computing.
    pub training_s: f64,
    /// What the training took from the socket; `None` where nobody knows.
    pub energy: Option<Energy>,
    /// Why it may not be promoted, sentence by sentence; empty when its gate lets it pass.
    pub gate_failures: Vec<String>,
    /// SHA-256 of each file, by its name in the version's folder.
    pub files_sha256: BTreeMap<String, String>,
    /// Its evaluation; `None` where the report cannot be read.
    pub evaluation: Option<EvaluationView>,
    /// What became of its documents; `None` where the report cannot be read.
    pub corpus: Option<CorpusView>,
    /// Learning from the documents.
    pub base_curve: Curve,
    /// Learning to answer; empty where it was not tuned.
    pub tune_curve: Curve,
}

/// What a training does, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainingStage {
    /// Documents are read and scanned; a step is a file.
    Reading,
    /// The vocabulary is built.
    Tokeniser,
    /// Learning from the documents; a step is a step of the optimiser.
    Base,
    /// Learning to answer; likewise.
    Tune,
    /// The evaluation; a step is one of its phase's.
    Evaluation,
}

/// A training on its way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainingView {
    /// What it does now.
    pub stage: TrainingStage,
    /// What it does from beginning to end: a recipe without tuning leaves that out.
    pub stages: Vec<TrainingStage>,
    /// When it began, or last went on.
    pub started_at: Timestamp,
    /// When it last said something. A training that has been silent for two minutes is shown as stopped.
    pub updated_at: Timestamp,
    /// Steps of this stage that are done.
    pub step: u64,
    /// Steps of this stage; 0 where nobody counts them.
    pub steps: u64,
    /// What is trained, in weights, once that is known.
    pub parameters: Option<u64>,
    /// Nats per token of the newest step.
    pub loss: Option<f64>,
    /// Bits per byte at the newest look at the held-out part.
    pub held_out_bits_per_byte: Option<f64>,
    /// Tokens per second.
    pub tokens_per_s: Option<f64>,
    /// Seconds left in this stage, at that speed.
    pub left_s: Option<f64>,
    /// Learning from the documents, so far.
    pub base_curve: Curve,
    /// Learning to answer, so far.
    pub tune_curve: Curve,
    /// The latest texts that it wrote when it was tried, newest first; the page shows [`SAMPLES_MAX`]. The
    /// giver masks them: a model may recite what it has read.
    pub samples: Vec<SampleView>,
}

/// So many samples are shown.
pub const SAMPLES_MAX: usize = 5;

/// What the model wrote when it was tried during training.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SampleView {
    /// In which stage.
    pub stage: TrainingStage,
    /// After which step.
    pub step: u64,
    /// The text, masked.
    pub text: String,
}

/// One point of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurvePoint {
    /// The step, from 1.
    pub step: u64,
    /// Nats per token of the step's own batches.
    pub loss: f64,
    /// Bits per byte of the held-out part, where it was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_bits_per_byte: Option<f64>,
}

/// The course of a training, in at most [`Curve::POINTS_MAX`] points.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Curve {
    /// Steps that a point's loss is the mean of.
    steps_per_point: usize,
    points: Vec<CurvePoint>,
}

impl Curve {
    /// More could not be told apart on a page.
    pub const POINTS_MAX: usize = 300;

    /// Thins a run's points, in the order of their steps: the loss of several becomes their mean, and of the
    /// looks at the held-out part among them the last one stays. A loss that is no number is left out.
    #[must_use]
    pub fn new(all: &[CurvePoint]) -> Self {
        let steps_per_point = all.len().div_ceil(Self::POINTS_MAX).max(1);
        let points = all.chunks(steps_per_point).filter_map(|chunk| {
            let losses: Vec<f64> =
                chunk.iter().map(|point| point.loss).filter(|loss| loss.is_finite()).collect();
            let looks = chunk.iter().rev().filter_map(|point| point.held_out_bits_per_byte);
            (!losses.is_empty()).then(|| CurvePoint {
                step: chunk.last().map_or(0, |point| point.step),
                loss: losses.iter().sum::<f64>() / losses.len() as f64,
                held_out_bits_per_byte: looks.into_iter().find(|bits| bits.is_finite()),
            })
        });
        Curve { steps_per_point, points: points.collect() }
    }

    /// The points, in the order of their steps.
    #[must_use]
    pub fn points(&self) -> &[CurvePoint] {
        &self.points
    }

    /// Steps that a point's loss is the mean of.
    #[must_use]
    pub fn steps_per_point(&self) -> usize {
        self.steps_per_point
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(step: u64) -> CurvePoint {
        let loss = if step == 5 { f64::NAN } else { step as f64 };
        CurvePoint { step, loss, held_out_bits_per_byte: step.is_multiple_of(100).then_some(1.5) }
    }

    #[test]
    fn a_curve_is_thinned_and_keeps_its_looks() {
        let short = Curve::new(&(1..=300).map(point).collect::<Vec<_>>());
        assert_eq!(
            (short.steps_per_point(), short.points().len()),
            (1, 299),
            "what is no number is left out"
        );
        let long = Curve::new(&(1..=10_000).map(point).collect::<Vec<_>>());
        assert_eq!((long.steps_per_point(), long.points().len()), (34, 295));
        assert_eq!(long.points()[1], CurvePoint { step: 68, loss: 51.5, held_out_bits_per_byte: None });
        let looks = long.points().iter().filter(|point| point.held_out_bits_per_byte.is_some());
        assert_eq!(looks.count(), 100);
        assert_eq!(long.points().last().unwrap().step, 10_000);
        assert_eq!(Curve::new(&[]).points().len(), 0);
    }
}
