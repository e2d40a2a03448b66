//! Properties that hold for all inputs.

use bytes::BytesMut;
use pintle_llm::{
    AnthropicStream, ChatAnswer, ChatRequest, ErrorBody, ProviderFault, SseDecoder, SseEvent, encode_event,
    encode_sse, estimate_tokens, parse_stream_data,
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value, json};

/// JSON documents with the protocol's names mixed in, strings that hold JSON included.
fn json_value() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "role",
        "content",
        "type",
        "text",
        "name",
        "arguments",
        "tool_calls",
        "function",
        "image_url",
        "url",
        "data",
        "file_data",
        "messages",
        "choices",
        "logprobs",
        "model",
        "index",
        "id",
        "delta",
        "usage",
        "error",
        "é",
        "",
    ]);
    let words = prop::sample::select(vec![
        "",
        "user",
        "text",
        "image_url",
        "data:x",
        "{\"a\":\"\\n\",\"b\":12345678}",
        "[\"\\u0041\"]",
        "{\"a\":1,\"a\":\"\\\\\"}",
        "plain",
        "[DONE]",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((names.clone(), inner), 0..6).prop_map(|fields| {
                Value::Object(
                    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>(),
                )
            }),
        ]
    })
}

/// A request that parses, with anything in it.
fn request_bytes() -> impl Strategy<Value = Vec<u8>> {
    (json_value(), json_value(), json_value()).prop_map(|(field, part, extra)| {
        json!({"model": "m", "x": field, "messages": [
            {"role": "assistant", "content": "c", "extra": extra, "tool_calls": [{"id": "i", "extra": part}]},
            {"role": "user", "content": [{"type": "image_url", "image_url": part}, {"type": "other", "data": field}]},
        ]})
        .to_string()
        .into_bytes()
    })
}

fn events(pieces: &[&[u8]]) -> Vec<SseEvent> {
    let mut decoder = SseDecoder::new(4_096);
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        while let Some(event) = decoder.next_event().unwrap() {
            events.push(event);
        }
    }
    events.extend(decoder.finish().unwrap());
    events
}

/// Streams that are rich in line ends, fields and the byte order mark.
fn sse_bytes() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        &b"\n"[..],
        b"\r",
        b"\r\n",
        b"\n\n",
        b"data: ",
        b"data:",
        b"data",
        b"event: ",
        b"id: 1",
        b": c",
        b"{\"a\":1}",
        b"\xEF\xBB\xBF",
        b"\xC3",
        b"\xA9",
        b" ",
        b":",
        b"[DONE]",
        b"x",
    ]);
    vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_of_a_stream_gives_equal_events(bytes in sse_bytes(), cuts in vec(any::<prop::sample::Index>(), 0..8)) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&bytes[from..cut]);
            from = cut;
        }
        pieces.push(&bytes[from..]);
        let whole = events(&[&bytes]);
        prop_assert_eq!(&events(&pieces), &whole);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&events(&single), &whole);
    }

    #[test]
    fn what_is_encoded_is_decoded(data in vec("[^\r\n]{0,20}", 1..4), name in "[a-z]{1,8}") {
        let data = data.join("\n");
        let mut out = BytesMut::new();
        encode_sse(&mut out, data.as_bytes());
        encode_event(&mut out, &name, data.as_bytes());
        let decoded = events(&[&out]);
        prop_assert_eq!(decoded.len(), 2);
        prop_assert_eq!(&decoded[0].data[..], data.as_bytes());
        prop_assert_eq!(decoded[1].event.as_deref(), Some(name.as_str()));
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = ChatRequest::parse(&bytes);
        let _ = ChatAnswer::parse(&bytes);
        let _ = ChatAnswer::from_anthropic(&bytes, 0);
        let _ = parse_stream_data(&bytes);
        let _ = ProviderFault::parse(&bytes);
        let mut decoder = SseDecoder::new(64);
        decoder.push(&bytes);
        while let Ok(Some(_)) = decoder.next_event() {}
        let _ = decoder.finish();
    }

    #[test]
    fn no_document_makes_anything_panic(document in json_value(), wrapped in json_value()) {
        let bytes = document.to_string().into_bytes();
        let _ = ProviderFault::parse(&bytes);
        for kind in ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"] {
            let event = json!({"type": kind, "index": 0, "message": document, "content_block": wrapped, "delta": document, "usage": wrapped});
            let mut out = Vec::new();
            let event = SseEvent { event: None, data: event.to_string().into_bytes().into() };
            let _ = AnthropicStream::new(0).push(&event, &mut out);
        }
        for body in [json!({"choices": [{"delta": document, "message": wrapped}]}), json!({"choices": [document]}), json!({"content": [wrapped], "usage": document})] {
            let body = body.to_string();
            if let Ok(pintle_llm::StreamItem::Chunk(mut chunk)) = parse_stream_data(body.as_bytes()) {
                let before = chunk.clone();
                chunk.for_each_text(&mut |_| {});
                prop_assert_eq!(&before, &chunk);
            }
            if let Ok(answer) = ChatAnswer::parse(body.as_bytes()) {
                let _ = answer.estimate_output_tokens();
            }
            let _ = ChatAnswer::from_anthropic(body.as_bytes(), 0);
        }
        if let Err(error) = ChatRequest::parse(json!({"model": "m", "messages": document}).to_string().as_bytes()) {
            prop_assert!(ErrorBody::from(&error).to_bytes().len() > 10);
        }
    }

    #[test]
    fn keeping_every_text_keeps_the_document(bytes in request_bytes()) {
        let before = ChatRequest::parse(&bytes).unwrap();
        let mut after = before.clone();
        prop_assert_eq!(after.map_texts(&mut |_| None), Ok(0));
        prop_assert_eq!(&after, &before);
        prop_assert_eq!(after.map_texts(&mut |field| Some(field.text().to_owned())), Ok(0));
        prop_assert_eq!(&after, &before);
        prop_assert_eq!(after.to_openai_body("m", false), before.to_openai_body("m", false));
        let _ = before.to_anthropic_body("m", 1);
        prop_assert!(before.estimate_input_tokens() > 0);
    }

    #[test]
    fn what_is_seen_can_be_changed_and_nothing_else(bytes in request_bytes()) {
        let mut request = ChatRequest::parse(&bytes).unwrap();
        let mut seen = Vec::new();
        request.for_each_text(&mut |field| seen.push((field.path(), field.text().to_owned())));
        let mut offered = Vec::new();
        request.map_texts(&mut |field| {
            offered.push((field.path(), field.text().to_owned()));
            None
        }).unwrap();
        prop_assert_eq!(seen, offered);
    }

    #[test]
    fn estimates_are_additive_enough(text in ".{0,80}") {
        let tokens = estimate_tokens(&text);
        prop_assert!(tokens <= 3 * text.chars().count() as u64);
        prop_assert!(estimate_tokens(&text.repeat(2)) <= 2 * tokens + 1);
    }
}
