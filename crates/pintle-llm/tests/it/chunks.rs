//! OpenAI's chunks: channels, ends, usage, faults, and the chunks that Pintle adds.

use bytes::BytesMut;
use pintle_llm::{Channel, ChatChunk, StreamItem, parse_stream_data};
use serde_json::{Value, json};

fn chunk(document: &Value) -> ChatChunk {
    match parse_stream_data(document.to_string().as_bytes()) {
        Ok(StreamItem::Chunk(chunk)) => chunk,
        other => panic!("{other:?}"),
    }
}

fn texts(chunk: &mut ChatChunk) -> Vec<(u32, Channel, String)> {
    let mut seen = Vec::new();
    chunk.for_each_text(&mut |delta| seen.push((delta.choice, delta.channel, delta.text.clone())));
    seen
}

#[test]
fn every_text_has_its_channel() {
    let mut chunk = chunk(&json!({
        "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "provider": "Root",
        "choices": [
            {"index": 1, "finish_reason": null, "logprobs": {"content": [{"token": "secret"}]}, "note": "Choice",
             "delta": {"role": "assistant", "content": "A", "refusal": "B", "reasoning_content": "C", "reasoning": "D",
                       "audio": {"id": "E", "transcript": "F", "data": "RkZG"}, "odd": [{"content": "G"}]}},
            {"index": 0, "delta": {"tool_calls": [
                {"index": 2, "id": "call", "type": "function", "function": {"name": "N", "arguments": "{\"a"}},
                {"index": 3, "type": "custom", "custom": {"name": "O", "input": "I"}}],
             "function_call": {"name": "P", "arguments": "{"}, "content": null}},
        ],
    }));
    let seen: Vec<String> = texts(&mut chunk)
        .into_iter()
        .map(|(choice, channel, text)| {
            let place = channel.place(choice);
            format!("{text}: {} {:?} {}", place.path, place.message, channel.is_incremental())
        })
        .collect();
    insta::assert_snapshot!(seen.join("\n"), @r#"
    Root: #4 None false
    Choice: choices[1].#3 Some(1) false
    A: choices[1].message.content Some(1) true
    B: choices[1].message.refusal Some(1) true
    C: choices[1].message.reasoning_content Some(1) true
    D: choices[1].message.reasoning Some(1) true
    E: choices[1].message.audio.id Some(1) false
    F: choices[1].message.audio.transcript Some(1) true
    RkZG: choices[1].message.audio.data Some(1) false
    G: choices[1].message.#6[0].content Some(1) false
    call: choices[0].message.tool_calls[2].id Some(0) false
    N: choices[0].message.tool_calls[2].function.name Some(0) false
    {"a: choices[0].message.tool_calls[2].function.arguments Some(0) true
    O: choices[0].message.tool_calls[3].custom.name Some(0) false
    I: choices[0].message.tool_calls[3].custom.input Some(0) true
    P: choices[0].message.function_call.name Some(0) false
    {: choices[0].message.function_call.arguments Some(0) true
    "#);
}

#[test]
fn a_text_can_be_replaced_where_it_stands() {
    let mut chunk =
        chunk(&json!({"choices": [{"index": 0, "delta": {"content": "DE89"}, "x": 1}], "y": [2]}));
    chunk.for_each_text(&mut |delta| *delta.text = "<IBAN_1>".to_owned());
    chunk.set_model("m");
    let mut out = BytesMut::new();
    chunk.encode(&mut out);
    assert_eq!(
        out,
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"<IBAN_1>\"},\"x\":1}],\"y\":[2],\"model\":\"m\"}\n\n"
    );
}

#[test]
fn held_text_goes_out_before_the_end_in_a_chunk_of_the_same_stream() {
    let last = chunk(&json!({
        "id": "c", "object": "chat.completion.chunk", "created": 7, "model": "m", "system_fingerprint": "fp",
        "choices": [{"index": 4, "delta": {}, "finish_reason": "stop"}, {"index": 5, "delta": {}, "finish_reason": null}],
    }));
    assert_eq!(last.finished().collect::<Vec<_>>(), [4]);
    let head = last.head();
    for channel in [
        Channel::Content,
        Channel::Refusal,
        Channel::Reasoning,
        Channel::Thought,
        Channel::ToolArguments(3),
        Channel::ToolInput(3),
        Channel::FunctionArguments,
        Channel::Transcript,
    ] {
        let mut flushed = head.text_chunk(4, &channel, "held").unwrap();
        assert_eq!(texts(&mut flushed), [(4, channel, "held".to_owned())], "reads back as the same channel");
        assert_eq!(flushed.head(), head);
        assert_eq!(flushed.finished().count(), 0);
    }
    assert_eq!(head.text_chunk(4, &Channel::Whole("x".into()), "held"), None);
}

#[test]
fn usage_comes_in_a_bare_chunk() {
    let mut chunk = chunk(&json!({"id": "c", "choices": [], "usage": {
        "prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105, "prompt_tokens_details": {"cached_tokens": 64}}}));
    let usage = chunk.usage().unwrap();
    assert_eq!((usage.input, usage.cached_input, usage.output), (36, 64, 5));
    assert!(chunk.is_bare());
    assert_eq!(chunk.head().usage_chunk(&usage).usage(), Some(usage));
    chunk.remove_usage();
    assert_eq!(&chunk.to_bytes()[..], br#"{"id":"c","choices":[]}"#);
}

#[test]
fn ends_faults_and_rubbish_are_told_apart() {
    assert_eq!(parse_stream_data(b" [DONE]\r"), Ok(StreamItem::Done));
    for fault in
        [r#"{"error":{"message":"for jane@example.org","code":429}}"#, r#"{"error":"jane@example.org"}"#]
    {
        let item = parse_stream_data(fault.as_bytes());
        assert!(matches!(item, Ok(StreamItem::Fault(_))), "{item:?}");
        assert!(!format!("{item:?}").contains("jane"));
    }
    assert!(matches!(parse_stream_data(br#"{"choices":null,"usage":null}"#), Ok(StreamItem::Chunk(_))));
    for rubbish in ["", "{", "1", r#"{"choices":{}}"#, r#"{"choices":[1]}"#, "\u{fffd}"] {
        assert!(parse_stream_data(rubbish.as_bytes()).is_err(), "{rubbish}");
    }
    assert!(parse_stream_data(b"{\"a\":\"\xF0\x9F\"}").is_err(), "a character cut in the middle");
}

#[test]
fn log_probabilities_can_be_removed_from_a_chunk() {
    let mut chunk = chunk(&json!({"choices": [
        {"index": 1, "delta": {"content": "x"}, "logprobs": {"content": [{"token": "DE89", "bytes": [68]}]}}]}));
    chunk.strip_logprobs(Some(1));
    assert!(!String::from_utf8_lossy(&chunk.to_bytes()).contains("DE89"));
}
