//! Text to tokens and back for callers, in vLLM's shapes: what evaluation harnesses use in place of a tokeniser of
//! their own.
//!
//! Unlike a prompt's text, a text here may spell control tokens and gets them, as with `transformers`: harnesses render
//! chat templates themselves. The answer is only ids, which anybody may send anyway.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{
    chat, completions,
    fields::{Fields, Refusal},
    wire::spelled,
};
use crate::{ModelError, tokenise::Tokeniser};

const TEXT_BYTES_MAX: usize = 1 << 20;
const TOKENS_MAX: usize = 1 << 20;

/// Control tokens by their spelling.
#[derive(Debug)]
struct Controls(Vec<(String, u32)>);

impl Controls {
    /// Of ids below `vocab_size`.
    fn of(tokeniser: &Tokeniser) -> Self {
        let ids = 0..u32::try_from(tokeniser.vocab_size()).unwrap_or(u32::MAX);
        let controls = ids.filter(|id| tokeniser.is_control(*id));
        let spelled = controls.map(|id| (tokeniser.decode_all(&[id]), id));
        Controls(spelled.filter(|(text, _)| !text.is_empty()).collect())
    }

    /// Those in a text, in their order: where each begins, where it ends, its id. The longest of those at one place, and
    /// none that overlaps the one before. Each control's next place is remembered, so that a text is read once for each
    /// of them, however many it spells.
    fn all_in(&self, text: &str) -> Vec<(usize, usize, u32)> {
        let find = |control: &str, from: usize| {
            text.get(from..).and_then(|rest| rest.find(control)).map(|start| from + start)
        };
        let mut ahead: Vec<(usize, &str, u32)> = self
            .0
            .iter()
            .filter_map(|(control, id)| Some((find(control, 0)?, control.as_str(), *id)))
            .collect();
        let mut found = Vec::new();
        while let Some((start, control, id)) =
            ahead.iter().copied().min_by_key(|(start, control, _)| (*start, usize::MAX - control.len()))
        {
            let end = start + control.len();
            found.push((start, end, id));
            ahead.retain_mut(|(start, control, _)| {
                if *start >= end {
                    return true;
                }
                let next = find(control, end);
                *start = next.unwrap_or(0);
                next.is_some()
            });
        }
        found
    }
}

/// What answers the tokeniser's routes.
#[derive(Debug)]
pub(super) struct Desk {
    tokeniser: Arc<Tokeniser>,
    controls: Controls,
    /// What the tokeniser puts before and after a text.
    around: (Vec<u32>, Vec<u32>),
    /// The longest text that the model reads.
    tokens_max: usize,
    /// Ids of the model; the tokeniser may know fewer.
    vocabulary: usize,
    /// As the model's settings name it.
    bos: Option<u32>,
}

impl Desk {
    pub(super) fn new(
        tokeniser: &Arc<Tokeniser>,
        tokens_max: usize,
        vocabulary: usize,
        bos: Option<u32>,
    ) -> Result<Self, ModelError> {
        Ok(Desk {
            controls: Controls::of(tokeniser),
            around: around(tokeniser)?,
            tokeniser: Arc::clone(tokeniser),
            tokens_max,
            vocabulary,
            bos,
        })
    }

    pub(super) fn tokenise(&self, body: &Value) -> Result<Value, Refusal> {
        let fields = Fields::of(body)?;
        fields.refuse_others(&[
            "prompt",
            "messages",
            "add_special_tokens",
            "add_generation_prompt",
            "return_token_strs",
        ])?;
        let tokens = match (fields.get("prompt"), fields.get("messages")) {
            (Some(Value::String(text)), None) => {
                self.text_tokens(text, fields.boolean("add_special_tokens")?.unwrap_or(true))?
            }
            (None, Some(_)) => {
                let turns = chat::turns(fields)?;
                let begins_answer = fields.boolean("add_generation_prompt")?.unwrap_or(true);
                check_length("messages", turns.iter().map(|turn| turn.content.len()).sum())?;
                let encoded = self.tokeniser.encode_chat(&turns, begins_answer);
                encoded.map_err(|error| Refusal::text("messages", &error))?
            }
            _ => return Err(Refusal::invalid("prompt", "a string, or `messages` in place of it")),
        };
        let strings = fields.boolean("return_token_strs")?.unwrap_or(false);
        let strings =
            strings.then(|| tokens.iter().map(|id| spelled(&self.tokeniser, *id)).collect::<Vec<_>>());
        Ok(json!({
            "count": tokens.len(),
            "max_model_len": self.tokens_max,
            "tokens": tokens,
            "token_strs": strings,
        }))
    }

