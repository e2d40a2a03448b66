//! Each mistake that a configuration can have, and what its author reads. The snapshots are to be read as
//! a newcomer would.

use crate::support::Sandbox;

const ORGANISATION: &str = "[organisation]\nname = \"Example AG\"\ncurrency = \"EUR\"\n\n";

const SIMULATED: &str = "[[placement]]\nname = \"cloud-mini\"\nprovider = \"simulated\"\nmodel = \"sim-mini\"\n\
    zone = \"public_cloud\"\nclearance = \"internal\"\nprice = { input = \"0.15\", output = \"0.60\" }\n";

/// A remote placement with one line replaced or added: `key = value`.
fn remote(change: &str) -> String {
    let lines = [
        "name = \"gpt\"",
        "provider = \"openai\"",
        "base_url = \"https://api.openai.com/v1\"",
        "model = \"gpt-4o-mini\"",
        "zone = \"public_cloud\"",
        "clearance = \"internal\"",
        "price = { input = \"0.15\", output = \"0.60\" }",
    ];
    let key = change.split('=').next().unwrap().trim();
    let mut text = format!("{ORGANISATION}[[placement]]\n");
    let mut is_in = false;
    for line in lines {
        if line.starts_with(&format!("{key} =")) {
            is_in = true;
            // Only a key: without the line.
            if change.contains('=') {
                text.push_str(&format!("{change}\n"));
            }
        } else {
            text.push_str(&format!("{line}\n"));
        }
    }
    if !is_in && change.contains('=') {
        text.push_str(&format!("{change}\n"));
    }
    text
}

fn check(name: &str, toml: &str) {
    check_in(name, &Sandbox::with(toml));
}

fn check_in(name: &str, sandbox: &Sandbox) {
    let run = sandbox.run(&["config", "check"]);
    assert_eq!(run.code, 3, "{}", run.shown());
    assert!(run.out.is_empty(), "{}", run.out);
    insta::assert_snapshot!(name, run.shown());
}

#[test]
fn the_shape_of_the_file() {
    check("syntax", &format!("[organisation]\nname = \"Example AG\ncurrency = \"EUR\"\n{SIMULATED}"));
    check("unknown_key", &format!("[organisation]\nname = \"A\"\ncurrenzy = \"EUR\"\n{SIMULATED}"));
    check("unknown_key_far", &format!("{ORGANISATION}[limits]\ncolour = \"red\"\n{SIMULATED}"));
    check("unknown_table", &format!("{ORGANISATION}[servers]\nlisten = \"127.0.0.1:1\"\n{SIMULATED}"));
    check("single_brackets", &format!("{ORGANISATION}{}", SIMULATED.replace("[[placement]]", "[placement]")));
    check("missing_organisation", SIMULATED);
    check("missing_currency", &format!("[organisation]\nname = \"A\"\n{SIMULATED}"));
    check(
        "missing_in_placement",
        &format!("{ORGANISATION}[[placement]]\nname = \"x\"\nprovider = \"openai\"\n"),
    );
    check("wrong_type", &format!("{ORGANISATION}[limits]\nbody_mib = \"32\"\n{SIMULATED}"));
    check("negative", &format!("{ORGANISATION}[limits]\nretries = -1\n{SIMULATED}"));
    check("out_of_range", &format!("{ORGANISATION}[limits]\nbody_mib = 0\nretries = 11\n{SIMULATED}"));
}

#[test]
fn the_organisation() {
    check("empty_name", &format!("[organisation]\nname = \" \"\ncurrency = \"EUR\"\n{SIMULATED}"));
    check("currency", &format!("[organisation]\nname = \"A\"\ncurrency = \"Euro\"\n{SIMULATED}"));
    check(
        "time_zone",
        &format!("{}time_zone = \"Berlin\"\n{SIMULATED}", ORGANISATION.trim_end().to_owned() + "\n"),
    );
    for (name, value) in
        [("budget_float", "0.5"), ("budget_text", "\"1,000\""), ("budget_negative", "\"-1\"")]
    {
        check(
            name,
            &format!("{}monthly_budget = {value}\n{SIMULATED}", ORGANISATION.trim_end().to_owned() + "\n"),
        );
    }
}

#[test]
fn the_server() {
    check("listen", &format!("{ORGANISATION}[server]\nlisten = \"localhost:7411\"\n{SIMULATED}"));
    check("public_url", &format!("{ORGANISATION}[server]\npublic_url = \"ai.example.com\"\n{SIMULATED}"));
    let sandbox = Sandbox::with(&format!("{ORGANISATION}{SIMULATED}")).env("PINTLE_LISTEN", "7411");
    check_in("listen_in_environment", &sandbox);
}

