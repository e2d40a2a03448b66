//! `pintle policy`: what a security team sees, without a server.

use serde_json::Value;

use crate::support::Sandbox;

/// A case about a use case at a stage that may not call.
fn refused(stage: &str, expect: &str) -> String {
    format!(
        "[[case]]\nname = \"{stage}\"\naction = \"call\"\n\
         use_case = {{ stage = \"{stage}\", data_class = \"internal\" }}\n\
         expect = \"{expect}\"\nrules = [\"stage-{stage}\"]\n"
    )
}

#[test]
fn policies_are_tested_and_listed_without_a_server() {
    let sandbox = Sandbox::new();
    let run = sandbox.run(&["policy", "test"]);
    assert_eq!(run.code, 0, "the built-in policies pass their own table: {}", run.shown());
    assert_eq!(sandbox.run(&["policy", "test", "nowhere.toml"]).code, 1);
    let list = sandbox.run(&["policy", "list", "--json"]);
    let rules: Value = serde_json::from_str(&list.out).unwrap();
    assert!(rules.as_array().unwrap().iter().any(|rule| rule["id"] == "clearance"), "{}", list.out);
}

#[test]
fn several_tables_are_judged_together() {
    let sandbox = Sandbox::new();
    sandbox.write("ideas.toml", &refused("idea", "refuse"));
    sandbox.write("ends.toml", &refused("retired", "allow"));
    let run = sandbox.run(&["policy", "test", "ideas.toml", "ends.toml"]);
    insta::assert_snapshot!("policy_test", run.shown());

    sandbox.write("ends.toml", &refused("retired", "refuse"));
    let run = sandbox.run(&["policy", "test", "ideas.toml", "ends.toml", "--json"]);
    let report: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!((run.code, &report["ok"]), (0, &Value::Bool(true)), "{}", run.shown());
    let untested = report["untested"].as_array().unwrap();
    assert!(untested.iter().all(|id| !id.as_str().unwrap().starts_with("stage-")), "{untested:?}");
    assert!(untested.iter().any(|id| id == "clearance"), "{untested:?}");
}

#[test]
fn a_broken_table_has_one_hint() {
    let sandbox = Sandbox::new();
    for (name, table) in [
        ("syntax", "[[case]\n"),
        ("field", "[[case]]\nname = \"a\"\nusecase = 1\n"),
        ("rule", &refused("production", "refuse")),
    ] {
        sandbox.write("broken.toml", table);
        let run = sandbox.run(&["policy", "test", "broken.toml"]);
        assert_eq!(run.code, 2, "{}", run.shown());
        assert_eq!(run.err.matches("hint:").count(), 1, "{name}: {}", run.shown());
        insta::assert_snapshot!(format!("policy_broken_{name}"), run.shown());
    }
}

#[test]
fn what_is_built_in_can_be_made_ones_own() {
    let sandbox = Sandbox::new();
    let run = sandbox.run(&["policy", "export", "rules"]);
    insta::assert_snapshot!("policy_export", run.shown());
    let built_in = sandbox.run(&["policy", "list"]).out.lines().count();

    // It works as it was written, and says where each rule stands now.
    let toml = "[organisation]\nname = \"A\"\ncurrency = \"EUR\"\n[policy]\nfolder = \"rules\"\n";
    sandbox.write("pintle.toml", toml);
    let test = sandbox.run(&["policy", "test", "rules/tests.toml"]);
    assert_eq!((test.code, test.err.as_str()), (0, ""), "{}", test.shown());
    let list = sandbox.run(&["policy", "list"]).out;
    assert!(list.contains("rules/stages.cedar:") && list.lines().count() == built_in, "{list}");

    // What somebody changed stays, and nothing beside it is written.
    sandbox.write("rules/tests.toml", "mine");
    std::fs::remove_file(sandbox.path("rules/content.cedar")).unwrap();
    let again = sandbox.run(&["policy", "export", "rules"]);
    assert_eq!(again.code, 6, "{}", again.shown());
    assert!(!sandbox.path("rules/content.cedar").exists());
    assert_eq!(std::fs::read_to_string(sandbox.path("rules/tests.toml")).unwrap(), "mine");
    let forced = sandbox.run(&["policy", "export", "rules", "--force", "--json"]);
    let written: Value = serde_json::from_str(&forced.out).unwrap();
    assert_eq!((forced.code, written["written"].as_array().unwrap().len()), (0, 6), "{}", forced.shown());
    assert_ne!(std::fs::read_to_string(sandbox.path("rules/tests.toml")).unwrap(), "mine");

    // A wrong configuration is no reason against it.
    sandbox.write("pintle.toml", "nonsense");
    assert_eq!(sandbox.run(&["policy", "export", "more"]).code, 0);
    sandbox.write("file", "");
    assert_eq!(sandbox.run(&["policy", "export", "file"]).code, 1);
}
