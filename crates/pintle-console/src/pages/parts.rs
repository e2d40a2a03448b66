//! Pieces that several pages show: chips, bars, tables' cells.

use maud::{Markup, html};
use pintle_core::{Amount, DataClass, Stage, Zone};
use pintle_ledger::{BudgetState, Outcome, RequestRow};

use super::{
    icons,
    view::{self, View},
    words,
};
use crate::{api::budgets::used_percent, forms};

/// A class with its bars.
pub(crate) fn class_chip(class: DataClass) -> Markup {
    html! { span class={ "chip class-" (class.as_str()) } { (icons::class(class)) (words::class(class)) } }
}

pub(crate) fn stage_chip(stage: Stage) -> Markup {
    html! { span class={ "chip stage-" (stage.as_str()) } { (icons::stage(stage)) (words::stage(stage)) } }
}

pub(crate) fn zone_label(zone: Zone) -> Markup {
    html! { span.with-icon { (icons::zone(zone)) (words::zone(zone)) } }
}

pub(crate) fn outcome_chip(outcome: Outcome) -> Markup {
    let (icon, tone) = match outcome {
        Outcome::Answered => (icons::ok(), "good"),
        Outcome::Refused => (icons::stop(), "stopped"),
        Outcome::Failed => (icons::cross(), "bad"),
        Outcome::Cancelled => (icons::back(), "plain"),
        Outcome::InDoubt => (icons::question(), "careful"),
    };
    html! { span class={ "chip " (tone) } { (icon) (words::outcome(outcome)) } }
}

/// `active`, `expired`, `scheduled` … as a chip.
pub(crate) fn state_chip(state: &str) -> Markup {
    let (icon, tone) = match state {
        "active" | "healthy" => (icons::ok(), "good"),
        "scheduled" => (icons::clock(), "plain"),
        "revoked" | "lifted" => (icons::cross(), "plain"),
        "expired" | "ended" => (icons::clock(), "plain"),
        _ => (icons::warn(), "careful"),
    };
    html! { span class={ "chip " (tone) } { (icon) (words::capital(state)) } }
}

/// A word with the drawing that goes with its tone: `good`, `bad`, `careful` or `plain`.
pub(crate) fn tone_chip(tone: &str, text: &str) -> Markup {
    let icon = match tone {
        "good" => icons::ok(),
        "bad" => icons::cross(),
        "careful" => icons::warn(),
        _ => icons::dash(),
    };
    html! { span class={ "chip " (tone) } { (icon) (text) } }
}

/// A ban's state: while it is active it stops people, so it does not look like a health that is good.
pub(crate) fn ban_chip(state: &str) -> Markup {
    match state {
        "active" => html! { span.chip.stopped { (icons::stop()) "Active" } },
        other => state_chip(other),
    }
}

pub(crate) fn simulated_chip() -> Markup {
    html! { span.chip.plain title="Answers come from within Pintle, for demonstration" { (icons::info()) "Simulated" } }
}

/// How full a bar is, in thousandths of its length.
fn thousandths(part: Amount, whole: Amount) -> i128 {
    if whole.nanos() <= 0 {
        return 0;
    }
    (i128::from(part.nanos().max(0)) * 1_000 / i128::from(whole.nanos())).min(1_000)
}

/// A budget's bar: spent, then held, then room. Drawn as SVG, since the pages' policy allows no inline style.
pub(crate) fn budget_bar(view: &View, state: &BudgetState) -> Markup {
    let Some(limit) = state.limit else { return html! {} };
    let (spent, held) = (thousandths(state.posted, limit), thousandths(state.held, limit));
    let held = held.min(1_000 - spent);
    let percent = used_percent(state).unwrap_or(0);
    let tone = match percent {
        0..75 => "fine",
        75..95 => "near",
        _ => "full",
    };
    let label =
        format!("{percent}% of {} spent or held, of it {} held", view.money(limit), view.money(state.held));
    html! {
        svg class={ "bar " (tone) } viewBox="0 0 1000 8" preserveAspectRatio="none" role="img" aria-label=(label) {
            rect.track width="1000" height="8" {}
            rect.spent width=(spent) height="8" {}
            @if held > 0 { rect.held x=(spent) width=(held) height="8" {} }
        }
    }
}

/// `€412.00 of €1,000.00`, or what was spent where there is no limit.
pub(crate) fn budget_figure(view: &View, state: &BudgetState) -> Markup {
    html! {
        @match state.limit {
            Some(limit) => { span.num { (view.money(state.posted)) } " of " span.num { (view.money(limit)) } }
            None => { span.num { (view.money(state.posted)) } span.muted { " · no limit" } }
        }
    }
}

