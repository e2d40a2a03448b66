//! The life of a request, from top to bottom: admit → classify → decide → route → reserve → call →
//! screen → settle → record. Each phase is a function, in that order; the order is the security argument.
//! Nothing is sent before it was classified, decided and reserved, and nothing leaves unrecorded. What is asked
//! for ([`Endpoint`]) changes no phase; a tokeniser's work costs nothing, so it skips reserve and settle.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::header;
use pintle_core::{Amount, KeyId, Name, RequestId, TokenUsage, Transformation, UsageSource};
use pintle_ledger::{EntryState, Hold, Phase, RequestRecord, ReserveError, ScanState, Settlement};
use pintle_llm::{AnyRequest, Endpoint};
use pintle_policy::{Reason, Subject};
use pintle_registry::UseCase;
use tokio::time::Instant;

use crate::{
    body,
    caller::Caller,
    content::{Cleared, Forms, Scanned},
    error::Stop,
    fleet::{Station, TryOrder},
    guidance::{self, Refusal},
    judge::{judge, refuse},
    life::{Life, Occupied, Recorded, micros},
    named,
    screen::{Screen, Seen},
    state::{Gateway, Loaded},
    stream::{AnswerStream, StreamFacts},
    tries::{Again, Tries, give_up, note_attempt, read_failure, send_failure},
    upstream::{self, Connector, Protocol, Upstream},
    whole::Whole,
    work::{in_place, off_the_threads},
};

/// A whole answer is at most so long.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// One request, from its head to its record.
pub(crate) async fn govern(
    gateway: &Arc<Gateway>,
    endpoint: Endpoint,
    caller: Caller,
    body: Body,
) -> Recorded {
    let loaded = gateway.loaded();
    let (mut life, admission) = match identify(gateway, &loaded, endpoint, caller) {
        Ok(known) => known,
        Err(stop) => return Recorded::unadmitted(gateway, &stop),
    };
    match governed(&mut life, &loaded, &admission, body).await {
        Ok(answer) => record(life, answer),
        Err(stop) => life.stop(&stop),
    }
}

async fn governed(
    life: &mut Life,
    loaded: &Arc<Loaded>,
    admission: &Admission,
    body: Body,
) -> Result<Answered, Stop> {
    let admitted = admit(life, loaded, admission, body).await?;
    let classified = classify(life, loaded, admitted).await?;
    let decided = in_place(classified.size, || decide(life, loaded, &classified))?;
    let routed = route(life, decided);
    let reserved = reserve(life, loaded, &routed)?;
    let called = call(life, loaded, routed, reserved).await?;
    screen(life, called).await
}

// ── admit ────────────────────────────────────────────────────────────────────────────────────────────

/// Who asks for what, and for which use case.
pub(crate) struct Admission {
    pub(crate) endpoint: Endpoint,
    pub(crate) use_case: Arc<UseCase>,
    pub(crate) subject: Subject,
    /// As whose requests they are counted while they are on their way: the key's, or the console's.
    key: Option<KeyId>,
}

/// Authenticates the caller and binds the use case. From here on there is a record.
fn identify(
    gateway: &Arc<Gateway>,
    loaded: &Loaded,
    endpoint: Endpoint,
    caller: Caller,
) -> Result<(Life, Admission), Stop> {
    if gateway.parts.ledger.is_overloaded() {
        return Err(Stop::Ledger("too many records wait"));
    }
    let now = gateway.parts.clock.now();
    let snapshot = gateway.parts.registry.snapshot();
    let (name, key, person) = match caller {
        Caller::Person { person, use_case } => (use_case, None, Some(person)),
        Caller::Key(presented) => {
            let key = gateway.active_key(&snapshot, presented, now)?;
            (key.use_case.clone(), Some(key.id), None)
        }
    };
    let use_case = Arc::clone(snapshot.use_case(&name).ok_or(Stop::NoUseCase)?);
    let id = RequestId::new(now).map_err(|_| Stop::Internal("no randomness"))?;
    let mut record = Life::new_record(id, now, name, endpoint);
    record.key = key;
    record.person = person;
    record.policy_version = loaded.policies.version().into();
    let mut subject = gateway.subject(&use_case);
    if endpoint.is_tokenisers() {
        // The tokens of a text that was changed are of no use to anybody.
        subject.transformations.clear();
    }
    Ok((Life::new(gateway, record), Admission { endpoint, use_case, subject, key }))
}

