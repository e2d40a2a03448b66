//! What decides a tuning: the plan, which is the recipe of the version that comes of it, and the version that it begins
//! with. Also the most processor time that it can take, which is what a budget has to hold.

use std::time::Duration;

use pintle_core::{DataClass, Name};
use serde::{Deserialize, Serialize};

use crate::{
    LoraSettings, ModelConfig, ModelError, ModelStore, OptimiserSettings, Recipe, RunSettings, VersionId,
    evaluate::EvaluationSettings,
    recipe::{OutputPart, TuneMethod},
    store::read_json,
};

/// A plan, complete: nothing in it is left to whoever carries it out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FineTunePlan {
    /// The model that gets the version.
    pub name: Name,
    /// The version to begin with.
    pub base: VersionId,
    /// Names the tuning: two plans with the same job are the same, and give one version.
    pub job: String,
    /// For whom.
    pub use_case: Name,
    /// Decides the adapter's first weights and the order of the conversations; at most `i64::MAX`.
    pub seed: u64,
    /// All weights, or an adapter that is merged into them at the end.
    pub method: TuneMethod,
    /// How often each conversation is learnt.
    pub epochs: u32,
    /// Conversations of a step.
    pub batch_size: u32,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// What the base's own rate was multiplied with to get it.
    pub learning_rate_multiplier: f64,
    /// Threads that compute; they decide the order of sums, and with it the last digits.
    pub threads: usize,
    /// The highest class of conversations that may be learnt.
    pub accepts: DataClass,
    /// The least class of what comes of it, whatever the guard finds.
    pub class_at_least: DataClass,
    /// The licences of what the base learnt.
    pub licences: Vec<String>,
    /// The adapter, for `lora`.
    pub lora: LoraSettings,
    /// Measuring, and what must be reached: what the base was measured by.
    pub evaluation: EvaluationSettings,
    /// How the version is kept: as the base is.
    pub output: OutputPart,
}

/// Bounds on what a plan may ask for.
pub(super) const EPOCHS_MAX: u32 = 50;
pub(super) const BATCH_MAX: u32 = 256;

/// Tokens that one pass through the network reads at the most: larger batches are taken in parts.
const TOKENS_PER_PASS_MAX: u64 = 16_384;
/// Reckoned for the worst case: what a slow core computes in training, in operations per second. Measured on the
/// two-core machine of `docs/benchmarks.md`: ten times as many and more.
const SLOW_TRAINING_FLOPS: f64 = 4e9;
/// The same for writing one token after the other, which waits for the memory.
const SLOW_WRITING_FLOPS: f64 = 2e9;
/// What a step costs however small it is, in processor seconds.
const PER_STEP_S: f64 = 0.05;
/// Reading, checking, saving, and the parts of the evaluation that do not depend on the model.
const FIXED_S: f64 = 60.0;
/// Of one sample or answer, with what it is asked.
const SAMPLE_TOKENS: f64 = 256.0;

/// An adapter is taught faster than all weights are. Tried on the demonstration's model with sixty conversations: at 3 the
/// held-out loss falls furthest (0.0064 nats after 8 epochs; 0.17 at 1, 0.018 at 6).
const ADAPTER_RATE: f64 = 3.0;

fn rate_of(method: TuneMethod) -> f64 {
    match method {
        TuneMethod::Full => 1.0,
        TuneMethod::Lora => ADAPTER_RATE,
    }
}

/// What the worst case of a tuning depends on, beside the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    /// Conversations to learn from.
    pub conversations: u64,
    /// More tokens than the longest of them has.
    pub longest_tokens: u64,
    /// Conversations to measure with, where there is a file of them.
    pub validation: u64,
}

impl FineTunePlan {
    /// The plan as the version keeps it.
    ///
    /// # Errors
    /// When a figure is none that TOML knows.
    pub fn to_toml(&self) -> Result<String, ModelError> {
        toml::to_string(self).map_err(|error| ModelError::Parts(error.to_string()))
    }

