//! Requests that are no chats: their shapes, their texts, what token ids mean, and a completion's stream.

use std::collections::BTreeSet;

use pintle_llm::{AnyRequest, Channel, Endpoint, HeldLogprobs, PromptRequest, StreamItem, parse_stream_data};
use serde_json::{Value, json};

fn parse(endpoint: Endpoint, body: &Value) -> PromptRequest {
    match AnyRequest::parse(endpoint, body.to_string().as_bytes()) {
        Ok(AnyRequest::Prompt(prompt)) => prompt,
        other => panic!("{body}: {other:?}"),
    }
}

fn completion(prompt: &Value) -> PromptRequest {
    parse(Endpoint::Completions, &json!({ "model": "m", "prompt": prompt }))
}

/// Tokens that are letters; there is none after `z`.
fn letters(ids: &[u32]) -> Option<String> {
    ids.iter().map(|id| u8::try_from(*id).ok().filter(|id| *id <= b'z').map(char::from)).collect()
}

fn texts(request: &PromptRequest) -> Vec<String> {
    let mut seen = Vec::new();
    request.for_each_text(&mut |field| seen.push(format!("{}={}", field.path(), field.text())));
    seen
}

#[test]
fn every_text_is_visited_in_every_form() {
    let body = json!({
        "model": "not visited", "prompt": ["@1", "@2"], "suffix": "@3", "stop": ["@4"], "user": "@5", "echo": true,
        "logprobs": 1, "best_of": 1, "seed": 123_456_789, "@6": { "@7": ["@8"] }, "logit_bias": { "50256": 1, "@9": 1 },
        "stream": true, "stream_options": { "@A": "@B" },
    });
    let request = parse(Endpoint::Completions, &body);
    let mut seen = BTreeSet::new();
    request.for_each_text(&mut |field| {
        seen.insert(field.text().to_owned());
    });
    let all: BTreeSet<String> = "123456789AB".chars().map(|c| format!("@{c}")).collect();
    assert_eq!(seen, all);
    let request = parse(
        Endpoint::Embeddings,
        &json!({ "model": "m", "input": ["a", "b"], "encoding_format": "base64" }),
    );
    assert_eq!(texts(&request), ["input[0]=a", "input[1]=b"]);
    let messages = json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": "a" }] }] });
    assert_eq!(texts(&parse(Endpoint::Tokenize, &messages)), ["messages[0].content[0].text=a"]);
}

#[test]
fn token_ids_count_as_unscannable_until_they_are_read_and_as_texts_from_then_on() {
    let cases = [
        (json!([104, 105]), vec!["prompt"], vec!["prompt=hi"]),
        (
            json!([[104], "x", [105]]),
            vec!["prompt[0]", "prompt[2]"],
            vec!["prompt[1]=x", "prompt[0]=h", "prompt[2]=i"],
        ),
    ];
    for (prompt, places, read) in cases {
        let mut request = completion(&prompt);
        assert!(request.has_tokens());
        let parts = request.unscannable_parts();
        assert!(parts.iter().all(|part| part.what == "tokens"));
        assert_eq!(parts.iter().map(|part| &*part.place.path).collect::<Vec<_>>(), places);
        let readings = request.read(&letters).unwrap();
        request.set_readings(readings);
        assert!(request.unscannable_parts().is_empty());
        assert_eq!(texts(&request), read);
    }
    assert!(completion(&json!([104, 200])).read(&letters).is_none());
    assert!(!completion(&json!("text")).has_tokens());
    let tokens = parse(Endpoint::Detokenize, &json!({ "tokens": [104] }));
    assert_eq!(&*tokens.unscannable_parts()[0].place.path, "tokens");
}

#[test]
fn a_text_takes_the_place_of_ids_whose_meaning_changes() {
    let mut request = completion(&json!([[104, 105], [106], "hi you"]));
    let readings = request.read(&letters).unwrap();
    request.set_readings(readings);
    let mask = |text: &str| text.contains("hi").then(|| text.replace("hi", "[X]"));
    assert_eq!(request.map_texts(&mut |field| mask(field.text())).unwrap(), 2);
    assert_eq!(request.body()["prompt"], json!(["[X]", [106], "[X] you"]));
    assert_eq!(texts(&request), ["prompt[0]=[X]", "prompt[2]=[X] you", "prompt[1]=j"]);
    assert!(request.unscannable_parts().is_empty());
    let mut request = completion(&json!([104, 105]));
    let readings = request.read(&letters).unwrap();
    request.set_readings(readings);
    request.map_texts(&mut |field| mask(field.text())).unwrap();
    assert_eq!(request.body()["prompt"], "[X]");
}

