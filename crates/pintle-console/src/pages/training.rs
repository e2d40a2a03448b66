//! A training on its way: where it stands, how fast it goes, its curve so far and what the model writes. The
//! page keeps itself fresh with its script; without it, a reload shows the news.

use axum::{
    Extension,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};

use super::{
    curve, figures, icons,
    layout::{self, Here},
    view::{self, View},
    words,
};
use crate::{
    ModelView, SAMPLES_MAX, TrainingStage, TrainingView, api,
    app::{App, Caller},
    problem::Problem,
};

/// Seconds between two looks of the page's script.
pub(crate) const REFRESH_S: u64 = 3;
/// A training that says nothing for so long has probably been stopped.
const SILENT_MS: i64 = 120_000;

/// `GET /console/models/{name}/training`: leads to the model's sheet when the training has ended.
pub(crate) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let view = View::new(app, caller);
    let model = api::models::named(&view.app, &name).await?;
    let Some(training) = &model.training else {
        return Ok(Redirect::to(&format!("/console/models/{}", model.name)).into_response());
    };
    let title = format!("Training of {}", model.name);
    let body = html! {
        header.page-head {
            div {
                p.crumb {
                    a href="/console/models" { "Models" } " / "
                    a href={ "/console/models/" (model.name) } { (model.name) }
                }
                h1 { (title) }
                p.muted { "Begun " (view.time(training.started_at)) ". This page keeps itself fresh." }
                noscript { p.muted { "Without its script, a reload shows the news." } }
            }
        }
        div data-live=(REFRESH_S) {
            (silence(&view, training))
            (stages(training))
            (numbers(training))
            (curves(training))
            (samples(training))
        }
    };
    let page = layout::page(&view.app, &view.process, &view.caller, Here::Models, &title, &body);
    Ok(page.into_response())
}

fn is_silent(view: &View, training: &TrainingView) -> bool {
    view.now.as_millisecond().saturating_sub(training.updated_at.as_millisecond()) > SILENT_MS
}

fn silence(view: &View, training: &TrainingView) -> Markup {
    html! {
        @if is_silent(view, training) {
            div.banner.warn role="note" { (icons::warn()) div {
                strong { "Nothing was heard of it since " (view.time(training.updated_at)) ". " }
                "It may have been stopped. The same command goes on where it was."
            } }
        }
    }
}

/// A training in short, for pages that are about more than it.
pub(crate) fn card(view: &View, model: &ModelView) -> Markup {
    let Some(training) = &model.training else { return html! {} };
    html! {
        section.card aria-label={ "Training of " (model.name) } {
            div.card-head {
                h2 {
                    @if is_silent(view, training) { "Training of " (model.name) " has gone silent" }
                    @else { (model.name) " is being trained" }
                }
                a href={ "/console/models/" (model.name) "/training" } { "Watch" }
            }
            (bar(training))
            p.muted { (where_it_is(training)) }
        }
    }
}

fn bar(training: &TrainingView) -> Markup {
    let label = format!("{}: {} of {}", words::training_stage(training.stage), training.step, training.steps);
    html! { @if training.steps > 0 { (figures::progress(&label, training.step.min(training.steps), training.steps)) } }
}

/// `Learning to answer, step 340 of 900 · loss 1.204 · about 4 min 5 s to go`.
fn where_it_is(training: &TrainingView) -> Markup {
    let unit = match training.stage {
        TrainingStage::Reading => "file",
        _ => "step",
    };
    html! {
        (words::training_stage(training.stage))
        @if training.steps > 0 {
            ", " (unit) " " (view::count_u64(training.step)) " of " (view::count_u64(training.steps))
        }
        @if let Some(loss) = training.loss { " · loss " (figures::bits(loss)) }
        @if let Some(left) = training.left_s { " · about " (figures::seconds(left)) " to go" }
    }
}

fn stages(training: &TrainingView) -> Markup {
    html! {
        section.card aria-labelledby="stages" {
            h2 id="stages" { "Where it stands" }
            ol.stages {
                @for stage in &training.stages {
                    @let (class, icon, said) = match stage.cmp(&training.stage) {
                        std::cmp::Ordering::Less => ("done", icons::ok(), "done"),
                        std::cmp::Ordering::Equal => ("now", icons::clock(), "now"),
                        std::cmp::Ordering::Greater => ("later", icons::dash(), "later"),
                    };
                    li class=(class) aria-current=[(class == "now").then_some("step")] {
                        (icon) span { (words::training_stage(*stage)) span.sr { ", " (said) } }
                    }
                }
            }
            (bar(training))
            p.muted { (where_it_is(training)) }
        }
    }
}

fn numbers(training: &TrainingView) -> Markup {
    let unknown = || html! { "–" span.sr { "not known yet" } };
    let figure = |text: Option<String>| html! { @match text { Some(text) => (text), None => (unknown()) } };
    html! {
        ul.tiles.four {
            (tile("Training loss", &figure(training.loss.map(figures::bits)), "nats per token"))
            (tile("Held-out text", &figure(training.held_out_bits_per_byte.map(figures::bits)), "bits per byte"))
            (tile("Speed", &figure(training.tokens_per_s.map(figures::whole)), "tokens per second"))
            (tile("Weights", &figure(training.parameters.map(figures::large)), "being trained"))
        }
    }
}

fn tile(label: &str, figure: &Markup, note: &str) -> Markup {
    html! {
        li { div.tile {
            span.tile-label { (label) }
            span.tile-figure { (figure) }
            span.tile-note { (note) }
        } }
    }
}

fn curves(training: &TrainingView) -> Markup {
    let until = |stage| if training.stage == stage { training.steps } else { 0 };
    html! {
        @if training.stage >= TrainingStage::Tune && !training.tune_curve.points().is_empty() {
            section.card aria-labelledby="tune" {
                h2 id="tune" { "Learning to answer" }
                (curve::curve("tune-curve", "Learning to answer", &training.tune_curve, until(TrainingStage::Tune)))
            }
        }
        section.card aria-labelledby="base" {
            h2 id="base" { "Learning from the documents" }
            (curve::curve("base-curve", "Learning from the documents", &training.base_curve, until(TrainingStage::Base)))
        }
    }
}

fn samples(training: &TrainingView) -> Markup {
    html! {
        section.card aria-labelledby="samples" {
            h2 id="samples" { "What it writes" }
            @if training.samples.is_empty() {
                p.muted { "Each time the held-out text is looked at, the model is asked to write a few words. They will \
                           stand here, the newest first." }
            } @else {
                p.muted { "The model tried on the way, newest first. Early on this is noise; that is as it should be." }
                ol.samples-list {
                    @for sample in training.samples.iter().take(SAMPLES_MAX) {
                        li {
                            div.sub { (words::training_stage(sample.stage)) ", step " (view::count_u64(sample.step)) }
                            blockquote { (sample.text) }
                        }
                    }
                }
            }
        }
    }
}