#[test]
fn i4_a_placement_without_a_price_stops_the_start() {
    check("missing_price", &remote("price"));
    check("price_text", &remote("price = \"free\""));
    check("price_float", &remote("price = { input = 0.15, output = \"0.60\" }"));
    check("price_half", &remote("price = { input = \"0.15\" }"));
    check("price_unknown_key", &remote("price = { input = \"0.15\", ouptut = \"0.60\" }"));
    let unpriced = Sandbox::with(&remote("price = \"unpriced\"")).run(&["config", "check"]);
    assert_eq!(unpriced.code, 0, "{}", unpriced.shown());
}

#[test]
fn placements() {
    check("placement_name", &remote("name = \"GPT 4\""));
    check("provider", &remote("provider = \"opnai\""));
    check("zone", &remote("zone = \"moon\""));
    check("i1_public_cloud_restricted", &remote("clearance = \"restricted\""));
    check("duplicate_placement", &format!("{ORGANISATION}{SIMULATED}\n{SIMULATED}"));
    check("simulated_with_url", &format!("{ORGANISATION}{SIMULATED}base_url = \"https://example.com/v1\"\n"));
    check("azure_without_version", &remote("provider = \"azure_openai\""));
    check("version_not_used", &remote("api_version = \"2024-10-21\""));
    check("timeout", &remote("timeouts = { connect_ms = 0 }"));
    check("url_missing", &remote("base_url"));
    check("url_scheme", &remote("base_url = \"api.openai.com/v1\""));
    check("url_plain", &remote("base_url = \"http://models.example.com/v1\""));
    let own = remote("base_url = \"http://10.0.0.12:8000/v1\"").replace("public_cloud", "on_premises");
    assert_eq!(
        Sandbox::with(&own).run(&["config", "check"]).code,
        0,
        "own machines may be spoken to plainly"
    );
}

/// A placement that Pintle serves itself, with some lines.
fn embedded(lines: &str) -> String {
    format!(
        "{ORGANISATION}[[placement]]\nname = \"own\"\nprovider = \"embedded\"\nzone = \"on_premises\"\n\
         clearance = \"restricted\"\nprice = {{ input = \"0\", output = \"0\" }}\n{lines}\n"
    )
}

#[test]
fn own_models() {
    check("own_folder_without_class", &embedded("model = \"llama\"\nfolder = \"models/llama\""));
    check("own_class_without_folder", &embedded("model = \"handbook\"\ntrained_on = \"internal\""));
    check("own_folder_empty", &embedded("model = \"a\"\nfolder = \" \"\ntrained_on = \"public\""));
    check("own_weights", &embedded("model = \"handbook\"\nweights = \"int4\""));
    check("own_model_name", &embedded("model = \"Acme/Handbook\""));
    check(
        "own_settings_elsewhere",
        &remote("folder = \"models/llama\"\ntrained_on = \"public\"\nweights = \"f32\""),
    );
    check("own_with_url", &embedded("model = \"handbook\"\nbase_url = \"https://example.com/v1\""));
    // A folder may come later: a warning, and the others start.
    let missing =
        embedded("model = \"llama\"\nfolder = \"models/llama\"\ntrained_on = \"public\"\nweights = \"int8\"");
    let sandbox = Sandbox::with(&missing);
    let run = sandbox.run(&["config", "check"]);
    assert_eq!(run.code, 0, "{}", run.shown());
    assert!(run.shown().contains("there is no model in"), "{}", run.shown());
    sandbox.write("models/llama/config.json", "{}");
    let run = sandbox.run(&["config", "check"]);
    assert!(run.code == 0 && !run.shown().contains("warning"), "{}", run.shown());
    let explained = sandbox.run(&["config", "explain"]).out;
    for row in ["placement[0].folder", "placement[0].trained_on", "placement[0].weights"] {
        assert!(explained.contains(row), "{row}: {explained}");
    }
}

#[test]
fn secrets_are_never_repeated() {
    let secret = "sk-proj-hunter2";
    for (name, change) in [
        ("secret_inline", format!("api_key = \"{secret}\"")),
        ("secret_as_variable", format!("api_key = {{ env = \"{secret}\" }}")),
        ("secret_wrong_key", format!("api_key = {{ value = \"{secret}\" }}")),
        ("secret_both", format!("api_key = {{ env = \"A\", file = \"{secret}\" }}")),
        ("secret_unquoted", format!("api_key = {secret}")),
        ("url_credentials", format!("base_url = \"https://me:{secret}@example.com/v1\"")),
        ("url_query", format!("base_url = \"https://example.com/v1?key={secret}\"")),
    ] {
        let sandbox = Sandbox::with(&remote(&change));
        check_in(name, &sandbox);
        for args in
            [&["config", "check", "--json"][..], &["config", "explain"], &["doctor"], &["policy", "list"]]
        {
            let shown = sandbox.run(args).shown();
            assert!(!shown.contains("hunter2"), "{args:?}: {shown}");
        }
    }
}

