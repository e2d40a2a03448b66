//! The embedded provider: whole and streamed, stop strings, bounds, refusals.

use std::{
    path::PathBuf,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
};

use pintle_core::{DataClass, ManualClock};
use pintle_llm::{ChatRequest, LocalAnswer, LocalModel};
use pintle_model::{
    ServedModel,
    artefact::{self, Card, Precision},
    infer::EngineSettings,
};
use serde_json::{Value, json};

use crate::model;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn served(settings: EngineSettings) -> (tempfile::TempDir, Arc<ServedModel>) {
    let place = tempfile::tempdir().unwrap();
    let folder: PathBuf = place.path().join("1");
    artefact::save(&model(true), &folder, &Card::default(), Precision::F32).unwrap();
    let clock = Arc::new(ManualClock::new("2026-11-24T08:00:00Z".parse().unwrap()));
    let id = "handbook@1".parse().unwrap();
    let served = ServedModel::open(&folder, id, DataClass::Internal, settings, clock).unwrap();
    (place, served)
}

fn ask(served: &ServedModel, body: &Value) -> LocalAnswer {
    let request = ChatRequest::parse(body.to_string().as_bytes()).unwrap();
    served.chat(&request)
}

/// Reads a body to its end on this thread.
fn read(mut answer: LocalAnswer) -> String {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut text = Vec::new();
    loop {
        match answer.body.as_mut().poll_data(&mut context) {
            Poll::Ready(Some(data)) => text.extend_from_slice(&data.unwrap()),
            Poll::Ready(None) => return String::from_utf8(text).unwrap(),
            Poll::Pending => std::thread::park(),
        }
    }
}

fn question(extra: &Value) -> Value {
    let mut body = json!({ "model": "own", "messages": [{ "role": "user", "content": "Where is the harbour?" }],
        "max_tokens": 24, "temperature": 1.0, "seed": 5 });
    for (key, value) in extra.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

fn whole(served: &ServedModel, extra: &Value) -> Value {
    serde_json::from_str(&read(ask(served, &question(extra)))).unwrap()
}

fn content(answer: &Value, index: usize) -> String {
    answer["choices"][index]["message"]["content"].as_str().unwrap().to_owned()
}

#[test]
fn streamed_is_whole_for_every_seed_and_every_answer() {
    let (_place, served) = served(EngineSettings::default());
    for seed in 0..6 {
        let extra = json!({ "seed": seed, "n": 3 });
        let answer = whole(&served, &extra);
        assert_eq!(
            (answer["object"].as_str(), answer["model"].as_str()),
            (Some("chat.completion"), Some("handbook@1"))
        );
        let mut streamed = extra;
        streamed["stream"] = true.into();
        streamed["stream_options"] = json!({ "include_usage": true });
        let stream = read(ask(&served, &question(&streamed)));
        let chunks: Vec<&str> =
            stream.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
        assert_eq!(*chunks.last().unwrap(), "[DONE]");
        let chunks: Vec<Value> =
            chunks[..chunks.len() - 1].iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect();
        for index in 0..3 {
            let mine = |chunk: &&Value| chunk["choices"][0]["index"].as_u64() == Some(index as u64);
            let text: String = chunks
                .iter()
                .filter(mine)
                .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
                .collect();
            assert_eq!(text, content(&answer, index), "seed {seed}");
            let finishes: Vec<&Value> =
                chunks.iter().filter(mine).map(|chunk| &chunk["choices"][0]["finish_reason"]).collect();
            assert_eq!(finishes.iter().filter(|finish| finish.is_string()).count(), 1);
        }
        assert_eq!(chunks.last().unwrap()["usage"], answer["usage"]);
        assert_eq!(
            answer["usage"]["total_tokens"].as_u64().unwrap(),
            answer["usage"]["prompt_tokens"].as_u64().unwrap()
                + answer["usage"]["completion_tokens"].as_u64().unwrap()
        );
    }
    assert_ne!(
        content(&whole(&served, &json!({ "seed": 1 })), 0),
        content(&whole(&served, &json!({ "seed": 2 })), 0)
    );
}

#[test]
fn a_stop_string_ends_the_answer_and_is_not_in_it() {
    let (_place, served) = served(EngineSettings::default());
    let full = content(&whole(&served, &json!({})), 0);
    let letters: Vec<char> = full.chars().collect();
    let stop: String = letters[letters.len() / 2..letters.len() / 2 + 2].iter().collect();
    let expected = full.split(&stop).next().unwrap();
    let answer = whole(&served, &json!({ "stop": [stop, "no such text"] }));
    assert_eq!(content(&answer, 0), expected);
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}

#[test]
fn what_the_model_cannot_do_is_a_400_that_names_the_field() {
    let (_place, served) = served(EngineSettings::default());
    let tool = json!([{ "type": "function", "function": { "name": "f", "parameters": {} } }]);
    let image =
        json!([{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "x" } }] }]);
    for (extra, field) in [
        (json!({ "tools": tool }), "tools"),
        (json!({ "response_format": { "type": "json_object" } }), "response_format"),
        (json!({ "messages": image }), "messages[0].content"),
        (json!({ "logprobs": true }), "logprobs"),
        (json!({ "frequency_penalty": 0.5 }), "frequency_penalty"),
        (json!({ "n": 9 }), "n"),
        (json!({ "stop": ["a", "b", "c", "d", "e"] }), "stop"),
        (json!({ "temperature": 1000 }), "temperature"),
    ] {
        let answer = ask(&served, &question(&extra));
        assert_eq!(answer.status, 400, "{field}");
        let error: Value = serde_json::from_str(&read(answer)).unwrap();
        assert_eq!(error["error"]["param"], field, "{error}");
    }
    let answer = ask(&served, &question(&json!({ "max_tokens": 1_000_000 })));
    assert_eq!(answer.status, 400);
    assert!(read(answer).contains("context_length_exceeded"));
    let fine = json!({ "tools": [], "response_format": { "type": "text" }, "frequency_penalty": 0, "logprobs": false });
    assert_eq!(ask(&served, &question(&fine)).status, 200);
}

#[test]
fn a_full_queue_is_a_429_and_a_dropped_answer_frees_its_place() {
    let settings = EngineSettings { slots: 1, queue_max: 1, ..EngineSettings::default() };
    let (_place, served) = served(settings);
    let answers: Vec<LocalAnswer> = (0..20).map(|_| ask(&served, &question(&json!({})))).collect();
    let full = answers.iter().find(|answer| answer.status == 429).unwrap();
    assert!(full.retry_after_s.is_some());
    drop(answers);
    let patience = std::time::Instant::now();
    while ask(&served, &question(&json!({ "max_tokens": 1 }))).status != 200 {
        assert!(patience.elapsed().as_secs() < 30, "places never came free");
        std::thread::yield_now();
    }
}
