//! The life of one request as it is written down, and the guarantee that it is: every way out of the
//! gateway goes through here, because only here a [`Recorded`] answer can be made.

use std::{sync::Arc, time::Instant};

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use pintle_core::{PriceCard, RequestId, TokenUsage, UsageSource};
use pintle_ledger::{
    Dialect, Dispatched, EntryState, Hold, Ledger, Outcome, Phase, PhaseTime, RequestRecord, Settlement,
};
use pintle_llm::Endpoint;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    error::Stop,
    fleet::Station,
    state::{Busy, Gateway},
};

/// An answer whose request is recorded, or whose body will record it at its end.
pub(crate) struct Recorded(Response<Body>);

impl Recorded {
    /// The answer.
    pub(crate) fn into_response(self) -> Response<Body> {
        self.0
    }

    /// The answer to somebody who is not known: there is no use case to record it for, so it is counted.
    pub(crate) fn unadmitted(gateway: &Gateway, stop: &Stop) -> Recorded {
        gateway.metrics.unadmitted(stop.code());
        Recorded(error_response(stop, None))
    }
}

/// Where the record is: with us before dispatch, with the ledger's hold after it.
enum Stand {
    Early(Box<RequestRecord>),
    OnTheWay(Dispatched),
    Done,
}

/// One request, from admission to record. Dropping it records that the client went away.
pub(crate) struct Life {
    gateway: Arc<Gateway>,
    id: RequestId,
    started: Instant,
    phase: (Phase, Instant),
    stand: Stand,
    settlement: Option<Settlement>,
    occupied: Option<Arc<Occupied>>,
}

/// What a request takes up from admission to its end, a streamed answer included.
pub(crate) struct Occupied {
    pub(crate) _busy: Busy,
    pub(crate) _place: OwnedSemaphorePermit,
    pub(crate) _memory: Vec<OwnedSemaphorePermit>,
}

impl Life {
    pub(crate) fn new(gateway: &Arc<Gateway>, mut record: Box<RequestRecord>) -> Self {
        let now = Instant::now();
        record.phases.reserve_exact(9);
        gateway.metrics.entered();
        Life {
            gateway: Arc::clone(gateway),
            id: record.id,
            started: now,
            phase: (Phase::Admit, now),
            stand: Stand::Early(record),
            settlement: None,
            occupied: None,
        }
    }

    /// Keeps what the request takes up until it ends.
    pub(crate) fn occupy(&mut self, occupied: Arc<Occupied>) {
        self.occupied = Some(occupied);
    }

    /// A share in it, for work that may outlive the request.
    pub(crate) fn occupied(&self) -> Option<Arc<Occupied>> {
        self.occupied.clone()
    }

    pub(crate) fn new_record(
        id: RequestId,
        at: pintle_core::Timestamp,
        use_case: pintle_core::Name,
        endpoint: Endpoint,
    ) -> Box<RequestRecord> {
        Box::new(RequestRecord::new(id, at.as_millisecond(), use_case, dialect(endpoint)))
    }