    /// Refuses figures out of their bounds: the field and what would be accepted.
    ///
    /// # Errors
    /// `(field, hint)`.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let multiplier = self.learning_rate_multiplier;
        let checks = [
            ("n_epochs", (1..=EPOCHS_MAX).contains(&self.epochs), "a whole number from 1 to 50"),
            ("batch_size", (1..=BATCH_MAX).contains(&self.batch_size), "a whole number from 1 to 256"),
            (
                "learning_rate_multiplier",
                multiplier > 0.0 && multiplier <= 100.0,
                "a number above 0, at most 100",
            ),
            ("seed", i64::try_from(self.seed).is_ok(), "a whole number from 0 to 9223372036854775807"),
        ];
        match checks.into_iter().find(|(_, holds, _)| !holds) {
            Some((field, _, hint)) => Err((field, hint)),
            None => Ok(()),
        }
    }

    /// Steps for so many conversations.
    #[must_use]
    pub fn steps(&self, conversations: u64) -> u64 {
        let visits = conversations.saturating_mul(u64::from(self.epochs));
        visits.div_ceil(u64::from(self.batch_size).max(1)).max(1)
    }

    /// How it is trained, on conversations of which the longest has so many tokens.
    pub(super) fn run(&self, conversations: u64, longest: usize) -> RunSettings {
        let steps = self.steps(conversations);
        let sequences = sequences(self.batch_size, longest as u64);
        #[expect(clippy::cast_possible_truncation, reason = "rates are single precision")]
        let learning_rate = self.learning_rate as f32;
        let defaults = OptimiserSettings::default();
        RunSettings {
            seed: self.seed,
            steps,
            sequence_length: longest,
            sequences: sequences as usize,
            accumulate: (self.batch_size / sequences.max(1)) as usize,
            shards: self.threads,
            evaluate_every: u64::MAX,
            optimiser: OptimiserSettings {
                learning_rate,
                learning_rate_min: learning_rate / 10.0,
                warm_up_steps: (steps / 10).min(100),
                // An adapter begins at zero and is to leave it.
                weight_decay: if self.method == TuneMethod::Lora { 0.0 } else { defaults.weight_decay },
                ..defaults
            },
        }
    }

    /// The most processor time that the tuning may take, on a slow core. Whoever carries it out ends it there.
    #[must_use]
    pub fn processor_time_max(&self, base: &Foundation, load: Workload) -> Duration {
        let weights = base.parameters as f64;
        let longest = load.longest_tokens.min(base.context as u64) as f64;
        let steps = self.steps(load.conversations) as f64;
        let learnt = steps * f64::from(self.batch_size) * longest;
        let training = 6.0 * weights * learnt / SLOW_TRAINING_FLOPS + steps * PER_STEP_S;
        // Held-out conversations are looked at after each epoch, and read and answered in the evaluation, by the model
        // and by its base.
        let looked_at = (load.validation.max(load.conversations / 20).min(2_000) + 1) as f64;
        let looks =
            2.0 * weights * looked_at * longest * (f64::from(self.epochs) + 4.0) / SLOW_TRAINING_FLOPS;
        let written = SAMPLE_TOKENS * (self.evaluation.samples as f64 + 2.0 * looked_at);
        let writing = 2.0 * weights * written / SLOW_WRITING_FLOPS;
        Duration::try_from_secs_f64(FIXED_S + training + looks + writing).unwrap_or(Duration::MAX)
    }
}

/// The largest part of a batch that one pass reads, such that the parts are equal.
fn sequences(batch: u32, longest: u64) -> u32 {
    let most = (TOKENS_PER_PASS_MAX / longest.max(1)).max(1);
    (1..=batch).rev().find(|part| batch.is_multiple_of(*part) && u64::from(*part) <= most).unwrap_or(1)
}

/// What a version says that it can be tuned with.
#[derive(Debug, Clone, PartialEq)]
pub struct Foundation {
    /// The version.
    pub id: VersionId,
    /// The class of what it learnt.
    pub class: DataClass,
    /// The licences of what it learnt.
    pub licences: Vec<String>,
    /// Its weights.
    pub parameters: u64,
    /// The longest sequence that it reads, in tokens.
    pub context: usize,
    /// The learning rate that it was taught to answer with.
    pub learning_rate: f64,
    /// What it was measured by. What is asked of a base alone is left out.
    pub evaluation: EvaluationSettings,
    /// How it is kept.
    pub output: OutputPart,
}

