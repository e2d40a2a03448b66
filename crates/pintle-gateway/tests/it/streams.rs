//! Streamed answers: I5, errors in the middle, clients and providers that leave.

use std::sync::Arc;

use pintle_core::{DataClass, UsageSource};
use pintle_ledger::{EntryState, Outcome, ScanState};
use pintle_registry::{Placement, Provider, Timeouts};
use pintle_testkit::{FakeUpstream, Gate, Script, Usage};
use serde_json::{Value, json};

use crate::fixture::{
    CARD, Fixture, Setup, ask, ask_streamed, cloud, content, on_premises, streamed_content,
};

#[tokio::test]
async fn a_stream_passes_with_its_role_finish_and_usage_only_if_asked_for() {
    let upstream = FakeUpstream::start().await;
    upstream
        .set_default(Script::openai_stream(&["Good ", "morning ", "to you."], Usage::new(7, 3).cached(2)));
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    let answer = fixture.chat(ask_streamed("cloud", "Hello")).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(streamed_content(&answer), "Good morning to you.");
    let data = answer.sse_data();
    assert_eq!(data.last().map(String::as_str), Some("[DONE]"));
    assert!(data.iter().any(|data| data.contains(r#""finish_reason":"stop""#)));
    assert!(!answer.text().contains("prompt_tokens"), "nobody asked for the usage");
    assert!(answer.text().contains(": x-pintle-cost: 0.000013 EUR\n\n"), "{}", answer.text());
    let sent: Value = serde_json::from_slice(&upstream.received()[0].body).unwrap();
    assert_eq!(sent["stream_options"]["include_usage"], true, "but the ledger needs it");
    let entry = fixture.record().await.entry.unwrap();
    assert_eq!((entry.usage.input, entry.usage.cached_input, entry.usage.output), (5, 2, 3));
    assert_eq!(entry.usage_source, UsageSource::Provider);
    let mut body = ask_streamed("cloud", "Hello");
    body["stream_options"] = json!({ "include_usage": true });
    assert!(fixture.chat(body).await.text().contains(r#""prompt_tokens":7"#));
}

#[tokio::test]
async fn i5_a_streamed_answer_is_guarded_as_a_whole_one_for_every_split() {
    let text = format!("Pay with {CARD} or write to Blue Falcon, thank you very much.");
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![on_premises("onprem", &upstream)]).await;
    upstream.set_default(Script::openai_answer(&text, Usage::new(1, 1)));
    let whole = content(&fixture.chat(ask("onprem", "Which?")).await);
    assert_eq!(whole, "Pay with [MASKED:CREDIT_CARD] or write to [MASKED:CODE_NAMES], thank you very much.");
    for split in 1..text.len() {
        let (head, tail) = text.split_at(split);
        upstream.script(Script::openai_stream(&[head, tail], Usage::new(1, 1)));
        let answer = fixture.chat(ask_streamed("onprem", "Which?")).await;
        assert_eq!(streamed_content(&answer), whole, "split at {split}");
    }
    let records = fixture.records().await;
    let seen = |record: &pintle_ledger::RequestRecord| -> Vec<_> {
        record
            .findings
            .iter()
            .map(|found| (found.kind.clone(), found.place.clone(), found.start, found.end))
            .collect()
    };
    assert!(records.iter().all(|record| seen(record) == seen(&records[0]) && record.answer_masked == 2));
    assert!(records.iter().all(|record| record.answer_scan == ScanState::Complete));
}

#[tokio::test]
async fn i5_also_for_every_split_of_the_bytes_on_the_wire() {
    let text = format!("Grüße! Pay with {CARD} now.");
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![on_premises("onprem", &upstream)]).await;
    for bytes in [1, 2, 3, 7, 64] {
        upstream.script(Script::openai_stream(&[&text], Usage::new(1, 1)).in_pieces(bytes));
        let answer = fixture.chat(ask_streamed("onprem", "Which?")).await;
        assert_eq!(streamed_content(&answer), "Grüße! Pay with [MASKED:CREDIT_CARD] now.", "{bytes} bytes");
    }
}

#[tokio::test]
async fn streamed_tool_calls_are_guarded_when_they_are_complete() {
    let upstream = FakeUpstream::start().await;
    let arguments = json!({ "to": format!("card {CARD}") }).to_string();
    let (head, tail) = arguments.split_at(14);
    upstream.set_default(Script::openai_tool_call_stream("call_1", "pay", &[head, tail], Usage::new(1, 1)));
    let fixture = Fixture::new(vec![on_premises("onprem", &upstream)]).await;
    let answer = fixture.chat(ask_streamed("onprem", "Pay")).await;
    let mut joined = String::new();
    let mut name = String::new();
    for data in answer.sse_data().iter().filter_map(|data| serde_json::from_str::<Value>(data).ok()) {
        let call = &data["choices"][0]["delta"]["tool_calls"][0]["function"];
        joined.push_str(call["arguments"].as_str().unwrap_or_default());
        name.push_str(call["name"].as_str().unwrap_or_default());
    }
    assert_eq!(name, "pay");
    assert_eq!(serde_json::from_str::<Value>(&joined).unwrap(), json!({ "to": "card [MASKED:CREDIT_CARD]" }));
    assert_eq!(fixture.record().await.answer_class, Some(DataClass::Restricted));
}

#[tokio::test]
async fn text_flows_before_the_answer_is_complete() {
    let upstream = FakeUpstream::start().await;
    let gate = Gate::new();
    upstream.set_default(
        Script::openai_stream(&["Some words ", "and more ", "to come"], Usage::new(1, 1)).gated(&gate),
    );
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    let mut client = fixture.client().await;
    client.post_json("/v1/chat/completions", &fixture.key, &ask_streamed("cloud", "Hello")).await;
    gate.let_through(2);
    client.read_until(b"Some").await;
    gate.open();
    client.read_until(b"[DONE]").await;
}

#[tokio::test]
async fn a_cut_stream_tells_the_client_and_what_came_is_paid() {
    for script in [
        Script::cut_mid_stream(2),
        Script::error_mid_stream(&["Good ", "morning"], "secret words"),
        Script::truncated_utf8_stream(),
    ] {
        let upstream = FakeUpstream::start().await;
        upstream.set_default(script);
        let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
        let answer = fixture.chat(ask_streamed("cloud", "Hello")).await;
        assert_eq!(answer.status, 200);
        let last = answer.sse_data().pop().unwrap();
        let error: Value = serde_json::from_str(&last).unwrap();
        assert!(error["error"]["code"].as_str().unwrap().starts_with("provider_"), "{last}");
        assert!(!answer.text().contains("secret words"));
        let record = fixture.record().await;
        assert_eq!((record.outcome, record.answer_scan), (Outcome::Failed, ScanState::Partial));
        let entry = record.entry.unwrap();
        assert_eq!((entry.state, entry.usage_source), (EntryState::Posted, UsageSource::Estimated));
        assert!(entry.cost.unwrap().nanos() > 0, "a cut stream is not free");
    }
}

#[tokio::test]
async fn a_stalled_stream_ends_with_an_error() {
    let upstream = FakeUpstream::start().await;
    let gate = Gate::new();
    upstream.set_default(Script::openai_stream(&["Good ", "morning"], Usage::new(1, 1)).gated(&gate));
    let timeouts = Timeouts { connect_ms: 500, first_byte_ms: 500, idle_ms: 150 };
    let fixture = Fixture::new(vec![Placement { timeouts, ..cloud("cloud", &upstream) }]).await;
    gate.let_through(2);
    let answer = fixture.chat(ask_streamed("cloud", "Hello")).await;
    assert!(answer.sse_data().pop().unwrap().contains("provider_timeout"), "{}", answer.text());
    upstream.wait_for_client_drop().await;
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_cancels_it_and_pays_for_what_came() {
    let upstream = FakeUpstream::start().await;
    let gate = Gate::new();
    let words = ["one two three "; 20];
    upstream.set_default(Script::openai_stream(&words, Usage::new(5, 90)).gated(&gate));
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    let mut client = fixture.client().await;
    client.post_json("/v1/chat/completions", &fixture.key, &ask_streamed("cloud", "Hello")).await;
    gate.let_through(6);
    client.read_until(b"two").await;
    drop(client);
    gate.open();
    let record = fixture.wait_for_records(1).await.remove(0);
    if record.outcome == Outcome::Answered {
        // The provider was faster than the news of the client's leaving.
        return;
    }
    assert_eq!(record.outcome, Outcome::Cancelled);
    let entry = record.entry.unwrap();
    assert_eq!((entry.state, entry.usage_source), (EntryState::Posted, UsageSource::Estimated));
    assert!(entry.usage.output > 0);
}

#[tokio::test]
async fn anthropics_streams_arrive_in_openais_form() {
    let upstream = FakeUpstream::start().await;
    upstream.set_default(Script::anthropic_stream(&["Good ", "day, ", "Jana."], Usage::new(11, 4).cached(3)));
    let placement = Placement {
        provider: Provider::Anthropic { base_url: upstream.base_url().parse().unwrap(), api_key: None },
        ..cloud("claude", &upstream)
    };
    let fixture = Fixture::with(Setup::new(vec![Arc::new(placement)])).await;
    let answer = fixture.chat(ask_streamed("claude", "Hello")).await;
    assert_eq!(streamed_content(&answer), "Good day, Jana.", "{}", answer.text());
    assert_eq!(answer.sse_data().last().map(String::as_str), Some("[DONE]"));
    let usage = fixture.record().await.entry.unwrap().usage;
    assert_eq!((usage.input, usage.cached_input, usage.output), (8, 3, 4));
}

#[tokio::test]
async fn a_client_that_asked_for_the_usage_gets_it_from_a_silent_provider_too() {
    let upstream = FakeUpstream::start().await;
    upstream.set_default(Script::openai_stream(&["Good ", "day"], None));
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    let mut body = ask_streamed("cloud", "Hello");
    body["stream_options"] = json!({ "include_usage": true });
    let answer = fixture.chat(body).await;
    assert!(answer.text().contains("completion_tokens"), "{}", answer.text());
    assert_eq!(fixture.record().await.entry.unwrap().usage_source, UsageSource::Estimated);
}

fn logprobs_stream(pieces: &[&str]) -> Script {
    let chunk = |delta: Value, logprobs: Value, finish: Value| {
        let choice = json!({ "index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish });
        let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [choice] });
        format!("data: {chunk}\n\n")
    };
    let mut blocks: Vec<String> = pieces
        .iter()
        .map(|piece| {
            let logprobs = json!({ "content": [{ "token": piece, "logprob": -0.5, "bytes": null, "top_logprobs": [] }] });
            chunk(json!({ "content": piece }), logprobs, Value::Null)
        })
        .collect();
    blocks.push(chunk(json!({}), Value::Null, "stop".into()));
    blocks.push("data: [DONE]\n\n".to_owned());
    Script::sse(blocks)
}

#[tokio::test]
async fn log_probabilities_arrive_when_their_text_has_passed_as_it_was_and_never_else() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![on_premises("onprem", &upstream)]).await;
    upstream.script(logprobs_stream(&["Good ", "morning"]));
    let answer = fixture.chat(ask_streamed("onprem", "Hello")).await;
    let last = answer.sse_data().into_iter().find(|data| data.contains(r#""finish_reason":"stop""#)).unwrap();
    let last: Value = serde_json::from_str(&last).unwrap();
    let tokens: Vec<_> = last["choices"][0]["logprobs"]["content"].as_array().unwrap().iter().collect();
    assert_eq!((tokens.len(), tokens[1]["token"].as_str()), (2, Some("morning")));
    upstream.script(logprobs_stream(&["Pay with ", "4111 1111 ", "1111 1111", " now"]));
    let answer = fixture.chat(ask_streamed("onprem", "Hello")).await;
    assert_eq!(streamed_content(&answer), "Pay with [MASKED:CREDIT_CARD] now");
    assert!(!answer.text().contains("1111"), "{}", answer.text());
}

#[tokio::test]
async fn a_stream_that_was_read_to_its_end_leaves_its_connection_for_the_next() {
    let upstream = FakeUpstream::start().await;
    upstream.set_default(Script::openai_stream(&["Good ", "morning"], Usage::new(1, 1)));
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    for _ in 0..10 {
        assert_eq!(streamed_content(&fixture.chat(ask_streamed("cloud", "Hello")).await), "Good morning");
    }
    // Not one: a connection goes back to the pool a moment after its answer has been read.
    assert!(upstream.connections() <= 5, "{} connections for 10 streams", upstream.connections());
}

#[tokio::test]
async fn a_chunk_that_brings_the_last_text_and_the_end_at_once_loses_and_doubles_nothing() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![on_premises("onprem", &upstream)]).await;
    let chunk = |content: &str, finish: Value| {
        let choice = json!({ "index": 0, "delta": { "content": content }, "finish_reason": finish });
        let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [choice] });
        format!("data: {chunk}\n\n")
    };
    let blocks = [
        chunk("Pay with 4111 1111 ", Value::Null),
        chunk("1111 1111", "stop".into()),
        "data: [DONE]\n\n".to_owned(),
    ];
    upstream.script(Script::sse(blocks));
    let answer = fixture.chat(ask_streamed("onprem", "Hello")).await;
    assert_eq!(streamed_content(&answer), "Pay with [MASKED:CREDIT_CARD]", "{}", answer.text());
    assert_eq!(fixture.record().await.answer_masked, 1);
}

