//! A served model as its callers meet it: OpenAI's documents and streams, refusals, and the numbers behind them.

use std::{
    collections::BTreeSet,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
};

use pintle_core::{DataClass, ManualClock, Timestamp};
use pintle_llm::{ChatRequest, LocalAnswer, LocalBroken, LocalModel};
use pintle_model::{
    artefact::{Card, Model, Precision, save},
    infer::{self, EngineSettings},
    serve::{ServeSettings, ServedModel},
};
use serde_json::{Value, json};

use crate::{TOKENISER, shape};

/// Opinionated: logits of several nats, so that answers vary with the seed but not at random.
fn model() -> Model {
    let mut config = shape(TOKENISER.vocab_size() + 3, false);
    config.max_position_embeddings = 512;
    let mut model = Model::untrained(config, Arc::clone(&TOKENISER), 5).unwrap();
    let scaled = model.weights.iter().map(|weight| if *weight < 1.0 { weight * 12.0 } else { *weight });
    model.weights = Arc::new(scaled.collect());
    model.generation.max_new_tokens = Some(24);
    model
}

fn settings() -> ServeSettings {
    let engine =
        EngineSettings { slots: 4, queue_max: 60, cache_bytes_max: 64 << 20, ..EngineSettings::default() };
    ServeSettings { engine, ..ServeSettings::default() }
}

fn start(model: &Model, settings: ServeSettings) -> Arc<ServedModel> {
    let clock = ManualClock::new("2026-11-24T12:00:00Z".parse::<Timestamp>().unwrap());
    ServedModel::start(model, "handbook@2", DataClass::Internal, settings, Arc::new(clock)).unwrap()
}

fn served() -> Arc<ServedModel> {
    start(&model(), settings())
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Reads a body to its end, or to where it broke.
pub(crate) fn pieces(answer: &mut LocalAnswer) -> Result<Vec<u8>, LocalBroken> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut out = Vec::new();
    loop {
        match answer.body.as_mut().poll_data(&mut Context::from_waker(&waker)) {
            Poll::Ready(Some(piece)) => out.extend_from_slice(&piece?),
            Poll::Ready(None) => return Ok(out),
            Poll::Pending => std::thread::park(),
        }
    }
}

