//! Each page as HTML, its links, its size, and what its policy forbids.

use std::collections::BTreeSet;

use http::StatusCode;

use crate::{
    client::{As, call},
    seed,
    support::{self, Fixture},
};

/// One element's beginning a line, so that a change shows as a line; what differs from run to run is
/// replaced.
pub(crate) fn lines(html: &str) -> String {
    let mut text = html.replace("><", ">\n<");
    for (prefix, hex_len) in [("adm_", 32), ("key_", 32), ("ban_", 32)] {
        text = replaced(&text, prefix, hex_len);
    }
    for (before, after) in [
        ("pintle_", "…"),
        ("/console/assets/console.", ".css"),
        ("/console/assets/console.", ".js"),
        ("/console/assets/try.", ".js"),
        ("/console/assets/live.", ".js"),
        ("/console/assets/icon.", ".svg"),
    ] {
        text = between(&text, before, after);
    }
    text
}

fn replaced(text: &str, prefix: &str, hex_len: usize) -> String {
    let mut parts = text.split(prefix);
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        out.push_str(prefix);
        let hex = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        out.push_str(if hex == hex_len { "ID" } else { "" });
        out.push_str(&part[if hex == hex_len { hex } else { 0 }..]);
    }
    out
}

fn between(text: &str, before: &str, after: &str) -> String {
    let mut parts = text.split(before);
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        out.push_str(before);
        match part.find(after).filter(|end| part[..*end].bytes().all(|byte| byte.is_ascii_alphanumeric())) {
            Some(end) => {
                out.push('*');
                out.push_str(&part[end..]);
            }
            None => out.push_str(part),
        }
    }
    out
}

fn request(n: u128) -> String {
    format!("/console/requests/{}", seed::id(n))
}

fn all_pages() -> Vec<(&'static str, String)> {
    let mut pages: Vec<(&str, String)> = [
        ("overview", "/console"),
        ("use_cases", "/console/use-cases"),
        ("use_cases_at_a_stage", "/console/use-cases?stage=pilot"),
        ("use_cases_at_no_stage", "/console/use-cases?stage=retired"),
        ("use_case", "/console/use-cases/customer-replies"),
        ("use_case_without_requests", "/console/use-cases/shift-planning"),
        ("requests", "/console/requests?day=2026-11-24"),
        ("requests_none", "/console/requests?text=nothing&outcome=failed"),
        ("try", "/console/try?sample=iban&use_case=contract-review"),
        ("models", "/console/models"),
        ("model", "/console/models/handbook"),
        ("model_without_versions", "/console/models/tickets"),
        ("version_serving", "/console/models/handbook/2"),
        ("version_candidate", "/console/models/handbook/4"),
        ("version_refused", "/console/models/handbook/1"),
        ("version_without_reports", "/console/models/handbook/3"),
        ("training", "/console/models/handbook/training"),
        ("training_silent", "/console/models/tickets/training"),
        ("bans", "/console/bans"),
        ("rules", "/console/rules"),
    ]
    .map(|(name, path)| (name, path.to_owned()))
    .into();
    let requests = [
        ("request_answered", seed::ANSWERED),
        ("request_pseudonymised", seed::PSEUDONYMISED),
        ("request_refused", seed::REFUSED),
        ("request_budget", seed::BUDGET),
        ("request_failed", seed::FAILED),
        ("request_unpriced", seed::UNPRICED),
        ("request_in_doubt", seed::IN_DOUBT),
        ("request_cancelled", seed::CANCELLED),
        ("request_banned", seed::BANNED),
    ];
    pages.extend(requests.map(|(name, n)| (name, request(n))));
    pages
}

async fn open(it: &Fixture, path: &str) -> String {
    let answer = call(&it.router, As::Browser(&it.session), "GET", path, "").await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{path}");
    answer.text
}

/// Only the page's own part; the frame is in one snapshot of its own.
fn main_part(html: &str) -> &str {
    let start = html.find("<main").unwrap();
    &html[start..html.find("</main>").unwrap()]
}

