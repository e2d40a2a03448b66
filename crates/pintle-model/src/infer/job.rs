//! What callers ask of the engine and what they hear from it.

/// How tokens are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it. Zero takes the likeliest token always.
    pub temperature: f32,
    /// Only the likeliest tokens that have this much probability together are drawn; one for all.
    pub top_p: f32,
    /// Only so many of the likeliest tokens are drawn; zero for all.
    pub top_k: u32,
    /// The same seed draws the same tokens.
    pub seed: u64,
}

impl Sampling {
    /// The likeliest token always.
    pub const GREEDY: Sampling = Sampling { temperature: 0.0, top_p: 1.0, top_k: 0, seed: 0 };
}

/// A sequence to continue.
#[derive(Clone, PartialEq)]
pub struct Job {
    /// The tokens to begin with; at least one.
    pub prompt: Vec<u32>,
    /// The most tokens to add. Zero only reads the prompt. `None` for as many as there is room for.
    pub tokens_max: Option<u32>,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Tokens that end the sequence; at most [`Job::STOP_TOKENS_MAX`]. They are not sent as tokens.
    pub stop_tokens: Vec<u32>,
    /// `Some(n)` for log-probabilities of the tokens drawn, and of the `n` likeliest at each place.
    pub logprobs: Option<u8>,
    /// `Some(n)` for log-probabilities of the prompt's own tokens, and of the `n` likeliest at each place.
    pub prompt_logprobs: Option<u8>,
}

impl Job {
    /// How many tokens may end a sequence.
    pub const STOP_TOKENS_MAX: usize = 64;
    /// How many likeliest tokens may be asked for at each place.
    pub const TOP_MAX: u8 = 20;
}

impl std::fmt::Debug for Job {
    /// Shows no token of the prompt: prompts stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job")
            .field("prompt_tokens", &self.prompt.len())
            .field("tokens_max", &self.tokens_max)
            .field("sampling", &self.sampling)
            .finish_non_exhaustive()
    }
}

/// A token and how likely it was.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredToken {
    /// The token.
    pub id: u32,
    /// The natural logarithm of its probability at temperature one among all tokens. `None` where it was not asked for,
    /// and for the first token of a prompt, which nothing comes before.
    pub logprob: Option<f32>,
    /// The likeliest tokens at its place, the likeliest first.
    pub top: Vec<(u32, f32)>,
}

/// How many tokens a job took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Of the prompt.
    pub prompt_tokens: u32,
    /// Drawn, the one that ended the sequence among them.
    pub completion_tokens: u32,
}

/// Why a sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The model drew this token, which ends the sequence.
    Stop(u32),
    /// There are as many tokens as were asked for.
    Length,
}

/// Why a job failed after it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The network's answer is not made of numbers: its weights are broken.
    #[error(
        "the model's answer is not made of numbers; hint: its weights are broken, go back to another version"
    )]
    NotANumber,
    /// The engine's threads ended.
    #[error("the model's engine has stopped")]
    Stopped,
}

/// What a caller hears, in this order: the prompt where it was asked for, tokens, one end.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The tokens of the prompt.
    Prompt(Vec<ScoredToken>),
    /// The next token.
    Token(ScoredToken),
    /// The sequence has ended. Nothing comes after it.
    Done {
        /// Why.
        reason: Reason,
        /// What it took.
        usage: Usage,
    },
    /// The job failed. Nothing comes after it.
    Failed(Failure),
}

/// Why a job is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too many jobs wait already; for a caller over HTTP, a 429.
    #[error("the model is busy: {waiting} requests wait already; hint: try again in a moment")]
    QueueFull {
        /// Jobs that wait.
        waiting: usize,
    },
    /// The prompt and the tokens asked for do not fit into the context; for a caller over HTTP, a 400.
    #[error(
        "a prompt of {prompt} tokens and {asked} more do not fit into the model's context of {max}; hint: shorten the prompt or ask for fewer tokens"
    )]
    ContextOverflow {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens to be added; one where no number was given.
        asked: usize,
        /// Tokens that the engine holds for one sequence.
        max: usize,
    },
    /// A field of the job is out of its bounds.
    #[error("`{field}` is out of its bounds: {why}")]
    Invalid {
        /// The field, by its name in [`Job`] or [`Sampling`].
        field: &'static str,
        /// What is expected of it.
        why: &'static str,
    },
    /// The engine takes no more jobs.
    #[error("the model's engine has stopped")]
    Stopped,
}
