//! No text escapes the guard: every string leaf and every name of a field is visited, but the constants of the
//! protocol.

use std::collections::BTreeSet;

use pintle_llm::{ChatAnswer, ChatRequest, TextField};
use serde_json::{Value, json};

/// A request that uses everything the dialect has, and things that it has not. Each `@` is replaced by a marker
/// of its own.
fn everything() -> Value {
    json!({
        "model": "not visited",
        "messages": [
            {"role": "system", "content": "@", "name": "@"},
            {"role": "developer", "content": [{"type": "text", "text": "@", "cache_control": {"type": "ephemeral", "ttl": "@"}}]},
            {"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "data:not visited", "detail": "high"}},
                {"type": "image_url", "image_url": {"url": "@", "detail": "@"}},
                {"type": "image_url", "image_url": "@"},
                {"type": "input_audio", "input_audio": {"data": "not visited", "format": "wav"}},
                {"type": "input_audio", "input_audio": {"data": "not visited", "format": "@"}},
                {"type": "file", "file": {"file_data": "not visited", "filename": "@", "file_id": "@"}},
                {"type": "@", "@": "@"},
                {"type": "text", "text": "@", "image_url": {"url": "data:@"}, "data": "@", "file_data": "@"},
            ]},
            {"role": "assistant", "content": null, "refusal": "@", "reasoning_content": "@", "reasoning": "@",
             "audio": {"id": "@"}, "@": [["@"], {"@": "@"}],
             "tool_calls": [
                {"id": "@", "type": "function", "function": {"name": "@", "arguments": "@"}, "index": 0},
                {"id": "@", "type": "@", "custom": {"name": "@", "input": "@"}},
             ],
             "function_call": {"name": "@", "arguments": "@"}},
            {"role": "tool", "tool_call_id": "@", "content": "@"},
            {"role": "@", "name": "@", "content": "@"},
        ],
        "tools": [{"type": "function", "function": {"name": "@", "description": "@", "strict": true, "parameters": {
            "type": "object", "title": "@", "required": ["@"], "$defs": {"@": {"const": "@"}},
            "properties": {
                "@": {"type": ["string", "null"], "description": "@", "enum": ["@", "@"], "default": "@", "examples": ["@"]},
                "@ second": {"type": "array", "items": {"type": "object", "properties": {"@": {"pattern": "@", "format": "@"}}}},
            }}}}],
        "functions": [{"name": "@", "description": "@", "parameters": {"properties": {"@": {}}}}],
        "tool_choice": {"type": "function", "function": {"name": "@"}},
        "function_call": "@",
        "response_format": {"type": "json_schema", "json_schema": {"name": "@", "description": "@", "schema": {
            "properties": {"@": {"enum": ["@"]}}}}},
        "user": "@", "safety_identifier": "@", "prompt_cache_key": "@", "service_tier": "@", "reasoning_effort": "@",
        "metadata": {"@": "@"}, "stop": ["@", "@"], "prediction": {"type": "content", "content": "@"},
        "audio": {"voice": "@", "format": "mp3"}, "modalities": ["text", "@"],
        "logit_bias": {"50256": -100, "@": 1}, "web_search_options": {"user_location": {"approximate": {"city": "@"}}},
        "@": {"@": [{"@": "@"}]},
    })
}

/// Gives each `@` of a document its own marker, and the markers given.
fn mark(text: &str) -> (String, BTreeSet<String>) {
    let mut marked = String::new();
    let mut markers = BTreeSet::new();
    for (at, piece) in text.split('@').enumerate() {
        if at > 0 {
            let marker = format!("marker{at:04}");
            marked.push_str(&marker);
            markers.insert(marker);
        }
        marked.push_str(piece);
    }
    (marked, markers)
}