#[tokio::test]
async fn pages_look_as_they_did() {
    let it = support::seeded().await;
    for (name, path) in all_pages() {
        insta::assert_snapshot!(name, lines(main_part(&open(&it, &path).await)));
    }
    let whole = open(&it, "/console/rules").await;
    insta::assert_snapshot!("frame", lines(&whole.replace(main_part(&whole), "<main>")));
}

#[tokio::test]
async fn pages_without_anything_teach() {
    let it = support::empty().await;
    for (name, path) in [
        ("empty_overview", "/console"),
        ("empty_use_cases", "/console/use-cases"),
        ("empty_requests", "/console/requests"),
        ("empty_try", "/console/try"),
        ("empty_models", "/console/models"),
        ("empty_bans", "/console/bans"),
    ] {
        insta::assert_snapshot!(name, lines(main_part(&open(&it, path).await)));
    }
}

#[tokio::test]
async fn pages_of_the_outside_look_as_they_did() {
    let it = support::empty().await;
    for (name, path) in [("sign_in", "/console/sign-in"), ("set_up", "/console/set-up?token=setup_x")] {
        let answer = call(&it.router, As::Nobody, "GET", path, "").await;
        insta::assert_snapshot!(name, lines(&answer.text));
    }
    let missing = call(&it.router, As::Browser(&it.session), "GET", "/console/nothing-here", "").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    insta::assert_snapshot!("not_found", lines(main_part(&missing.text)));
}

#[tokio::test]
async fn a_configuration_that_was_not_taken_is_told_on_each_page() {
    let it = support::with_config_error().await;
    let html = open(&it, "/console/rules").await;
    assert!(html.contains("The newest configuration was not taken."));
    assert!(html.contains("pintle.toml:14: unknown field `clearence`"));
}

/// Every value of an attribute, with `&amp;` turned back.
fn attribute(html: &str, name: &str) -> BTreeSet<String> {
    let opening = format!(" {name}=\"");
    let parts = html.split(&opening).skip(1);
    parts.map(|part| part.split_once('"').unwrap().0.replace("&amp;", "&")).collect()
}

