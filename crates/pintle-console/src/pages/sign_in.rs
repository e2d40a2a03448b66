//! The way in: a one-time link, opened by a button so that nothing which merely looks at links can use
//! it up. The way out is here too.

use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, HeaderValue, header};
use maud::{Markup, html};
use pintle_registry::{SESSION_HOURS, SETUP_LINK_MINUTES};
use serde::Deserialize;

use super::layout;
use crate::{app::App, forms, gate, problem::Problem};

/// `GET /console/sign-in`.
pub(crate) async fn show(State(app): State<App>) -> Markup {
    let body = html! {
        h1 { "Sign in" }
        p.lead { "The console opens with a one-time link." }
        ol.steps {
            li { "Take the link from the server. Pintle prints it when it starts; where it has no terminal, the link \
                  is in the file " code { "setup-link" } " in the data folder." }
            li { "Open it within " (SETUP_LINK_MINUTES) " minutes." }
        }
        p { "Too late? On the server, " code { "pintle setup-link" } " makes a new one." }
        p.muted { "There is no password to guess or to leak. A session lasts " (SESSION_HOURS) " hours." }
    };
    layout::outside(&app, "Sign in", &body)
}

#[derive(Deserialize)]
pub(crate) struct Link {
    #[serde(default)]
    token: String,
}

/// `GET /console/set-up?token=…`: says what the button does; the link is not followed yet.
pub(crate) async fn set_up(State(app): State<App>, forms::Query(link): forms::Query<Link>) -> Markup {
    let organisation = app.parts.process.view().organisation.name;
    let body = html! {
        h1 { "Open the console" }
        p.lead { "You are about to sign in as administrator of " strong { (organisation) } "." }
        form method="post" action="/console/set-up" {
            input type="hidden" name="token" value=(link.token);
            button.primary type="submit" { "Sign in" }
        }
        p.muted { "The link works once. This browser then stays signed in for " (SESSION_HOURS) " hours." }
    };
    layout::outside(&app, "Open the console", &body)
}

/// `POST /console/set-up`: follows the link, once.
pub(crate) async fn follow(
    State(app): State<App>,
    forms::Form(link): forms::Form<Link>,
) -> Result<Response, Problem> {
    let session = app.parts.sessions.follow_setup_link(&link.token).await?;
    let session = session.ok_or_else(Problem::bad_link)?;
    let seconds = SESSION_HOURS.saturating_mul(3_600);
    let cookie =
        format!("{}={}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax", gate::COOKIE, *session);
    Ok(with_cookie(&cookie, "/console"))
}

/// `POST /console/sign-out`.
pub(crate) async fn sign_out(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    if let Some(token) = gate::cookie(&headers) {
        app.parts.sessions.end(token).await?;
    }
    let cookie = format!("{}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax", gate::COOKIE);
    Ok(with_cookie(&cookie, gate::SIGN_IN))
}

fn with_cookie(cookie: &str, to: &str) -> Response {
    let mut response = Redirect::to(to).into_response();
    if let Ok(mut value) = HeaderValue::from_str(cookie) {
        value.set_sensitive(true);
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}
