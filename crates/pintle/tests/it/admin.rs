//! The command line against a stand-in for the admin API: what it asks, what it prints, how it ends.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread::JoinHandle,
};

use serde_json::{Value, json};

use crate::support::{Run, Sandbox};

/// What the stand-in was asked.
struct Asked {
    line: String,
    authorisation: String,
    body: Value,
}

/// Answers the given answers one after the other, and hands back what it was asked.
fn stand_in(sandbox: &Sandbox, answers: Vec<(u16, String)>) -> JoinHandle<Vec<Asked>> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    sandbox.write("pintle-data/admin.json", &json!({ "url": url, "token": "t0ken", "pid": 1 }).to_string());
    std::thread::spawn(move || {
        answers.into_iter().map(|(status, body)| answer(&listener, status, &body)).collect()
    })
}

fn answer(listener: &TcpListener, status: u16, body: &str) -> Asked {
    let (mut stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let (mut length, mut authorisation) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "authorization" => authorisation = value.to_owned(),
            _ => {}
        }
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).unwrap();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    Asked { line: line.trim_end().to_owned(), authorisation, body }
}

/// One command, several answers.
fn exchanges(args: &[&str], answers: Vec<(u16, Value)>) -> (Run, Vec<Asked>) {
    let sandbox = Sandbox::new();
    let answers = answers.into_iter().map(|(status, body)| (status, body.to_string())).collect();
    let server = stand_in(&sandbox, answers);
    let run = sandbox.run(args);
    (run, server.join().unwrap())
}

/// One command, one answer.
fn exchange(args: &[&str], status: u16, body: &Value) -> (Run, Asked) {
    let (run, mut asked) = exchanges(args, vec![(status, body.clone())]);
    (run, asked.remove(0))
}

const CREATE: &[&str] = &[
    "--data",
    "pintle-data",
    "usecase",
    "create",
    "support",
    "--title",
    "Support",
    "--business-owner",
    "Jana Novak <jana@example.com>",
    "--it-owner",
    "Ali Demir <ali@example.com>",
    "--cost-centre",
    "CC-1",
    "--data-class",
    "confidential",
    "--stage",
    "production",
    "--budget",
    "99.50",
    "--transformation",
    "pseudonymise",
    "--json",
];

#[test]
fn what_is_created_is_sent_as_agreed() {
    let (run, asked) = exchange(CREATE, 201, &json!({ "name": "support", "stage": "production" }));
    assert_eq!(run.code, 0, "{}", run.shown());
    assert_eq!(asked.line, "POST /admin/api/use-cases HTTP/1.1");
    assert_eq!(asked.authorisation, "Bearer t0ken");
    assert_eq!(
        asked.body,
        json!({
            "name": "support", "title": "Support",
            "business_owner": { "name": "Jana Novak", "email": "jana@example.com" },
            "it_owner": { "name": "Ali Demir", "email": "ali@example.com" },
            "cost_centre": "CC-1", "data_class": "confidential", "stage": "production",
            "monthly_budget": "99.5", "transformations": ["pseudonymise"],
        })
    );
    assert_eq!(serde_json::from_str::<Value>(&run.out).unwrap()["name"], "support");
}

#[test]
fn the_key_alone_goes_to_stdout() {
    let made = json!({ "id": "key_1", "key": "pintle_abc", "prefix": "pintle_a", "use_case": "support" });
    let args = ["key", "create", "--use-case", "support", "--label", "laptop", "--expires-in", "90d"];
    let (run, asked) = exchange(&args, 201, &made);
    assert_eq!((run.code, run.out.as_str()), (0, "pintle_abc\n"), "{}", run.shown());
    assert!(run.err.contains("shown this once"), "{}", run.err);
    assert_eq!((&asked.body["use_case"], &asked.body["label"]), (&json!("support"), &json!("laptop")));
    let ends: jiff::Timestamp = asked.body["expires_at"].as_str().unwrap().parse().unwrap();
    assert!(ends.as_second() > 1_790_000_000);

    let (run, _) = exchange(&["key", "create", "--use-case", "support", "--json"], 201, &made);
    assert_eq!(serde_json::from_str::<Value>(&run.out).unwrap(), made);
}