/// What was admitted: a request in a dialect that we know, and the placements that it names.
struct Admitted<'a> {
    admission: &'a Admission,
    request: AnyRequest,
    /// Of the body, in bytes.
    size: usize,
    stations: Vec<Arc<Station>>,
    deadline: Instant,
    deadline_s: u64,
}

/// Takes a place among the requests on their way, reads and decodes the body, and checks the stage: ideas
/// and retired use cases call nothing.
async fn admit<'a>(
    life: &mut Life,
    loaded: &Loaded,
    admission: &'a Admission,
    body: Body,
) -> Result<Admitted<'a>, Stop> {
    let limits = &loaded.limits;
    let deadline_s = limits.request_deadline_s;
    let deadline = Instant::now() + Duration::from_secs(deadline_s);
    let gateway = Arc::clone(life.gateway());
    gateway.retries.earn();
    let most = limits.concurrent_per_key;
    let busy = gateway.enter(admission.key, most).ok_or(Stop::KeyBusy { most })?;
    let place = Arc::clone(&loaded.total).try_acquire_owned().map_err(|_| Stop::Overloaded)?;
    let read = body::read(body, limits.body_mib, &gateway.body_memory);
    let received = tokio::time::timeout_at(deadline, read).await.map_err(|_| Stop::SlowBody)??;
    let bytes = received.bytes;
    let size = bytes.len();
    // Work that was begun goes on when the client leaves, so what it takes up stays counted with it.
    let occupied = Arc::new(Occupied { _busy: busy, _place: place, _memory: received.memory });
    life.occupy(Arc::clone(&occupied));
    let endpoint = admission.endpoint;
    let parse = move || {
        let parsed = AnyRequest::parse(endpoint, &bytes);
        drop(occupied);
        parsed
    };
    let request = off_the_threads(size, parse).await?.map_err(Stop::Request)?;
    life.note(|record| {
        record.model = request.model().unwrap_or_default().chars().take(128).collect::<String>().into();
        record.stream = request.stream();
    });
    let may_call = loaded.policies.may_call(&admission.subject);
    let stations = match (named::stations(&gateway, loaded, admission, request.model()), may_call) {
        // Where no model is named, the stage leaves none to choose from.
        (Err(Stop::NotServed { .. }) | Ok(_), Err(reasons)) => {
            return Err(stage_refused(life, admission, reasons));
        }
        (stations, _) => stations?,
    };
    if request.model().is_none() {
        let chosen = stations.first().map(|station| Arc::from(station.name().as_str()));
        life.note(|record| record.model = chosen.unwrap_or_default());
    }
    Ok(Admitted { admission, request, size, stations, deadline, deadline_s })
}

fn stage_refused(life: &Life, admission: &Admission, reasons: Vec<Reason>) -> Stop {
    Stop::Refused(Box::new(Refusal {
        code: "stage_refused",
        what: "Not sent",
        class: None,
        sightings: Vec::new(),
        reasons,
        ways: guidance::people(&admission.use_case).into(),
        id: life.id(),
    }))
}

// ── classify ─────────────────────────────────────────────────────────────────────────────────────────

/// What was classified.
pub(crate) struct Classified<'a> {
    pub(crate) admission: &'a Admission,
    pub(crate) scanned: Arc<Scanned>,
    pub(crate) stations: Vec<Arc<Station>>,
    size: usize,
    deadline: Instant,
    deadline_s: u64,
}

/// Guards every text of the request, and what its token ids mean. Findings give the data class.
async fn classify<'a>(
    life: &mut Life,
    loaded: &Loaded,
    admitted: Admitted<'a>,
) -> Result<Classified<'a>, Stop> {
    life.enter(Phase::Classify);
    let Admitted { admission, mut request, size, mut stations, deadline, deadline_s } = admitted;
    let guard = Arc::clone(&loaded.guard);
    let occupied = life.occupied();
    let scan = move || {
        let scanned = named::read_tokens(&mut request, &mut stations)
            .map(|()| (Arc::new(Scanned::new(request, &guard)), stations));
        drop(occupied);
        scanned
    };
    let (scanned, stations) = off_the_threads(size, scan).await?.map_err(Stop::Request)?;
    life.note(|record| {
        record.request_scan = ScanState::Complete;
        record.class = Some(scanned.class());
        let total = u32::try_from(scanned.findings().len()).unwrap_or(u32::MAX);
        record.add_findings(scanned.findings().iter().take(RequestRecord::MOST_FINDINGS).cloned(), total);
    });
    Ok(Classified { admission, scanned, stations, size, deadline, deadline_s })
}

