//! Counters for `/metrics`, in Prometheus's text form. Labels are bounded: names that the configuration
//! and the register define, and codes that this crate defines.

use std::{
    borrow::Cow,
    fmt::Write,
    sync::{
        Mutex,
        atomic::{AtomicI64, AtomicU64},
    },
};

use pintle_core::{Amount, Name};
use pintle_ledger::RequestRecord;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// Seconds: from a tenth of a millisecond, where Pintle's own work shows, to ten minutes.
const BUCKETS_S: [f64; 14] =
    [0.000_1, 0.000_5, 0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0];

/// A name as a label's value; empty for none. Cloning it allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct NameLabel(Option<Name>);

impl EncodeLabelValue for NameLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.write_str(self.0.as_ref().map_or("", Name::as_str))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    use_case: NameLabel,
    placement: NameLabel,
    dialect: &'static str,
    zone: &'static str,
    class: &'static str,
    outcome: &'static str,
    code: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PlacementLabels {
    placement: NameLabel,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    placement: NameLabel,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FindingLabels {
    kind: String,
    origin: &'static str,
}

/// All counters.
pub struct Metrics {
    registry: Mutex<Registry>,
    in_flight: Gauge,
    backlog: Gauge<i64, AtomicI64>,
    requests: Family<RequestLabels, Counter<u64, AtomicU64>>,
    unadmitted: Family<CodeLabels, Counter<u64, AtomicU64>>,
    duration: Family<PlacementLabels, Histogram, fn() -> Histogram>,
    first_byte: Family<PlacementLabels, Histogram, fn() -> Histogram>,
    tokens: Family<TokenLabels, Counter<u64, AtomicU64>>,
    cost_nanos: Family<PlacementLabels, Counter<u64, AtomicU64>>,
    findings: Family<FindingLabels, Counter<u64, AtomicU64>>,
    retries: Family<PlacementLabels, Counter<u64, AtomicU64>>,
}

fn seconds() -> Histogram {
    Histogram::new(BUCKETS_S)
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let metrics = Metrics {
            registry: Mutex::new(Registry::with_prefix("pintle")),
            in_flight: Gauge::default(),
            backlog: Gauge::default(),
            requests: Family::default(),
            unadmitted: Family::default(),
            duration: Family::new_with_constructor(seconds),
            first_byte: Family::new_with_constructor(seconds),
            tokens: Family::default(),
            cost_nanos: Family::default(),
            findings: Family::default(),
            retries: Family::default(),
        };
        if let Ok(mut all) = metrics.registry.lock() {
            all.register("requests_in_flight", "Requests on their way", metrics.in_flight.clone());
            all.register("ledger_backlog", "Records that wait for the database", metrics.backlog.clone());
            all.register("requests", "Requests that ended, by how", metrics.requests.clone());
            all.register("unadmitted", "Requests without a known caller, by why", metrics.unadmitted.clone());
            all.register_with_unit(
                "request_duration",
                "From admission to the end",
                Unit::Seconds,
                metrics.duration.clone(),
            );
            all.register_with_unit(
                "first_byte",
                "From dispatch to the answer's first piece",
                Unit::Seconds,
                metrics.first_byte.clone(),
            );
            all.register("tokens", "Tokens, by placement and kind", metrics.tokens.clone());
            all.register(
                "cost_nanos",
                "Cost in nano-units of the ledger's currency",
                metrics.cost_nanos.clone(),
            );
            all.register("findings", "What the guard found, by type", metrics.findings.clone());
            all.register("retries", "Further tries, by the placement that failed", metrics.retries.clone());
        }
        metrics
    }

    pub(crate) fn entered(&self) {
        self.in_flight.inc();
    }

    pub(crate) fn left(&self) {
        self.in_flight.dec();
    }

    pub(crate) fn unadmitted(&self, code: &'static str) {
        self.unadmitted.get_or_create(&CodeLabels { code }).inc();
    }

    pub(crate) fn retried(&self, placement: &Name) {
        self.retries.get_or_create(&PlacementLabels { placement: NameLabel(Some(placement.clone())) }).inc();
    }

    pub(crate) fn ended(&self, record: &RequestRecord) {
        let placement = NameLabel(record.placement.clone());
        let labels = RequestLabels {
            use_case: NameLabel(Some(record.use_case.clone())),
            placement: placement.clone(),
            dialect: record.dialect.as_str(),
            zone: record.zone.map_or("", |zone| zone.as_str()),
            class: record.class.map_or("", |class| class.as_str()),
            outcome: record.outcome.as_str(),
            code: record.code.clone().unwrap_or_default(),
        };
        self.requests.get_or_create(&labels).inc();
        for finding in &record.findings {
            let labels = FindingLabels { kind: finding.kind.to_string(), origin: finding.origin.as_str() };
            self.findings.get_or_create(&labels).inc();
        }
        let Some(entry) = &record.entry else { return };
        let labels = PlacementLabels { placement: placement.clone() };
        self.duration.get_or_create(&labels).observe(as_seconds(record.duration_us));
        if let Some(first_byte_us) = record.first_byte_us {
            self.first_byte.get_or_create(&labels).observe(as_seconds(first_byte_us));
        }
        let cost = entry.cost.map_or(0, Amount::nanos);
        self.cost_nanos.get_or_create(&labels).inc_by(u64::try_from(cost).unwrap_or_default());
        let usage = &entry.usage;
        let kinds = [
            ("input", usage.input),
            ("cached_input", usage.cached_input),
            ("cache_write", usage.cache_write),
            ("output", usage.output),
        ];
        for (kind, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
            self.tokens.get_or_create(&TokenLabels { placement: placement.clone(), kind }).inc_by(count);
        }
    }

    /// The text that `GET /metrics` answers.
    pub(crate) fn encode(&self, backlog: usize) -> Option<String> {
        self.backlog.set(i64::try_from(backlog).unwrap_or(i64::MAX));
        let registry = self.registry.lock().ok()?;
        let mut text = String::new();
        encode(&mut text, &registry).ok()?;
        Some(text)
    }
}

/// Histograms take floats; these are durations, not money.
fn as_seconds(us: u64) -> f64 {
    std::time::Duration::from_micros(us).as_secs_f64()
}
