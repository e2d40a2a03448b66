//! I6 and I7: refusals fail closed, explain themselves, and never poison the conversation.

use std::sync::Arc;

use pintle_core::DataClass;
use pintle_guard::{Guard, GuardConfig};
use pintle_ledger::{Outcome, ScanState};
use pintle_policy::{PolicyEngine, PolicySource, default_sources};
use pintle_testkit::FakeUpstream;
use serde_json::json;

use crate::{
    admission::ban,
    fixture::{
        CARD, Fixture, IBAN, Setup, ask, cloud, code, gateway_settings, limits, on_premises, use_case,
    },
};

#[tokio::test]
async fn i7_a_refusal_names_type_place_rule_reason_way_and_contact_and_never_the_value() {
    let (far, near) = (FakeUpstream::start().await, FakeUpstream::start().await);
    let fixture = Fixture::new(vec![cloud("cloud", &far), on_premises("onprem", &near)]).await;
    let body = json!({ "model": "cloud", "messages": [
        { "role": "system", "content": "Be brief." },
        { "role": "user", "content": format!("Refund to {IBAN} and DE02120300000000202051.") },
    ]});
    let answer = fixture.chat(body).await;
    assert_eq!((answer.status, code(&answer).as_str()), (403, "policy_refused"));
    let text = answer.text();
    assert!(!text.contains(IBAN) && !text.contains("DE02"), "{text}");
    let error = answer.json()["error"].clone();
    assert_eq!(error["findings"][0]["type"], "iban");
    assert_eq!(error["findings"][0]["place"], "messages[1].content");
    assert_eq!(error["findings"][0]["count"], 2);
    assert_eq!(error["class"], "confidential");
    assert!(error["rules"][0]["rule"].is_string() && error["rules"][0]["guidance"].is_string());
    let ways = error["ways_forward"].as_array().unwrap();
    assert_eq!(
        (ways[0]["action"].as_str(), ways[0]["model"].as_str()),
        (Some("use_placement"), Some("onprem"))
    );
    assert!(ways.iter().any(|way| way["action"] == "allow_transformation"));
    assert!(ways.iter().any(|way| way["contact"] == "jana@example.com"));
    let message = error["message"].as_str().unwrap();
    assert!(
        message.starts_with("Not sent. `messages[1].content` contains 2 × IBAN (class: confidential)."),
        "{message}"
    );
    let record = fixture.record().await;
    assert!(message.ends_with(&format!("Ref {}.", record.id.short())), "{message}");
    assert_eq!((record.outcome, record.entry), (Outcome::Refused, None));
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    // The next clean request works.
    assert_eq!(fixture.chat(ask("cloud", "Good morning")).await.status, 200);
    assert_eq!(far.received().len(), 1);
}

#[tokio::test]
async fn what_nobody_may_see_is_refused_also_by_auto() {
    let near = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![on_premises("onprem", &near)]).await;
    let answer = fixture.chat(ask("auto", &format!("My card is {CARD}."))).await;
    assert_eq!((answer.status, code(&answer).as_str()), (403, "policy_refused"));
    let ways = answer.json()["error"]["ways_forward"].clone();
    assert!(ways.as_array().unwrap().iter().any(|way| way["action"] == "remove_values"), "{ways}");
    assert!(near.received().is_empty());
}

#[tokio::test]
async fn a_ban_stops_at_once_names_its_end_and_ends_by_itself() {
    let (far, near) = (FakeUpstream::start().await, FakeUpstream::start().await);
    let fixture = Fixture::new(vec![cloud("cloud", &far), on_premises("onprem", &near)]).await;
    fixture.registry.add_ban("t", ban("provider:openai", Some("replies"))).await.unwrap();
    let answer = fixture.chat(ask("cloud", "Hello")).await;
    assert_eq!((answer.status, code(&answer).as_str()), (403, "banned"));
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        message
            .contains("`openai` is banned until 25 November 2026 08:00 UTC: The provider reported a breach."),
        "{message}"
    );
    let ways = answer.json()["error"]["ways_forward"].clone();
    let offers_mask = ways.as_array().unwrap().iter().any(|way| way["action"] == "allow_transformation");
    assert!(!offers_mask, "no transformation lifts a ban: {ways}");
    fixture.clock.set("2026-11-25T08:00:00Z".parse().unwrap());
    assert_eq!(fixture.chat(ask("cloud", "Hello")).await.status, 200);
    fixture
        .registry
        .add_ban(
            "t",
            pintle_registry::NewBan {
                ends_at: "2026-11-26T08:00:00Z".parse().unwrap(),
                ..ban("placement:cloud", None)
            },
        )
        .await
        .unwrap();
    let elsewhere = fixture.chat(ask("auto", "Hello")).await;
    assert_eq!(elsewhere.header("x-pintle-placement"), Some("onprem"), "auto goes around a ban");
}

#[tokio::test]
async fn i6_a_policy_that_cannot_be_evaluated_refuses() {
    let far = FakeUpstream::start().await;
    let placements = vec![Arc::new(cloud("cloud", &far))];
    let fixture = Fixture::with(Setup::new(placements.clone())).await;
    let mut sources = default_sources();
    sources.push(PolicySource {
        name: "broken.cedar".into(),
        text: r#"@id("overflow") @guidance("Never mind.") @owner("IT")
            forbid (principal, action == Action::"send", resource)
            when { context.class + 9223372036854775807 > 0 };"#
            .into(),
    });
    let mut settings = gateway_settings(&fixture.organisation, placements, limits());
    settings.policies = Arc::new(PolicyEngine::compile(&sources).unwrap());
    fixture.gateway.reload(settings).unwrap();
    let answer = fixture.chat(ask("cloud", "Hello")).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert_eq!(answer.json()["error"]["rules"][0]["rule"], "policy-error");
    assert!(far.received().is_empty());
}

#[tokio::test]
async fn i6_no_record_claims_a_scan_that_did_not_run() {
    let far = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![cloud("cloud", &far)]).await;
    fixture.chat(ask("nowhere", "Hello")).await;
    let record = fixture.record().await;
    assert_eq!(
        (record.request_scan, record.answer_scan, record.class),
        (ScanState::NotRun, ScanState::NotRun, None)
    );
}

#[tokio::test]
async fn a_class_of_the_organisations_own_choice_decides() {
    let far = FakeUpstream::start().await;
    let placements = vec![Arc::new(cloud("cloud", &far))];
    let fixture = Fixture::with(Setup::new(placements.clone())).await;
    let mut settings = gateway_settings(&fixture.organisation, placements, limits());
    let classes = [("email".to_owned(), DataClass::Public)].into();
    settings.guard = Arc::new(Guard::new(&GuardConfig { classes, ..GuardConfig::default() }).unwrap());
    assert_eq!(fixture.chat(ask("cloud", "Write to jana@example.com")).await.status, 403);
    fixture.gateway.reload(settings).unwrap();
    assert_eq!(fixture.chat(ask("cloud", "Write to jana@example.com")).await.status, 200);
    let _ = use_case();
}