    pub(crate) fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.gateway.parts.ledger
    }

    pub(crate) fn id(&self) -> RequestId {
        self.id
    }

    /// Writes something down.
    pub(crate) fn note(&mut self, write: impl FnOnce(&mut RequestRecord)) {
        match &mut self.stand {
            Stand::Early(record) => write(record),
            Stand::OnTheWay(dispatched) => write(dispatched.record_mut()),
            Stand::Done => {}
        }
    }

    /// Ends the phase before and begins the next.
    pub(crate) fn enter(&mut self, phase: Phase) {
        let now = Instant::now();
        let (ended, since) = std::mem::replace(&mut self.phase, (phase, now));
        let duration_us = micros(now.duration_since(since));
        self.note(|record| record.phases.push(PhaseTime { phase: ended, duration_us }));
    }

    /// Announces the request in the journal: after this it will have exactly one entry (I3).
    pub(crate) fn dispatch(&mut self, hold: Hold, station: &Station) -> Result<(), Stop> {
        self.note_station(station);
        let Stand::Early(record) = std::mem::replace(&mut self.stand, Stand::Done) else {
            return Err(Stop::Internal("a request was dispatched twice"));
        };
        match hold.dispatch(record, station.prices()) {
            Ok(dispatched) => {
                self.stand = Stand::OnTheWay(dispatched);
                Ok(())
            }
            Err((error, record)) => {
                tracing::error!(error = &error as &dyn std::error::Error, id = %self.id, "a request was not dispatched");
                self.stand = Stand::Early(record);
                Err(Stop::Ledger("the journal cannot be written"))
            }
        }
    }

    /// Announces a further try at another placement.
    pub(crate) fn dispatch_again(&mut self, station: &Station) -> Result<(), Stop> {
        self.note_station(station);
        if let Stand::OnTheWay(dispatched) = &mut self.stand
            && let Err(error) = dispatched.announce_again(station.prices())
        {
            tracing::error!(error = &error as &dyn std::error::Error, id = %self.id, "a retry was not dispatched");
            return Err(Stop::Ledger("the journal cannot be written"));
        }
        Ok(())
    }

    fn note_station(&mut self, station: &Station) {
        let placement = station.placement();
        self.note(|record| {
            record.placement = Some(placement.name.clone());
            record.zone = Some(placement.zone);
        });
    }

    /// How the request is to be settled when it ends. Until this is said, it is in doubt at its hold.
    pub(crate) fn settle_as(&mut self, settlement: Settlement) {
        self.settlement = Some(settlement);
    }

    /// The prices of the placement that it was last dispatched to.
    pub(crate) fn prices(&self) -> Option<PriceCard> {
        self.last_record()?.entry.as_ref()?.prices
    }

    /// Nothing was sent, or the provider refused it unprocessed: the hold is given back.
    pub(crate) fn settle_as_void(&mut self) {
        self.settle_as(Settlement {
            state: EntryState::Voided,
            usage: TokenUsage::default(),
            usage_source: UsageSource::None,
            prices: None,
        });
    }

    /// Records an ending without an answer, and gives the error to send.
    pub(crate) fn stop(mut self, stop: &Stop) -> Recorded {
        if let Stop::Internal(what) | Stop::Ledger(what) = stop {
            tracing::error!(id = %self.id, what, "a request failed inside");
        }
        self.note_rules(stop);
        let mut response = error_response(stop, Some(self.id));
        self.mark(response.headers_mut());
        self.end(stop.outcome(), stop.status(), Some(stop.code()));
        Recorded(response)
    }

    fn note_rules(&mut self, stop: &Stop) {
        if let Stop::Refused(refusal) = stop {
            let rules = refusal.reasons.iter().map(|reason| Arc::clone(&reason.rule)).collect();
            self.note(|record| record.stopped_by = rules);
        }
    }

    /// Records an ending whose answer, if any, is already on its way.
    pub(crate) fn end_streamed(&mut self, result: Result<(), &Stop>) {
        match result {
            Ok(()) => self.end(Outcome::Answered, StatusCode::OK, None),
            Err(stop) => {
                self.note_rules(stop);
                self.end(stop.outcome(), StatusCode::OK, Some(stop.code()));
            }
        }
    }

    /// Records a whole answer and gives it its headers.
    pub(crate) fn answer(mut self, body: bytes::Bytes) -> Recorded {
        let mut response = Response::new(Body::from(body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.mark(headers);
        self.end(Outcome::Answered, StatusCode::OK, None);
        Recorded(response)
    }

    /// An answer whose body records the request at its end; `make` builds it around this life.
    pub(crate) fn stream(self, make: impl FnOnce(Life) -> Body) -> Recorded {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        self.mark(&mut headers);
        let mut response = Response::new(make(self));
        *response.headers_mut() = headers;
        Recorded(response)
    }

    /// What it cost, as clients read it: a decimal and the currency, or `unpriced`. `None` before it is
    /// settled.
    pub(crate) fn cost_text(&self) -> Option<String> {
        let settlement = self.settlement.as_ref()?;
        if settlement.state == EntryState::Voided {
            return Some(format!("0 {}", self.ledger().currency()));
        }
        match Dispatched::cost(&settlement.usage, settlement.prices) {
            Ok(Some(cost)) => Some(format!("{cost} {}", self.ledger().currency())),
            Ok(None) => Some("unpriced".to_owned()),
            Err(_) => None,
        }
    }

    /// Puts the `x-pintle-…` headers on.
    fn mark(&self, headers: &mut HeaderMap) {
        let mut put = |name: &'static str, value: Option<String>| {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        put("x-pintle-request-id", Some(self.id.to_string()));
        if let Some(record) = self.last_record() {
            put("x-pintle-placement", record.placement.as_ref().map(ToString::to_string));
            put("x-pintle-zone", record.zone.map(|zone| zone.to_string()));
            put("x-pintle-class", record.class.map(|class| class.to_string()));
        }
        put("x-pintle-cost", self.cost_text());
    }

    fn last_record(&self) -> Option<&RequestRecord> {
        match &self.stand {
            Stand::Early(record) => Some(record),
            Stand::OnTheWay(dispatched) => Some(dispatched.record()),
            Stand::Done => None,
        }
    }
}

impl Life {
    /// INVARIANT (I3): each life ends once, and each ending reaches the ledger.
    fn end(&mut self, outcome: Outcome, status: StatusCode, code: Option<&'static str>) {
        self.enter(Phase::Record);
        let duration_us = micros(self.started.elapsed());
        self.note(|record| {
            record.outcome = outcome;
            record.status = status.as_u16();
            record.code = code.map(Into::into);
            record.duration_us = duration_us;
        });
        let kept = match std::mem::replace(&mut self.stand, Stand::Done) {
            Stand::Early(record) => {
                self.gateway.metrics.ended(&record);
                self.ledger().record(&record)
            }
            Stand::OnTheWay(dispatched) => {
                let settlement = self.settlement.take().unwrap_or_else(|| in_doubt(&dispatched));
                dispatched.settle(settlement, |record| self.gateway.metrics.ended(record))
            }
            Stand::Done => return,
        };
        if let Err(error) = kept {
            // The record waits in memory for the database; only a kill within the next moments loses it.
            tracing::error!(error = &error as &dyn std::error::Error, id = %self.id, "a record is not in the journal");
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let gone = Stop::ClientGone;
        self.end(gone.outcome(), gone.status(), Some(gone.code()));
        self.occupied = None;
        self.gateway.metrics.left();
    }
}

fn dialect(endpoint: Endpoint) -> Dialect {
    match endpoint {
        Endpoint::Chat => Dialect::OpenAiChat,
        Endpoint::Completions => Dialect::OpenAiCompletions,
        Endpoint::Embeddings => Dialect::OpenAiEmbeddings,
        Endpoint::Tokenize => Dialect::Tokenize,
        Endpoint::Detokenize => Dialect::Detokenize,
        Endpoint::TokenizerInfo => Dialect::TokenizerInfo,
    }
}

fn in_doubt(dispatched: &Dispatched) -> Settlement {
    Settlement {
        state: EntryState::InDoubt,
        usage: TokenUsage::default(),
        usage_source: UsageSource::Held,
        prices: dispatched.record().entry.as_ref().and_then(|entry| entry.prices),
    }
}

pub(crate) fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The error in OpenAI's shape, as an HTTP answer.
pub(crate) fn error_response(stop: &Stop, id: Option<RequestId>) -> Response<Body> {
    let mut response = Response::new(Body::from(stop.body(id).to_bytes()));
    *response.status_mut() = stop.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in stop.headers() {
        headers.insert(name, value);
    }
    response
}
