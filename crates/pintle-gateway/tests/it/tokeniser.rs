//! `/tokenize`, `/detokenize`, `/tokenizer_info`: governed, free, and only for eyes that may see the content.

use std::sync::Arc;

use pintle_core::{DataClass, Stage};
use pintle_ledger::{Dialect, Outcome, Phase, ScanState};
use pintle_registry::Placement;
use pintle_testkit::FakeUpstream;
use serde_json::{Value, json};

use crate::{
    fixture::{Fixture, IBAN, Setup, cloud, code},
    local::{Letters, UNKNOWN_ID, alone, ids, own, serving},
};

#[tokio::test]
async fn texts_become_tokens_and_tokens_texts_without_a_cost() {
    let model = Arc::new(Letters::default());
    let fixture = alone(&model).await;
    fixture.budget("0").await;
    for prefix in ["", "/v1"] {
        let answer =
            fixture.post(&format!("{prefix}/tokenize"), json!({ "prompt": "Hi", "model": "own" })).await;
        assert_eq!(answer.json()["tokens"], json!([72, 105]), "{}", answer.text());
        assert_eq!(answer.header("x-pintle-cost"), None);
        let answer = fixture.post(&format!("{prefix}/detokenize"), json!({ "tokens": ids("Hi") })).await;
        assert_eq!(answer.json(), json!({ "prompt": "Hi" }), "{}", answer.text());
        fixture.clock.advance_ms(1);
        let answer = fixture.get(&format!("{prefix}/tokenizer_info?model=own")).await;
        assert_eq!(answer.json()["tokenizer_class"], "Letters", "{}", answer.text());
    }
    assert_eq!(fixture.spent(), (0, 0));
    let records = fixture.records().await;
    assert_eq!(records.len(), 6);
    for record in &records {
        assert_eq!((record.outcome, &record.entry, &*record.model), (Outcome::Answered, &None, "own"));
        assert_eq!((record.request_scan, record.was_sent()), (ScanState::Complete, true));
        assert!(record.phases.iter().all(|time| !matches!(time.phase, Phase::Reserve | Phase::Settle)));
    }
    let dialects: Vec<_> = records.iter().rev().take(3).map(|record| record.dialect).collect();
    assert_eq!(dialects, [Dialect::Tokenize, Dialect::Detokenize, Dialect::TokenizerInfo]);
    // What the client said itself comes back in numbers; a text that comes back is guarded.
    let scans: Vec<_> = records.iter().rev().take(3).map(|record| record.answer_scan).collect();
    assert_eq!(scans, [ScanState::NotRun, ScanState::Complete, ScanState::NotRun]);
}

#[tokio::test]
async fn without_a_model_the_only_placement_is_meant() {
    let far = FakeUpstream::start().await;
    let (one, two) = (Arc::new(Letters::default()), Arc::new(Letters::default()));
    let placements = [cloud("cloud", &far), own("own").await, own("second").await];
    let setup = |count: usize| Setup::new(placements.iter().take(count).cloned().map(Arc::new).collect());
    let fixture = serving(setup(2), &[("own", &one)]).await;
    assert_eq!(fixture.post("/tokenize", json!({ "prompt": "Hi" })).await.status, 200);
    assert_eq!(fixture.get("/tokenizer_info").await.status, 200);
    let fixture = serving(setup(3), &[("own", &one), ("second", &two)]).await;
    let answer = fixture.post("/tokenize", json!({ "prompt": "Hi" })).await;
    assert_eq!((answer.status, code(&answer).as_str()), (400, "missing_field"));
    assert!(answer.text().contains("`own`, `second`"), "{}", answer.text());
    let fixture = serving(setup(1), &[]).await;
    let answer = fixture.get("/tokenizer_info").await;
    assert_eq!((answer.status, code(&answer).as_str()), (400, "endpoint_unsupported"), "{}", answer.text());
}