impl Foundation {
    /// The learning rate of a plan: the base's own, by the method and the client's wish.
    #[must_use]
    pub fn rate(&self, method: TuneMethod, multiplier: f64) -> f64 {
        self.learning_rate * rate_of(method) * multiplier
    }

    /// Reads it from the version's files.
    ///
    /// # Errors
    /// When there is no such version, or its files cannot be read.
    pub fn read(store: &ModelStore, id: &VersionId) -> Result<Self, ModelError> {
        let manifest = store.manifest(id)?;
        let path = store.path(id).join("config.json");
        let broken = |why: &str| ModelError::Broken { path: path.clone(), why: why.to_owned() };
        let config: ModelConfig = read_json(&path)?.ok_or_else(|| broken("it is not there"))?;
        let (learning_rate, mut evaluation, output) = match toml::from_str::<FineTunePlan>(&manifest.recipe) {
            Ok(plan) => {
                let rate = plan.learning_rate / plan.learning_rate_multiplier / rate_of(plan.method);
                (rate, plan.evaluation, plan.output)
            }
            Err(_) => {
                let recipe: Recipe = toml::from_str(&manifest.recipe).map_err(|_| {
                    ModelError::Parts(format!(
                        "the recipe that `{id}` keeps cannot be read; hint: tune another version"
                    ))
                })?;
                let tune = recipe.tune.as_ref().map(|tune| recipe.tune_run(tune, 1).optimiser.learning_rate);
                let rate = tune.unwrap_or(recipe.base_run().optimiser.learning_rate / 2.0);
                (f64::from(rate), recipe.evaluation.settings, recipe.output)
            }
        };
        // That the base needs fewer bits than counting was asked when it was made, of other text.
        evaluation.gate.beat_ngram = false;
        Ok(Foundation {
            id: manifest.id,
            class: manifest.class,
            licences: manifest.licences,
            parameters: manifest.parameters,
            context: config.max_position_embeddings,
            learning_rate,
            evaluation,
            output,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn plan() -> FineTunePlan {
        FineTunePlan {
            name: "handbook".parse().unwrap(),
            base: "handbook@1".parse().unwrap(),
            job: "ftjob-1".into(),
            use_case: "replies".parse().unwrap(),
            seed: 7,
            method: TuneMethod::Lora,
            epochs: 3,
            batch_size: 12,
            learning_rate: 2e-3,
            learning_rate_multiplier: 1.0,
            threads: 2,
            accepts: DataClass::Internal,
            class_at_least: DataClass::Internal,
            licences: vec!["own text".into()],
            lora: LoraSettings::default(),
            evaluation: EvaluationSettings::default(),
            output: OutputPart::default(),
        }
    }

    #[test]
    fn a_plan_is_kept_as_text_and_read_again() {
        let text = plan().to_toml().unwrap();
        assert_eq!(toml::from_str::<FineTunePlan>(&text).unwrap(), plan(), "{text}");
        assert!(toml::from_str::<Recipe>(&text).is_err());
    }

    #[test]
    fn large_batches_are_taken_in_equal_parts() {
        assert_eq!(sequences(12, 100), 12);
        assert_eq!(sequences(12, 2_048), 6);
        assert_eq!(sequences(7, 8_192), 1);
        assert_eq!(sequences(5, 1 << 30), 1);
        let run = plan().run(100, 2_048);
        assert_eq!((run.steps, run.sequences, run.accumulate), (25, 6, 2));
    }

    #[test]
    fn figures_out_of_bounds_are_named() {
        let with = |change: &dyn Fn(&mut FineTunePlan)| {
            let mut plan = plan();
            change(&mut plan);
            plan.check().unwrap_err().0
        };
        assert!(plan().check().is_ok());
        assert_eq!(with(&|plan| plan.epochs = 0), "n_epochs");
        assert_eq!(with(&|plan| plan.batch_size = 1_000), "batch_size");
        assert_eq!(with(&|plan| plan.learning_rate_multiplier = f64::NAN), "learning_rate_multiplier");
        assert_eq!(with(&|plan| plan.seed = u64::MAX), "seed");
    }
}
