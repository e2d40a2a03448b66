//! Tries that fail: what each failure means, whether another try may go better, and when it is enough.
//! Used by the phase `call`.

use std::{borrow::Cow, time::Duration};

use http::{HeaderMap, header};
use pintle_ledger::Attempt;
use pintle_llm::{Endpoint, ProviderFault};
use tokio::time::Instant;

use crate::{
    error::{ModelRefusal, Stop},
    fleet::Station,
    life::{Life, micros},
    upstream::{SendError, Upstream},
};

/// A provider that asks for more patience than this is left alone; the request tries elsewhere or ends.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Writes a try down.
pub(crate) fn note_attempt(
    life: &mut Life,
    station: &Station,
    outcome: Cow<'static, str>,
    began: std::time::Instant,
) {
    let duration_us = micros(began.elapsed());
    let placement = station.name().clone();
    life.note(|record| record.attempts.push(Attempt { placement, outcome, duration_us }));
}

/// A try that failed.
pub(crate) struct Failure {
    pub(crate) outcome: String,
    stop: Stop,
    /// Whether another try may go better.
    is_transient: bool,
    /// Whether the provider may have worked, and charged, for it.
    pub(crate) is_in_doubt: bool,
    /// Whether the placement itself is to blame.
    is_placements: bool,
    retry_after: Option<Duration>,
}

pub(crate) fn send_failure(error: SendError, station: &Station, deadline_s: u64) -> Failure {
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
        SendError::Connect => {
            failure("connect", Stop::Unavailable { placement, status: None }, true, false, true)
        }
        // It may have been worked on, and charged: another try would leave that unpaid. The client may
        // send it again, as a request that is held and paid for by itself.
        SendError::Lost => failure("lost", Stop::ProviderLost { placement }, false, true, true),
        SendError::Silent => failure("timeout", Stop::ProviderSilent { placement }, false, true, true),
        SendError::Deadline => {
            failure("deadline", Stop::Deadline { seconds: deadline_s }, false, true, false)
        }
        SendError::Unsupported(error) => failure("unsupported", Stop::Request(error), true, false, false),
    }
}

/// A provider's refusal: what it says is read as far as it is safe to repeat.
pub(crate) async fn read_failure(
    mut upstream: Upstream,
    station: &Station,
    endpoint: Endpoint,
    deadline: Instant,
) -> Failure {
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
    let status = upstream.status.as_u16();
    let placement = station.name().to_string();
    let retry_after = retry_after(&upstream.headers);
    let ours = station.connector().is_local().then(|| ModelRefusal::parse(&body)).flatten();
    let fault = ProviderFault::parse(&body);
    let stop = match (status, ours) {
        (400, Some(refusal)) => Stop::ModelRefused(Box::new(refusal)),
        (429, _) => {
            Stop::ProviderBusy { placement, retry_after_s: retry_after.map(|wait| wait.as_secs().max(1)) }
        }
        (503, _) if station.connector().is_local() && fault.code.as_deref() == Some("model_unavailable") => {
            Stop::ModelUnavailable { placement }
        }
        (401 | 403 | 404, _) => Stop::ProviderSetUp { placement, status },
        (400..=499, _) if status != 408 => Stop::ProviderRefused { placement, status, fault },
        _ => Stop::Unavailable { placement, status: Some(status) },
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
        // A placement of a chat model that makes no embeddings is none the worse for it.
        is_placements: is_transient
            || status == 401
            || (matches!(status, 403 | 404) && endpoint == Endpoint::Chat),
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

pub(crate) struct Tries {
    pub(crate) left: u32,
    pub(crate) last: Option<Failure>,
    /// Whether any try may have been worked on, and charged.
    pub(crate) was_sent: bool,
}

pub(crate) enum Again {
    /// The same placement, after a wait.
    Same,
    /// The next placement.
    Next,
    /// Enough.
    No,
}

impl Tries {
    pub(crate) async fn next(
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
        // A dialect that cannot say it, or a model that cannot do it, costs nothing to find out, so it uses up no
        // try.
        let is_unable = match &failure.stop {
            Stop::Request(_) => true,
            Stop::ModelRefused(refusal) => refusal.is_unable(),
            _ => false,
        };
        if is_unable {
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
pub(crate) fn give_up(life: &mut Life, tries: Tries) -> Stop {
    if !tries.was_sent {
        life.settle_as_void();
    }
    tries.last.map_or(Stop::Internal("there was nothing to try"), |failure| failure.stop)
}