/// Big figure, bar, what is held, when it renews, and where it is heading.
pub(crate) fn budget_summary(view: &View, state: &BudgetState) -> Markup {
    let renews = view.day(state.period.end);
    html! {
        p.figure {
            span.big { (view.money(state.posted)) }
            @if let Some(limit) = state.limit { span.of { " of " (view.money(limit)) } }
        }
        (budget_bar(view, state))
        p.muted {
            @match used_percent(state) {
                Some(0) if state.posted > Amount::ZERO => { "Less than 1% used · renews " (renews) },
                Some(percent) => { (percent) "% used · renews " (renews) },
                None => { "No hard limit · counts anew from " (renews) },
            }
            @if state.held > Amount::ZERO {
                " · " (view.money(state.held)) " held for requests on their way"
            }
        }
        @if let Some(pace) = pace(view, state) {
            p.muted { "At this pace about " (view.money(pace)) " by the end of the month." }
        }
    }
}

/// Where the month ends if it goes on as it has: spent × whole month ÷ elapsed part. Not told on the
/// first two days and below one percent, when it would be a guess.
fn pace(view: &View, state: &BudgetState) -> Option<Amount> {
    const TWO_DAYS_MS: i64 = 172_800_000;
    let elapsed = view.now.as_millisecond().checked_sub(state.period.start.as_millisecond())?;
    let whole = state.period.end.as_millisecond().checked_sub(state.period.start.as_millisecond())?;
    if elapsed < TWO_DAYS_MS || state.posted <= Amount::ZERO || used_percent(state) == Some(0) {
        return None;
    }
    let nanos = i128::from(state.posted.nanos()) * i128::from(whole) / i128::from(elapsed);
    i64::try_from(nanos).ok().map(Amount::from_nanos)
}

/// What a request cost; "unpriced" and "not sent" are words, never zero.
pub(crate) fn row_cost(view: &View, row: &RequestRow) -> Markup {
    match row.cost_nanos {
        Some(nanos) => html! { (view.nanos(nanos)) },
        None if was_sent(row) => html! { span.careful-text { "unpriced" } },
        None => html! { span.muted { "–" span.sr { "nothing was sent" } } },
    }
}

/// Whether it was sent. Without a cost all the same, its price is what is not known. What was refused
/// was not sent, unless it is its answer that was held back.
pub(crate) fn was_sent(row: &RequestRow) -> bool {
    let is_refused = row.outcome == Outcome::Refused.as_str();
    let is_answer_refused = row.code.as_deref() == Some("answer_refused");
    row.placement.is_some() && (row.cost_nanos.is_some() || !is_refused || is_answer_refused)
}

/// The table of requests, newest first.
pub(crate) fn request_table(view: &View, rows: &[RequestRow], caption: &str, with_use_case: bool) -> Markup {
    html! {
        div.table-wrap tabindex="0" role="region" aria-label=(caption) {
            table.cards.compact {
                caption { span.sr { (caption) ". " } span.muted { "Times in " (view.zone_name()) } }
                thead { tr {
                    th scope="col" { "Request" }
                    th scope="col" { "Time" }
                    @if with_use_case { th scope="col" { "Use case" } }
                    th scope="col" { "Outcome" }
                    th scope="col" { "Class" }
                    th scope="col" { "Went to" }
                    th.num scope="col" { "Cost" }
                    th.num scope="col" { "Took" }
                } }
                tbody {
                    @for row in rows { (request_row(view, row, with_use_case)) }
                }
            }
        }
    }
}

fn request_row(view: &View, row: &RequestRow, with_use_case: bool) -> Markup {
    let class: Option<DataClass> = row.class.as_deref().and_then(|text| text.parse().ok());
    let zone: Option<Zone> = row.zone.as_deref().and_then(|text| text.parse().ok());
    let took = u64::try_from(row.duration_us).unwrap_or(0);
    html! {
        tr {
            th scope="row" { a.mono href={ "/console/requests/" (row.id) } { (row.id.short()) } }
            td.nowrap { (view.short_time(row.at_ms)) }
            @if with_use_case {
                td.wide { a href={ "/console/use-cases/" (row.use_case) } { (view.title_of(&row.use_case)) } }
            }
            td {
                @match forms::outcome(&row.outcome) {
                    Ok(Some(outcome)) => (outcome_chip(outcome)),
                    _ => (row.outcome),
                }
                @if let Some(code) = &row.code { div.sub { (words::code(code)) } }
            }
            td { @match class { Some(class) => (class_chip(class)), None => { span.muted { "class not known" } } } }
            td.nowrap data-label="Went to" {
                @match &row.placement {
                    Some(placement) if was_sent(row) => {
                        (placement)
                        @if let Some(zone) = zone { div.sub { (words::zone(zone)) } }
                    }
                    _ => { span.muted { "nowhere" } }
                }
            }
            td.num data-label="Cost" { (row_cost(view, row)) }
            td.num.spare { (view::duration(took)) }
        }
    }
}