    fn text_tokens(&self, text: &str, adds_around: bool) -> Result<Vec<u32>, Refusal> {
        check_length("prompt", text.len())?;
        let refused = |error| Refusal::text("prompt", &error);
        let spelled = self.controls.all_in(text);
        if spelled.is_empty() {
            let tokeniser = &self.tokeniser;
            let tokens = if adds_around { tokeniser.encode_prompt(text) } else { tokeniser.encode(text) };
            return tokens.map_err(refused);
        }
        let mut tokens = Vec::new();
        let mut from = 0;
        for (start, end, id) in spelled {
            tokens.extend(self.tokeniser.encode(text.get(from..start).unwrap_or_default()).map_err(refused)?);
            tokens.push(id);
            from = end;
        }
        tokens.extend(self.tokeniser.encode(text.get(from..).unwrap_or_default()).map_err(refused)?);
        // What stands around a text stands once, also where the text spells it.
        let (before, after) = &self.around;
        if adds_around && !tokens.starts_with(before) {
            tokens.splice(0..0, before.iter().copied());
        }
        if adds_around && !tokens.ends_with(after) {
            tokens.extend(after);
        }
        Ok(tokens)
    }

    pub(super) fn detokenise(&self, body: &Value) -> Result<Value, Refusal> {
        let fields = Fields::of(body)?;
        fields.refuse_others(&["tokens"])?;
        let list = fields.get("tokens").and_then(Value::as_array).filter(|list| list.len() <= TOKENS_MAX);
        let tokens = list.and_then(|list| completions::tokens(list));
        let tokens = tokens.filter(|tokens| tokens.iter().all(|id| (*id as usize) < self.vocabulary));
        let tokens = tokens.ok_or_else(|| Refusal::invalid("tokens", "an array of the vocabulary's ids"))?;
        Ok(json!({ "prompt": self.tokeniser.decode_all(&tokens) }))
    }

    /// The text of tokens, for those who scan it; `None` if one of them is not the tokeniser's.
    pub(super) fn text_of(&self, tokens: &[u32]) -> Option<String> {
        let known = |token: &u32| self.tokeniser.token_bytes(*token).is_some();
        tokens.iter().all(known).then(|| self.tokeniser.decode(tokens))
    }

    /// The content of `tokenizer_config.json`.
    pub(super) fn settings(&self) -> Value {
        let mut fields = match self.tokeniser.settings_json(self.tokens_max) {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        fields.entry("tokenizer_class").or_insert_with(|| "PreTrainedTokenizerFast".into());
        for (name, id) in [("bos_token", self.bos), ("eos_token", self.tokeniser.eos())] {
            if let (false, Some(id)) = (fields.contains_key(name), id) {
                fields.insert(name.into(), self.tokeniser.decode_all(&[id]).into());
            }
        }
        Value::Object(fields)
    }
}

/// What a tokeniser puts before and after a text, seen at one that is a single letter.
fn around(tokeniser: &Tokeniser) -> Result<(Vec<u32>, Vec<u32>), ModelError> {
    let (bare, whole) = (tokeniser.encode("a")?, tokeniser.encode_prompt("a")?);
    let place = whole.windows(bare.len().max(1)).position(|window| window == bare);
    let (before, rest) = whole.split_at(place.unwrap_or(0));
    Ok((before.to_vec(), rest.get(bare.len()..).unwrap_or_default().to_vec()))
}

fn check_length(param: &str, bytes: usize) -> Result<(), Refusal> {
    if bytes > TEXT_BYTES_MAX { Err(Refusal::invalid(param, "at most 1 MiB of text")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_found_in_their_order_the_longest_first() {
        let controls =
            Controls([("<a>", 1), ("<a><b>", 2), ("b>", 3), ("<c>", 4)].map(|(t, id)| (t.into(), id)).into());
        assert_eq!(controls.all_in("x<a><b>é<a>b><c>"), [(1, 7, 2), (9, 12, 1), (12, 14, 3), (14, 17, 4)]);
        assert_eq!(controls.all_in("nothing < here"), []);
    }

    /// With each of them sought from the beginning again, this would take minutes.
    #[test]
    fn a_text_of_nothing_but_controls_is_read_once() {
        let names: Vec<(String, u32)> = (0..300).map(|id| (format!("<|reserved_{id}|>"), id)).collect();
        let text = "<|reserved_7|>".repeat(TEXT_BYTES_MAX / 14);
        assert_eq!(Controls(names).all_in(&text).len(), TEXT_BYTES_MAX / 14);
    }
}
