//! Decision tables as a security team meets them: what a failing case and a mistake in the table read like.

use pintle_policy::{run_tests, untested_in_all};

use crate::support::default_engine;

fn report(table: &str) -> String {
    run_tests(&default_engine(), table, "team.toml").unwrap().to_string()
}

fn error(table: &str) -> String {
    run_tests(&default_engine(), table, "team.toml").unwrap_err().to_string()
}

#[test]
fn failing_cases_explain_themselves() {
    insta::assert_snapshot!(report(
        r#"
[[case]]
name = "customer data stays here"
use_case = { stage = "production", data_class = "confidential", transformations = ["pseudonymise"] }
placement = { zone = "public_cloud", clearance = "internal" }
content = { class = "confidential", labels = ["iban"] }
expect = "refuse"
rules = ["clearance"]

[[case]]
name = "the pilot is refused for its stage"
action = "call"
use_case = { stage = "pilot", data_class = "internal" }
expect = "refuse"
rules = ["stage-idea"]

[[case]]
name = "an idea does not call"
action = "call"
use_case = { stage = "idea", data_class = "internal" }
expect = "refuse"
rules = ["stage-idea"]
"#
    ));
}

#[test]
fn an_unknown_field() {
    insta::assert_snapshot!(error(
        r#"
[[case]]
name = "a"
use_case = { stage = "production", dataclass = "internal" }
expect = "allow"
"#
    ));
}

#[test]
fn a_word_that_does_not_exist() {
    insta::assert_snapshot!(error(
        r#"
[[case]]
name = "a"
use_case = { stage = "production", data_class = "secret" }
expect = "allow"
"#
    ));
}

#[test]
fn money_is_no_float() {
    insta::assert_snapshot!(error(
        r#"
[[case]]
name = "a"
action = "call"
use_case = { stage = "pilot", data_class = "internal", budget = 1e3 }
expect = "allow"
"#
    ));
}

#[test]
fn cases_that_make_no_sense() {
    insta::assert_snapshot!(error(
        r#"
[[case]]
name = "a call has no content"
action = "call"
use_case = { stage = "production", data_class = "internal" }
content = { class = "internal" }
expect = "allow"

[[case]]
name = "a sending without a placement"
use_case = { stage = "production", data_class = "internal" }
content = { class = "internal" }
expect = "allow"

[[case]]
name = "a call is not masked"
action = "call"
use_case = { stage = "production", data_class = "internal" }
expect = "mask"

[[case]]
name = "a rule that is not there"
action = "call"
use_case = { stage = "idea", data_class = "internal" }
expect = "refuse"
rules = ["stage-ide"]
"#
    ));
}

#[test]
fn an_empty_table_tests_nothing() {
    assert!(error("").contains("team.toml:1:1: there is no case in it"));
}

#[test]
fn rules_that_no_case_names_are_told() {
    let table = r#"
[[case]]
name = "an idea does not call"
action = "call"
use_case = { stage = "idea", data_class = "internal" }
expect = "refuse"
rules = ["stage-idea"]
"#;
    let report = run_tests(&default_engine(), table, "team.toml").unwrap();
    assert_eq!((report.passed(), report.failed()), (1, 0));
    assert_eq!(report.cases[0].line, 2);
    assert!(report.untested.iter().any(|id| &**id == "clearance"));
    assert!(!report.untested.iter().any(|id| &**id == "stage-idea"));
}

#[test]
fn what_one_table_leaves_out_another_may_name() {
    let table = |action: &str, stage: &str, rule: &str| {
        let text = format!(
            "[[case]]\nname = \"a\"\naction = \"{action}\"\nuse_case = {{ stage = \"{stage}\", \
             data_class = \"internal\" }}\nexpect = \"refuse\"\nrules = [\"{rule}\"]\n"
        );
        run_tests(&default_engine(), &text, "team.toml").unwrap()
    };
    let reports = [table("call", "idea", "stage-idea"), table("call", "retired", "stage-retired")];
    let untested = untested_in_all(&reports);
    assert_eq!(untested.len() + 2, 10, "{untested:?}");
    assert!(!untested.iter().any(|id| id.starts_with("stage-")), "{untested:?}");
    assert_eq!(untested_in_all(&reports[..1]), reports[0].untested);
    assert!(untested_in_all(&[]).is_empty());
}
