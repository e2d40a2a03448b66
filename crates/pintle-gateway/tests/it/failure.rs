//! Providers that fail: retries, failover, patience, and what each costs.

use std::sync::Arc;

use pintle_core::{UsageSource, Zone};
use pintle_gateway::{Health, Limits};
use pintle_ledger::{EntryState, Outcome};
use pintle_registry::{Placement, Timeouts};
use pintle_testkit::{FakeUpstream, Script, Usage, connect_refused_addr};

use crate::fixture::{Fixture, Setup, ask, ask_streamed, cloud, code, limits, on_premises, openai};

#[tokio::test]
async fn failures_before_the_first_byte_go_on_to_the_next_placement() {
    for script in [
        Script::openai_error(408, "timeout", "t"),
        Script::openai_error(429, "rate_limit_exceeded", "r"),
        Script::openai_error(500, "server_error", "s"),
        Script::openai_error(503, "overloaded", "o"),
    ] {
        for streamed in [false, true] {
            let (bad, good) = (FakeUpstream::start().await, FakeUpstream::start().await);
            bad.set_default(script.clone());
            good.set_default(if streamed {
                Script::openai_stream(&["fine"], Usage::new(1, 1))
            } else {
                Script::openai_answer("fine", Usage::new(1, 1))
            });
            let fixture = Fixture::new(vec![cloud("a-bad", &bad), on_premises("b-good", &good)]).await;
            let body = if streamed { ask_streamed("auto", "Hello") } else { ask("auto", "Hello") };
            let answer = fixture.chat(body).await;
            assert_eq!(answer.status, 200, "{script:?}");
            let record = fixture.record().await;
            assert_eq!(record.placement.unwrap().as_str(), "b-good");
            assert_eq!(record.attempts.len(), 2, "{:?}", record.attempts);
            assert_eq!(
                record.entry.unwrap().prices,
                Some(prices(&good)),
                "paid at the price of who answered"
            );
        }
    }
}

fn prices(upstream: &FakeUpstream) -> pintle_core::PriceCard {
    match on_premises("x", upstream).pricing {
        pintle_core::Pricing::Priced(card) => card,
        pintle_core::Pricing::Unpriced => panic!("priced"),
    }
}

#[tokio::test]
async fn a_placement_that_nobody_listens_at_is_passed_over_and_costs_nothing() {
    let refused = connect_refused_addr();
    let good = FakeUpstream::start().await;
    let nobody = Placement { provider: openai(&refused.base_url()), ..cloud("a-nobody", &good) };
    let fixture = Fixture::new(vec![nobody, on_premises("b-good", &good)]).await;
    assert_eq!(fixture.chat(ask("auto", "Hello")).await.header("x-pintle-placement"), Some("b-good"));
    let alone = fixture.chat(ask("a-nobody", "Hello")).await;
    assert_eq!((alone.status, code(&alone).as_str()), (502, "provider_unavailable"));
    assert_eq!(alone.header("x-should-retry"), Some("true"));
    let record = fixture.records().await.remove(0);
    let entry = record.entry.unwrap();
    assert_eq!((entry.state, entry.cost.unwrap().nanos()), (EntryState::Voided, 0));
    assert_eq!(record.attempts.len(), 3, "two retries");
}

#[tokio::test]
async fn other_refusals_are_not_tried_again() {
    for (status, expected, seen) in [
        (400, "provider_refused", 400),
        (422, "provider_refused", 400),
        (401, "provider_misconfigured", 502),
        (404, "provider_misconfigured", 502),
    ] {
        let (bad, good) = (FakeUpstream::start().await, FakeUpstream::start().await);
        bad.set_default(Script::openai_error(status, "no", "no"));
        let fixture = Fixture::new(vec![cloud("a-bad", &bad), on_premises("b-good", &good)]).await;
        let answer = fixture.chat(ask("auto", "Hello")).await;
        assert_eq!((answer.status, code(&answer).as_str()), (seen, expected));
        assert_eq!((bad.received().len(), good.received().len()), (1, 0));
        assert_eq!(fixture.record().await.entry.unwrap().state, EntryState::Voided);
    }
}

