//! One request: what became of it, why, and its life phase by phase. No content.

use axum::{
    Extension,
    extract::{Path, State},
};
use maud::{Markup, html};
use pintle_core::{Name, RequestId};
use pintle_ledger::{Dialect, EntryState, Outcome, RequestRecord};
use pintle_registry::Owner;

use super::{
    layout::{self, Here},
    parts, request_life,
    view::{self, View},
    words,
};
use crate::{
    app::{App, Caller},
    problem::Problem,
};

/// Finds a record, with what has just been settled. A text that is no id names nothing.
pub(crate) async fn find(app: &App, text: &str) -> Result<Option<RequestRecord>, Problem> {
    let id: RequestId = text.parse().map_err(|_| Problem::not_found("request", text))?;
    app.settle_reads().await;
    Ok(app.parts.ledger.request(id).await?)
}

/// Reads a record that must be there.
pub(crate) async fn load(app: &App, text: &str) -> Result<RequestRecord, Problem> {
    find(app, text).await?.ok_or_else(|| Problem::not_found("request", text))
}

/// `GET /console/requests/{id}`.
pub(crate) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Markup, Problem> {
    let record = load(&app, &id).await?;
    let view = View::new(app, caller);
    let title = format!("Request {}", record.id.short());
    let body = html! {
        header.page-head {
            div {
                p.crumb { a href="/console/requests" { "Requests" } }
                h1 { "Request " span.mono { (record.id.short()) } }
                p.chips {
                    (parts::outcome_chip(record.outcome))
                    @if let Some(class) = record.class { (parts::class_chip(class)) }
                    @if is_simulated(&view, &record) { (parts::simulated_chip()) }
                }
            }
        }
        @if record.outcome != Outcome::Answered { (why(&view, &record)) }
        section.card aria-labelledby="facts" {
            h2.sr id="facts" { "At a glance" }
            (facts(&view, &record))
        }
        @if record.dialect == Dialect::OpenAiTuning {
            (tuning(&record))
        } @else {
            section.card aria-labelledby="life" {
                h2 id="life" { "Its life, phase by phase" }
                (request_life::timeline(&view, &record))
            }
        }
    };
    Ok(layout::page(&view.app, &view.process, &view.caller, Here::Requests, &title, &body))
}

pub(crate) fn is_simulated(view: &View, record: &RequestRecord) -> bool {
    record.entry.is_some() && record.placement.as_ref().is_some_and(|name| view.is_simulated(name.as_str()))
}

/// A tuning job has no phases: it is one piece of work.
fn tuning(record: &RequestRecord) -> Markup {
    html! {
        section.card aria-labelledby="tuning" {
            h2 id="tuning" { "A tuning job" }
            p {
                "It was to make a new version of " code { (record.model) } ", on this machine, through OpenAI's fine-tuning \
                 interface."
                @if let Some(entry) = &record.entry {
                    " It learnt from " (view::count_u64(entry.usage.input)) " tokens."
                }
            }
            p.muted { "Versions, what they were made of and whether they may serve are on the page "
                a href="/console/models" { "Models" } "." }
        }
    }
}

fn facts(view: &View, record: &RequestRecord) -> Markup {
    html! {
        dl.facts.compact {
            div { dt { "When" } dd { (view.full_time(record.at_ms)) } }
            div { dt { "Use case" } dd {
                a href={ "/console/use-cases/" (record.use_case) } { (view.title_of(record.use_case.as_str())) }
            } }
            div { dt { "Asked for" } dd {
                @if record.model.is_empty() { span.muted { "not known" } } @else { code { (record.model) } }
                @if record.stream { " · streamed" }
            } }
            div { dt { "Went to" } dd { (destination(record)) } }
            div { dt { "Cost" } dd { (cost(view, record)) } }
            @if let Some(energy) = record.entry.as_ref().and_then(|entry| entry.energy) {
                div { dt { "Energy" } dd { (energy) } }
            }
            div { dt { "Took" } dd {
                (view::duration(record.duration_us))
                @if let Some(first) = record.first_byte_us { " · first piece after " (view::duration(first)) }
            } }
            div { dt { "Status" } dd {
                (record.status) @if let Some(code) = &record.code { div.sub { code { (code) } } }
            } }
        }
    }
}

/// Where it went, or that it went nowhere.
pub(crate) fn destination(record: &RequestRecord) -> Markup {
    html! {
        @match (&record.placement, record.zone) {
            (Some(placement), zone) if record.was_sent() => {
                (placement) @if let Some(zone) = zone { div.sub { (parts::zone_label(zone)) } }
            },
            _ => { span.muted { "nowhere" } },
        }
    }
}

/// What it cost; unknown is a word, not zero.
pub(crate) fn cost(view: &View, record: &RequestRecord) -> Markup {
    html! {
        @match &record.entry {
            None if record.was_sent() => { "nothing: only the tokeniser worked" },
            None => { span.muted { "nothing was sent" } },
            Some(entry) => {
                @match entry.cost {
                    Some(cost) => (view.money(cost)),
                    None => { span.careful-text { "unpriced: nobody has said what this placement costs" } },
                }
            },
        }
    }
}

/// A rule that refused, in words, wherever it stands: in the policies, among the bans or in the ledger.
struct Why {
    title: String,
    guidance: Option<String>,
    owner: Option<String>,
    link: String,
}

