//! Own models behind the gateway: the provider `embedded`.
//!
//! [`ServedModel`] is one model that writes, loaded and at work in an `infer::Engine`. It speaks OpenAI's interface
//! without a connection: a request is a JSON document, an answer is a `LocalAnswer`. `fields`, `ask`, `chat` and
//! `completions` read requests; `choice` and `writer` make text of an engine's events; `wire` puts it into OpenAI's
//! form and `body` gives it out; `tokens` are the tokeniser's own routes. [`ServedEncoder`] is one that makes
//! embeddings: `embeddings` reads and writes, `turns` lets requests take turns.
//!
//! Nothing here waits: texts are encoded at once, which is why they are bounded, and the rest is done by the models' own
//! threads.

mod ask;
mod body;
mod chat;
mod choice;
mod completions;
mod embeddings;
mod encoder;
mod fields;
mod tokens;
mod turns;
mod wire;
mod writer;

use std::{borrow::Cow, path::Path, sync::Arc};

use pintle_core::{Clock, DataClass, Id, IdKind};
use pintle_llm::{ChatRequest, Endpoint, LocalAnswer, LocalModel};
use serde_json::{Map, Value};

use crate::{
    ModelError,
    artefact::{self, Generation, Model, Opened},
    encode::is_encoder,
    infer::{Engine, EngineModel, EngineSettings, EngineStatus, Job, Precision, Sampling},
    tokenise::Tokeniser,
};
use ask::{Ask, Kind};
use body::{Answer, Streamed, Whole};
use chat::ChatAsk;
use choice::{Choice, Opening, Prompt};
use completions::{CompletionAsk, Given};
use fields::{Refusal, document};
use tokens::Desk;
use wire::Wire;
use writer::Writer;

pub use encoder::{EncoderSettings, ServedEncoder};

/// How a model is served.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServeSettings {
    /// Threads, slots, queue, context and memory.
    pub engine: EngineSettings,
    /// How the weights are kept.
    pub precision: Precision,
}

/// One model at work. Dropping it takes no more requests; answers on their way come to their end.
pub struct ServedModel {
    engine: Engine,
    tokeniser: Arc<Tokeniser>,
    generation: Generation,
    desk: Desk,
    /// As answers call it.
    name: Arc<str>,
    class: DataClass,
    slots: usize,
    /// More answers than this are never taken at once.
    jobs_max: usize,
    /// A longer text has more tokens than the context for certain.
    text_bytes_max: usize,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for ServedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let status = self.engine.status();
        f.debug_struct("ServedModel")
            .field("name", &self.name)
            .field("class", &self.class)
            .field("status", &status)
            .finish_non_exhaustive()
    }
}

/// The kind of an answer's id.
struct ChatKind;

impl IdKind for ChatKind {
    const PREFIX: &'static str = "chatcmpl";
    const WANTED: &'static str = "a chat completion's id";
}

struct CompletionKind;

impl IdKind for CompletionKind {
    const PREFIX: &'static str = "cmpl";
    const WANTED: &'static str = "a completion's id";
}

/// What is to be started.
struct Plan {
    kind: Kind,
    ask: Ask,
    /// Each with how many tokens to add at most.
    prompts: Vec<(Arc<Prompt>, Option<u32>)>,
    logprobs: Option<u8>,
    echo: bool,
}

/// Seeds of the answers to one prompt lie so far apart.
const SEED_STEP: u64 = 0x9E37_79B9_7F4A_7C15;
/// Nobody is sent away for longer.
const RETRY_AFTER_S_MAX: usize = 30;

