//! The search over requests.

use axum::{Extension, extract::State};
use jiff::civil::Date;
use maud::{Markup, html};
use pintle_core::{RequestId, Timestamp};
use pintle_ledger::{RequestFilter, RequestRow};
use serde::Deserialize;

use super::{
    layout::{self, Here},
    parts,
    view::View,
    words,
};
use crate::{
    app::{App, Caller},
    forms,
    problem::Problem,
};

const ROWS: usize = 50;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Search {
    #[serde(default)]
    text: String,
    #[serde(default)]
    use_case: String,
    #[serde(default)]
    outcome: String,
    #[serde(default)]
    day: String,
    #[serde(default)]
    price: String,
    #[serde(default)]
    before: Option<RequestId>,
}

impl Search {
    fn is_narrow(&self) -> bool {
        [&self.text, &self.use_case, &self.outcome, &self.day, &self.price].iter().any(|it| !it.is_empty())
    }

    /// This search from an older request on.
    fn older(&self, before: RequestId) -> String {
        let fields = [
            ("text", &self.text),
            ("use_case", &self.use_case),
            ("outcome", &self.outcome),
            ("day", &self.day),
            ("price", &self.price),
        ];
        let mut path = String::from("/console/requests?");
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            path.push_str(&format!("{name}={}&", escape(value)));
        }
        path.push_str(&format!("before={before}"));
        path
    }
}

/// Percent-encodes what is not unreserved in a query.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

struct Found {
    rows: Vec<RequestRow>,
    next: Option<RequestId>,
}

/// The first instant of the day and of the one after it.
fn bounds(view: &View, day: &str) -> Result<Option<(Timestamp, Timestamp)>, Problem> {
    if day.is_empty() {
        return Ok(None);
    }
    let bad = || Problem::field("day", "write the day as 2026-11-24");
    let date: Date = day.parse().map_err(|_| bad())?;
    let start = |date: Date| date.to_zoned_datetime(view.zone().clone()).map(|it| it.timestamp());
    let from = start(date).map_err(|_| bad())?;
    let to = date.tomorrow().and_then(start).map_err(|_| bad())?;
    Ok(Some((from, to)))
}

async fn find(view: &View, search: &Search) -> Result<Found, Problem> {
    let day = bounds(view, &search.day)?;
    let mut before = search.before;
    if let Some((_, to)) = day {
        let end = RequestId::lower_bound(to);
        before = Some(before.map_or(end, |before| before.min(end)));
    }
    let is_unpriced = match search.price.as_str() {
        "" => false,
        "unpriced" => true,
        _ => return Err(Problem::field("price", "use `unpriced`, or leave it out")),
    };
    let use_case = Some(&search.use_case).filter(|name| !name.is_empty());
    let filter = RequestFilter {
        use_case: use_case.map(|name| view.app.use_case(name)).transpose()?.map(|it| it.name().clone()),
        outcome: forms::outcome(&search.outcome)?.map(|it| it.as_str().to_owned()),
        text: Some(search.text.clone()),
        before,
        from: day.map(|(from, _)| RequestId::lower_bound(from)),
        unpriced: is_unpriced.then_some(true),
        limit: u32::try_from(ROWS + 1).unwrap_or(u32::MAX),
    };
    let mut rows = view.app.parts.ledger.requests(&filter).await?;
    let has_more = rows.len() > ROWS;
    rows.truncate(ROWS);
    let next = if has_more { rows.last().map(|row| row.id) } else { None };
    Ok(Found { rows, next })
}

/// `GET /console/requests?text=&use_case=&outcome=&day=&price=&before=`.
pub(crate) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    forms::Query(search): forms::Query<Search>,
) -> Result<Markup, Problem> {
    let view = View::new(app, caller);
    view.app.settle_reads().await;
    let found = find(&view, &search).await?;
    let body = html! {
        header.page-head {
            div {
                h1 { "Requests" }
                p.muted { "Whose each was, what was found in it, where it went and what it cost. Never its content." }
            }
        }
        (form(&view, &search))
        @if found.rows.is_empty() {
            (empty(&search))
        } @else {
            div.card.flush { (parts::request_table(&view, &found.rows, "Requests, newest first", true)) }
            @if let Some(next) = found.next {
                nav.pager aria-label="Pages" {
                    @if search.before.is_some() { a href="/console/requests" { "Newest" } }
                    a.button href=(search.older(next)) rel="next" { "Older requests" }
                }
            } @else if search.before.is_some() {
                nav.pager aria-label="Pages" { a href="/console/requests" { "Newest" } }
            }
        }
    };
    Ok(layout::page(&view.app, &view.process, &view.caller, Here::Requests, "Requests", &body))
}

fn form(view: &View, search: &Search) -> Markup {
    html! {
        form.search method="get" action="/console/requests" role="search" {
            div.field.grow {
                label for="text" { "Search" }
                input id="text" name="text" type="search" value=(search.text) placeholder="Reference, model, code or class" maxlength="128"
                    autocomplete="off" spellcheck="false";
            }
            div.field {
                label for="use_case" { "Use case" }
                select id="use_case" name="use_case" {
                    option value="" { "All" }
                    @for it in view.snapshot.use_cases() {
                        option value=(it.name()) selected[search.use_case == it.name().as_str()] { (it.draft.title) }
                    }
                }
            }
            div.field {
                label for="outcome" { "Outcome" }
                select id="outcome" name="outcome" {
                    option value="" { "All" }
                    @for outcome in forms::OUTCOMES {
                        option value=(outcome.as_str()) selected[search.outcome == outcome.as_str()] {
                            (words::outcome(outcome))
                        }
                    }
                }
            }
            div.field {
                label for="day" { "Day" }
                input id="day" name="day" type="date" value=(search.day);
            }
            @if !search.price.is_empty() { input type="hidden" name="price" value=(search.price); }
            div.field.actions {
                button.primary type="submit" { "Search" }
                @if search.is_narrow() { a.button.quiet href="/console/requests" { "Clear" } }
            }
        }
        @if search.price == "unpriced" {
            p.note { "Only requests that were sent and whose price is not known." }
        }
    }
}

fn empty(search: &Search) -> Markup {
    html! {
        div.empty {
            @if search.is_narrow() || search.before.is_some() {
                p { "No request matches." }
                p.muted { "A reference is the last eight digits of a request's id; answers carry the whole id in the \
                           header " code { "x-pintle-request-id" } "." }
            } @else {
                p { "No request yet." }
                p.muted { "Send one with a key, or " a href="/console/try" { "try it here" } "." }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_keeps_the_search() {
        let search = Search { text: "a b&c".into(), outcome: "refused".into(), ..Search::default() };
        let id: RequestId = "req_00000000000070008000000000000001".parse().unwrap();
        assert_eq!(
            search.older(id),
            "/console/requests?text=a%20b%26c&outcome=refused&before=req_00000000000070008000000000000001"
        );
    }
}
