//! What is shipped holds together: policies, schema, decision table.

use pintle_policy::{DEFAULT_TESTS, Effect, PolicyEngine, PolicySource, default_sources, run_tests};

use crate::support::{default_engine, source};

#[test]
fn each_shipped_policy_validates() {
    let engine = default_engine();
    let forbids: Vec<&str> =
        engine.rules().iter().filter(|rule| rule.effect == Effect::Forbid).map(|rule| &*rule.id).collect();
    assert_eq!(
        forbids,
        [
            "clearance",
            "confidential-public-cloud",
            "restricted-on-premises",
            "use-case-class",
            "own-model-class",
            "stage-idea",
            "stage-retired",
            "pilot-budget",
            "pilot-cap",
            "answer-class"
        ]
    );
    for rule in engine.rules() {
        assert!(rule.title.is_some(), "{} has no title", rule.id);
        let line = default_sources()
            .into_iter()
            .find(|source| source.name == *rule.file)
            .and_then(|source| source.text.lines().nth(rule.line - 1).map(str::to_owned));
        assert_eq!(line.unwrap(), format!("@id(\"{}\")", rule.id));
        assert_eq!(engine.rule(&rule.id), Some(rule));
    }
}

#[test]
fn the_shipped_table_passes_and_names_every_rule() {
    let report = run_tests(&default_engine(), DEFAULT_TESTS, "tests.toml").unwrap();
    assert_eq!(report.failed(), 0, "{report}");
    assert!(report.untested.is_empty(), "{report}");
    assert!(report.passed() > 25, "{report}");
}

/// Rewrites one policy of the shipped files, found by its id.
fn with_policy_changed(id: &str, change: impl Fn(&str) -> String) -> Vec<PolicySource> {
    let marker = format!("@id(\"{id}\")");
    default_sources()
        .into_iter()
        .map(|original| {
            let Some(start) = original.text.find(&marker) else { return original };
            let end = start + original.text[start..].find(";\n").unwrap() + 1;
            let changed = change(&original.text[start..end]);
            source(&original.name, &format!("{}{changed}{}", &original.text[..start], &original.text[end..]))
        })
        .collect()
}

/// The table is worth something only if it notices: without a rule, or with a rule that always applies,
/// some case must fail.
#[test]
fn the_shipped_table_notices_every_change_of_a_rule() {
    for rule in default_engine().rules() {
        let without = with_policy_changed(&rule.id, |_| String::new());
        assert!(notices(&without), "nothing fails without `{}`", rule.id);
        if rule.effect == Effect::Forbid {
            let always =
                with_policy_changed(&rule.id, |text| format!("{};", &text[..text.find("\nwhen").unwrap()]));
            assert!(notices(&always), "nothing fails when `{}` always applies", rule.id);
        }
    }
}

fn notices(sources: &[PolicySource]) -> bool {
    let engine = PolicyEngine::compile(sources).unwrap();
    // A rule that is named but gone is an error of the table: it noticed, too.
    run_tests(&engine, DEFAULT_TESTS, "tests.toml").map_or(true, |report| report.failed() > 0)
}

#[test]
fn equal_files_have_equal_versions() {
    let version = |sources: &[PolicySource]| PolicyEngine::compile(sources).unwrap().version().to_owned();
    let mut sources = default_sources();
    let before = version(&sources);
    assert_eq!(before, version(&sources));
    assert_eq!(before.len(), 12);
    sources[1].text.push_str("// a word more\n");
    assert_ne!(before, version(&sources));
}

#[test]
fn an_engine_is_shared_between_threads() {
    fn is_shared<T: Send + Sync>(_: &T) {}
    is_shared(&default_engine());
}
