//! What chat completions and completions have in common: how many answers, how long, how drawn, when to stop.

use super::fields::{Fields, Refusal};
use crate::{artefact::Generation, infer::Sampling};

/// Which of the two interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completion,
}

impl Kind {
    /// The field that the prompt stands in.
    pub(super) fn prompt(self) -> &'static str {
        match self {
            Kind::Chat => "messages",
            Kind::Completion => "prompt",
        }
    }

    /// How many strings may end an answer. Evaluation harnesses send more than OpenAI's four.
    fn stops_max(self) -> usize {
        match self {
            Kind::Chat => 4,
            Kind::Completion => 16,
        }
    }
}

/// The most answers to one prompt.
const ANSWERS_MAX: u32 = 8;
/// The longest string that may end an answer: so much text is held back at most.
const STOP_BYTES_MAX: usize = 1024;

/// The fields that [`Ask::read`] reads.
pub(super) const ASK_FIELDS: [&str; 8] =
    ["n", "temperature", "top_p", "top_k", "seed", "stop", "stream", "stream_options"];

/// What is asked for, but for the prompt and the length.
pub(super) struct Ask {
    /// Answers to each prompt; at least one.
    pub(super) answers: u32,
    /// Its seed is set for each answer.
    pub(super) sampling: Sampling,
    /// `None` where any will do.
    pub(super) seed: Option<u64>,
    /// Strings that end an answer, and are no part of it.
    pub(super) stops: Vec<String>,
    pub(super) is_stream: bool,
    /// Whether a streamed answer is to end with what it took.
    pub(super) wants_usage: bool,
}

impl Ask {
    pub(super) fn read(fields: Fields<'_>, kind: Kind, generation: &Generation) -> Result<Self, Refusal> {
        let temperature = fields.number("temperature", 0.0..=2.0)?.or(generation.temperature);
        let sampling = Sampling {
            // What OpenAI's own models do where nobody says anything.
            temperature: temperature.unwrap_or(1.0),
            top_p: fields.number("top_p", 0.0..=1.0)?.or(generation.top_p).unwrap_or(1.0),
            top_k: top_k(fields)?.or(generation.top_k).unwrap_or(0),
            seed: 0,
        };
        Ok(Ask {
            answers: fields.whole("n", 1..=ANSWERS_MAX)?.unwrap_or(1),
            sampling,
            seed: seed(fields)?,
            stops: stops(fields, kind)?,
            is_stream: fields.boolean("stream")?.unwrap_or(false),
            wants_usage: wants_usage(fields)?,
        })
    }
}

/// vLLM and others write all as -1.
fn top_k(fields: Fields<'_>) -> Result<Option<u32>, Refusal> {
    match fields.get("top_k").and_then(serde_json::Value::as_i64) {
        Some(-1) => Ok(Some(0)),
        _ => fields.whole("top_k", 0..=u32::MAX),
    }
}

fn seed(fields: Fields<'_>) -> Result<Option<u64>, Refusal> {
    let Some(value) = fields.get("seed") else { return Ok(None) };
    let seed = value.as_u64().or_else(|| value.as_i64().map(i64::cast_unsigned));
    seed.map(Some).ok_or_else(|| Refusal::invalid("seed", "a whole number of 64 bits"))
}

fn stops(fields: Fields<'_>, kind: Kind) -> Result<Vec<String>, Refusal> {
    let max = kind.stops_max();
    let expected = || format!("a string or up to {max} strings, each of 1 to {STOP_BYTES_MAX} bytes");
    let Some(value) = fields.get("stop") else { return Ok(Vec::new()) };
    let list = match value {
        serde_json::Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    let is_fit = |text: &&str| (1..=STOP_BYTES_MAX).contains(&text.len());
    let stops: Option<Vec<String>> =
        list.iter().map(|stop| stop.as_str().filter(is_fit).map(str::to_owned)).collect();
    stops.filter(|stops| stops.len() <= max).ok_or_else(|| Refusal::invalid("stop", &expected()))
}

fn wants_usage(fields: Fields<'_>) -> Result<bool, Refusal> {
    let Some(options) = fields.get("stream_options") else { return Ok(false) };
    let options = options.as_object().ok_or_else(|| Refusal::invalid("stream_options", "an object"))?;
    match Fields::new(options).get("include_usage") {
        None => Ok(false),
        Some(value) => {
            value.as_bool().ok_or_else(|| Refusal::invalid("stream_options.include_usage", "true or false"))
        }
    }
}