/// Loads the model in a folder, whichever of those that are served it is, and starts it. Answers call it `name`; `class`
/// is that of what it was trained on.
///
/// # Errors
/// Those of [`ServedModel::open`] and [`ServedEncoder::open`]; and for an encoder in another precision than the one that
/// encoders are computed in.
pub fn open(
    folder: &Path,
    name: &str,
    class: DataClass,
    settings: ServeSettings,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn LocalModel>, ModelError> {
    if !is_encoder(folder)? {
        return Ok(ServedModel::open(folder, name, class, settings, clock)?);
    }
    if settings.precision != Precision::F32 {
        let field = "weights";
        return Err(ModelError::Config { field, why: "an encoder is computed in single precision only" });
    }
    let threads = settings.engine.threads;
    let requests_max = settings.engine.slots.saturating_add(settings.engine.queue_max);
    Ok(ServedEncoder::open(folder, name, class, EncoderSettings { threads, requests_max })?)
}

impl ServedModel {
    /// Loads a model's folder and starts its engine. Reads and packs all weights, one tensor after the other, so it takes a
    /// while: not for a thread that others wait for. Answers call the model `name`; `class` is that of what it was trained
    /// on.
    ///
    /// # Errors
    /// Those of [`crate::artefact::load`], and settings out of their bounds.
    pub fn open(
        folder: &Path,
        name: &str,
        class: DataClass,
        settings: ServeSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, ModelError> {
        let mut opened = artefact::open(folder)?;
        let packed = EngineModel::from_tensors(opened.config.clone(), settings.precision, |tensor| {
            opened.read(tensor).map(Cow::Owned)
        })?;
        let Opened { tokeniser, generation, .. } = opened;
        ServedModel::work(packed, Arc::new(tokeniser), generation, name, class, settings.engine, clock)
    }

    /// As [`ServedModel::open`], for a model that is loaded already. Its weights are packed anew; it is not needed any
    /// more afterwards.
    ///
    /// # Errors
    /// Settings out of their bounds.
    pub fn start(
        model: &Model,
        name: &str,
        class: DataClass,
        settings: ServeSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, ModelError> {
        let packed = EngineModel::new(model.config.clone(), &model.weights, settings.precision)?;
        let (tokeniser, generation) = (Arc::clone(&model.tokeniser), model.generation.clone());
        ServedModel::work(packed, tokeniser, generation, name, class, settings.engine, clock)
    }

    fn work(
        packed: EngineModel,
        tokeniser: Arc<Tokeniser>,
        generation: Generation,
        name: &str,
        class: DataClass,
        settings: EngineSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, ModelError> {
        let vocabulary = packed.config().vocab_size;
        let engine = Engine::start(Arc::new(packed), settings)?;
        let ids = 0..u32::try_from(tokeniser.vocab_size()).unwrap_or(u32::MAX);
        let lengths = ids.filter(|id| !tokeniser.is_control(*id)).filter_map(|id| tokeniser.token_bytes(id));
        let longest = lengths.map(|bytes| bytes.len()).max().unwrap_or(1);
        Ok(Arc::new(ServedModel {
            text_bytes_max: engine.context_max().saturating_mul(longest),
            desk: Desk::new(&tokeniser, engine.context_max(), vocabulary, generation.bos)?,
            tokeniser,
            engine,
            generation,
            name: name.into(),
            class,
            slots: settings.slots,
            jobs_max: settings.slots.saturating_add(settings.queue_max),
            clock,
        }))
    }

    /// What answers call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its engine is busy with.
    #[must_use]
    pub fn status(&self) -> EngineStatus {
        self.engine.status()
    }

    /// The most tokens of a prompt and its answer together.
    #[must_use]
    pub fn context_max(&self) -> usize {
        self.engine.context_max()
    }

    fn converse(&self, body: &Map<String, Value>) -> Result<LocalAnswer, Refusal> {
        let ChatAsk { turns, tokens_max, logprobs, ask } = ChatAsk::read(body, &self.generation)?;
        self.check_length(Kind::Chat, turns.iter().map(|turn| turn.content.len()).sum())?;
        let tokens = self.tokeniser.encode_chat(&turns, true);
        let tokens = tokens.map_err(|error| Refusal::text("messages", &error))?;
        let tokens_max = tokens_max.or_else(|| self.tokens_max_default(tokens.len()));
        let prompts = vec![(Arc::new(Prompt { tokens, text: None }), tokens_max)];
        self.begin(Plan { kind: Kind::Chat, ask, prompts, logprobs, echo: false })
    }

    fn complete(&self, body: &Value) -> Result<LocalAnswer, Refusal> {
        let asked = CompletionAsk::read(body, &self.generation)?;
        let CompletionAsk { prompts, tokens_max, logprobs, echo, ask } = asked;
        let mut ready = Vec::with_capacity(prompts.len());
        for given in prompts {
            ready.push((Arc::new(self.prompt(given)?), Some(tokens_max)));
        }
        self.begin(Plan { kind: Kind::Completion, ask, prompts: ready, logprobs, echo })
    }

    fn prompt(&self, given: Given) -> Result<Prompt, Refusal> {
        let text = match given {
            Given::Tokens(tokens) => return Ok(Prompt { tokens, text: None }),
            Given::Text(text) => text,
        };
        self.check_length(Kind::Completion, text.len())?;
        let tokens = self.tokeniser.encode_prompt(&text);
        let mut tokens = tokens.map_err(|error| Refusal::text("prompt", &error))?;
        if tokens.is_empty() {
            // An empty text is continued like the beginning of a document.
            tokens.extend(self.generation.bos);
        }
        Ok(Prompt { tokens, text: Some(text) })
    }

    /// Keeps texts from being encoded that cannot fit.
    fn check_length(&self, kind: Kind, bytes: usize) -> Result<(), Refusal> {
        if bytes <= self.text_bytes_max {
            return Ok(());
        }
        let max = self.engine.context_max();
        Err(Refusal::overflow(
            kind.prompt(),
            format!(
                "a prompt of {bytes} bytes does not fit into the model's context of {max} tokens; hint: shorten the \
                 prompt"
            ),
        ))
    }

    /// As many as the model's settings say, or as there is room for. A prompt that leaves no room is the engine's to
    /// refuse.
    fn tokens_max_default(&self, prompt: usize) -> Option<u32> {
        let room = self.engine.context_max().saturating_sub(prompt);
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        self.generation.max_new_tokens.map(|max| max.min(room)).filter(|max| *max > 0)
    }

    fn begin(&self, plan: Plan) -> Result<LocalAnswer, Refusal> {
        let Plan { kind, ask, prompts, logprobs, echo } = plan;
        let answers = ask.answers as usize;
        if prompts.len().saturating_mul(answers) > self.jobs_max {
            let expected =
                format!("at most {} answers in one request: the model takes no more", self.jobs_max);
            return Err(Refusal::invalid("n", &expected));
        }
        let (id, random) = self.fresh_id(kind)?;
        let seed = ask.seed.unwrap_or(random);
        let stops: Arc<[String]> = ask.stops.into();
        // The token that ends a completion counts among its log-probabilities, so it has to come as a token.
        let watches_ends = kind == Kind::Completion && logprobs.is_some();
        let ends = |here: bool| if here { self.generation.eos.clone() } else { Vec::new() };
        let mut choices = Vec::with_capacity(prompts.len() * answers);
        for (prompt, tokens_max) in &prompts {
            for answer in 0..u64::from(ask.answers) {
                let seed = seed.wrapping_add(answer.wrapping_mul(SEED_STEP));
                let job = Job {
                    prompt: prompt.tokens.clone(),
                    tokens_max: *tokens_max,
                    sampling: Sampling { seed, ..ask.sampling },
                    stop_tokens: ends(!watches_ends),
                    logprobs,
                    prompt_logprobs: logprobs.filter(|_| echo),
                };
                // Those that were taken before are given up where one is not.
                let handle = self.engine.submit(job);
                let handle =
                    handle.map_err(|error| Refusal::of_submit(&error, kind, self.retry_after_s()))?;
                let opening = match kind {
                    Kind::Chat => Opening::Fresh,
                    Kind::Completion if echo => Opening::Echo(Arc::clone(prompt)),
                    Kind::Completion => Opening::Continue(Arc::clone(prompt)),
                };
                let writer = Writer::new(&self.tokeniser, &stops, logprobs.is_some());
                choices.push(Choice::new(choices.len(), handle, writer, opening, ends(watches_ends)));
            }
        }
        let prompt_tokens: usize = prompts.iter().map(|(prompt, _)| prompt.tokens.len()).sum();
        let wire = Wire {
            kind,
            id,
            created_s: self.clock.now().as_second(),
            model: Arc::clone(&self.name),
            tokeniser: Arc::clone(&self.tokeniser),
            has_logprobs: logprobs.is_some(),
            announces_usage: ask.wants_usage,
        };
        let answer = Answer::new(wire, choices, prompt_tokens as u64);
        // The gateway accounts by the usage, and takes it out where its client did not ask for it.
        let tells_usage = ask.wants_usage || kind == Kind::Chat;
        Ok(LocalAnswer {
            status: 200,
            retry_after_s: None,
            body: if ask.is_stream {
                Box::pin(Streamed::new(answer, tells_usage))
            } else {
                Box::pin(Whole::new(answer))
            },
        })
    }

    /// A new id, and random bits for an answer without a seed.
    fn fresh_id(&self, kind: Kind) -> Result<(String, u64), Refusal> {
        let now = self.clock.now();
        let no_randomness =
            |_| Refusal::server("no_randomness", "the operating system gives no random numbers");
        Ok(match kind {
            Kind::Chat => {
                let id = Id::<ChatKind>::new(now).map_err(no_randomness)?;
                (id.to_string(), id.as_uuid().as_u64_pair().1)
            }
            Kind::Completion => {
                let id = Id::<CompletionKind>::new(now).map_err(no_randomness)?;
                (id.to_string(), id.as_uuid().as_u64_pair().1)
            }
        })
    }

    /// A short answer of a small model takes about a second, and a slot's queue is worked off one by one.
    fn retry_after_s(&self) -> u64 {
        let turns = self.engine.status().waiting.div_ceil(self.slots.max(1));
        turns.clamp(1, RETRY_AFTER_S_MAX) as u64
    }
}

impl LocalModel for ServedModel {
    fn trained_on(&self) -> DataClass {
        self.class
    }

    fn offers(&self, endpoint: Endpoint) -> bool {
        endpoint != Endpoint::Embeddings
    }

    fn chat(&self, request: &ChatRequest) -> LocalAnswer {
        self.converse(request.body()).unwrap_or_else(Refusal::into_answer)
    }

    fn completions(&self, body: &Value) -> LocalAnswer {
        self.complete(body).unwrap_or_else(Refusal::into_answer)
    }

    fn tokenize(&self, body: &Value) -> LocalAnswer {
        self.desk.tokenise(body).map_or_else(Refusal::into_answer, |value| document(&value))
    }

    fn detokenize(&self, body: &Value) -> LocalAnswer {
        self.desk.detokenise(body).map_or_else(Refusal::into_answer, |value| document(&value))
    }

    fn tokenizer_info(&self) -> LocalAnswer {
        document(&self.desk.settings())
    }

    fn text_of(&self, tokens: &[u32]) -> Option<String> {
        self.desk.text_of(tokens)
    }
}
