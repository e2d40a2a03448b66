//! Answers in OpenAI's form: chunks of a stream and whole documents, for both interfaces.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{
    ask::Kind,
    choice::Finish,
    writer::{Piece, Spoken},
};
use crate::tokenise::Tokeniser;

/// What all parts of an answer share.
pub(super) struct Wire {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) created_s: i64,
    /// The version that answers.
    pub(super) model: Arc<str>,
    pub(super) tokeniser: Arc<Tokeniser>,
    /// Whether log-probabilities were asked for.
    pub(super) has_logprobs: bool,
    /// Whether each chunk says that the usage is yet to come.
    pub(super) announces_usage: bool,
}

/// Tokens of all prompts and of all answers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) prompt: u64,
    pub(super) completion: u64,
}

impl Counts {
    pub(super) fn json(self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
        })
    }
}

impl Wire {
    fn document(&self, object: &str, choices: Vec<Value>) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created_s,
            "model": *self.model,
            "system_fingerprint": *self.model,
            "choices": Value::Array(choices),
        })
    }

    fn chunk(&self, choices: Vec<Value>, usage: Option<Value>) -> Value {
        let object = match self.kind {
            Kind::Chat => "chat.completion.chunk",
            Kind::Completion => "text_completion",
        };
        let mut chunk = self.document(object, choices);
        let usage = usage.or(self.announces_usage.then_some(Value::Null));
        if let (Some(fields), Some(usage)) = (chunk.as_object_mut(), usage) {
            fields.insert("usage".into(), usage);
        }
        chunk
    }

    /// Says who speaks; `None` where the interface has no such chunk.
    pub(super) fn first_chunk(&self, index: usize) -> Option<Value> {
        let delta = json!({ "role": "assistant", "content": "", "refusal": null });
        (self.kind == Kind::Chat)
            .then(|| self.chunk(vec![self.delta(index, &delta, &Value::Null, None)], None))
    }

    pub(super) fn piece_chunk(&self, index: usize, piece: &Piece) -> Value {
        let logprobs = self.logprobs(&piece.tokens);
        let choice = match self.kind {
            Kind::Chat => self.delta(index, &json!({ "content": piece.text }), &logprobs, None),
            Kind::Completion => completion_choice(index, &piece.text, &logprobs, None),
        };
        self.chunk(vec![choice], None)
    }

    pub(super) fn last_chunk(&self, index: usize, finish: Finish) -> Value {
        let choice = match self.kind {
            Kind::Chat => self.delta(index, &json!({}), &Value::Null, Some(finish)),
            Kind::Completion => completion_choice(index, "", &Value::Null, Some(finish)),
        };
        self.chunk(vec![choice], None)
    }

    pub(super) fn usage_chunk(&self, counts: Counts) -> Value {
        self.chunk(Vec::new(), Some(counts.json()))
    }

    fn delta(&self, index: usize, delta: &Value, logprobs: &Value, finish: Option<Finish>) -> Value {
        let finish = finish.map(Finish::as_str);
        json!({ "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish })
    }

    /// One of the choices of a whole answer.
    pub(super) fn whole_choice(&self, index: usize, piece: &Piece, finish: Finish) -> Value {
        let logprobs = self.logprobs(&piece.tokens);
        match self.kind {
            Kind::Chat => json!({
                "index": index,
                "message": { "role": "assistant", "content": piece.text, "refusal": null },
                "logprobs": logprobs,
                "finish_reason": finish.as_str(),
            }),
            Kind::Completion => completion_choice(index, &piece.text, &logprobs, Some(finish)),
        }
    }

    pub(super) fn whole(&self, choices: Vec<Value>, counts: Counts) -> Value {
        let object = match self.kind {
            Kind::Chat => "chat.completion",
            Kind::Completion => "text_completion",
        };
        let mut document = self.document(object, choices);
        if let Some(fields) = document.as_object_mut() {
            fields.insert("usage".into(), counts.json());
        }
        document
    }

    fn logprobs(&self, tokens: &[Spoken]) -> Value {
        match self.kind {
            _ if !self.has_logprobs => Value::Null,
            Kind::Chat => {
                let content: Vec<Value> = tokens.iter().map(|spoken| self.chat_logprob(spoken)).collect();
                json!({ "content": content, "refusal": null })
            }
            Kind::Completion => self.completion_logprobs(tokens),
        }
    }

    fn chat_logprob(&self, spoken: &Spoken) -> Value {
        let entry = |id: u32, logprob: Option<f32>| {
            let bytes = self.tokeniser.token_bytes(id);
            json!({ "token": spelled(&self.tokeniser, id), "logprob": logprob, "bytes": bytes })
        };
        let mut own = entry(spoken.token.id, spoken.token.logprob);
        let top = spoken.token.top.iter().map(|(id, logprob)| entry(*id, Some(*logprob))).collect();
        if let Some(fields) = own.as_object_mut() {
            fields.insert("top_logprobs".into(), Value::Array(top));
        }
        own
    }

    /// Lists side by side. The token itself stands among the likeliest, as it does at OpenAI and vLLM; a prompt's first
    /// token has no probability.
    fn completion_logprobs(&self, tokens: &[Spoken]) -> Value {
        let name = |id: u32| spelled(&self.tokeniser, id);
        let top = |spoken: &Spoken| {
            let token = &spoken.token;
            let Some(own) = token.logprob else { return Value::Null };
            let mut likeliest = Map::new();
            for (id, logprob) in token.top.iter().copied().chain([(token.id, own)]) {
                likeliest.entry(name(id)).or_insert_with(|| logprob.into());
            }
            Value::Object(likeliest)
        };
        json!({
            "tokens": tokens.iter().map(|spoken| name(spoken.token.id)).collect::<Vec<_>>(),
            "token_logprobs": tokens.iter().map(|spoken| spoken.token.logprob).collect::<Vec<_>>(),
            "top_logprobs": tokens.iter().map(top).collect::<Vec<_>>(),
            "text_offset": tokens.iter().map(|spoken| spoken.offset).collect::<Vec<_>>(),
        })
    }
}

fn completion_choice(index: usize, text: &str, logprobs: &Value, finish: Option<Finish>) -> Value {
    let finish = finish.map(Finish::as_str);
    json!({ "index": index, "text": text, "logprobs": logprobs, "finish_reason": finish })
}

/// A token for people to read, distinct from all others: one that is half a character as OpenAI writes it, one that
/// the tokeniser does not know (a vocabulary that was filled up) by its number.
pub(super) fn spelled(tokeniser: &Tokeniser, id: u32) -> String {
    let Some(bytes) = tokeniser.token_bytes(id) else { return format!("token_id:{id}") };
    String::from_utf8(bytes).unwrap_or_else(|error| {
        error.as_bytes().iter().fold("bytes:".to_owned(), |text, byte| text + &format!("\\x{byte:02x}"))
    })
}