#[test]
fn each_verb_asks_the_path_that_was_agreed() {
    let key = "key_0193f2c4a1b27c3d8e4f5a6b7c8d9e0f";
    let ban = "ban_0193f2c4a1b27c3d8e4f5a6b7c8d9e0f";
    let made = json!({ "id": "key_1", "key": "k", "prefix": "p", "use_case": "x" });
    let empty = json!([]);
    for (args, answer, line, body) in [
        (&["usecase", "list"][..], &empty, "GET /admin/api/use-cases", Value::Null),
        (&["usecase", "show", "x"], &json!({}), "GET /admin/api/use-cases/x", Value::Null),
        (
            &["usecase", "edit", "x", "--review-on", "2027-03-31"],
            &json!({}),
            "PATCH /admin/api/use-cases/x",
            json!({ "review_on": "2027-03-31" }),
        ),
        (
            &["usecase", "stage", "x", "pilot"],
            &json!({}),
            "POST /admin/api/use-cases/x/stage",
            json!({ "stage": "pilot" }),
        ),
        (&["key", "list", "--use-case", "x"], &empty, "GET /admin/api/keys?use_case=x", Value::Null),
        (
            &["key", "rotate", key, "--overlap", "90m"],
            &made,
            "POST /admin/api/keys/key_0193f2c4a1b27c3d8e4f5a6b7c8d9e0f/rotate",
            json!({ "overlap_hours": 2 }),
        ),
        (
            &["key", "revoke", key],
            &json!({}),
            "POST /admin/api/keys/key_0193f2c4a1b27c3d8e4f5a6b7c8d9e0f/revoke",
            Value::Null,
        ),
        (&["budget", "show"], &empty, "GET /admin/api/budgets", Value::Null),
        (
            &["budget", "set", "use_case:x", "100"],
            &json!({}),
            "PUT /admin/api/budgets/use_case:x",
            json!({ "monthly": "100" }),
        ),
        (
            &["budget", "set", "organisation", "none"],
            &json!({}),
            "PUT /admin/api/budgets/organisation",
            json!({ "monthly": null }),
        ),
        (&["ban", "list"], &empty, "GET /admin/api/bans", Value::Null),
        (
            &["ban", "lift", ban],
            &json!({}),
            "POST /admin/api/bans/ban_0193f2c4a1b27c3d8e4f5a6b7c8d9e0f/lift",
            Value::Null,
        ),
        (
            &["usage", "--by", "day", "--from", "2026-11-01", "--to", "2026-11-30", "--use-case", "x"],
            &json!({ "currency": "EUR", "rows": [] }),
            "GET /admin/api/usage?by=day&from=2026-11-01&to=2026-11-30&use_case=x",
            Value::Null,
        ),
        (
            &["usage"],
            &json!({ "currency": "EUR", "rows": [] }),
            "GET /admin/api/usage?by=use-case",
            Value::Null,
        ),
    ] {
        let (run, asked) = exchange(args, 200, answer);
        assert_eq!(run.code, 0, "{args:?}: {}", run.shown());
        assert_eq!(asked.line, format!("{line} HTTP/1.1"), "{args:?}");
        assert_eq!(asked.body, body, "{args:?}");
    }
}

#[test]
fn a_setup_link_alone_goes_to_stdout() {
    let made = json!({ "path": "/console/set-up?token=setup_abc" });
    let (run, asked) = exchange(&["setup-link"], 200, &made);
    assert_eq!(asked.line, "POST /admin/api/setup-link HTTP/1.1");
    assert_eq!(run.code, 0, "{}", run.shown());
    let url = run.out.strip_suffix('\n').unwrap();
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    assert!(url.ends_with("/console/set-up?token=setup_abc") && url.lines().count() == 1, "{url}");
    for part in ["once", "15 minutes", "on this machine"] {
        assert!(run.err.contains(part), "{}", run.err);
    }

    let (run, _) = exchange(&["setup-link", "--json"], 200, &made);
    let shown: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(shown["path"], made["path"]);
    assert!(shown["url"].as_str().unwrap().ends_with(made["path"].as_str().unwrap()), "{shown}");
    assert!(run.err.is_empty(), "{}", run.err);
}

#[test]
fn a_budget_is_confirmed_with_its_currency() {
    let answer =
        json!({ "scope": "use_case:x", "monthly": { "nanos": 200_000_000_000_i64, "currency": "CHF" } });
    let (run, _) = exchange(&["budget", "set", "use_case:x", "200"], 200, &answer);
    assert_eq!(run.out, "the budget of use_case:x is CHF 200.00 a month from now on\n", "{}", run.shown());
}