// ── decide ───────────────────────────────────────────────────────────────────────────────────────────

struct Decided<'a> {
    admission: &'a Admission,
    /// What may go, and where. Never empty.
    options: Vec<(Cleared, Option<Transformation>)>,
    input_tokens: u64,
    output_tokens: u64,
    deadline: Instant,
    deadline_s: u64,
}

/// Asks the policies about each placement that the request names; what none may take is refused, with
/// the ways forward that the policies leave.
fn decide<'a>(life: &mut Life, loaded: &Loaded, classified: &Classified<'a>) -> Result<Decided<'a>, Stop> {
    life.enter(Phase::Decide);
    let scanned = &classified.scanned;
    let forms = Forms::new(Arc::clone(scanned), Arc::clone(&loaded.guard));
    let mut options = Vec::new();
    let mut refusals = Vec::new();
    for station in &classified.stations {
        let judged = judge(life.gateway(), loaded, classified.admission, &forms, station);
        life.note(|record| record.candidates.push(judged.candidate));
        match judged.outcome {
            Ok(option) => options.push(option),
            Err(reasons) => refusals.push(reasons),
        }
    }
    if options.is_empty() {
        return Err(refuse(life, loaded, classified, &forms, refusals));
    }
    let request = scanned.request();
    Ok(Decided {
        admission: classified.admission,
        options,
        input_tokens: request.estimate_input_tokens(),
        output_tokens: request.output_tokens_max(loaded.limits.max_output_tokens),
        deadline: classified.deadline,
        deadline_s: classified.deadline_s,
    })
}

// ── route ────────────────────────────────────────────────────────────────────────────────────────────

/// Orders what is allowed: health, then the use case's objective. Failover stays within this list.
fn route<'a>(life: &mut Life, mut decided: Decided<'a>) -> Decided<'a> {
    life.enter(Phase::Route);
    if decided.options.len() > 1 {
        let transformed: Vec<Name> = decided
            .options
            .iter()
            .filter(|(_, applied)| applied.is_some())
            .map(|(cleared, _)| cleared.station().name().clone())
            .collect();
        let order = TryOrder {
            objective: decided.admission.use_case.draft.objective,
            input_tokens: decided.input_tokens,
            output_tokens: decided.output_tokens,
            now_ms: life.gateway().now_ms(),
            is_transformed: &|station| transformed.contains(station.name()),
        };
        decided.options.sort_by_cached_key(|(cleared, _)| order.key(cleared.station()));
    }
    decided
}

// ── reserve ──────────────────────────────────────────────────────────────────────────────────────────

/// Holds the most that the request can cost at any placement that it may go to, in all its budgets. Nothing is
/// held for what costs nothing.
fn reserve(life: &mut Life, loaded: &Loaded, routed: &Decided<'_>) -> Result<Option<Hold>, Stop> {
    if routed.admission.endpoint.is_tokenisers() {
        return Ok(None);
    }
    life.enter(Phase::Reserve);
    let mut worst = Amount::ZERO;
    for (cleared, _) in &routed.options {
        let Some(prices) = cleared.station().prices() else { continue };
        let cost = prices.worst_case(routed.input_tokens, routed.output_tokens);
        worst = worst.max(cost.map_err(|_| Stop::Ledger("the cost cannot be counted"))?);
    }
    let ledger = life.ledger();
    ledger
        .hold(routed.admission.use_case.name(), worst)
        .map(Some)
        .map_err(|error| not_held(ledger, loaded, error))
}

/// Why money cannot be held, as the client reads it.
pub(crate) fn not_held(ledger: &pintle_ledger::Ledger, loaded: &Loaded, error: ReserveError) -> Stop {
    match error {
        ReserveError::Exceeded(state) => {
            let used = state.posted.plus(state.held).unwrap_or(Amount::from_nanos(i64::MAX));
            let renews = state.period.end.to_zoned_datetime(loaded.organisation.time_zone.clone());
            Stop::Budget {
                limit: ledger.show(state.limit.unwrap_or(Amount::ZERO)),
                used: ledger.show(used),
                renews: renews.strftime("%-d %B %Y").to_string(),
                state,
            }
        }
        ReserveError::Backlog => Stop::Ledger("too many records wait"),
        ReserveError::Money(_) => Stop::Ledger("the cost cannot be counted"),
        ReserveError::Time | ReserveError::Broken => Stop::Ledger("the accounts cannot be used"),
    }
}

