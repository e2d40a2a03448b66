//! A recipe: everything that decides a model, in one TOML file. A size sets what the file leaves out.

use std::path::{Path, PathBuf};

use pintle_core::Name;
use serde::{Deserialize, Serialize};

use crate::{
    LoraSettings, ModelConfig, ModelError, OptimiserSettings, RunSettings, corpus::CorpusRecipe,
    evaluate::EvaluationSettings,
};

/// The commented recipe that `pintle model init` writes.
pub const RECIPE_TEMPLATE: &str = include_str!("recipe.toml");
const RECIPE_BYTES_MAX: u64 = 1 << 20;

/// One dial for the shape of the network and the length of the training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// About 3 million parameters: minutes on two cores. Answers questions that it was tuned for.
    #[default]
    Tiny,
    /// About 11 million: hours on two cores.
    Small,
    /// About 50 million: for a machine with many cores.
    Base,
}

/// A recipe as it is written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The model's name.
    pub name: Name,
    /// What the model is for, in a sentence.
    #[serde(default)]
    pub description: String,
    /// Decides the first weights, the order of the data and every sample.
    #[serde(default = "one")]
    pub seed: u64,
    /// Sets what is left out below.
    #[serde(default)]
    pub size: Size,
    /// The licences of what it learns from.
    #[serde(default)]
    pub licences: Vec<String>,
    /// Which documents.
    pub corpus: CorpusRecipe,
    /// The vocabulary.
    #[serde(default)]
    pub tokeniser: TokeniserPart,
    /// The shape of the network.
    #[serde(default)]
    pub network: NetworkPart,
    /// Learning from the documents.
    #[serde(default)]
    pub base: BasePart,
    /// Learning to answer.
    #[serde(default)]
    pub tune: Option<TunePart>,
    /// Measuring, and what must be reached.
    #[serde(default)]
    pub evaluation: EvaluationPart,
    /// How the version is kept.
    #[serde(default)]
    pub output: OutputPart,
}

const fn one() -> u64 {
    1
}

/// The vocabulary.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokeniserPart {
    /// Entries, 300 to 65,536; 2,000 to 8,000 suit these sizes.
    pub vocab_size: Option<usize>,
}

/// The shape of the network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkPart {
    /// Values per token.
    pub hidden_size: Option<usize>,
    /// Values per token within the feed-forward part.
    pub intermediate_size: Option<usize>,
    /// Layers.
    pub layers: Option<usize>,
    /// Query heads.
    pub heads: Option<usize>,
    /// Heads of keys and values.
    pub key_value_heads: Option<usize>,
    /// The longest sequence that the model reads, in tokens.
    pub context: Option<usize>,
    /// Whether the output head is the embedding.
    pub tie_embeddings: Option<bool>,
}

/// How a part of the training goes; what is left out comes from the size.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BasePart {
    /// Steps.
    pub steps: Option<u64>,
    /// Tokens in a sequence.
    pub sequence_length: Option<usize>,
    /// Sequences of a micro-batch.
    pub sequences: Option<usize>,
    /// Micro-batches of a step.
    pub accumulate: Option<usize>,
    /// Steps between looks at the held-out part, each with a sample of text.
    pub evaluate_every: Option<u64>,
    /// Threads; the machine's where it is left out.
    pub threads: Option<usize>,
    /// The highest learning rate.
    pub learning_rate: Option<f32>,
    /// The rate at the last step.
    pub learning_rate_min: Option<f32>,
    /// Steps until the highest learning rate.
    pub warm_up_steps: Option<u64>,
    /// How fast the mean of the gradients forgets.
    pub beta1: Option<f32>,
    /// How fast the mean of their squares forgets.
    pub beta2: Option<f32>,
    /// Pulls matrices towards zero.
    pub weight_decay: Option<f32>,
    /// Gradients longer than this are shortened.
    pub clip: Option<f32>,
}

