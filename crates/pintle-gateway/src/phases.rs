//! The life of a request, from top to bottom: admit → classify → decide → route → reserve → call →
//! screen → settle → record. Each phase is a function, in that order; the order is the security argument.
//! Nothing is sent before it was classified, decided and reserved, and nothing leaves unrecorded.

use std::{cmp::Ordering, sync::Arc, time::Duration};

use axum::body::Body;
use http::{HeaderMap, header};
use pintle_core::{Amount, Name, RequestId, TokenUsage, Transformation, UsageSource};
use pintle_ledger::{Attempt, Candidate, EntryState, Hold, Phase, ReserveError, ScanState, Settlement};
use pintle_llm::{ChatAnswer, ChatRequest, ProviderFault};
use pintle_policy::{Decision, Reason, Subject};
use pintle_registry::UseCase;
use tokio::time::Instant;

use crate::{
    body,
    caller::Caller,
    content::{Cleared, Forms, Scanned},
    error::Stop,
    fleet::{self, Station, TryOrder},
    guidance::{self, Refusal, Way},
    life::{Life, Occupied, Recorded, micros},
    screen::{Screen, Seen},
    state::{Gateway, Loaded, Unpriced},
    stream::{AnswerStream, StreamFacts},
    upstream::{self, Protocol, SendError, Upstream},
};

/// A whole answer is at most so long.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Bodies up to this size are parsed and scanned where they are: that takes less than a millisecond.
const INLINE_BYTES_MAX: usize = 128 * 1024;
/// A provider that asks for more patience than this is left alone; the request tries elsewhere or ends.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// One request to `POST /v1/chat/completions`, from its head to its record.
pub(crate) async fn chat(gateway: &Arc<Gateway>, caller: Caller, body: Body) -> Recorded {
    let loaded = gateway.loaded();
    let (mut life, admission) = match identify(gateway, &loaded, caller) {
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
    let decided = decide(life, loaded, &classified)?;
    let routed = route(life, decided);
    let reserved = reserve(life, loaded, &routed)?;
    let called = call(life, loaded, routed, reserved).await?;
    screen(life, called).await
}

// ── admit ────────────────────────────────────────────────────────────────────────────────────────────

/// Who asks, and for which use case.
struct Admission {
    use_case: Arc<UseCase>,
    subject: Subject,
    /// Under what name requests on their way are counted: the key's, or the console's.
    caller: String,
}

/// Authenticates the caller and binds the use case. From here on there is a record.
fn identify(gateway: &Arc<Gateway>, loaded: &Loaded, caller: Caller) -> Result<(Life, Admission), Stop> {
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
    let caller = key.map_or_else(|| format!("console {name}"), |key| key.to_string());
    let id = RequestId::new(now).map_err(|_| Stop::Internal("no randomness"))?;
    let mut record = Life::new_record(id, now, name);
    record.key = key;
    record.person = person;
    record.policy_version = loaded.policies.version().into();
    let subject = gateway.subject(&use_case);
    Ok((Life::new(gateway, record), Admission { use_case, subject, caller }))
}

/// What was admitted: a request in a dialect that we know, and the placements that it names.
struct Admitted<'a> {
    admission: &'a Admission,
    request: ChatRequest,
    /// Of the body, in bytes.
    size: usize,
    stations: Vec<Arc<Station>>,
    deadline: Instant,
    deadline_s: u64,
}

/// Takes a place among the requests on their way, reads and decodes the body, and checks the stage: ideas and retired use cases call nothing.
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
    let busy = gateway.enter(&admission.caller, most).ok_or(Stop::KeyBusy { most })?;
    let place = Arc::clone(&loaded.total).try_acquire_owned().map_err(|_| Stop::Overloaded)?;
    let read = body::read(body, limits.body_mib, &gateway.body_memory);
    let received = tokio::time::timeout_at(deadline, read).await.map_err(|_| Stop::SlowBody)??;
    let bytes = received.bytes;
    let size = bytes.len();
    let parsed = off_the_threads(size, move || ChatRequest::parse(&bytes)).await?;
    let request = parsed.map_err(Stop::Request)?;
    life.occupy(Occupied { _busy: busy, _place: place, _memory: received.memory });
    life.note(|record| {
        record.model = request.model().chars().take(128).collect::<String>().into();
        record.stream = request.stream();
    });
    let stations: Vec<_> =
        fleet::named(&loaded.stations, request.model()).into_iter().map(Arc::clone).collect();
    if stations.is_empty() {
        let model = request.model().chars().take(64).filter(|c| !c.is_control()).collect();
        return Err(Stop::NoSuchModel { model, known: known_models(loaded) });
    }
    if let Err(reasons) = loaded.policies.may_call(&admission.subject) {
        let refusal = Refusal {
            code: "stage_refused",
            what: "Not sent",
            class: None,
            sightings: Vec::new(),
            reasons,
            ways: guidance::people(&admission.use_case).into(),
            id: life.id(),
        };
        return Err(Stop::Refused(Box::new(refusal)));
    }
    Ok(Admitted { admission, request, size, stations, deadline, deadline_s })
}

