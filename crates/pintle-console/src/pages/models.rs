//! The list of own models: what serves, since when and why, what could serve next, what is being trained.

use axum::{Extension, extract::State};
use maud::{Markup, html};

use super::{
    layout::{self, Here},
    parts, training,
    view::{self, View},
    words,
};
use crate::{
    ModelView, TuningRow, VersionRow, api,
    app::{App, Caller},
    problem::Problem,
};

/// So many candidates of a model are named here; its sheet has all.
const CANDIDATES: usize = 3;
/// So many tuning jobs are shown; the ledger has what all of them cost.
const TUNINGS: usize = 50;

/// `GET /console/models`.
pub(crate) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Markup, Problem> {
    let view = View::new(app, caller);
    let models = api::models::all(&view.app).await?;
    let tunings = view.app.parts.process.own_models().map(|models| models.tunings()).unwrap_or_default();
    let is_training = models.iter().any(|model| model.training.is_some());
    let body = html! {
        header.page-head {
            div {
                h1 { "Models" }
                p.muted { "The organisation's own: trained on its documents, on its machines. A version serves once a \
                           person has put it into production and said why." }
            }
        }
        @if is_training {
            div data-live=(training::REFRESH_S) {
                @for model in &models { (training::card(&view, model)) }
            }
        }
        @if models.is_empty() { (empty()) } @else { (table(&view, &models)) }
        @if !tunings.is_empty() { (tuning_table(&view, &tunings)) }
    };
    Ok(layout::page(&view.app, &view.process, &view.caller, Here::Models, "Models", &body))
}

fn empty() -> Markup {
    html! {
        section.card.teach {
            h2 { "Train the first model" }
            p { "A recipe names documents and a size; Pintle reads them, masks what should not be learnt, trains a small \
                 model on this machine, examines it and keeps it as a version. Nothing leaves the machine." }
            pre tabindex="0" { code { "pintle model train handbook.toml" } }
            p { "To see it done on made-up documents first: " code { "pintle demo train" } "." }
        }
    }
}

fn table(view: &View, models: &[ModelView]) -> Markup {
    html! {
        div.card.flush {
            div.table-wrap tabindex="0" role="region" aria-label="Own models" {
                table.cards {
                    caption.sr { "Own models" }
                    thead { tr {
                        th scope="col" { "Model" }
                        th scope="col" { "In production" }
                        th scope="col" { "Since" }
                        th scope="col" { "Why" }
                        th scope="col" { "Candidates" }
                    } }
                    tbody { @for model in models { (row(view, model)) } }
                }
            }
        }
    }
}

/// The newest jobs that use cases gave through OpenAI's interface.
fn tuning_table(view: &View, tunings: &[TuningRow]) -> Markup {
    html! {
        div.card.flush {
            div.table-wrap tabindex="0" role="region" aria-label="Tuning jobs" {
                table.cards {
                    caption { "Tuning jobs of use cases" }
                    thead { tr {
                        th scope="col" { "Made" }
                        th scope="col" { "Use case" }
                        th scope="col" { "State" }
                        th scope="col" { "From" }
                        th scope="col" { "Version" }
                        th.num scope="col" { "Cost" }
                        th.num scope="col" { "Energy" }
                    } }
                    tbody { @for job in tunings.iter().take(TUNINGS) { (tuning_row(view, job)) } }
                }
            }
        }
    }
}

fn tuning_row(view: &View, job: &TuningRow) -> Markup {
    let version = job.version.as_deref().and_then(|version| version.split_once('@'));
    html! {
        tr {
            th scope="row" {
                @if job.is_over {
                    a href={ "/console/requests/" (job.request) } { (view.short_time(job.created_at.as_millisecond())) }
                } @else { (view.short_time(job.created_at.as_millisecond())) }
            }
            td data-label="Use case" {
                a href={ "/console/use-cases/" (job.use_case) } { (view.title_of(job.use_case.as_str())) }
            }
            td.wide data-label="State" {
                (words::capital(&job.status.replace('_', " ")))
                @if let Some(fault) = &job.fault { div.sub { (view::code_in(fault)) } }
            }
            td data-label="From" { span.mono { (job.base) } }
            td data-label="Version" {
                @match version {
                    Some((model, number)) => {
                        a.mono.nowrap href={ "/console/models/" (model) "/" (number) } { (model) "@" (number) }
                    },
                    None => { span.muted { "–" } },
                }
            }
            td.num data-label="Cost" {
                @match (job.cost, job.is_priced) {
                    (Some(cost), _) => (view.money(cost)),
                    (None, false) => { span.careful-text { "unpriced" } },
                    (None, true) => { span.muted { "–" } },
                }
            }
            td.num data-label="Energy" {
                @match job.energy { Some(energy) => (energy), None => { span.muted { "–" } } }
            }
        }
    }
}

fn row(view: &View, model: &ModelView) -> Markup {
    let newest = model.versions.first();
    html! {
        tr {
            th scope="row" {
                a href={ "/console/models/" (model.name) } { (model.name) }
                div.sub { (versions(model)) @if let Some(row) = newest { " · newest " (view.date(row.made_at)) } }
            }
            @match &model.production {
                Some(now) => {
                    td data-label="In production" { (version_link(model, now.version)) }
                    td data-label="Since" { span.nowrap { (view.date(now.at)) } div.sub { "by " (now.by) } }
                    td.wide data-label="Why" { (now.reason) }
                },
                None => {
                    td data-label="In production" { span.muted { "none" } }
                    td data-label="Since" { span.muted { "–" } }
                    td.wide data-label="Why" { span.muted { "No version serves yet." } }
                },
            }
            td.wide data-label="Candidates" { (candidates(model)) }
        }
    }
}

fn versions(model: &ModelView) -> String {
    match i64::try_from(model.versions.len()).unwrap_or(i64::MAX) {
        0 => "no version yet".to_owned(),
        n => view::plural(n, "version", "versions"),
    }
}

/// A version's name as a link to its sheet.
pub(crate) fn version_link(model: &ModelView, version: u32) -> Markup {
    html! { a.mono.nowrap href={ "/console/models/" (model.name) "/" (version) } { (model.name) "@" (version) } }
}

fn candidates(model: &ModelView) -> Markup {
    let all: Vec<&VersionRow> = model.candidates().collect();
    let refused = model.versions.iter().filter(|row| !row.gate_failures.is_empty()).count();
    html! {
        @for row in all.iter().take(CANDIDATES) { div { (version_link(model, row.version)) } }
        @if all.is_empty() { span.muted { "none" } }
        @if all.len() > CANDIDATES { div.sub { "and " (all.len() - CANDIDATES) " more" } }
        @if refused > 0 { div.sub { (refused) " failed at the gate" } }
    }
}

/// Whether the recipe's gate lets a version pass, as a chip.
pub(crate) fn gate_chip(failures: &[String]) -> Markup {
    html! {
        @if failures.is_empty() { (parts::tone_chip("good", "Gate passed")) }
        @else { (parts::tone_chip("bad", "Gate failed")) }
    }
}
