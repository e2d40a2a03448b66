//! The life of one request as it is kept: whose, what was found, where it might have gone and went,
//! what it cost. No content.

use std::{borrow::Cow, sync::Arc};

use pintle_core::{
    Amount, DataClass, Energy, Finding, KeyId, Name, PriceCard, RequestId, TokenUsage, Transformation,
    UsageSource, Zone,
};
use serde::{Deserialize, Serialize};

/// The phases of a request, in their order. The list is closed; the order is the security argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Authenticate, bind the use case, decode.
    Admit,
    /// Find what is in it.
    Classify,
    /// Ask the policy for each placement.
    Decide,
    /// Order the placements that are left.
    Route,
    /// Hold the worst case.
    Reserve,
    /// Send it and take the answer.
    Call,
    /// Guard the answer.
    Screen,
    /// Turn usage into money.
    Settle,
    /// Keep what happened.
    Record,
}

impl Phase {
    /// The name that records and pages use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Admit => "admit",
            Phase::Classify => "classify",
            Phase::Decide => "decide",
            Phase::Route => "route",
            Phase::Reserve => "reserve",
            Phase::Call => "call",
            Phase::Screen => "screen",
            Phase::Settle => "settle",
            Phase::Record => "record",
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The client has the whole answer.
    Answered,
    /// A rule stopped it: policy, ban, stage, budget, limit. Nothing was sent.
    Refused,
    /// Something broke: the provider, the network, Pintle itself.
    Failed,
    /// The client went away before the end.
    Cancelled,
    /// Pintle was killed while it was on its way; nobody knows.
    InDoubt,
}

impl Outcome {
    /// The name that records use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Answered => "answered",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
            Outcome::InDoubt => "in_doubt",
        }
    }
}

/// The language that the client spoke, and with it what it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `POST /v1/chat/completions`.
    OpenAiChat,
    /// `POST /v1/completions`.
    OpenAiCompletions,
    /// `POST /v1/embeddings`.
    OpenAiEmbeddings,
    /// `POST /tokenize`: costs nothing, so it has no ledger entry.
    Tokenize,
    /// `POST /detokenize`: likewise.
    Detokenize,
    /// `GET /tokenizer_info`: likewise.
    TokenizerInfo,
    /// `POST /v1/fine_tuning/jobs`: not a call of a model, but work on one.
    OpenAiTuning,
}

impl Dialect {
    /// The name that records and metrics use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Dialect::OpenAiChat => "open_ai_chat",
            Dialect::OpenAiCompletions => "open_ai_completions",
            Dialect::OpenAiEmbeddings => "open_ai_embeddings",
            Dialect::Tokenize => "tokenize",
            Dialect::Detokenize => "detokenize",
            Dialect::TokenizerInfo => "tokenizer_info",
            Dialect::OpenAiTuning => "open_ai_tuning",
        }
    }
}

/// Whether a scan ran (I6: no record claims a scan that did not run).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScanState {
    /// It did not run.
    #[default]
    NotRun,
    /// It saw a part: the stream was cut or the client went away.
    Partial,
    /// It saw everything that can be scanned.
    Complete,
}

/// What the policy said of one placement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The placement.
    pub placement: Name,
    /// Where it runs.
    pub zone: Zone,
    /// Whether the request may go there.
    pub allowed: bool,
    /// What would be done to the content first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Transformation>,
    /// The rules that decided: policy ids, `ban:…`, `unpriced`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Arc<str>>,
}

/// One try to reach a placement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The placement.
    pub placement: Name,
    /// `ok`, `connect`, `timeout`, `status 503`, `cut` …
    pub outcome: Cow<'static, str>,
    /// How long it took, in microseconds.
    pub duration_us: u64,
}

/// How long a phase took. In JSON a pair: `["admit", 12]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "(Phase, u64)", from = "(Phase, u64)")]
pub struct PhaseTime {
    /// The phase.
    pub phase: Phase,
    /// Its duration in microseconds.
    pub duration_us: u64,
}

impl From<PhaseTime> for (Phase, u64) {
    fn from(time: PhaseTime) -> Self {
        (time.phase, time.duration_us)
    }
}

impl From<(Phase, u64)> for PhaseTime {
    fn from((phase, duration_us): (Phase, u64)) -> Self {
        PhaseTime { phase, duration_us }
    }
}

/// What became of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryState {
    /// Posted at what it cost.
    Posted,
    /// Released: nothing was sent, or the provider refused it unprocessed.
    Voided,
    /// Posted at the hold, because nobody knows what it cost.
    InDoubt,
}

impl EntryState {
    /// The name that records use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            EntryState::Posted => "posted",
            EntryState::Voided => "voided",
            EntryState::InDoubt => "in_doubt",
        }
    }
}

