//! From a version and a file of conversations to the next version: check → learn → measure → register.
//!
//! It goes on where it was when it was killed, and ends with the same weights: what decides it stands in the
//! [`FineTunePlan`], and the checkpoint names it. A plan that has its version already gives that one.

mod card;
mod chats;
mod plan;

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

pub use chats::{ChatFault, ChatLine, check_chat};
use pintle_core::{DataClass, Energy, Timestamp};
use pintle_guard::Guard;
pub use plan::{FineTunePlan, Foundation, Workload};

use super::{Curves, identity, made, remove_folder, subject::Asked, texts, write, write_json};
use crate::{
    Example, HeldOut, Manifest, ModelError, ModelStore, Source, VersionId,
    artefact::{self, Model},
    evaluate::{self, Comparison, Criterion, EvaluationInputs, EvaluationReport, evaluate},
    math::IGNORE,
    network::{Pass, Shape, Task},
    recipe::{TuneMethod, WeightsForm},
    store::read_json,
    train::{Machine, Progress, Run, Trained},
    tune::{Adapter, save_adapter},
};
use chats::Chats;

/// The loss of each step and look, in the version's folder: `step,train_loss,learning_rate,valid_loss`.
pub const METRICS_FILE: &str = "metrics.csv";
/// Held-out conversations that are looked at after each epoch.
const LOOKED_AT_MAX: usize = 200;
/// Of the looks so far, beside the checkpoint.
const VALID_FILE: &str = "valid.json";

/// A tuning and what it works with.
pub struct FineTune<'a> {
    /// What is to be done.
    pub plan: &'a FineTunePlan,
    /// Conversations to learn from, in OpenAI's chat format.
    pub training: &'a Path,
    /// Conversations to measure with. Without them, every twentieth of twenty or more to learn from is kept out.
    pub validation: Option<&'a Path>,
    /// Where the checkpoint lies; on the same file system as the store.
    pub work: &'a Path,
    /// Scans conversations and samples.
    pub guard: &'a Guard,
    /// Where the base is and the version goes.
    pub store: &'a ModelStore,
    /// The version of Pintle.
    pub pintle: &'a str,
    /// When the version is finished.
    pub now: &'a dyn Fn() -> Timestamp,
    /// What it took from the socket so far, over all processes that took part.
    pub energy: &'a dyn Fn() -> Option<Energy>,
}

/// What happens on the way, in its order.
#[derive(Debug)]
pub enum FineTuneNews<'a> {
    /// The files are as they should be.
    Checked {
        /// Conversations to learn from.
        conversations: usize,
        /// Conversations to measure with.
        held_out: usize,
        /// The class of what will come of it.
        class: DataClass,
        /// Steps to make.
        steps: u64,
        /// Weights that are trained.
        trained_parameters: usize,
    },
    /// A step was made.
    Step {
        /// The step.
        progress: Progress<'a>,
        /// Nats per token of the held-out answers, at the end of an epoch and of the whole.
        valid_loss: Option<f64>,
    },
    /// The evaluation goes on.
    Evaluating(evaluate::Progress),
}

/// How a tuning ended.
#[derive(Debug)]
pub enum FineTuneOutcome {
    /// There is a version.
    Version(Box<Manifest>),
    /// Somebody stopped it; the same call goes on.
    Stopped,
}

/// What was read and checked.
struct Prepared {
    base: Model,
    base_sha256: String,
    shape: Shape,
    training: Chats,
    validation: Option<Chats>,
    class: DataClass,
    examples: Vec<Example>,
    held_out: Vec<Example>,
}

