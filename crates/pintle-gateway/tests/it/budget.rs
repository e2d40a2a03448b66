//! I2, I3, I4 at the gateway: budgets, prices, entries.

use std::sync::Arc;

use pintle_core::Pricing;
use pintle_gateway::{Limits, Unpriced};
use pintle_ledger::{EntryState, Outcome};
use pintle_registry::Placement;
use pintle_testkit::{FakeUpstream, Script, Usage};
use serde_json::json;

use crate::fixture::{Fixture, Setup, ask, cloud, code, limits};

#[tokio::test]
async fn i2_a_full_budget_refuses_and_says_which_how_full_and_until_when() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    fixture.budget("0.0001").await;
    let answer = fixture.chat(ask("cloud", "Hello")).await;
    assert_eq!((answer.status, code(&answer).as_str()), (429, "budget_exceeded"));
    assert_eq!(answer.header("x-should-retry"), Some("false"), "SDKs would retry a 429");
    let error = answer.json()["error"].clone();
    assert_eq!(error["type"], "insufficient_quota");
    assert_eq!(error["budget"]["scope"], "use_case:replies");
    assert_eq!(error["budget"]["renews_at"], "2026-12-01T00:00:00Z");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.starts_with(
            "Not sent. The monthly budget of the use case `replies` has no room for this request: €0.00 of \
             €0.00010 are spent or held. It renews on 1 December 2026."
        ),
        "{message}"
    );
    assert!(upstream.received().is_empty());
    assert_eq!((fixture.record().await.outcome, fixture.spent()), (Outcome::Refused, (0, 0)));
    // A shorter answer fits: worst-case holds are sized by what is asked for.
    let mut short = ask("cloud", "Hello");
    short["max_tokens"] = 5.into();
    assert_eq!(fixture.chat(short).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i2_five_hundred_at_once_on_a_budget_for_a_hundred_never_exceed_it() {
    let upstream = FakeUpstream::start().await;
    // Each costs 1 + 100 × 2 per million tokens; the hold is a little more, for its estimate of the input.
    upstream.set_default(Script::openai_answer("fine", Usage::new(1, 100)));
    let fixture = Arc::new(Fixture::new(vec![cloud("cloud", &upstream)]).await);
    let limit = 201_000 * 100_i64;
    fixture.budget(&pintle_core::Amount::from_nanos(limit).to_string()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let fixture = Arc::clone(&fixture);
        tasks.spawn(async move {
            let answer = fixture.chat(ask("cloud", "Hello")).await;
            let (posted, held) = fixture.spent();
            assert!(posted + held <= limit, "{posted} + {held}");
            answer.status
        });
    }
    let statuses = tasks.join_all().await;
    let passed = statuses.iter().filter(|status| **status == 200).count();
    assert!(statuses.iter().all(|status| [200, 429].contains(status)));
    assert_eq!(passed, upstream.received().len());
    assert!((80..=100).contains(&passed), "{passed}");
    let (posted, held) = fixture.spent();
    assert!(posted <= limit && held == 0);
}

#[tokio::test]
async fn i2_what_goes_beyond_the_hold_is_recorded_and_shown() {
    let upstream = FakeUpstream::start().await;
    upstream.set_default(Script::openai_answer("long", Usage::new(10, 5_000)));
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    let answer = fixture.chat(ask("cloud", "Hello")).await;
    assert_eq!(answer.header("x-pintle-cost"), Some("0.01001 EUR"));
    let entry = fixture.record().await.entry.unwrap();
    assert!(entry.overage().is_some());
    assert_eq!(fixture.spent(), (10_010_000, 0));
}

#[tokio::test]
async fn i3_each_dispatched_request_has_one_entry_and_others_have_none() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    for script in [
        Script::openai_answer("fine", Usage::new(1, 1)),
        Script::openai_error(400, "bad", "bad"),
        Script::lies_about_length(500, "{}"),
        Script::json(200, &json!({ "nonsense": true })),
    ] {
        upstream.script(script);
        fixture.chat(ask("cloud", "Hello")).await;
    }
    fixture.chat(ask("nowhere", "Hello")).await;
    let states: Vec<_> = fixture
        .records()
        .await
        .into_iter()
        .rev()
        .map(|record| record.entry.map(|entry| entry.state))
        .collect();
    let expected = [
        Some(EntryState::Posted),
        Some(EntryState::Voided),
        Some(EntryState::InDoubt),
        Some(EntryState::InDoubt),
        None,
    ];
    assert_eq!(states, expected);
    assert_eq!(fixture.spent().1, 0, "nothing stays held");
}

fn unpriced(upstream: &FakeUpstream) -> Arc<Placement> {
    Arc::new(Placement { pricing: Pricing::Unpriced, ..cloud("cloud", upstream) })
}

#[tokio::test]
async fn i4_an_unpriced_placement_is_refused() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::with(Setup::new(vec![unpriced(&upstream)])).await;
    let answer = fixture.chat(ask("cloud", "Hello")).await;
    assert_eq!((answer.status, code(&answer).as_str()), (403, "unpriced"), "{}", answer.text());
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn i4_or_flagged_and_never_counted_as_free() {
    let upstream = FakeUpstream::start().await;
    let limits = Limits { unpriced: Unpriced::Flag, ..limits() };
    let fixture = Fixture::with(Setup { limits, ..Setup::new(vec![unpriced(&upstream)]) }).await;
    let answer = fixture.chat(ask("cloud", "Hello")).await;
    assert_eq!(answer.header("x-pintle-cost"), Some("unpriced"));
    let entry = fixture.record().await.entry.unwrap();
    assert_eq!((entry.state, entry.cost), (EntryState::Posted, None));
}

#[tokio::test]
async fn i2_of_two_limits_the_larger_is_held_for() {
    let upstream = FakeUpstream::start().await;
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    let mut body = ask("cloud", "Hello");
    body["max_completion_tokens"] = 1.into();
    body["max_tokens"] = 1_000.into();
    fixture.chat(body).await;
    assert!(fixture.record().await.entry.unwrap().hold.nanos() >= 2_000_000);
}

#[tokio::test]
async fn i9_a_providers_nonsense_neither_uses_up_a_budget_nor_breaks_the_sums() {
    let upstream = FakeUpstream::start().await;
    upstream.set_default(Script::openai_answer("fine", Usage::new(10_000_000_000_000_000, 1)));
    let fixture = Fixture::new(vec![cloud("cloud", &upstream)]).await;
    fixture.chat(ask("cloud", "Hello")).await;
    let entry = fixture.record().await.entry.unwrap();
    assert_eq!(entry.usage_source, pintle_core::UsageSource::Estimated);
    assert!(fixture.spent().0 < 1_000_000);
}