fn visited(walk: impl FnOnce(&mut dyn FnMut(&TextField<'_>))) -> (BTreeSet<String>, Vec<String>) {
    let (mut markers, mut others) = (BTreeSet::new(), Vec::new());
    walk(&mut |field| match field.text().find("marker") {
        Some(at) => drop(markers.insert(field.text()[at..at + "marker0000".len()].to_owned())),
        None => others.push(field.text().to_owned()),
    });
    (markers, others)
}

#[test]
fn no_text_of_a_request_escapes() {
    let text = everything().to_string();
    let (marked, markers) = mark(&text);
    assert!(markers.len() > 75, "{}", markers.len());
    let request = ChatRequest::parse(marked.as_bytes()).unwrap();
    let (seen, others) = visited(|f| request.for_each_text(f));
    assert_eq!(markers.difference(&seen).collect::<Vec<_>>(), Vec::<&String>::new(), "not visited");
    // Names that are not on the protocol's list are visited too; nothing that is marked as not visited is.
    assert!(others.iter().all(|text| text != "not visited"), "{others:?}");
    let parts = request.unscannable_parts();
    let what: Vec<_> = parts.iter().map(|part| part.what).collect();
    assert_eq!(what, ["image", "image", "image", "audio", "audio", "file", "unknown_part"]);
    assert_eq!(&*parts[0].place.path, "messages[2].content[0]");
    assert_eq!(parts[0].place.message, Some(2));
}

#[test]
fn no_text_of_an_answer_escapes() {
    let document = json!({
        "id": "@", "object": "chat.completion", "created": 1_770_000_000, "model": "not visited", "system_fingerprint": "@",
        "choices": [{
            "index": 0, "finish_reason": "stop", "@": "@",
            "logprobs": {"content": [{"token": "not visited"}]},
            "message": {"role": "assistant", "content": "@", "refusal": "@", "reasoning_content": "@", "@": ["@"],
                "annotations": [{"type": "url_citation", "url_citation": {"title": "@", "url": "@"}}],
                "audio": {"id": "@", "transcript": "@", "data": "@"},
                "tool_calls": [{"id": "@", "type": "function", "function": {"name": "@", "arguments": "@"}}],
                "function_call": {"name": "@", "arguments": "@"}},
        }, {"index": 1, "finish_reason": "@", "message": {"content": [{"type": "text", "text": "@"}]}}],
        "usage": {"prompt_tokens": 10_000_000, "completion_tokens": 1, "@": "@"},
        "@": {"@": "@"},
    });
    let (marked, markers) = mark(&document.to_string());
    let answer = ChatAnswer::parse(marked.as_bytes()).unwrap();
    let (seen, others) = visited(|f| answer.for_each_text(f));
    assert_eq!(markers.difference(&seen).collect::<Vec<_>>(), Vec::<&String>::new(), "not visited");
    assert_eq!(others, Vec::<String>::new());
}

#[test]
fn long_numbers_are_texts() {
    let request = ChatRequest::parse(
        br#"{"model":"m","messages":[{"role":"user","content":"x","account":4111111111111111,"short":123456}],
            "seed":4111111111111111,"ratio":0.123456789,"big":-5555555555554444.0,"max_tokens":10000000}"#,
    )
    .unwrap();
    let mut seen = Vec::new();
    request.for_each_text(&mut |field| seen.push(format!("{:?} {}", field.label(), field.text())));
    assert_eq!(
        seen,
        [
            "Some(\"content\") x",
            "Some(\"messages\") account",
            "Some(\"account\") 4111111111111111",
            "Some(\"messages\") short",
            "None ratio",
            "None big",
            "Some(\"big\") -5555555555554444",
        ]
    );
}

#[test]
fn paths_name_the_place_and_nothing_else() {
    let request = ChatRequest::parse(
        br#"{"model":"m","messages":[{"role":"user","content":"a"},{"role":"user","content":[{"type":"text","text":"b"}]}],
            "metadata":{"jane@example.org":"c"}}"#,
    )
    .unwrap();
    let mut seen = Vec::new();
    request.for_each_text(&mut |field| {
        let place = field.place();
        seen.push(format!("{} {:?} = {}", place.path, place.message, field.text()));
    });
    assert_eq!(
        seen,
        [
            "messages[0].content Some(0) = a",
            "messages[1].content[0].text Some(1) = b",
            "metadata.#0 None = jane@example.org",
            "metadata.#0 None = c",
        ]
    );
}

#[test]
fn tool_arguments_are_looked_into() {
    // Regression: tool-call arguments went unscanned; escapes inside of them hide what they hold.
    let arguments =
        r#"{"note":"pay\nDE89 3704","n\u0061me":"M\u00fcller","card":4111111111111111,"type":"object"}"#;
    let request = ChatRequest::parse(
        json!({"model": "m", "messages": [{"role": "assistant", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}]}]})
        .to_string()
        .as_bytes(),
    )
    .unwrap();
    let mut seen = Vec::new();
    request.for_each_text(&mut |field| seen.push(format!("{} = {:?}", field.path(), field.text())));
    insta::assert_snapshot!(seen.join("\n"), @r#"
    messages[0].tool_calls[0].id = "c"
    messages[0].tool_calls[0].function.name = "f"
    messages[0].tool_calls[0].function.arguments.#0 = "note"
    messages[0].tool_calls[0].function.arguments.#0 = "pay\nDE89 3704"
    messages[0].tool_calls[0].function.arguments.name = "Müller"
    messages[0].tool_calls[0].function.arguments.#2 = "card"
    messages[0].tool_calls[0].function.arguments.#2 = "4111111111111111"
    "#);
}

#[test]
fn a_document_with_a_duplicate_key_is_visited_raw() {
    // The parser would drop the first value, but the string is sent as it is.
    let content = r#"{"a":"DE89\n","a":"x"}"#;
    let request = ChatRequest::parse(
        json!({"model": "m", "messages": [{"role": "tool", "tool_call_id": "c", "content": content}]})
            .to_string()
            .as_bytes(),
    )
    .unwrap();
    let mut seen = Vec::new();
    request.for_each_text(&mut |field| seen.push(field.text().to_owned()));
    assert_eq!(seen, ["c", content]);
}
