//! One use case's sheet: whose it is, what it may do, what it costs, what happened.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State},
};
use maud::{Markup, html};
use pintle_core::Stage;
use pintle_ledger::{BudgetState, DaySum, RequestFilter, RequestRow, Scope};
use pintle_registry::{AdminAct, ApiKey, Ban, Owner, UseCase};

use super::{
    chart, icons,
    layout::{self, Here},
    parts,
    view::View,
    words,
};
use crate::{
    api::budgets,
    app::{App, Caller},
    problem::Problem,
};

const KEYS_SHOWN: usize = 20;
const REQUESTS_SHOWN: u32 = 10;
const ACTS_SHOWN: u32 = 20;

struct Data {
    use_case: Arc<UseCase>,
    budget: Option<BudgetState>,
    days: Vec<DaySum>,
    keys: Vec<Arc<ApiKey>>,
    keys_total: usize,
    requests: Vec<RequestRow>,
    bans: Vec<Arc<Ban>>,
    acts: Vec<AdminAct>,
}

async fn load(view: &View, name: &str) -> Result<Data, Problem> {
    let app = &view.app;
    let use_case = app.use_case(name)?;
    app.settle_reads().await;
    let (ledger, name) = (&app.parts.ledger, use_case.name().clone());
    let scope = Scope::UseCase(name.clone());
    let budget = budgets::states(app)?.into_iter().find(|state| state.scope == scope);
    let first_day = budget.as_ref().map(|state| ledger.day_of(state.period.start)).unwrap_or_default();
    let mut keys = view.snapshot.keys();
    keys.retain(|key| key.use_case == name);
    let keys_total = keys.len();
    keys.truncate(KEYS_SHOWN);
    let filter =
        RequestFilter { use_case: Some(name.clone()), limit: REQUESTS_SHOWN, ..RequestFilter::default() };
    let touches = |ban: &&Arc<Ban>| {
        ban.is_active(view.now)
            && ban.use_case.as_ref().is_none_or(|only| *only == name)
            && !ban.exceptions.contains(&name)
    };
    Ok(Data {
        days: ledger.days(&first_day, Some(&name)).await?,
        requests: ledger.requests(&filter).await?,
        bans: view.snapshot.bans().iter().filter(touches).cloned().collect(),
        acts: acts(app, &use_case, &keys).await?,
        use_case,
        budget,
        keys,
        keys_total,
    })
}

/// What was done to the use case, its budget and its keys, newest first.
async fn acts(app: &App, use_case: &UseCase, keys: &[Arc<ApiKey>]) -> Result<Vec<AdminAct>, Problem> {
    let name = use_case.name();
    let mut targets = vec![name.to_string(), Scope::UseCase(name.clone()).to_string()];
    targets.extend(keys.iter().map(|key| key.id.to_string()));
    let mut acts = Vec::new();
    for target in &targets {
        acts.extend(app.parts.registry.acts(Some(target), ACTS_SHOWN).await?);
    }
    acts.sort_by_key(|act| std::cmp::Reverse(act.seq));
    acts.truncate(usize::try_from(ACTS_SHOWN).unwrap_or(usize::MAX));
    Ok(acts)
}

/// `GET /console/use-cases/{name}`.
pub(crate) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Markup, Problem> {
    let view = View::new(app, caller);
    let data = load(&view, &name).await?;
    let draft = &data.use_case.draft;
    let body = html! {
        header.page-head {
            div {
                p.crumb { a href="/console/use-cases" { "Use cases" } }
                h1 { (draft.title) }
                p.chips {
                    (parts::stage_chip(data.use_case.stage)) (parts::class_chip(draft.data_class))
                    @if data.use_case.is_demo { span.chip.plain { (icons::info()) "Demo data" } }
                    code { (data.use_case.name()) }
                }
            }
            @if data.use_case.stage != Stage::Retired {
                a.button href={ "/console/try?use_case=" (data.use_case.name()) } { "Try it as this use case" }
            }
        }
        (bans(&view, &data.bans))
        @if !draft.purpose.is_empty() { p.lead { (draft.purpose) } }
        div.columns.wide-left {
            (money(&view, &data))
            (people(&data.use_case))
        }
        (terms(&data.use_case))
        (keys(&view, &data))
        (requests(&view, &data))
        (history(&view, &data.acts))
    };
    Ok(layout::page(&view.app, &view.process, &view.caller, Here::UseCases, &draft.title, &body))
}

