//! `POST /v1/embeddings`: to own models and to providers, with the same rules as every other content.

use std::sync::Arc;

use pintle_core::{DataClass, Secret, Transformation, UsageSource};
use pintle_ledger::{Dialect, EntryState, Outcome, ScanState};
use pintle_registry::{Placement, Provider};
use pintle_testkit::{FakeUpstream, Script};
use serde_json::{Value, json};

use crate::{
    fixture::{Fixture, IBAN, Setup, ask as ask_chat, cloud, code, content},
    local::{Letters, alone, ids},
};

const PATH: &str = "/v1/embeddings";

fn ask(model: &str, input: impl Into<Value>) -> Value {
    json!({ "model": model, "input": input.into() })
}

fn answered(vectors: &Value, usage: &Value) -> Script {
    let data: Vec<Value> = vectors
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .map(|(index, vector)| json!({ "object": "embedding", "index": index, "embedding": vector }))
        .collect();
    let body = json!({ "object": "list", "data": data, "model": "embed-1-2026", "usage": usage });
    Script::json(200, &body)
}

#[tokio::test]
async fn a_provider_is_asked_and_its_tokens_are_paid() {
    let upstream = FakeUpstream::start().await;
    let usage = json!({ "prompt_tokens": 12, "total_tokens": 12 });
    upstream.set_default(answered(&json!([[0.25, -0.5], "AACAPg=="]), &usage));
    let provider = Provider::OpenAi {
        base_url: upstream.base_url().parse().unwrap(),
        api_key: Some(Secret::new("sk-provider-key")),
    };
    let fixture = Fixture::new(vec![Placement { provider, ..cloud("embed", &upstream) }]).await;
    let mut body = ask("embed", json!(["Good morning", "Good night"]));
    body["encoding_format"] = "float".into();
    body["dimensions"] = 2.into();
    let answer = fixture.post(PATH, body.clone()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["data"][0]["embedding"], json!([0.25, -0.5]));
    assert_eq!(answer.json()["data"][1]["embedding"], "AACAPg==");
    assert_eq!(answer.json()["usage"], usage);
    assert_eq!(answer.header("x-pintle-cost"), Some("0.000012 EUR"));
    let received = upstream.received().remove(0);
    assert_eq!(received.path, "/v1/embeddings");
    assert_eq!(received.header("authorization"), Some("Bearer sk-provider-key"));
    body["model"] = "fake-1".into();
    assert_eq!(serde_json::from_slice::<Value>(&received.body).unwrap(), body);
    let record = fixture.record().await;
    assert_eq!((record.dialect, record.outcome), (Dialect::OpenAiEmbeddings, Outcome::Answered));
    // Vectors are no texts: nothing claims that they were scanned.
    assert_eq!((record.request_scan, record.answer_scan), (ScanState::Complete, ScanState::NotRun));
    let entry = record.entry.unwrap();
    assert_eq!((entry.usage.input, entry.usage.output), (12, 0));
    assert_eq!((entry.state, entry.usage_source), (EntryState::Posted, UsageSource::Provider));
}

