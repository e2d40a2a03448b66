//! The nine phases of a request as a timeline: what each did, in words, and how long it took.

use std::collections::BTreeMap;

use maud::{Markup, html};
use pintle_core::{Amount, DataClass, Finding, Origin};
use pintle_ledger::{Candidate, Dialect, Outcome, Phase, RequestRecord, ScanState};

use super::{
    icons, parts, request,
    view::{self, View},
    words,
};

const PHASES: [Phase; 9] = [
    Phase::Admit,
    Phase::Classify,
    Phase::Decide,
    Phase::Route,
    Phase::Reserve,
    Phase::Call,
    Phase::Screen,
    Phase::Settle,
    Phase::Record,
];

/// Whether a phase was reached: its time was taken, or the record holds what only it could have found out.
fn is_reached(record: &RequestRecord, phase: Phase) -> bool {
    let left_traces = match phase {
        Phase::Admit | Phase::Record => true,
        Phase::Classify => record.request_scan != ScanState::NotRun,
        Phase::Decide => !record.candidates.is_empty(),
        Phase::Route => record.entry.is_some(),
        Phase::Reserve | Phase::Settle => record.entry.is_some(),
        Phase::Call => !record.attempts.is_empty(),
        Phase::Screen => record.answer_scan != ScanState::NotRun,
    };
    left_traces || record.phases.iter().any(|it| it.phase == phase)
}

/// Where a request that got no answer came to its end.
fn end(record: &RequestRecord) -> Option<Phase> {
    let is_over = !matches!(record.outcome, Outcome::Answered);
    let mut reached = PHASES.into_iter().take(7).rev().filter(|phase| is_reached(record, *phase));
    if is_over { reached.next() } else { None }
}

/// The timeline.
pub(crate) fn timeline(view: &View, record: &RequestRecord) -> Markup {
    let end = end(record);
    html! {
        ol.timeline {
            @for phase in PHASES {
                @let reached = is_reached(record, phase);
                @let ends_here = end == Some(phase);
                li class=[(!reached).then_some("skipped").or(ends_here.then_some("ended"))] {
                    div.marker {
                        @if !reached { (icons::dash()) } @else if ends_here { (icons::stop()) } @else { (icons::ok()) }
                    }
                    div.step {
                        h3 {
                            (words::capital(phase.as_str()))
                            @if !reached { span.sub { (if record.outcome == Outcome::Answered { "not needed" } else { "not reached" }) } }
                            @if ends_here { span.sub { " · it ended here" } }
                            @if let Some(time) = record.phases.iter().find(|it| it.phase == phase) {
                                span.took { (view::duration(time.duration_us)) }
                            }
                        }
                        @if reached { (step(view, record, phase)) }
                    }
                }
            }
        }
    }
}

fn step(view: &View, record: &RequestRecord, phase: Phase) -> Markup {
    match phase {
        Phase::Admit => admit(view, record),
        Phase::Classify => classify(record),
        Phase::Decide => decide(view, record),
        Phase::Route => route(view, record),
        Phase::Reserve => reserve(view, record),
        Phase::Call => call(record),
        Phase::Screen => screen(record),
        Phase::Settle => settle(view, record),
        Phase::Record => kept(view, record),
    }
}

fn admit(view: &View, record: &RequestRecord) -> Markup {
    let key = record.key.and_then(|id| view.snapshot.keys().into_iter().find(|key| key.id == id));
    let dialect = match record.dialect {
        Dialect::OpenAiChat => "OpenAI chat completions",
        Dialect::OpenAiCompletions => "OpenAI completions",
        Dialect::OpenAiEmbeddings => "OpenAI embeddings",
        Dialect::Tokenize => "to a tokeniser (text to tokens)",
        Dialect::Detokenize => "to a tokeniser (tokens to text)",
        Dialect::TokenizerInfo => "to a tokeniser (its settings)",
        Dialect::OpenAiTuning => "OpenAI fine-tuning",
    };
    html! {
        p {
            @match (&record.person, record.key, key) {
                (Some(person), ..) => { "Sent from the console by " strong { (person) } },
                (None, Some(_), Some(key)) => {
                    "Key " code { (key.prefix) "…" } @if !key.label.is_empty() { " (" (key.label) ")" }
                },
                (None, Some(id), None) => { "Key " code { (id) } },
                (None, None, _) => "No key",
            }
            ", for the use case " a href={ "/console/use-cases/" (record.use_case) } {
                (view.title_of(record.use_case.as_str()))
            } ". "
            "It spoke " (dialect) ", asked for " code { @if record.model.is_empty() { "?" } @else { (record.model) } }
            " and wanted the answer " @if record.stream { "as a stream." } @else { "in one piece." }
        }
    }
}