fn bans(view: &View, bans: &[Arc<Ban>]) -> Markup {
    html! {
        @for ban in bans {
            div.banner.warn role="note" { (icons::warn()) div {
                strong { "Banned until " (view.time(ban.ends_at)) ": " code { (ban.target) } ". " }
                (ban.reason) " Ask " (ban.owner) ". " a href="/console/bans" { "All bans" }
            } }
        }
    }
}

fn money(view: &View, data: &Data) -> Markup {
    let Some(state) = &data.budget else { return html! {} };
    let name = data.use_case.name();
    html! {
        section.card aria-labelledby="budget" {
            h2 id="budget" { "Budget in " (view.month(state.period.start)) }
            (parts::budget_summary(view, state))
            @if state.limit.is_none() {
                p.muted { "Set a hard monthly limit with " code { "pintle budget set use_case:" (name) " 400" } "." }
            }
            (chart::spend_by_day(view, "spend-chart", state.period, &data.days))
        }
    }
}

fn person(role: &str, owner: &Owner) -> Markup {
    html! {
        div.person {
            dt { (role) }
            dd { strong { (owner.name) } br; a href={ "mailto:" (owner.email) } { (owner.email) } }
        }
    }
}

fn people(use_case: &UseCase) -> Markup {
    let draft = &use_case.draft;
    html! {
        section.card aria-labelledby="people" {
            h2 id="people" { "Whose it is" }
            dl.people {
                (person("Business owner", &draft.business_owner))
                (person("IT owner", &draft.it_owner))
                @if let Some(deputy) = &draft.deputy { (person("Deputy", deputy)) }
                div.person { dt { "Cost centre" } dd { (draft.cost_centre) } }
            }
        }
    }
}

fn terms(use_case: &UseCase) -> Markup {
    let draft = &use_case.draft;
    let optional = |text: &Option<String>| {
        html! {
            @match text { Some(text) => (text), None => { span.muted { "Not written down" } } }
        }
    };
    html! {
        section.card aria-labelledby="terms" {
            h2 id="terms" { "What was agreed" }
            dl.facts {
                div { dt { "Stage" } dd { (words::stage(use_case.stage)) ". " (words::stage_means(use_case.stage)) } }
                div { dt { "Data class" } dd { "Up to " (words::class(draft.data_class).to_lowercase()) } }
                div { dt { "Risk" } dd { (words::risk(draft.risk_tier)) } }
                div { dt { "What may be done to content" } dd {
                    @if draft.transformations.is_empty() { "Nothing: content goes as it is, or not at all" }
                    @for it in &draft.transformations { div { (words::transformation(*it)) } }
                } }
                div { dt { "Choice of placement" } dd { (words::objective(draft.objective)) } }
                div { dt { "Value expected" } dd { (optional(&draft.value_hypothesis)) } }
                div { dt { "Baseline" } dd { (optional(&draft.baseline)) } }
                div { dt { "Kill criterion" } dd { (optional(&draft.kill_criterion)) } }
                div { dt { "Next review" } dd {
                    @match &draft.review_on {
                        Some(day) => { time datetime=(day) { (long_day(day)) } },
                        None => { span.muted { "Not written down" } },
                    }
                } }
            }
        }
    }
}

fn long_day(day: &str) -> String {
    let date = day.parse::<jiff::civil::Date>();
    date.map_or_else(|_| day.to_owned(), |date| date.strftime("%-d %B %Y").to_string())
}