#[tokio::test]
async fn a_request_beyond_the_context_says_so() {
    let bad = FakeUpstream::start().await;
    bad.set_default(Script::openai_error(400, "context_length_exceeded", "too long"));
    let fixture = Fixture::new(vec![cloud("cloud", &bad)]).await;
    assert_eq!(code(&fixture.chat(ask("cloud", "Hello")).await), "context_length_exceeded");
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let (busy, good) = (FakeUpstream::start().await, FakeUpstream::start().await);
    let body = r#"{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}"#;
    busy.set_default(Script::status(429, &[("retry-after", "120")], body));
    let fixture = Fixture::new(vec![cloud("a-busy", &busy), on_premises("b-good", &good)]).await;
    fixture.chat(ask("auto", "Hello")).await;
    let health: Vec<_> = fixture.gateway.placements().into_iter().map(|status| status.health).collect();
    assert!(matches!(health[0], Health::Resting { ms } if ms > 100_000), "{health:?}");
    fixture.chat(ask("auto", "Hello")).await;
    assert_eq!(busy.received().len(), 1, "it is left alone for as long as it asked");
    // Asked for by name it is tried, and its patience is passed on rather than waited for.
    let alone = fixture.chat(ask("a-busy", "Hello")).await;
    assert_eq!((alone.status, code(&alone).as_str()), (429, "provider_rate_limited"));
    assert_eq!(alone.header("retry-after"), Some("120"));
}

#[tokio::test]
async fn a_short_patience_is_waited_for() {
    let busy = FakeUpstream::start().await;
    busy.script(Script::status(429, &[("retry-after", "0")], "{}"));
    let fixture = Fixture::new(vec![cloud("busy", &busy)]).await;
    assert_eq!(fixture.chat(ask("busy", "Hello")).await.status, 200);
    assert_eq!(busy.received().len(), 2);
}

#[tokio::test]
async fn after_three_failures_a_placement_rests() {
    let (bad, good) = (FakeUpstream::start().await, FakeUpstream::start().await);
    bad.set_default(Script::openai_error(500, "x", "x"));
    let fixture = Fixture::new(vec![cloud("a-bad", &bad), on_premises("b-good", &good)]).await;
    for _ in 0..6 {
        assert_eq!(fixture.chat(ask("auto", "Hello")).await.status, 200);
    }
    assert_eq!(bad.received().len(), 3);
}

#[tokio::test]
async fn the_retry_budget_keeps_a_bad_day_from_getting_worse() {
    let bad = FakeUpstream::start().await;
    bad.set_default(Script::openai_error(500, "x", "x"));
    let limits = Limits { retries: 10, ..limits() };
    let fixture = Fixture::with(Setup { limits, ..Setup::new(vec![Arc::new(cloud("bad", &bad))]) }).await;
    for _ in 0..10 {
        assert_eq!(fixture.chat(ask("bad", "Hello")).await.status, 502);
    }
    // 10 first tries, and of 100 possible retries the 20 of the budget and the 2 that were earned.
    assert!(bad.received().len() <= 32, "{}", bad.received().len());
}

fn impatient(name: &str, upstream: &FakeUpstream) -> Placement {
    let timeouts = Timeouts { connect_ms: 500, first_byte_ms: 150, idle_ms: 150 };
    Placement { timeouts, ..cloud(name, upstream) }
}

#[tokio::test]
async fn a_provider_that_says_nothing_is_a_504_and_in_doubt_at_its_hold() {
    let bad = FakeUpstream::start().await;
    bad.set_default(Script::stall());
    let fixture = Fixture::new(vec![impatient("bad", &bad)]).await;
    let answer = fixture.chat(ask("bad", "Hello")).await;
    assert_eq!((answer.status, code(&answer).as_str()), (504, "provider_timeout"));
    bad.wait_for_client_drop().await;
    let entry = fixture.record().await.entry.unwrap();
    assert_eq!((entry.state, entry.usage_source), (EntryState::InDoubt, UsageSource::Held));
    assert_eq!(entry.cost, Some(entry.hold));
    assert_eq!(fixture.spent(), (entry.hold.nanos(), 0));
}

