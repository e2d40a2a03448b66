//! A model as the evaluation asks it: by the engine that serves it.

use std::sync::Arc;

use crate::{
    ModelError,
    artefact::Model,
    evaluate::{Prompt, Subject},
    infer::{Engine, EngineModel, EngineSettings, Event, Handle, Job, Precision, Sampling, SubmitError},
    network::{Pass, Shape, Task},
    tokenise::{ChatTurn, Role, StreamDecoder},
};

const ANSWER_TOKENS: u32 = 96;
const SAMPLE_TOKENS: u32 = 160;
/// Windows of a document when its likelihood is measured.
const WINDOW: usize = 256;

/// One model with an engine of its own.
pub(crate) struct Asked {
    name: String,
    model: Model,
    engine: Engine,
    pass: Pass,
}

impl Asked {
    pub(crate) fn new(name: String, model: Model, threads: usize) -> Result<Self, ModelError> {
        let weights = EngineModel::new(model.config.clone(), &model.weights, Precision::F32)?;
        let settings = EngineSettings { threads, queue_max: 1024, ..EngineSettings::default() };
        let engine = Engine::start(Arc::new(weights), settings)?;
        let pass = Pass::new(&Shape::new(model.config.clone())?);
        Ok(Asked { name, model, engine, pass })
    }

    /// What it says to one message, or to an empty page, at most `tokens` long.
    pub(crate) fn say(&self, prompt: &[u32], tokens: u32, sampling: Sampling) -> Result<String, ModelError> {
        self.read(self.submit(prompt.to_vec(), tokens, sampling)?)
    }

    pub(crate) fn chat_prompt(&self, question: &str) -> Result<Vec<u32>, ModelError> {
        let turns = [ChatTurn { role: Role::User, content: question.to_owned() }];
        self.model.tokeniser.encode_chat(&turns, true)
    }

    pub(crate) fn page_prompt(&self) -> Vec<u32> {
        vec![self.model.generation.bos.or_else(|| self.model.tokeniser.eos()).unwrap_or(0)]
    }

    fn submit(&self, mut prompt: Vec<u32>, tokens: u32, sampling: Sampling) -> Result<Handle, ModelError> {
        let room = self.engine.context_max().saturating_sub(tokens as usize).max(1);
        // A question that is too long loses its beginning: its end is where it asks.
        prompt.drain(..prompt.len().saturating_sub(room));
        let tokens_max = Some(tokens.min(u32::try_from(self.engine.context_max() - 1).unwrap_or(tokens)));
        let job = Job {
            prompt,
            tokens_max,
            sampling,
            stop_tokens: self.model.generation.eos.clone(),
            logprobs: None,
            prompt_logprobs: None,
        };
        self.engine.submit(job).map_err(|error| match error {
            SubmitError::Stopped => ModelError::Worker,
            other => ModelError::Parts(other.to_string()),
        })
    }

    fn read(&self, mut handle: Handle) -> Result<String, ModelError> {
        let mut decoder = StreamDecoder::new(Arc::clone(&self.model.tokeniser));
        let mut text = String::new();
        while let Some(event) = handle.next_blocking() {
            match event {
                Event::Token(token) => text.push_str(&decoder.push(token.id)),
                Event::Failed(failure) => return Err(ModelError::Parts(failure.to_string())),
                Event::Prompt(_) => {}
                Event::Done { .. } => break,
            }
        }
        text.push_str(&decoder.finish());
        Ok(text.trim().to_owned())
    }

    fn all(&self, prompts: Vec<(Vec<u32>, Sampling)>, tokens: u32) -> Result<Vec<String>, ModelError> {
        let mut texts = Vec::with_capacity(prompts.len());
        let mut prompts = prompts.into_iter().peekable();
        // The queue is bounded, and so are these batches.
        while prompts.peek().is_some() {
            let submit = |(prompt, sampling)| self.submit(prompt, tokens, sampling);
            let handles: Vec<Handle> = prompts.by_ref().take(64).map(submit).collect::<Result<_, _>>()?;
            for handle in handles {
                texts.push(self.read(handle)?);
            }
        }
        Ok(texts)
    }
}

impl Subject for Asked {
    fn name(&self) -> &str {
        &self.name
    }

    fn nats(&mut self, text: &str) -> Result<f64, ModelError> {
        let mut tokens = self.page_prompt();
        tokens.extend(self.model.tokeniser.encode(text)?);
        let length = WINDOW.min(self.model.config.max_position_embeddings);
        let targets = tokens.get(1..).unwrap_or_default();
        let mut nats = 0.0;
        for (tokens, targets) in tokens.chunks(length).zip(targets.chunks(length)) {
            let tokens = tokens.get(..targets.len()).unwrap_or_default();
            nats += self
                .pass
                .loss(&self.model.weights, Task { tokens, targets, length: targets.len(), scale: 0.0 });
        }
        Ok(nats)
    }

    fn answer(&mut self, questions: &[&str]) -> Result<Vec<String>, ModelError> {
        let prompt = |question: &&str| Ok((self.chat_prompt(question)?, Sampling::GREEDY));
        let prompts = questions.iter().map(prompt).collect::<Result<_, ModelError>>()?;
        self.all(prompts, ANSWER_TOKENS)
    }

    fn sample(&mut self, prompts: &[Prompt<'_>], seed: u64) -> Result<Vec<String>, ModelError> {
        let mut all = Vec::with_capacity(prompts.len());
        for (index, prompt) in prompts.iter().enumerate() {
            let tokens = match prompt {
                Prompt::Document => self.page_prompt(),
                Prompt::Question(text) | Prompt::Probe(text) => self.chat_prompt(text)?,
            };
            let seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(index as u64);
            all.push((tokens, Sampling { temperature: 1.0, top_p: 1.0, top_k: 0, seed }));
        }
        self.all(all, SAMPLE_TOKENS)
    }
}
