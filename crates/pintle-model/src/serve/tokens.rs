//! Text to tokens and back for callers, in vLLM's shapes: what evaluation harnesses use in place of a tokeniser of
//! their own.
//!
//! Unlike a prompt's text, a text here may spell control tokens and gets them, as with `transformers`: harnesses render
//! chat templates themselves. The answer is only ids, which anybody may send anyway.

use serde_json::{Map, Value, json};

use super::{
    ServedModel, chat, completions,
    fields::{Fields, Refusal},
    wire::spelled,
};

const TEXT_BYTES_MAX: usize = 1 << 20;
const TOKENS_MAX: usize = 1 << 20;

/// Control tokens by their spelling.
#[derive(Debug)]
pub(super) struct Controls(Vec<(String, u32)>);

impl Controls {
    /// Of ids below `vocab_size`.
    pub(super) fn of(tokeniser: &crate::tokenise::Tokeniser) -> Self {
        let ids = 0..u32::try_from(tokeniser.vocab_size()).unwrap_or(u32::MAX);
        let controls = ids.filter(|id| tokeniser.is_control(*id));
        let spelled = controls.map(|id| (tokeniser.decode_all(&[id]), id));
        Controls(spelled.filter(|(text, _)| !text.is_empty()).collect())
    }

    /// The first one in a text: where it begins, where it ends, its id. The longest of those at one place.
    fn first_in(&self, text: &str) -> Option<(usize, usize, u32)> {
        let found = self
            .0
            .iter()
            .filter_map(|(control, id)| text.find(control).map(|start| (start, start + control.len(), *id)));
        found.min_by_key(|(start, end, _)| (*start, usize::MAX - *end))
    }
}

impl ServedModel {
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
            "max_model_len": self.engine.context_max(),
            "tokens": tokens,
            "token_strs": strings,
        }))
    }

    fn text_tokens(&self, text: &str, adds_around: bool) -> Result<Vec<u32>, Refusal> {
        check_length("prompt", text.len())?;
        let refused = |error| Refusal::text("prompt", &error);
        if self.controls.first_in(text).is_none() {
            let tokeniser = &self.tokeniser;
            let tokens = if adds_around { tokeniser.encode_prompt(text) } else { tokeniser.encode(text) };
            return tokens.map_err(refused);
        }
        let around =
            if adds_around { self.tokeniser.encode_prompt("").map_err(refused)? } else { Vec::new() };
        // What begins a text stands once, also where the text spells it.
        let bos = around.first().filter(|first| self.tokeniser.bos() == Some(**first)).copied();
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some((start, end, id)) = self.controls.first_in(rest) {
            tokens.extend(self.tokeniser.encode(rest.get(..start).unwrap_or_default()).map_err(refused)?);
            tokens.push(id);
            rest = rest.get(end..).unwrap_or_default();
        }
        tokens.extend(self.tokeniser.encode(rest).map_err(refused)?);
        if let Some(bos) = bos.filter(|bos| tokens.first() != Some(bos)) {
            tokens.insert(0, bos);
        }
        Ok(tokens)
    }

    pub(super) fn detokenise(&self, body: &Value) -> Result<Value, Refusal> {
        let fields = Fields::of(body)?;
        fields.refuse_others(&["tokens"])?;
        let list = fields.get("tokens").and_then(Value::as_array).filter(|list| list.len() <= TOKENS_MAX);
        let tokens = list.and_then(|list| completions::tokens(list));
        let vocabulary = self.engine.model().config().vocab_size;
        let tokens = tokens.filter(|tokens| tokens.iter().all(|id| (*id as usize) < vocabulary));
        let tokens = tokens.ok_or_else(|| Refusal::invalid("tokens", "an array of the vocabulary's ids"))?;
        Ok(json!({ "prompt": self.tokeniser.decode_all(&tokens) }))
    }

    pub(super) fn tokeniser_settings(&self) -> Value {
        let mut fields = match self.tokeniser.settings_json(self.engine.context_max()) {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        fields.entry("tokenizer_class").or_insert_with(|| "PreTrainedTokenizerFast".into());
        for (name, id) in [("bos_token", self.generation.bos), ("eos_token", self.tokeniser.eos())] {
            if let (false, Some(id)) = (fields.contains_key(name), id) {
                fields.insert(name.into(), self.tokeniser.decode_all(&[id]).into());
            }
        }
        Value::Object(fields)
    }
}

fn check_length(param: &str, bytes: usize) -> Result<(), Refusal> {
    if bytes > TEXT_BYTES_MAX { Err(Refusal::invalid(param, "at most 1 MiB of text")) } else { Ok(()) }
}
