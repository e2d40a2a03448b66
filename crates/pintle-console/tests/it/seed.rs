//! Three weeks of requests of the sample organisation, the same each time.

use std::sync::Arc;

use pintle_core::{
    Amount, Clock, DataClass, Finding, Name, Origin, Place, PriceCard, RequestId, Stage, Timestamp,
    TokenUsage, Transformation, UsageSource, Zone,
};
use pintle_ledger::{
    Attempt, Candidate, Dialect, EntryState, Outcome, Phase, PhaseTime, RequestRecord, ScanState, Settlement,
};
use pintle_registry::NewBan;

use crate::support::{Fixture, NOW};

/// The requests of today that tests look at.
pub(crate) const ANSWERED: u128 = 901;
pub(crate) const PSEUDONYMISED: u128 = 902;
pub(crate) const REFUSED: u128 = 903;
pub(crate) const BUDGET: u128 = 904;
pub(crate) const FAILED: u128 = 905;
pub(crate) const UNPRICED: u128 = 906;
pub(crate) const IN_DOUBT: u128 = 907;
pub(crate) const CANCELLED: u128 = 908;
pub(crate) const BANNED: u128 = 909;

/// The time in an id is the clock's at the time of writing; of today's requests it is a minute each.
pub(crate) fn id(n: u128) -> RequestId {
    let now: Timestamp = NOW.parse().unwrap();
    let minutes = i64::try_from(n).unwrap() - 901;
    id_at(now.as_millisecond() - 7_200_000 + minutes * 60_000, n)
}

