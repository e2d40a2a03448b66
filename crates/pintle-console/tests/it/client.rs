//! Calls a router as a browser or the command line would, without a socket.

use axum::{Router, body::Body};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tower_service::Service;

pub(crate) const TOKEN: &str = "admin_0123456789abcdef";

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }
}

/// Who calls.
#[derive(Clone, Copy)]
pub(crate) enum As<'a> {
    Nobody,
    Token(&'a str),
    /// A signed-in browser, on a page of the console.
    Browser(&'a str),
    /// The same browser, made to call by another site's page.
    OtherSite(&'a str),
}

pub(crate) async fn call(router: &Router, who: As<'_>, method: &str, path: &str, body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "127.0.0.1:7411");
    request = match who {
        As::Nobody => request.header("sec-fetch-site", "same-origin"),
        As::Token(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
        As::Browser(session) => request
            .header("sec-fetch-site", "same-origin")
            .header(header::COOKIE, format!("theme=x; __Host-pintle={session}")),
        As::OtherSite(session) => request
            .header("sec-fetch-site", "cross-site")
            .header(header::COOKIE, format!("__Host-pintle={session}")),
    };
    let is_form = !body.is_empty() && !body.starts_with(['{', '[']);
    let kind = if is_form { "application/x-www-form-urlencoded" } else { "application/json" };
    let request = request.header(header::CONTENT_TYPE, kind).body(Body::from(body.to_owned())).unwrap();
    send(router, request).await
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().call(request).await.unwrap();
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status, headers: head.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}
