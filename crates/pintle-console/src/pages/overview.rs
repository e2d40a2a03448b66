//! The overview: money this month, requests today, what was stopped and where the rest went.

use axum::{Extension, extract::State};
use maud::{Markup, html};
use pintle_core::{DataClass, Zone};
use pintle_ledger::{BudgetState, Count, DaySum, Outcome, Overview, RequestFilter, Scope, UsageBy, UsageRow};

use super::{
    chart, icons,
    layout::{self, Here},
    parts,
    view::{self, View},
    words,
};
use crate::{
    api::budgets,
    app::{App, Caller},
    problem::Problem,
};

/// So many use cases have a bar here; the list of use cases has all.
const BARS: usize = 8;

struct Data {
    budgets: Vec<BudgetState>,
    days: Vec<DaySum>,
    usage: Vec<UsageRow>,
    today: Overview,
    is_first_time: bool,
}

async fn load(view: &View) -> Result<Data, Problem> {
    let app = &view.app;
    app.settle_reads().await;
    let ledger = &app.parts.ledger;
    let budgets = budgets::states(app)?;
    let first_day = budgets.first().map(|state| ledger.day_of(state.period.start)).unwrap_or_default();
    Ok(Data {
        budgets,
        days: ledger.days(&first_day, None).await?,
        usage: ledger.usage(UsageBy::UseCase, Some(&first_day), None, None).await?,
        today: ledger.overview(view.now).await?,
        is_first_time: ledger
            .requests(&RequestFilter { limit: 1, ..RequestFilter::default() })
            .await?
            .is_empty(),
    })
}

/// `GET /console`.
pub(crate) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Markup, Problem> {
    let view = View::new(app, caller);
    let data = load(&view).await?;
    let body = html! {
        header.page-head {
            div {
                h1 { "Overview" }
                p.muted { (view.date(view.now)) " · " (view.process.organisation.name) }
            }
        }
        @if data.is_first_time { (first_steps(&view)) }
        (tiles(&data.today))
        div.columns.wide-left {
            (spend(&view, &data))
            (bars(&view, &data))
            (matrix(&data.today))
            (stops(&data.today))
        }
        (placements(&view))
    };
    Ok(layout::page(&view.app, &view.process, &view.caller, Here::Overview, "Overview", &body))
}

fn first_steps(view: &View) -> Markup {
    let url = &view.app.parts.public_url;
    html! {
        section.card.teach aria-labelledby="first" {
            h2 id="first" { "Send the first request" }
            p { "Point any OpenAI SDK at " code { (url) "/v1" } ", or use this line with one of your keys:" }
            pre tabindex="0" { code {
                "curl " (url) "/v1/chat/completions \\\n"
                "  -H \"Authorization: Bearer $PINTLE_KEY\" -H \"Content-Type: application/json\" \\\n"
                "  -d '{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}'"
            } }
            p { "No key at hand? " a href="/console/try" { "Try it here" } ", as one of the use cases." }
        }
    }
}

fn outcome_count(today: &Overview, outcome: Outcome) -> i64 {
    today.outcomes.iter().filter(|it| it.of.0 == outcome.as_str()).map(|it| it.count).sum()
}

fn tiles(today: &Overview) -> Markup {
    let all: i64 = today.outcomes.iter().map(|it| it.count).sum();
    let day = &today.day;
    let by = |outcome: Outcome| format!("/console/requests?day={day}&outcome={}", outcome.as_str());
    html! {
        section aria-labelledby="today" {
            h2.sr id="today" { "Today" }
            ul.tiles {
                (tile(&icons::list(), "Requests", all, &format!("/console/requests?day={day}"), "today"))
                (tile(&icons::stop(), "Stopped", outcome_count(today, Outcome::Refused), &by(Outcome::Refused),
                    "refused by Pintle"))
                (tile(&icons::cross(), "Failed", outcome_count(today, Outcome::Failed), &by(Outcome::Failed),
                    "something broke"))
                (tile(&icons::question(), "Unpriced", today.unpriced,
                    &format!("/console/requests?day={day}&price=unpriced"), "cost not known"))
                (tile(&icons::warn(), "In doubt", today.in_doubt, "/console/requests?outcome=in_doubt",
                    "ever, not only today"))
            }
        }
    }
}

fn tile(icon: &Markup, label: &str, count: i64, path: &str, note: &str) -> Markup {
    html! {
        li { a.tile href=(path) {
            span.tile-label { (icon) (label) }
            span.tile-figure { (view::count(count)) }
            span.tile-note { (note) }
        } }
    }
}

fn spend(view: &View, data: &Data) -> Markup {
    let Some(state) = data.budgets.iter().find(|state| state.scope == Scope::Organisation) else {
        return html! {};
    };
    let unpriced: i64 = data.usage.iter().map(|row| row.unpriced_requests).sum();
    html! {
        section.card aria-labelledby="spend" {
            h2 id="spend" { "Spend in " (view.month(state.period.start)) }
            (parts::budget_summary(view, state))
            @if unpriced > 0 {
                p.careful-text { (icons::warn()) " " (view::plural(unpriced, "request has", "requests have"))
                    " no known price and " (if unpriced == 1 { "is" } else { "are" }) " not in this sum." }
            }
            (chart::spend_by_day(view, "spend-chart", state.period, &data.days))
        }
    }
}

