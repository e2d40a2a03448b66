//! A version's sheet: what such a model is and is not, whether it may serve, what its reports say
//! (`version_report`), what it was made of; and the form that puts it into production.

use axum::{
    Extension,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    curve, figures, icons,
    layout::{self, Here},
    models::gate_chip,
    parts, version_report as report,
    view::{self, View},
};
use crate::{
    ModelView, VersionView, api,
    app::{App, Caller},
    forms,
    problem::Problem,
};

/// A wish that was not fulfilled: why, and the reason that had been written.
struct Refused {
    problem: Problem,
    reason: String,
}

/// `GET /console/models/{name}/{version}`.
pub(crate) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((name, number)): Path<(String, String)>,
) -> Result<Markup, Problem> {
    let version = api::models::version(&app, &name, &number).await?;
    let model = api::models::named(&app, &name).await?;
    Ok(page(&View::new(app, caller), &model, &version, None))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Promote {
    version: String,
    #[serde(default)]
    reason: String,
}

/// `POST /console/models/{name}/promote`: leads to the model's sheet, or back to the form with what stands
/// in the way.
pub(crate) async fn promote(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    forms::Form(wish): forms::Form<Promote>,
) -> Result<Response, Problem> {
    let version = api::models::version(&app, &name, &wish.version).await?;
    let model = api::models::named(&app, &name).await?;
    match api::models::change(&app, &caller, &model, version.version, &wish.reason).await {
        Ok(()) => Ok(Redirect::to(&format!("/console/models/{}", model.name)).into_response()),
        // What Pintle itself got wrong is told as everywhere; what the person can put right, beside the form.
        Err(problem) if problem.status.is_server_error() => Err(problem),
        Err(problem) => {
            let status = problem.status;
            let refused = Refused { problem, reason: wish.reason };
            Ok((status, page(&View::new(app, caller), &model, &version, Some(&refused))).into_response())
        }
    }
}

fn page(view: &View, model: &ModelView, version: &VersionView, refused: Option<&Refused>) -> Markup {
    let title = format!("{}@{}", version.model, version.version);
    let why = refused.map(|it| it.problem.errors.first().map_or(&it.problem.detail, |error| &error.message));
    let serves = model.production.as_ref().is_some_and(|now| now.version == version.version);
    let body = html! {
        header.page-head {
            div {
                p.crumb {
                    a href="/console/models" { "Models" } " / "
                    a href={ "/console/models/" (model.name) } { (model.name) }
                }
                h1 { (title) }
                p.chips {
                    @if serves { (parts::tone_chip("good", "In production")) }
                    (gate_chip(&version.gate_failures))
                    (parts::class_chip(version.class))
                    span.muted { (figures::large(version.parameters)) " weights · made " (view.time(version.made_at)) }
                }
            }
        }
        @if let Some(refused) = refused {
            div.card.stop role="alert" {
                h2 { (title) " was not put into production" }
                @if let Some(why) = why { p { (view::sentence(why)) } }
                @if let Some(fix) = &refused.problem.fix { p { (view::sentence(fix)) } }
            }
        }
        (what_it_is(view, version))
        div.columns.wide-left {
            (report::gate(version))
            (production(view, model, version, refused))
        }
        @match &version.evaluation {
            Some(evaluation) => (report::evaluation(version, evaluation)),
            None => { section.card { h2 { "Evaluation" }
                p.careful-text { (icons::warn()) " The report of its evaluation cannot be read." } } },
        }
        (curves(version))
        // What was tuned from another version learnt conversations; the documents are its base's.
        @if version.corpus.is_some() || version.base.is_none() { (report::corpus(version.corpus.as_ref())) }
        (origin(version))
    };
    layout::page(&view.app, &view.process, &view.caller, Here::Models, &title, &body)
}

/// What people must know before they ask it, in plain words.
fn what_it_is(view: &View, version: &VersionView) -> Markup {
    let documents = version
        .corpus
        .as_ref()
        .map(|corpus| corpus.documents_kept - corpus.documents_held_out.min(corpus.documents_kept));
    let asked = version.evaluation.as_ref().and_then(|it| it.questions.as_ref());
    html! {
        section.card.teach aria-labelledby="what" {
            h2 id="what" { "What this is, and what it is not" }
            div.columns.is-and-not {
                div {
                    h3 { "It is" }
                    ul.points {
                        li { (icons::ok()) span {
                            "a small language model of " (figures::large(version.parameters)) " weights, trained "
                            @match &version.base {
                                Some(base) => { "further from " code { (base) } " " },
                                None => "from nothing ",
                            }
                            @match documents {
                                Some(n) => { "on " (view::count_u64(n)) " of this organisation's documents." },
                                None => "on this organisation's documents.",
                            }
                        } }
                        li { (icons::ok()) span { "at home in what those documents say, and quick and cheap to ask: it runs \
                                                   on this machine, and what it is asked stays here." } }
                        @if let Some(asked) = asked {
                            li { (icons::ok()) span {
                                "right on " strong { (figures::percent(asked.model.correct.share)) } " of "
                                (view::count_u64(asked.model.correct.total as u64)) " questions about them that were kept from it."
                            } }
                        }
                    }
                }
                div {
                    h3 { "It is not" }
                    ul.points {
                        li { (icons::cross()) span { "a general assistant. It knows its documents and little else: it does not \
                                                      reckon, translate or weigh things up." } }
                        li { (icons::cross()) span { "sure when it sounds sure. "
                            @match asked.filter(|asked| asked.model.correct.count < asked.model.correct.total) {
                                Some(asked) => {
                                    "Its " (view::count_u64((asked.model.correct.total - asked.model.correct.count) as u64))
                                    " wrong answers in the evaluation read just like the right ones."
                                },
                                None => "A wrong answer of it reads just like a right one.",
                            }
                            " Look it up before anything depends on it."
                        } }
                        li { (icons::cross()) span { "up to date. What changed in the documents after "
                            (view.date(version.made_at)) " it has not read." } }
                    }
                }
            }
        }
    }
}

/// Whether it serves, and the form that makes it.
fn production(view: &View, model: &ModelView, version: &VersionView, refused: Option<&Refused>) -> Markup {
    let now = model.production.as_ref();
    let id = format!("{}@{}", version.model, version.version);
    html! {
        section.card aria-labelledby="production" {
            h2 id="production" { "Production" }
            @match now {
                Some(now) if now.version == version.version => {
                    p { strong { "It serves." } " Since " (view.time(now.at)) ", by " (now.by) ":" }
                    blockquote { (now.reason) }
                },
                _ if !version.gate_failures.is_empty() => {
                    p { strong { "It may not serve." } " Its recipe's gate asks for more than it reached:" }
                    ul.points {
                        @for failure in &version.gate_failures {
                            li { (icons::cross()) span { (view::code_in(failure)) } }
                        }
                    }
                    p.muted { "Change the recipe or its documents and train again: that gives a new version. This one stays \
                               as it is." }
                },
                _ => (form(model, version, now.map(|now| now.version), refused.map(|it| it.reason.as_str()))),
            }
            @if let Some(past) = model.history.iter().find(|past| past.version == version.version) {
                @if now.is_none_or(|now| now.version != version.version) {
                    p.note { (id) " has served before, from " (view.time(past.at)) "." }
                }
            }
        }
    }
}

fn form(model: &ModelView, version: &VersionView, now: Option<u32>, reason: Option<&str>) -> Markup {
    let is_back = now.is_some_and(|now| version.version < now);
    html! {
        p {
            @match now {
                Some(now) => { "It would take the place of " code { (model.name) "@" (now) } "." },
                None => "Nothing serves yet; it would be the first.",
            }
            " The change takes a few seconds; answers on their way end with the version that they began with."
        }
        form method="post" action={ "/console/models/" (model.name) "/promote" } {
            input type="hidden" name="version" value=(version.version);
            div.field {
                label for="reason" { "Why? It is kept, with your name" }
                textarea id="reason" name="reason" rows="3" required maxlength=(api::models::REASON_CHARS_MAX) {
                    (reason.unwrap_or_default())
                }
            }
            button.primary type="submit" {
                @if is_back { "Go back to " } @else { "Put " }
                (model.name) "@" (version.version)
                @if !is_back { " into production" }
            }
        }
    }
}

fn curves(version: &VersionView) -> Markup {
    html! {
        section.card aria-labelledby="training" {
            h2 id="training" { "Training" }
            p { (figures::large(version.trained_tokens)) " tokens in " (figures::seconds(version.training_s))
                " of computing, in the order that seed " (version.seed) " gives. Energy: "
                @match version.energy {
                    Some(energy) => { (energy) "." },
                    None => "unknown, since nothing on this machine measured it.",
                }
            }
            @if version.base.is_none() || !version.base_curve.points().is_empty() {
                h3 { "Learning from the documents" }
                (curve::curve("base-curve", "Learning from the documents", &version.base_curve, 0))
            }
            @if !version.tune_curve.points().is_empty() {
                h3.further { "Learning to answer" }
                (curve::curve("tune-curve", "Learning to answer", &version.tune_curve, 0))
            }
        }
    }
}

/// What it was made of and with, and the files that it consists of, for those who want to check.
fn origin(version: &VersionView) -> Markup {
    html! {
        section.card aria-labelledby="origin" {
            h2 id="origin" { "Where it comes from" }
            dl.facts {
                div { dt { "Made by" } dd { "Pintle " (version.pintle) } }
                div { dt { "Tuned from" } dd {
                    @match &version.base {
                        Some(base) => { code { (base) } },
                        None => "nothing: trained from its first weight",
                    }
                } }
                div { dt { "Licences of what it learnt" } dd {
                    @if version.licences.is_empty() { span.careful-text { "not stated in the recipe" } }
                    (version.licences.join(", "))
                } }
                @for (part, hash) in &version.data_sha256 {
                    div { dt { "SHA-256 of the " (part) } dd { code { (hash) } } }
                }
            }
            details id="recipe" {
                summary { "The recipe" }
                pre tabindex="0" { code { (version.recipe.trim()) } }
            }
            details id="files" {
                summary { "Its files" }
                table.tight.files {
                    caption { "Files and their SHA-256. A file that no longer matches keeps the version from serving" }
                    thead { tr { th scope="col" { "File" } th scope="col" { "SHA-256" } } }
                    tbody {
                        @for (name, hash) in &version.files_sha256 {
                            tr { th scope="row" { (name) } td.path { code { (hash) } } }
                        }
                    }
                }
            }
        }
    }
}
