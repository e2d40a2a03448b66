//! Requests are read as sent, scripts follow in order, connections are kept.

use pintle_testkit::{FakeUpstream, RawClient, Script, connect_refused_addr, free_port};
use serde_json::json;

#[tokio::test]
async fn requests_are_recorded_and_scripts_follow_in_order() {
    let upstream = FakeUpstream::start().await;
    upstream.script(Script::status(429, &[("retry-after", "1")], "slow down"));
    upstream.script(Script::json(200, &json!({"ok": true})));
    upstream.set_default(Script::status(503, &[], ""));
    let mut client = RawClient::connect(upstream.addr()).await;

    client.post_json("/v1/chat/completions?x=1", "sk-test", &json!({"model": "m"})).await;
    let first = client.answer().await;
    assert_eq!(
        (first.status, first.header("retry-after"), first.text().as_str()),
        (429, Some("1"), "slow down")
    );
    client.request("GET", "/v1/models", &[], "").await;
    assert_eq!(client.answer().await.json(), json!({"ok": true}));
    client.request("GET", "/v1/models", &[], "").await;
    assert_eq!(client.answer().await.status, 503);

    let received = upstream.received();
    assert_eq!(received.len(), 3);
    assert_eq!(received[0].method, "POST");
    assert_eq!(received[0].path, "/v1/chat/completions?x=1");
    assert_eq!(received[0].header("authorization"), Some("Bearer sk-test"));
    assert_eq!(received[0].json(), json!({"model": "m"}));
    assert!(received.iter().all(|request| request.connection == 0), "one connection served all three");
    assert_eq!(upstream.connections(), 1);
    upstream.wait_for_finished(3).await;
    assert_eq!((upstream.dropped_by_client(), upstream.malformed(), upstream.scripts_left()), (0, 0, 0));
}

#[tokio::test]
async fn a_chunked_request_body_is_joined() {
    let upstream = FakeUpstream::start().await;
    let mut client = RawClient::connect(upstream.addr()).await;
    client.send("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await.unwrap();
    client.send("4;note=x\r\ndefg\r\n0\r\ntrailer: t\r\n\r\n").await.unwrap();
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(upstream.received()[0].text(), "abcdefg");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_turn() {
    let upstream = FakeUpstream::start().await;
    let mut client = RawClient::connect(upstream.addr()).await;
    client.send("GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(client.answer().await.status, 200);
    let paths: Vec<String> = upstream.received().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/a", "/b"]);
}

#[tokio::test]
async fn connection_close_is_honoured() {
    let upstream = FakeUpstream::start().await;
    let mut client = RawClient::connect(upstream.addr()).await;
    client.request("GET", "/", &[("connection", "close")], "").await;
    assert_eq!(client.answer().await.status, 200);
    assert!(client.closed().await.is_empty());
}

#[tokio::test]
async fn what_is_no_http_is_counted_and_not_recorded() {
    let upstream = FakeUpstream::start().await;
    let mut client = RawClient::connect(upstream.addr()).await;
    client.send("hello\r\n\r\n").await.unwrap();
    assert!(client.closed().await.is_empty());
    assert_eq!((upstream.malformed(), upstream.received().len()), (1, 0));
}

#[tokio::test]
async fn many_clients_at_once() {
    let upstream = FakeUpstream::start().await;
    let mut clients = Vec::new();
    for _ in 0..64 {
        let mut client = RawClient::connect(upstream.addr()).await;
        client.request("POST", "/", &[], "{}").await;
        clients.push(client);
    }
    for client in &mut clients {
        assert_eq!(client.answer().await.status, 200);
    }
    upstream.wait_for_requests(64).await;
    assert_eq!(upstream.connections(), 64);
}

#[tokio::test]
async fn a_dropped_fake_is_gone() {
    let upstream = FakeUpstream::start().await;
    upstream.set_default(Script::stall());
    let mut client = RawClient::connect(upstream.addr()).await;
    client.request("GET", "/", &[], "").await;
    upstream.wait_for_requests(1).await;
    let addr = upstream.addr();
    drop(upstream);
    assert!(client.closed().await.is_empty());
    assert!(std::net::TcpStream::connect(addr).is_err());
}

#[test]
fn the_fake_lives_on_its_own_runtime() {
    // Started on a runtime that ends at once, used from a blocking client.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let upstream = runtime.block_on(FakeUpstream::start());
    drop(runtime);
    let mut stream = std::net::TcpStream::connect(upstream.addr()).unwrap();
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[test]
fn ports() {
    let refused = connect_refused_addr();
    let error = std::net::TcpStream::connect(refused.addr()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(refused.base_url().ends_with("/v1"));
    std::net::TcpListener::bind(("127.0.0.1", free_port())).unwrap();
}
