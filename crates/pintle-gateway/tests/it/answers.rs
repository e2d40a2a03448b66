//! Whole answers: what passes through unchanged, what is masked, what is paid.

use std::sync::Arc;

use pintle_core::{DataClass, UsageSource, Zone};
use pintle_ledger::{EntryState, Outcome, ScanState};
use pintle_registry::{Placement, Provider};
use pintle_testkit::{FakeUpstream, Script, Usage};
use serde_json::{Value, json};

use crate::fixture::{CARD, Fixture, IBAN, Setup, ask, cloud, code, content, on_premises};

#[tokio::test]
async fn unknown_fields_tools_and_log_probabilities_pass_both_ways() {
    let upstream = FakeUpstream::start().await;
    let answered = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "fake-1-2026",
        "choices": [
            { "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "One" },
              "logprobs": { "content": [{ "token": "One", "logprob": -0.1, "bytes": [79], "top_logprobs": [] }] } },
            { "index": 1, "finish_reason": "stop", "message": { "role": "assistant", "content": "Two" } },
        ],
        "usage": { "prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12,
            "prompt_tokens_details": { "cached_tokens": 4 } },
        "a_new_field": { "kept": true },
    });
    upstream.set_default(Script::json(200, &answered));
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    let body = json!({
        "model": "cloud", "n": 2, "logprobs": true, "top_logprobs": 2,
        "messages": [{ "role": "user", "content": "Count", "a_new_field": 1 }],
        "tools": [{ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } }],
        "response_format": { "type": "json_object" }, "another_new_field": [1, { "x": null }],
    });
    let answer = fixture.chat(body.clone()).await;
    assert_eq!(answer.json(), answered);
    let mut sent: Value = serde_json::from_slice(&upstream.received()[0].body).unwrap();
    assert_eq!(sent["model"], "fake-1", "the provider's name for it");
    sent["model"] = "cloud".into();
    assert_eq!(sent, body);
    let entry = fixture.record().await.entry.unwrap();
    assert_eq!((entry.usage.input, entry.usage.cached_input, entry.usage.output), (6, 4, 2));
    assert_eq!(entry.usage_source, UsageSource::Provider);
    // 6 + 4 input at 1, 2 output at 2, per million, in nano-units.
    assert_eq!(entry.cost.unwrap().nanos(), 10_000 + 4_000);
    assert_eq!(answer.header("x-pintle-cost"), Some("0.000014 EUR"));
}

#[tokio::test]
async fn an_answer_above_the_use_cases_class_is_masked_everywhere_and_said_to_be() {
    let upstream = FakeUpstream::start().await;
    let arguments = json!({ "note": format!("card {CARD}") }).to_string();
    upstream.set_default(Script::json(
        200,
        &json!({
        "id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [{
            "index": 0, "finish_reason": "stop", "logprobs": { "content": [{ "token": CARD, "logprob": 0 }] },
            "message": { "role": "assistant", "content": format!("Use {CARD}."), "reasoning_content": CARD,
                "tool_calls": [{ "id": "c", "type": "function",
                    "function": { "name": "pay", "arguments": arguments } }] },
        }], "usage": { "prompt_tokens": 1, "completion_tokens": 1 } }),
    ));
    let fixture = Fixture::new(vec![on_premises("onprem", &upstream)]).await;
    let answer = fixture.chat(ask("onprem", "Which card?")).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.text().contains("4111"), "{}", answer.text());
    assert_eq!(content(&answer), "Use [MASKED:CREDIT_CARD].");
    let arguments = answer.json()["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"].clone();
    let arguments: Value = serde_json::from_str(arguments.as_str().unwrap()).unwrap();
    assert_eq!(arguments["note"], "card [MASKED:CREDIT_CARD]");
    let record = fixture.record().await;
    assert_eq!((record.answer_masked, record.answer_class), (3, Some(DataClass::Restricted)));
    assert_eq!((record.request_scan, record.answer_scan), (ScanState::Complete, ScanState::Complete));
    assert!(!serde_json::to_string(&record).unwrap().contains("4111"), "no value in the record");
}

#[tokio::test]
async fn an_answer_at_the_use_cases_class_passes() {
    let upstream = FakeUpstream::start().await;
    upstream.set_default(Script::openai_answer(&format!("It is {IBAN}."), Usage::new(1, 1)));
    let fixture = Fixture::new(vec![on_premises("onprem", &upstream)]).await;
    assert_eq!(content(&fixture.chat(ask("onprem", "Which?")).await), format!("It is {IBAN}."));
    assert_eq!(fixture.record().await.answer_class, Some(DataClass::Confidential));
}

