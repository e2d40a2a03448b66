//! `POST /v1/completions`: governed as a chat is, token ids among its texts.

use std::sync::Arc;

use pintle_core::{DataClass, Transformation, UsageSource};
use pintle_ledger::{Dialect, EntryState, Outcome, ScanState};
use pintle_registry::{Placement, Provider};
use pintle_testkit::{Answer, FakeUpstream};
use serde_json::{Value, json};

use crate::{
    fixture::{CARD, Fixture, IBAN, Setup, cloud, code},
    local::{Fails, Letters, UNKNOWN_ID, alone, ids, own, serving},
};

const PATH: &str = "/v1/completions";

fn ask(prompt: impl Into<Value>) -> Value {
    json!({ "model": "own", "prompt": prompt.into() })
}

fn with(mut body: Value, fields: &Value) -> Value {
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

fn text(answer: &Answer) -> String {
    answer.json()["choices"][0]["text"].as_str().unwrap_or_default().to_owned()
}

fn chunks(answer: &Answer) -> Vec<Value> {
    answer.sse_data().iter().filter_map(|data| serde_json::from_str(data).ok()).collect()
}

fn streamed_text(answer: &Answer) -> String {
    let chunks = chunks(answer);
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect()
}

#[tokio::test]
async fn a_completion_is_answered_paid_and_recorded() {
    let model = Arc::new(Letters::saying(&["and so on"]));
    let fixture = alone(&model).await;
    let answer = fixture.post(PATH, with(ask("Once upon a time "), &json!({ "max_tokens": 9 }))).await;
    assert_eq!((answer.status, text(&answer).as_str()), (200, "and so on"), "{}", answer.text());
    assert_eq!(answer.header("x-pintle-placement"), Some("own"));
    // 17 in at 5, 9 out at 9 per million.
    assert_eq!(answer.header("x-pintle-cost"), Some("0.000166 EUR"));
    let record = fixture.record().await;
    assert_eq!((record.dialect, &*record.model), (Dialect::OpenAiCompletions, "own"));
    assert_eq!((record.request_scan, record.answer_scan), (ScanState::Complete, ScanState::Complete));
    let entry = record.entry.unwrap();
    assert_eq!((entry.usage.input, entry.usage.output), (17, 9));
    assert_eq!(entry.usage_source, UsageSource::Provider);
    let metrics = fixture.get("/metrics").await.text();
    assert!(metrics.contains(r#"dialect="open_ai_completions""#), "{metrics}");
}

#[tokio::test]
async fn i2_the_hold_covers_every_answer_to_every_prompt() {
    let model = Arc::new(Letters::saying(&["x"]));
    let fixture = alone(&model).await;
    let prompts = json!([ids("one"), ids("three")]);
    fixture.post(PATH, with(ask(prompts), &json!({ "max_tokens": 7, "n": 2 }))).await;
    let hold = fixture.record().await.entry.unwrap().hold.nanos();
    assert_eq!(hold, 8 * 5_000 + 2 * 2 * 7 * 9_000);
    fixture.post(PATH, ask("four")).await;
    let hold = fixture.records().await[0].entry.clone().unwrap().hold.nanos();
    assert!(hold >= 16 * 9_000, "without a bound it is OpenAI's: {hold}");
    fixture.budget("0.0005").await;
    let refused = fixture.post(PATH, with(ask("four"), &json!({ "max_tokens": 100 }))).await;
    assert_eq!((refused.status, code(&refused).as_str()), (429, "budget_exceeded"));
    assert_eq!(model.seen().len(), 2);
}

#[tokio::test]
async fn what_an_evaluation_harness_asks_for_comes_back_whole() {
    let model = Arc::new(Letters::saying(&["!"]));
    let fixture = alone(&model).await;
    let prompt = format!("The account is {IBAN}.");
    let fields = json!({ "max_tokens": 1, "echo": true, "logprobs": 1, "temperature": 0, "seed": 1234 });
    let body = with(ask(json!([ids(&prompt), ids("Hello")])), &fields);
    let answer = fixture.post(PATH, body.clone()).await;
    let choices = answer.json()["choices"].clone();
    assert_eq!(choices[0]["text"], format!("{prompt}!"), "{}", answer.text());
    assert_eq!(choices[0]["logprobs"]["token_logprobs"].as_array().unwrap().len(), prompt.len() + 1);
    assert_eq!(choices[1]["logprobs"]["tokens"].as_array().unwrap().len(), 6);
    assert_eq!(model.seen()[0]["prompt"], body["prompt"], "the ids are passed on as they are");
    let record = fixture.record().await;
    assert_eq!(record.class, Some(DataClass::Confidential), "what ids mean is scanned");
    assert_eq!(&*record.findings[0].place.path, "prompt[0]");
    assert_eq!(record.answer_masked, 0);
}

#[tokio::test]
async fn log_probabilities_and_echo_tell_nothing_of_what_was_masked() {
    let model = Arc::new(Letters::saying(&["Pay with 4111 1111 ", "1111 1111 now"]));
    let fixture = alone(&model).await;
    let fields = json!({ "echo": true, "logprobs": 1 });
    let whole = fixture.post(PATH, with(ask(json!(["A", "B"])), &fields)).await;
    assert_eq!(text(&whole), "APay with [MASKED:CREDIT_CARD] now", "{}", whole.text());
    assert_eq!(whole.json()["choices"][0]["logprobs"], Value::Null);
    let streamed = fixture.post(PATH, with(with(ask("A"), &fields), &json!({ "stream": true }))).await;
    assert_eq!(streamed_text(&streamed), "APay with [MASKED:CREDIT_CARD] now", "{}", streamed.text());
    for answer in [whole, streamed] {
        assert!(
            !answer.text().contains("4111") && !answer.text().contains("token_logprobs"),
            "{}",
            answer.text()
        );
    }
    model.say(&["fine, ", "thanks"]);
    let streamed = fixture.post(PATH, with(with(ask("A"), &fields), &json!({ "stream": true }))).await;
    let last = chunks(&streamed).into_iter().find(|chunk| chunk["choices"][0]["finish_reason"] == "length");
    let logprobs = &last.unwrap()["choices"][0]["logprobs"];
    for list in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        assert_eq!(logprobs[list].as_array().unwrap().len(), 13, "{list}");
    }
}

#[tokio::test]
async fn i5_a_streamed_completion_is_guarded_as_a_whole_one_for_every_split() {
    let said = format!("Pay with {CARD} or write to Blue Falcon, thank you very much.");
    let model = Arc::new(Letters::saying(&[&said]));
    let fixture = alone(&model).await;
    let whole = text(&fixture.post(PATH, ask("Which? ")).await);
    assert_eq!(whole, "Pay with [MASKED:CREDIT_CARD] or write to [MASKED:CODE_NAMES], thank you very much.");
    for split in 1..said.len() {
        let (head, tail) = said.split_at(split);
        model.say(&[head, tail]);
        let answer = fixture.post(PATH, with(ask("Which? "), &json!({ "stream": true }))).await;
        assert_eq!(streamed_text(&answer), whole, "split at {split}");
        assert!(answer.text().ends_with("data: [DONE]\n\n"));
        assert!(!answer.text().contains("prompt_tokens"), "nobody asked for the usage");
    }
    let records = fixture.records().await;
    let seen = |record: &pintle_ledger::RequestRecord| -> Vec<_> {
        let found = record.findings.iter();
        found.map(|found| (found.kind.clone(), found.place.clone(), found.start, found.end)).collect()
    };
    assert!(records.iter().all(|record| seen(record) == seen(&records[0]) && record.answer_masked == 2));
    assert!(records.iter().all(|record| record.answer_scan == ScanState::Complete));
    assert!(
        records.iter().all(|record| record.entry.as_ref().unwrap().usage_source == UsageSource::Provider)
    );
}

#[tokio::test]
async fn every_choice_of_a_stream_is_guarded_and_the_usage_comes_if_asked_for() {
    let model = Arc::new(Letters::saying(&["4111 1111 1111", " 1111."]));
    let fixture = alone(&model).await;
    let fields = json!({ "stream": true, "n": 2, "stream_options": { "include_usage": true } });
    let answer = fixture.post(PATH, with(ask(json!(["a", ids("b")])), &fields)).await;
    for index in 0..4 {
        let choices = chunks(&answer).into_iter().filter_map(|chunk| chunk["choices"].get(0).cloned());
        let choices = choices.filter(|choice| choice["index"] == index);
        let text: String = choices.filter_map(|choice| choice["text"].as_str().map(str::to_owned)).collect();
        assert_eq!(text, "[MASKED:CREDIT_CARD].", "choice {index}: {}", answer.text());
    }
    assert_eq!(chunks(&answer).last().unwrap()["usage"]["prompt_tokens"], 2);
}

#[tokio::test]
async fn a_pseudonym_takes_the_place_of_token_ids_and_the_value_comes_back() {
    for streamed in [false, true] {
        let model = Arc::new(Letters::saying(&["<IB", "AN_1> is right"]));
        let placement = Placement { clearance: DataClass::Internal, ..own("own").await };
        let setup = Setup { transformations: vec!["pseudonymise"], ..Setup::new(vec![Arc::new(placement)]) };
        let fixture = serving(setup, &[("own", &model)]).await;
        let prompts = json!([ids(&format!("Refund to {IBAN}.")), ids("Hello")]);
        let body = with(ask(prompts), &json!({ "logprobs": 1, "stream": streamed }));
        let answer = fixture.post(PATH, body).await;
        let got = if streamed { streamed_text(&answer) } else { text(&answer) };
        assert!(got.starts_with(&format!("{IBAN} is right")), "{}", answer.text());
        assert_eq!(model.seen()[0]["prompt"], json!(["Refund to <IBAN_1>.", ids("Hello")]));
        assert!(!answer.text().contains("token_logprobs"), "they spell the placeholder");
        let record = fixture.record().await;
        assert_eq!(record.applied, Some(Transformation::Pseudonymise));
        assert_eq!(record.sent_class, Some(DataClass::Internal));
        assert!(!serde_json::to_string(&record).unwrap().contains(IBAN));
    }
}

#[tokio::test]
async fn ids_that_no_model_can_read_go_nowhere() {
    let model = Arc::new(Letters::saying(&["x"]));
    let fixture = alone(&model).await;
    for prompt in [json!([65, UNKNOWN_ID]), json!(["fine", [UNKNOWN_ID]])] {
        let answer = fixture.post(PATH, ask(prompt)).await;
        assert_eq!((answer.status, code(&answer).as_str()), (400, "invalid_field"), "{}", answer.text());
        assert_eq!(answer.json()["error"]["param"], "prompt");
    }
    for prompt in
        [json!([]), json!([65, -1]), json!([[]]), json!([65, "x"]), json!({}), json!(7), Value::Null]
    {
        let answer = fixture.post(PATH, ask(prompt.clone())).await;
        assert_eq!(answer.status, 400, "{prompt}: {}", answer.text());
    }
    assert!(model.seen().is_empty());
    assert!(fixture.records().await.iter().all(|record| record.outcome == Outcome::Refused));
}

#[tokio::test]
async fn other_providers_are_not_asked_and_the_error_says_who_can_be() {
    let (model, far) = (Arc::new(Letters::saying(&["x"])), FakeUpstream::start().await);
    let simulated = Placement { provider: Provider::Simulated, ..cloud("sim", &far) };
    let placements = vec![cloud("cloud", &far), simulated, own("own").await];
    let fixture =
        serving(Setup::new(placements.into_iter().map(Arc::new).collect()), &[("own", &model)]).await;
    for name in ["cloud", "sim"] {
        let answer = fixture.post(PATH, with(ask("Hello"), &json!({ "model": name }))).await;
        assert_eq!((answer.status, code(&answer).as_str()), (400, "endpoint_unsupported"));
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert_eq!(
            message,
            format!("`{name}` does not serve `/v1/completions`. These placements do: `own`.")
        );
    }
    let answer = fixture.post(PATH, with(ask("Hello"), &json!({ "model": "auto" }))).await;
    assert_eq!((answer.status, answer.header("x-pintle-placement")), (200, Some("own")));
    let answer = fixture.post(PATH, with(ask("Hello"), &json!({ "model": "nowhere" }))).await;
    assert_eq!((answer.status, code(&answer).as_str()), (404, "model_not_found"));
    assert!(answer.text().contains("`own`") && !answer.text().contains("`cloud`"), "{}", answer.text());
    assert!(far.received().is_empty());
}

#[tokio::test]
async fn a_model_that_breaks_before_its_first_byte_is_a_500() {
    let fixture = alone(&Arc::new(Letters::failing(Fails::Breaks))).await;
    let answer = fixture.post(PATH, ask("Hello")).await;
    assert_eq!((answer.status, code(&answer).as_str()), (500, "model_broken"), "{}", answer.text());
    let answer = fixture.post(PATH, with(ask("Hello"), &json!({ "stream": true }))).await;
    assert!(answer.sse_data().pop().unwrap().contains("provider_broken_answer"), "{}", answer.text());
    let records = fixture.records().await;
    assert!(records.iter().all(|record| record.outcome == Outcome::Failed && record.entry.is_some()));
}

#[tokio::test]
async fn an_own_models_refusal_is_passed_on_and_costs_nothing() {
    let body = json!({ "error": { "message": "`logprobs`: expected a whole number from 0 to 20",
        "type": "invalid_request_error", "code": "invalid_field", "param": "logprobs" } });
    let fixture = alone(&Arc::new(Letters::failing(Fails::With(400, body)))).await;
    let answer = fixture.post(PATH, with(ask("Hello"), &json!({ "logprobs": 99 }))).await;
    assert_eq!((answer.status, code(&answer).as_str()), (400, "invalid_field"));
    let error = answer.json()["error"].clone();
    assert_eq!(error["message"], "`logprobs`: expected a whole number from 0 to 20");
    assert_eq!(error["param"], "logprobs");
    assert_eq!(fixture.record().await.entry.unwrap().state, EntryState::Voided);
}

#[tokio::test]
async fn what_one_model_cannot_do_goes_to_the_next_that_may_have_it() {
    let body = json!({ "error": { "message": "This model does not serve completions.",
        "type": "invalid_request_error", "code": "unsupported_by_model", "param": null } });
    let unable = Arc::new(Letters::failing(Fails::With(400, body)));
    let able = Arc::new(Letters::saying(&["x"]));
    let placements = vec![Arc::new(own("a-encoder").await), Arc::new(own("b-writer").await)];
    let fixture = serving(Setup::new(placements), &[("a-encoder", &unable), ("b-writer", &able)]).await;
    let answer = fixture.post(PATH, with(ask("Hello"), &json!({ "model": "auto" }))).await;
    assert_eq!(answer.header("x-pintle-placement"), Some("b-writer"), "{}", answer.text());
    let answer = fixture.post(PATH, with(ask("Hello"), &json!({ "model": "a-encoder" }))).await;
    assert_eq!((answer.status, code(&answer).as_str()), (400, "unsupported_by_model"));
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_frees_the_model_and_pays_for_what_came() {
    let model = Arc::new(Letters::saying(&["one two three four. ", "five"]).gated());
    let fixture = alone(&model).await;
    let mut client = fixture.client().await;
    let body = with(ask("Count. "), &json!({ "stream": true, "max_tokens": 50 }));
    client.post_json(PATH, &fixture.key, &body).await;
    client.read_until(b"three").await;
    assert_eq!(model.open(), 1);
    drop(client);
    let record = fixture.wait_for_records(1).await.remove(0);
    assert_eq!(model.open(), 0, "the body is dropped, and its job with it");
    assert_eq!(record.outcome, Outcome::Cancelled);
    let entry = record.entry.unwrap();
    assert_eq!((entry.state, entry.usage_source), (EntryState::Posted, UsageSource::Estimated));
    assert!((4..=9).contains(&entry.usage.output), "{:?}", entry.usage);
}

#[tokio::test]
async fn an_echoed_prompt_is_not_charged_as_output_when_a_stream_is_cut() {
    let model = Arc::new(Letters::saying(&["x"]).gated());
    let fixture = alone(&model).await;
    let prompt = "several words that only come back ".repeat(20);
    let mut client = fixture.client().await;
    client.post_json(PATH, &fixture.key, &with(ask(prompt), &json!({ "stream": true, "echo": true }))).await;
    client.read_until(b"several words").await;
    drop(client);
    let entry = fixture.wait_for_records(1).await.remove(0).entry.unwrap();
    assert!(entry.usage.input >= 100 && entry.usage.output == 0, "{:?}", entry.usage);
}

#[tokio::test]
async fn unknown_paths_name_the_known_ones() {
    let fixture = Fixture::new(Vec::new()).await;
    let answer = fixture.get("/v1/nothing").await;
    for path in ["/v1/completions", "/v1/embeddings", "/tokenize", "/detokenize", "/tokenizer_info"] {
        assert!(answer.text().contains(path), "{}", answer.text());
    }
    let answer = fixture.get(PATH).await;
    assert_eq!((answer.status, code(&answer).as_str()), (405, "method_not_allowed"));
}
