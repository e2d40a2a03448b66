//! Each fault does what its name says, as a client sees it, and is told apart from the client's own.

use pintle_testkit::{FakeUpstream, Gate, RawClient, Script, Step, Usage};

async fn ask(upstream: &FakeUpstream) -> RawClient {
    let mut client = RawClient::connect(upstream.addr()).await;
    client.request("POST", "/v1/chat/completions", &[], "{}").await;
    client
}

#[tokio::test]
async fn a_stalled_script_ends_when_the_client_leaves() {
    let upstream = FakeUpstream::start().await;
    upstream.script(Script::stall());
    let client = ask(&upstream).await;
    upstream.wait_for_requests(1).await;
    assert_eq!(upstream.dropped_by_client(), 0);
    drop(client);
    upstream.wait_for_client_drop().await;
    assert_eq!(upstream.finished(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_at_a_gate_is_noticed_and_later_chunks_are_not_sent() {
    let upstream = FakeUpstream::start().await;
    let gate = Gate::new();
    upstream.script(Script::openai_stream(&["one ", "two ", "three "], Usage::new(1, 3)).gated(&gate));
    let mut client = ask(&upstream).await;
    assert_eq!(client.head().await.status, 200);
    gate.let_through(2);
    client.read_until("one ").await;
    gate.reached(3).await;
    drop(client);
    upstream.wait_for_client_drop().await;
    assert_eq!((upstream.dropped_by_client(), upstream.finished()), (1, 0));
}

#[tokio::test]
async fn a_client_that_leaves_during_a_flood_is_noticed() {
    let upstream = FakeUpstream::start().await;
    upstream.script(Script::endless("text/event-stream", &[b'x'; 16 * 1024], 4_096));
    let mut client = ask(&upstream).await;
    client.head().await;
    drop(client);
    upstream.wait_for_client_drop().await;
}

#[tokio::test]
async fn an_open_gate_lets_the_whole_stream_through() {
    let upstream = FakeUpstream::start().await;
    let gate = Gate::new();
    upstream.script(Script::openai_stream(&["a"], None).in_pieces(1).gated(&gate));
    let mut client = ask(&upstream).await;
    gate.reached(1).await;
    gate.open();
    let answer = client.answer().await;
    assert!(answer.complete);
    assert_eq!(answer.sse_data().last().unwrap(), "[DONE]");
    upstream.wait_for_finished(1).await;
}

#[tokio::test]
async fn cut_mid_stream_sends_so_many_chunks_and_no_end() {
    let upstream = FakeUpstream::start().await;
    upstream.script(Script::cut_mid_stream(2));
    let answer = ask(&upstream).await.answer().await;
    assert!(!answer.complete);
    assert!(answer.text().contains("word 2 ") && !answer.text().contains("word 3 "));
    assert!(!answer.text().contains("[DONE]"));
    upstream.wait_for_finished(1).await;
    assert_eq!(upstream.dropped_by_client(), 0, "the cut was the server's");
}

#[tokio::test]
async fn lengths_can_lie_both_ways() {
    let upstream = FakeUpstream::start().await;
    upstream.script(Script::lies_about_length(100, "short"));
    upstream.script(Script::lies_about_length(3, "too long"));
    let short = ask(&upstream).await.answer().await;
    assert_eq!((short.complete, short.text().as_str()), (false, "short"));
    let mut client = ask(&upstream).await;
    let long = client.answer().await;
    assert_eq!((long.complete, long.text().as_str()), (true, "too"));
    assert_eq!(client.closed().await, " long");
}

#[tokio::test]
async fn truncated_utf8_is_truncated() {
    let upstream = FakeUpstream::start().await;
    upstream.script(Script::truncated_utf8_stream());
    let answer = ask(&upstream).await.answer().await;
    assert!(answer.complete, "the framing is right, the text is not");
    let error = std::str::from_utf8(&answer.body).unwrap_err();
    assert_eq!(error.valid_up_to(), answer.body.len() - 1);
}

#[tokio::test]
async fn close_and_reset_end_without_an_answer() {
    let upstream = FakeUpstream::start().await;
    upstream.script(Script::close());
    upstream.script(Script::reset());
    upstream.script(Script::new([Step::ReadHead, Step::Send("HTTP/1.1 413 x\r\n\r\n".into()), Step::Close]));
    assert!(ask(&upstream).await.closed().await.is_empty());
    assert!(ask(&upstream).await.closed().await.is_empty());
    let mut client = RawClient::connect(upstream.addr()).await;
    client.send("POST / HTTP/1.1\r\ncontent-length: 1000000\r\n\r\n").await.unwrap();
    assert_eq!(client.head().await.status, 413);
    upstream.wait_for_finished(3).await;
    assert_eq!(upstream.dropped_by_client(), 0);
    assert!(upstream.received()[2].body.is_empty());
}

#[tokio::test]
async fn a_request_that_breaks_off_is_a_drop_and_no_request() {
    let upstream = FakeUpstream::start().await;
    let mut client = RawClient::connect(upstream.addr()).await;
    client.send("POST / HTTP/1.1\r\ncontent-length: 10\r\n\r\nabc").await.unwrap();
    drop(client);
    upstream.wait_for_client_drop().await;
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_responder_sees_the_request() {
    let upstream = FakeUpstream::start().await;
    upstream.set_default(Script::respond(|request| Script::openai_answer(&request.text(), None)));
    let answer = ask(&upstream).await.answer().await.json();
    assert_eq!(answer["choices"][0]["message"]["content"], "{}");
}
