//! What went wrong, for people.

use maud::{Markup, html};

use super::{
    layout::{self, Here},
    view,
};
use crate::{
    app::{App, Caller},
    problem::Problem,
};

fn body(problem: &Problem) -> Markup {
    html! {
        h1 { (problem.title) }
        p.lead { (view::sentence(&problem.detail)) }
        @if let Some(fix) = &problem.fix {
            p { strong { "What to do: " } (view::code_in(fix)) "." }
        }
    }
}

/// A whole page: within the frame for somebody who is signed in.
pub(crate) fn page(app: &App, caller: Option<&Caller>, problem: &Problem, id: &str) -> Markup {
    // The log says more under this id, where Pintle itself failed; elsewhere it would only be noise.
    let reference = html! {
        @if problem.status.is_server_error() { p.muted { "Reference " code { (id) } } }
    };
    match caller {
        Some(caller) => {
            let body = html! { (body(problem)) (reference) p { a href="/console" { "Go to the overview" } } };
            layout::page(app, &app.parts.process.view(), caller, Here::Elsewhere, problem.title, &body)
        }
        None => {
            let way = html! { p { a href="/console/sign-in" { "How to sign in" } } };
            layout::outside(app, problem.title, &html! { (body(problem)) (reference) (way) })
        }
    }
}

/// A piece of HTML for the page's script to insert.
pub(crate) fn fragment(problem: &Problem) -> Markup {
    html! {
        div.card.stop role="alert" {
            h2 { (problem.title) }
            p { (view::sentence(&problem.detail)) }
            @if problem.status == http::StatusCode::UNAUTHORIZED {
                p { a href="/console/sign-in" { "Sign in again" } }
            } @else if let Some(fix) = &problem.fix {
                p { (view::code_in(fix)) "." }
            }
        }
    }
}
