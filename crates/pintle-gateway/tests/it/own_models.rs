//! Own models: their class, their queue, and a change of version under requests that are on their way.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use pintle_core::DataClass;
use pintle_gateway::Settings;
use pintle_llm::{ChatRequest, LocalAnswer, LocalBody, LocalBroken, LocalModel};
use pintle_registry::{Placement, Provider};
use pintle_testkit::FakeUpstream;
use serde_json::json;

use crate::fixture::{
    Fixture, Setup, ask, ask_streamed, code, content, gateway_settings, limits, on_premises,
};

/// A version that says its own name; the second half of a streamed answer waits for the gate.
#[derive(Debug)]
struct Version {
    says: &'static str,
    class: DataClass,
    is_full: bool,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate(Mutex<(bool, Option<Waker>)>);

impl Gate {
    fn open(&self) {
        let mut gate = self.0.lock().unwrap();
        gate.0 = true;
        if let Some(waker) = gate.1.take() {
            waker.wake();
        }
    }
}

struct Streamed {
    pieces: Vec<Bytes>,
    gate: Arc<Gate>,
}

impl LocalBody for Streamed {
    fn poll_data(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, LocalBroken>>> {
        if self.pieces.len() == 1 {
            let mut gate = self.gate.0.lock().unwrap();
            if !gate.0 {
                gate.1 = Some(context.waker().clone());
                return Poll::Pending;
            }
        }
        Poll::Ready(self.pieces.pop().map(Ok))
    }
}

impl LocalModel for Version {
    fn trained_on(&self) -> DataClass {
        self.class
    }

