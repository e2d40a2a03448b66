//! The engine: admits jobs, makes steps, tells callers.

use std::{sync::Arc, thread::JoinHandle};

use super::{
    cache::{BlockId, Cache},
    forward::{Forward, Span},
    job::{Event, Failure, Job, Reason, ScoredToken, SubmitError, Usage},
    queue::{Handle, Queue, Taken, Teller},
    sample::{Sampler, score},
    weights::EngineModel,
};
use crate::ModelError;

/// How an engine works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineSettings {
    /// Threads that compute; from 1 to 64.
    pub threads: usize,
    /// Sequences that run at once; from 1 to 256.
    pub slots: usize,
    /// Jobs that may wait while all slots are taken.
    pub queue_max: usize,
    /// The most tokens of one sequence, prompt and answer together. The model's own bound where it is larger.
    pub context_max: usize,
    /// Memory for keys and values, in bytes. A job waits while there is not enough left for all it may come to.
    pub cache_bytes_max: usize,
    /// Rows of prompts in one step. More read a prompt a little faster, and hold up running sequences longer.
    pub prefill_rows: usize,
}

impl Default for EngineSettings {
    fn default() -> Self {
        EngineSettings {
            threads: 1,
            slots: 16,
            queue_max: 64,
            context_max: 4096,
            cache_bytes_max: 1 << 30,
            prefill_rows: 48,
        }
    }
}

/// What an engine is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineStatus {
    /// Jobs that wait for a slot.
    pub waiting: usize,
    /// Jobs that have one. Brought up to date before each step.
    pub running: usize,
}

/// A model at work. Dropping it takes no more jobs; those that it has come to their end, and its threads leave then.
#[derive(Debug)]
pub struct Engine {
    model: Arc<EngineModel>,
    queue: Arc<Queue>,
    context_max: usize,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts the threads.
    ///
    /// # Errors
    /// When a setting is out of its bounds, the cache cannot hold a single sequence, or no thread can be started.
    pub fn start(model: Arc<EngineModel>, settings: EngineSettings) -> Result<Self, ModelError> {
        let fail = |field: &'static str, why: &'static str| Err(ModelError::Config { field, why });
        if !(1..=64).contains(&settings.threads) {
            return fail("threads", "it must be between 1 and 64");
        }
        if !(1..=256).contains(&settings.slots) {
            return fail("slots", "it must be between 1 and 256");
        }
        if !(1..=4096).contains(&settings.prefill_rows) {
            return fail("prefill_rows", "it must be between 1 and 4,096");
        }
        let config = model.config();
        let cache = Cache::new(config.num_hidden_layers, model.shape.heads, settings.cache_bytes_max);
        let context_max = settings.context_max.min(config.max_position_embeddings).min(cache.positions_max());
        if context_max < 2 {
            return fail("cache_bytes_max", "it must hold one sequence at least");
        }
        let queue = Arc::new(Queue::new(settings.slots, settings.queue_max));
        let forward = Forward::new(Arc::clone(&model), settings.threads, cache)?;
        let mut runner = Runner {
            forward,
            queue: Arc::clone(&queue),
            running: Vec::new(),
            prefill_rows: settings.prefill_rows,
            vocabulary: config.vocab_size,
        };
        let thread = std::thread::Builder::new()
            .name("model-0".into())
            .spawn(move || runner.run())
            .map_err(|_| ModelError::Worker)?;
        Ok(Engine { model, queue, context_max, thread: Some(thread) })
    }

    /// Takes a job. Its events begin to come when it has a slot.
    ///
    /// # Errors
    /// When it does not fit, asks for something impossible, or too many wait.
    pub fn submit(&self, job: Job) -> Result<Handle, SubmitError> {
        let positions = self.check(&job)?;
        let (teller, handle) = Teller::pair();
        self.queue.push(Taken { job, teller, positions })?;
        Ok(handle)
    }

    /// The most tokens of one sequence.
    #[must_use]
    pub fn context_max(&self) -> usize {
        self.context_max
    }

    /// The model that it serves.
    #[must_use]
    pub fn model(&self) -> &EngineModel {
        &self.model
    }