fn id_at(ms: i64, n: u128) -> RequestId {
    let ms = u128::try_from(ms).unwrap();
    RequestId::from_uuid(uuid::Uuid::from_u128(
        (ms << 80) | (0x7 << 76) | (0x8 << 60) | (n * 0x9E37_79B1 % 0xFFFF_FFFF),
    ))
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn card(placement: &str) -> Option<PriceCard> {
    let json = match placement {
        "cloud-mini" => r#"{"input":"0.15","output":"0.60"}"#,
        "cloud-large" => r#"{"input":"2.50","output":"10"}"#,
        "onprem-assistant" => r#"{"input":"0.40","output":"1.20"}"#,
        _ => return None,
    };
    serde_json::from_str(json).ok()
}

fn zone_of(placement: &str) -> Zone {
    if placement.starts_with("onprem") { Zone::OnPremises } else { Zone::PublicCloud }
}

fn finding(kind: &str, class: DataClass, origin: Origin, message: u32) -> Finding {
    Finding {
        kind: kind.into(),
        class,
        confidence: 97,
        origin,
        place: Place { message: Some(message), path: format!("messages[{message}].content").into() },
        start: 10,
        end: 32,
    }
}

fn candidate(placement: &str, allowed: bool, rules: &[&str]) -> Candidate {
    Candidate {
        placement: name(placement),
        zone: zone_of(placement),
        allowed,
        applied: None,
        rules: rules.iter().map(|rule| Arc::from(*rule)).collect(),
    }
}

fn record(it: &Fixture, id: RequestId, use_case: &str, class: DataClass) -> Box<RequestRecord> {
    let at_ms = it.clock.now().as_millisecond();
    let mut record = RequestRecord::new(id, at_ms, name(use_case), Dialect::OpenAiChat);
    record.model = "auto".into();
    record.person = Some("administrator".into());
    record.class = Some(class);
    record.request_scan = ScanState::Complete;
    record.policy_version = "p-4f1c".into();
    record.phases = phases(&[(Phase::Admit, 41), (Phase::Classify, 212), (Phase::Decide, 88)]);
    record.duration_us = 1_200;
    Box::new(record)
}

fn phases(times: &[(Phase, u64)]) -> Vec<PhaseTime> {
    times.iter().map(|(phase, duration_us)| PhaseTime { phase: *phase, duration_us: *duration_us }).collect()
}

/// Dispatches and settles what was answered.
fn answered(it: &Fixture, mut record: Box<RequestRecord>, placement: &str, tokens: (u64, u64)) {
    record.placement = Some(name(placement));
    record.zone = Some(zone_of(placement));
    record.candidates =
        vec![candidate(placement, true, &["base-send"]), candidate("cloud-new", false, &["unpriced"])];
    let prices = card(placement);
    let usage = TokenUsage { input: tokens.0, output: tokens.1, ..TokenUsage::default() };
    let hold = prices.map_or(Amount::ZERO, |card| card.worst_case(tokens.0, tokens.1).unwrap());
    let mut sent = it.ledger.hold(&record.use_case, hold).unwrap().dispatch(record, prices).unwrap();
    let record = sent.record_mut();
    record.outcome = Outcome::Answered;
    record.status = 200;
    record.answer_scan = ScanState::Complete;
    record.answer_class = Some(DataClass::Internal);
    record.attempts =
        vec![Attempt { placement: name(placement), outcome: "ok".into(), duration_us: 812_400 }];
    record.first_byte_us = Some(184_000);
    record.duration_us = 815_300;
    record.phases.extend(phases(&[
        (Phase::Route, 6),
        (Phase::Reserve, 9),
        (Phase::Call, 812_400),
        (Phase::Screen, 1_310),
    ]));
    sent.settle(
        Settlement { state: EntryState::Posted, usage, usage_source: UsageSource::Provider, prices },
        |_| {},
    )
    .unwrap();
}

/// A request that ended before it was sent.
fn stopped(it: &Fixture, mut record: Box<RequestRecord>, outcome: Outcome, status: u16, code: &'static str) {
    record.outcome = outcome;
    record.status = status;
    record.code = Some(code.into());
    it.ledger.record(&record).unwrap();
}

/// Fills the fixture's ledger, register and bans; the clock stands at [`NOW`] afterwards.
pub(crate) async fn fill(it: &Fixture) {
    let now: Timestamp = NOW.parse().unwrap();
    let start: Timestamp = "2026-11-01T09:00:00Z".parse().unwrap();
    for day in 0..23_i64 {
        for turn in 0..3_i64 {
            let ms = start.as_millisecond() + day * 86_400_000 + turn * 3_600_000;
            it.clock.set(Timestamp::from_millisecond(ms).unwrap());
            let n = u128::try_from(day * 10 + turn).unwrap();
            let busy = u64::try_from((day * 7 + turn * 3) % 11).unwrap();
            let (use_case, class, placement) = match turn {
                0 => ("customer-replies", DataClass::Confidential, "onprem-assistant"),
                1 => ("campaign-texts", DataClass::Internal, "cloud-mini"),
                _ => ("contract-review", DataClass::Confidential, "cloud-large"),
            };
            let scale = [4_000_000, 2_000_000, 230_000][usize::try_from(turn).unwrap()];
            let tokens = (scale * busy + 40_000, scale * busy / 3 + 12_000);
            if day % 7 < 5 {
                answered(it, record(it, id_at(ms, n), use_case, class), placement, tokens);
            }
        }
    }
    it.clock.set(now);
    it.clock.advance_ms(-3 * 3_600_000);
    registered(it).await;
    today(it);
    it.clock.set(now);
    it.ledger.flush().await.unwrap();
}

async fn registered(it: &Fixture) {
    let registry = &it.registry;
    registry.create_key("demo", &name("customer-replies"), "ticket system", None).await.unwrap();
    // Ids made in one millisecond stand in no order.
    it.clock.advance_ms(60_000);
    let old = registry.create_key("cli", &name("customer-replies"), "laptop", None).await.unwrap();
    registry.revoke_key("administrator", old.key.id).await.unwrap();
    registry.set_stage("administrator", &name("campaign-texts"), Stage::Review).await.unwrap();
    registry.set_stage("administrator", &name("campaign-texts"), Stage::Approved).await.unwrap();
    let ban = NewBan {
        target: "placement:cloud-large".parse().unwrap(),
        use_case: Some(name("customer-replies")),
        reason: "The provider reported a breach on Monday.".into(),
        owner: "IT Security".into(),
        starts_at: None,
        ends_at: Timestamp::from_second(1_796_000_000).unwrap(),
        exceptions: std::collections::BTreeSet::new(),
    };
    registry.add_ban("administrator", ban).await.unwrap();
}

/// A request of its own that a rule stopped: for tests of one page.
pub(crate) async fn stopped_by(it: &Fixture, n: u128, code: &'static str, rule: &str) -> RequestId {
    let mut record = record(it, id(n), "campaign-texts", DataClass::Internal);
    record.stopped_by = vec![rule.into()];
    stopped(it, record, Outcome::Refused, 403, code);
    it.ledger.flush().await.unwrap();
    id(n)
}

fn today(it: &Fixture) {
    let at = |n: u128| {
        let now: Timestamp = NOW.parse().unwrap();
        let minutes = i64::try_from(n).unwrap() - 901;
        it.clock
            .set(Timestamp::from_millisecond(now.as_millisecond() - 7_200_000 + minutes * 60_000).unwrap());
        id(n)
    };
    answered(it, record(it, at(ANSWERED), "campaign-texts", DataClass::Internal), "cloud-mini", (1_840, 412));

    let mut iban = record(it, at(PSEUDONYMISED), "contract-review", DataClass::Confidential);
    iban.add_findings(
        [
            finding("iban", DataClass::Confidential, Origin::Request, 0),
            finding("iban", DataClass::Confidential, Origin::Request, 0),
            finding("email", DataClass::Confidential, Origin::Request, 2),
        ],
        3,
    );
    iban.applied = Some(Transformation::Pseudonymise);
    iban.sent_class = Some(DataClass::Internal);
    iban.stream = true;
    answered(it, iban, "cloud-large", (2_100, 640));

    let mut refused = record(it, at(REFUSED), "campaign-texts", DataClass::Restricted);
    refused.add_findings([finding("private_key", DataClass::Restricted, Origin::Request, 0)], 1);
    refused.candidates = vec![
        candidate("cloud-mini", false, &["clearance", "restricted-on-premises"]),
        candidate("onprem-assistant", false, &["use-case-class"]),
    ];
    refused.stopped_by =
        ["use-case-class", "clearance", "restricted-on-premises"].map(std::sync::Arc::from).into();
    stopped(it, refused, Outcome::Refused, 403, "policy_refused");

    let mut full = record(it, at(BUDGET), "customer-replies", DataClass::Internal);
    full.candidates = vec![candidate("cloud-mini", true, &["base-send"])];
    full.placement = Some(name("cloud-mini"));
    full.zone = Some(Zone::PublicCloud);
    stopped(it, full, Outcome::Refused, 429, "budget_exceeded");

    let failed = record(it, at(FAILED), "customer-replies", DataClass::Public);
    stopped(it, failed, Outcome::Failed, 502, "provider_unavailable");

    answered(it, record(it, at(UNPRICED), "campaign-texts", DataClass::Public), "cloud-new", (900, 120));

    let mut doubt = record(it, at(IN_DOUBT), "customer-replies", DataClass::Confidential);
    doubt.placement = Some(name("onprem-assistant"));
    doubt.zone = Some(Zone::OnPremises);
    let hold = it.ledger.hold(&name("customer-replies"), Amount::from_nanos(4_200_000)).unwrap();
    drop(hold.dispatch(doubt, card("onprem-assistant")).unwrap());

    let gone = record(it, at(CANCELLED), "customer-replies", DataClass::Internal);
    stopped(it, gone, Outcome::Cancelled, 499, "client_gone");

    let mut banned = record(it, at(BANNED), "customer-replies", DataClass::Internal);
    // As the gateway names it: by the last digits.
    let ban: Arc<str> = format!("ban:{}", it.registry.snapshot().bans()[0].id.short()).into();
    banned.model = "cloud-large".into();
    banned.candidates = vec![candidate("cloud-large", false, &[&ban])];
    banned.stopped_by = vec![ban];
    stopped(it, banned, Outcome::Refused, 403, "banned");
}