pub(crate) fn whole(mut answer: LocalAnswer) -> Value {
    let body = pieces(&mut answer).unwrap();
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

/// The chunks of a stream; the last event is checked and left out.
fn chunks(mut answer: LocalAnswer) -> Vec<Value> {
    let body = String::from_utf8(pieces(&mut answer).unwrap()).unwrap();
    assert_eq!(answer.status, 200, "{body}");
    let mut events: Vec<&str> = body.split_terminator("\n\n").map(|event| &event[6..]).collect();
    assert_eq!(events.pop(), Some("[DONE]"));
    events.into_iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}

fn request(fields: &Value) -> ChatRequest {
    let mut body =
        json!({ "model": "auto", "messages": [{ "role": "user", "content": "Who pays the allowance?" }] });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    ChatRequest::parse(body.to_string().as_bytes()).unwrap()
}

fn chat(model: &ServedModel, fields: &Value) -> Value {
    whole(model.chat(&request(fields)))
}

fn streamed(model: &ServedModel, mut fields: Value) -> Vec<Value> {
    fields["stream"] = true.into();
    chunks(model.chat(&request(&fields)))
}

pub(crate) fn refused(mut answer: LocalAnswer) -> (u16, String, Value) {
    let body: Value = serde_json::from_slice(&pieces(&mut answer).unwrap()).unwrap();
    let error = &body["error"];
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    (answer.status, error["code"].as_str().unwrap().to_owned(), error["param"].clone())
}

/// Puts the chunks of a stream together again: text, log-probabilities and the reason, by choice.
fn joined(chunks: &[Value], index: usize) -> (String, Vec<Value>, Value) {
    let (mut text, mut logprobs, mut finish) = (String::new(), Vec::new(), Value::Null);
    for choice in chunks.iter().flat_map(|chunk| chunk["choices"].as_array().unwrap()) {
        if choice["index"] != index {
            continue;
        }
        assert!(finish.is_null(), "nothing comes after the end");
        text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        logprobs.extend(choice["logprobs"]["content"].as_array().cloned().unwrap_or_default());
        finish = choice["finish_reason"].clone();
    }
    (text, logprobs, finish)
}

fn content(answer: &Value) -> String {
    answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

#[test]
fn a_streamed_answer_is_the_whole_one() {
    let model = served();
    let (mut texts, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..6 {
        let fields = json!({ "seed": seed, "temperature": 1.0, "n": 2, "logprobs": true, "top_logprobs": 2,
            "stream_options": { "include_usage": true } });
        let answer = chat(&model, &fields);
        let chunks = streamed(&model, fields);
        for (index, choice) in answer["choices"].as_array().unwrap().iter().enumerate() {
            let (text, logprobs, finish) = joined(&chunks, index);
            assert_eq!(choice["message"]["content"], text);
            assert_eq!(*choice["logprobs"]["content"].as_array().unwrap(), logprobs);
            assert_eq!(choice["finish_reason"], finish);
            assert_eq!(
                logprobs.iter().filter(|entry| entry["top_logprobs"].as_array().unwrap().len() == 2).count(),
                logprobs.len()
            );
            // Characters that tokens cut in two come out whole, and their bytes are told as they are.
            let bytes: Vec<u8> = logprobs
                .iter()
                .flat_map(|entry| entry["bytes"].as_array().cloned().unwrap_or_default())
                .map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap())
                .collect();
            assert_eq!(String::from_utf8_lossy(&bytes), text);
            texts.insert(text);
        }
        assert_eq!(chunks.last().unwrap()["usage"], answer["usage"]);
        assert_eq!(chunks.last().unwrap()["choices"], json!([]));
        let (last, others) = chunks.split_last().unwrap();
        assert!(others.iter().all(|chunk| chunk["usage"].is_null() && chunk["id"] == last["id"]));
        assert_eq!(others[0]["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(answer["created"], 1_795_521_600);
        for document in [&answer, last] {
            assert_eq!(document["model"], "handbook@2");
            assert_eq!(document["system_fingerprint"], "handbook@2");
            assert!(ids.insert(document["id"].as_str().unwrap().to_owned()));
        }
    }
    assert!(texts.len() > 10, "{texts:?}");
    assert!(texts.iter().any(|text| text.contains(|letter: char| !letter.is_ascii())));
}

#[test]
fn the_shape_of_a_stream() {
    let model = served();
    let chunks = streamed(&model, json!({ "max_tokens": 2 }));
    let without_id: Vec<Value> = chunks
        .into_iter()
        .map(|mut chunk| {
            assert!(chunk["id"].as_str().unwrap().starts_with("chatcmpl_"));
            chunk["id"] = "ID".into();
            chunk
        })
        .collect();
    insta::assert_json_snapshot!("stream", without_id);
    let mut answer = chat(&model, &json!({ "max_tokens": 2, "logprobs": true, "top_logprobs": 1 }));
    answer["id"] = "ID".into();
    for entry in answer["choices"][0]["logprobs"]["content"].as_array_mut().unwrap() {
        assert!(entry["logprob"].as_f64().unwrap() < 0.0);
        assert_eq!(entry["logprob"], entry["top_logprobs"][0]["logprob"], "greedy");
        entry["logprob"] = "LOGPROB".into();
        entry["top_logprobs"][0]["logprob"] = "LOGPROB".into();
    }
    insta::assert_json_snapshot!("whole", answer);
}

#[test]
fn nothing_of_a_stop_string_is_ever_said() {
    let model = served();
    let mut checked = 0;
    for seed in 0..4 {
        let fields = |stop: Value| json!({ "seed": seed, "temperature": 1.0, "max_tokens": 40, "stop": stop, "logprobs": true });
        let free = chat(&model, &fields(Value::Null));
        let text = content(&free);
        let letters: Vec<char> = text.chars().collect();
        for (start, length) in [(0, 1), (3, 2), (5, 9), (11, 4), (20, 17)] {
            let Some(stop) = letters.get(start..start + length) else { continue };
            let stop: String = stop.iter().collect();
            for stops in [json!(stop), json!([format!("{stop}\u{1}"), stop, "\u{2}never"])] {
                let expected = text.split_once(&stop).unwrap().0;
                let answer = chat(&model, &fields(stops.clone()));
                assert_eq!(content(&answer), expected);
                assert_eq!(answer["choices"][0]["finish_reason"], "stop");
                let (text, logprobs, finish) = joined(&streamed(&model, fields(stops)), 0);
                assert_eq!((text.as_str(), finish), (expected, json!("stop")));
                assert_eq!(answer["choices"][0]["logprobs"]["content"], json!(logprobs));
                // Tokens say no more than the text does.
                let bytes: Vec<u8> = logprobs
                    .iter()
                    .flat_map(|entry| entry["bytes"].as_array().cloned().unwrap_or_default())
                    .map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap())
                    .collect();
                assert!(expected.starts_with(&*String::from_utf8_lossy(&bytes)), "{expected:?} {bytes:?}");
                let taken = answer["usage"]["completion_tokens"].as_u64().unwrap();
                assert!(taken > logprobs.len() as u64 && taken <= 40);
                checked += 1;
            }
        }
        // A beginning that does not go on is said after all.
        let tail: String = letters[letters.len() - 3..].iter().collect();
        assert_eq!(content(&chat(&model, &fields(json!(format!("{tail}…"))))), text);
    }
    assert!(checked > 20, "{checked}");
}

#[test]
fn several_answers_differ_and_the_first_is_the_one_alone() {
    let model = served();
    let fields = |n: u32| json!({ "seed": 7, "temperature": 1.0, "n": n, "max_tokens": 12 });
    let (one, eight) = (chat(&model, &fields(1)), chat(&model, &fields(8)));
    assert_eq!(one["choices"][0], eight["choices"][0]);
    let texts: BTreeSet<String> = eight["choices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|choice| choice["message"]["content"].to_string())
        .collect();
    assert_eq!(texts.len(), 8);
    assert_eq!(one["usage"]["prompt_tokens"], eight["usage"]["prompt_tokens"]);
    assert_eq!(eight["usage"]["completion_tokens"], 96);
    // Own models are greedy unless told otherwise, and without a seed answers differ.
    assert_eq!(content(&chat(&model, &json!({}))), content(&chat(&model, &json!({ "seed": 9 }))));
    let drawn = || content(&chat(&model, &json!({ "temperature": 1.0 })));
    assert_ne!(drawn(), drawn());
}

#[test]
fn both_interfaces_and_the_training_pass_agree() {
    let model = model();
    let served = start(&model, settings());
    let turns = json!({ "messages": [{ "role": "user", "content": "Who pays the allowance?" }] });
    let prompt = whole(served.tokenize(&turns))["tokens"].clone();
    let answer = chat(&served, &json!({ "max_tokens": 9, "logprobs": true }));
    let completion = whole(
        served.completions(&json!({ "prompt": prompt, "max_tokens": 9, "logprobs": 0, "temperature": 0 })),
    );
    assert_eq!(completion["choices"][0]["text"], content(&answer));
    let said: Vec<Value> = answer["choices"][0]["logprobs"]["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["logprob"].clone())
        .collect();
    assert_eq!(completion["choices"][0]["logprobs"]["token_logprobs"], json!(said));
    assert_eq!(completion["usage"], answer["usage"]);
}

/// As evaluation harnesses ask for the likelihood of a text.
fn likelihood(model: &ServedModel, prompts: &Value) -> Value {
    whole(
        model.completions(
            &json!({ "model": "handbook@2", "prompt": prompts, "temperature": 0, "max_tokens": 1,
        "logprobs": 1, "seed": 1234, "echo": true }),
        ),
    )
}

#[test]
fn echoed_logprobs_are_those_of_the_training_pass() {
    let mut model = model();
    let text = "The allowance of class 3 is 日本 naïve.";
    let tokens = TOKENISER.encode(text).unwrap();
    let logits = model.logits(&tokens).unwrap();
    let rows: Vec<&[f32]> = logits.chunks(model.config.vocab_size).collect();
    let likeliest = |row: &[f32]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
    // The token that follows ends the text: it has to be counted all the same, as harnesses cut one off.
    model.generation.eos = vec![u32::try_from(likeliest(rows.last().unwrap())).unwrap()];
    let served = start(&model, settings());
    let answer = likelihood(&served, &json!([tokens, tokens[..4]]));
    let choice = &answer["choices"][0];
    assert_eq!((&choice["text"], &choice["finish_reason"]), (&json!(text), &json!("stop")));
    let logprobs = &choice["logprobs"];
    let list = |name: &str| logprobs[name].as_array().unwrap().clone();
    assert!(
        ["tokens", "token_logprobs", "top_logprobs", "text_offset"]
            .iter()
            .all(|name| list(name).len() == tokens.len() + 1)
    );
    assert!(list("token_logprobs")[0].is_null() && list("top_logprobs")[0].is_null());
    for (at, row) in rows.iter().enumerate() {
        let log_sum = row.iter().map(|logit| f64::from(*logit).exp()).sum::<f64>().ln();
        let id = tokens.get(at + 1).map_or(likeliest(row), |id| *id as usize);
        let got = list("token_logprobs")[at + 1].as_f64().unwrap();
        assert!((got - (f64::from(row[id]) - log_sum)).abs() < 1e-4, "{got} at {at}");
        let top = list("top_logprobs")[at + 1].as_object().unwrap().clone();
        let most = top.values().map(|value| value.as_f64().unwrap()).fold(f64::NEG_INFINITY, f64::max);
        assert!((most - (f64::from(row[likeliest(row)]) - log_sum)).abs() < 1e-4);
        assert_eq!((most - got).abs() < f64::EPSILON, likeliest(row) == id);
    }
    // Offsets count characters.
    let places: Vec<usize> =
        list("text_offset").iter().map(|at| usize::try_from(at.as_u64().unwrap()).unwrap()).collect();
    assert!(places.windows(2).all(|pair| pair[0] <= pair[1]));
    let full_stop = text.chars().position(|letter| letter == '.').unwrap();
    assert!(
        full_stop < text.len() - 5
            && places.contains(&full_stop)
            && places.last() == Some(&text.chars().count())
    );
    // In a batch everyone hears what it hears alone; a text is the tokens that it is encoded to.
    let alone = likelihood(&served, &json!(tokens[..4]));
    assert_eq!(alone["choices"][0]["logprobs"], answer["choices"][1]["logprobs"]);
    assert_eq!(likelihood(&served, &json!(text))["choices"][0]["logprobs"], *logprobs);
    assert_eq!(answer["usage"]["prompt_tokens"], tokens.len() + 4);
}

#[test]
fn completions_stream_and_echo() {
    let model = served();
    for fields in [
        json!({ "prompt": ["The allowance", "Employees who"], "max_tokens": 11, "echo": true, "n": 2, "seed": 3, "temperature": 1 }),
        json!({ "prompt": "The allowance", "max_tokens": 11, "logprobs": 2, "echo": true }),
        json!({ "prompt": "The allowance", "stop": "e" }),
        json!({ "prompt": [70, 80, 0, 90], "max_tokens": 0, "echo": true, "logprobs": 0 }),
        json!({ "prompt": "", "max_tokens": 3 }),
    ] {
        let answer = whole(model.completions(&fields));
        let mut asked = fields.clone();
        asked["stream"] = true.into();
        asked["stream_options"] = json!({ "include_usage": true });
        let chunks = chunks(model.completions(&asked));
        assert_eq!(chunks.last().unwrap()["usage"], answer["usage"]);
        for choice in answer["choices"].as_array().unwrap() {
            let own = chunks.iter().flat_map(|chunk| chunk["choices"].as_array().unwrap());
            let own: Vec<&Value> = own.filter(|part| part["index"] == choice["index"]).collect();
            let text: String = own.iter().map(|part| part["text"].as_str().unwrap()).collect();
            assert_eq!(choice["text"], text);
            assert_eq!(choice["finish_reason"], own.last().unwrap()["finish_reason"]);
            for name in ["tokens", "token_logprobs", "text_offset"] {
                let lists = own.iter().filter_map(|part| part["logprobs"][name].as_array());
                let list: Vec<Value> = lists.flatten().cloned().collect();
                assert_eq!(choice["logprobs"][name].as_array().cloned().unwrap_or_default(), list);
            }
        }
    }
    let read =
        whole(model.completions(&json!({ "prompt": "Employees who've", "max_tokens": 0, "echo": true })));
    assert_eq!(read["choices"][0]["text"], "Employees who've");
    assert_eq!(read["usage"]["completion_tokens"], 0);
    let twice = whole(model.completions(&json!({ "prompt": ["The", "Employees"], "n": 2, "max_tokens": 1 })));
    assert_eq!(twice["choices"].as_array().unwrap().len(), 4);
}

#[test]
fn what_the_model_cannot_do_is_named() {
    let model = served();
    let tool = json!([{ "type": "function", "function": { "name": "look" } }]);
    let say = |role: &str, content: Value| json!([{ "role": role, "content": content }]);
    for (fields, code, param) in [
        (json!({ "frequency_penalty": 0.5 }), "unsupported", "frequency_penalty"),
        (json!({ "presence_penalty": -1 }), "unsupported", "presence_penalty"),
        (json!({ "logit_bias": { "5": 1 } }), "unsupported", "logit_bias"),
        (json!({ "tools": tool }), "unsupported", "tools"),
        (json!({ "tool_choice": "required" }), "unsupported", "tool_choice"),
        (json!({ "response_format": { "type": "json_object" } }), "unsupported", "response_format"),
        (json!({ "modalities": ["text", "audio"] }), "unsupported", "modalities"),
        (json!({ "min_p": 0.1 }), "unsupported", "min_p"),
        (json!({ "guided_regex": "a+" }), "unsupported", "guided_regex"),
        (json!({ "My secret": 1 }), "unsupported", "body"),
        (json!({ "n": 9 }), "invalid_field", "n"),
        (json!({ "temperature": 2.1 }), "invalid_field", "temperature"),
        (json!({ "temperature": "hot" }), "invalid_field", "temperature"),
        (json!({ "top_p": 1.5 }), "invalid_field", "top_p"),
        (json!({ "top_k": -2 }), "invalid_field", "top_k"),
        (json!({ "seed": 0.5 }), "invalid_field", "seed"),
        (json!({ "stop": "" }), "invalid_field", "stop"),
        (json!({ "stop": ["a", "b", "c", "d", "e"] }), "invalid_field", "stop"),
        (json!({ "logprobs": true, "top_logprobs": 21 }), "invalid_field", "top_logprobs"),
        (json!({ "top_logprobs": 2 }), "invalid_field", "top_logprobs"),
        (json!({ "messages": say("tool", json!("x")) }), "unsupported", "messages[0].role"),
        (json!({ "messages": say("king", json!("x")) }), "invalid_field", "messages[0].role"),
        (json!({ "messages": say("user", Value::Null) }), "invalid_field", "messages[0].content"),
        (
            json!({ "messages": say("user", json!([{ "type": "image_url", "image_url": { "url": "x" } }])) }),
            "unsupported",
            "messages[0].content[0]",
        ),
        (
            json!({ "messages": say("user", json!([{ "type": "text", "text": "x" }, { "type": "input_audio" }])) }),
            "unsupported",
            "messages[0].content[1]",
        ),
        (
            json!({ "messages": [{ "role": "assistant", "tool_calls": tool }] }),
            "unsupported",
            "messages[0].tool_calls",
        ),
        (json!({ "max_tokens": 510 }), "context_length_exceeded", "messages"),
        (
            json!({ "messages": say("user", json!("x".repeat(200_000))) }),
            "context_length_exceeded",
            "messages",
        ),
    ] {
        assert_eq!(refused(model.chat(&request(&fields))), (400, code.to_owned(), json!(param)), "{fields}");
    }
    for (fields, code, param) in [
        (json!({}), "missing_field", "prompt"),
        (json!([]), "invalid_field", "body"),
        (json!({ "prompt": [] }), "invalid_field", "prompt"),
        (json!({ "prompt": [[]] }), "invalid_field", "prompt"),
        (json!({ "prompt": [1, "a"] }), "invalid_field", "prompt"),
        (json!({ "prompt": [1, 999_999] }), "invalid_field", "prompt"),
        (json!({ "prompt": vec!["a"; 65] }), "invalid_field", "prompt"),
        (json!({ "prompt": vec!["a"; 40], "n": 2 }), "invalid_field", "n"),
        (json!({ "prompt": "a", "max_tokens": 0 }), "invalid_field", "max_tokens"),
        (json!({ "prompt": "a", "logprobs": 21 }), "invalid_field", "logprobs"),
        (json!({ "prompt": "a", "suffix": "b" }), "unsupported", "suffix"),
        (json!({ "prompt": vec![5; 512] }), "context_length_exceeded", "prompt"),
    ] {
        assert_eq!(refused(model.completions(&fields)), (400, code.to_owned(), json!(param)), "{fields}");
    }
    let mut long = model.completions(&json!({ "prompt": vec![5; 500], "max_tokens": 13 }));
    let message = String::from_utf8(pieces(&mut long).unwrap()).unwrap();
    assert!(["500", "13", "512"].iter().all(|number| message.contains(number)), "{message}");
}

#[test]
fn what_changes_nothing_is_taken() {
    let model = served();
    let plain = content(&chat(&model, &json!({})));
    for fields in [
        json!({ "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "n": 1, "top_k": -1, "top_p": null }),
        json!({ "tools": [], "response_format": { "type": "text" }, "modalities": ["text"], "user": "u", "metadata": {} }),
        json!({ "tools": [{ "type": "function" }], "tool_choice": "none" }),
        json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": "Who pays the allowance?" }] }] }),
        json!({ "messages": [{ "role": "user", "name": "n", "annotations": [], "refusal": null, "content": "Who pays the allowance?" }], "temperature": 0 }),
    ] {
        assert_eq!(content(&chat(&model, &fields)), plain);
    }
    let talk = |role: &str| {
        let messages = json!([{ "role": role, "content": "Be brief." }, { "role": "user", "content": "Who?" },
            { "role": "assistant", "content": "We." }, { "role": "user", "content": "Why?" }]);
        content(&chat(&model, &json!({ "messages": messages })))
    };
    assert_eq!(talk("system"), talk("developer"));
    assert_ne!(talk("system"), plain);
}

/// An engine with one slot whose answers take longer than a test.
fn busy() -> Arc<ServedModel> {
    let mut model = model();
    model.config.max_position_embeddings = 1 << 15;
    model.generation.eos.clear();
    model.generation.max_new_tokens = None;
    let engine = EngineSettings { slots: 1, queue_max: 0, context_max: 1 << 15, ..EngineSettings::default() };
    start(&model, ServeSettings { engine, ..ServeSettings::default() })
}

/// The engine notices between two steps that a caller has left.
fn admitted(model: &ServedModel, fields: &Value) -> LocalAnswer {
    loop {
        let answer = model.chat(&request(fields));
        if answer.status == 200 {
            return answer;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_full_queue_is_a_429_and_leaving_makes_room() {
    let model = busy();
    for stream in [true, false] {
        let mut running = admitted(&model, &json!({ "stream": stream }));
        // It does not wait: nothing may be there yet.
        let _ = running.body.as_mut().poll_data(&mut Context::from_waker(Waker::noop()));
        let full = model.chat(&request(&json!({})));
        assert!(full.retry_after_s.is_some_and(|seconds| seconds >= 1));
        assert_eq!(refused(full), (429, "queue_full".to_owned(), Value::Null));
        let full = model.completions(&json!({ "prompt": "a" }));
        assert_eq!(refused(full).0, 429);
        assert_eq!(refused(model.chat(&request(&json!({ "n": 2 })))).0, 400);
        drop(running);
        let next = admitted(&model, &json!({ "max_tokens": 2 }));
        assert_eq!(whole(next)["usage"]["completion_tokens"], 2);
    }
    assert!(!format!("{model:?}").contains("allowance"));
}

#[test]
fn a_stop_string_gives_the_slot_back() {
    let model = busy();
    let free = chat(&model, &json!({ "max_tokens": 20 }));
    let stop: String = content(&free).chars().take(2).collect();
    let stopped = whole(admitted(&model, &json!({ "stop": stop })));
    assert_eq!(content(&stopped), "");
    assert!(stopped["usage"]["completion_tokens"].as_u64().unwrap() <= 20);
    while model.status().running > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn broken_weights_break_the_answer_off() {
    let mut model = model();
    let mut weights = model.weights.as_ref().clone();
    *weights.last_mut().unwrap() = f32::NAN;
    model.weights = Arc::new(weights);
    let model = start(&model, settings());
    for stream in [true, false] {
        let mut answer = model.chat(&request(&json!({ "stream": stream })));
        assert_eq!(pieces(&mut answer), Err(LocalBroken));
    }
    for stream in [true, false] {
        let mut answer = model.completions(&json!({ "prompt": "a", "stream": stream }));
        assert_eq!(pieces(&mut answer), Err(LocalBroken));
    }
}

#[test]
fn a_folder_is_served_in_each_precision() {
    let place = tempfile::tempdir().unwrap();
    let (model, folder) = (model(), place.path().join("model"));
    save(&model, &folder, &Card::default(), Precision::F32).unwrap();
    let exact = content(&chat(&start(&model, settings()), &json!({})));
    for precision in [infer::Precision::F32, infer::Precision::Bf16, infer::Precision::Int8] {
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        let settings = ServeSettings { precision, ..settings() };
        let served =
            ServedModel::open(&folder, "handbook@7", DataClass::Confidential, settings, clock).unwrap();
        assert_eq!(served.trained_on(), DataClass::Confidential);
        assert_eq!((served.name(), served.context_max()), ("handbook@7", 512));
        let answer = chat(&served, &json!({}));
        assert_eq!((&answer["model"], &answer["created"]), (&json!("handbook@7"), &json!(0)));
        if precision == infer::Precision::F32 {
            assert_eq!(content(&answer), exact);
        }
    }
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let missing = ServedModel::open(place.path(), "a@1", DataClass::Public, settings(), clock);
    assert!(missing.is_err());
}

#[test]
fn the_tokenisers_own_routes() {
    let model = served();
    let text = "Straße 日本 <|end|>!";
    let tokens = |fields: Value| whole(model.tokenize(&fields))["tokens"].clone();
    let answer = whole(model.tokenize(&json!({ "prompt": text, "return_token_strs": true })));
    let list = answer["tokens"].as_array().unwrap();
    assert_eq!((&answer["count"], &answer["max_model_len"]), (&json!(list.len()), &json!(512)));
    assert_eq!(answer["token_strs"].as_array().unwrap().len(), list.len());
    // A harness finds the id of a control token by its spelling.
    assert!(list.contains(&json!(TOKENISER.eos().unwrap())));
    assert_eq!(
        tokens(json!({ "prompt": "<|end|>", "add_special_tokens": false })),
        json!([TOKENISER.eos().unwrap()])
    );
    assert_eq!(whole(model.detokenize(&json!({ "tokens": list })))["prompt"], text);
    // What a harness renders by itself is what the model's own rendering gives.
    let turns = json!({ "messages": [{ "role": "user", "content": "Hi" }] });
    assert_eq!(tokens(turns), tokens(json!({ "prompt": "<|user|>Hi<|end|><|assistant|>" })));
    // In a prompt the same letters are letters.
    let prompt = whole(model.completions(&json!({ "prompt": "<|end|>", "max_tokens": 1 })));
    assert!(prompt["usage"]["prompt_tokens"].as_u64().unwrap() > 1);
    let info = whole(model.tokenizer_info());
    assert_eq!((&info["eos_token"], &info["model_max_length"]), (&json!("<|end|>"), &json!(512)));
    assert_eq!(info["chat_template"], TOKENISER.chat_template().unwrap());
    assert_eq!(info["tokenizer_class"], "PreTrainedTokenizerFast");
    for (answer, param) in [
        (model.tokenize(&json!({})), "prompt"),
        (model.tokenize(&json!({ "prompt": "x".repeat(2 << 20) })), "prompt"),
        (model.detokenize(&json!({ "tokens": [1, 100_000] })), "tokens"),
        (model.detokenize(&json!({ "tokens": "x" })), "tokens"),
    ] {
        assert_eq!(refused(answer), (400, "invalid_field".to_owned(), json!(param)));
    }
}