#[tokio::test]
async fn azure_has_its_own_path() {
    let upstream = FakeUpstream::start().await;
    upstream.set_default(answered(&json!([[1]]), &Value::Null));
    let provider = Provider::AzureOpenAi {
        base_url: upstream.base_url().trim_end_matches("/v1").parse().unwrap(),
        api_key: Some(Secret::new("azure-key")),
        api_version: "2026-06-01".into(),
    };
    let fixture = Fixture::new(vec![Placement { provider, ..cloud("embed", &upstream) }]).await;
    let answer = fixture.post(PATH, ask("embed", "Good morning")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let received = upstream.received().remove(0);
    assert_eq!(received.path, "/openai/deployments/fake-1/embeddings?api-version=2026-06-01");
    assert_eq!(received.header("api-key"), Some("azure-key"));
    let entry = fixture.record().await.entry.unwrap();
    assert_eq!(entry.usage_source, UsageSource::Estimated, "a silent provider is counted for");
    assert!(entry.usage.input >= 2 && entry.usage.output == 0);
}

#[tokio::test]
async fn an_own_model_embeds_texts_and_token_ids() {
    let model = Arc::new(Letters::default());
    let fixture = alone(&model).await;
    for input in [json!("Hello"), json!(["Hello"]), json!(ids("Hello")), json!([ids("Hello")])] {
        let answer = fixture.post(PATH, ask("own", input.clone())).await;
        assert_eq!(answer.json()["data"][0]["embedding"], json!([5, 0.5]), "{input}: {}", answer.text());
        // 5 tokens at 5 per million.
        assert_eq!(answer.header("x-pintle-cost"), Some("0.000025 EUR"));
    }
}

#[tokio::test]
async fn vectors_of_different_models_are_not_mixed_so_auto_is_refused() {
    let model = Arc::new(Letters::default());
    let fixture = alone(&model).await;
    let answer = fixture.post(PATH, ask("auto", "Hello")).await;
    assert_eq!((answer.status, code(&answer).as_str()), (400, "invalid_field"), "{}", answer.text());
    assert_eq!(answer.json()["error"]["param"], "model");
    assert!(model.seen().is_empty());
}

#[tokio::test]
async fn an_anthropic_placement_has_no_embeddings() {
    let (claude, other) = (FakeUpstream::start().await, FakeUpstream::start().await);
    let provider = Provider::Anthropic { base_url: claude.base_url().parse().unwrap(), api_key: None };
    let placements = vec![Placement { provider, ..cloud("claude", &claude) }, cloud("embed", &other)];
    let fixture = Fixture::new(placements).await;
    let answer = fixture.post(PATH, ask("claude", "Hello")).await;
    assert_eq!((answer.status, code(&answer).as_str()), (400, "endpoint_unsupported"));
    assert!(answer.text().contains("`embed`"), "{}", answer.text());
}

#[tokio::test]
async fn inputs_are_pseudonymised_where_the_rules_ask_for_it() {
    let upstream = FakeUpstream::start().await;
    upstream.set_default(answered(&json!([[1], [2]]), &json!({ "prompt_tokens": 9, "total_tokens": 9 })));
    let setup = Setup {
        transformations: vec!["pseudonymise"],
        ..Setup::new(vec![Arc::new(cloud("embed", &upstream))])
    };
    let fixture = Fixture::with(setup).await;
    let answer = fixture.post(PATH, ask("embed", json!([format!("Refund to {IBAN}"), "Hello"]))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent: Value = serde_json::from_slice(&upstream.received()[0].body).unwrap();
    assert_eq!(sent["input"], json!(["Refund to <IBAN_1>", "Hello"]));
    let record = fixture.record().await;
    assert_eq!(record.applied, Some(Transformation::Pseudonymise));
    assert_eq!((record.class, record.sent_class), (Some(DataClass::Confidential), Some(DataClass::Internal)));
}

#[tokio::test]
async fn token_ids_of_a_vocabulary_that_nobody_here_knows_cannot_be_scanned_and_are_restricted() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![cloud("embed", &upstream)]).await;
    let answer = fixture.post(PATH, ask("embed", json!([[9906, 11, 1917]]))).await;
    assert_eq!((answer.status, code(&answer).as_str()), (403, "policy_refused"));
    let finding = answer.json()["error"]["findings"][0].clone();
    assert_eq!(
        (finding["type"].as_str(), finding["place"].as_str()),
        (Some("unscannable:tokens"), Some("input[0]"))
    );
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn i2_the_input_is_held_for() {
    let upstream = FakeUpstream::start().await;
    upstream.set_default(answered(&json!([[1]]), &json!({ "prompt_tokens": 1, "total_tokens": 1 })));
    let fixture = Fixture::new(vec![cloud("embed", &upstream)]).await;
    fixture.budget("0.0001").await;
    let long = "many words in one text ".repeat(100);
    let answer = fixture.post(PATH, ask("embed", long)).await;
    assert_eq!((answer.status, code(&answer).as_str()), (429, "budget_exceeded"), "{}", answer.text());
    assert!(upstream.received().is_empty());
    assert_eq!(fixture.post(PATH, ask("embed", "short")).await.status, 200);
    assert_eq!(fixture.spent(), (1_000, 0));
}

#[tokio::test]
async fn what_is_no_vector_is_not_passed_on() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![cloud("embed", &upstream)]).await;
    for vector in [json!(["words"]), json!("not base 64"), json!({ "a": 1 })] {
        upstream.script(answered(&json!([vector]), &Value::Null));
        let answer = fixture.post(PATH, ask("embed", "Hello")).await;
        assert_eq!((answer.status, code(&answer).as_str()), (502, "provider_broken_answer"));
    }
}

#[tokio::test]
async fn a_chat_model_that_makes_no_embeddings_stays_in_service() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    for _ in 0..5 {
        upstream.script(Script::openai_error(404, "model_not_found", "no embeddings here"));
        let answer = fixture.post(PATH, ask("cloud", "Hello")).await;
        assert_eq!((answer.status, code(&answer).as_str()), (502, "provider_misconfigured"));
    }
    let health = fixture.gateway.placements().remove(0).health;
    assert_eq!(health, pintle_gateway::Health::Healthy);
    upstream.script(Script::openai_answer("fine", None));
    assert_eq!(content(&fixture.chat(ask_chat("cloud", "Hello")).await), "fine");
}
