//! From a recipe to a version: documents → tokeniser → base → tuning → evaluation → registration.
//!
//! The steps before training are repeated when a run goes on after it was killed: they are quick and give the same
//! result, and what they give names the run, so that a checkpoint of other documents is noticed. Training goes on from
//! its checkpoint. A version appears at the very end, in one step.

mod card;
mod conversations;
mod fine_tune;
mod progress;
mod sample;
mod subject;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use pintle_core::{DataClass, Energy, Timestamp};
use pintle_guard::Guard;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    HeldOut, Manifest, ModelError, ModelStore, Point, Recipe, RunSettings, Source, VersionId,
    artefact::{self, Generation, Model},
    corpus::{self, Corpus, CorpusReport},
    evaluate::{self, EvaluationInputs, EvaluationReport, Question, Text, evaluate},
    network::Shape,
    pairs::{PairSettings, pairs},
    recipe::{TuneMethod, TunePart, WeightsForm},
    tokenise::{ChatTurn, Role, Tokeniser, TokeniserRecipe},
    train::{Machine, Progress, Run, Trained},
    tune::{Adapter, save_adapter},
};
pub use fine_tune::{
    ChatFault, ChatLine, FineTune, FineTuneNews, FineTuneOutcome, FineTunePlan, Foundation, METRICS_FILE,
    Workload, check_chat,
};
pub use progress::{Activity, Report, Sample};
use sample::{Tried, sample};
use subject::Asked;

/// The curves of a version, beside it: `training.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    /// Learning from the documents.
    pub base: Vec<Point>,
    /// Learning to answer.
    pub tune: Vec<Point>,
}

/// Which training is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Learning from the documents.
    Base,
    /// Learning to answer.
    Tune,
}

/// What happens on the way, in its order.
#[derive(Debug)]
pub enum Happening<'a> {
    /// Documents are being read.
    Reading(corpus::Progress),
    /// The corpus is there.
    Corpus(&'a CorpusReport),
    /// The vocabulary is there.
    Tokeniser {
        /// Its entries.
        entries: usize,
        /// Bytes of the documents for each token.
        bytes_per_token: f64,
        /// Tokens to train on.
        tokens: usize,
    },
    /// Training begins, or goes on.
    Begins {
        /// Which.
        stage: Stage,
        /// What is trained.
        parameters: usize,
        /// How.
        settings: &'a RunSettings,
        /// Conversations, in tuning.
        conversations: usize,
    },
    /// A step was made.
    Step {
        /// Which training.
        stage: Stage,
        /// The step.
        progress: Progress<'a>,
    },
    /// The model tried, at a look at the held-out part.
    Sample {
        /// Which training.
        stage: Stage,
        /// What it wrote.
        text: &'a str,
    },
    /// The evaluation goes on.
    Evaluating(evaluate::Progress),
    /// The evaluation is there.
    Evaluated(&'a EvaluationReport),
}

/// How a pipeline ended.
#[derive(Debug)]
pub enum Outcome {
    /// There is a new version, with its report.
    Version(Box<Manifest>, Box<EvaluationReport>),
    /// Somebody stopped it; the same call goes on.
    Stopped,
}

/// What a pipeline works with.
pub struct Pipeline<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// Its text, which the version keeps.
    pub recipe_text: &'a str,
    /// Scans documents, conversations and samples.
    pub guard: &'a Guard,
    /// Where versions go.
    pub store: &'a ModelStore,
    /// The version of Pintle.
    pub pintle: &'a str,
    /// When the version is finished.
    pub now: &'a dyn Fn() -> Timestamp,
    /// What it took by then, where somebody measures it.
    pub energy: &'a dyn Fn() -> Option<Energy>,
}

/// What training begins with.
struct Prepared {
    corpus: Corpus,
    tokeniser: Arc<Tokeniser>,
    stream: Vec<u32>,
    held_out: HeldOut,
    corpus_sha256: String,
}

/// What tuning learns from.
struct Tuning {
    chats: Vec<Vec<ChatTurn>>,
    questions: Vec<Question>,
    class: DataClass,
    sha256: String,
}