#[tokio::test]
async fn the_requests_own_deadline_is_a_504() {
    let bad = FakeUpstream::start().await;
    bad.set_default(Script::stall());
    let limits = Limits { request_deadline_s: 1, ..limits() };
    let fixture = Fixture::with(Setup { limits, ..Setup::new(vec![Arc::new(cloud("bad", &bad))]) }).await;
    let answer = fixture.chat(ask("bad", "Hello")).await;
    assert_eq!((answer.status, code(&answer).as_str()), (504, "deadline_exceeded"));
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_call_and_disconnecting_is_not_free() {
    let slow = FakeUpstream::start().await;
    slow.set_default(Script::stall());
    let fixture = Fixture::new(vec![cloud("slow", &slow)]).await;
    let mut client = fixture.client().await;
    client.post_json("/v1/chat/completions", &fixture.key, &ask("slow", "Hello")).await;
    slow.wait_for_requests(1).await;
    drop(client);
    slow.wait_for_client_drop().await;
    let record = fixture.wait_for_records(1).await.remove(0);
    assert_eq!((record.outcome, record.status), (Outcome::Cancelled, 499));
    let entry = record.entry.unwrap();
    assert_eq!((entry.state, entry.cost), (EntryState::InDoubt, Some(entry.hold)));
    assert_eq!(fixture.spent().1, 0);
    let _ = Zone::ALL;
}

#[tokio::test]
async fn answers_that_make_no_sense_are_a_502() {
    for script in [
        Script::status(200, &[("content-type", "application/json")], "<html>"),
        Script::lies_about_length(1_000, r#"{"choices":[]}"#),
        Script::status(200, &[("content-type", "application/json")], [0xff, 0xfe]),
    ] {
        let bad = FakeUpstream::start().await;
        bad.set_default(script);
        let fixture = Fixture::new(vec![cloud("bad", &bad)]).await;
        let answer = fixture.chat(ask("bad", "Hello")).await;
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (502, "provider_broken_answer"),
            "{}",
            answer.text()
        );
        assert_eq!(fixture.record().await.entry.unwrap().state, EntryState::InDoubt);
    }
}

#[tokio::test]
async fn each_objective_orders_the_tries_in_its_own_way() {
    for (objective, expected) in [("cost", "a-cheap"), ("on_premises", "b-near"), ("latency", "a-cheap")] {
        let (far, near) = (FakeUpstream::start().await, FakeUpstream::start().await);
        let placements = vec![Arc::new(on_premises("b-near", &near)), Arc::new(cloud("a-cheap", &far))];
        let fixture = Fixture::with(Setup { objective, ..Setup::new(placements) }).await;
        let answer = fixture.chat(ask("auto", "Hello")).await;
        assert_eq!(answer.header("x-pintle-placement"), Some(expected), "{objective}");
        if objective == "latency" {
            // The one that was never tried is tried next, so that there is something to compare.
            let second = fixture.chat(ask("auto", "Hello")).await;
            assert_eq!(second.header("x-pintle-placement"), Some("b-near"));
        }
    }
}

#[tokio::test]
async fn i3_a_request_that_was_lost_on_its_way_is_in_doubt_and_not_sent_elsewhere_unpaid() {
    for script in [Script::reset(), Script::close()] {
        let (bad, good) = (FakeUpstream::start().await, FakeUpstream::start().await);
        bad.set_default(script);
        let fixture = Fixture::new(vec![cloud("a-bad", &bad), on_premises("b-good", &good)]).await;
        let answer = fixture.chat(ask("auto", "Hello")).await;
        assert_eq!((answer.status, code(&answer).as_str()), (502, "provider_connection_lost"));
        assert_eq!(answer.header("x-should-retry"), Some("true"));
        assert!(good.received().is_empty());
        let entry = fixture.record().await.entry.unwrap();
        assert_eq!((entry.state, entry.cost), (EntryState::InDoubt, Some(entry.hold)));
    }
}

#[tokio::test]
async fn a_provider_that_never_ends_its_handshake_is_not_connected_and_owes_nothing() {
    let (bad, good) = (FakeUpstream::start().await, FakeUpstream::start().await);
    // It takes the TCP connection and never answers in TLS.
    bad.set_default(Script::stall());
    let timeouts = Timeouts { connect_ms: 150, first_byte_ms: 5_000, idle_ms: 5_000 };
    let base_url = bad.base_url().replace("http://", "https://");
    let stalled = Placement { provider: openai(&base_url), timeouts, ..cloud("a-bad", &bad) };
    let fixture = Fixture::new(vec![stalled, on_premises("b-good", &good)]).await;
    let answer = fixture.chat(ask("auto", "Hello")).await;
    assert_eq!(answer.header("x-pintle-placement"), Some("b-good"), "{}", answer.text());
    let alone = fixture.chat(ask("a-bad", "Hello")).await;
    assert_eq!(code(&alone), "provider_unavailable");
    assert_eq!(fixture.records().await.remove(0).entry.unwrap().state, EntryState::Voided);
}
