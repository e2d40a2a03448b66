//! A model within the process for tests: its tokens are characters, it remembers what it was asked, and it says what
//! the test wants.

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use pintle_core::DataClass;
use pintle_gateway::Settings;
use pintle_llm::{LocalAnswer, LocalBody, LocalBroken, LocalModel};
use pintle_registry::{Placement, Provider};
use pintle_testkit::FakeUpstream;
use serde_json::{Value, json};

use crate::fixture::{Fixture, Setup, gateway_settings, on_premises};

/// The token ids of a text.
pub(crate) fn ids(text: &str) -> Vec<u32> {
    text.chars().map(u32::from).collect()
}

/// An id that is no character.
pub(crate) const UNKNOWN_ID: u32 = 0x11_0000;

fn text_of(ids: &[u32]) -> Option<String> {
    ids.iter().map(|id| char::from_u32(*id)).collect()
}

#[derive(Debug, Default)]
pub(crate) struct Letters {
    /// The pieces of every answer.
    says: Mutex<Vec<String>>,
    seen: Mutex<Vec<Value>>,
    /// A streamed answer stops after its first piece until this opens.
    gate: Option<Arc<Gate>>,
    /// Bodies that were given out and not dropped yet.
    open: Arc<AtomicUsize>,
    /// What it answers instead.
    fails: Option<Fails>,
}

#[derive(Debug, Clone)]
pub(crate) enum Fails {
    /// With this status and body.
    With(u16, Value),
    /// By breaking off before the first byte.
    Breaks,
}

#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<(bool, Option<Waker>)>);

impl Letters {
    pub(crate) fn saying(pieces: &[&str]) -> Self {
        let model = Letters::default();
        model.say(pieces);
        model
    }

    pub(crate) fn failing(fails: Fails) -> Self {
        Letters { fails: Some(fails), ..Letters::default() }
    }

    /// Its streams end only when they are dropped.
    pub(crate) fn gated(self) -> Self {
        Letters { gate: Some(Arc::default()), ..self }
    }

    pub(crate) fn say(&self, pieces: &[&str]) {
        *self.says.lock().unwrap() = pieces.iter().map(ToString::to_string).collect();
    }

    pub(crate) fn seen(&self) -> Vec<Value> {
        self.seen.lock().unwrap().clone()
    }

    /// Bodies on their way.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    fn answer(&self, body: &Value, pieces: Vec<String>) -> LocalAnswer {
        self.seen.lock().unwrap().push(body.clone());
        self.open.fetch_add(1, Ordering::SeqCst);
        let open = Arc::clone(&self.open);
        let (status, pieces, breaks) = match &self.fails {
            None => (200, pieces, false),
            Some(Fails::With(status, body)) => (*status, vec![body.to_string()], false),
            Some(Fails::Breaks) => (200, Vec::new(), true),
        };
        let pieces = pieces.into_iter().map(Bytes::from).collect();
        let gate = self.gate.clone().filter(|_| body["stream"] == true);
        let body = Box::pin(Pieces { pieces, gate, breaks, has_begun: false, open });
        LocalAnswer { status, retry_after_s: None, body }
    }
}

struct Pieces {
    pieces: VecDeque<Bytes>,
    gate: Option<Arc<Gate>>,
    breaks: bool,
    has_begun: bool,
    open: Arc<AtomicUsize>,
}

