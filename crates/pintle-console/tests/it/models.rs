//! Own models: promotion and going back from the page and through the admin API, and the live page.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    client::{Answer, As, TOKEN, call},
    support::{self, Fixture},
};

async fn post(it: &Fixture, body: &str) -> Answer {
    call(&it.router, As::Browser(&it.session), "POST", "/console/models/handbook/promote", body).await
}

async fn page(it: &Fixture, path: &str) -> String {
    let answer = call(&it.router, As::Browser(&it.session), "GET", path, "").await;
    assert_eq!(answer.status, StatusCode::OK, "{path}");
    answer.text
}

async fn api(it: &Fixture, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    call(&it.router, As::Token(TOKEN), method, &format!("/admin/api/{path}"), &body).await
}

async fn acts(it: &Fixture) -> Value {
    api(it, "GET", "acts?target=handbook@4", &Value::Null).await.json()
}

#[tokio::test]
async fn a_version_is_promoted_from_its_page_and_written_down() {
    let it = support::seeded().await;
    let sheet = page(&it, "/console/models/handbook/4").await;
    assert!(sheet.contains("Put handbook@4 into production"), "the form is there");
    assert!(page(&it, "/console/models/handbook/1").await.contains("It may not serve."));

    let done = post(&it, "version=4&reason=Knows+the+new+policy").await;
    assert_eq!((done.status, done.header("location")), (StatusCode::SEE_OTHER, "/console/models/handbook"));
    let sheet = page(&it, "/console/models/handbook").await;
    assert!(sheet.contains("handbook@4 in production") && sheet.contains("Knows the new policy"));
    let act = &acts(&it).await[0];
    assert_eq!((&act["action"], &act["actor"]), (&json!("model.promote"), &json!("administrator")));
    let detail = json!({ "before": 2, "after": 4, "reason": "Knows the new policy" });
    assert_eq!(act["detail"], detail);

    // Going back is another promotion.
    assert!(page(&it, "/console/models/handbook/2").await.contains("Go back to handbook@2"));
    let back = post(&it, "version=2&reason=It+was+better").await;
    assert_eq!(back.status, StatusCode::SEE_OTHER);
    assert!(page(&it, "/console/models/handbook").await.contains("went back to"));
}

#[tokio::test]
async fn what_stands_in_the_way_of_a_promotion_is_said_beside_the_form() {
    let it = support::seeded().await;
    for (body, status, said) in [
        ("version=1&reason=We+need+it", 409, "61.2 %; at least 80.0 % is asked for"),
        ("version=4&reason=++", 422, "Say why, for those who ask later"),
        ("version=4", 422, "Say why, for those who ask later"),
        ("version=2&reason=Again", 409, "is in production already"),
        ("version=9&reason=x", 404, "There is no version <code>handbook@9</code>"),
        ("version=04&reason=x", 404, "There is no version"),
        ("version=4&reason=x&by=somebody+else", 422, "unknown field"),
        ("version=4&reason=break", 500, "Something broke here"),
    ] {
        let answer = post(&it, body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text);
        assert!(answer.text.contains(said), "{body}: {}", answer.text);
        assert!(!answer.text.contains("/srv/models"), "the cause stays inside");
    }
    let long = format!("version=4&reason={}", "x".repeat(501));
    assert!(post(&it, &long).await.text.contains("Write at most 500 characters"));
    let kept = post(&it, "version=1&reason=We+need+%3Cit%3E").await;
    assert!(!kept.text.contains("We need <it>"), "what was written is escaped");
    assert_eq!(acts(&it).await, json!([]), "nothing was done, so nothing is written down");
    assert!(page(&it, "/console/models/handbook").await.contains("handbook@2 in production"));
}

#[tokio::test]
async fn the_admin_api_lists_shows_and_promotes() {
    let it = support::seeded().await;
    let list = api(&it, "GET", "models", &Value::Null).await.json();
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(list[0]["production"]["version"], 2);
    assert_eq!(list[0]["training"]["stage"], "base");
    assert!(list[0]["training"]["base_curve"]["points"].as_array().unwrap().len() <= 300);
    let mut shown = api(&it, "GET", "models/handbook/2", &Value::Null).await.json();
    // Their figures are in the pages' snapshots.
    shown["base_curve"]["points"].take();
    shown["tune_curve"]["points"].take();
    insta::assert_json_snapshot!("api_model_version", shown);

    let path = "models/handbook/promote";
    let done = api(&it, "POST", path, &json!({ "version": 4, "reason": "Better." })).await;
    assert_eq!((done.status, &done.json()["production"]["by"]), (StatusCode::OK, &json!("cli")));
    assert_eq!(acts(&it).await[0]["actor"], "cli");

    for (method, path, body, status, said) in [
        ("POST", path, json!({ "version": 1, "reason": "x" }), 409, "the gate of `handbook@1` has failed"),
        ("POST", path, json!({ "version": 4, "reason": "x" }), 409, "in production already"),
        ("POST", path, json!({ "version": 3, "reason": " " }), 422, "say why"),
        ("POST", path, json!({ "version": 3 }), 422, "missing field `reason`"),
        ("POST", path, json!({ "version": "3", "reason": "x" }), 422, "invalid type"),
        ("POST", path, json!({ "version": 3, "reason": "x", "force": true }), 422, "unknown field `force`"),
        ("POST", "models/nobody/promote", json!({ "version": 1, "reason": "x" }), 404, "no model `nobody`"),
        ("POST", path, json!({ "version": 3, "reason": "break" }), 500, "Pintle failed"),
        ("GET", "models/handbook/9", Value::Null, 404, "no version `handbook@9`"),
        ("GET", "models/handbook/+2", Value::Null, 404, "no version"),
        ("GET", "models/Hand%20book/1", Value::Null, 404, "no version"),
        ("GET", path, Value::Null, 405, "does not take this method"),
    ] {
        let answer = api(&it, method, path, &body).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {body}: {}", answer.text);
        assert!(answer.text.contains(said), "{path} {body}: {}", answer.text);
        assert!(!answer.text.contains("/srv/models"), "the cause stays inside");
    }
}

#[tokio::test]
async fn a_process_without_own_models_has_none() {
    let it = support::without_models().await;
    assert_eq!(api(&it, "GET", "models", &Value::Null).await.json(), json!([]));
    for path in ["models/handbook/1", "models/nobody/1"] {
        assert_eq!(api(&it, "GET", path, &Value::Null).await.status, StatusCode::NOT_FOUND);
    }
    assert!(page(&it, "/console/models").await.contains("Train the first model"));
}

#[tokio::test]
async fn the_live_page_leads_to_the_model_when_the_training_has_ended() {
    let it = support::seeded().await;
    let live = page(&it, "/console/models/handbook/training").await;
    assert!(live.contains("<div data-live=\"3\">") && live.contains("/console/assets/live."));
    assert!(!live.contains("http-equiv=\"refresh\""), "nothing reloads under a reader's eyes");
    assert!(live.contains("&lt;b&gt;the&lt;/b&gt;"), "what a model writes is text");
    it.models.end_training();
    let path = "/console/models/handbook/training";
    let ended = call(&it.router, As::Browser(&it.session), "GET", path, "").await;
    assert_eq!((ended.status, ended.header("location")), (StatusCode::SEE_OTHER, "/console/models/handbook"));
    assert!(!page(&it, "/console/models/handbook").await.contains("data-live"));
}