    fn chat(&self, request: &ChatRequest) -> LocalAnswer {
        if self.is_full {
            let body = json!({ "error": { "message": "The queue is full.", "type": "rate_limit_error" } });
            let body = Bytes::from(body.to_string());
            return LocalAnswer { status: 429, retry_after_s: Some(3), body: Box::pin(Some(body)) };
        }
        let usage = json!({ "prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4 });
        let says = self.says;
        if request.stream() {
            let chunk = |choice: serde_json::Value, usage: serde_json::Value| {
                let chunk = json!({ "id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m",
                    "choices": [choice], "usage": usage });
                Bytes::from(format!("data: {chunk}\n\n"))
            };
            let first = json!({ "index": 0, "delta": { "role": "assistant", "content": says }, "finish_reason": null });
            let last = json!({ "index": 0, "delta": { "content": says }, "finish_reason": "stop" });
            let mut end = chunk(last, usage).to_vec();
            end.extend_from_slice(b"data: [DONE]\n\n");
            let pieces = vec![Bytes::from(end), chunk(first, serde_json::Value::Null)];
            let body = Streamed { pieces, gate: Arc::clone(&self.gate) };
            return LocalAnswer { status: 200, retry_after_s: None, body: Box::pin(body) };
        }
        let body = json!({ "id": "1", "object": "chat.completion", "created": 0, "model": "m", "usage": usage,
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": says }, "finish_reason": "stop" }] });
        LocalAnswer { status: 200, retry_after_s: None, body: Box::pin(Some(Bytes::from(body.to_string()))) }
    }
}

fn version(says: &'static str, class: DataClass) -> Version {
    Version { says, class, is_full: false, gate: Arc::default() }
}

async fn own() -> Arc<Placement> {
    let unused = FakeUpstream::start().await;
    let placement = Placement { provider: Provider::Embedded, ..on_premises("own", &unused) };
    Arc::new(placement)
}

fn settings(fixture: &Fixture, placement: &Arc<Placement>, model: Option<Version>) -> Settings {
    let model = model.map(|model| (placement.name.clone(), Arc::new(model) as Arc<dyn LocalModel>));
    let models: HashMap<_, _> = model.into_iter().collect();
    Settings { models, ..gateway_settings(&fixture.organisation, vec![Arc::clone(placement)], limits()) }
}

#[tokio::test]
async fn a_model_is_out_of_service_until_a_version_is_in_production() {
    let placement = own().await;
    let fixture = Fixture::with(Setup::new(vec![Arc::clone(&placement)])).await;
    assert_eq!(code(&fixture.chat(ask("own", "Hello")).await), "model_not_found");
    fixture.gateway.reload(settings(&fixture, &placement, Some(version("one", DataClass::Public)))).unwrap();
    let answer = fixture.chat(ask("own", "Hello")).await;
    assert_eq!((answer.status, content(&answer).as_str()), (200, "one"));
    assert_eq!(answer.header("x-pintle-placement"), Some("own"));
}

#[tokio::test]
async fn a_model_that_learnt_confidential_things_is_not_offered_below() {
    let placement = own().await;
    let setup = Setup { data_class: DataClass::Internal, ..Setup::new(vec![Arc::clone(&placement)]) };
    let fixture = Fixture::with(setup).await;
    let learnt = version("a secret", DataClass::Confidential);
    fixture.gateway.reload(settings(&fixture, &placement, Some(learnt))).unwrap();
    let answer = fixture.chat(ask("own", "Hello")).await;
    assert_eq!((answer.status, code(&answer).as_str()), (403, "policy_refused"));
    assert!(answer.text().contains("own-model-class"), "{}", answer.text());
    let models = fixture.get("/v1/models").await;
    assert!(!models.text().contains("\"own\""), "{}", models.text());
}

#[tokio::test]
async fn a_full_queue_is_a_429_that_says_when_to_come_back() {
    let placement = own().await;
    let fixture = Fixture::with(Setup::new(vec![Arc::clone(&placement)])).await;
    let full = Version { is_full: true, ..version("", DataClass::Public) };
    fixture.gateway.reload(settings(&fixture, &placement, Some(full))).unwrap();
    let answer = fixture.chat(ask("own", "Hello")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("3")));
    assert_eq!(fixture.spent(), (0, 0));
}

/// What stands where a model cannot be loaded.
#[derive(Debug)]
struct Missing;

impl LocalModel for Missing {
    fn trained_on(&self) -> DataClass {
        DataClass::Public
    }

    fn chat(&self, _: &ChatRequest) -> LocalAnswer {
        let body = json!({ "error": { "message": "It cannot be loaded.", "code": "model_unavailable" } });
        let body = Bytes::from(body.to_string());
        LocalAnswer { status: 503, retry_after_s: None, body: Box::pin(Some(body)) }
    }
}

#[tokio::test]
async fn a_model_that_cannot_be_loaded_is_a_503_that_says_so() {
    let placement = own().await;
    let fixture = Fixture::with(Setup::new(vec![Arc::clone(&placement)])).await;
    let missing: Arc<dyn LocalModel> = Arc::new(Missing);
    let models = HashMap::from([(placement.name.clone(), missing)]);
    let settings = Settings { models, ..settings(&fixture, &placement, None) };
    fixture.gateway.reload(settings).unwrap();
    let answer = fixture.chat(ask("own", "Hello")).await;
    assert_eq!((answer.status, code(&answer).as_str()), (503, "model_unavailable"));
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert!(answer.text().contains("`own`"), "{}", answer.text());
    assert_eq!(fixture.spent(), (0, 0));
}

#[tokio::test]
async fn a_change_of_version_drops_no_request_that_is_on_its_way() {
    let placement = own().await;
    let fixture = Fixture::with(Setup::new(vec![Arc::clone(&placement)])).await;
    let old = version("old ", DataClass::Public);
    let gate = Arc::clone(&old.gate);
    fixture.gateway.reload(settings(&fixture, &placement, Some(old))).unwrap();
    let mut client = fixture.client().await;
    client.post_json("/v1/chat/completions", &fixture.key, &ask_streamed("own", "Hello")).await;
    client.head().await;
    fixture.gateway.reload(settings(&fixture, &placement, Some(version("new ", DataClass::Public)))).unwrap();
    assert_eq!(content(&fixture.chat(ask("own", "Hello")).await), "new ");
    gate.open();
    let rest = client.read_until("[DONE]").await;
    let rest = String::from_utf8_lossy(&rest);
    assert!(rest.contains("old ") && !rest.contains("new "), "{rest}");
}