impl FineTune<'_> {
    /// Goes all the way. Called again after a stop or a kill, it goes on.
    ///
    /// # Errors
    /// When a file cannot be learnt from or a step fails; nothing is registered then.
    pub fn run(
        &self,
        stop: &AtomicBool,
        watch: &mut dyn FnMut(FineTuneNews<'_>),
    ) -> Result<FineTuneOutcome, ModelError> {
        let recipe = self.plan.to_toml()?;
        if let Some(manifest) = self.registered(&recipe)? {
            return Ok(FineTuneOutcome::Version(Box::new(manifest)));
        }
        let prepared = self.prepare()?;
        let adapter = match self.plan.method {
            TuneMethod::Full => None,
            TuneMethod::Lora => Some(Adapter::new(&prepared.shape.layout, &self.plan.lora)?),
        };
        let longest = prepared.examples.iter().map(|example| example.tokens.len()).max().unwrap_or(0).max(8);
        let settings = self.plan.run(prepared.examples.len() as u64, longest);
        watch(FineTuneNews::Checked {
            conversations: prepared.examples.len(),
            held_out: prepared.held_out.len(),
            class: prepared.class,
            steps: settings.steps,
            trained_parameters: adapter.as_ref().map_or(prepared.shape.layout.weights, |it| it.weights),
        });
        let (trained, valid) = self.train(&prepared, adapter.as_ref(), &settings, stop, watch)?;
        if !trained.is_complete {
            return Ok(FineTuneOutcome::Stopped);
        }
        let finished = self.save(&prepared, adapter.as_ref(), &trained)?;
        let Some(report) = self.evaluate(&finished, &prepared, stop, watch)? else {
            return Ok(FineTuneOutcome::Stopped);
        };
        let learnt: u64 = prepared.examples.iter().map(|example| example.tokens.len() as u64).sum();
        let visits = settings.steps * (settings.sequences * settings.accumulate) as u64;
        let manifest = Manifest {
            id: VersionId { model: self.plan.name.clone(), version: 1 },
            made_at: (self.now)(),
            pintle: self.pintle.to_owned(),
            recipe,
            seed: self.plan.seed,
            class: prepared.class,
            licences: self.plan.licences.clone(),
            data_sha256: self.hashes(&prepared),
            base: Some(self.plan.base.clone()),
            parameters: prepared.shape.layout.weights as u64,
            trained_tokens: share(learnt, visits, prepared.examples.len() as u64),
            training_s: trained.seconds,
            energy: (self.energy)(),
            gate_failures: failures(&report),
            files_sha256: BTreeMap::new(),
        };
        write(&finished.join("README.md"), card::text(self.plan, &manifest, &report).as_bytes())?;
        write_json(&finished.join("evaluation.json"), &report)?;
        write(&finished.join(METRICS_FILE), metrics(&trained, &valid).as_bytes())?;
        write_json(&finished.join("training.json"), &Curves { base: Vec::new(), tune: trained.curve })?;
        let manifest = self.store.register(&finished, manifest)?;
        remove_folder(self.work)?;
        Ok(FineTuneOutcome::Version(Box::new(manifest)))
    }

    /// The version that this very plan gave, if the process was killed right after it was registered.
    fn registered(&self, recipe: &str) -> Result<Option<Manifest>, ModelError> {
        for id in self.store.versions(&self.plan.name)?.iter().rev() {
            let manifest = self.store.manifest(id)?;
            if manifest.recipe == recipe {
                return Ok(Some(manifest));
            }
        }
        Ok(None)
    }

    fn prepare(&self) -> Result<Prepared, ModelError> {
        let manifest = self.store.manifest(&self.plan.base)?;
        self.store.verify(&manifest)?;
        let base = artefact::load(&self.store.path(&self.plan.base))?;
        let base_sha256 = manifest.files_sha256.get("model.safetensors").cloned().unwrap_or_default();
        let (guard, accepts) = (self.guard, self.plan.accepts);
        let mut training = Chats::read("training file", self.training, guard, accepts)?;
        let given =
            self.validation.map(|path| Chats::read("validation file", path, guard, accepts)).transpose()?;
        let validation = given.or_else(|| training.hold_out());
        let context = base.config.max_position_embeddings;
        let examples = training.examples(&base.tokeniser, context)?;
        let held_out =
            validation.as_ref().map(|chats| chats.examples(&base.tokeniser, context)).transpose()?;
        let class = [Some(manifest.class), Some(training.class), validation.as_ref().map(|it| it.class)];
        let class = class.into_iter().flatten().fold(self.plan.class_at_least, DataClass::max);
        Ok(Prepared {
            shape: Shape::new(base.config.clone())?,
            base,
            base_sha256,
            training,
            validation,
            class,
            examples,
            held_out: held_out.unwrap_or_default(),
        })
    }

    fn hashes(&self, prepared: &Prepared) -> BTreeMap<String, String> {
        let mut hashes = BTreeMap::from([("training".to_owned(), prepared.training.sha256.clone())]);
        if let (Some(_), Some(validation)) = (self.validation, &prepared.validation) {
            hashes.insert("validation".to_owned(), validation.sha256.clone());
        }
        hashes
    }

    /// The curve, and the held-out loss by step.
    fn train(
        &self,
        prepared: &Prepared,
        adapter: Option<&Adapter>,
        settings: &crate::RunSettings,
        stop: &AtomicBool,
        watch: &mut dyn FnMut(FineTuneNews<'_>),
    ) -> Result<(Trained, BTreeMap<u64, f64>), ModelError> {
        let base = &prepared.base.weights;
        let name = identity(&[self.plan, settings], &[&prepared.training.sha256, &prepared.base_sha256]);
        let source = Source::Examples(prepared.examples.clone());
        let no_held_out = HeldOut::default();
        let run = Run {
            identity: &name,
            first: match adapter {
                None => base.to_vec(),
                Some(adapter) => adapter.first_weights(self.plan.seed),
            },
            source: &source,
            held_out: &no_held_out,
            settings,
            machine: match adapter {
                None => Machine::new(&prepared.shape, settings.shards),
                Some(adapter) => {
                    Machine::adapting(&prepared.shape, settings.shards, adapter.clone(), Arc::clone(base))
                }
            },
        };
        let work = made(self.work.to_path_buf())?;
        let valid_path = work.join(VALID_FILE);
        let mut valid: BTreeMap<u64, f64> = read_json(&valid_path)?.unwrap_or_default();
        let mut looker = Looker { pass: Pass::new(&prepared.shape), merged: Vec::new() };
        let looked_at = prepared.held_out.get(..LOOKED_AT_MAX).unwrap_or(&prepared.held_out);
        let batch = (settings.sequences * settings.accumulate) as u64;
        let epoch = |step: u64| step * batch / prepared.examples.len().max(1) as u64;
        let mut failed = None;
        let trained = run.train(&work, stop, &mut |progress| {
            let step = progress.point.step;
            let is_look = step == progress.steps || epoch(step) > epoch(step - 1);
            let valid_loss = (is_look && !looked_at.is_empty())
                .then(|| looker.loss(adapter.map(|adapter| (adapter, base)), progress.weights, looked_at));
            if let Some(loss) = valid_loss {
                valid.insert(step, loss);
                // Before the step's checkpoint: what is gone on with has its looks.
                failed = failed.take().or(write_json(&valid_path, &valid).err());
            }
            watch(FineTuneNews::Step { progress, valid_loss });
        })?;
        match failed {
            Some(error) => Err(error),
            None => Ok((trained, valid)),
        }
    }

    /// Writes the model; what is measured is what was written, rounded and read back.
    fn save(
        &self,
        prepared: &Prepared,
        adapter: Option<&Adapter>,
        trained: &Trained,
    ) -> Result<std::path::PathBuf, ModelError> {
        let finished = self.work.join("finished");
        remove_folder(&finished)?;
        let precision = match self.plan.output.weights {
            WeightsForm::F32 => artefact::Precision::F32,
            WeightsForm::Bf16 => artefact::Precision::Bf16,
        };
        let base = &prepared.base;
        let weights = match adapter {
            None => trained.weights.clone(),
            Some(adapter) => {
                let mut merged = Vec::new();
                adapter.merge(&mut merged, &base.weights, &trained.weights);
                merged
            }
        };
        let tuned = Model::new(
            base.config.clone(),
            Arc::new(weights),
            Arc::clone(&base.tokeniser),
            base.generation.clone(),
        )?;
        artefact::save(&tuned, &finished, &artefact::Card::default(), precision)?;
        if let Some(adapter) = adapter {
            // What the adapter stands beside is kept with it: the version itself has them merged.
            artefact::save(base, &finished.join("base"), &artefact::Card::default(), precision)?;
            save_adapter(&finished.join("adapter"), adapter, &trained.weights, &self.plan.lora, "../base")?;
        }
        Ok(finished)
    }

    fn evaluate(
        &self,
        finished: &Path,
        prepared: &Prepared,
        stop: &AtomicBool,
        watch: &mut dyn FnMut(FineTuneNews<'_>),
    ) -> Result<Option<EvaluationReport>, ModelError> {
        let threads = self.plan.threads;
        let mut tuned = Asked::new(self.plan.name.to_string(), artefact::load(finished)?, threads)?;
        let mut base = Asked::new(self.plan.base.to_string(), prepared.base.clone(), threads)?;
        let training = prepared.training.texts();
        // Few conversations and no file to measure with: then the first stands in, and the gate says so.
        let held_out = prepared
            .validation
            .as_ref()
            .map_or_else(|| training.iter().take(1).cloned().collect(), Chats::texts);
        let questions = prepared.validation.as_ref().map(Chats::questions).unwrap_or_default();
        let (training, held_out) = (texts(&training), texts(&held_out));
        let inputs = EvaluationInputs {
            training: &training,
            training_questions: &prepared.training.questions(),
            held_out: &held_out,
            questions: &questions,
            class: prepared.class,
            guard: self.guard,
        };
        let mut step = |progress| {
            watch(FineTuneNews::Evaluating(progress));
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        match evaluate(&mut tuned, Some(&mut base), &inputs, &self.plan.evaluation, &mut step) {
            Ok(mut report) => {
                if prepared.held_out.is_empty() {
                    report.gate.criteria.push(unmeasured());
                    report.gate.passed = false;
                }
                Ok(Some(report))
            }
            Err(evaluate::EvaluationError::Stopped) => Ok(None),
            Err(error) => Err(Box::new(error).into()),
        }
    }
}

/// Nothing was measured on what the model had not seen: then nobody may promote it.
fn unmeasured() -> Criterion {
    Criterion {
        name: "held_out_conversations".to_owned(),
        value: Some(0.0),
        comparison: Comparison::AtLeast,
        bound: 1.0,
        passed: false,
        sentence:
            "No conversation was kept out of training, so nothing was measured on unseen ones; tune with a \
                   validation file, or with twenty conversations or more."
                .to_owned(),
    }
}

fn failures(report: &EvaluationReport) -> Vec<String> {
    let failed = report.gate.criteria.iter().filter(|criterion| !criterion.passed);
    failed.map(|criterion| criterion.sentence.clone()).collect()
}

/// `total · visits / of`, rounded: the tokens of so many visits to so many conversations.
fn share(total: u64, visits: u64, of: u64) -> u64 {
    let product = u128::from(total) * u128::from(visits);
    u64::try_from(product.div_ceil(u128::from(of.max(1)))).unwrap_or(u64::MAX)
}

fn metrics(trained: &Trained, valid: &BTreeMap<u64, f64>) -> String {
    let mut text = "step,train_loss,learning_rate,valid_loss\n".to_owned();
    for point in &trained.curve {
        let valid = valid.get(&point.step).map(|loss| format!("{loss:.6}")).unwrap_or_default();
        text.push_str(&format!("{},{:.6},{:e},{valid}\n", point.step, point.loss, point.rate));
    }
    text
}

/// Measures held-out answers while the model learns.
struct Looker {
    pass: Pass,
    merged: Vec<f32>,
}

impl Looker {
    /// Nats per token of the answers.
    fn loss(
        &mut self,
        adapter: Option<(&Adapter, &Arc<Vec<f32>>)>,
        weights: &[f32],
        examples: &[Example],
    ) -> f64 {
        let weights = match adapter {
            None => weights,
            Some((adapter, base)) => {
                adapter.merge(&mut self.merged, base, weights);
                &self.merged
            }
        };
        let (mut nats, mut asked) = (0.0, 0_usize);
        for example in examples {
            let inputs = example.tokens.len().saturating_sub(1);
            let tokens = example.tokens.get(..inputs).unwrap_or_default();
            let targets: Vec<u32> = example
                .tokens
                .iter()
                .zip(&example.is_answer)
                .skip(1)
                .map(|(token, is_answer)| if *is_answer { *token } else { IGNORE })
                .collect();
            asked += targets.iter().filter(|target| **target != IGNORE).count();
            nats += self.pass.loss(weights, Task { tokens, targets: &targets, length: inputs, scale: 0.0 });
        }
        nats / asked.max(1) as f64
    }
}
