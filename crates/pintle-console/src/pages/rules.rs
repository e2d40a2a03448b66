//! The rules in force, as the people whom they stop read them.

use axum::{Extension, extract::State};
use maud::{Markup, html};

use super::{
    icons,
    layout::{self, Here},
    view::View,
};
use crate::{
    RuleView,
    app::{App, Caller},
};

/// `GET /console/rules`.
pub(crate) async fn show(State(app): State<App>, Extension(caller): Extension<Caller>) -> Markup {
    let view = View::new(app, caller);
    let (refusing, permitting): (Vec<&RuleView>, Vec<&RuleView>) =
        view.process.rules.iter().partition(|rule| rule.effect == "forbid");
    let body = html! {
        header.page-head {
            div {
                h1 { "Rules" }
                p.muted { "What the policy files say, in version " code { (view.process.policy_version) } ". A rule that \
                           refuses wins over one that permits." }
            }
        }
        (list("refusing", "Rules that refuse", &refusing))
        (list("permitting", "Rules that permit", &permitting))
    };
    layout::page(&view.app, &view.process, &view.caller, Here::Rules, "Rules", &body)
}

fn list(id: &str, title: &str, rules: &[&RuleView]) -> Markup {
    html! {
        section.card aria-labelledby=(id) {
            h2 id=(id) { (title) }
            @if rules.is_empty() { p.muted { "There is none." } }
            ul.rules {
                @for rule in rules {
                    li id={ "rule-" (rule.id) } {
                        h3 {
                            @if rule.effect == "forbid" { (icons::stop()) } @else { (icons::ok()) }
                            " " (rule.title.as_deref().unwrap_or(&rule.id))
                        }
                        @if let Some(guidance) = &rule.guidance { p { (guidance) } }
                        p.muted {
                            code { (rule.id) } " · " (rule.source)
                            @if let Some(owner) = &rule.owner { " · ask " (owner) }
                        }
                    }
                }
            }
        }
    }
}
