//! The admin API: what it gives, what it takes, and how it says no.

use http::StatusCode;
use pintle_ledger::Scope;
use pintle_registry::PresentedKey;
use serde_json::{Value, json};

use crate::{
    client::{Answer, As, TOKEN, call},
    seed,
    support::{self, Fixture},
};

async fn api(it: &Fixture, method: &str, path: &str, body: Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    call(&it.router, As::Token(TOKEN), method, &format!("/admin/api/{path}"), &body).await
}

async fn get(it: &Fixture, path: &str) -> Value {
    let answer = api(it, "GET", path, Value::Null).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (StatusCode::OK, "application/json"),
        "{path}"
    );
    answer.json()
}

#[track_caller]
fn problem(answer: &Answer, status: u16, slug: &str) -> Value {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let body = answer.json();
    assert_eq!(body["type"], format!("/docs/errors#{slug}"));
    assert_eq!(body["status"], status);
    assert_eq!(body["request_id"], answer.header("x-request-id"));
    assert!(body["request_id"].as_str().unwrap().starts_with("adm_"));
    body
}

fn draft(name: &str) -> Value {
    json!({
        "name": name, "title": "Meeting notes", "cost_centre": "1000", "data_class": "internal",
        "business_owner": { "name": "Jana", "email": "jana@example.com" },
        "it_owner": { "name": "Tomas", "email": "tomas@example.com" },
    })
}

#[tokio::test]
async fn status_names_placements_and_configuration() {
    let it = support::seeded().await;
    insta::assert_json_snapshot!("api_status", get(&it, "status").await);
}