fn bars(view: &View, data: &Data) -> Markup {
    let mut states: Vec<_> =
        data.budgets.iter().filter(|state| matches!(state.scope, Scope::UseCase(_))).collect();
    states.sort_by_key(|state| std::cmp::Reverse((budgets::used_percent(state), state.posted)));
    html! {
        section.card aria-labelledby="budgets" {
            h2 id="budgets" { "Budgets of use cases" }
            @if states.is_empty() {
                p.muted { "No use case is written down yet. Write one down with " code { "pintle usecase create" } "." }
            }
            ul.bars {
                @for state in states.iter().take(BARS) {
                    @if let Scope::UseCase(name) = &state.scope {
                        li {
                            a href={ "/console/use-cases/" (name) } { (view.title_of(name.as_str())) }
                            (parts::budget_bar(view, state))
                            div.sub { (parts::budget_figure(view, state)) }
                        }
                    }
                }
            }
            @if states.len() > BARS { p { a href="/console/use-cases" { "All " (states.len()) " use cases" } } }
        }
    }
}

/// Tints in five steps, by share of the largest cell.
fn heat(count: i64, most: i64) -> i64 {
    if count <= 0 || most <= 0 { 0 } else { 1 + (count.saturating_mul(4) / most).min(4) }
}

fn matrix(today: &Overview) -> Markup {
    let cells = &today.zones_and_classes;
    let most = cells.iter().map(|it| it.count).max().unwrap_or(0);
    let count = |zone: Zone, class: DataClass| -> i64 {
        let is = |it: &&Count| it.of.0 == zone.as_str() && it.of.1 == class.as_str();
        cells.iter().filter(is).map(|it| it.count).sum()
    };
    html! {
        section.card aria-labelledby="where" {
            h2 id="where" { "Where today's requests went" }
            @if cells.is_empty() {
                p.muted { "Nothing was sent today. Here you will see which data class went to which zone." }
            } @else {
                div.table-wrap tabindex="0" role="region" aria-label="Requests by zone and data class" {
                    table.matrix {
                        caption.sr { "Requests today by zone and data class" }
                        thead { tr {
                            th scope="col" { "Class" }
                            @for zone in Zone::ALL { th.num scope="col" { (words::zone(*zone)) } }
                        } }
                        tbody {
                            @for class in DataClass::ALL {
                                tr {
                                    th scope="row" { (parts::class_chip(*class)) }
                                    @for zone in Zone::ALL {
                                        @let n = count(*zone, *class);
                                        td class={ "num heat-" (heat(n, most)) } {
                                            @if n > 0 { (view::count(n)) } @else { span.muted { "0" } }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
                p.note { "By the class of the content as it came in; values may have been replaced before it left." }
            }
        }
    }
}

fn stops(today: &Overview) -> Markup {
    html! {
        section.card aria-labelledby="stops" {
            h2 id="stops" { "Stopped today, by reason" }
            @if today.stops.is_empty() {
                p.muted { "Nothing was stopped today. When a rule or a budget stops a request, its reason stands here." }
            } @else {
                ul.reasons {
                    @for stop in &today.stops {
                        li {
                            a href={ "/console/requests?day=" (today.day) "&outcome=refused&text=" (stop.of.0) } {
                                (words::code(&stop.of.0))
                            }
                            span.num { (view::count(stop.count)) }
                        }
                    }
                }
            }
        }
    }
}

fn placements(view: &View) -> Markup {
    html! {
        section.card aria-labelledby="placements" {
            h2 id="placements" { "Placements" }
            div.table-wrap tabindex="0" role="region" aria-label="Table of placements" {
                table.cards {
                    caption.sr { "Placements that the configuration defines" }
                    thead { tr {
                        th scope="col" { "Placement" }
                        th scope="col" { "Zone" }
                        th scope="col" { "Cleared up to" }
                        th scope="col" { "Price" }
                        th scope="col" { "State" }
                        th scope="col" { "Defined at" }
                    } }
                    tbody {
                        @for it in &view.process.placements {
                            tr {
                                th.nowrap scope="row" {
                                    a href={ "/console/requests?text=" (it.placement.name) } { (it.placement.name) }
                                    div.sub {
                                        (it.placement.model)
                                        @if it.placement.provider.name() == "simulated" { " · simulated" }
                                    }
                                }
                                td data-label="Zone" { (parts::zone_label(it.placement.zone)) div.sub { (it.placement.region) } }
                                td data-label="Cleared up to" { (parts::class_chip(it.placement.clearance)) }
                                td data-label="Price" {
                                    @match it.price.split_once(" per ") {
                                        Some((price, unit)) => { (price) div.sub { "per " (unit) } },
                                        None => (it.price),
                                    }
                                }
                                td data-label="State" { (parts::state_chip(&it.health)) }
                                td.wide.path data-label="Defined at" { code { (it.placement.source) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_has_five_steps_and_none_for_nothing() {
        let said: Vec<_> = [0, 1, 25, 50, 75, 100].into_iter().map(|n| heat(n, 100)).collect();
        assert_eq!(said, [0, 1, 2, 3, 4, 5]);
    }
}
