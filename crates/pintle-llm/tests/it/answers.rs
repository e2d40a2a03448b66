//! Whole answers: Anthropic's in OpenAI's shape, usage, log probabilities, model.

use pintle_core::TokenUsage;
use pintle_llm::{AnswerError, ChatAnswer, ErrorBody, ModelEntry, ModelList, ProviderFault};
use serde_json::json;

use crate::{files, pretty};

const NOW_S: i64 = 1_770_000_000;

#[test]
fn anthropics_answers_in_openais_shape() {
    for (name, bytes) in files("answers", "json") {
        let page = match ChatAnswer::from_anthropic(&bytes, NOW_S) {
            Ok(answer) => format!("{}\n{:?}\n", pretty(&answer.to_bytes()), answer.usage()),
            Err(error) => format!("{error}\n"),
        };
        insta::assert_snapshot!(format!("answer_{name}"), page);
    }
}

fn answer(document: &serde_json::Value) -> ChatAnswer {
    ChatAnswer::parse(document.to_string().as_bytes()).unwrap()
}

#[test]
fn an_openai_answer_keeps_its_fields() {
    let document = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024-08-06",
        "choices": [{
            "index": 0, "finish_reason": "stop", "vendor": {"a": [1, null]},
            "message": {"role": "assistant", "content": "Hi", "refusal": null, "annotations": []},
            "logprobs": {"content": [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}]},
        }],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12,
                  "prompt_tokens_details": {"cached_tokens": 4}},
        "error": null,
    });
    let mut answer = answer(&document);
    assert_eq!(pretty(&answer.to_bytes()), serde_json::to_string_pretty(&document).unwrap());
    assert_eq!(
        answer.usage(),
        Some(TokenUsage { input: 6, cached_input: 4, output: 2, ..TokenUsage::default() })
    );
    answer.set_model("support-fast");
    answer.strip_logprobs(Some(1));
    assert!(!answer.body()["choices"][0]["logprobs"].is_null());
    answer.strip_logprobs(Some(0));
    assert!(answer.body()["choices"][0]["logprobs"].is_null());
    assert_eq!(answer.body()["model"], "support-fast");
    assert!(!String::from_utf8_lossy(&answer.to_bytes()).contains("top_logprobs"));
}

#[test]
fn an_answer_that_is_none_is_an_error_without_the_providers_words() {
    for (body, expected) in [
        (r#"{"error":{"message":"key sk-1","code":"invalid_api_key"}}"#, "code `invalid_api_key`"),
        (r#"{"choices":[{"message":"x""#, "it ends too early"),
        ("upstream sk-1", "there is something unexpected"),
        (r#"{"result":"sk-1"}"#, "`choices` should be an array of objects"),
        (r#"["sk-1"]"#, "`body` should be an object"),
        (r#"{"choices":["sk-1"]}"#, "`choices` should be an array of objects"),
    ] {
        let error = ChatAnswer::parse(body.as_bytes()).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!text.contains("sk-1"), "{text}");
    }
    let fault = ProviderFault { code: None, kind: Some("overloaded_error".into()) };
    let body = br#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#;
    assert_eq!(ChatAnswer::from_anthropic(body, NOW_S), Err(AnswerError::Provider(fault)));
}

#[test]
fn output_is_guessed_from_every_text_of_the_choices() {
    let one = answer(&json!({"choices": [{"message": {"content": "one two three"}}]}));
    let two = answer(&json!({"choices": [
        {"message": {"content": "one two three"}},
        {"message": {"tool_calls": [{"function": {"name": "f", "arguments": "{\"a\": \"one two\"}"}}]}},
    ]}));
    assert!(one.estimate_output_tokens() >= 3);
    assert!(two.estimate_output_tokens() > one.estimate_output_tokens() + 4);
}

#[test]
fn errors_and_models_in_their_shapes() {
    let mut error = ErrorBody::new("permission_error", "class_above_clearance", "`messages[0].content` …");
    error.param = Some("messages[0].content".into());
    error.extra.insert("ways_forward".into(), json!(["mask"]));
    error.extra.insert("code".into(), json!("forged"));
    assert_eq!(
        String::from_utf8(error.to_sse().to_vec()).unwrap(),
        concat!(
            r#"data: {"error":{"message":"`messages[0].content` …","type":"permission_error","#,
            r#""param":"messages[0].content","code":"class_above_clearance","ways_forward":["mask"]}}"#,
            "\n\n"
        )
    );
    let entry = |id: &str| ModelEntry {
        id: id.into(),
        display_name: format!("The {id}"),
        owned_by: "pintle".into(),
        created: "2026-01-02T03:04:05Z".parse().unwrap(),
    };
    let list = ModelList { models: vec![entry("auto"), entry("cloud-small")] };
    insta::assert_snapshot!("models", pretty(&list.to_bytes()));
    assert_eq!(
        &ModelList::default().to_bytes()[..],
        br#"{"object":"list","data":[],"has_more":false,"first_id":null,"last_id":null}"#
    );
    assert!(pretty(&entry("auto").to_bytes()).contains(r#""object": "model""#));
}
