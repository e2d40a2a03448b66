//! One model's sheet: what serves, every version with its key figures, and who promoted what and why.

use axum::{
    Extension,
    extract::{Path, State},
};
use maud::{Markup, html};

use super::{
    figures, icons,
    layout::{self, Here},
    models::{gate_chip, version_link},
    parts, training,
    view::{self, View},
};
use crate::{
    ModelView, VersionRow, api,
    app::{App, Caller},
    problem::Problem,
};

/// The newest promotions that the sheet shows.
const HISTORY: usize = 50;
/// The newest versions that the sheet shows.
const VERSIONS: usize = 100;

/// `GET /console/models/{name}`.
pub(crate) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Markup, Problem> {
    let view = View::new(app, caller);
    let model = api::models::named(&view.app, &name).await?;
    let title = model.name.to_string();
    let class = model
        .production
        .as_ref()
        .and_then(|now| model.versions.iter().find(|row| row.version == now.version));
    let body = html! {
        header.page-head {
            div {
                p.crumb { a href="/console/models" { "Models" } }
                h1 { (model.name) }
                p.chips {
                    @match &model.production {
                        Some(now) => (parts::tone_chip("good", &format!("{}@{} in production", model.name, now.version))),
                        None => (parts::tone_chip("plain", "Nothing in production")),
                    }
                    @if let Some(row) = class { (parts::class_chip(row.class)) }
                }
            }
        }
        @if model.training.is_some() { div data-live=(training::REFRESH_S) { (training::card(&view, &model)) } }
        (production(&view, &model))
        (versions(&view, &model))
        (history(&view, &model))
    };
    Ok(layout::page(&view.app, &view.process, &view.caller, Here::Models, &title, &body))
}

fn production(view: &View, model: &ModelView) -> Markup {
    let serving = view.process.placements.iter().map(|it| &it.placement).filter(|placement| {
        placement.provider.name() == "embedded" && placement.model.as_str() == model.name.as_str()
    });
    let serving: Vec<_> = serving.collect();
    html! {
        section.card aria-labelledby="production" {
            h2 id="production" { "In production" }
            @match &model.production {
                Some(now) => {
                    dl.facts {
                        div { dt { "Version" } dd { (version_link(model, now.version)) } }
                        div { dt { "Since" } dd { (view.time(now.at)) } }
                        div { dt { "Decided by" } dd { (now.by) } }
                        div { dt { "Why" } dd { (now.reason) } }
                        div { dt { "Answers as" } dd {
                            @for placement in &serving {
                                div { code { (placement.name) } span.sub { " · cleared up to "
                                    (super::words::class(placement.clearance).to_lowercase()) } }
                            }
                            @if serving.is_empty() {
                                span.careful-text { "no placement" }
                                div.sub { "The configuration defines none with this model, so nobody can ask it." }
                            }
                        } }
                    }
                },
                None => p.muted { "No version serves yet. Open a version whose gate passed, and put it into production \
                                   there." },
            }
        }
    }
}

fn versions(view: &View, model: &ModelView) -> Markup {
    html! {
        section.card aria-labelledby="versions" {
            h2 id="versions" { "Versions" }
            @if model.versions.is_empty() {
                p.muted { "There is none yet. The first one will stand here when its training and its evaluation have \
                           ended." }
            } @else {
                div.table-wrap tabindex="0" role="region" aria-label="Table of versions" {
                    table.cards {
                        caption.sr { "Versions, newest first" }
                        thead { tr {
                            th scope="col" { "Version" }
                            th scope="col" { "Class" }
                            th.num scope="col" { "Weights" }
                            th.num scope="col" { "Bits per byte" }
                            th.num scope="col" { "Questions right" }
                            th scope="col" { "Gate" }
                        } }
                        tbody { @for row in model.versions.iter().take(VERSIONS) { (version_row(view, model, row)) } }
                    }
                }
                p.note {
                    "Bits per byte: what held-out text costs the model; less is better, and beside it what counting runs \
                     of letters costs. Questions right: of those that were kept from it, with the base before tuning beside it."
                }
                @if model.versions.len() > VERSIONS { p.muted { "The newest " (VERSIONS) " of " (model.versions.len()) "." } }
            }
        }
    }
}

fn version_row(view: &View, model: &ModelView, row: &VersionRow) -> Markup {
    let serves = model.production.as_ref().is_some_and(|now| now.version == row.version);
    let unknown = html! { span.muted { "not known" } };
    html! {
        tr {
            th scope="row" {
                (version_link(model, row.version))
                @if serves { " " (parts::tone_chip("good", "In production")) }
                div.sub { (view.date(row.made_at)) }
            }
            td data-label="Class" { (parts::class_chip(row.class)) }
            td.num data-label="Weights" { (figures::large(row.parameters)) }
            td.num data-label="Bits per byte" {
                @match row.held_out_bits_per_byte { Some(bits) => (figures::bits(bits)), None => (unknown) }
                @if let Some(bits) = row.ngram_bits_per_byte { div.sub { "counting: " (figures::bits(bits)) } }
            }
            td.num data-label="Questions right" {
                @match &row.correct {
                    Some(share) => (figures::percent(share.share)),
                    None => { span.muted { "none asked" } },
                }
                @if let Some(base) = &row.base_correct { div.sub { "base: " (figures::percent(base.share)) } }
            }
            td.wide data-label="Gate" {
                (gate_chip(&row.gate_failures))
                @for failure in &row.gate_failures { div.sub { (view::code_in(failure)) } }
            }
        }
    }
}

fn history(view: &View, model: &ModelView) -> Markup {
    html! {
        section.card aria-labelledby="history" {
            h2 id="history" { "Promotions" }
            @if model.history.is_empty() { p.muted { "Nobody has put a version into production yet." } }
            ol.history {
                @for (index, past) in model.history.iter().take(HISTORY).enumerate() {
                    // A version that served before its predecessor here is one that somebody went back to.
                    @let is_back = model.history.get(index + 1).is_some_and(|before| past.version < before.version);
                    li {
                        span.when { (view.time(past.at)) }
                        span {
                            strong { (past.by) } @if is_back { " went back to " } @else { " promoted " }
                            (version_link(model, past.version))
                            @if is_back { " " (icons::back()) }
                            div.sub { (past.reason) }
                        }
                    }
                }
            }
            @if model.history.len() > HISTORY {
                p.muted { "The newest " (HISTORY) " of " (view::count_u64(model.history.len() as u64)) "." }
            }
        }
    }
}