// ── call ─────────────────────────────────────────────────────────────────────────────────────────────

/// A placement's answer: the head has come, and says success.
struct Called {
    cleared: Cleared,
    upstream: Upstream,
    screen: Screen,
    facts: StreamFacts,
    endpoint: Endpoint,
    is_stream: bool,
}

/// Sends the request to the first placement, and on failure before the answer's first byte to the next,
/// as far as the retry budget goes. Before anything is sent, the journal knows of it (I3).
async fn call(
    life: &mut Life,
    loaded: &Loaded,
    routed: Decided<'_>,
    mut hold: Option<Hold>,
) -> Result<Called, Stop> {
    life.enter(Phase::Call);
    let Decided { admission, options, input_tokens, deadline, deadline_s, .. } = routed;
    let endpoint = admission.endpoint;
    let mut tries = Tries { left: loaded.limits.retries, last: None, was_sent: false };
    let mut queue: std::collections::VecDeque<_> = options.into();
    while let Some((cleared, applied)) = queue.pop_front() {
        let station = Arc::clone(cleared.station());
        life.note(|record| {
            record.applied = applied;
            record.sent_class = Some(cleared.class());
        });
        match hold.take() {
            Some(hold) => life.dispatch(hold, &station)?,
            None => life.dispatch_again(&station)?,
        }
        let dispatched = std::time::Instant::now();
        let sent = upstream::send(&cleared, loaded.limits.max_output_tokens, deadline).await;
        let failure = match sent {
            Ok(upstream) if upstream.status.is_success() => {
                note_attempt(life, &station, "ok".into(), dispatched);
                if !endpoint.is_tokenisers() {
                    // How fast a tokeniser is says nothing of how fast its model is.
                    station.succeeded(dispatched.elapsed());
                }
                let first_byte_us = micros(dispatched.elapsed());
                life.note(|record| record.first_byte_us = Some(first_byte_us));
                let table = loaded.policies.answer_table(&admission.subject, station.facts());
                let screen = Screen::new(Arc::clone(&loaded.guard), table, Arc::clone(cleared.pseudonyms()));
                let request = cleared.request();
                let facts = StreamFacts {
                    placement: station.name().clone(),
                    wants_usage: request.wants_usage_chunk(),
                    choices: request.choices(),
                    input_estimate: input_tokens,
                    echo_estimate: request.estimate_echoed_tokens(),
                    idle: station.connector().idle(),
                    deadline,
                    deadline_s,
                    dispatched,
                };
                let is_stream = request.stream();
                return Ok(Called { cleared, upstream, screen, facts, endpoint, is_stream });
            }
            Ok(upstream) => read_failure(upstream, &station, endpoint, deadline).await,
            Err(error) => send_failure(error, &station, deadline_s),
        };
        note_attempt(life, &station, failure.outcome.clone().into(), dispatched);
        let again = tries.next(life, &station, &failure, queue.is_empty(), deadline).await;
        tries.was_sent |= failure.is_in_doubt;
        tries.last = Some(failure);
        match again {
            Again::Same => queue.push_front((cleared, applied)),
            Again::Next => {}
            Again::No => break,
        }
    }
    Err(give_up(life, tries))
}

// ── screen ───────────────────────────────────────────────────────────────────────────────────────────

/// A guarded answer: whole, or a stream that guards itself as it goes.
enum Answered {
    Whole(bytes::Bytes),
    Stream(Box<Streaming>),
}

/// What a stream goes on with.
struct Streaming {
    upstream: Upstream,
    protocol: Protocol,
    screen: Screen,
    facts: StreamFacts,
}

