//! Bans: what is banned, for whom, why, and until when.

use axum::{Extension, extract::State};
use maud::{Markup, html};
use pintle_registry::Ban;

use super::{
    layout::{self, Here},
    parts,
    view::View,
    words,
};
use crate::{
    api,
    app::{App, Caller},
};

/// `GET /console/bans`.
pub(crate) async fn show(State(app): State<App>, Extension(caller): Extension<Caller>) -> Markup {
    let view = View::new(app, caller);
    let bans = view.snapshot.bans();
    let body = html! {
        header.page-head {
            div {
                h1 { "Bans" }
                p.muted { "Each stops a placement, a model or a provider at once, says why and whom to ask, and ends by \
                           itself." }
            }
        }
        @if bans.is_empty() {
            section.card.teach {
                h2 { "Nothing is banned" }
                p { "When a provider reports a breach or a model goes wrong, stop it for a while:" }
                pre tabindex="0" { code {
                    "pintle ban add placement:cloud-mini --until 7d --reason \"The provider reported a breach.\" \\\n"
                    "  --owner \"IT Security\""
                } }
            }
        } @else {
            div.card.flush {
                div.table-wrap tabindex="0" role="region" aria-label="Bans" {
                    table.cards {
                        caption.sr { "Bans, newest first" }
                        thead { tr {
                            th scope="col" { "Banned" } th scope="col" { "State" } th scope="col" { "For" }
                            th scope="col" { "Reason" } th scope="col" { "From" } th scope="col" { "Until" }
                        } }
                        tbody { @for ban in bans { (row(&view, ban)) } }
                    }
                }
            }
        }
    };
    layout::page(&view.app, &view.process, &view.caller, Here::Bans, "Bans", &body)
}

fn row(view: &View, ban: &Ban) -> Markup {
    html! {
        tr id=(ban.id) {
            th scope="row" { code { (ban.target.name()) } div.sub { (words::capital(ban.target.kind())) } }
            td data-label="State" { (parts::ban_chip(api::bans::state(ban, view.now))) }
            td data-label="For" {
                @match &ban.use_case {
                    Some(name) => {
                        a href={ "/console/use-cases/" (name) } { (view.title_of(name.as_str())) }
                    },
                    None => "Everybody",
                }
                @if !ban.exceptions.is_empty() {
                    div.sub { "except "
                        @for (index, name) in ban.exceptions.iter().enumerate() {
                            @if index > 0 { ", " }
                            (view.title_of(name.as_str()))
                        }
                    }
                }
            }
            td.wide data-label="Reason" { (ban.reason) div.sub { "Ask " (ban.owner) } }
            td.nowrap data-label="From" { (view.time(ban.starts_at)) }
            td.nowrap data-label="Until" {
                @match ban.lifted_at { Some(at) => { "lifted " (view.time(at)) }, None => (view.time(ban.ends_at)) }
            }
        }
    }
}