/// Work that grows with the body goes off the async threads when the body is large: they serve others.
async fn off_the_threads<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Stop> {
    if size <= INLINE_BYTES_MAX {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| Stop::Internal("a large request could not be read"))
}

fn known_models(loaded: &Loaded) -> Vec<String> {
    std::iter::once("auto".to_owned())
        .chain(Gateway::known_models(loaded))
        .map(|name| format!("`{name}`"))
        .collect()
}

// ── classify ─────────────────────────────────────────────────────────────────────────────────────────

struct Classified<'a> {
    admission: &'a Admission,
    scanned: Arc<Scanned>,
    stations: Vec<Arc<Station>>,
    deadline: Instant,
    deadline_s: u64,
}

/// Guards every text of the request. Findings give the data class.
async fn classify<'a>(
    life: &mut Life,
    loaded: &Loaded,
    admitted: Admitted<'a>,
) -> Result<Classified<'a>, Stop> {
    life.enter(Phase::Classify);
    let Admitted { admission, request, size, stations, deadline, deadline_s } = admitted;
    let guard = Arc::clone(&loaded.guard);
    let scanned = Arc::new(off_the_threads(size, move || Scanned::new(request, &guard)).await?);
    life.note(|record| {
        record.request_scan = ScanState::Complete;
        record.class = Some(scanned.class());
        record.add_findings(scanned.findings().iter().cloned());
    });
    Ok(Classified { admission, scanned, stations, deadline, deadline_s })
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
    let per_answer = request.max_output_tokens().unwrap_or(loaded.limits.max_output_tokens);
    Ok(Decided {
        admission: classified.admission,
        options,
        input_tokens: request.estimate_input_tokens(),
        output_tokens: per_answer.saturating_mul(u64::from(request.n())),
        deadline: classified.deadline,
        deadline_s: classified.deadline_s,
    })
}

struct Judged {
    candidate: Candidate,
    outcome: Result<(Cleared, Option<Transformation>), Against>,
}

/// Why a placement is out of the question.
struct Against {
    code: &'static str,
    reasons: Vec<Reason>,
}

/// One placement: bans first, then its price, then the policies.
fn judge(
    gateway: &Gateway,
    loaded: &Loaded,
    admission: &Admission,
    forms: &Forms,
    station: &Arc<Station>,
) -> Judged {
    let candidate = |allowed, applied, rules| Candidate {
        placement: station.name().clone(),
        zone: station.placement().zone,
        allowed,
        applied,
        rules,
    };
    let refused = |code, reasons: Vec<Reason>| {
        let rules = reasons.iter().map(|reason| Arc::clone(&reason.rule)).collect();
        Judged { candidate: candidate(false, None, rules), outcome: Err(Against { code, reasons }) }
    };
    let now = gateway.parts.clock.now();
    let snapshot = gateway.parts.registry.snapshot();
    if let Some(ban) = snapshot.ban(admission.use_case.name(), station.placement(), now) {
        let until = ban.ends_at.to_zoned_datetime(loaded.organisation.time_zone.clone());
        let guidance = format!(
            "`{}` is banned until {}: {}",
            ban.target.name(),
            until.strftime("%-d %B %Y %H:%M %Z"),
            ban.reason
        );
        let reason = Reason {
            rule: format!("ban:{}", ban.id.short()).into(),
            title: None,
            guidance: guidance.into(),
            owner: ban.owner.as_str().into(),
        };
        return refused("banned", vec![reason]);
    }
    if station.prices().is_none() && loaded.limits.unpriced == Unpriced::Refuse {
        let reason = Reason {
            rule: "unpriced".into(),
            title: None,
            guidance:
                "Nobody has said what this placement costs, so nothing is sent there. Ask IT for a price."
                    .into(),
            owner: "IT".into(),
        };
        return refused("unpriced", vec![reason]);
    }
    let residual = |transformation| forms.residual(transformation);
    match loaded.policies.propose(&admission.subject, station.facts(), forms.raw().facts(), &residual) {
        Decision::Refuse { reasons } => refused("policy_refused", reasons),
        Decision::Allow { applied, rules, .. } => {
            // INVARIANT (I1): the class is that of the very form that would leave, scanned again.
            match forms.get(applied).and_then(|form| Cleared::new(form, Arc::clone(station))) {
                Some(cleared) => {
                    Judged { candidate: candidate(true, applied, rules), outcome: Ok((cleared, applied)) }
                }
                None => refused("policy_refused", Vec::new()),
            }
        }
    }
}