/// The one final ledger entry of a dispatched request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What became of the hold.
    pub state: EntryState,
    /// What was held, in nano-units.
    pub hold: Amount,
    /// What it cost, in nano-units; `None` when the placement is unpriced (I4: never zero).
    pub cost: Option<Amount>,
    /// The tokens.
    pub usage: TokenUsage,
    /// Where the tokens' figures come from.
    pub usage_source: UsageSource,
    /// The prices that were applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<PriceCard>,
    /// When it was held, in milliseconds since 1970: the month whose budget it takes from, also when the request
    /// came in before midnight and its body was read after it.
    pub held_at_ms: i64,
    /// When it was settled, in milliseconds since 1970.
    pub settled_at_ms: i64,
    /// What it took from the socket, where somebody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy: Option<Energy>,
}

impl Entry {
    /// By how much the cost went beyond the hold, if it did. Recorded and shown, never dropped (I2).
    #[must_use]
    pub fn overage(&self) -> Option<Amount> {
        let over = self.cost?.minus(self.hold).ok()?;
        (over > Amount::ZERO).then_some(over)
    }
}

/// Everything that is kept of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// Its id; people read out the last eight digits.
    pub id: RequestId,
    /// When it was admitted, in milliseconds since 1970. Its month's budget pays.
    pub at_ms: i64,
    /// Whose it is.
    pub use_case: Name,
    /// The key that made it; `None` for the console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// The person who made it in the console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<Arc<str>>,
    /// The language that the client spoke.
    pub dialect: Dialect,
    /// The model that the client asked for; empty when the body could not be read.
    pub model: Arc<str>,
    /// Whether it asked for a stream.
    pub stream: bool,
    /// The class of the content as it came in; `None` before it was classified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<DataClass>,
    /// The class of what left, after a transformation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_class: Option<DataClass>,
    /// The highest class seen in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_class: Option<DataClass>,
    /// Whether the request's texts were scanned.
    pub request_scan: ScanState,
    /// Whether the answer's texts were scanned.
    pub answer_scan: ScanState,
    /// What was found, the first [`RequestRecord::MOST_FINDINGS`] of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// How much was found in all.
    pub findings_total: u32,
    /// What was done to the content before it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Transformation>,
    /// How many values were masked in the answer.
    #[serde(default)]
    pub answer_masked: u32,
    /// Each placement that was considered, and what the policy said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
    /// The policies' version.
    pub policy_version: Arc<str>,
    /// Where it went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Name>,
    /// The zone of that placement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
    /// The tries, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// How it ended.
    pub outcome: Outcome,
    /// The HTTP status that the client got.
    pub status: u16,
    /// The error's stable code, if it ended in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Cow<'static, str>>,
    /// The rules that stopped it: policy ids, `ban:…`, `unpriced`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stopped_by: Vec<Arc<str>>,
    /// What the phases took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<PhaseTime>,
    /// From admission to the end, in microseconds.
    pub duration_us: u64,
    /// From dispatch to the first piece of the answer, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_us: Option<u64>,
    /// The ledger entry, if it was dispatched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Entry>,
}

impl RequestRecord {
    /// So many findings are kept one by one; the rest is counted.
    pub const MOST_FINDINGS: usize = 64;

    /// Whether its content went to a placement. Requests to a tokeniser do so without a ledger entry: they cost nothing.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        self.entry.is_some() || !self.attempts.is_empty()
    }

    /// A record as it stands at admission. Until something better is known it says "failed".
    #[must_use]
    pub fn new(id: RequestId, at_ms: i64, use_case: Name, dialect: Dialect) -> Self {
        RequestRecord {
            id,
            at_ms,
            use_case,
            key: None,
            person: None,
            dialect,
            model: "".into(),
            stream: false,
            class: None,
            sent_class: None,
            answer_class: None,
            request_scan: ScanState::NotRun,
            answer_scan: ScanState::NotRun,
            findings: Vec::new(),
            findings_total: 0,
            applied: None,
            answer_masked: 0,
            candidates: Vec::new(),
            policy_version: "".into(),
            placement: None,
            zone: None,
            attempts: Vec::new(),
            outcome: Outcome::Failed,
            status: 500,
            code: None,
            stopped_by: Vec::new(),
            phases: Vec::new(),
            duration_us: 0,
            first_byte_us: None,
            entry: None,
        }
    }

    /// Adds findings, keeping the first ones; `total` counts them all, also those that nobody kept.
    pub fn add_findings(&mut self, findings: impl IntoIterator<Item = Finding>, total: u32) {
        self.findings_total = self.findings_total.saturating_add(total);
        for finding in findings {
            if self.findings.len() < Self::MOST_FINDINGS {
                self.findings.push(finding);
            }
        }
    }
}
