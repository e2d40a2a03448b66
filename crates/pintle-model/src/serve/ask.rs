//! A request as jobs for the engine.

use serde_json::{Map, Value};

use super::Refused;
use crate::{
    artefact::Model,
    infer::{Job, Sampling},
    tokenise::{ChatTurn, Role},
};

const CHOICES_MAX: u64 = 8;
const STOPS_MAX: usize = 4;
const STOP_BYTES_MAX: usize = 256;

/// What was understood.
pub(super) struct Ask {
    pub(super) jobs: Vec<Job>,
    pub(super) stops: Vec<String>,
    pub(super) is_stream: bool,
    pub(super) with_usage: bool,
}

impl Ask {
    pub(super) fn read(body: &Map<String, Value>, model: &Model) -> Result<Ask, Refused> {
        refuse_unsupported(body)?;
        let turns = turns(body)?;
        let prompt = model
            .tokeniser
            .encode_chat(&turns, true)
            .map_err(|error| Refused::field("messages", error.to_string()))?;
        let asked = ["max_completion_tokens", "max_tokens"].iter().find_map(|name| body.get(*name)?.as_u64());
        let number = |name: &str| body.get(name).and_then(Value::as_f64);
        let generation = &model.generation;
        #[expect(clippy::cast_possible_truncation, reason = "checked by the engine")]
        let sampling = Sampling {
            temperature: number("temperature").map_or(generation.temperature.unwrap_or(1.0), |it| it as f32),
            top_p: number("top_p").map_or(generation.top_p.unwrap_or(1.0), |it| it as f32),
            top_k: match body.get("top_k").and_then(Value::as_u64) {
                Some(count) => u32::try_from(count).unwrap_or(u32::MAX),
                None => generation.top_k.unwrap_or(0),
            },
            seed: body.get("seed").and_then(Value::as_i64).map_or_else(random_seed, i64::cast_unsigned),
        };
        let tokens_max = match asked {
            Some(tokens) => Some(u32::try_from(tokens).unwrap_or(u32::MAX)),
            None => generation.max_new_tokens.map(|tokens| fitting(tokens, prompt.len(), model)),
        };
        let count = body.get("n").and_then(Value::as_u64).unwrap_or(1);
        if !(1..=CHOICES_MAX).contains(&count) {
            return Err(Refused::field("n", "this model gives between 1 and 8 answers at once"));
        }
        let job = |index: u64| Job {
            prompt: prompt.clone(),
            tokens_max,
            sampling: Sampling { seed: sampling.seed.wrapping_add(index), ..sampling },
            stop_tokens: generation.eos.clone(),
            logprobs: None,
            prompt_logprobs: None,
        };
        Ok(Ask {
            jobs: (0..count).map(job).collect(),
            stops: stops(body)?,
            is_stream: body.get("stream").and_then(Value::as_bool).unwrap_or(false),
            with_usage: body
                .get("stream_options")
                .and_then(|options| options.get("include_usage"))
                .and_then(Value::as_bool)
                .unwrap_or(false),
        })
    }
}

/// Nobody asked for a length: as much as the model's own bound, where there is room for it.
fn fitting(tokens: u32, prompt: usize, model: &Model) -> u32 {
    let room = model.config.max_position_embeddings.saturating_sub(prompt).max(1);
    tokens.min(u32::try_from(room).unwrap_or(u32::MAX))
}

fn random_seed() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness from the system answers repeat, which is no reason to give none.
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Fields that would change the answer in a way that this engine cannot: silence would be a wrong answer.
fn refuse_unsupported(body: &Map<String, Value>) -> Result<(), Refused> {
    let is_set = |name: &str| match body.get(name) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(_) => true,
    };
    let is_off = |name: &str, off: &str| body.get(name).and_then(Value::as_str) == Some(off);
    for name in ["tools", "functions"] {
        if is_set(name) && !is_off("tool_choice", "none") {
            return Err(Refused::field(name, format!("this model calls no tools; hint: leave `{name}` out")));
        }
    }
    let format = body.get("response_format").and_then(|format| format.get("type")).and_then(Value::as_str);
    if format.is_some_and(|format| format != "text") {
        return Err(Refused::field("response_format", "this model writes plain text; hint: ask for `text`"));
    }
    for name in ["frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs", "audio"] {
        if is_set(name) {
            let why = format!("this model does not support `{name}`; hint: leave it out");
            return Err(Refused::field(name, why));
        }
    }
    Ok(())
}

fn stops(body: &Map<String, Value>) -> Result<Vec<String>, Refused> {
    let bad = || Refused::field("stop", "`stop` is a text, or up to four of them, each of 1 to 256 bytes");
    let stops = match body.get("stop") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(stop)) => vec![stop.clone()],
        Some(Value::Array(list)) => list
            .iter()
            .map(|stop| stop.as_str().map(str::to_owned).ok_or_else(bad))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(bad()),
    };
    let fits =
        stops.len() <= STOPS_MAX && stops.iter().all(|stop| (1..=STOP_BYTES_MAX).contains(&stop.len()));
    if fits { Ok(stops) } else { Err(bad()) }
}

fn turns(body: &Map<String, Value>) -> Result<Vec<ChatTurn>, Refused> {
    let messages = body.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    messages.iter().enumerate().map(|(index, message)| turn(index, message)).collect()
}

fn turn(index: usize, message: &Value) -> Result<ChatTurn, Refused> {
    let bad = |field: &str, why: &str| Err(Refused::field(&format!("messages[{index}].{field}"), why));
    let role = match message.get("role").and_then(Value::as_str) {
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        _ => return bad("role", "this model knows the roles system, developer, user and assistant"),
    };
    if message.get("tool_calls").is_some_and(|calls| !calls.is_null()) {
        return bad("tool_calls", "this model calls no tools");
    }
    let content = match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let mut text = String::new();
            for part in parts {
                match (part.get("type").and_then(Value::as_str), part.get("text").and_then(Value::as_str)) {
                    (Some("text"), Some(part)) => text.push_str(part),
                    _ => return bad("content", "this model reads text alone, no images, sounds or files"),
                }
            }
            text
        }
        _ => return bad("content", "a message is a text, or a list of text parts"),
    };
    Ok(ChatTurn { role, content })
}