#[tokio::test]
async fn a_silent_provider_is_counted_for_and_marked_as_estimated() {
    let upstream = FakeUpstream::start().await;
    upstream.set_default(Script::openai_answer("Four words of answer", None));
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    fixture.chat(ask("cloud", "Say something, please.")).await;
    let entry = fixture.record().await.entry.unwrap();
    assert_eq!(entry.usage_source, UsageSource::Estimated);
    assert!(entry.usage.input > 0 && entry.usage.output > 0 && entry.cost.unwrap().nanos() > 0);
}

#[tokio::test]
async fn anthropic_is_spoken_to_in_its_own_words() {
    let upstream = FakeUpstream::start().await;
    upstream.set_default(Script::anthropic_answer("Good day", Usage::new(20, 5).cached(8).cache_write(2)));
    let placement = Placement {
        provider: Provider::Anthropic {
            base_url: upstream.base_url().parse().unwrap(),
            api_key: Some(pintle_core::Secret::new("sk-ant-test")),
        },
        ..cloud("claude", &upstream)
    };
    let fixture = Fixture::new(vec![placement]).await;
    let body = json!({ "model": "claude", "messages": [
        { "role": "system", "content": "Be brief." }, { "role": "user", "content": "Hello" }] });
    let answer = fixture.chat(body).await;
    assert_eq!(content(&answer), "Good day", "{}", answer.text());
    let received = upstream.received().remove(0);
    assert_eq!(received.path, "/v1/messages");
    assert_eq!(received.header("x-api-key"), Some("sk-ant-test"));
    assert_eq!(received.header("anthropic-version"), Some("2023-06-01"));
    let sent: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(sent["system"][0]["text"], "Be brief.");
    assert!(sent["max_tokens"].is_u64());
    let usage = fixture.record().await.entry.unwrap().usage;
    assert_eq!((usage.input, usage.cached_input, usage.cache_write, usage.output), (10, 8, 2, 5));
}

#[tokio::test]
async fn what_a_dialect_cannot_say_goes_to_one_that_can() {
    let (claude, other) = (FakeUpstream::start().await, FakeUpstream::start().await);
    let anthropic = Placement {
        provider: Provider::Anthropic { base_url: claude.base_url().parse().unwrap(), api_key: None },
        pricing: on_premises("x", &claude).pricing,
        ..cloud("a-claude", &claude)
    };
    let other = Placement { zone: Zone::PrivateCloud, ..on_premises("b-other", &other) };
    let fixture = Fixture::new(vec![anthropic, other]).await;
    let mut body = ask("auto", "Hello");
    body["n"] = 2.into();
    let answer = fixture.chat(body.clone()).await;
    assert_eq!(answer.header("x-pintle-placement"), Some("b-other"), "{}", answer.text());
    body["model"] = "a-claude".into();
    let refused = fixture.chat(body).await;
    assert_eq!((refused.status, code(&refused).as_str()), (400, "unsupported"), "{}", refused.text());
    let record = fixture.records().await.remove(0);
    assert_eq!(record.entry.unwrap().state, EntryState::Voided, "nothing was sent");
    assert!(claude.received().is_empty());
}

#[tokio::test]
async fn keys_and_providers_words_stay_inside() {
    let upstream = FakeUpstream::start().await;
    upstream.set_default(Script::openai_error(
        400,
        "bad_thing",
        "the prompt 'secret plan' and key sk-live-1 are bad",
    ));
    let placement = Placement {
        provider: Provider::OpenAi {
            base_url: upstream.base_url().parse().unwrap(),
            api_key: Some(pintle_core::Secret::new("sk-provider-key")),
        },
        ..cloud("cloud", &upstream)
    };
    let fixture = Fixture::with(Setup::new(vec![Arc::new(placement)])).await;
    let answer = fixture.chat(ask("cloud", "secret plan")).await;
    assert_eq!((answer.status, code(&answer).as_str()), (400, "provider_refused"));
    assert_eq!(upstream.received()[0].header("authorization"), Some("Bearer sk-provider-key"));
    let record = fixture.record().await;
    assert_eq!(record.outcome, Outcome::Failed);
    for text in [answer.text(), serde_json::to_string(&record).unwrap()] {
        for secret in ["secret plan", "sk-live", "sk-provider", fixture.key.as_str()] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
