//! Clients that mean harm, or are broken: clear errors, nothing sent, nothing kept.

use pintle_ledger::Outcome;
use pintle_testkit::FakeUpstream;

use crate::fixture::{Fixture, ask, cloud, code};

async fn post_raw(fixture: &Fixture, body: &[u8]) -> pintle_testkit::Answer {
    let mut client = fixture.client().await;
    let bearer = format!("Bearer {}", fixture.key);
    client.request("POST", "/v1/chat/completions", &[("authorization", &bearer)], body).await;
    client.answer().await
}

#[tokio::test]
async fn a_body_of_a_hundred_mebibytes_is_refused_by_its_length_alone() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    let mut client = fixture.client().await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
        fixture.key,
        100 << 20
    );
    client.send(head).await.unwrap();
    let answer = client.answer().await;
    assert_eq!((answer.status, code(&answer).as_str()), (413, "request_too_large"));
    assert!(answer.text().contains("32 MiB"));
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_body_of_unknown_length_is_cut_off_at_the_bound() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    let mut client = fixture.client().await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ntransfer-encoding: chunked\r\n\r\n",
        fixture.key
    );
    client.send(head).await.unwrap();
    let mut chunk = format!("{:x}\r\n", 1 << 20).into_bytes();
    chunk.resize(chunk.len() + (1 << 20), b' ');
    chunk.extend_from_slice(b"\r\n");
    for _ in 0..64 {
        if client.send(&chunk).await.is_err() {
            break;
        }
    }
    let record = fixture.wait_for_records(1).await.remove(0);
    assert_eq!((record.outcome, record.code.as_deref()), (Outcome::Refused, Some("request_too_large")));
}

#[tokio::test]
async fn what_is_no_request_says_why() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    let deep = format!("{}{}", r#"{"a":"#.repeat(10_000), "1".to_owned() + &"}".repeat(10_000));
    let deep_list = format!(r#"{{"model":"auto","messages":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    for (body, expected) in [
        (
            &b"{\"model\": \"auto\", \"messages\": [{\"role\": \"user\", \"content\": \"\xff\"}]}"[..],
            "invalid_utf8",
        ),
        (b"{\"model\": ", "invalid_json"),
        (b"", "invalid_json"),
        (b"[]", "invalid_field"),
        (b"{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}", "missing_field"),
        (b"{\"model\": \"auto\", \"messages\": [{\"role\": \"user\", \"content\": 5}]}", "invalid_field"),
        (deep.as_bytes(), "too_deep"),
        (deep_list.as_bytes(), "too_deep"),
    ] {
        let answer = post_raw(&fixture, body).await;
        assert_eq!((answer.status, code(&answer).as_str()), (400, expected), "{}", answer.text());
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    }
    assert!(upstream.received().is_empty());
    let records = fixture.records().await;
    assert_eq!(records.len(), 8);
    assert!(records.iter().all(|record| record.outcome == Outcome::Refused && record.entry.is_none()));
}

#[tokio::test]
async fn a_client_that_leaves_before_its_body_is_whole_is_recorded_and_costs_nothing() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    let mut client = fixture.client().await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 500\r\n\r\n{{",
        fixture.key
    );
    client.send(head).await.unwrap();
    drop(client);
    let record = fixture.wait_for_records(1).await.remove(0);
    assert!(matches!(record.outcome, Outcome::Cancelled | Outcome::Failed), "{:?}", record.outcome);
    assert_eq!(record.entry, None);
    assert_eq!(fixture.chat(ask("cloud", "Hello")).await.status, 200);
}