impl Pipeline<'_> {
    /// Goes all the way. Called again after a stop or a kill, it goes on.
    ///
    /// # Errors
    /// When a step fails; nothing is registered then.
    pub fn run(
        &self,
        stop: &AtomicBool,
        watch: &mut dyn FnMut(Happening<'_>),
    ) -> Result<Outcome, ModelError> {
        let recipe = self.recipe;
        let questions = self.questions()?;
        let _lock = self.store.lock_work(&recipe.name)?;
        let work = self.store.work_folder(&recipe.name)?;
        let mut log = progress::Log::new(&work, recipe.tune.is_some(), self.guard, self.now);
        let watch: &mut dyn FnMut(Happening<'_>) = &mut |happening| {
            log.hear(&happening);
            watch(happening);
        };
        let prepared = self.prepare(stop, watch)?;
        let tuning = recipe.tune.as_ref().map(|tune| self.tuning(tune, &prepared.corpus)).transpose()?;
        let config = recipe.config(prepared.tokeniser.vocab_size());
        let shape = Shape::new(config.clone())?;
        let mut curves = Curves::default();
        let (mut seconds, mut trained_tokens) = (0.0, 0);

        let settings = recipe.base_run();
        let base = self.train_base(&shape, &prepared, &settings, &work, stop, watch)?;
        if !base.is_complete {
            return Ok(Outcome::Stopped);
        }
        seconds += base.seconds;
        trained_tokens += settings.tokens();
        curves.base = base.curve;
        let base_weights = Arc::new(base.weights);
        let mut weights = Arc::clone(&base_weights);
        let mut adapter = None;
        if let (Some(tune), Some(tuning)) = (&recipe.tune, &tuning) {
            let (trained, settings, used) =
                self.train_tune(&shape, &prepared, &base_weights, tune, tuning, &work, stop, watch)?;
            if !trained.is_complete {
                return Ok(Outcome::Stopped);
            }
            seconds += trained.seconds;
            trained_tokens += settings.tokens();
            curves.tune = trained.curve;
            weights = Arc::new(match &used {
                Some(used) => {
                    let mut merged = Vec::new();
                    used.merge(&mut merged, &base_weights, &trained.weights);
                    merged
                }
                None => trained.weights.clone(),
            });
            adapter = used.map(|used| (used, trained.weights));
        }

        let finished = work.join("finished");
        remove_folder(&finished)?;
        let model = |weights| {
            let generation = Generation::of(&prepared.tokeniser);
            Model::new(config.clone(), weights, Arc::clone(&prepared.tokeniser), generation)
        };
        let precision = match recipe.output.weights {
            WeightsForm::F32 => artefact::Precision::F32,
            WeightsForm::Bf16 => artefact::Precision::Bf16,
        };
        artefact::save(&model(weights)?, &finished, &artefact::Card::default(), precision)?;
        if let (Some((adapter, weights)), Some(tune)) = (&adapter, &recipe.tune) {
            // What the adapter stands beside is kept with it: the version itself has them merged.
            let base = model(Arc::clone(&base_weights))?;
            artefact::save(&base, &finished.join("base"), &artefact::Card::default(), precision)?;
            save_adapter(&finished.join("adapter"), adapter, weights, &tune.lora, "../base")?;
        }
        // What is measured is what was written, rounded and read back.
        let kept = artefact::load(&finished)?;
        let base_model = tuning.as_ref().map(|_| model(Arc::clone(&base_weights))).transpose()?;
        let report = self.evaluate(kept, base_model, &prepared, tuning.as_ref(), &questions, stop, watch)?;
        let Some(report) = report else { return Ok(Outcome::Stopped) };
        watch(Happening::Evaluated(&report));

        let mut data_sha256 = BTreeMap::from([("corpus".to_owned(), prepared.corpus_sha256.clone())]);
        data_sha256.extend(tuning.as_ref().map(|tuning| ("tuning".to_owned(), tuning.sha256.clone())));
        let class =
            tuning.as_ref().map_or(prepared.corpus.class, |tuning| tuning.class.max(prepared.corpus.class));
        let failed = report.gate.criteria.iter().filter(|criterion| !criterion.passed);
        let manifest = Manifest {
            id: VersionId { model: recipe.name.clone(), version: 1 },
            made_at: (self.now)(),
            pintle: self.pintle.to_owned(),
            recipe: self.recipe_text.to_owned(),
            seed: recipe.seed,
            class,
            licences: recipe.licences.clone(),
            data_sha256,
            base: None,
            parameters: shape.layout.weights as u64,
            trained_tokens,
            training_s: seconds,
            energy: (self.energy)(),
            gate_failures: failed.map(|criterion| criterion.sentence.clone()).collect(),
            files_sha256: BTreeMap::new(),
        };
        let text = card::text(recipe, &manifest, &prepared.corpus.report, &report);
        write(&finished.join("README.md"), text.as_bytes())?;
        write_json(&finished.join("evaluation.json"), &report)?;
        write_json(&finished.join("corpus.json"), &prepared.corpus.report)?;
        // Thousands of points: without line breaks and indents.
        let path = finished.join("training.json");
        write(&path, &serde_json::to_vec(&curves).map_err(ModelError::unwritable(&path))?)?;
        let manifest = self.store.register(&finished, manifest)?;
        // The next run of this recipe makes a next version, from the beginning.
        remove_folder(&work)?;
        Ok(Outcome::Version(Box::new(manifest), Box::new(report)))
    }

    fn questions(&self) -> Result<Vec<Question>, ModelError> {
        let mut questions = Vec::new();
        for path in &self.recipe.evaluation.questions {
            questions.extend(conversations::read_questions(path)?);
        }
        Ok(questions)
    }

    fn prepare(
        &self,
        stop: &AtomicBool,
        watch: &mut dyn FnMut(Happening<'_>),
    ) -> Result<Prepared, ModelError> {
        let recipe = &self.recipe.corpus;
        let mut reading = |progress| watch(Happening::Reading(progress));
        let corpus = corpus::gather(recipe, self.guard, &mut reading, stop)?;
        watch(Happening::Corpus(&corpus.report));
        let mut hasher = Sha256::new();
        for document in &corpus.documents {
            hasher.update(document.text.as_bytes());
            hasher.update([u8::from(document.held_out)]);
        }
        let vocabulary =
            TokeniserRecipe { vocab_size: self.recipe.vocab_size(), ..TokeniserRecipe::default() };
        let texts: Vec<&str> = corpus.training().map(|document| document.text.as_str()).collect();
        let tokeniser = Tokeniser::train(texts.iter().copied(), vocabulary)?;
        let end = tokeniser.control_token(crate::tokenise::END_OF_TEXT).unwrap_or(0);
        // A document begins after the end of the one before.
        let mut stream = vec![end];
        let mut bytes = 0;
        for text in &texts {
            stream.extend(tokeniser.encode(text)?);
            stream.push(end);
            bytes += text.len();
        }
        let mut held_out = HeldOut { tokens: vec![end], bytes: 0 };
        for document in corpus.held_out() {
            held_out.tokens.extend(tokeniser.encode(&document.text)?);
            held_out.tokens.push(end);
            held_out.bytes += document.text.len() as u64;
            if held_out.bytes > HELD_OUT_BYTES {
                break;
            }
        }
        watch(Happening::Tokeniser {
            entries: tokeniser.vocab_size(),
            bytes_per_token: bytes as f64 / stream.len() as f64,
            tokens: stream.len(),
        });
        let corpus_sha256 = hex(&hasher.finalize());
        Ok(Prepared { corpus, tokeniser: Arc::new(tokeniser), stream, held_out, corpus_sha256 })
    }

    fn tuning(&self, tune: &TunePart, corpus: &Corpus) -> Result<Tuning, ModelError> {
        let (accepts, at_least) = (self.recipe.corpus.accepts, self.recipe.corpus.class_at_least);
        let mut chats = Vec::new();
        for path in &tune.files {
            chats.extend(conversations::read_chats(path)?);
        }
        let kept = conversations::guarded(chats, self.guard, accepts, at_least);
        let (mut chats, mut class) = (kept.turns, kept.class);
        let mut questions = Vec::new();
        if let Some(generate) = &tune.generate {
            let settings = PairSettings {
                seed: self.recipe.seed,
                variants: generate.variants,
                most_per_document: generate.most_per_document,
            };
            for document in corpus.training() {
                for pair in pairs(&document.path, &document.text, &settings) {
                    questions.push(Question {
                        question: pair.question.clone(),
                        answer: pair.answer.clone(),
                        value: None,
                        kind: "generated".to_owned(),
                    });
                    let turn = |role, content| ChatTurn { role, content };
                    chats.push(vec![turn(Role::User, pair.question), turn(Role::Assistant, pair.answer)]);
                }
            }
            class = class.max(corpus.class);
        }
        if chats.is_empty() {
            return Err(ModelError::TooLittle(format!(
                "no conversations for tuning ({} were above `accepts`)",
                kept.left
            )));
        }
        let mut hasher = Sha256::new();
        for turn in chats.iter().flatten() {
            hasher.update(turn.role.as_str());
            hasher.update(turn.content.as_bytes());
            hasher.update([0]);
        }
        Ok(Tuning { chats, questions, class, sha256: hex(&hasher.finalize()) })
    }

    fn train_base(
        &self,
        shape: &Shape,
        prepared: &Prepared,
        settings: &RunSettings,
        work: &Path,
        stop: &AtomicBool,
        watch: &mut dyn FnMut(Happening<'_>),
    ) -> Result<Trained, ModelError> {
        watch(Happening::Begins {
            stage: Stage::Base,
            parameters: shape.layout.weights,
            settings,
            conversations: 0,
        });
        let identity = identity(&[&shape.config, &settings], &[&prepared.corpus_sha256]);
        let source = Source::Stream(prepared.stream.clone());
        let run = Run {
            identity: &identity,
            first: shape.first_weights(self.recipe.seed),
            source: &source,
            held_out: &prepared.held_out,
            settings,
            machine: Machine::new(shape, settings.shards),
        };
        let folder = made(work.join("base"))?;
        self.train(run, &folder, Stage::Base, shape, prepared, None, stop, watch)
    }

    #[expect(clippy::too_many_arguments, reason = "what the step before it made, each a thing of its own")]
    fn train_tune(
        &self,
        shape: &Shape,
        prepared: &Prepared,
        base: &Arc<Vec<f32>>,
        tune: &TunePart,
        tuning: &Tuning,
        work: &Path,
        stop: &AtomicBool,
        watch: &mut dyn FnMut(Happening<'_>),
    ) -> Result<(Trained, RunSettings, Option<Adapter>), ModelError> {
        let length = self.recipe.tune_run(tune, 1).sequence_length;
        let mut examples = conversations::examples(&prepared.tokeniser, &tuning.chats, length)?;
        let conversations = examples.len();
        let share = tune.documents_share.unwrap_or(DOCUMENTS_SHARE);
        examples.extend(conversations::pieces(&prepared.stream, &examples, share));
        let settings = self.recipe.tune_run(tune, examples.len());
        let adapter = match tune.method {
            TuneMethod::Full => None,
            TuneMethod::Lora => Some(Adapter::new(&shape.layout, &tune.lora)?),
        };
        let parameters = adapter.as_ref().map_or(shape.layout.weights, |adapter| adapter.weights);
        watch(Happening::Begins { stage: Stage::Tune, parameters, settings: &settings, conversations });
        let base_hash =
            hex(&Sha256::digest(base.iter().flat_map(|weight| weight.to_le_bytes()).collect::<Vec<u8>>()));
        let identity = identity(&[&settings, &tune.lora, &share], &[&tuning.sha256, &base_hash]);
        let source = Source::Examples(examples);
        let no_held_out = HeldOut::default();
        let run = Run {
            identity: &identity,
            first: match &adapter {
                None => base.to_vec(),
                Some(adapter) => adapter.first_weights(self.recipe.seed),
            },
            source: &source,
            held_out: &no_held_out,
            settings: &settings,
            machine: match &adapter {
                None => Machine::new(shape, settings.shards),
                Some(adapter) => Machine::adapting(shape, settings.shards, adapter.clone(), Arc::clone(base)),
            },
        };
        let folder = made(work.join("tune"))?;
        let adapted = adapter.as_ref().map(|adapter| (adapter, base));
        let tried = Tried { adapter: adapted, questions: &tuning.questions };
        let trained = self.train(run, &folder, Stage::Tune, shape, prepared, Some(&tried), stop, watch)?;
        Ok((trained, settings, adapter))
    }

    #[expect(clippy::too_many_arguments, reason = "a run and what its samples need")]
    fn train(
        &self,
        run: Run<'_>,
        folder: &Path,
        stage: Stage,
        shape: &Shape,
        prepared: &Prepared,
        tried: Option<&Tried<'_>>,
        stop: &AtomicBool,
        watch: &mut dyn FnMut(Happening<'_>),
    ) -> Result<Trained, ModelError> {
        let every = run.settings.evaluate_every.max(1);
        run.train(folder, stop, &mut |progress| {
            watch(Happening::Step { stage, progress });
            if progress.point.step.is_multiple_of(every) {
                // A sample is for people to look at: training goes on without it.
                match sample(shape, prepared, progress.weights, tried, progress.point.step / every) {
                    Ok(text) => watch(Happening::Sample { stage, text: &text }),
                    Err(error) => tracing::warn!(%error, "no sample could be made"),
                }
            }
        })
    }

    #[expect(clippy::too_many_arguments, reason = "what the steps before it made, each a thing of its own")]
    fn evaluate(
        &self,
        model: Model,
        base: Option<Model>,
        prepared: &Prepared,
        tuning: Option<&Tuning>,
        questions: &[Question],
        stop: &AtomicBool,
        watch: &mut dyn FnMut(Happening<'_>),
    ) -> Result<Option<EvaluationReport>, ModelError> {
        let threads = self.recipe.base_run().shards;
        let mut subject = Asked::new(self.recipe.name.to_string(), model, threads)?;
        let mut base =
            base.map(|base| Asked::new(format!("{} (base)", self.recipe.name), base, threads)).transpose()?;
        let text = |document: &'_ corpus::Document| (document.path.clone(), document.text.clone());
        let training: Vec<_> = prepared.corpus.training().map(text).collect();
        let held_out: Vec<_> = prepared.corpus.held_out().map(text).collect();
        // A corpus of few documents holds none out; then the beginning of what was learnt stands in, and the
        // contamination check says so.
        let held_out =
            if held_out.is_empty() { training.iter().take(1).cloned().collect() } else { held_out };
        let (training, held_out) = (texts(&training), texts(&held_out));
        let inputs = EvaluationInputs {
            training: &training,
            training_questions: tuning.map_or(&[], |tuning| &tuning.questions),
            held_out: &held_out,
            questions,
            class: prepared.corpus.class.max(tuning.map_or(DataClass::Public, |tuning| tuning.class)),
            guard: self.guard,
        };
        let mut step = |progress| {
            watch(Happening::Evaluating(progress));
            if stop.load(std::sync::atomic::Ordering::Relaxed) {
                std::ops::ControlFlow::Break(())
            } else {
                std::ops::ControlFlow::Continue(())
            }
        };
        let base = base.as_mut().map(|base| base as &mut dyn evaluate::Subject);
        match evaluate(&mut subject, base, &inputs, &self.recipe.evaluation.settings, &mut step) {
            Ok(report) => Ok(Some(report)),
            Err(evaluate::EvaluationError::Stopped) => Ok(None),
            Err(error) => Err(Box::new(error).into()),
        }
    }
}

fn texts(documents: &[(String, String)]) -> Vec<Text<'_>> {
    documents.iter().map(|(label, text)| Text { label, text }).collect()
}

/// Of the sequences in tuning, what is pieces of the documents where the recipe does not say.
const DOCUMENTS_SHARE: f64 = 0.1;
/// Of the held-out part, what the curve is measured on.
const HELD_OUT_BYTES: u64 = 128 << 10;

impl RunSettings {
    /// Tokens that a run reads, at the most.
    fn tokens(&self) -> u64 {
        self.steps * (self.sequence_length * self.sequences * self.accumulate) as u64
    }
}

/// A name for everything that decides a run.
fn identity(settings: &[&dyn std::fmt::Debug], hashes: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in settings {
        hasher.update(format!("{part:?}\n"));
    }
    for hash in hashes {
        hasher.update(hash);
    }
    hex(&hasher.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn made(folder: PathBuf) -> Result<PathBuf, ModelError> {
    std::fs::create_dir_all(&folder).map_err(ModelError::io(&folder))?;
    Ok(folder)
}

fn remove_folder(folder: &Path) -> Result<(), ModelError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(ModelError::io(folder)(error)),
        _ => Ok(()),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    std::fs::write(path, bytes).map_err(ModelError::io(path))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ModelError> {
    write(path, &serde_json::to_vec_pretty(value).map_err(ModelError::unwritable(path))?)
}