#[test]
fn a_ban_that_would_stop_nothing_is_refused() {
    let status = json!({ "placements": [
        { "name": "gpt-mini", "model": "gpt-4o-mini", "provider": "openai" },
        { "name": "claude", "model": "claude-sonnet-4-5", "provider": "anthropic" },
    ]});
    let until = ["--reason", "incident", "--owner", "IT", "--until", "7d"];
    for target in ["placement:gpt-4o-mini", "model:claude", "provider:claude", "provider:opnai"] {
        let (run, asked) =
            exchanges(&[&["ban", "add", target], &until[..]].concat(), vec![(200, status.clone())]);
        assert_eq!(run.code, 5, "{target}: {}", run.shown());
        assert_eq!(asked.len(), 1, "{target} was not sent");
        if target == "provider:opnai" {
            insta::assert_snapshot!("ban_nothing", run.shown());
        }
    }
    for target in ["placement:gpt-mini", "model:claude-sonnet-4-5", "provider:anthropic"] {
        let answers = vec![(200, status.clone()), (201, json!({ "id": "ban_1" }))];
        let (run, asked) = exchanges(&[&["ban", "add", target], &until[..]].concat(), answers);
        assert_eq!(run.code, 0, "{target}: {}", run.shown());
        assert_eq!(asked[1].body["target"], target);
    }
    let anyway = [&["ban", "add", "provider:later", "--anyway"], &until[..]].concat();
    let (run, asked) = exchange(&anyway, 201, &json!({ "id": "ban_1" }));
    assert_eq!((run.code, &*asked.line), (0, "POST /admin/api/bans HTTP/1.1"), "{}", run.shown());
}