#[tokio::test]
async fn i1_a_tokeniser_sees_only_what_its_placement_may_see() {
    let model = Arc::new(Letters::default());
    let placement = Placement { clearance: DataClass::Internal, ..own("own").await };
    // A transformation would make other tokens, so it does not help here.
    let setup = Setup { transformations: vec!["pseudonymise"], ..Setup::new(vec![Arc::new(placement)]) };
    let fixture = serving(setup, &[("own", &model)]).await;
    let text = format!("Refund to {IBAN}");
    let asks = [
        ("/tokenize", json!({ "prompt": text })),
        ("/tokenize", json!({ "messages": [{ "role": "user", "content": text }] })),
        ("/tokenize", json!({ "prompt": "Hi", "an_unknown_field": [text] })),
        ("/detokenize", json!({ "tokens": ids(&text) })),
    ];
    for (path, body) in asks {
        let answer = fixture.post(path, body).await;
        assert_eq!((answer.status, code(&answer).as_str()), (403, "policy_refused"), "{}", answer.text());
        assert!(!answer.text().contains(IBAN) && !answer.text().contains("allow_transformation"));
    }
    assert!(model.seen().is_empty());
}

#[tokio::test]
async fn what_is_not_understood_is_refused() {
    let model = Arc::new(Letters::default());
    let fixture = alone(&model).await;
    let asks: [(&str, Value, &str); 7] = [
        ("/tokenize", json!({}), "missing_field"),
        ("/tokenize", json!({ "prompt": [72] }), "invalid_field"),
        ("/tokenize", json!({ "prompt": "a", "messages": [] }), "invalid_field"),
        ("/tokenize", json!({ "messages": "a" }), "invalid_field"),
        ("/detokenize", json!({}), "missing_field"),
        ("/detokenize", json!({ "tokens": "a" }), "invalid_field"),
        ("/detokenize", json!({ "tokens": [UNKNOWN_ID] }), "invalid_field"),
    ];
    for (path, body, expected) in asks {
        let answer = fixture.post(path, body.clone()).await;
        assert_eq!((answer.status, code(&answer).as_str()), (400, expected), "{body}: {}", answer.text());
    }
    assert!(model.seen().is_empty());
}

#[tokio::test]
async fn no_new_path_answers_without_a_key_or_for_an_idea() {
    let fixture = Fixture::new(Vec::new()).await;
    let paths =
        ["/v1/completions", "/v1/embeddings", "/tokenize", "/v1/tokenize", "/detokenize", "/v1/detokenize"];
    let asks = paths.into_iter().map(|path| ("POST", path));
    for (method, path) in asks.chain([("GET", "/tokenizer_info"), ("GET", "/v1/tokenizer_info")]) {
        for (headers, expected) in [
            (vec![], "missing_api_key"),
            (vec![("authorization", "Bearer pintle_no-such-key")], "invalid_api_key"),
        ] {
            let mut client = fixture.client().await;
            client.request(method, path, &headers, "{}").await;
            let answer = client.answer().await;
            assert_eq!((answer.status, code(&answer).as_str()), (401, expected), "{method} {path}");
        }
    }
    let model = Arc::new(Letters::saying(&["x"]));
    let setup = Setup { stage: Stage::Idea, ..Setup::new(vec![Arc::new(own("own").await)]) };
    let fixture = serving(setup, &[("own", &model)]).await;
    let asks = [
        ("/v1/completions", json!({ "model": "own", "prompt": "a" })),
        ("/v1/embeddings", json!({ "model": "own", "input": "a" })),
        ("/tokenize", json!({ "prompt": "a" })),
        ("/detokenize", json!({ "model": "own", "tokens": [65] })),
    ];
    for (path, body) in asks {
        let answer = fixture.post(path, body).await;
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (403, "stage_refused"),
            "{path}: {}",
            answer.text()
        );
    }
    assert!(model.seen().is_empty());
}