/// Puts the refusal together: what was found, the rules, and what would pass.
fn refuse(
    life: &mut Life,
    loaded: &Loaded,
    classified: &Classified<'_>,
    forms: &Forms,
    against: Vec<Against>,
) -> Stop {
    let code = against.first().map_or("policy_refused", |against| against.code);
    let mut reasons: Vec<Reason> = Vec::new();
    for reason in against.into_iter().flat_map(|against| against.reasons) {
        if !reasons.iter().any(|known| known.rule == reason.rule) {
            reasons.push(reason);
        }
    }
    let scanned = &classified.scanned;
    let sightings = guidance::sightings(scanned.findings());
    let mut ways = ways_elsewhere(life.gateway(), loaded, classified, forms);
    if !sightings.is_empty() {
        ways.push(Way::Remove);
    }
    ways.extend(guidance::people(&classified.admission.use_case));
    let class = Some(scanned.class());
    let refusal = Refusal { code, what: "Not sent", class, sightings, reasons, ways, id: life.id() };
    Stop::Refused(Box::new(refusal))
}

/// What the policies would allow: another placement, or a transformation that the owners can permit.
fn ways_elsewhere(
    gateway: &Gateway,
    loaded: &Loaded,
    classified: &Classified<'_>,
    forms: &Forms,
) -> Vec<Way> {
    let mut ways = Vec::new();
    let asked = |station: &Arc<Station>| classified.stations.iter().any(|other| Arc::ptr_eq(other, station));
    for station in loaded.stations.iter().filter(|station| !asked(station)) {
        if let Ok((_, applied)) = judge(gateway, loaded, classified.admission, forms, station).outcome {
            let placement = station.name().clone();
            ways.push(Way::UsePlacement { placement, is_transformed: applied.is_some() });
        }
    }
    ways.sort_by_key(|way| matches!(way, Way::UsePlacement { is_transformed: true, .. }));
    ways.truncate(2);
    let subject = &classified.admission.subject;
    for transformation in Transformation::ALL.iter().filter(|it| !subject.transformations.contains(it)) {
        let mut wider = subject.clone();
        wider.transformations.insert(*transformation);
        let residual = |transformation| forms.residual(transformation);
        let facts = forms.raw().facts();
        let passes = |station: &&Arc<Station>| {
            let decision = loaded.policies.propose(&wider, station.facts(), facts, &residual);
            matches!(decision, Decision::Allow { .. })
        };
        if let Some(station) = classified.stations.iter().find(passes) {
            let placement = station.name().clone();
            ways.push(Way::AllowTransformation { transformation: transformation.as_str(), placement });
            break;
        }
    }
    ways
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
        let compare = |(a, _): &(Cleared, _), (b, _): &(Cleared, _)| -> Ordering {
            order.compare(a.station(), b.station())
        };
        decided.options.sort_by(compare);
    }
    decided
}

// ── reserve ──────────────────────────────────────────────────────────────────────────────────────────

/// Holds the most that the request can cost at any placement that it may go to, in all its budgets.
fn reserve(life: &mut Life, loaded: &Loaded, routed: &Decided<'_>) -> Result<Hold, Stop> {
    life.enter(Phase::Reserve);
    let mut worst = Amount::ZERO;
    for (cleared, _) in &routed.options {
        let Some(prices) = cleared.station().prices() else { continue };
        let cost = prices.worst_case(routed.input_tokens, routed.output_tokens);
        worst = worst.max(cost.map_err(|_| Stop::Ledger("the cost cannot be counted"))?);
    }
    let ledger = life.ledger();
    ledger.hold(routed.admission.use_case.name(), worst).map_err(|error| match error {
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
    })
}

// ── call ─────────────────────────────────────────────────────────────────────────────────────────────

/// A placement's answer: the head has come, and says success.
struct Called {
    cleared: Cleared,
    upstream: Upstream,
    screen: Screen,
    facts: StreamFacts,
    is_stream: bool,
}