fn explain(view: &View, rule: &str) -> Why {
    if let Some(short) = rule.strip_prefix("ban:") {
        let found = view.ban(short);
        return Why {
            title: found.map_or_else(|| "A ban".to_owned(), |ban| format!("`{}` is banned", ban.target)),
            guidance: found.map(|ban| ban.reason.clone()),
            owner: found.map(|ban| ban.owner.clone()),
            link: found.map_or_else(|| "/console/bans".to_owned(), |ban| format!("/console/bans#{}", ban.id)),
        };
    }
    if let Some(found) = view.rule(rule) {
        return Why {
            title: found.title.clone().unwrap_or_else(|| found.id.clone()),
            guidance: found.guidance.clone(),
            owner: found.owner.clone(),
            link: format!("/console/rules#rule-{}", found.id),
        };
    }
    let (title, guidance) = match words::own_rule(rule) {
        Some((title, guidance)) => (title.to_owned(), Some(guidance.to_owned())),
        // The rule has gone since, with a newer version of the policies.
        None => (words::capital(&rule.replace(['_', '-'], " ")), None),
    };
    Why { title, guidance, owner: None, link: "/console/rules".to_owned() }
}

/// A rule's name with a link to it and its title beside.
pub(crate) fn rule_link(view: &View, rule: &str) -> Markup {
    let why = explain(view, rule);
    html! { a href=(why.link) title=(why.title) { code { (short_rule(rule)) } } }
}

fn short_rule(rule: &str) -> &str {
    if rule.starts_with("ban:") { "ban" } else { rule }
}

/// Why there was no answer, and what can be done now.
fn why(view: &View, record: &RequestRecord) -> Markup {
    let title = match (&record.code, record.outcome) {
        (Some(code), _) => words::code(code),
        (None, outcome) => words::outcome(outcome).to_owned(),
    };
    html! {
        section.card.stop aria-labelledby="why" {
            h2 id="why" { (title) }
            p { (meaning(record)) }
            @if !record.stopped_by.is_empty() {
                ul.rules {
                    @for rule in record.stopped_by.iter().map(|rule| explain(view, rule)) {
                        li {
                            h3 { a href=(rule.link) { (view::code_in(&rule.title)) } }
                            @if let Some(guidance) = &rule.guidance { p { (guidance) } }
                            @if let Some(owner) = &rule.owner { p.muted { "Ask " (owner) "." } }
                        }
                    }
                }
            }
            (ways(view, record))
        }
    }
}

fn meaning(record: &RequestRecord) -> &'static str {
    if record.entry.as_ref().is_some_and(|entry| entry.state == EntryState::Voided) {
        return "No provider did any work on it, and it cost nothing.";
    }
    if record.dialect == Dialect::OpenAiTuning {
        return match (record.outcome, record.entry.is_some()) {
            (Outcome::Cancelled, true) => "Somebody ended it. What was computed by then is paid for.",
            (_, true) => "It did not come to its end. What was computed by then is paid for.",
            (_, false) => "Nothing was computed, and it cost nothing.",
        };
    }
    match (record.outcome, record.was_sent()) {
        (Outcome::Refused, false) if record.findings_total > 0 => {
            "Nothing was sent, and it cost nothing. The next clean request works."
        }
        (Outcome::Refused, false) => "Nothing was sent, and it cost nothing.",
        (Outcome::Refused, true) => "It was sent, and its answer was held back.",
        (Outcome::Failed, false) => "Nothing was sent, and it cost nothing.",
        (Outcome::Failed, true) if record.entry.is_none() => {
            "It was sent, and something broke on the way. It cost nothing."
        }
        (Outcome::Failed, true) => "It was sent, and something broke on the way or at the provider.",
        (Outcome::Cancelled, _) => "The client went away before the end. What was used by then is paid for.",
        (Outcome::InDoubt, _) => {
            "Pintle was stopped while this was on its way. Nobody knows how it ended, so the whole hold counts as spent."
        }
        (Outcome::Answered, _) => "It was answered.",
    }
}

fn ways(view: &View, record: &RequestRecord) -> Markup {
    if record.outcome != Outcome::Refused {
        return html! {};
    }
    let draft = view.snapshot.use_case(&record.use_case).map(|it| &it.draft);
    let sheet = format!("/console/use-cases/{}", record.use_case);
    let is_auto = &*record.model == "auto";
    html! {
        h3 { "Ways forward" }
        ul.ways {
            @match record.code.as_deref().unwrap_or_default() {
                "policy_refused" => {
                    @if !is_auto { li { "Ask for " code { "auto" } ", so that a placement that may take it is looked for" } }
                    @if record.findings_total > 0 { li { "Take out what was found (listed below, by place) and send it again" } }
                },
                "banned" | "unpriced" => { li { "Ask for another model, or for " code { "auto" } } },
                "model_not_found" => {
                    li { "Ask for " code { "auto" } ", or for a model that " code { "GET /v1/models" } " lists" }
                },
                "stage_refused" => { li { a href=(sheet) { "See the use case's stage and owners" } } },
                "answer_refused" => { li { "Ask again without the details that the answer may not hold" } },
                "budget_exceeded" => {
                    li { "Ask for a shorter answer with " code { "max_tokens" } ", so that less is held" }
                    li { a href=(sheet) { "See how full the budget is" } " and when it renews" }
                },
                _ => {},
            }
            @if let Some(draft) = draft {
                li { "Ask " (mail(&draft.business_owner, record.id, &record.use_case)) ", the business owner" }
                li { "Report a mistake to " (mail(&draft.it_owner, record.id, &record.use_case)) ", the IT owner" }
            }
        }
    }
}

/// A letter whose subject carries the reference.
fn mail(owner: &Owner, id: RequestId, use_case: &Name) -> Markup {
    html! {
        a href={ "mailto:" (owner.email) "?subject=Pintle%20request%20" (id.short()) "%20of%20" (use_case) } {
            (owner.name)
        }
    }
}
