//! Try it: a small chat through the gateway, as one of the use cases. The page's script streams the
//! answer; without it, a form brings the same answer in one piece.

use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use maud::{Markup, html};
use pintle_core::{Origin, Stage};
use pintle_ledger::RequestRecord;
use pintle_registry::UseCase;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    icons,
    layout::{self, Here},
    parts, request,
    view::{self, View},
    words,
};
use crate::{
    app::{App, Caller},
    forms,
    problem::Problem,
};

/// More of an answer is not shown here; it is a page to try things on.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
const TURNS_MAX: usize = 40;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-pintle-request-id");

/// A text to begin with. The values are examples: a bank's published sample number, and no real key.
struct Sample {
    name: &'static str,
    label: &'static str,
    text: &'static str,
}

/// The same with a question that the sample organisation's own model can answer.
const DEMO_IBAN: &str = "A customer with IBAN DE89 3704 0044 0532 0130 00 asks what Pallet Storage costs.";

impl Sample {
    fn text(&self, view: &View) -> &'static str {
        if self.name == "iban" && view.process.organisation.is_demo { DEMO_IBAN } else { self.text }
    }
}

const SAMPLES: [Sample; 3] = [
    Sample {
        name: "plain",
        label: "Harmless",
        text: "Write two friendly sentences to a customer whose parcel arrives a day late.",
    },
    Sample {
        name: "iban",
        label: "With a customer's IBAN",
        text: "Draft a reply: the refund goes to the customer's account DE89 3704 0044 0532 0130 00.",
    },
    Sample {
        name: "key",
        label: "With a private key",
        text: concat!(
            "Why does our server refuse this key?\n-----BEGIN PRIV",
            "ATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END PRIV",
            "ATE KEY-----"
        ),
    },
];

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    #[serde(default)]
    use_case: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    sample: String,
}

/// `GET /console/try?use_case=&model=&sample=`.
pub(crate) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    forms::Query(choice): forms::Query<Choice>,
) -> Markup {
    let view = View::new(app, caller);
    let sample = SAMPLES.iter().find(|it| it.name == choice.sample);
    let form = Message {
        use_case: choice.use_case,
        model: choice.model,
        message: sample.map(|it| it.text(&view).to_owned()).unwrap_or_default(),
    };
    page(&view, &form, None)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Message {
    #[serde(default)]
    use_case: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    message: String,
}

/// `POST /console/try`: the way without script.
pub(crate) async fn answer(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    forms::Form(form): forms::Form<Message>,
) -> Result<Markup, Problem> {
    let turns = [Turn { role: Role::User, content: form.message.clone() }];
    let body = chat(&form.model, &turns, false)?;
    let use_case = app.use_case(&form.use_case)?;
    let response = app.parts.process.try_it(&caller.name, use_case.name(), body).await;
    let (status, id) = (response.status(), id_of(&response));
    let json = read(response).await?;
    let view = View::new(app, caller);
    let result = if status.is_success() {
        let text = json.pointer("/choices/0/message/content").and_then(Value::as_str).unwrap_or_default();
        let facts = match id {
            Some(id) => Some(facts_card(&view, &request::load(&view.app, &id).await?)),
            None => None,
        };
        html! {
            div.turn.user { h3 { "You" } p { (form.message) } }
            div.turn.model { h3 { "Answer" } p { (text) } }
            @if let Some(facts) = facts { (facts) }
        }
    } else {
        html! { div.turn.user { h3 { "You" } p { (form.message) } } (refusal(&json)) }
    };
    Ok(page(&view, &form, Some(&result)))
}

#[derive(Deserialize, Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Role {
    User,
    Assistant,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    role: Role,
    content: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Send {
    use_case: String,
    #[serde(default)]
    model: String,
    messages: Vec<Turn>,
}

/// The body that an SDK would send.
fn chat(model: &str, turns: &[Turn], stream: bool) -> Result<Bytes, Problem> {
    if turns.len() > TURNS_MAX {
        return Err(Problem::field("messages", "this conversation is long enough; begin a new one"));
    }
    if turns.last().is_none_or(|turn| turn.role != Role::User || turn.content.trim().is_empty()) {
        return Err(Problem::field("message", "write something to send"));
    }
    let model = if model.is_empty() { "auto" } else { model };
    let mut body = json!({ "model": model, "messages": turns, "stream": stream });
    if stream && let Some(body) = body.as_object_mut() {
        body.insert("stream_options".to_owned(), json!({ "include_usage": true }));
    }
    Ok(Bytes::from(body.to_string()))
}

/// `POST /console/try/send`: a stream of events when it was let through, else a card that says why not.
pub(crate) async fn send(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    forms::Json(send): forms::Json<Send>,
) -> Result<Response, Problem> {
    let body = chat(&send.model, &send.messages, true)?;
    let use_case = app.use_case(&send.use_case)?;
    let response = app.parts.process.try_it(&caller.name, use_case.name(), body).await;
    let is_stream = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if response.status().is_success() && is_stream {
        return Ok(passed_on(response));
    }
    let status = response.status();
    let json = read(response).await?;
    // A success that is no stream would be a fault of ours; the script must not take it for an answer.
    let status = if status.is_success() { StatusCode::BAD_GATEWAY } else { status };
    Ok((status, refusal(&json)).into_response())
}

/// The stream as it is, with the headers that the page's script reads and no others.
fn passed_on(response: Response) -> Response {
    let (head, body) = response.into_parts();
    let mut passed = Response::new(body);
    let headers = passed.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    for (name, value) in head.headers.iter().filter(|(name, _)| name.as_str().starts_with("x-pintle-")) {
        headers.insert(name, value.clone());
    }
    passed
}

fn id_of(response: &Response) -> Option<String> {
    response.headers().get(REQUEST_ID)?.to_str().ok().map(str::to_owned)
}

async fn read(response: http::Response<Body>) -> Result<Value, Problem> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let bytes = body.map_err(|error| Problem::internal(&*error))?.to_bytes();
    serde_json::from_slice(&bytes).map_err(|error| Problem::internal(&error))
}

