//! I1: no byte above a placement's clearance is sent to it, also on failover.

use std::sync::Arc;

use pintle_core::{DataClass, Stage, Zone};
use pintle_registry::Placement;
use pintle_testkit::{FakeUpstream, Script, Usage};
use serde_json::{Value, json};

use crate::fixture::{CARD, Fixture, IBAN, Setup, ask, cloud, content, on_premises};

/// A text of each class, and the marker that must not be seen above it.
const TEXTS: [(&str, &str, DataClass); 4] = [
    ("Good morning, how are you?", "Good morning", DataClass::Internal),
    ("Refund to DE89370400440532013000 please", IBAN, DataClass::Confidential),
    ("My card is 4111 1111 1111 1111", CARD, DataClass::Restricted),
    ("What of Blue Falcon?", "Blue Falcon", DataClass::Restricted),
];

/// The places where a value can hide in a request.
fn forms(text: &str) -> Vec<Value> {
    let messages = |content: Value| json!([{ "role": "user", "content": content }]);
    vec![
        json!({ "messages": messages(text.into()) }),
        json!({ "messages": messages(text.into()), "stream": true }),
        json!({ "messages": messages(json!([{ "type": "text", "text": text }])) }),
        json!({ "messages": [{ "role": "system", "content": text }, { "role": "user", "content": "Hello" }] }),
        json!({ "messages": [
            { "role": "user", "content": "Hello" },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "c1", "type": "function", "function": {
                    "name": "pay", "arguments": json!({ "to": text }).to_string() } }] },
            { "role": "tool", "tool_call_id": "c1", "content": text },
        ]}),
        json!({ "messages": messages("Hello".into()), "tools": [
            { "type": "function", "function": { "name": "pay", "description": text, "parameters": {} } }] }),
        json!({ "messages": messages("Hello".into()), "user": text }),
        json!({ "messages": messages("Hello".into()), "an_unknown_field": { "deep": [text] } }),
    ]
}

fn placements(upstreams: &[FakeUpstream]) -> Vec<Placement> {
    let zones = [Zone::OnPremises, Zone::PrivateCloud, Zone::PublicCloud];
    let mut placements = Vec::new();
    for (index, clearance) in DataClass::ALL.iter().enumerate() {
        for (offset, zone) in zones.iter().enumerate() {
            let upstream = &upstreams[index * zones.len() + offset];
            placements.push(Placement {
                zone: *zone,
                clearance: *clearance,
                ..cloud(&format!("p-{clearance}-{offset}"), upstream)
            });
        }
    }
    placements
}

async fn check(transformations: Vec<&'static str>, fails: bool) {
    let mut upstreams = Vec::new();
    for _ in 0..12 {
        let upstream = FakeUpstream::start().await;
        // Each placement fails over to the next, so that a wrong order of tries would show.
        upstream.set_default(if fails {
            Script::openai_error(503, "overloaded", "busy")
        } else {
            Script::openai_answer("fine", Usage::new(3, 1))
        });
        upstreams.push(upstream);
    }
    let placements = placements(&upstreams);
    let setup = Setup {
        data_class: DataClass::Restricted,
        transformations,
        stage: Stage::Production,
        ..Setup::new(placements.iter().cloned().map(Arc::new).collect())
    };
    let fixture = Fixture::with(setup).await;
    for (text, _, _) in TEXTS {
        for form in forms(text) {
            for model in placements.iter().map(|placement| placement.name.as_str()).chain(["auto", "fake-1"])
            {
                let mut body = form.clone();
                body["model"] = model.into();
                let answer = fixture.chat(body).await;
                assert!(answer.status < 500 || fails, "{}", answer.text());
            }
        }
    }
    let mut seen = 0;
    for (placement, upstream) in placements.iter().zip(&upstreams) {
        for received in upstream.received() {
            seen += 1;
            let body = String::from_utf8_lossy(&received.body).into_owned();
            for (_, marker, class) in TEXTS {
                assert!(
                    class <= placement.clearance || !body.contains(marker),
                    "{class} content reached {} ({})",
                    placement.name,
                    placement.clearance
                );
            }
        }
    }
    assert!(seen > 100, "the requests that may pass do pass");
}

