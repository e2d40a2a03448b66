//! What every call passes on its way in and out: who calls, whether another site made the browser do it,
//! and the headers that keep a page to itself. A path that the table does not know is not there, whoever
//! asks: that says nothing which the table, being public, does not say.

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use subtle::ConstantTimeEq;
use tracing::Instrument;

use crate::{
    Access,
    app::{App, CallId, Caller},
    pages,
    problem::Problem,
    routes,
};

/// The session's cookie. The prefix makes browsers insist on Secure, Path=/ and no Domain.
pub(crate) const COOKIE: &str = "__Host-pintle";
pub(crate) const SIGN_IN: &str = "/console/sign-in";

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Admits a call or answers it, and finishes each answer.
pub(crate) async fn gate(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>();
    let is_known = matched.is_some();
    let access = match matched {
        Some(path) => routes::access(request.method(), path.as_str()),
        None => form_of_unknown(&request),
    };
    let id = match CallId::new(app.parts.clock.now()) {
        Ok(id) => id,
        Err(error) => return finish(&app, None, access, "none", Problem::internal(&error).into_response()),
    };
    let id = id.to_string();
    // Read before anything waits: a request cannot be lent to another thread.
    let claim = if is_known { claim(&app, &request, access) } else { Ok(browser(&request)) };
    let missing = (!is_known).then(|| Problem::no_page(request.uri().path()));
    // What goes wrong inside is logged under the id that the answer names.
    let span = tracing::info_span!("call", id);
    let answered = async {
        if let Some(problem) = missing {
            // Who asks only decides whether the page has its frame, so a failure here is none.
            let caller = admit(&app, claim, access).await.ok().flatten();
            return (caller, problem.into_response());
        }
        match admit(&app, claim, access).await {
            Ok(Some(caller)) => {
                request.extensions_mut().insert(caller.clone());
                (Some(caller), next.run(request).await)
            }
            Ok(None) => (None, next.run(request).await),
            Err(response) => (None, response),
        }
    };
    let (caller, response) = answered.instrument(span).await;
    finish(&app, caller.as_ref(), access, &id, response)
}

/// What the head of a call says about who makes it.
enum Claim {
    /// Nobody asks.
    Anybody,
    /// Whoever may read the token's file.
    Token,
    /// A browser, with its session's secret if it sent one.
    Browser(Option<String>),
}

/// How a call to a path that is not there is answered: as a page to people, else as a problem.
fn form_of_unknown(request: &Request) -> Access {
    let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let is_page = request.uri().path().starts_with("/console")
        || accepts.is_some_and(|kinds| kinds.contains("text/html"));
    if is_page { Access::Page } else { Access::Api }
}

fn browser(request: &Request) -> Claim {
    Claim::Browser(cookie(request.headers()).map(str::to_owned))
}

/// Reads the head of a call, or answers what must not go further.
fn claim(app: &App, request: &Request, access: Access) -> Result<Claim, Problem> {
    if access == Access::Api
        && let Some(presented) = request.headers().get(header::AUTHORIZATION)
    {
        // A wrong token is refused, also where a good session came with it: it was meant.
        return match bearer(presented) {
            Some(token) if is_token(app, token) => Ok(Claim::Token),
            _ => Err(Problem::unauthenticated("the token is not this server's")),
        };
    }
    if !request.method().is_safe() && !is_same_origin(request) {
        return Err(Problem::cross_origin());
    }
    match access {
        Access::Public => Ok(Claim::Anybody),
        _ => Ok(browser(request)),
    }
}

/// Who calls, if that matters, or the answer that turns the caller away.
async fn admit(app: &App, claim: Result<Claim, Problem>, access: Access) -> Result<Option<Caller>, Response> {
    let token = match claim.map_err(IntoResponse::into_response)? {
        Claim::Anybody => return Ok(None),
        Claim::Token => return Ok(Some(Caller { name: "cli".to_owned() })),
        Claim::Browser(token) => token,
    };
    if let Some(token) = token {
        let found = app.parts.sessions.find(&token).await;
        if let Some(signed_in) = found.map_err(|error| Problem::from(error).into_response())? {
            return Ok(Some(Caller { name: signed_in.person }));
        }
    }
    if access == Access::Page {
        return Err(Redirect::to(SIGN_IN).into_response());
    }
    Err(Problem::unauthenticated("neither a token nor a session came with this").into_response())
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn is_token(app: &App, presented: &str) -> bool {
    let expected = app.parts.admin_token.expose();
    !expected.is_empty() && bool::from(presented.as_bytes().ct_eq(expected.as_bytes()))
}

/// The session's secret, if the browser sent one.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|line| line.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE && !value.is_empty()).then_some(value)
    })
}

/// Whether the console's own page made the browser send this. Browsers say so in `Sec-Fetch-Site`; older
/// ones at least name the page's origin. Neither header is for scripts to set.
fn is_same_origin(request: &Request) -> bool {
    let header = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = header(HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin" || site == "none";
    }
    let host = request.uri().authority().map(http::uri::Authority::as_str).or_else(|| header(header::HOST));
    let origin = header(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    origin.is_some() && origin == host
}

/// Renders what went wrong for whoever asked, and adds the headers that every answer carries.
fn finish(app: &App, caller: Option<&Caller>, access: Access, id: &str, mut response: Response) -> Response {
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response.extensions_mut().insert(Problem::method_not_allowed());
    }
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        tracing::debug!(
            call = id,
            status = problem.status.as_u16(),
            slug = problem.slug,
            "a call was refused"
        );
        response = match access {
            Access::Api => json_problem(&problem, id),
            Access::Fragment => (problem.status, pages::problem::fragment(&problem)).into_response(),
            Access::Page | Access::Public => {
                (problem.status, pages::problem::page(app, caller, &problem, id)).into_response()
            }
        };
    }
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    response
}

fn json_problem(problem: &Problem, id: &str) -> Response {
    let body = serde_json::to_string(&problem.wire(id)).unwrap_or_default();
    let kind = HeaderValue::from_static("application/problem+json");
    let mut response = (problem.status, [(header::CONTENT_TYPE, kind)], body).into_response();
    if problem.status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The table's word for a method; `HEAD` is answered wherever `GET` is.
pub(crate) fn method_word(method: &Method) -> &str {
    if *method == Method::HEAD { "GET" } else { method.as_str() }
}