/// Learning to answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TunePart {
    /// All weights, or an adapter beside them.
    pub method: TuneMethod,
    /// The adapter, for `lora`.
    pub lora: LoraSettings,
    /// Conversations as JSONL in OpenAI's form.
    pub files: Vec<PathBuf>,
    /// Questions and answers made from the documents' headings, lists and tables.
    pub generate: Option<GeneratePart>,
    /// How often each conversation is learnt; `steps` wins where it is given.
    pub epochs: Option<f64>,
    /// The share of the sequences that are pieces of the documents, 0 to 0.9: a model that only learns to answer forgets
    /// how they were written.
    pub documents_share: Option<f64>,
    /// How it goes.
    #[serde(flatten)]
    pub run: BasePart,
}

/// What is trained in tuning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TuneMethod {
    /// All weights.
    #[default]
    Full,
    /// A low-rank adapter, merged into the version at the end and kept beside it.
    Lora,
}

/// Making questions and answers from documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeneratePart {
    /// Questions per fact, at most.
    pub variants: usize,
    /// Pairs per document, at most.
    pub most_per_document: usize,
}

impl Default for GeneratePart {
    fn default() -> Self {
        GeneratePart { variants: 20, most_per_document: 600 }
    }
}

/// Measuring, and what must be reached.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EvaluationPart {
    /// Held-out questions as JSONL: `question`, `answer`, and optionally `value` and `kind`.
    pub questions: Vec<PathBuf>,
    /// The rest.
    #[serde(flatten)]
    pub settings: EvaluationSettings,
}

/// How the version is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutputPart {
    /// The weights' form on disk.
    pub weights: WeightsForm,
}

/// The weights' form on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightsForm {
    /// As they were trained.
    #[default]
    F32,
    /// Half as large, rounded to about three digits. What is evaluated is what is kept.
    Bf16,
}

/// What a size stands for.
struct Dial {
    vocab_size: usize,
    hidden: usize,
    inner: usize,
    layers: usize,
    heads: usize,
    shared: usize,
    context: usize,
    sequence: usize,
    sequences: usize,
    accumulate: usize,
    steps: u64,
    rate: f32,
}

impl Size {
    const fn dial(self) -> Dial {
        match self {
            Size::Tiny => Dial {
                vocab_size: 2048,
                hidden: 192,
                inner: 512,
                layers: 6,
                heads: 6,
                shared: 2,
                context: 512,
                sequence: 128,
                sequences: 16,
                accumulate: 1,
                steps: 800,
                rate: 2e-3,
            },
            Size::Small => Dial {
                vocab_size: 4096,
                hidden: 320,
                inner: 864,
                layers: 8,
                heads: 8,
                shared: 4,
                context: 1024,
                sequence: 256,
                sequences: 16,
                accumulate: 1,
                steps: 4000,
                rate: 1e-3,
            },
            Size::Base => Dial {
                vocab_size: 8192,
                hidden: 576,
                inner: 1536,
                layers: 12,
                heads: 9,
                shared: 3,
                context: 2048,
                sequence: 512,
                sequences: 16,
                accumulate: 2,
                steps: 20_000,
                rate: 6e-4,
            },
        }
    }
}

/// Bounds on what a recipe may ask for.
const STEPS_MAX: u64 = 100_000_000;
const SEQUENCES_MAX: usize = 4096;

impl Recipe {
    /// Reads and checks a recipe; paths in it are taken from its own folder.
    ///
    /// # Errors
    /// With the file, the line and what is wrong.
    pub fn read(path: &Path) -> Result<(Self, String), ModelError> {
        let text = read_text(path, RECIPE_BYTES_MAX)?;
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let recipe = Self::parse(&text, &folder)
            .map_err(|why| ModelError::Recipe { path: path.to_path_buf(), why })?;
        Ok((recipe, text))
    }