#[tokio::test]
async fn every_link_resolves() {
    let it = support::seeded().await;
    let mut seen = BTreeSet::new();
    for (_, page) in all_pages() {
        let html = open(&it, &page).await;
        let ids = attribute(&html, "id");
        for link in attribute(&html, "href").into_iter().chain(attribute(&html, "src")) {
            if let Some(fragment) = link.strip_prefix('#') {
                assert!(ids.contains(fragment), "{link} on {page}");
            } else if link.starts_with('/') {
                seen.insert(link);
            } else {
                assert!(link.starts_with("mailto:"), "{link} on {page} leads elsewhere");
            }
        }
    }
    for link in &seen {
        let (path, fragment) = link.split_once('#').map_or((link.as_str(), None), |(p, f)| (p, Some(f)));
        let answer = call(&it.router, As::Browser(&it.session), "GET", path, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{link}");
        if let Some(fragment) = fragment {
            assert!(attribute(&answer.text, "id").contains(fragment), "{link}");
        }
    }
    assert!(seen.len() > 40, "{seen:?}");
}

#[tokio::test]
async fn pages_keep_to_their_policy_and_their_size() {
    let it = support::seeded().await;
    for (_, page) in all_pages() {
        let html = open(&it, &page).await;
        for forbidden in [" style=", "<style", " onclick=", "javascript:", "http://www", "https://"] {
            assert!(!html.contains(forbidden), "{page} has `{forbidden}`");
        }
        for script in html.split("<script").skip(1) {
            assert!(script.contains("src=\"/console/assets/"), "{page} has an inline script");
            assert!(script.split_once('>').unwrap().1.starts_with("</script>"), "{page}");
        }
        assert!(html.len() < 100_000, "{page} has {} bytes", html.len());
        assert_eq!(html.matches("<h1").count(), 1, "{page}");
        let ids: Vec<_> = html.split(" id=\"").skip(1).map(|part| part.split_once('"').unwrap().0).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{page} has an id twice: {ids:?}");
    }
}

#[tokio::test]
async fn assets_are_small_and_kept_for_good() {
    let it = support::seeded().await;
    for page in ["/console/try", "/console/models/handbook/training"] {
        let html = open(&it, page).await;
        let links = attribute(&html, "src").into_iter().chain(attribute(&html, "href"));
        let mut script_bytes = 0;
        let mut count = 0;
        for link in links.filter(|link| link.starts_with("/console/assets/")) {
            let answer = call(&it.router, As::Nobody, "GET", &link, "").await;
            assert_eq!(answer.status, StatusCode::OK, "{link}");
            assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
            script_bytes += if link.ends_with(".js") { answer.text.len() } else { 0 };
            count += 1;
        }
        assert_eq!(count, 4);
        assert!(script_bytes < 6_144, "{script_bytes} bytes of script on {page}");
    }
    let old = call(&it.router, As::Nobody, "GET", "/console/assets/console.0123456789abcdef.css", "").await;
    assert_eq!((old.status, old.header("cache-control")), (StatusCode::NOT_FOUND, "no-store"));
}

#[tokio::test]
async fn i4_unpriced_is_a_word_and_never_zero() {
    let it = support::seeded().await;
    let html = open(&it, "/console/requests?price=unpriced").await;
    assert_eq!(html.matches("<th scope=\"row\"").count(), 1, "one request is unpriced");
    assert!(html.contains(">unpriced<") && !main_part(&html).contains("€0"));
    let sheet = open(&it, &request(seed::UNPRICED)).await;
    assert!(sheet.contains("unpriced: nobody has said") && !main_part(&sheet).contains("€0"));
}

#[tokio::test]
async fn i7_a_refusal_is_explained_wherever_its_rule_stands() {
    let it = support::seeded().await;
    for (n, code, rule, title, way) in [
        (920, "policy_refused", "clearance", "Content stays within a placement", "Ask <a href=\"mailto:"),
        (921, "answer_refused", "answer", "The answer may not be given", "Ask again without the details"),
        (922, "unpriced", "unpriced", "The placement has no known price", "Ask for another model"),
        (923, "policy_refused", "policy-error", "A rule that fails refuses", "Report a mistake to"),
        (924, "stage_refused", "stage-gone-since", "Stage gone since", "stage and owners"),
        (925, "banned", "ban:00000000", ">A ban<", "Ask for another model"),
    ] {
        let id = seed::stopped_by(&it, n, code, rule).await;
        let html = open(&it, &format!("/console/requests/{id}")).await;
        let why = html.split("aria-labelledby=\"why\"").nth(1).unwrap().split("</section>").next().unwrap();
        assert!(why.contains(title), "{rule}: {why}");
        assert!(why.contains(way), "{rule}: {why}");
    }
}

#[tokio::test]
async fn older_pages_continue_where_the_newer_ended() {
    let it = support::seeded().await;
    let mut seen = Vec::new();
    let mut path = "/console/requests".to_owned();
    loop {
        let html = open(&it, &path).await;
        seen.extend(
            attribute(&html, "href").into_iter().filter(|link| link.starts_with("/console/requests/req_")),
        );
        match attribute(&html, "href").into_iter().find(|link| link.contains("before=")) {
            Some(older) => path = older,
            None => break,
        }
    }
    assert_eq!(seen.len(), seen.iter().collect::<BTreeSet<_>>().len(), "none twice");
    let filter = pintle_ledger::RequestFilter { limit: 1_000, ..Default::default() };
    assert_eq!(seen.len(), it.ledger.requests(&filter).await.unwrap().len(), "none left out");
    assert!(seen.len() > 50);
}

#[tokio::test]
async fn a_bad_search_says_which_field() {
    let it = support::seeded().await;
    for (query, said) in [
        ("day=yesterday", "write the day as 2026-11-24"),
        ("before=x", "is not a request id"),
        ("price=high", "use <code>unpriced</code>"),
        ("outcome=nonsense", "use <code>answered</code>, <code>refused</code>, <code>failed</code>"),
        ("colour=red", "unknown field <code>colour</code>"),
    ] {
        let path = format!("/console/requests?{query}");
        let answer = call(&it.router, As::Browser(&it.session), "GET", &path, "").await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        assert!(answer.text.contains(said), "{query}: {}", main_part(&answer.text));
    }
}