#[test]
fn a_ban_is_sent_with_its_end() {
    let args = [
        "ban",
        "add",
        "provider:openai",
        "--reason",
        "incident",
        "--owner",
        "IT <it@example.com>",
        "--until",
        "2099-12-01T08:00:00Z",
        "--except",
        "support",
    ];
    let status =
        json!({ "placements": [{ "name": "gpt-mini", "model": "gpt-4o-mini", "provider": "openai" }] });
    let (run, mut asked) = exchanges(&args, vec![(200, status), (201, json!({ "id": "ban_1" }))]);
    let asked = asked.remove(1);
    assert_eq!(run.out, "ban_1: banned provider:openai until 2099-12-01T08:00:00Z\n", "{}", run.shown());
    assert_eq!(asked.body["exceptions"], json!(["support"]));
    assert_eq!(asked.body["ends_at"], "2099-12-01T08:00:00Z");
    let past = [&args[..7], &["--until", "2020-01-01T00:00:00Z"]].concat();
    let sandbox = Sandbox::new();
    sandbox.write("pintle-data/admin.json", r#"{"url":"http://127.0.0.1:9","token":"t"}"#);
    assert_eq!(sandbox.run(&past).code, 2);
}

#[test]
fn tables_read_well() {
    let money = |nanos: i64| json!({ "nanos": nanos, "currency": "EUR" });
    let budgets = json!([
        { "scope": "organisation", "monthly": money(1_000_000_000_000), "posted": money(412_000_000_000),
          "held": money(3_200_000), "period_start": "2026-10-31T23:00:00Z", "period_end": "2026-11-30T23:00:00Z", "set_by": "pintle.toml:8" },
        { "scope": "use_case:support", "monthly": null, "posted": money(0), "held": money(0),
          "period_start": "2026-10-31T23:00:00Z", "period_end": "2026-11-30T23:00:00Z" },
    ]);
    insta::assert_snapshot!("table_budgets", exchange(&["budget", "show"], 200, &budgets).0.shown());
    let bans = json!([{
        "id": "ban_1", "target": "provider:openai", "use_case": null, "reason": "incident", "state": "active",
        "owner": "IT <it@example.com>", "starts_at": "2026-11-24T07:00:00Z", "ends_at": "2026-12-01T08:00:00Z",
        "exceptions": ["support"], "lifted_at": null,
    }]);
    insta::assert_snapshot!("table_bans", exchange(&["ban", "list"], 200, &bans).0.shown());
    let keys = json!([{
        "id": "key_1", "use_case": "support", "label": "laptop", "prefix": "pintle_Ab3dE", "state": "active",
        "created_at": "2026-11-24T07:00:00Z", "expires_at": null, "revoked_at": null,
    }]);
    insta::assert_snapshot!("table_keys", exchange(&["key", "list"], 200, &keys).0.shown());
    let usage = json!({ "currency": "EUR", "rows": [
        { "group": "cloud-mini", "requests": 12_345, "input_tokens": 9_876_543, "cached_tokens": 0, "output_tokens": 1,
          "cost_nanos": 123_456_i64, "unpriced_requests": 0, "estimated_requests": 3, "in_doubt_requests": 0 },
        { "group": "own", "requests": 2, "input_tokens": 10, "cached_tokens": 0, "output_tokens": 1,
          "cost_nanos": 0, "unpriced_requests": 2, "estimated_requests": 0, "in_doubt_requests": 0 },
    ]});
    insta::assert_snapshot!("table_usage", exchange(&["usage", "--by", "placement"], 200, &usage).0.shown());
    let status = json!({
        "version": "0.1.0", "started_at": "2026-11-24T07:00:00Z", "demo": true,
        "organisation": { "name": "Nordwind Logistics (sample)", "currency": "EUR", "time_zone": "Europe/Berlin" },
        "listen": "127.0.0.1:7411", "data": "/srv/pintle", "backlog": 0, "policy_version": "3f2a",
        "config": { "source": "pintle.toml", "loaded_at": "2026-11-24T07:05:00Z", "last_error": "pintle.toml:3:1: error: …" },
        "placements": [{ "name": "cloud-mini", "model": "sim-mini", "provider": "simulated", "zone": "public_cloud",
            "clearance": "internal", "priced": true, "health": "up" }],
    });
    insta::assert_snapshot!("table_status", exchange(&["status"], 200, &status).0.shown());
    let use_case = json!({
        "name": "support", "title": "Support", "purpose": "", "stage": "pilot", "data_class": "confidential",
        "business_owner": { "name": "Jana Novak", "email": "jana@example.com" },
        "it_owner": { "name": "Ali Demir", "email": "ali@example.com" }, "cost_centre": "CC-1",
        "transformations": ["pseudonymise"], "objective": "cost", "risk_tier": "minimal",
        "updated_at": "2026-11-24T07:05:00Z",
        "budget": { "monthly": money(100_000_000_000), "posted": money(12_300_000_000), "held": money(20_000_000) },
    });
    insta::assert_snapshot!(
        "table_usecase",
        exchange(&["usecase", "show", "support"], 200, &use_case).0.shown()
    );
    insta::assert_snapshot!(
        "table_usecases",
        exchange(&["usecase", "list"], 200, &json!([use_case])).0.shown()
    );
}

#[test]
fn each_kind_of_refusal_has_its_exit_code() {
    for (status, code) in [(400, 2), (401, 4), (403, 4), (404, 5), (409, 6), (422, 2), (500, 1), (503, 7)] {
        let problem = json!({
            "type": "about:blank", "title": "no", "status": status, "detail": "that does not work",
            "fix": "do this instead", "request_id": "req_1",
        });
        let (run, _) = exchange(&["usecase", "list"], status, &problem);
        assert_eq!(run.code, code, "{status}: {}", run.shown());
        assert_eq!(run.err, "error: that does not work\n  (request req_1)\nhint: do this instead\n");
        assert!(run.out.is_empty());
    }
    let (run, _) = exchange(&["usecase", "list"], 500, &json!("not a problem document"));
    assert_eq!((run.code, run.err.as_str()), (1, "error: the server answered with status 500\n"));
}

#[test]
fn refusals_of_fields_name_the_flag() {
    let problem = json!({
        "title": "Invalid use case", "status": 422, "detail": "the use case is not complete", "fix": "correct the fields",
        "errors": [{ "field": "it_owner", "message": "name two different people" },
                   { "field": "transformations", "message": "not allowed at this stage" }],
    });
    let (run, _) = exchange(CREATE, 422, &problem);
    insta::assert_snapshot!("refused_fields", run.shown());
}

#[test]
fn a_field_is_not_named_twice() {
    let problem = json!({
        "title": "A field is not right", "status": 422, "detail": "`review_on`: write the date as 2027-03-31",
        "errors": [{ "field": "review_on", "message": "write the date as 2027-03-31" }], "request_id": "req_1",
    });
    let (run, _) = exchange(&["usecase", "edit", "x", "--title", "X"], 422, &problem);
    let expected =
        "error: a field is not right\n  --review-on: write the date as 2027-03-31\n  (request req_1)\n";
    assert_eq!(run.err, expected);
}

#[test]
fn without_a_server_it_says_so() {
    let sandbox = Sandbox::new();
    for args in [
        &["status"][..],
        &["setup-link"],
        &["usecase", "list"],
        &["key", "list"],
        &["budget", "show"],
        &["ban", "list"],
        &["usage"],
    ] {
        let run = sandbox.run(args);
        assert_eq!(run.code, 7, "{args:?}");
        assert!(run.err.contains("no pintle server is running"), "{}", run.err);
    }
    insta::assert_snapshot!("not_running", sandbox.run(&["status", "--data", "/srv/pintle"]).shown());
    // A server that was killed leaves its file behind.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    sandbox.write(
        "pintle-data/admin.json",
        &json!({ "url": format!("http://{port}"), "token": "t" }).to_string(),
    );
    let run = sandbox.run(&["status"]);
    assert_eq!(run.code, 7);
    assert!(run.err.contains("no pintle server is running"), "{}", run.err);
}