    /// The recipe of a text whose relative paths begin in `folder`.
    ///
    /// # Errors
    /// In words, with the line where there is one.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let mut recipe: Recipe = toml::from_str(text).map_err(|error| error.to_string())?;
        recipe.corpus.folder = folder.to_path_buf();
        let tune_files = recipe.tune.iter_mut().flat_map(|tune| tune.files.iter_mut());
        for path in tune_files.chain(recipe.evaluation.questions.iter_mut()) {
            *path = folder.join(&*path);
        }
        recipe.corpus.check().map_err(|error| error.to_string())?;
        recipe.evaluation.settings.check().map_err(|error| error.to_string())?;
        recipe.config(recipe.vocab_size()).check().map_err(|error| error.to_string())?;
        recipe.base_run().check(&recipe)?;
        if let Some(tune) = &recipe.tune {
            if tune.files.is_empty() && tune.generate.is_none() {
                return Err(
                    "`[tune]` has nothing to learn from; hint: name `files`, or add `[tune.generate]`".into(),
                );
            }
            if !tune.documents_share.is_none_or(|share| (0.0..=0.9).contains(&share)) {
                return Err("`documents_share` is out of its bounds; hint: use 0 to 0.9".into());
            }
            recipe.tune_run(tune, 1).check(&recipe)?;
        }
        Ok(recipe)
    }

    /// Entries of the vocabulary that is asked for.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.tokeniser.vocab_size.unwrap_or(self.size.dial().vocab_size)
    }

    /// The shape, with a vocabulary of the given size.
    #[must_use]
    pub fn config(&self, vocab_size: usize) -> ModelConfig {
        let (dial, part) = (self.size.dial(), &self.network);
        ModelConfig {
            vocab_size,
            hidden_size: part.hidden_size.unwrap_or(dial.hidden),
            intermediate_size: part.intermediate_size.unwrap_or(dial.inner),
            num_hidden_layers: part.layers.unwrap_or(dial.layers),
            num_attention_heads: part.heads.unwrap_or(dial.heads),
            num_key_value_heads: Some(part.key_value_heads.unwrap_or(dial.shared)),
            head_dim: None,
            max_position_embeddings: part.context.unwrap_or(dial.context),
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            tie_word_embeddings: part.tie_embeddings.unwrap_or(true),
            rope_scaling: None,
            attention_bias: false,
            mlp_bias: false,
            hidden_act: Some("silu".to_owned()),
        }
    }

    /// How the base is trained.
    #[must_use]
    pub fn base_run(&self) -> RunSettings {
        self.run(&self.base, self.size.dial().steps, self.size.dial().rate)
    }

    /// How it is tuned, on so many conversations.
    #[must_use]
    pub fn tune_run(&self, tune: &TunePart, conversations: usize) -> RunSettings {
        let settings = self.run(&tune.run, 1, self.size.dial().rate / 2.0);
        let per_step = (settings.sequences * settings.accumulate).max(1) as f64;
        let epochs = tune.epochs.unwrap_or(3.0).clamp(0.0, 10_000.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounded and not negative"
        )]
        let steps = (epochs * conversations as f64 / per_step).ceil() as u64;
        RunSettings { steps: tune.run.steps.unwrap_or(steps.max(1)), ..settings }
    }

    fn run(&self, part: &BasePart, steps: u64, rate: f32) -> RunSettings {
        let dial = self.size.dial();
        let steps = part.steps.unwrap_or(steps);
        let defaults = OptimiserSettings::default();
        let learning_rate = part.learning_rate.unwrap_or(rate);
        let threads = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        RunSettings {
            seed: self.seed,
            steps,
            sequence_length: part.sequence_length.unwrap_or(dial.sequence),
            sequences: part.sequences.unwrap_or(dial.sequences),
            accumulate: part.accumulate.unwrap_or(dial.accumulate),
            shards: part.threads.unwrap_or_else(threads),
            evaluate_every: part.evaluate_every.unwrap_or(100),
            optimiser: OptimiserSettings {
                learning_rate,
                learning_rate_min: part.learning_rate_min.unwrap_or(learning_rate / 10.0),
                warm_up_steps: part.warm_up_steps.unwrap_or(100),
                beta1: part.beta1.unwrap_or(defaults.beta1),
                beta2: part.beta2.unwrap_or(defaults.beta2),
                weight_decay: part.weight_decay.unwrap_or(defaults.weight_decay),
                clip: part.clip.unwrap_or(defaults.clip),
                ..defaults
            },
        }
    }
}