/// A stream whose chunks bring these texts and these finish reasons.
fn finishing_stream(pieces: &[(&str, Value)]) -> Script {
    let mut blocks: Vec<String> = pieces
        .iter()
        .map(|(content, finish)| {
            let choice = json!({ "index": 0, "delta": { "content": content }, "finish_reason": finish });
            let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                "choices": [choice] });
            format!("data: {chunk}\n\n")
        })
        .collect();
    blocks.push("data: [DONE]\n\n".to_owned());
    Script::sse(blocks)
}

#[tokio::test]
async fn i5_an_empty_finish_reason_ends_nothing() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![on_premises("onprem", &upstream)]).await;
    upstream.script(finishing_stream(&[
        ("Pay with 4111 1111", "".into()),
        (" 1111 1111 now", "".into()),
        ("", "stop".into()),
    ]));
    let answer = fixture.chat(ask_streamed("onprem", "Hello")).await;
    assert_eq!(streamed_content(&answer), "Pay with [MASKED:CREDIT_CARD] now", "{}", answer.text());
}

#[tokio::test]
async fn i5_text_after_the_end_of_a_choice_breaks_the_stream() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![on_premises("onprem", &upstream)]).await;
    upstream.script(finishing_stream(&[
        ("Pay with 4111 1111", "stop".into()),
        (" 1111 1111 now", "stop".into()),
    ]));
    let answer = fixture.chat(ask_streamed("onprem", "Hello")).await;
    assert!(answer.text().contains("provider_broken_answer"), "{}", answer.text());
    assert!(!answer.text().contains("1111 1111 now"), "{}", answer.text());
}

#[tokio::test]
async fn a_last_event_without_its_blank_line_is_read_too() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    let choice = json!({ "index": 0, "delta": { "content": "Good morning" }, "finish_reason": "stop" });
    let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [choice] });
    upstream.script(Script::sse([format!("data: {chunk}\n\n"), "data: [DONE]".to_owned()]));
    let answer = fixture.chat(ask_streamed("cloud", "Hello")).await;
    assert_eq!(streamed_content(&answer), "Good morning");
    assert_eq!(answer.sse_data().last().map(String::as_str), Some("[DONE]"));
    assert_eq!(fixture.record().await.outcome, Outcome::Answered);
}