/// `GET /console/try/facts/{id}`: what became of a request, as a card. A stream's last byte may be read
/// before its record is written; then there is nothing yet (204), and the script asks again.
pub(crate) async fn facts(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    match request::find(&app, &id).await? {
        Some(record) => Ok(facts_card(&View::new(app, caller), &record).into_response()),
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

fn facts_card(view: &View, record: &RequestRecord) -> Markup {
    let found = |origin| {
        let list: Vec<_> =
            record.findings.iter().filter(|it| it.origin == origin).map(|it| &*it.kind).collect();
        tally(&list)
    };
    html! {
        div.turn.facts-card {
            h3 { "What happened" }
            dl.facts.compact {
                div { dt { "Class" } dd {
                    @match record.class { Some(class) => (parts::class_chip(class)), None => "not known" }
                } }
                div { dt { "Found" } dd { (found(Origin::Request)) } }
                div { dt { "Before it left" } dd {
                    @match record.applied { Some(it) => (words::capital(words::applied(it))), None => "Sent as it is" }
                } }
                div { dt { "Went to" } dd {
                    (request::destination(record))
                    @if request::is_simulated(view, record) { (parts::simulated_chip()) }
                } }
                div { dt { "In the answer" } dd {
                    (found(Origin::Answer))
                    @if record.answer_masked > 0 { ", " (record.answer_masked) " masked" }
                } }
                div { dt { "Cost" } dd { (request::cost(view, record)) } }
                div { dt { "Took" } dd { (view::duration(record.duration_us)) } }
            }
            p { a href={ "/console/requests/" (record.id) } { "Its whole life, phase by phase" } }
        }
    }
}

/// `2 × IBAN, e-mail address`, or that nothing was found.
fn tally(kinds: &[&str]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for kind in kinds {
        match counts.iter_mut().find(|(known, _)| known == kind) {
            Some((_, count)) => *count += 1,
            None => counts.push((kind, 1)),
        }
    }
    let words = |(kind, count): &(&str, usize)| match count {
        1 => words::kind(kind),
        count => format!("{count} × {}", words::kind(kind)),
    };
    if counts.is_empty() {
        "Nothing sensitive".to_owned()
    } else {
        counts.iter().map(words).collect::<Vec<_>>().join(", ")
    }
}

/// A refusal as the gateway words it: what was found, which rule, what to do now.
fn refusal(json: &Value) -> Markup {
    let error = json.get("error").unwrap_or(&Value::Null);
    let text = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
    let list = |field: &str| error.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let (findings, rules, ways) = (list("findings"), list("rules"), list("ways_forward"));
    let message = text(error, "message").unwrap_or_else(|| "The request was not answered.".to_owned());
    html! {
        div.turn.card.stop role="alert" {
            h3 { (icons::stop()) " " (text(error, "code").map_or("Not sent".to_owned(), |code| words::code(&code))) }
            @if rules.is_empty() { p { (view::code_in(&message)) } }
            @if !findings.is_empty() {
                p { "Found: "
                    @for (index, it) in findings.iter().enumerate() {
                        @if index > 0 { ", " }
                        @if let Some(count) = it.get("count").and_then(Value::as_u64).filter(|n| *n > 1) { (count) " × " }
                        (words::kind(&text(it, "type").unwrap_or_default()))
                        @if let Some(place) = text(it, "place") { " in " code { (place) } }
                    }
                    @if let Some(class) = text(error, "class").and_then(|class| class.parse().ok()) {
                        " " (parts::class_chip(class))
                    }
                }
            }
            @for rule in &rules {
                p {
                    strong { (text(rule, "title").or_else(|| text(rule, "rule")).unwrap_or_default()) ". " }
                    (text(rule, "guidance").unwrap_or_default())
                    @if let Some(owner) = text(rule, "owner") { span.muted { " Ask " (owner) "." } }
                }
            }
            @if !ways.is_empty() {
                p { strong { "You can:" } }
                ul.ways { @for way in &ways {
                    li { (view::sentence(&text(way, "description").unwrap_or_default())) }
                } }
            }
            @if let Some(id) = text(error, "request_id") {
                p { a href={ "/console/requests/" (id) } { "Reference " (text(error, "reference").unwrap_or(id)) } }
            }
        }
    }
}

fn page(view: &View, form: &Message, result: Option<&Markup>) -> Markup {
    let mut use_cases: Vec<_> = view.snapshot.use_cases().filter(|it| it.stage != Stage::Retired).collect();
    // Those that are in use come first: the page begins with something that works.
    use_cases.sort_by_key(|it| match it.stage {
        Stage::Production => 0,
        Stage::Approved | Stage::Review => 1,
        Stage::Pilot => 2,
        Stage::Idea | Stage::Retired => 3,
    });
    let body = html! {
        header.page-head {
            div {
                h1 { "Try it" }
                p.muted { "A conversation through the gateway, with the same guards, rules and budgets as any other \
                           request." }
            }
        }
        @if use_cases.is_empty() {
            p.empty { "There is no use case to try it as. " a href="/console/use-cases" { "Write one down first" } "." }
        } @else {
            div.columns.chat {
                (chat_form(view, form, &use_cases))
                section.card.conversation aria-labelledby="conversation" {
                    h2 id="conversation" { "Conversation" }
                    div id="log" role="log" aria-live="polite" tabindex="0" aria-labelledby="conversation" {
                        @match result {
                            Some(result) => (result),
                            None => { p.muted id="hint" { "Answers appear here, each with what was found, where it went and \
                                what it cost." } },
                        }
                    }
                }
            }
        }
    };
    layout::page(&view.app, &view.process, &view.caller, Here::Try, "Try it", &body)
}

fn chat_form(view: &View, form: &Message, use_cases: &[&std::sync::Arc<UseCase>]) -> Markup {
    html! {
        form.card id="try" method="post" action="/console/try" {
            h2 { "Your message" }
            div.field {
                label for="use_case" { "As the use case" }
                select id="use_case" name="use_case" {
                    @for it in use_cases {
                        option value=(it.name()) selected[form.use_case == it.name().as_str()] {
                            (it.draft.title) " · " (words::stage(it.stage).to_lowercase())
                        }
                    }
                }
            }
            div.field {
                label for="model" { "Model" }
                select id="model" name="model" {
                    option value="auto" { "auto: let Pintle place it" }
                    @for it in &view.process.placements {
                        option value=(it.placement.name) selected[form.model == it.placement.name.as_str()] {
                            (it.placement.name) " (" (words::zone(it.placement.zone).to_lowercase()) ")"
                        }
                    }
                }
            }
            div.field {
                label for="message" { "Message" }
                textarea id="message" name="message" rows="6" required maxlength="20000" { (form.message) }
            }
            p.samples {
                span.muted { "Examples: " }
                @for sample in &SAMPLES {
                    a href={ "/console/try?sample=" (sample.name) "&use_case=" (form.use_case) } data-sample=(sample.text(view)) {
                        (sample.label)
                    }
                }
            }
            div.actions {
                button.primary type="submit" { "Send" }
                button.quiet id="stop" type="button" hidden { "Stop" }
                button.quiet id="anew" type="button" hidden { "New conversation" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_tallied_in_order() {
        assert_eq!(tally(&["iban", "email", "iban"]), "2 × IBAN, e-mail address");
        assert_eq!(tally(&[]), "Nothing sensitive");
    }

    #[test]
    fn a_conversation_ends_with_the_person() {
        assert!(chat("auto", &[], true).is_err());
        assert!(chat("auto", &[Turn { role: Role::Assistant, content: "x".into() }], true).is_err());
        assert!(chat("", &[Turn { role: Role::User, content: " ".into() }], true).is_err());
        let body = chat("", &[Turn { role: Role::User, content: "x".into() }], false).unwrap();
        assert_eq!(
            &body[..],
            br#"{"model":"auto","messages":[{"role":"user","content":"x"}],"stream":false}"#
        );
    }
}
