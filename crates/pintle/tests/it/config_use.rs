//! Configuration that works: what `init` writes, which value wins, what the demonstration contains.

use crate::support::Sandbox;

fn explained(sandbox: &Sandbox, key: &str) -> (String, String) {
    let run = sandbox.run(&["config", "explain", "--json"]);
    assert_eq!(run.code, 0, "{}", run.shown());
    let rows: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    let row =
        rows.as_array().unwrap().iter().find(|row| row["key"] == key).unwrap_or_else(|| panic!("{key}"));
    let text = |field: &str| row[field].as_str().unwrap().to_owned();
    (text("value"), text("source"))
}

fn pair(value: &str, source: &str) -> (String, String) {
    (value.to_owned(), source.to_owned())
}

#[test]
fn what_init_writes_is_valid_and_is_not_overwritten() {
    let sandbox = Sandbox::new();
    let init = sandbox.run(&["init"]);
    assert_eq!(init.code, 0, "{}", init.shown());
    insta::assert_snapshot!("init", init.shown());
    let text = std::fs::read_to_string(sandbox.path("pintle.toml")).unwrap();
    assert!(text.lines().count() < 100);
    let check = sandbox.run(&["config", "check"]);
    assert_eq!((check.code, check.err.as_str()), (0, ""), "{}", check.shown());

    std::fs::write(sandbox.path("pintle.toml"), "mine").unwrap();
    let again = sandbox.run(&["init"]);
    assert_eq!(again.code, 6);
    insta::assert_snapshot!("init_again", again.shown());
    assert_eq!(std::fs::read_to_string(sandbox.path("pintle.toml")).unwrap(), "mine");
    assert_eq!(sandbox.run(&["init", "--force"]).code, 0);
    assert_eq!(std::fs::read_to_string(sandbox.path("pintle.toml")).unwrap(), text);

    std::fs::create_dir(sandbox.path("etc")).unwrap();
    assert_eq!(sandbox.run(&["init", "etc"]).code, 0);
    assert_eq!(std::fs::read_to_string(sandbox.path("etc/pintle.toml")).unwrap(), text);
    assert_eq!(sandbox.run(&["init", "nowhere/pintle.toml"]).code, 1);
}

#[test]
fn what_init_writes_still_works_with_every_example_switched_on() {
    let sandbox = Sandbox::new().env("PROVIDER_OPENAI_KEY", "sk-1").env("PROVIDER_ANTHROPIC_KEY", "sk-2");
    sandbox.run(&["init"]);
    let text = std::fs::read_to_string(sandbox.path("pintle.toml")).unwrap();
    let mut uncommented = String::new();
    for line in text.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let is_example =
            bare.starts_with('[') || bare.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
        uncommented.push_str(if is_example { bare } else { line });
        uncommented.push('\n');
    }
    assert!(uncommented.contains("\n[policy]") && uncommented.contains("\nname = \"own-llama\""));
    sandbox.write("pintle.toml", &uncommented);
    sandbox.write("clients.txt", "Harbour Gold\n");
    sandbox.write("models/my-llama/config.json", "{}");
    sandbox.write("policies/own.cedar", "@id(\"all\")\npermit(principal, action, resource);\n");
    let run = sandbox.run(&["config", "check"]);
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{}", run.shown());
    assert!(run.out.contains("6 placements"), "{}", run.out);
    assert!(!run.out.contains("sk-"));
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let toml = "[organisation]\nname = \"A\"\ncurrency = \"EUR\"\n";
    let sandbox = Sandbox::with(toml);
    assert_eq!(explained(&sandbox, "server.listen"), pair("127.0.0.1:7411", "default"));
    assert_eq!(explained(&sandbox, "server.public_url"), pair("http://127.0.0.1:7411", "default"));
    assert_eq!(explained(&sandbox, "data"), pair("./pintle-data", "default"));
    assert_eq!(explained(&sandbox, "organisation.currency"), pair("EUR", "pintle.toml:3"));

    let sandbox = Sandbox::with(&format!("{toml}[server]\nlisten = \"127.0.0.1:1\"\n"));
    assert_eq!(explained(&sandbox, "server.listen"), pair("127.0.0.1:1", "pintle.toml:5"));

    let sandbox = sandbox
        .env("PINTLE_LISTEN", "127.0.0.1:2")
        .env("PINTLE_PUBLIC_URL", "https://ai.example.com/")
        .env("PINTLE_DATA", "/from/environment");
    assert_eq!(explained(&sandbox, "server.listen"), pair("127.0.0.1:2", "environment PINTLE_LISTEN"));
    assert_eq!(
        explained(&sandbox, "server.public_url"),
        pair("https://ai.example.com/", "environment PINTLE_PUBLIC_URL")
    );
    assert_eq!(explained(&sandbox, "data"), pair("/from/environment", "environment PINTLE_DATA"));

    let run = sandbox.run(&["--data", "/from/flag", "config", "explain", "--json"]);
    let rows: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(rows[1]["value"], "/from/flag");
    assert_eq!(rows[1]["source"], "flag --data");

    let other = sandbox.path("other.toml").display().to_string();
    sandbox.write("other.toml", toml);
    let run = sandbox.run(&["config", "explain", "--config", &other]);
    assert!(run.out.contains("flag --config"), "{}", run.shown());
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let sandbox =
        Sandbox::with("[organisation]\nname = \"A\"\ncurrency = \"EUR\"\n").env("PINTLE_LISTEN", "");
    assert_eq!(explained(&sandbox, "server.listen"), pair("127.0.0.1:7411", "default"));
}