impl RunSettings {
    fn check(&self, recipe: &Recipe) -> Result<(), String> {
        let context = recipe.config(recipe.vocab_size()).max_position_embeddings;
        let fits = [
            ("steps", (1..=STEPS_MAX).contains(&self.steps), "1 to 100,000,000"),
            (
                "sequence_length",
                (8..=context).contains(&self.sequence_length),
                "8 to the network's `context`",
            ),
            ("sequences", (1..=SEQUENCES_MAX).contains(&self.sequences), "1 to 4,096"),
            ("accumulate", (1..=SEQUENCES_MAX).contains(&self.accumulate), "1 to 4,096"),
            ("threads", (1..=256).contains(&self.shards), "1 to 256"),
            ("learning_rate", (0.0..=1.0).contains(&self.optimiser.learning_rate), "0 to 1"),
            ("beta1", (0.0..1.0).contains(&self.optimiser.beta1), "0 to below 1"),
            ("beta2", (0.0..1.0).contains(&self.optimiser.beta2), "0 to below 1"),
        ];
        match fits.iter().find(|(_, fits, _)| !fits) {
            Some((field, _, bounds)) => Err(format!("`{field}` is out of its bounds; hint: use {bounds}")),
            None => Ok(()),
        }
    }
}

/// The text of a small file.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String, ModelError> {
    let file = std::fs::File::open(path).map_err(ModelError::io(path))?;
    let mut text = String::new();
    let mut bounded = std::io::Read::take(file, bytes_max + 1);
    std::io::Read::read_to_string(&mut bounded, &mut text).map_err(ModelError::io(path))?;
    if text.len() as u64 > bytes_max {
        return Err(ModelError::Broken {
            path: path.to_path_buf(),
            why: format!("it is longer than {bytes_max} bytes"),
        });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_a_recipe_and_every_size_fits_together() {
        let recipe = Recipe::parse(RECIPE_TEMPLATE, Path::new("here")).unwrap();
        assert_eq!(recipe.name.as_str(), "handbook");
        assert!(recipe.evaluation.questions.iter().all(|path| path.starts_with("here")));
        for (size, most) in [(Size::Tiny, 3_000_000), (Size::Small, 12_000_000), (Size::Base, 60_000_000)] {
            let recipe = Recipe { size, ..recipe.clone() };
            let config = recipe.config(recipe.vocab_size());
            config.check().unwrap();
            let weights = crate::Layout::new(&config).weights;
            assert!(weights < most && weights > most / 2, "{size:?} {weights}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let parse = |text: &str| Recipe::parse(text, Path::new("")).unwrap_err();
        let least = "name = \"x\"\n[corpus]\nsources = [\"a\"]\n";
        assert!(Recipe::parse(least, Path::new("")).is_ok());
        assert!(parse(&format!("{least}[base]\nstep = 3\n")).contains("step"));
        assert!(parse(&format!("{least}[base]\nsequence_length = 9999\n")).contains("context"));
        assert!(parse(&format!("{least}[network]\nheads = 5\n")).contains("num_key_value_heads"));
        assert!(parse(&format!("{least}[tune]\n")).contains("nothing to learn from"));
        assert!(parse("name = \"x\"\n[corpus]\nsources = []\n").contains("sources"));
    }
}
