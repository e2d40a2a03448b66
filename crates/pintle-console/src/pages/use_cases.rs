//! The list of use cases.

use std::collections::HashMap;

use axum::{Extension, extract::State};
use maud::{Markup, html};
use pintle_core::Stage;
use pintle_ledger::{BudgetState, Scope, UsageBy};
use pintle_registry::{Owner, UseCase};
use serde::Deserialize;

use super::{
    layout::{self, Here},
    parts,
    view::{self, View},
    words,
};
use crate::{
    api::budgets,
    app::{App, Caller},
    forms,
    problem::Problem,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    #[serde(default)]
    stage: Option<String>,
}

/// `GET /console/use-cases?stage=`.
pub(crate) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    forms::Query(filter): forms::Query<Filter>,
) -> Result<Markup, Problem> {
    let text = filter.stage.as_deref().filter(|text| !text.is_empty());
    let stage: Option<Stage> =
        text.map(str::parse).transpose().map_err(|error| Problem::parse("stage", &error))?;
    let view = View::new(app, caller);
    view.app.settle_reads().await;
    let states = budgets::states(&view.app)?;
    let first_day = states.first().map(|state| view.app.parts.ledger.day_of(state.period.start));
    let usage = view.app.parts.ledger.usage(UsageBy::UseCase, first_day.as_deref(), None, None).await?;
    let requests: HashMap<&str, i64> = usage.iter().map(|row| (row.group.as_str(), row.requests)).collect();
    let shown: Vec<_> =
        view.snapshot.use_cases().filter(|it| stage.is_none_or(|stage| it.stage == stage)).collect();
    let all = view.snapshot.use_cases().len();
    let month = states.first().map(|state| view.month(state.period.start)).unwrap_or_default();
    let body = html! {
        header.page-head {
            div {
                h1 { "Use cases" }
                p.muted { "Every request belongs to one, and each has an owner in the business and one in IT." }
            }
            (stage_filter(stage))
        }
        @if all == 0 {
            (empty())
        } @else if shown.is_empty() {
            p.empty { "No use case is at this stage. " a href="/console/use-cases" { "Show all " (all) } }
        } @else {
            div.card.flush {
                div.table-wrap tabindex="0" role="region" aria-label="Use cases" {
                    table.cards {
                        caption.sr { "Use cases" }
                        thead { tr {
                            th scope="col" { "Use case" }
                            th scope="col" { "Stage" }
                            th scope="col" { "Data class" }
                            th scope="col" { "Owners" }
                            th scope="col" { "Budget, " (month) }
                            th.num scope="col" { "Requests" }
                        } }
                        tbody {
                            @for use_case in &shown {
                                (row(&view, use_case, &states, requests.get(use_case.name().as_str()).copied()))
                            }
                        }
                    }
                }
            }
        }
    };
    Ok(layout::page(&view.app, &view.process, &view.caller, Here::UseCases, "Use cases", &body))
}

fn stage_filter(chosen: Option<Stage>) -> Markup {
    html! {
        form.inline method="get" action="/console/use-cases" {
            label for="stage" { "Stage" }
            select id="stage" name="stage" {
                option value="" { "All stages" }
                @for stage in Stage::ALL {
                    option value=(stage.as_str()) selected[chosen == Some(*stage)] { (words::stage(*stage)) }
                }
            }
            button type="submit" { "Show" }
        }
    }
}

fn row(view: &View, use_case: &UseCase, states: &[BudgetState], requests: Option<i64>) -> Markup {
    let scope = Scope::UseCase(use_case.name().clone());
    html! {
        tr {
            th scope="row" {
                a href={ "/console/use-cases/" (use_case.name()) } { (use_case.draft.title) }
                div.sub { code { (use_case.name()) } }
            }
            td data-label="Stage" { (parts::stage_chip(use_case.stage)) }
            td data-label="Data class" { (parts::class_chip(use_case.draft.data_class)) }
            td.owners data-label="Owners" {
                (owner(&use_case.draft.business_owner))
                div.sub { "IT: " (owner(&use_case.draft.it_owner)) }
            }
            td.budget data-label="Budget" {
                @if let Some(state) = states.iter().find(|state| state.scope == scope) {
                    div { (parts::budget_figure(view, state)) }
                    (parts::budget_bar(view, state))
                }
            }
            td.num data-label="Requests" { (view::count(requests.unwrap_or(0))) }
        }
    }
}

fn owner(owner: &Owner) -> Markup {
    html! { a.quiet-link href={ "mailto:" (owner.email) } { (owner.name) } }
}

fn empty() -> Markup {
    html! {
        section.card.teach {
            h2 { "Write down the first use case" }
            p { "A use case says what a model is used for, by whom, with which data and for how much money. Until there \
                 is one, nobody has a key." }
            pre tabindex="0" { code {
                "pintle usecase create customer-replies --title \"Customer replies\" --cost-centre 4100 \\\n"
                "  --business-owner \"Jana Novak <jana.novak@example.com>\" \\\n"
                "  --it-owner \"Tomas Berg <tomas.berg@example.com>\" --data-class confidential"
            } }
        }
    }
}