#[test]
fn secrets_are_explained_without_their_value() {
    let toml = "[organisation]\nname = \"A\"\ncurrency = \"EUR\"\n[[placement]]\nname = \"x\"\nprovider = \"openai\"\n\
        base_url = \"https://example.com/v1\"\nmodel = \"m\"\nzone = \"public_cloud\"\nclearance = \"internal\"\n\
        price = \"unpriced\"\napi_key = { env = \"PROVIDER_OPENAI_KEY\" }\n";
    let key = "placement[0].api_key.env";
    let sandbox = Sandbox::with(toml);
    assert_eq!(
        explained(&sandbox, key),
        pair("PROVIDER_OPENAI_KEY (not set, value hidden)", "pintle.toml:12")
    );
    let sandbox = sandbox.env("PROVIDER_OPENAI_KEY", "sk-hunter2");
    assert_eq!(explained(&sandbox, key), pair("PROVIDER_OPENAI_KEY (set, value hidden)", "pintle.toml:12"));
    assert!(!sandbox.run(&["config", "explain"]).shown().contains("hunter2"));
}

#[test]
fn without_a_file_the_demonstration_applies() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!("demo_check", sandbox.run(&["config", "check"]).shown());
    insta::assert_snapshot!("demo_explain", sandbox.run(&["config", "explain"]).shown());
    // A file in the folder is found without being named.
    sandbox.write("pintle.toml", "[organisation]\nname = \"Mine\"\ncurrency = \"CHF\"\n");
    assert!(sandbox.run(&["config", "check"]).out.contains("Mine"));
}

#[test]
fn the_schema_is_json_schema_and_names_what_is_required() {
    let run = Sandbox::new().run(&["config", "schema"]);
    assert_eq!(run.code, 0);
    let schema: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert!(schema["$schema"].as_str().unwrap().contains("json-schema.org"));
    assert_eq!(schema["required"], serde_json::json!(["organisation"]));
    let required = &schema["$defs"]["PlacementConfig"]["required"];
    assert_eq!(*required, serde_json::json!(["name", "provider", "model", "zone", "clearance", "price"]));
    insta::assert_snapshot!("schema", run.out);
}

#[test]
fn the_doctor_looks_at_everything_and_says_what_to_do() {
    let toml = "[organisation]\nname = \"A\"\ncurrency = \"EUR\"\n[[placement]]\nname = \"x\"\nprovider = \"openai\"\n\
        base_url = \"http://127.0.0.1:9/v1\"\nmodel = \"m\"\nzone = \"on_premises\"\nclearance = \"internal\"\n\
        price = \"unpriced\"\n";
    let sandbox = Sandbox::with(toml);
    let run = sandbox.run(&["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    let verdict = |check: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|found| found["check"] == check).unwrap_or_else(|| panic!("{check}: {}", run.out))
            ["verdict"]
            .clone()
    };
    assert_eq!(verdict("data folder"), "ok");
    assert_eq!(verdict("clock"), "ok");
    assert_eq!(verdict("server"), "ok");
    assert_eq!(verdict("configuration"), "ok");
    assert_eq!(verdict("price of x"), "warn");
    assert!(
        report["checks"]
            .as_array()
            .unwrap()
            .iter()
            .all(|found| found["verdict"] == "ok" || found["fix"].is_string())
    );

    sandbox.write("pintle.toml", "[organisation]\nname = \"A\"\n");
    let run = sandbox.run(&["doctor"]);
    assert_eq!(run.code, 1);
    assert!(
        run.out.contains("fail  configuration: pintle.toml:1:2: `currency` is missing"),
        "{}",
        run.shown()
    );
}