#[test]
fn secrets_that_are_not_there() {
    check("secret_variable_missing", &remote("api_key = { env = \"PROVIDER_OPENAI_KEY\" }"));
    check("secret_file_missing", &remote("api_key = { file = \"openai.key\" }"));
    let empty = Sandbox::with(&remote("api_key = { file = \"openai.key\" }"));
    empty.write("openai.key", "\n");
    check_in("secret_file_empty", &empty);
    let two = Sandbox::with(&remote("api_key = { file = \"openai.key\" }"));
    two.write("openai.key", "sk-hunter2\nsk-hunter3\n");
    check_in("secret_file_two_lines", &two);

    let skipped = empty.run(&["config", "check", "--skip-secrets"]);
    assert_eq!(skipped.code, 0, "{}", skipped.shown());
}

#[test]
fn a_secret_file_that_others_can_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::with(&remote("api_key = { file = \"openai.key\" }"));
    sandbox.write("openai.key", "sk-hunter2\n");
    assert_eq!(sandbox.run(&["config", "check"]).err, "");
    std::fs::set_permissions(sandbox.path("openai.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let run = sandbox.run(&["config", "check"]);
    assert_eq!(run.code, 0);
    insta::assert_snapshot!("secret_file_open", run.shown());
}

#[test]
fn the_guard() {
    let dictionary = format!(
        "{ORGANISATION}[guard]\ndictionaries = [{{ name = \"clients\", class = \"confidential\", file = \"clients.txt\" }}]\n{SIMULATED}"
    );
    check("dictionary_missing", &dictionary);
    let short = Sandbox::with(&dictionary);
    short.write("clients.txt", "# our clients\nHarbour Gold\nab\n");
    check_in("dictionary_entry", &short);
    assert!(!short.run(&["config", "check"]).shown().contains("Harbour"));
    check(
        "unknown_kind",
        &format!(
            "{ORGANISATION}[guard]\ndisabled = [\"ibn\"]\n[guard.classes]\nphon = \"public\"\n{SIMULATED}"
        ),
    );
    check("class", &format!("{ORGANISATION}[guard.classes]\niban = \"secret\"\n{SIMULATED}"));
}

#[test]
fn policies() {
    let toml = format!("{ORGANISATION}[policy]\nfolder = \"policies\"\n\n{SIMULATED}");
    check("policy_folder_missing", &toml);
    let empty = Sandbox::with(&toml);
    empty.write("policies/readme.txt", "nothing");
    check_in("policy_folder_empty", &empty);
    let broken = Sandbox::with(&toml);
    broken.write(
        "policies/own.cedar",
        "permit(principal, action, resource) when { resource.colour == \"red\" };\n",
    );
    check_in("policy_invalid", &broken);
}

#[test]
fn everything_at_once() {
    let toml = "[organisation]\nname = \"Example AG\"\ncurrency = \"Euro\"\ntime_zone = \"Berlin\"\n\n\
        [server]\nlisten = \"7411\"\n\n[limits]\nbody_mib = \"32\"\nretrys = 3\n\n\
        [[placement]]\nname = \"GPT\"\nprovider = \"openai\"\nmodel = \"gpt-4o-mini\"\nzone = \"public_cloud\"\n\
        clearance = \"restricted\"\nbase_url = \"api.openai.com\"\napi_key = { env = \"PROVIDER_OPENAI_KEY\" }\n";
    check("everything", toml);
    let json = Sandbox::with(toml).run(&["config", "check", "--json"]);
    assert_eq!(json.code, 3);
    let report: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(report["ok"], false);
    let lines: Vec<u64> = report["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| problem["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [3, 4, 7, 10, 11, 13, 14, 18, 19, 20], "in the file's order: {}", json.out);
}

#[test]
fn the_file_itself() {
    let run = Sandbox::new().run(&["config", "check", "nowhere.toml"]);
    assert_eq!(run.code, 3);
    insta::assert_snapshot!("file_missing", run.shown());
    let named = Sandbox::new().env("PINTLE_CONFIG", "nowhere.toml").run(&["config", "check"]);
    assert_eq!(named.code, 3, "a file that is named must be there: {}", named.shown());
    let binary = Sandbox::new();
    std::fs::write(binary.path("pintle.toml"), [0xFF, 0xFE]).unwrap();
    insta::assert_snapshot!("file_binary", binary.run(&["config", "check"]).shown());
    let large = Sandbox::with(&"#".repeat(2 * 1024 * 1024));
    insta::assert_snapshot!("file_large", large.run(&["config", "check"]).shown());
}

#[test]
fn the_demonstration_listens_on_loopback_only() {
    let run = Sandbox::new().run(&["--demo", "--listen", "0.0.0.0:0"]);
    assert_eq!(run.code, 3);
    insta::assert_snapshot!("demo_not_loopback", run.shown());
}

#[test]
fn no_placement_is_a_warning() {
    let run = Sandbox::with(ORGANISATION).run(&["config", "check"]);
    assert_eq!(run.code, 0);
    insta::assert_snapshot!("no_placement", run.shown());
}
