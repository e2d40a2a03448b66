//! The well-behaved scripts have the shape that the providers document.

use pintle_testkit::{Answer, FakeUpstream, RawClient, Script, Usage};
use serde_json::{Value, json};

async fn play(script: Script) -> Answer {
    let upstream = FakeUpstream::start().await;
    upstream.script(script);
    let mut client = RawClient::connect(upstream.addr()).await;
    client.request("POST", "/", &[], "{}").await;
    let answer = client.answer().await;
    assert!(answer.complete);
    answer
}

fn events(answer: &Answer) -> Vec<Value> {
    answer
        .sse_data()
        .iter()
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[tokio::test]
async fn openai_whole() {
    let body =
        play(Script::openai_answers(&["a", "b"], Usage::new(10, 4).cached(6).reasoning(2))).await.json();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["choices"][1]["message"]["content"], "b");
    assert_eq!(body["usage"]["total_tokens"], 14);
    assert_eq!(body["usage"]["prompt_tokens_details"]["cached_tokens"], 6);
    assert_eq!(body["usage"]["completion_tokens_details"]["reasoning_tokens"], 2);
    assert!(play(Script::openai_answer("a", None)).await.json().get("usage").is_none());
}

#[tokio::test]
async fn openai_streamed() {
    let answer = play(Script::openai_stream(&["Hel", "lo"], Usage::new(3, 2))).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let events = events(&answer);
    let text: String = events.iter().filter_map(|e| e["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, "Hello");
    assert_eq!(events[3]["choices"][0]["finish_reason"], "stop");
    assert_eq!(events[4]["choices"], json!([]));
    assert_eq!(events[4]["usage"]["prompt_tokens"], 3);
    assert_eq!(answer.sse_data().last().unwrap(), "[DONE]");
}

#[tokio::test]
async fn openai_tools_and_errors() {
    let body = play(Script::openai_tool_call("call_1", "weather", r#"{"city":"Bonn"}"#, None)).await.json();
    assert_eq!(body["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "weather");
    assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");

    let answer =
        play(Script::openai_tool_call_stream("call_1", "weather", &["{\"ci", "ty\":1}"], None)).await;
    let arguments: String = events(&answer)
        .iter()
        .filter_map(|e| {
            e["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str().map(str::to_owned)
        })
        .collect();
    assert_eq!(arguments, "{\"city\":1}");

    let answer = play(Script::error_mid_stream(&["part"], "broke")).await;
    assert_eq!(events(&answer).last().unwrap()["error"]["message"], "broke");
    let answer = play(Script::openai_error(429, "rate_limit_exceeded", "slow")).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (429, Some("rate_limit_exceeded")));
}

#[tokio::test]
async fn anthropic_whole() {
    let usage = Usage::new(100, 5).cached(60).cache_write(10);
    let body = play(Script::anthropic_answer("Hi", usage)).await.json();
    assert_eq!(body["content"], json!([{"type": "text", "text": "Hi"}]));
    assert_eq!(
        body["usage"],
        json!({"input_tokens": 30, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 60, "output_tokens": 5})
    );
    let body =
        play(Script::anthropic_tool_use("toolu_1", "weather", &json!({"city": "Bonn"}), usage)).await.json();
    assert_eq!(
        (body["stop_reason"].as_str(), &body["content"][0]["input"]["city"]),
        (Some("tool_use"), &json!("Bonn"))
    );
    let answer = play(Script::anthropic_error(529, "overloaded_error", "busy")).await;
    assert_eq!((answer.status, answer.json()["error"]["type"].as_str()), (529, Some("overloaded_error")));
}

#[tokio::test]
async fn anthropic_streamed() {
    let answer = play(Script::anthropic_stream(&["Hel", "lo"], Usage::new(3, 2))).await;
    let kinds: Vec<String> = events(&answer).iter().map(|e| e["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        kinds,
        [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    let named: Vec<String> =
        answer.text().lines().filter_map(|l| l.strip_prefix("event: ")).map(str::to_owned).collect();
    assert_eq!(named, kinds, "each event is named after its type");

    let answer =
        play(Script::anthropic_tool_use_stream("toolu_1", "weather", &["{\"a\"", ":1}"], Usage::new(3, 2)))
            .await;
    let input: String = events(&answer)
        .iter()
        .filter_map(|e| e["delta"]["partial_json"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(input, "{\"a\":1}");
    let answer = play(Script::anthropic_error_mid_stream(&["x"], "overloaded_error", "busy")).await;
    assert_eq!(events(&answer).last().unwrap()["error"]["type"], "overloaded_error");
}
