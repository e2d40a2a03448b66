//! Who may call what: each route is tried without credentials and with wrong ones.

use std::collections::BTreeSet;

use axum::body::Body;
use http::{Request, StatusCode, header};
use pintle_console::{Access, ROUTES, Route};

use crate::{
    client::{As, TOKEN, call, send},
    support,
};

/// A path that the route matches. What it names need not exist: credentials come first.
fn example(route: &Route) -> String {
    route
        .path
        .replace("{name}", if route.path.contains("/models/") { "handbook" } else { "customer-replies" })
        .replace("{model}", "handbook")
        .replace("{version}", "2")
        .replace("{id}", "req_00000000000070008000000000000001")
        .replace("{scope}", "organisation")
        .replace("{file}", "console.css")
}

fn committed() -> BTreeSet<String> {
    let lines = include_str!("../../public-routes.txt").lines();
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

#[tokio::test]
async fn every_route_without_credentials() {
    let it = support::seeded().await;
    let mut public = BTreeSet::new();
    for route in ROUTES {
        let path = example(route);
        for who in [As::Nobody, As::Browser("ses_wrong"), As::Token("wrong"), As::Token("")] {
            let answer = call(&it.router, who, route.method, &path, "").await;
            let line = format!("{} {}", route.method, route.path);
            match route.access {
                Access::Public => {
                    public.insert(line);
                }
                // A page does not look at tokens, so a wrong one reaches it like nobody at all. Its
                // unsafe methods are refused there even earlier: no browser sent them.
                Access::Page if answer.status == StatusCode::FORBIDDEN => {
                    assert!(matches!(who, As::Token(_)) && route.method != "GET", "{line}");
                }
                Access::Page => {
                    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{line}");
                    assert_eq!(answer.header("location"), "/console/sign-in", "{line}");
                    assert!(answer.text.is_empty(), "{line}");
                }
                Access::Fragment if answer.status == StatusCode::FORBIDDEN => {
                    assert!(matches!(who, As::Token(_)) && route.method != "GET", "{line}");
                }
                Access::Fragment | Access::Api => {
                    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{line}");
                    if route.access == Access::Api {
                        assert_eq!(answer.json()["type"], "/docs/errors#unauthenticated", "{line}");
                    }
                }
            }
        }
    }
    assert_eq!(public, committed(), "public-routes.txt must name what is public, and nothing else");
}

#[tokio::test]
async fn every_route_with_an_unknown_method_stays_closed() {
    let it = support::seeded().await;
    for route in ROUTES.iter().filter(|route| route.access != Access::Public) {
        for method in ["DELETE", "PUT", "OPTIONS", "BREW"] {
            let answer = call(&it.router, As::Nobody, method, &example(route), "").await;
            let closed = [StatusCode::UNAUTHORIZED, StatusCode::SEE_OTHER];
            assert!(closed.contains(&answer.status), "{method} {}: {}", route.path, answer.status);
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_there_for_anybody() {
    let it = support::seeded().await;
    for path in ["/console/nothing", "/console/use-cases/a/b", "/admin", "/admin/api/nothing", "/nowhere"] {
        for who in [As::Nobody, As::Browser("ses_wrong"), As::Token("wrong"), As::Token(TOKEN)] {
            for method in ["GET", "POST"] {
                let answer = call(&it.router, who, method, path, "").await;
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}");
                assert!(!answer.text.contains("Nordwind"), "{method} {path} says whose this is");
                if path.starts_with("/console") {
                    assert!(answer.text.contains("There is no page"), "{method} {path}");
                } else {
                    assert_eq!(answer.json()["type"], "/docs/errors#not-found", "{method} {path}");
                }
            }
        }
    }
    let request = Request::get("/nowhere").header(header::ACCEPT, "text/html").body(Body::empty()).unwrap();
    let answer = send(&it.router, request).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
}

#[tokio::test]
async fn an_empty_admin_token_lets_nobody_in() {
    let it = support::without_token().await;
    for token in ["", " ", "x"] {
        let answer = call(&it.router, As::Token(token), "GET", "/admin/api/status", "").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_wrong_token_is_not_saved_by_a_good_session() {
    let it = support::seeded().await;
    let request = Request::get("/admin/api/status")
        .header(header::AUTHORIZATION, "Bearer wrong")
        .header(header::COOKIE, format!("__Host-pintle={}", it.session))
        .body(Body::empty())
        .unwrap();
    assert_eq!(send(&it.router, request).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn another_site_cannot_make_the_browser_change_anything() {
    let it = support::seeded().await;
    for route in ROUTES.iter().filter(|route| route.method != "GET") {
        let path = example(route);
        let answer = call(&it.router, As::OtherSite(&it.session), route.method, &path, "{}").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{} {}", route.method, route.path);
    }
    assert_eq!(
        it.sessions.find(&it.session).await.unwrap().unwrap().person,
        "administrator",
        "still signed in"
    );
}

#[tokio::test]
async fn browsers_without_fetch_metadata_are_judged_by_origin() {
    let it = support::seeded().await;
    for (origin, expected) in [
        (Some("http://127.0.0.1:7411"), StatusCode::OK),
        (Some("http://evil.example.com"), StatusCode::FORBIDDEN),
        (Some("null"), StatusCode::FORBIDDEN),
        (None, StatusCode::FORBIDDEN),
    ] {
        let mut request = Request::put("/admin/api/budgets/use_case:campaign-texts")
            .header(header::HOST, "127.0.0.1:7411")
            .header(header::COOKIE, format!("__Host-pintle={}", it.session));
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        let answer = send(&it.router, request.body(Body::from(r#"{"monthly":"90"}"#)).unwrap()).await;
        assert_eq!(answer.status, expected, "{origin:?}");
    }
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let it = support::seeded().await;
    for route in ROUTES {
        for who in [As::Nobody, As::Browser(&it.session), As::Token(TOKEN)] {
            let answer = call(&it.router, who, route.method, &example(route), "").await;
            let policy = answer.header("content-security-policy");
            assert!(policy.starts_with("default-src 'none'; "), "{} {}", route.method, route.path);
            assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
            assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
            assert_eq!(answer.header("referrer-policy"), "no-referrer");
            assert_eq!(answer.header("cache-control"), "no-store", "{} {}", route.method, route.path);
        }
    }
}
