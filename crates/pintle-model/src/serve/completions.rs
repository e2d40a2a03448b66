//! Completions: prompts as texts or tokens, with their own log-probabilities where they are asked for. What evaluation
//! harnesses measure a model by.

use serde_json::Value;

use super::{
    ask::{ASK_FIELDS, Ask, Kind},
    fields::{Fields, Refusal},
};
use crate::{artefact::Generation, infer::Job};

const COMPLETION_FIELDS: [&str; 4] = ["prompt", "max_tokens", "logprobs", "echo"];
const PROMPTS_MAX: usize = 64;
/// OpenAI's default of this interface.
const TOKENS_MAX_DEFAULT: u32 = 16;

/// A prompt as it was given.
pub(super) enum Given {
    Text(String),
    Tokens(Vec<u32>),
}

/// A completion that was asked for.
pub(super) struct CompletionAsk {
    pub(super) prompts: Vec<Given>,
    pub(super) tokens_max: u32,
    /// The likeliest tokens at each place, with the log-probabilities; `None` for no log-probabilities.
    pub(super) logprobs: Option<u8>,
    /// Whether the prompt is a part of the answer.
    pub(super) echo: bool,
    pub(super) ask: Ask,
}

impl CompletionAsk {
    pub(super) fn read(body: &Value, generation: &Generation) -> Result<Self, Refusal> {
        let fields = Fields::of(body)?;
        // Ranking as many answers as are given back changes nothing.
        let ranks_all = fields.get("best_of").is_some() && fields.get("best_of") == fields.get("n");
        let ranking = if ranks_all { &["best_of"][..] } else { &[] };
        fields.refuse_others(&[&COMPLETION_FIELDS[..], &ASK_FIELDS[..], ranking].concat())?;
        let echo = fields.boolean("echo")?.unwrap_or(false);
        let least = u32::from(!echo);
        let top = fields.whole("logprobs", 0..=u32::from(Job::TOP_MAX))?;
        Ok(CompletionAsk {
            prompts: texts(fields, "prompt", PROMPTS_MAX)?,
            tokens_max: fields.whole("max_tokens", least..=u32::MAX)?.unwrap_or(TOKENS_MAX_DEFAULT),
            logprobs: top.and_then(|top| u8::try_from(top).ok()),
            echo,
            ask: Ask::read(fields, Kind::Completion, generation)?,
        })
    }
}

/// Texts, each a string or an array of tokens: one of them, or a list of 1 to `max`.
pub(super) fn texts(fields: Fields<'_>, name: &str, max: usize) -> Result<Vec<Given>, Refusal> {
    let invalid = || {
        let expected = format!("a string, an array of tokens, or an array of 1 to {max} of either");
        Refusal::invalid(name, &expected)
    };
    let value = fields.get(name).ok_or_else(|| Refusal::missing(name, "send a string or tokens"))?;
    let Value::Array(list) = value else { return Ok(vec![given(value).ok_or_else(invalid)?]) };
    if list.first().is_some_and(Value::is_number) {
        return Ok(vec![given(value).ok_or_else(invalid)?]);
    }
    let texts: Option<Vec<Given>> = list.iter().take(max + 1).map(given).collect();
    texts.filter(|texts| (1..=max).contains(&texts.len())).ok_or_else(invalid)
}

fn given(value: &Value) -> Option<Given> {
    match value {
        Value::String(text) => Some(Given::Text(text.clone())),
        Value::Array(list) if !list.is_empty() => tokens(list).map(Given::Tokens),
        _ => None,
    }
}

/// Ids, if all of them are some.
pub(super) fn tokens(list: &[Value]) -> Option<Vec<u32>> {
    list.iter().map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok())).collect()
}
