//! I1 for everything that is no chat: each class, each zone, each form in which content can come, token ids included.

use std::sync::Arc;

use pintle_core::{DataClass, Zone};
use pintle_registry::Placement;
use pintle_testkit::{FakeUpstream, Script};
use serde_json::{Value, json};

use crate::{
    fixture::{CARD, Fixture, IBAN, Setup, cloud},
    local::{Letters, ids, own, serving},
};

/// A text of each class, and the marker that must not be seen above it.
const TEXTS: [(&str, &str, DataClass); 4] = [
    ("Good morning, how are you?", "Good morning", DataClass::Internal),
    ("Refund to DE89370400440532013000 please", IBAN, DataClass::Confidential),
    ("My card is 4111 1111 1111 1111", CARD, DataClass::Restricted),
    ("What of Blue Falcon?", "Blue Falcon", DataClass::Restricted),
];

const ZONES: [Zone; 3] = [Zone::OnPremises, Zone::PrivateCloud, Zone::PublicCloud];

/// The places where a value can hide in a request with inputs in `field`.
fn inputs(field: &str, text: &str) -> Vec<Value> {
    vec![
        json!({ field: text }),
        json!({ field: ["Hello", text] }),
        json!({ field: ids(text) }),
        json!({ field: [ids("Hello"), ids(text)] }),
        json!({ field: ["Hello", ids(text)] }),
        json!({ field: "Hello", "user": text }),
        json!({ field: "Hello", "an_unknown_field": { "deep": [text] } }),
        json!({ field: json!({ "note": format!("a\n{text}") }).to_string() }),
    ]
}

fn asks(text: &str) -> Vec<(&'static str, Value)> {
    let mut asks = Vec::new();
    for body in inputs("prompt", text) {
        asks.push(("/v1/completions", body));
    }
    asks.push((
        "/v1/completions",
        json!({ "prompt": ids(text), "stream": true, "echo": true, "logprobs": 1 }),
    ));
    asks.push(("/v1/completions", json!({ "prompt": "Hello", "suffix": text, "stop": [text] })));
    for body in inputs("input", text) {
        asks.push(("/v1/embeddings", body));
    }
    asks.push(("/tokenize", json!({ "prompt": text })));
    asks.push(("/tokenize", json!({ "messages": [{ "role": "user", "content": text }] })));
    asks.push(("/detokenize", json!({ "tokens": ids(text) })));
    asks
}

/// A body as text, and what its token ids mean.
fn spelled(body: &Value) -> String {
    fn lists(value: &Value, out: &mut String) {
        match value {
            Value::Array(list) if list.first().is_some_and(Value::is_number) => {
                let id = |id: &Value| id.as_u64().and_then(|id| char::from_u32(u32::try_from(id).ok()?));
                out.extend(list.iter().filter_map(id));
            }
            Value::Array(list) => list.iter().for_each(|value| lists(value, out)),
            Value::Object(map) => map.values().for_each(|value| lists(value, out)),
            _ => {}
        }
    }
    let mut text = body.to_string();
    lists(body, &mut text);
    text
}

fn check_seen(placement: &Placement, body: &Value) {
    let spelled = spelled(body);
    for (_, marker, class) in TEXTS {
        assert!(
            class <= placement.clearance || !spelled.contains(marker),
            "{class} content reached {} ({})",
            placement.name,
            placement.clearance
        );
    }
}

async fn placements(make: impl AsyncFn(String) -> Placement) -> Vec<Placement> {
    let mut placements = Vec::new();
    for clearance in DataClass::ALL {
        for (at, zone) in ZONES.into_iter().enumerate() {
            let placement = make(format!("p-{clearance}-{at}")).await;
            placements.push(Placement { zone, clearance: *clearance, ..placement });
        }
    }
    placements
}

async fn check_own(transformations: Vec<&'static str>) {
    let placements = placements(async |name| own(&name).await).await;
    let models: Vec<Arc<Letters>> = placements.iter().map(|_| Arc::new(Letters::saying(&["x"]))).collect();
    let setup = Setup {
        data_class: DataClass::Restricted,
        transformations,
        ..Setup::new(placements.iter().cloned().map(Arc::new).collect())
    };
    let named: Vec<_> =
        placements.iter().map(|placement| placement.name.as_str()).zip(models.iter()).collect();
    let fixture = serving(setup, &named).await;
    for (text, _, _) in TEXTS {
        for (path, form) in asks(text) {
            for model in placements.iter().map(|placement| placement.name.as_str()).chain(["auto", "fake-1"])
            {
                let mut body = form.clone();
                body["model"] = model.into();
                let answer = fixture.post(path, body).await;
                assert!(answer.status < 500, "{path}: {}", answer.text());
            }
        }
    }
    let mut seen = 0;
    for (placement, model) in placements.iter().zip(&models) {
        for body in model.seen() {
            seen += 1;
            check_seen(placement, &body);
        }
    }
    assert!(seen > 300, "the requests that may pass do pass: {seen}");
}

#[tokio::test]
async fn i1_every_form_and_class_stays_below_every_own_placements_clearance() {
    check_own(Vec::new()).await;
}

#[tokio::test]
async fn i1_also_when_what_is_not_chat_is_transformed() {
    check_own(vec!["pseudonymise", "mask"]).await;
}

#[tokio::test]
async fn i1_embeddings_stay_below_every_providers_clearance() {
    let answer = json!({ "object": "list", "data": [{ "index": 0, "embedding": [1] }], "model": "m",
        "usage": { "prompt_tokens": 1, "total_tokens": 1 } });
    let upstreams = std::cell::RefCell::new(Vec::new());
    let placements = placements(async |name| {
        let upstream = FakeUpstream::start().await;
        upstream.set_default(Script::json(200, &answer));
        let placement = cloud(&name, &upstream);
        upstreams.borrow_mut().push(upstream);
        placement
    })
    .await;
    let setup = Setup {
        data_class: DataClass::Restricted,
        ..Setup::new(placements.iter().cloned().map(Arc::new).collect())
    };
    let fixture = Fixture::with(setup).await;
    for (text, _, _) in TEXTS {
        for form in inputs("input", text) {
            for model in placements.iter().map(|placement| placement.name.as_str()).chain(["fake-1"]) {
                let mut body = form.clone();
                body["model"] = model.into();
                let answer = fixture.post("/v1/embeddings", body).await;
                assert!(answer.status < 500, "{}", answer.text());
            }
        }
    }
    let mut seen = 0;
    for (placement, upstream) in placements.iter().zip(upstreams.into_inner()) {
        for received in upstream.received() {
            seen += 1;
            check_seen(placement, &serde_json::from_slice(&received.body).unwrap());
        }
    }
    assert!(seen > 100, "the requests that may pass do pass: {seen}");
}