#[test]
fn the_token_does_not_leave_this_machine_and_is_not_printed() {
    for file in [
        r#"{"url":"http://192.0.2.1:7411","token":"hunter2"}"#,
        r#"{"url":"https://127.0.0.1:7411","token":"hunter2"}"#,
        r#"{"url":"http://127.0.0.1:7411@192.0.2.1","token":"hunter2"}"#,
        r#"{"token":"hunter2""#,
    ] {
        let sandbox = Sandbox::new();
        sandbox.write("pintle-data/admin.json", file);
        let run = sandbox.run(&["status"]);
        assert_eq!(run.code, 4, "{file}: {}", run.shown());
        assert!(!run.shown().contains("hunter2"));
    }
}

#[test]
fn the_doctor_tells_a_refused_key_from_an_endpoint_that_is_away() {
    for (status, verdict, part) in [
        (200, "ok", "reachable"),
        (401, "fail", "does not accept the key"),
        (404, "warn", "no list of models"),
        (503, "warn", "unwell"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let toml = format!(
            "[organisation]\nname = \"A\"\ncurrency = \"EUR\"\n[[placement]]\nname = \"own\"\nprovider = \"openai\"\n\
             base_url = \"http://{}/v1/\"\nmodel = \"m\"\nzone = \"on_premises\"\nclearance = \"restricted\"\n\
             price = \"unpriced\"\napi_key = {{ env = \"OWN_KEY\" }}\n",
            listener.local_addr().unwrap()
        );
        let sandbox = Sandbox::with(&toml).env("OWN_KEY", "sk-hunter2");
        let server = std::thread::spawn(move || answer(&listener, status, "{}"));
        let run = sandbox.run(&["doctor", "--json"]);
        let asked = server.join().unwrap();
        assert_eq!(asked.line, "GET /v1/models HTTP/1.1");
        assert_eq!(asked.authorisation, "Bearer sk-hunter2");
        let report: Value = serde_json::from_str(&run.out).unwrap();
        let checks = report["checks"].as_array().unwrap();
        let found = checks.iter().find(|check| check["check"] == "endpoint of own").unwrap();
        assert_eq!(found["verdict"], verdict, "{found}");
        assert!(found["detail"].as_str().unwrap().contains(part), "{found}");
        assert_eq!(run.code, i32::from(verdict == "fail"));
        assert!(!run.shown().contains("hunter2"));
    }
}

#[test]
fn an_answer_that_is_none_is_an_error() {
    for body in ["not json", "{\"cut\": "] {
        let sandbox = Sandbox::new();
        let server = stand_in(&sandbox, vec![(200, body.to_owned())]);
        let run = sandbox.run(&["usecase", "list"]);
        server.join().unwrap();
        assert_eq!(run.code, 7, "{}", run.shown());
        assert!(run.err.contains("gave an answer that is not JSON"), "{}", run.err);
    }
    let (run, _) = exchange(&["key", "create", "--use-case", "x"], 201, &json!({ "id": "key_1" }));
    assert_eq!(run.code, 7);
    assert!(run.err.contains("of another shape"), "{}", run.err);
}