    /// What it is busy with.
    #[must_use]
    pub fn status(&self) -> EngineStatus {
        let (waiting, running) = self.queue.counts();
        EngineStatus { waiting, running }
    }

    /// Takes no more jobs, and waits until those that it has came to their end.
    ///
    /// # Errors
    /// When its thread had died.
    pub fn join(mut self) -> Result<(), ModelError> {
        self.queue.close();
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().map_err(|_| ModelError::Worker)
    }

    /// How many positions a job may come to.
    fn check(&self, job: &Job) -> Result<usize, SubmitError> {
        let fail = |field: &'static str, why: &'static str| Err(SubmitError::Invalid { field, why });
        let vocabulary = self.model.config().vocab_size;
        if job.prompt.is_empty() {
            return fail("prompt", "it must have one token at least");
        }
        if job.prompt.iter().any(|token| *token as usize >= vocabulary) {
            return fail("prompt", "a token is not in the model's vocabulary");
        }
        let sampling = &job.sampling;
        if !(0.0..=100.0).contains(&sampling.temperature) {
            return fail("temperature", "it must be between 0 and 100");
        }
        if !(0.0..=1.0).contains(&sampling.top_p) {
            return fail("top_p", "it must be between 0 and 1");
        }
        if job.stop_tokens.len() > Job::STOP_TOKENS_MAX {
            return fail("stop_tokens", "there must be 64 at most");
        }
        if job.logprobs.max(job.prompt_logprobs).is_some_and(|top| top > Job::TOP_MAX) {
            return fail("logprobs", "it must be 20 at most");
        }
        let (prompt, max) = (job.prompt.len(), self.context_max);
        let asked = job.tokens_max.map_or(1, |tokens| tokens as usize);
        if prompt.saturating_add(asked) > max {
            return Err(SubmitError::ContextOverflow { prompt, asked, max });
        }
        Ok(job.tokens_max.map_or(max, |_| prompt + asked))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// A sequence that has a slot.
#[derive(Debug)]
struct Sequence {
    job: Job,
    teller: Teller,
    blocks: Vec<BlockId>,
    /// Blocks of the cache that are promised to it.
    reserved: usize,
    sampler: Sampler,
    /// The most tokens to add.
    tokens_max: usize,
    /// Positions that are in the cache.
    cached: usize,
    /// Tokens that were drawn.
    drawn: usize,
    /// The last of them.
    last: u32,
    prompt_scores: Vec<ScoredToken>,
    /// Came to its end.
    ended: bool,
    /// The last event, until it is told.
    farewell: Option<Event>,
}

/// What the engine's thread owns.
#[derive(Debug)]
struct Runner {
    forward: Forward,
    queue: Arc<Queue>,
    /// In the order of their admission.
    running: Vec<Sequence>,
    prefill_rows: usize,
    vocabulary: usize,
}

/// Logits are made for so many rows at a time, so that a long prompt with log-probabilities does not fill the memory.
const LOGIT_ROWS: usize = 24;

/// Whatever ends the thread, nobody keeps waiting for it.
struct Abandon(Arc<Queue>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Runner {
    fn run(&mut self) {
        let _abandon = Abandon(Arc::clone(&self.queue));
        loop {
            self.clear();
            if !self.admit() {
                return;
            }
            if self.running.is_empty() {
                continue;
            }
            if let Err(error) = self.step() {
                tracing::error!(%error, "a model's engine stopped");
                self.running.clear();
                return;
            }
        }
    }

    /// Sequences that ended or whose callers left give their slots back.
    fn clear(&mut self) {
        let mut cache = self.forward.cache();
        self.running.retain_mut(|sequence| {
            let stays = !sequence.ended && !sequence.teller.is_cancelled();
            if !stays {
                cache.give_back(&mut sequence.blocks, sequence.reserved);
            }
            stays
        });
    }

    fn admit(&mut self) -> bool {
        let Runner { forward, queue, running, .. } = self;
        let count = running.len();
        queue.admit(count, |taken| {
            let reserved = Cache::blocks_of(taken.positions);
            if !forward.cache().reserve(reserved) {
                return Err(taken);
            }
            let Taken { job, teller, positions } = taken;
            running.push(Sequence {
                teller,
                blocks: Vec::new(),
                reserved,
                sampler: Sampler::new(job.sampling),
                tokens_max: positions - job.prompt.len(),
                cached: 0,
                drawn: 0,
                last: 0,
                prompt_scores: Vec::new(),
                ended: false,
                farewell: None,
                job,
            });
            Ok(())
        })
    }

    /// One token for every sequence that is past its prompt, and a part of the prompts of the others.
    fn step(&mut self) -> Result<(), ModelError> {
        let mut left = self.prefill_rows;
        let (mut batch, mut asks) = (Vec::new(), Vec::new());
        let mut first = 0;
        for (index, sequence) in self.running.iter_mut().enumerate() {
            let tokens = sequence.next_tokens(left);
            let count = tokens.len();
            if count == 0 {
                continue;
            }
            if sequence.cached < sequence.job.prompt.len() {
                left -= count;
            }
            let position = sequence.cached;
            asks.extend(sequence.asks(count).map(|(row, position)| (first + row, index, position)));
            first += count;
            sequence.cached += count;
            while sequence.blocks.len() < Cache::blocks_of(sequence.cached) {
                sequence.blocks.push(self.forward.cache().take());
            }
            batch.push(Span { tokens, position, blocks: sequence.blocks.clone() });
        }
        self.forward.step(&batch)?;
        for part in asks.chunks(LOGIT_ROWS) {
            let rows: Vec<usize> = part.iter().map(|(row, ..)| *row).collect();
            let logits = self.forward.logits(&rows)?;
            for ((_, index, position), logits) in part.iter().zip(logits.chunks_exact(self.vocabulary)) {
                if let Some(sequence) = self.running.get_mut(*index) {
                    sequence.answer(*position, logits);
                }
            }
        }
        for sequence in &mut self.running {
            sequence.end_of_reading();
        }
        self.tell_ends();
        Ok(())
    }

    /// Whoever hears the end of a job finds its slot free.
    fn tell_ends(&mut self) {
        self.queue.release(self.running.iter().filter(|sequence| sequence.farewell.is_some()).count());
        for sequence in &mut self.running {
            if let Some(event) = sequence.farewell.take() {
                sequence.teller.tell(event);
            }
        }
    }
}

impl Sequence {
    /// What the network reads of it next; at most `left` tokens of the prompt.
    fn next_tokens(&self, left: usize) -> Vec<u32> {
        match self.job.prompt.get(self.cached..) {
            Some(rest) if !rest.is_empty() => rest.iter().take(left).copied().collect(),
            _ => vec![self.last],
        }
    }

    /// Of the next `count` tokens, those whose logits are asked for: their row, and the position that they speak about.
    fn asks(&self, count: usize) -> impl Iterator<Item = (usize, usize)> {
        let (prompt, cached) = (self.job.prompt.len(), self.cached);
        let scores = self.job.prompt_logprobs.is_some();
        let draws = self.tokens_max > 0;
        (0..count)
            .map(move |row| (row, cached + row + 1))
            .filter(move |(_, position)| if *position < prompt { scores } else { draws })
    }

    /// Takes the logits for a position: of a token of the prompt, or of the next token.
    fn answer(&mut self, position: usize, logits: &[f32]) {
        if self.ended {
            return;
        }
        let told = match self.job.prompt.get(position) {
            Some(id) => score(logits, *id, self.job.prompt_logprobs.unwrap_or(0))
                .map(|scored| self.prompt_scores.push(scored)),
            None => {
                self.tell_prompt();
                self.draw(logits)
            }
        };
        if let Err(failure) = told {
            self.end(Event::Failed(failure));
        }
    }

    fn draw(&mut self, logits: &[f32]) -> Result<(), Failure> {
        let id = self.sampler.draw(logits)?;
        self.drawn += 1;
        self.last = id;
        if self.job.stop_tokens.contains(&id) {
            self.done(Reason::Stop(id));
            return Ok(());
        }
        let scored = match self.job.logprobs {
            Some(top) => score(logits, id, top)?,
            None => ScoredToken { id, logprob: None, top: Vec::new() },
        };
        self.teller.tell(Event::Token(scored));
        if self.drawn >= self.tokens_max {
            self.done(Reason::Length);
        }
        Ok(())
    }

    /// A job that only reads ends with its prompt.
    fn end_of_reading(&mut self) {
        if !self.ended && self.tokens_max == 0 && self.cached >= self.job.prompt.len() {
            self.tell_prompt();
            self.done(Reason::Length);
        }
    }

    fn tell_prompt(&mut self) {
        if self.job.prompt_logprobs.is_none() || self.drawn > 0 {
            return;
        }
        let first = self.job.prompt.first().map(|id| ScoredToken { id: *id, logprob: None, top: Vec::new() });
        let tokens = first.into_iter().chain(self.prompt_scores.drain(..)).collect();
        self.teller.tell(Event::Prompt(tokens));
    }

    fn done(&mut self, reason: Reason) {
        // Both are bounded by the context, which is bounded by the configuration's own check.
        let count = |tokens: usize| u32::try_from(tokens).unwrap_or(u32::MAX);
        let usage =
            Usage { prompt_tokens: count(self.job.prompt.len()), completion_tokens: count(self.drawn) };
        self.end(Event::Done { reason, usage });
    }

    fn end(&mut self, event: Event) {
        self.ended = true;
        self.farewell = Some(event);
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::infer::{Precision, Sampling};

    fn runner(queue: &Arc<Queue>) -> Runner {
        let config = serde_json::from_value(serde_json::json!({
            "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
            "num_attention_heads": 2, "max_position_embeddings": 256, "tie_word_embeddings": true,
        }))
        .unwrap();
        let shape = crate::network::Shape::new(config).unwrap();
        let weights = shape.first_weights(1);
        let model = EngineModel::new(shape.config.clone(), &weights, Precision::F32).unwrap();
        let cache = Cache::new(1, shape.heads, 1 << 24);
        Runner {
            forward: Forward::new(Arc::new(model), 1, cache).unwrap(),
            queue: Arc::clone(queue),
            running: Vec::new(),
            prefill_rows: 10,
            vocabulary: 40,
        }
    }

    fn take(queue: &Queue, length: u32, tokens_max: u32) -> Result<Handle, SubmitError> {
        let job = Job {
            prompt: (0..length).map(|i| i % 40).collect(),
            tokens_max: Some(tokens_max),
            sampling: Sampling::GREEDY,
            stop_tokens: Vec::new(),
            logprobs: None,
            prompt_logprobs: None,
        };
        let (teller, handle) = Teller::pair();
        queue.push(Taken { job, teller, positions: (length + tokens_max) as usize })?;
        Ok(handle)
    }

    fn heard(handle: &mut Handle) -> Vec<Event> {
        let mut events = Vec::new();
        while let Poll::Ready(Some(event)) = handle.poll_next(&mut Context::from_waker(Waker::noop())) {
            events.push(event);
        }
        events
    }

    #[test]
    fn a_long_prompt_does_not_stall_a_running_sequence() {
        let queue = Arc::new(Queue::new(4, 4));
        let mut runner = runner(&queue);
        let (mut short, mut long) = (take(&queue, 3, 50).unwrap(), take(&queue, 101, 50).unwrap());
        // The first step reads 3 and 7 tokens, the next ones 10 each: the last of them reads the remaining 4.
        for step in 1..=12 {
            runner.clear();
            assert!(runner.admit());
            runner.step().unwrap();
            assert_eq!(heard(&mut short).len(), 1, "step {step}");
            assert_eq!(heard(&mut long).len(), usize::from(step >= 11), "step {step}");
        }
    }

    #[test]
    fn whoever_hears_the_end_finds_the_slot_free() {
        let queue = Arc::new(Queue::new(1, 0));
        let mut runner = runner(&queue);
        for tokens_max in [1, 0, 1] {
            let mut handle = take(&queue, 3, tokens_max).unwrap();
            assert!(matches!(take(&queue, 3, 1), Err(SubmitError::QueueFull { .. })));
            runner.clear();
            assert!(runner.admit());
            assert!(matches!(take(&queue, 3, 1), Err(SubmitError::QueueFull { .. })));
            runner.step().unwrap();
            assert!(matches!(heard(&mut handle).last(), Some(Event::Done { .. })));
        }
    }
}