#[tokio::test]
async fn i1_every_form_and_class_stays_below_every_placements_clearance() {
    check(Vec::new(), false).await;
}

#[tokio::test]
async fn i1_also_when_every_provider_fails() {
    check(Vec::new(), true).await;
}

#[tokio::test]
async fn i1_also_when_content_is_transformed() {
    check(vec!["pseudonymise", "mask"], false).await;
}

#[tokio::test]
async fn auto_goes_to_the_cheapest_that_may_have_it_and_stays_at_home_with_an_iban() {
    let (far, near) = (FakeUpstream::start().await, FakeUpstream::start().await);
    let fixture = Fixture::new(vec![cloud("cloud-mini", &far), on_premises("onprem", &near)]).await;
    let harmless = fixture.chat(ask("auto", "Say thank you.")).await;
    assert_eq!(harmless.header("x-pintle-placement"), Some("cloud-mini"));
    assert_eq!(harmless.header("x-pintle-class"), Some("internal"));
    assert_eq!(harmless.header("x-pintle-zone"), Some("public_cloud"));
    assert!(harmless.header("x-pintle-request-id").unwrap().starts_with("req_"));
    assert!(harmless.header("x-pintle-cost").unwrap().ends_with(" EUR"));
    let kept = fixture.chat(ask("auto", &format!("Refund to {IBAN}."))).await;
    assert_eq!(kept.header("x-pintle-placement"), Some("onprem"));
    assert_eq!(kept.header("x-pintle-class"), Some("confidential"));
    assert_eq!((far.received().len(), near.received().len()), (1, 1));
}

#[tokio::test]
async fn a_pseudonym_goes_out_and_the_value_comes_back() {
    for streamed in [false, true] {
        let far = FakeUpstream::start().await;
        let text = "I will refund <IBAN_1> today; <IBAN_1> is right.";
        far.set_default(if streamed {
            Script::openai_stream(
                &["I will refund <IB", "AN_", "1> today; <IBAN_1", "> is right."],
                Usage::new(9, 9),
            )
        } else {
            Script::openai_answer(text, Usage::new(9, 9))
        });
        let setup = Setup {
            transformations: vec!["pseudonymise"],
            ..Setup::new(vec![Arc::new(Placement { clearance: DataClass::Internal, ..cloud("cloud", &far) })])
        };
        let fixture = Fixture::with(setup).await;
        let mut body = ask("cloud", &format!("Refund to {IBAN}, that is {IBAN}."));
        body["stream"] = streamed.into();
        let answer = fixture.chat(body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let sent = String::from_utf8_lossy(&far.received()[0].body).into_owned();
        assert!(!sent.contains(IBAN) && sent.contains("Refund to <IBAN_1>, that is <IBAN_1>."), "{sent}");
        let got = if streamed { crate::fixture::streamed_content(&answer) } else { content(&answer) };
        assert_eq!(got, text.replace("<IBAN_1>", IBAN));
        let record = fixture.record().await;
        assert_eq!(record.applied, Some(pintle_core::Transformation::Pseudonymise));
        assert_eq!(
            (record.class, record.sent_class),
            (Some(DataClass::Confidential), Some(DataClass::Internal))
        );
        assert!(!serde_json::to_string(&record).unwrap().contains(IBAN), "no value in the record");
    }
}

#[tokio::test]
async fn images_count_as_restricted() {
    let (far, near) = (FakeUpstream::start().await, FakeUpstream::start().await);
    let setup = Setup {
        data_class: DataClass::Restricted,
        ..Setup::new(vec![Arc::new(cloud("cloud", &far)), Arc::new(on_premises("onprem", &near))])
    };
    let fixture = Fixture::with(setup).await;
    let image = json!([
        { "type": "text", "text": "What is this?" },
        { "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=" } },
    ]);
    let body = json!({ "model": "auto", "messages": [{ "role": "user", "content": image }] });
    let answer = fixture.chat(body.clone()).await;
    assert_eq!(answer.header("x-pintle-placement"), Some("onprem"), "{}", answer.text());
    assert_eq!(answer.header("x-pintle-class"), Some("restricted"));
    let sent: Value = serde_json::from_slice(&near.received()[0].body).unwrap();
    assert_eq!(sent["messages"], body["messages"], "the image is passed as it is");
    assert!(far.received().is_empty());
}