/// Guards the answer. A whole one is guarded and settled here; a streamed one goes through the same in
/// [`AnswerStream`], piece by piece.
async fn screen(life: &mut Life, called: Called) -> Result<Answered, Stop> {
    life.enter(Phase::Screen);
    let Called { cleared, mut upstream, mut screen, facts, endpoint, is_stream } = called;
    let station = Arc::clone(cleared.station());
    let protocol = station.connector().protocol();
    if is_stream && is_event_stream(&upstream) {
        return Ok(Answered::Stream(Box::new(Streaming { upstream, protocol, screen, facts })));
    }
    let broken = || Stop::ProviderBroken { placement: facts.placement.to_string() };
    let body = read_answer(&mut upstream, &facts, &station).await?;
    let size = body.len();
    let created_s = life.gateway().parts.clock.now().as_second();
    let parsed = in_place(size, || Whole::parse(endpoint, protocol, body, created_s));
    let mut answer = parsed.map_err(|error| {
        tracing::warn!(id = %life.id(), placement = %station.name(), %error, "an answer makes no sense");
        broken()
    })?;
    if !endpoint.is_tokenisers() {
        // It was received, so it is paid, whatever the guard says of it.
        settle(life, answer.measured(facts.input_estimate, facts.echo_estimate));
    }
    let scan = in_place(size, || answer.screen(&mut screen)).map_err(|_| broken())?;
    let refused = screen.seen.stopped.map(|class| answer_refused(life, class, &screen.seen));
    let seen = std::mem::take(&mut screen.seen);
    life.note(|record| {
        record.answer_scan = scan;
        record.answer_class = seen.class;
        record.answer_masked = seen.masked;
        record.add_findings(seen.findings, seen.total);
    });
    match refused {
        Some(stop) => Err(stop),
        None => Ok(Answered::Whole(answer.into_bytes())),
    }
}

/// A provider that was asked for a stream may answer whole; its content type tells.
fn is_event_stream(upstream: &Upstream) -> bool {
    let kind = upstream.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_none_or(|kind| !kind.starts_with("application/json"))
}

async fn read_answer(
    upstream: &mut Upstream,
    facts: &StreamFacts,
    station: &Station,
) -> Result<Vec<u8>, Stop> {
    let placement = || facts.placement.to_string();
    let mut body = Vec::new();
    loop {
        let silent_at = Instant::now() + facts.idle;
        let next = tokio::time::timeout_at(silent_at.min(facts.deadline), upstream.body.next_data()).await;
        match next {
            Err(_) if silent_at > facts.deadline => return Err(Stop::Deadline { seconds: facts.deadline_s }),
            Err(_) => return Err(Stop::ProviderSilent { placement: placement() }),
            Ok(None) => return Ok(body),
            Ok(Some(Err(_))) if matches!(station.connector(), Connector::Local(_)) => {
                return Err(Stop::ModelBroken { placement: placement() });
            }
            Ok(Some(Err(_))) => return Err(Stop::ProviderBroken { placement: placement() }),
            Ok(Some(Ok(data))) if body.len() + data.len() > ANSWER_BYTES_MAX => {
                return Err(Stop::ProviderBroken { placement: placement() });
            }
            Ok(Some(Ok(data))) => body.extend_from_slice(&data),
        }
    }
}

/// The policy lets nothing of this class through to the use case.
pub(crate) fn answer_refused(life: &Life, class: pintle_core::DataClass, seen: &Seen) -> Stop {
    let reason = Reason {
        rule: "answer".into(),
        title: None,
        guidance: "The answer holds content that this use case may not receive, masked or not.".into(),
        owner: "IT Security".into(),
    };
    Stop::Refused(Box::new(Refusal {
        code: "answer_refused",
        what: "Not given",
        class: Some(class),
        sightings: guidance::sightings(&seen.findings),
        reasons: vec![reason],
        ways: Vec::new(),
        id: life.id(),
    }))
}

// ── settle ───────────────────────────────────────────────────────────────────────────────────────────

/// What a call used, and who says so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) usage: TokenUsage,
    pub(crate) source: UsageSource,
}

/// Turns usage into money, at the prices of the placement that answered.
pub(crate) fn settle(life: &mut Life, measured: Measured) {
    life.enter(Phase::Settle);
    let prices = life.prices();
    life.settle_as(Settlement {
        state: EntryState::Posted,
        usage: measured.usage,
        usage_source: measured.source,
        prices,
    });
}

// ── record ───────────────────────────────────────────────────────────────────────────────────────────

/// Keeps what happened and gives the answer. A stream keeps it at its end.
fn record(life: Life, answer: Answered) -> Recorded {
    match answer {
        Answered::Whole(body) => life.answer(body),
        Answered::Stream(it) => life.stream(|life| {
            AnswerStream::new(life, it.upstream.body, it.protocol, it.screen, it.facts).into_body()
        }),
    }
}
