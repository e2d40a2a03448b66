//! Keys, models, stages, limits: who gets in, and what those read who do not.

use std::sync::Arc;

use pintle_core::Stage;
use pintle_ledger::Outcome;
use pintle_registry::NewBan;
use pintle_testkit::{FakeUpstream, Gate, Script, Usage};
use serde_json::{Value, json};

use crate::fixture::{Fixture, Setup, ask, cloud, code, gateway_settings, limits, on_premises, use_case};

#[tokio::test]
async fn without_a_good_key_nothing_is_sent_and_the_error_says_what_to_do() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    let expired = fixture
        .registry
        .create_key("t", &use_case(), "", Some("2026-11-24T09:00:00Z".parse().unwrap()))
        .await
        .unwrap();
    let revoked = fixture.registry.create_key("t", &use_case(), "", None).await.unwrap();
    fixture.registry.revoke_key("t", revoked.key.id).await.unwrap();
    fixture.clock.advance_ms(3_600_000);
    for (key, expected) in [
        (String::new(), "missing_api_key"),
        ("pintle_nonsense".to_owned(), "invalid_api_key"),
        (expired.secret.to_string(), "expired_api_key"),
        (revoked.secret.to_string(), "revoked_api_key"),
    ] {
        for path in ["/v1/chat/completions", "/v1/models"] {
            let mut client = fixture.client().await;
            let bearer = format!("Bearer {key}");
            let headers: &[(&str, &str)] = if key.is_empty() { &[] } else { &[("authorization", &bearer)] };
            let method = if path.ends_with("models") { "GET" } else { "POST" };
            client.request(method, path, headers, ask("auto", "Hello").to_string()).await;
            let answer = client.answer().await;
            assert_eq!((answer.status, code(&answer).as_str()), (401, expected), "{path}");
            assert_eq!(answer.header("x-should-retry"), Some("false"));
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            assert!(!answer.text().contains("nonsense"));
        }
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_key_may_come_as_anthropics_sdks_send_it() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    let mut client = fixture.client().await;
    client.request("GET", "/v1/models", &[("x-api-key", &fixture.key)], b"").await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn models_lists_what_the_key_may_use() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![cloud("cloud", &upstream), on_premises("onprem", &upstream)]).await;
    let ids = |answer: &pintle_testkit::Answer| -> Vec<String> {
        let list = answer.json();
        list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|model| model["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let answer = fixture.get("/v1/models").await;
    assert_eq!(ids(&answer), ["auto", "cloud", "onprem"]);
    fixture.registry.add_ban("t", ban("placement:cloud", None)).await.unwrap();
    assert_eq!(ids(&fixture.get("/v1/models").await), ["auto", "onprem"]);
    assert_eq!(fixture.get("/v1/models/onprem").await.json()["id"], "onprem");
    assert_eq!(code(&fixture.get("/v1/models/cloud").await), "model_not_found");
    fixture.registry.set_stage("t", &use_case(), Stage::Idea).await.unwrap();
    assert!(ids(&fixture.get("/v1/models").await).is_empty());
}

pub(crate) fn ban(target: &str, only: Option<&str>) -> NewBan {
    NewBan {
        target: target.parse().unwrap(),
        use_case: only.map(|name| name.parse().unwrap()),
        reason: "The provider reported a breach.".into(),
        owner: "IT Security".into(),
        starts_at: None,
        ends_at: "2026-11-25T08:00:00Z".parse().unwrap(),
        exceptions: std::collections::BTreeSet::new(),
    }
}

#[tokio::test]
async fn an_unknown_model_names_the_known_ones() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    let answer = fixture.chat(ask("gpt-99", "Hello")).await;
    assert_eq!((answer.status, code(&answer).as_str()), (404, "model_not_found"));
    let error = &answer.json()["error"];
    assert_eq!(error["param"], "model");
    assert_eq!(
        error["message"],
        "There is no placement or model `gpt-99` here. Use one of: `auto`, `cloud`."
    );
    assert_eq!(fixture.record().await.outcome, Outcome::Refused);
}

#[tokio::test]
async fn a_model_may_be_named_as_its_provider_spells_it() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    assert_eq!(fixture.chat(ask("fake-1", "Hello")).await.header("x-pintle-placement"), Some("cloud"));
}

