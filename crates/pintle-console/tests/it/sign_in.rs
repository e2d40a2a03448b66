//! The way in and out: one-time links, the session's cookie.

use http::StatusCode;

use crate::{
    client::{As, TOKEN, call},
    support,
};

fn session_of(cookie: &str) -> &str {
    cookie.strip_prefix("__Host-pintle=").unwrap().split_once(';').unwrap().0
}

#[tokio::test]
async fn a_link_from_the_command_line_signs_in_once() {
    let it = support::empty().await;
    let link = call(&it.router, As::Token(TOKEN), "POST", "/admin/api/setup-link", "").await.json();
    let path = link["path"].as_str().unwrap();
    let token = path.strip_prefix("/console/set-up?token=").unwrap();

    for _ in 0..2 {
        let shown = call(&it.router, As::Nobody, "GET", path, "").await;
        assert_eq!(shown.status, StatusCode::OK, "looking at a link does not use it up");
        assert!(shown.headers.get("set-cookie").is_none());
        assert!(shown.text.contains(r#"<form method="post" action="/console/set-up">"#));
    }

    let form = format!("token={token}");
    let signed_in = call(&it.router, As::Nobody, "POST", "/console/set-up", &form).await;
    assert_eq!((signed_in.status, signed_in.header("location")), (StatusCode::SEE_OTHER, "/console"));
    let cookie = signed_in.header("set-cookie");
    assert!(cookie.ends_with("; Path=/; Max-Age=43200; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
    let session = session_of(cookie).to_owned();
    assert_eq!(call(&it.router, As::Browser(&session), "GET", "/console", "").await.status, StatusCode::OK);

    let again = call(&it.router, As::Nobody, "POST", "/console/set-up", &form).await;
    assert_eq!(again.status, StatusCode::GONE);
    assert!(again.headers.get("set-cookie").is_none());
    assert!(again.text.contains(r#"href="/console/sign-in""#), "{}", again.text);

    let out = call(&it.router, As::Browser(&session), "POST", "/console/sign-out", "").await;
    assert_eq!((out.status, out.header("location")), (StatusCode::SEE_OTHER, "/console/sign-in"));
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    let closed = call(&it.router, As::Browser(&session), "GET", "/console", "").await;
    assert_eq!(closed.status, StatusCode::SEE_OTHER, "the session ended at the server too");
}

#[tokio::test]
async fn a_late_link_and_a_late_session_are_closed() {
    let it = support::empty().await;
    let link = it.sessions.new_setup_link().await.unwrap();
    it.clock.advance_ms(15 * 60_000);
    let form = format!("token={}", *link);
    let late = call(&it.router, As::Nobody, "POST", "/console/set-up", &form).await;
    assert_eq!(late.status, StatusCode::GONE);
    assert_eq!(
        call(&it.router, As::Browser(&it.session), "GET", "/console", "").await.status,
        StatusCode::OK
    );
    it.clock.advance_ms(12 * 3_600_000);
    let closed = call(&it.router, As::Browser(&it.session), "GET", "/console", "").await;
    assert_eq!(closed.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn the_root_leads_to_the_console() {
    let it = support::empty().await;
    let answer = call(&it.router, As::Nobody, "GET", "/", "").await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/console"));
}
