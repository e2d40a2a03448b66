//! Input that means harm, or is simply wrong: a clear error, no crash, no echo of content.

use pintle_llm::{ChatRequest, RequestError};

const SECRET: &str = "DE89370400440532013000";

#[track_caller]
fn refused(body: impl AsRef<[u8]>) -> RequestError {
    ChatRequest::parse(body.as_ref()).unwrap_err()
}

#[test]
fn nesting_is_bounded_for_arrays_and_objects() {
    let arrays = format!(r#"{{"model":"m","x":{}"#, "[".repeat(10_000));
    let objects = format!(r#"{{"model":"m","x":{}"#, r#"{"a":"#.repeat(10_000));
    let closed = format!(r#"{{"model":"m","x":{}{}}}"#, "[".repeat(70), "]".repeat(70));
    for body in [arrays, objects, closed, "[".repeat(10_000)] {
        assert_eq!(refused(&body).code(), "too_deep");
    }
}

#[test]
fn values_are_bounded() {
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user"}}],"x":[{}0]}}"#, "0,".repeat(300_000));
    assert_eq!(refused(&body).code(), "too_many_values");
    let messages = vec![r#"{"role":"user","content":"a"}"#; 10_001].join(",");
    assert_eq!(refused(format!(r#"{{"model":"m","messages":[{messages}]}}"#)).code(), "invalid_field");
}

#[test]
fn bad_encodings_are_named() {
    let mut body = br#"{"model":"m","messages":[{"role":"user","content":""#.to_vec();
    let offset = body.len();
    body.extend_from_slice(b"\xFF\"}]}");
    assert_eq!(refused(&body), RequestError::InvalidUtf8 { offset });
    let lone_surrogate = r#"{"model":"m","messages":[{"role":"user","content":"\ud83d"}]}"#;
    assert_eq!(refused(lone_surrogate).code(), "invalid_json");
}

#[test]
fn every_error_reads_well_and_repeats_nothing() {
    let message = |message: &str| format!(r#"{{"model":"m","messages":[{message}]}}"#);
    let with =
        |field: &str| format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],{field}}}"#);
    let bodies = [
        String::new(),
        SECRET.to_owned(),
        format!(r#""{SECRET}""#),
        format!(r#"{{"model":"{SECRET}"#),
        format!(r#"{{"model":"m"}} {SECRET}"#),
        r#"{"messages":[]}"#.to_owned(),
        r#"{"model":"m"}"#.to_owned(),
        r#"{"model":"m","messages":[]}"#.to_owned(),
        format!(r#"{{"model":["{SECRET}"],"messages":[{{"role":"user"}}]}}"#),
        format!(r#"{{"model":"","messages":[{{"role":"user","content":"{SECRET}"}}]}}"#),
        format!(r#"{{"model":"m","messages":"{SECRET}"}}"#),
        message(&format!(r#""{SECRET}""#)),
        message(&format!(r#"{{"content":"{SECRET}"}}"#)),
        message(&format!(r#"{{"role":["{SECRET}"]}}"#)),
        message(r#"{"role":"user","content":"a"},{"role":"user","content":4111111111111111}"#),
        message(&format!(r#"{{"role":"user","content":["{SECRET}"]}}"#)),
        message(&format!(r#"{{"role":"user","content":[{{"text":"{SECRET}"}}]}}"#)),
        message(r#"{"role":"user","content":[{"type":"text"}]}"#),
        message(r#"{"role":"user","content":[{"type":"text","text":7}]}"#),
        message(&format!(r#"{{"role":"user","name":{{"a":"{SECRET}"}}}}"#)),
        message(&format!(r#"{{"role":"assistant","tool_calls":"{SECRET}"}}"#)),
        message(&format!(
            r#"{{"role":"assistant","tool_calls":[{{"function":{{"arguments":{{"a":"{SECRET}"}}}}}}]}}"#
        )),
        with(r#""n":0"#),
        with(r#""n":4111111111111111"#),
        with(&format!(r#""stream":"{SECRET}""#)),
        with(r#""stream_options":[]"#),
        with(r#""max_tokens":-4111111111111111"#),
        with(r#""max_completion_tokens":1.5"#),
        with(&format!(r#""stop":[7,"{SECRET}"]"#)),
        with(&format!(r#""tools":["{SECRET}"]"#)),
    ];
    let mut page = String::new();
    for body in bodies {
        let error = refused(&body);
        let line = format!("{} {:?}: {error}\n", error.code(), error.param());
        let debug = format!("{error:?}");
        assert!(
            ![SECRET, "4111111111111111"].iter().any(|s| line.contains(s) || debug.contains(s)),
            "{line}"
        );
        page.push_str(&line);
    }
    insta::assert_snapshot!("request_errors", page);
}

#[test]
fn of_duplicate_keys_the_one_that_is_scanned_is_sent() {
    let body = format!(
        r#"{{"model":"a","model":"b","messages":[{{"role":"user","content":"{SECRET}","content":"hello"}}]}}"#
    );
    let request = ChatRequest::parse(body.as_bytes()).unwrap();
    assert_eq!(request.model(), "b");
    let mut texts = Vec::new();
    request.for_each_text(&mut |field| texts.push(field.text().to_owned()));
    assert_eq!(texts, ["hello"]);
    assert!(!String::from_utf8_lossy(&request.to_openai_body("b", false)).contains(SECRET));
}

#[test]
fn debug_shows_no_content() {
    let body = format!(r#"{{"model":"{SECRET}","messages":[{{"role":"user","content":"{SECRET}"}}]}}"#);
    let request = ChatRequest::parse(body.as_bytes()).unwrap();
    assert!(!format!("{request:?}").contains(SECRET));
    request.for_each_text(&mut |field| assert!(!format!("{field:?}").contains(SECRET)));
}