fn keys(view: &View, data: &Data) -> Markup {
    let name = data.use_case.name();
    html! {
        section.card aria-labelledby="keys" {
            h2 id="keys" { "Keys" }
            @if data.keys.is_empty() {
                p.muted { "It has no key yet. Make one with " code { "pintle key create --use-case " (name) } "; it is shown once." }
            } @else {
                div.table-wrap tabindex="0" role="region" aria-label="Table of keys" {
                    table.cards {
                        caption.sr { "Keys of this use case" }
                        thead { tr {
                            th scope="col" { "Key" } th scope="col" { "Label" } th scope="col" { "State" }
                            th scope="col" { "Created" } th scope="col" { "Ends" }
                        } }
                        tbody {
                            @for key in &data.keys {
                                tr {
                                    th scope="row" { code { (key.prefix) "…" } }
                                    td data-label="Label" { @if key.label.is_empty() { span.muted { "none" } } @else { (key.label) } }
                                    td data-label="State" { (parts::state_chip(key.state(view.now).as_str())) }
                                    td.nowrap data-label="Created" { (view.date(key.created_at)) }
                                    td.nowrap data-label="Ends" {
                                        @match (key.revoked_at, key.expires_at) {
                                            (Some(at), _) => { "revoked " (view.date(at)) },
                                            (None, Some(at)) => (view.date(at)),
                                            (None, None) => { span.muted { "when revoked" } },
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
                @if data.keys_total > data.keys.len() {
                    p.muted { "The newest " (data.keys.len()) " of " (data.keys_total) "; "
                        code { "pintle key list" } " shows all." }
                }
            }
        }
    }
}

fn requests(view: &View, data: &Data) -> Markup {
    let name = data.use_case.name();
    html! {
        section.card aria-labelledby="recent" {
            div.card-head {
                h2 id="recent" { "Latest requests" }
                @if !data.requests.is_empty() {
                    a href={ "/console/requests?use_case=" (name) } { "All requests" }
                }
            }
            @if data.requests.is_empty() {
                p.muted { "No request yet. Each one will stand here, with what was found in it, where it went and what \
                           it cost." }
            } @else {
                (parts::request_table(view, &data.requests, "Latest requests of this use case", false))
            }
        }
    }
}

/// What changed, where a word or two can say it.
fn change(act: &AdminAct) -> Option<String> {
    let part = |side: &str, field: &str| act.detail.get(side)?.get(field)?.as_str().map(str::to_owned);
    match act.action.as_str() {
        "use_case.stage" => Some(format!("{} → {}", part("before", "stage")?, part("after", "stage")?)),
        "key.create" | "key.rotate" | "key.revoke" => Some(format!("{}…", part("after", "prefix")?)),
        _ => None,
    }
}

fn budget_change(view: &View, act: &AdminAct) -> Option<String> {
    let side = |name: &str| {
        let nanos = act.detail.get(name)?.get("nanos")?.as_i64();
        nanos.map(|nanos| view.nanos(nanos))
    };
    let none = || "no limit".to_owned();
    (act.action == "budget.set")
        .then(|| format!("{} → {}", side("before").unwrap_or_else(none), side("after").unwrap_or_else(none)))
}

fn history(view: &View, acts: &[AdminAct]) -> Markup {
    html! {
        section.card aria-labelledby="history" {
            h2 id="history" { "History" }
            @if acts.is_empty() { p.muted { "Nothing was changed yet." } }
            ol.history {
                @for act in acts {
                    li {
                        span.when { (view.time(act.at)) }
                        span {
                            strong { (act.actor) } " " (words::act(&act.action))
                            @if let Some(change) = change(act).or_else(|| budget_change(view, act)) {
                                ": " span.mono { (change) }
                            }
                        }
                    }
                }
            }
        }
    }
}