impl LocalBody for Pieces {
    fn poll_data(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, LocalBroken>>> {
        if std::mem::take(&mut self.breaks) {
            return Poll::Ready(Some(Err(LocalBroken)));
        }
        if let Some(gate) = self.gate.as_ref().filter(|_| self.has_begun) {
            let mut gate = gate.0.lock().unwrap();
            if !gate.0 {
                gate.1 = Some(context.waker().clone());
                return Poll::Pending;
            }
        }
        self.has_begun = true;
        Poll::Ready(self.pieces.pop_front().map(Ok))
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The texts of a prompt or an input.
fn inputs(value: &Value) -> Vec<String> {
    let one = |value: &Value| match value {
        Value::String(text) => text.clone(),
        list => text_of(&serde_json::from_value::<Vec<u32>>(list.clone()).unwrap()).unwrap(),
    };
    match value {
        Value::Array(list) if !list[0].is_number() => list.iter().map(one).collect(),
        value => vec![one(value)],
    }
}

fn logprobs(texts: &[&str], begin: usize) -> Value {
    let tokens: Vec<String> = texts.concat().chars().map(String::from).collect();
    let values: Vec<f64> = (0..tokens.len()).map(|at| -0.25 * (begin + at) as f64).collect();
    let offsets: Vec<usize> = (begin..begin + tokens.len()).collect();
    let top: Vec<Value> =
        tokens.iter().zip(&values).map(|(token, value)| json!({ token.clone(): value })).collect();
    json!({ "tokens": tokens, "token_logprobs": values, "top_logprobs": top, "text_offset": offsets })
}

impl LocalModel for Letters {
    fn trained_on(&self) -> DataClass {
        DataClass::Public
    }

    fn completions(&self, body: &Value) -> LocalAnswer {
        let says = self.says.lock().unwrap().clone();
        let prompts = inputs(&body["prompt"]);
        let answers = body["n"].as_u64().unwrap_or(1);
        let (has_echo, has_logprobs) = (body["echo"] == true, body["logprobs"].is_u64());
        let mut choices = Vec::new();
        for prompt in &prompts {
            for _ in 0..answers {
                let echo = has_echo.then(|| prompt.clone());
                choices.push(echo.into_iter().chain(says.iter().cloned()).collect::<Vec<String>>());
            }
        }
        let count = |texts: &[String]| texts.concat().chars().count();
        let (input, output) = (count(&prompts), count(&says) * choices.len());
        let usage =
            json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output });
        let head = json!({ "id": "cmpl-1", "object": "text_completion", "created": 0, "model": "letters" });
        let document = |choices: Vec<Value>, usage: &Value| {
            let mut document = head.clone();
            document["choices"] = choices.into();
            document["usage"] = usage.clone();
            document
        };
        if body["stream"] != true {
            let whole = |(index, pieces): (usize, &Vec<String>)| {
                let texts: Vec<&str> = pieces.iter().map(String::as_str).collect();
                let logprobs = if has_logprobs { logprobs(&texts, 0) } else { Value::Null };
                json!({ "index": index, "text": pieces.concat(), "logprobs": logprobs, "finish_reason": "length" })
            };
            let choices = choices.iter().enumerate().map(whole).collect();
            return self.answer(body, vec![document(choices, &usage).to_string()]);
        }
        let mut events = Vec::new();
        for (index, pieces) in choices.iter().enumerate() {
            let mut begin = 0;
            for piece in pieces {
                let logprobs = if has_logprobs { logprobs(&[piece], begin) } else { Value::Null };
                begin += piece.chars().count();
                let choice =
                    json!({ "index": index, "text": piece, "logprobs": logprobs, "finish_reason": null });
                events.push(document(vec![choice], &Value::Null).to_string());
            }
            let last = json!({ "index": index, "text": "", "logprobs": null, "finish_reason": "length" });
            events.push(document(vec![last], &Value::Null).to_string());
        }
        assert_eq!(body["stream_options"]["include_usage"], true, "the ledger needs it");
        events.push(document(Vec::new(), &usage).to_string());
        events.push("[DONE]".to_owned());
        self.answer(body, events.into_iter().map(|event| format!("data: {event}\n\n")).collect())
    }

    fn embeddings(&self, body: &Value) -> LocalAnswer {
        let inputs = inputs(&body["input"]);
        let vector = |(index, text): (usize, &String)| json!({ "object": "embedding", "index": index, "embedding": [text.len(), 0.5] });
        let data: Vec<Value> = inputs.iter().enumerate().map(vector).collect();
        let tokens = inputs.concat().chars().count();
        let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
        let answer = json!({ "object": "list", "data": data, "model": "letters", "usage": usage });
        self.answer(body, vec![answer.to_string()])
    }

    fn tokenize(&self, body: &Value) -> LocalAnswer {
        let text = body["prompt"].as_str().map_or_else(|| body["messages"].to_string(), str::to_owned);
        let tokens = ids(&text);
        let answer =
            json!({ "count": tokens.len(), "max_model_len": 512, "tokens": tokens, "token_strs": null });
        self.answer(body, vec![answer.to_string()])
    }

    fn detokenize(&self, body: &Value) -> LocalAnswer {
        let tokens: Vec<u32> = serde_json::from_value(body["tokens"].clone()).unwrap();
        self.answer(body, vec![json!({ "prompt": text_of(&tokens).unwrap() }).to_string()])
    }

    fn tokenizer_info(&self) -> LocalAnswer {
        let info = json!({ "tokenizer_class": "Letters", "eos_token": "\u{4}" });
        self.answer(&Value::Null, vec![info.to_string()])
    }

    fn text_of(&self, tokens: &[u32]) -> Option<String> {
        text_of(tokens)
    }
}

/// A placement of an own model, on premises and cleared for everything.
pub(crate) async fn own(name: &str) -> Placement {
    let unused = FakeUpstream::start().await;
    Placement { provider: Provider::Embedded, ..on_premises(name, &unused) }
}

/// A fixture with these placements, of which those named here have a model.
pub(crate) async fn serving(setup: Setup, models: &[(&str, &Arc<Letters>)]) -> Fixture {
    let (placements, limits) = (setup.placements.clone(), setup.limits);
    let fixture = Fixture::with(setup).await;
    let models: HashMap<_, _> = models
        .iter()
        .map(|(name, model)| (name.parse().unwrap(), Arc::clone(model) as Arc<dyn LocalModel>))
        .collect();
    let settings = Settings { models, ..gateway_settings(&fixture.organisation, placements, limits) };
    fixture.gateway.reload(settings).unwrap();
    fixture
}

/// A fixture with one placement, `own`, and this model in it.
pub(crate) async fn alone(model: &Arc<Letters>) -> Fixture {
    serving(Setup::new(vec![Arc::new(own("own").await)]), &[("own", model)]).await
}