/// Sends the request to the first placement, and on failure before the answer's first byte to the next,
/// as far as the retry budget goes. Before anything is sent, the journal knows of it (I3).
async fn call(life: &mut Life, loaded: &Loaded, routed: Decided<'_>, hold: Hold) -> Result<Called, Stop> {
    life.enter(Phase::Call);
    let mut hold = Some(hold);
    let Decided { admission, options, input_tokens, deadline, deadline_s, .. } = routed;
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
                station.succeeded(dispatched.elapsed());
                let first_byte_us = micros(dispatched.elapsed());
                life.note(|record| record.first_byte_us = Some(first_byte_us));
                let table = loaded.policies.answer_table(&admission.subject, station.facts());
                let screen = Screen::new(Arc::clone(&loaded.guard), table, Arc::clone(cleared.pseudonyms()));
                let request = cleared.request();
                let facts = StreamFacts {
                    placement: station.name().to_string(),
                    wants_usage: request.wants_usage_chunk(),
                    choices: request.n(),
                    input_estimate: input_tokens,
                    idle: station.connector().idle(),
                    deadline,
                    deadline_s,
                    dispatched,
                };
                let is_stream = request.stream();
                return Ok(Called { cleared, upstream, screen, facts, is_stream });
            }
            Ok(upstream) => read_failure(upstream, &station, deadline).await,
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

fn note_attempt(
    life: &mut Life,
    station: &Station,
    outcome: std::borrow::Cow<'static, str>,
    began: std::time::Instant,
) {
    let duration_us = micros(began.elapsed());
    let placement = station.name().clone();
    life.note(|record| record.attempts.push(Attempt { placement, outcome, duration_us }));
}

/// A try that failed.
struct Failure {
    outcome: String,
    stop: Stop,
    /// Whether another try may go better.
    is_transient: bool,
    /// Whether the provider may have worked, and charged, for it.
    is_in_doubt: bool,
    /// Whether the placement itself is to blame.
    is_placements: bool,
    retry_after: Option<Duration>,
}

fn send_failure(error: SendError, station: &Station, deadline_s: u64) -> Failure {
    let placement = station.name().to_string();
    let failure = |outcome: &str, stop, is_transient, is_in_doubt, is_placements| Failure {
        outcome: outcome.to_owned(),
        stop,
        is_transient,
        is_in_doubt,
        is_placements,
        retry_after: None,
    };
    match error {
        SendError::Connect => failure("connect", Stop::Unavailable { placement }, true, false, true),
        SendError::Lost => failure("lost", Stop::ProviderBroken { placement }, true, true, true),
        SendError::Silent => failure("timeout", Stop::ProviderSilent { placement }, false, true, true),
        SendError::Deadline => {
            failure("deadline", Stop::Deadline { seconds: deadline_s }, false, true, false)
        }
        SendError::Unsupported(error) => failure("unsupported", Stop::Request(error), true, false, false),
    }
}

/// A provider's refusal: what it says is read as far as it is safe to repeat.
async fn read_failure(mut upstream: Upstream, station: &Station, deadline: Instant) -> Failure {
    const MOST_BYTES: usize = 64 * 1024;
    let mut body = Vec::new();
    let read = async {
        while let Some(Ok(data)) = upstream.body.next_data().await {
            body.extend_from_slice(data.get(..data.len().min(MOST_BYTES - body.len())).unwrap_or_default());
            if body.len() >= MOST_BYTES {
                break;
            }
        }
    };
    let _ = tokio::time::timeout_at((Instant::now() + station.connector().idle()).min(deadline), read).await;
    let fault = ProviderFault::parse(&body);
    let status = upstream.status.as_u16();
    let placement = station.name().to_string();
    let retry_after = retry_after(&upstream.headers);
    let stop = match status {
        429 => Stop::ProviderBusy { placement, retry_after_s: retry_after.map(|wait| wait.as_secs().max(1)) },
        401 | 403 | 404 => Stop::ProviderSetUp { placement, status },
        400..=499 if status != 408 => Stop::ProviderRefused { placement, status, fault },
        _ => Stop::Unavailable { placement },
    };
    let is_transient = matches!(status, 408 | 429 | 500..=599);
    if matches!(stop, Stop::ProviderSetUp { .. }) {
        tracing::error!(placement = %station.name(), status, "a provider does not accept Pintle's credentials or model");
    }
    Failure {
        outcome: format!("status {status}"),
        stop,
        is_transient,
        is_in_doubt: false,
        is_placements: is_transient || matches!(status, 401 | 403 | 404),
        retry_after,
    }
}