#[test]
fn choices_and_tokens_are_counted_over_all_prompts() {
    let body = json!({ "model": "m", "prompt": [[1, 2, 3], "four"], "n": 3, "max_tokens": 5, "echo": true });
    let request = AnyRequest::parse(Endpoint::Completions, body.to_string().as_bytes()).unwrap();
    assert_eq!((request.choices(), request.output_tokens_max(100)), (6, 30));
    assert_eq!((request.estimate_input_tokens(), request.estimate_echoed_tokens()), (4, 12));
    let plain = AnyRequest::parse(Endpoint::Completions, br#"{"model":"m","prompt":[7]}"#).unwrap();
    assert_eq!((plain.choices(), plain.output_tokens_max(100), plain.estimate_echoed_tokens()), (1, 16, 0));
    let embeddings =
        AnyRequest::parse(Endpoint::Embeddings, br#"{"model":"m","input":[[7,8],[9]]}"#).unwrap();
    assert_eq!((embeddings.estimate_input_tokens(), embeddings.output_tokens_max(100)), (3, 0));
    let chat = br#"{"model":"m","messages":[{"role":"user","content":"hi"}],"n":2}"#;
    let chat = AnyRequest::parse(Endpoint::Chat, chat).unwrap();
    assert_eq!((chat.choices(), chat.output_tokens_max(100)), (2, 200));
}

#[test]
fn what_is_no_such_request_is_refused_by_name() {
    let mut seen = Vec::new();
    for (endpoint, body) in [
        (Endpoint::Completions, json!({ "prompt": "x" })),
        (Endpoint::Completions, json!({ "model": "m" })),
        (Endpoint::Completions, json!({ "model": "m", "prompt": [] })),
        (Endpoint::Completions, json!({ "model": "m", "prompt": [1, "x"] })),
        (Endpoint::Completions, json!({ "model": "m", "prompt": ["x", 1] })),
        (Endpoint::Completions, json!({ "model": "m", "prompt": [[1], [-1]] })),
        (Endpoint::Completions, json!({ "model": "m", "prompt": [[]] })),
        (Endpoint::Completions, json!({ "model": "m", "prompt": vec!["x"; 2049] })),
        (Endpoint::Completions, json!({ "model": "m", "prompt": "x", "max_tokens": -1 })),
        (Endpoint::Completions, json!({ "model": "m", "prompt": "x", "n": 0 })),
        (Endpoint::Completions, json!({ "model": "m", "prompt": "x", "stream": 1 })),
        (Endpoint::Embeddings, json!({ "model": "m", "input": { "text": "x" } })),
        (Endpoint::Tokenize, json!({ "prompt": [1] })),
        (Endpoint::Detokenize, json!({ "tokens": [1, 4_294_967_296_u64] })),
        (Endpoint::TokenizerInfo, json!({ "model": 1 })),
        (Endpoint::TokenizerInfo, json!([])),
    ] {
        let error = AnyRequest::parse(endpoint, body.to_string().as_bytes()).unwrap_err();
        seen.push(format!("{}: {error}", error.code()));
    }
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn a_stream_is_asked_for_its_usage_whatever_the_client_said() {
    for options in [Value::Null, json!({}), json!({ "include_usage": false })] {
        let body = json!({ "model": "m", "prompt": "x", "stream": true, "stream_options": options });
        let request = parse(Endpoint::Completions, &body);
        assert_eq!(request.body()["stream_options"]["include_usage"], true);
        assert!(request.stream() && !request.wants_usage_chunk());
    }
    assert_eq!(completion(&json!("x")).body().get("stream_options"), None);
}

#[test]
fn the_body_for_a_provider_is_the_clients_with_another_model() {
    let body = json!({ "model": "embed", "input": ["a"], "dimensions": 8, "a_new_field": { "x": 1 } });
    let sent: Value =
        serde_json::from_slice(&parse(Endpoint::Embeddings, &body).to_openai_body("e-1")).unwrap();
    assert_eq!(sent, json!({ "model": "e-1", "input": ["a"], "dimensions": 8, "a_new_field": { "x": 1 } }));
}

#[test]
fn a_completions_text_is_a_channel_and_its_log_probabilities_add_up() {
    let chunk = |text: &str, tokens: &[&str], finish: Value| {
        let logprobs = json!({ "tokens": tokens, "token_logprobs": vec![-0.5; tokens.len()] });
        let choice = json!({ "index": 1, "text": text, "logprobs": logprobs, "finish_reason": finish });
        let chunk = json!({ "id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [choice] });
        match parse_stream_data(chunk.to_string().as_bytes()).unwrap() {
            StreamItem::Chunk(chunk) => chunk,
            other => panic!("{other:?}"),
        }
    };
    let mut first = chunk("ab", &["a", "b"], Value::Null);
    let mut seen = Vec::new();
    first.for_each_text(&mut |delta| seen.push((delta.choice, delta.channel.clone(), delta.text.clone())));
    assert_eq!(seen, [(1, Channel::Text, "ab".to_owned())]);
    assert_eq!(&*Channel::Text.place(1).path, "choices[1].text");
    let released = first.head().text_chunk(1, &Channel::Text, "xy").unwrap();
    assert_eq!(released.body()["object"], "text_completion");
    let choice = json!({ "index": 1, "text": "xy", "logprobs": null, "finish_reason": null });
    assert_eq!(released.body()["choices"][0], choice);
    let mut held = HeldLogprobs::default();
    for mut chunk in [first, chunk("c", &["c"], "stop".into())] {
        chunk.take_logprobs().into_iter().for_each(|(_, logprobs)| held.absorb(logprobs));
    }
    assert_eq!(held.release().unwrap()["tokens"], json!(["a", "b", "c"]));
}
