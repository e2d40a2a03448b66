//! "Try it": the stream passes through, refusals become cards, and the page works without script.

use http::StatusCode;

use crate::{
    client::{As, call},
    seed, support,
};

const SEND: &str = "/console/try/send";

fn message(text: &str) -> String {
    serde_json::json!({
        "use_case": "customer-replies", "model": "auto", "messages": [{ "role": "user", "content": text }],
    })
    .to_string()
}

#[tokio::test]
async fn a_stream_passes_through_with_its_own_headers_only() {
    let it = support::seeded().await;
    let answer = call(&it.router, As::Browser(&it.session), "POST", SEND, &message("Hello")).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "text/event-stream"));
    assert_eq!(answer.header("x-pintle-request-id"), seed::id(seed::ANSWERED).to_string());
    assert!(answer.headers.get("x-internal").is_none());
    assert!(answer.text.ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn i7_a_refusal_becomes_a_card_with_ways_forward() {
    let it = support::seeded().await;
    let text = message("-----BEGIN PRIVATE KEY-----");
    let answer = call(&it.router, As::Browser(&it.session), "POST", SEND, &text).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    insta::assert_snapshot!("try_refusal_card", crate::pages::lines(&answer.text));
}

#[tokio::test]
async fn facts_are_drawn_for_a_request() {
    let it = support::seeded().await;
    let path = format!("/console/try/facts/{}", seed::id(seed::PSEUDONYMISED));
    let answer = call(&it.router, As::Browser(&it.session), "GET", &path, "").await;
    insta::assert_snapshot!("try_facts_card", crate::pages::lines(&answer.text));
    let missing = "/console/try/facts/req_00000000000070008000000000000001";
    let answer = call(&it.router, As::Browser(&it.session), "GET", missing, "").await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""), "not yet");
    let answer = call(&it.router, As::Browser(&it.session), "GET", "/console/try/facts/x", "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(!answer.text.contains("<html"), "a piece, not a page");
}

#[tokio::test]
async fn without_script_the_answer_comes_in_one_piece() {
    let it = support::seeded().await;
    let form = "use_case=customer-replies&model=auto&message=Where+is+my+%3Cparcel%3E";
    let answer = call(&it.router, As::Browser(&it.session), "POST", "/console/try", form).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.text.contains("Your parcel arrives &lt;today&gt;."), "escaped");
    assert!(answer.text.contains("Where is my &lt;parcel&gt;"));
    assert!(answer.text.contains("What happened"));
    let form = "use_case=customer-replies&model=auto&message=-----BEGIN+PRIVATE+KEY-----";
    let refused = call(&it.router, As::Browser(&it.session), "POST", "/console/try", form).await;
    assert!(refused.text.contains("Stopped by a rule") && refused.text.contains("You can:"));
}

#[tokio::test]
async fn what_cannot_be_sent_is_said_before_it_is_sent() {
    let it = support::seeded().await;
    for (body, expected) in [
        (message(" "), StatusCode::UNPROCESSABLE_ENTITY),
        (message("Hello").replace("customer-replies", "nobody"), StatusCode::NOT_FOUND),
        (message("Hello").replace("user\"", "system\""), StatusCode::UNPROCESSABLE_ENTITY),
        (format!("{{\"x\":\"{}\"}}", "y".repeat(1_100_000)), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let answer = call(&it.router, As::Browser(&it.session), "POST", SEND, &body).await;
        assert_eq!(answer.status, expected);
    }
}