#[tokio::test]
async fn a_use_case_is_written_down_edited_and_moved() {
    let it = support::empty().await;
    let mut new = draft("notes");
    new["stage"] = "pilot".into();
    new["monthly_budget"] = "120.50".into();
    let made = api(&it, "POST", "use-cases", new.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    insta::assert_json_snapshot!("api_use_case", made.json());
    problem(&api(&it, "POST", "use-cases", new).await, 409, "taken");

    let patch = json!({ "title": "Notes", "purpose": "Writes minutes.", "it_owner": { "name": "Mei" } });
    let edited = api(&it, "PATCH", "use-cases/notes", patch).await.json();
    assert_eq!((&edited["title"], &edited["it_owner"]["name"]), (&json!("Notes"), &json!("Mei")));
    assert_eq!(edited["it_owner"]["email"], "tomas@example.com", "a patch is merged");
    assert_eq!(edited["version"], 2);

    let moved = api(&it, "POST", "use-cases/notes/stage", json!({ "stage": "production" })).await.json();
    assert_eq!(moved["stage"], "production");
    assert_eq!(get(&it, "use-cases/notes").await, moved);
    assert_eq!(get(&it, "use-cases").await, json!([moved]));

    let acts = get(&it, "acts?target=notes").await;
    let actions: Vec<_> =
        acts.as_array().unwrap().iter().map(|act| act["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["use_case.stage", "use_case.edit", "use_case.create"]);
    assert!(acts.as_array().unwrap().iter().all(|act| act["actor"] == "cli"));
}

#[tokio::test]
async fn what_is_wrong_with_a_use_case_is_said_by_field() {
    let it = support::empty().await;
    let with = |field: &str, value: Value| {
        let mut new = draft("notes");
        new[field] = value;
        new
    };
    for (body, field, said) in [
        (with("colour", "red".into()), "colour", "unknown field `colour`"),
        (with("data_class", "secret".into()), "data_class", "use one of `public`"),
        (with("name", "Big Name".into()), "name", "lowercase letters"),
        (with("title", "".into()), "title", "must not be empty"),
        (with("stage", "done".into()), "stage", "is not a stage"),
        (with("monthly_budget", "-5".into()), "monthly_budget", "must not be negative"),
        (with("monthly_budget", 5.into()), "monthly_budget", "invalid type"),
        (with("it_owner", json!({ "name": "Tomas" })), "it_owner", "missing field `email`"),
        (json!({ "name": "notes" }), "title", "missing field `title`"),
    ] {
        let answer = api(&it, "POST", "use-cases", body).await;
        let body = problem(&answer, 422, "invalid-field");
        assert_eq!(body["errors"][0]["field"], field, "{body}");
        assert!(body["errors"][0]["message"].as_str().unwrap().contains(said), "{body}");
    }
    assert_eq!(get(&it, "use-cases").await, json!([]), "nothing was half written");

    api(&it, "POST", "use-cases", draft("notes")).await;
    for (patch, field) in [
        (json!({ "name": "other" }), "name"),
        (json!({ "stage": "pilot" }), "stage"),
        (json!({ "title": null }), "title"),
    ] {
        let answer = api(&it, "PATCH", "use-cases/notes", patch).await;
        assert_eq!(problem(&answer, 422, "invalid-field")["errors"][0]["field"], field);
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused() {
    let it = support::empty().await;
    let send =
        async |body: &str| call(&it.router, As::Token(TOKEN), "POST", "/admin/api/use-cases", body).await;
    problem(&send("{\"name\":").await, 400, "malformed-body");
    problem(&send("[1]").await, 422, "invalid-field");
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    problem(&send(&deep).await, 400, "malformed-body");
    problem(&send(&format!("{{\"name\":\"{}\"}}", "x".repeat(1_100_000))).await, 413, "body-too-large");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let it = support::seeded().await;
    for (method, path) in [
        ("GET", "use-cases/nobody"),
        ("GET", "use-cases/Not%20A%20Name"),
        ("PATCH", "use-cases/nobody"),
        ("POST", "keys/key_00000000000070008000000000000001/revoke"),
        ("POST", "keys/nonsense/rotate"),
        ("POST", "bans/ban_00000000000070008000000000000001/lift"),
        ("GET", "requests/req_00000000000070008000000000000001"),
        ("GET", "keys?use_case=nobody"),
        ("GET", "nothing/here"),
    ] {
        problem(&api(&it, method, path, Value::Null).await, 404, "not-found");
    }
    let budget = json!({ "monthly": "1" });
    problem(&api(&it, "PUT", "budgets/use_case:nobody", budget.clone()).await, 404, "not-found");
    problem(&api(&it, "PUT", "budgets/everything", budget).await, 404, "not-found");
    problem(&api(&it, "DELETE", "bans", Value::Null).await, 405, "method-not-allowed");
}

#[tokio::test]
async fn a_key_is_shown_once_rotated_and_revoked() {
    let it = support::empty().await;
    api(&it, "POST", "use-cases", draft("notes")).await;
    let new = json!({ "use_case": "notes", "label": "laptop", "expires_at": "2027-01-01T00:00:00Z" });
    let made = api(&it, "POST", "keys", new).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let made = made.json();
    let secret = made["key"].as_str().unwrap();
    assert!(secret.starts_with(made["prefix"].as_str().unwrap()));
    assert_eq!((&made["use_case"], &made["expires_at"]), (&json!("notes"), &json!("2027-01-01T00:00:00Z")));
    assert!(it.registry.snapshot().key(&PresentedKey::hash(secret)).is_some(), "it works");

    let path = format!("keys/{}/rotate", made["id"].as_str().unwrap());
    it.clock.advance_ms(1_000);
    let rotated = api(&it, "POST", &path, Value::Null).await.json();
    assert_ne!(rotated["key"], made["key"]);
    let listed = get(&it, "keys?use_case=notes").await;
    assert!(!listed.to_string().contains(secret), "lists show no secret");
    assert!(listed.as_array().unwrap().iter().all(|key| key["hash"].is_null() && key["state"] == "active"));
    assert_eq!(listed[1]["expires_at"], "2026-11-25T13:30:01Z", "the old key works for a day");

    let path = format!("keys/{}/revoke", rotated["id"].as_str().unwrap());
    assert_eq!(api(&it, "POST", &path, Value::Null).await.json()["state"], "revoked");
    let path = format!("keys/{}/rotate", rotated["id"].as_str().unwrap());
    let answer = api(&it, "POST", &path, Value::Null).await;
    let refused = problem(&answer, 409, "conflict");
    assert!(refused["fix"].as_str().unwrap().contains("pintle key create"), "{refused}");
    let answer = api(&it, "POST", &path, json!({ "overlap_hours": 9_999 })).await;
    assert_eq!(problem(&answer, 422, "invalid-field")["errors"][0]["field"], "overlap_hours");
    let acts = get(&it, "acts").await.to_string();
    assert!(!acts.contains(secret), "acts hold no secret");
}

#[tokio::test]
async fn budgets_are_listed_set_and_written_down() {
    let it = support::seeded().await;
    insta::assert_json_snapshot!("api_budgets", get(&it, "budgets").await);
    let set = api(&it, "PUT", "budgets/use_case:campaign-texts", json!({ "monthly": "95.5" })).await.json();
    assert_eq!(set["monthly"], json!({ "nanos": 95_500_000_000_i64, "currency": "EUR" }));
    let removed = api(&it, "PUT", "budgets/use_case:campaign-texts", json!({ "monthly": null })).await.json();
    assert_eq!((&removed["monthly"], &removed["percent"]), (&Value::Null, &Value::Null));
    assert_eq!(it.ledger.limit(&Scope::UseCase("campaign-texts".parse().unwrap())), None);
    let acts = get(&it, "acts?target=use_case:campaign-texts&limit=1").await;
    assert_eq!(acts[0]["detail"]["before"]["nanos"], 95_500_000_000_i64);

    for (body, said) in [
        (json!({}), "missing field `monthly`"),
        (json!({ "monthly": "-1" }), "must not be negative"),
        (json!({ "monthly": "1,000" }), "without thousands separators"),
        (json!({ "monthly": 1000 }), "invalid type"),
        (json!({ "monthly": "1", "yearly": "2" }), "unknown field `yearly`"),
    ] {
        let answer = api(&it, "PUT", "budgets/use_case:campaign-texts", body).await;
        let detail = problem(&answer, 422, "invalid-field")["detail"].to_string();
        assert!(detail.contains(said), "{detail}");
    }
    let answer = api(&it, "PUT", "budgets/organisation", json!({ "monthly": "9" })).await;
    let by_file = problem(&answer, 409, "set-by-file");
    assert!(by_file["fix"].as_str().unwrap().contains("pintle.toml:6"), "{by_file}");
}

#[tokio::test]
async fn a_ban_is_added_and_lifted() {
    let it = support::seeded().await;
    let new = json!({
        "target": "model:sim-mini", "reason": "It went wrong.", "owner": "IT Security",
        "ends_at": "2026-12-01T00:00:00Z", "exceptions": ["contract-review"],
    });
    let made = api(&it, "POST", "bans", new.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let made = made.json();
    assert_eq!((&made["state"], &made["target"]), (&json!("active"), &json!("model:sim-mini")));
    let path = format!("bans/{}/lift", made["id"].as_str().unwrap());
    assert_eq!(api(&it, "POST", &path, Value::Null).await.json()["state"], "lifted");
    let states: Vec<_> =
        get(&it, "bans").await.as_array().unwrap().iter().map(|ban| ban["state"].clone()).collect();
    assert_eq!(states, ["lifted", "active"]);
    for (field, value) in [
        ("target", json!("everything")),
        ("ends_at", json!("2020-01-01T00:00:00Z")),
        ("ends_at", json!("tomorrow")),
        ("owner", json!("")),
        ("colour", json!("red")),
    ] {
        let mut wrong = new.clone();
        wrong[field] = value;
        let answer = api(&it, "POST", "bans", wrong).await;
        assert_eq!(problem(&answer, 422, "invalid-field")["errors"][0]["field"], field);
    }
}

#[tokio::test]
async fn usage_and_requests_are_read_with_what_was_just_settled() {
    let it = support::seeded().await;
    insta::assert_json_snapshot!(
        "api_usage",
        get(&it, "usage?by=use_case&from=2026-11-01&to=2026-11-30").await
    );
    let days = get(&it, "usage?by=day&from=2026-11-23&use_case=customer-replies").await;
    assert_eq!(days["rows"].as_array().unwrap().len(), 2);
    let page = get(&it, "requests?limit=4&use_case=customer-replies").await;
    let (rows, next) = (page["rows"].as_array().unwrap(), page["next"].as_str().unwrap());
    assert_eq!((rows.len(), rows[3]["id"].as_str()), (4, Some(next)));
    let older = get(&it, &format!("requests?limit=4&use_case=customer-replies&before={next}")).await;
    assert!(older["rows"][0]["id"].as_str().unwrap() < next);
    let last = get(&it, "requests?outcome=in_doubt").await;
    assert_eq!((last["rows"].as_array().unwrap().len(), &last["next"]), (1, &Value::Null));
    let record = get(&it, &format!("requests/{}", seed::id(seed::REFUSED))).await;
    assert_eq!(record["findings"][0]["kind"], "private_key");
    for (path, field) in [
        ("usage", "by"),
        ("usage?by=moon", "by"),
        ("usage?by=day&from=yesterday", "from"),
        ("requests?limit=many", "limit"),
        ("requests?outcome=nonsense", "outcome"),
        ("requests?colour=red", "colour"),
    ] {
        let answer = api(&it, "GET", path, Value::Null).await;
        assert_eq!(problem(&answer, 422, "invalid-field")["errors"][0]["field"], field, "{path}");
    }
}

#[tokio::test]
async fn rules_are_listed_with_their_guidance() {
    let it = support::seeded().await;
    let rules = get(&it, "rules").await;
    assert_eq!(rules.as_array().unwrap().len(), 4);
    assert_eq!(rules[0]["owner"], "IT Security");
}

#[tokio::test]
async fn a_signed_in_browser_may_use_the_api_under_its_own_name() {
    let it = support::seeded().await;
    let who = As::Browser(&it.session);
    let path = "/admin/api/budgets/use_case:campaign-texts";
    let answer = call(&it.router, who, "PUT", path, r#"{"monthly":"81"}"#).await;
    assert_eq!(answer.status, StatusCode::OK);
    let acts = get(&it, "acts?target=use_case:campaign-texts&limit=1").await;
    assert_eq!(acts[0]["actor"], "administrator");
}
