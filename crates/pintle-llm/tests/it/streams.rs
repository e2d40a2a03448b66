//! Anthropic's streams as chunks, and the field's complaints about streams.

use std::fmt::Write;

use pintle_core::TokenUsage;
use pintle_llm::{AnthropicStream, SseDecoder, StreamItem, TokenEstimator};

use crate::files;

/// Runs a stream through decoder and converter, and writes down what a client would get.
fn convert(bytes: &[u8]) -> (String, AnthropicStream) {
    let mut decoder = SseDecoder::new(1 << 20);
    let mut stream = AnthropicStream::new(1_770_000_000);
    let mut page = String::new();
    decoder.push(bytes);
    let mut events = Vec::new();
    while let Some(event) = decoder.next_event().unwrap() {
        events.push(event);
    }
    events.extend(decoder.finish().unwrap());
    for event in events {
        let mut items = Vec::new();
        if let Err(error) = stream.push(&event, &mut items) {
            writeln!(page, "cut: {error}").unwrap();
        }
        for item in items {
            match item {
                StreamItem::Chunk(chunk) => {
                    writeln!(page, "{}", String::from_utf8_lossy(&chunk.to_bytes())).unwrap();
                }
                StreamItem::Fault(fault) => writeln!(page, "fault: {fault}").unwrap(),
                StreamItem::Done => writeln!(page, "[DONE]").unwrap(),
            }
        }
    }
    (page, stream)
}

#[test]
fn anthropics_streams_as_openais_chunks() {
    for (name, bytes) in files("streams", "sse") {
        insta::assert_snapshot!(format!("stream_{name}"), convert(&bytes).0);
    }
}

fn stream(name: &str) -> AnthropicStream {
    let (_, bytes) = files("streams", "sse").into_iter().find(|(found, _)| found == name).unwrap();
    convert(&bytes).1
}

#[test]
fn streams_do_not_drop_cached_tokens() {
    // The counts of the cache come only in the first event, those of the output only in the last.
    let expected = TokenUsage { input: 25, cached_input: 1_000, cache_write: 300, output: 15, reasoning: 0 };
    assert_eq!(stream("text_with_cache").usage(), Some(expected));
    // A later event corrects an earlier one.
    assert_eq!(stream("tools_and_thinking").usage().map(|usage| usage.input), Some(51));
}

#[test]
fn a_cut_stream_is_not_free() {
    let stream = stream("cut");
    assert_eq!(stream.usage(), None, "the provider has not said its last word");
    let mut output = TokenEstimator::default();
    output.feed("One two three");
    let expected =
        TokenUsage { input: 5, cached_input: 40, output: output.tokens(), ..TokenUsage::default() };
    assert!(expected.output >= 3);
    assert_eq!(stream.usage_when_cut(output.tokens()), Some(expected));
    assert_eq!(AnthropicStream::new(0).usage_when_cut(9), None);
}