#[tokio::test]
async fn ideas_and_retired_use_cases_call_nothing_and_pilots_need_a_cap() {
    let upstream = FakeUpstream::start().await;
    for stage in [Stage::Idea, Stage::Pilot, Stage::Retired] {
        let setup = Setup { stage, ..Setup::new(vec![Arc::new(cloud("cloud", &upstream))]) };
        let fixture = if stage == Stage::Retired {
            let fixture = Fixture::with(Setup { stage: Stage::Production, ..setup }).await;
            fixture.registry.set_stage("t", &use_case(), Stage::Retired).await.unwrap();
            fixture
        } else {
            Fixture::with(setup).await
        };
        let answer = fixture.chat(ask("auto", "Hello")).await;
        assert_eq!((answer.status, code(&answer).as_str()), (403, "stage_refused"), "{stage}");
        assert_eq!(fixture.record().await.entry, None, "nothing was sent");
        if stage == Stage::Pilot {
            fixture.budget("100").await;
            assert_eq!(fixture.chat(ask("auto", "Hello")).await.status, 200);
            fixture.budget("501").await;
            assert_eq!(fixture.chat(ask("auto", "Hello")).await.status, 403, "above the pilots' cap");
        }
    }
    assert_eq!(upstream.received().len(), 1);
}

#[tokio::test]
async fn a_key_has_so_many_requests_on_their_way_and_no_more() {
    let upstream = FakeUpstream::start().await;
    let gate = Gate::new();
    let setup = Setup {
        limits: pintle_gateway::Limits { concurrent_per_key: 2, ..limits() },
        ..Setup::new(vec![Arc::new(cloud("cloud", &upstream))])
    };
    let fixture = Fixture::with(setup).await;
    upstream.set_default(Script::openai_stream(&["a", "b"], Usage::new(1, 1)).gated(&gate));
    let mut first = fixture.client().await;
    let mut body = ask("cloud", "Hello");
    body["stream"] = true.into();
    first.post_json("/v1/chat/completions", &fixture.key, &body).await;
    let mut second = fixture.client().await;
    second.post_json("/v1/chat/completions", &fixture.key, &body).await;
    upstream.wait_for_requests(2).await;
    let third = fixture.chat(ask("cloud", "Hello")).await;
    assert_eq!((third.status, code(&third).as_str()), (429, "too_many_concurrent_requests"));
    assert_eq!(third.header("retry-after"), Some("1"));
    gate.open();
    first.answer().await;
    second.answer().await;
    upstream.set_default(Script::openai_answer("fine", Usage::new(1, 1)));
    fixture.wait_for_records(3).await;
    assert_eq!(fixture.chat(ask("cloud", "Hello")).await.status, 200, "places are given back");
}

#[tokio::test]
async fn a_reload_acts_on_the_next_request() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    assert_eq!(fixture.chat(ask("cloud", "Hello")).await.status, 200);
    let renamed = Arc::new(cloud("other", &upstream));
    fixture.gateway.reload(gateway_settings(&fixture.organisation, vec![renamed], limits())).unwrap();
    assert_eq!(fixture.chat(ask("cloud", "Hello")).await.status, 404);
    assert_eq!(fixture.chat(ask("other", "Hello")).await.status, 200);
}

#[tokio::test]
async fn paths_that_are_not_there_say_so_in_the_same_shape() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    let missing = fixture.post("/v1/audio/speech", json!({})).await;
    assert_eq!((missing.status, code(&missing).as_str()), (404, "unknown_endpoint"));
    let wrong = fixture.get("/v1/chat/completions").await;
    assert_eq!((wrong.status, code(&wrong).as_str()), (405, "method_not_allowed"));
    assert_eq!(fixture.get("/healthz").await.text(), "ok\n");
    assert_eq!(fixture.get("/readyz").await.text(), "ready\n");
    fixture.chat(ask("cloud", "Hello")).await;
    let metrics = fixture.get("/metrics").await.text();
    assert!(metrics.contains("pintle_requests_total{use_case=\"replies\",placement=\"cloud\""), "{metrics}");
    let _: Value = missing.json();
}