fn classify(record: &RequestRecord) -> Markup {
    let found: Vec<_> = record.findings.iter().filter(|it| it.origin == Origin::Request).collect();
    html! {
        p {
            (words::capital(words::scan(record.request_scan))) "."
            @if let Some(class) = record.class { " Class of the content: " (parts::class_chip(class)) }
        }
        @if found.is_empty() && record.request_scan == ScanState::Complete {
            p.muted { "Nothing sensitive was found." }
        }
        (findings(&found, "What was found in the request"))
        @if let Some(more) = unlisted(record) { p.muted { (more) } }
    }
}

fn unlisted(record: &RequestRecord) -> Option<String> {
    let listed = u32::try_from(record.findings.len()).unwrap_or(u32::MAX);
    let more = record.findings_total.checked_sub(listed).filter(|more| *more > 0)?;
    Some(format!("{more} further findings were counted and are not listed one by one."))
}

/// Class, path and type: the order of the list, the most sensitive first.
type Where<'a> = (std::cmp::Reverse<DataClass>, &'a str, &'a str);

/// What was seen of one type at one place.
struct Sightings {
    count: i64,
    confidence: u8,
    message: Option<u32>,
}

/// Findings by type and place. Where they stand, never what they are.
pub(crate) fn findings(findings: &[&Finding], caption: &str) -> Markup {
    let mut groups: BTreeMap<Where<'_>, Sightings> = BTreeMap::new();
    for it in findings {
        let key = (std::cmp::Reverse(it.class), &*it.place.path, &*it.kind);
        let group =
            groups.entry(key).or_insert(Sightings { count: 0, confidence: 0, message: it.place.message });
        group.count += 1;
        group.confidence = group.confidence.max(it.confidence);
    }
    html! {
        @if !groups.is_empty() {
            div.table-wrap tabindex="0" role="region" aria-label=(caption) {
                table.tight.cards {
                    caption.sr { (caption) }
                    thead { tr {
                        th scope="col" { "Found" } th scope="col" { "Where" }
                        th scope="col" { "Class" } th.num scope="col" { "Certainty" }
                    } }
                    tbody {
                        @for ((class, path, kind), seen) in &groups {
                            tr {
                                th scope="row" { @if seen.count > 1 { (seen.count) " × " } (words::kind(kind)) }
                                td.wide data-label="Where" {
                                    @if let Some(index) = seen.message { "Message " (u64::from(index) + 1) " · " }
                                    code { (path) }
                                }
                                td data-label="Class" { (parts::class_chip(class.0)) }
                                td.num data-label="Certainty" { (seen.confidence) "%" }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn decide(view: &View, record: &RequestRecord) -> Markup {
    html! {
        @if record.candidates.is_empty() {
            p { "No placement came into question." }
        } @else {
            div.table-wrap tabindex="0" role="region" aria-label="Placements considered" {
                table.tight.cards {
                    caption.sr { "Placements considered, and what the rules said" }
                    thead { tr {
                        th scope="col" { "Placement" } th scope="col" { "Verdict" } th scope="col" { "Rules" }
                    } }
                    tbody { @for candidate in &record.candidates { (candidate_row(view, candidate)) } }
                }
            }
        }
        @if !record.policy_version.is_empty() {
            p.muted { "Policies in version " code { (record.policy_version) } "." }
        }
    }
}

fn candidate_row(view: &View, candidate: &Candidate) -> Markup {
    html! {
        tr {
            th scope="row" { (candidate.placement) div.sub { (words::zone(candidate.zone)) } }
            td.wide data-label="Verdict" {
                @if candidate.allowed {
                    span.chip.good { (icons::ok()) "Allowed" }
                    @if let Some(applied) = candidate.applied { div.sub { "with " (words::applied(applied)) } }
                } @else {
                    span.chip.stopped { (icons::stop()) "Refused" }
                }
            }
            td.wide data-label="Rules" {
                @for (index, rule) in candidate.rules.iter().enumerate() {
                    @if index > 0 { ", " }
                    (request::rule_link(view, rule))
                }
                @if candidate.rules.is_empty() { span.muted { "none" } }
            }
        }
    }
}

fn route(view: &View, record: &RequestRecord) -> Markup {
    let Some(placement) = &record.placement else {
        return html! { p { "No placement was left." } };
    };
    let known = view.process.placements.iter().find(|it| it.placement.name == *placement);
    html! {
        p {
            "Chosen: " strong { (placement) }
            @if let Some(zone) = record.zone { ", " (words::zone(zone).to_lowercase()) }
            @if let Some(known) = known {
                @if !known.placement.region.is_empty() { ", " (known.placement.region) }
                ", model " code { (known.placement.model) }
            }
            "."
            @if let Some(applied) = record.applied { " Before it left: " (words::applied(applied)) "." }
            @if let Some(class) = record.sent_class.filter(|class| Some(*class) != record.class) {
                " What left is of the class " (parts::class_chip(class))
            }
        }
    }
}

fn reserve(view: &View, record: &RequestRecord) -> Markup {
    html! {
        @match &record.entry {
            Some(entry) if entry.hold > Amount::ZERO => {
                p { strong { (view.money(entry.hold)) } " held, the most that this could cost, in the budgets of the use \
                    case and of the organisation." }
            },
            Some(entry) if entry.cost.is_none() => { p { "Nothing could be held, because the placement has no known price." } },
            _ => { p { "No money was held." } },
        }
    }
}

fn call(record: &RequestRecord) -> Markup {
    html! {
        @if record.attempts.is_empty() { p { "No try is on record." } }
        ol.attempts {
            @for attempt in &record.attempts {
                li { strong { (attempt.placement) } ": " (attempt_words(&attempt.outcome)) " after "
                    (view::duration(attempt.duration_us)) }
            }
        }
        @if let Some(first) = record.first_byte_us {
            p.muted { "The first piece of the answer came " (view::duration(first)) " after it was sent." }
        }
    }
}

fn attempt_words(outcome: &str) -> String {
    match outcome {
        "ok" => "answered".to_owned(),
        "connect" => "could not be reached".to_owned(),
        "timeout" => "did not answer in time".to_owned(),
        "cut" => "broke off".to_owned(),
        other => other.to_owned(),
    }
}

fn screen(record: &RequestRecord) -> Markup {
    let found: Vec<_> = record.findings.iter().filter(|it| it.origin == Origin::Answer).collect();
    html! {
        p {
            "Answer " (words::scan(record.answer_scan)) "."
            @if let Some(class) = record.answer_class { " Highest class in it: " (parts::class_chip(class)) }
            @if record.answer_masked > 0 {
                " " (view::plural(i64::from(record.answer_masked), "value was", "values were")) " masked in it."
            }
        }
        (findings(&found, "What was found in the answer"))
    }
}

fn settle(view: &View, record: &RequestRecord) -> Markup {
    let Some(entry) = &record.entry else {
        return html! { p { "Nothing was sent, so there is nothing to pay." } };
    };
    let (usage, prices) = (&entry.usage, entry.prices);
    let input = prices.map(|it| it.input);
    let rows = [
        ("Input", usage.input, input),
        (
            "Input from the provider's cache",
            usage.cached_input,
            prices.and_then(|it| it.cached_input).or(input),
        ),
        ("Input written to the cache", usage.cache_write, prices.and_then(|it| it.cache_write).or(input)),
        ("Output", usage.output, prices.map(|it| it.output)),
    ];
    html! {
        p {
            (words::entry_state(entry.state)) ". Cost: " strong { (request::cost(view, record)) } "."
            @if let Some(over) = entry.overage() { " That is " (view.money(over)) " more than was held." }
            " Tokens: " (words::usage_source(entry.usage_source)) "."
        }
        @if usage.total() > 0 {
            div.table-wrap tabindex="0" role="region" aria-label="Tokens and prices" {
                table.tight {
                    caption.sr { "Tokens and the prices applied" }
                    thead { tr {
                        th scope="col" { "Tokens" } th.num scope="col" { "Count" }
                        th.num scope="col" { "Price per million" }
                    } }
                    tbody {
                        @for (name, tokens, price) in rows.into_iter().filter(|row| row.1 > 0) {
                            tr {
                                th scope="row" { (name)
                                    @if name == "Output" && usage.reasoning > 0 {
                                        div.sub { "of it " (view::count_u64(usage.reasoning)) " for reasoning" }
                                    }
                                }
                                td.num { (view::count_u64(tokens)) }
                                td.num {
                                    @match price {
                                        Some(price) => (view.nanos(price.nanos_per_million())),
                                        None => { span.careful-text { "unpriced" } },
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn kept(view: &View, record: &RequestRecord) -> Markup {
    html! {
        p {
            "Reference " strong.mono { (record.id.short()) } ". The whole id is " code.wrap { (record.id) } "."
            @if let Some(entry) = &record.entry { " Settled " (view.full_time(entry.settled_at_ms)) "." }
        }
        p { a href={ "/admin/api/requests/" (record.id) } { "The record as JSON" } }
    }
}
