//! Clients that mean harm, against the built binary: they are let go, others are served meanwhile, and
//! memory does not grow.

use std::time::Duration;

use pintle_testkit::{FakeUpstream, RawClient};
use serde_json::json;

use crate::server::{Server, make_key, start, write_config};

fn resident_mib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

async fn chat(server: &Server, key: &str) -> u16 {
    let mut client = RawClient::connect(server.addr.parse().unwrap()).await;
    let body = json!({ "model": "far", "messages": [{ "role": "user", "content": "Hello" }] });
    client.post_json("/v1/chat/completions", key, &body).await;
    client.answer().await.status
}

/// A body of a hundred mebibytes in pieces, without a word about its length.
async fn send_endless(server: &Server, key: &str) {
    let mut chunk = format!("{:x}\r\n", 1 << 20).into_bytes();
    chunk.resize(chunk.len() + (1 << 20), b' ');
    chunk.extend_from_slice(b"\r\n");
    let mut client = RawClient::connect(server.addr.parse().unwrap()).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    client.send(head).await.unwrap();
    for _ in 0..100 {
        if client.send(&chunk).await.is_err() {
            return;
        }
    }
    panic!("a hundred mebibytes were taken");
}

#[tokio::test]
async fn slow_and_huge_requests_are_let_go_while_others_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let upstream = FakeUpstream::start().await;
    let server = start(&data, &write_config(folder.path(), &upstream)).await;
    let key = make_key(&data);
    assert_eq!(chat(&server, &key).await, 200);
    let before = resident_mib(&server);

    // Two hundred clients that never finish the head of their request.
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut client = RawClient::connect(server.addr.parse().unwrap()).await;
        client.send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
        slow.push(client);
        // And as many that send nothing at all, or only what could begin either HTTP version.
        let mut silent = RawClient::connect(server.addr.parse().unwrap()).await;
        silent.send(if slow.len() % 2 == 0 { "" } else { "P" }).await.unwrap();
        slow.push(silent);
    }
    let began = std::time::Instant::now();
    assert_eq!(chat(&server, &key).await, 200);
    assert!(began.elapsed() < Duration::from_secs(5), "others do not wait for them");

    // Bodies of a hundred mebibytes: announced, and sent without an announcement.
    for _ in 0..20 {
        let mut client = RawClient::connect(server.addr.parse().unwrap()).await;
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n",
            100 << 20
        );
        client.send(head).await.unwrap();
        assert_eq!(client.answer().await.status, 413);
    }
    // The first round fills what the allocator keeps for later; the second must find it there.
    for _ in 0..6 {
        send_endless(&server, &key).await;
    }
    let once = resident_mib(&server);
    for _ in 0..16 {
        send_endless(&server, &key).await;
    }
    assert_eq!(chat(&server, &key).await, 200);
    let twice = resident_mib(&server);
    // Were they kept, sixteen bodies of 32 MiB would be half a gibibyte.
    assert!(twice < once + 160, "{before} MiB before, {once} MiB after 6, {twice} MiB after 22");

    // The slow ones are let go when their time is over.
    for mut client in slow {
        client.closed().await;
    }
}