/// Seconds, or a date; a date in the past asks for nothing.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date =
        headers.get(header::DATE)?.to_str().ok().and_then(|date| httpdate::parse_http_date(date).ok())?;
    httpdate::parse_http_date(text).ok()?.duration_since(date).ok()
}

struct Tries {
    left: u32,
    last: Option<Failure>,
    /// Whether any try may have been worked on, and charged.
    was_sent: bool,
}

enum Again {
    /// The same placement, after a wait.
    Same,
    /// The next placement.
    Next,
    /// Enough.
    No,
}

impl Tries {
    async fn next(
        &mut self,
        life: &Life,
        station: &Station,
        failure: &Failure,
        is_last: bool,
        deadline: Instant,
    ) -> Again {
        let gateway = life.gateway();
        if failure.is_placements {
            station.failed(gateway.now_ms(), failure.retry_after);
        }
        // A dialect that cannot say it costs nothing to find out, so it uses up no try.
        if matches!(failure.stop, Stop::Request(_)) {
            return if is_last { Again::No } else { Again::Next };
        }
        if !failure.is_transient || self.left == 0 || !gateway.retries.spend() {
            return Again::No;
        }
        self.left -= 1;
        gateway.metrics.retried(station.name());
        if !is_last {
            return Again::Next;
        }
        let wait = failure.retry_after.unwrap_or(Duration::from_millis(100));
        if wait > LONGEST_WAIT || Instant::now() + wait >= deadline {
            return Again::No;
        }
        tokio::time::sleep(wait).await;
        Again::Same
    }
}

/// No placement answered. What may have been charged is in doubt; the rest is given back.
fn give_up(life: &mut Life, tries: Tries) -> Stop {
    if !tries.was_sent {
        life.settle_as_void();
    }
    tries.last.map_or(Stop::Internal("there was nothing to try"), |failure| failure.stop)
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
    let Called { cleared, mut upstream, mut screen, facts, is_stream } = called;
    let station = Arc::clone(cleared.station());
    let protocol = station.connector().protocol();
    if is_stream && is_event_stream(&upstream) {
        return Ok(Answered::Stream(Box::new(Streaming { upstream, protocol, screen, facts })));
    }
    let broken = || Stop::ProviderBroken { placement: facts.placement.clone() };
    let body = read_answer(&mut upstream, &facts).await?;
    let created_s = life.gateway().parts.clock.now().as_second();
    let parsed = match protocol {
        Protocol::OpenAi => ChatAnswer::parse(&body),
        Protocol::Anthropic => ChatAnswer::from_anthropic(&body, created_s),
    };
    let mut answer = parsed.map_err(|error| {
        tracing::warn!(id = %life.id(), placement = %station.name(), %error, "an answer makes no sense");
        broken()
    })?;
    let measured = match answer.usage() {
        Some(usage) => Measured { usage, source: UsageSource::Provider },
        None => Measured {
            usage: TokenUsage {
                input: facts.input_estimate,
                output: answer.estimate_output_tokens(),
                ..TokenUsage::default()
            },
            source: UsageSource::Estimated,
        },
    };
    // It was received, so it is paid, whatever the guard says of it.
    settle(life, measured);
    screen.whole(&mut answer).map_err(|_| broken())?;
    let refused = screen.seen.stopped.map(|class| answer_refused(life, class, &screen.seen));
    let seen = std::mem::take(&mut screen.seen);
    life.note(|record| {
        record.answer_scan = ScanState::Complete;
        record.answer_class = seen.class;
        record.answer_masked = seen.masked;
        record.add_findings(seen.findings);
    });
    match refused {
        Some(stop) => Err(stop),
        None => Ok(Answered::Whole(answer.to_bytes())),
    }
}

/// A provider that was asked for a stream may answer whole; its content type tells.
fn is_event_stream(upstream: &Upstream) -> bool {
    let kind = upstream.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_none_or(|kind| !kind.starts_with("application/json"))
}

async fn read_answer(upstream: &mut Upstream, facts: &StreamFacts) -> Result<Vec<u8>, Stop> {
    let placement = || facts.placement.clone();
    let mut body = Vec::new();
    loop {
        let silent_at = Instant::now() + facts.idle;
        let next = tokio::time::timeout_at(silent_at.min(facts.deadline), upstream.body.next_data()).await;
        match next {
            Err(_) if silent_at > facts.deadline => return Err(Stop::Deadline { seconds: facts.deadline_s }),
            Err(_) => return Err(Stop::ProviderSilent { placement: placement() }),
            Ok(None) => return Ok(body),
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
