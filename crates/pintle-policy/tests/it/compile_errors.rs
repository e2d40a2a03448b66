//! What the authors of policies read when something is wrong. All mistakes at once, each with its place.

use pintle_core::{DataClass, Zone};
use pintle_policy::{Decision, PolicyEngine, PolicySource};

use crate::support::{content, placement, source, subject};

fn errors(sources: &[PolicySource]) -> String {
    PolicyEngine::compile(sources).unwrap_err().to_string()
}

fn errors_in(text: &str) -> String {
    errors(&[source("own.cedar", text)])
}

#[test]
fn a_syntax_error() {
    insta::assert_snapshot!(errors_in(
        r#"
// A word too many; a policy that is fine; a bracket too few.
@id("a")
permit (principal, any action, resource);

@id("b")
permit (principal, action, resource);

@id("c")
permit (principal, action, resource) when { 1 < (2 };
"#
    ));
}

#[test]
fn a_missing_semicolon() {
    insta::assert_snapshot!(errors_in(
        "@id(\"a\")\npermit (principal, action, resource)\n\n@id(\"b\")\npermit (principal, action, resource);\n"
    ));
}

#[test]
fn an_unknown_attribute() {
    insta::assert_snapshot!(errors_in(
        r#"
@id("a") @guidance("Do this.") @owner("IT Security")
forbid (principal, action == Action::"send", resource)
when { resource.clearence < 2 };
"#
    ));
}

#[test]
fn a_fact_that_the_question_does_not_have() {
    insta::assert_snapshot!(errors_in(
        r#"
@id("a") @guidance("Do this.") @owner("IT Security")
forbid (principal, action, resource is Placement)
when { context.class > 2 };

@id("b") @guidance("Do this.") @owner("IT Security")
forbid (principal, action == Action::"call", resource)
when { context.class > 2 };
"#
    ));
}

#[test]
fn an_optional_attribute_without_has() {
    insta::assert_snapshot!(errors_in(
        r#"
@id("a") @guidance("Do this.") @owner("IT Security")
forbid (principal, action == Action::"call", resource)
when { principal.budget_nanos > 5 };
"#
    ));
}

#[test]
fn an_unknown_action() {
    insta::assert_snapshot!(errors_in(r#"@id("a") permit (principal, action == Action::"sned", resource);"#));
}

#[test]
fn a_word_that_no_fact_can_equal() {
    insta::assert_snapshot!(errors_in(
        r#"
@id("a") @guidance("Do this.") @owner("IT Security")
forbid (principal, action == Action::"send", resource)
when { resource.zone == "public-cloud" || ["idea", "dead"].contains(principal.stage) }
unless { context.applied.contains("masked") || principal.transformations.containsAny(["mask", "Mask"]) };
"#
    ));
}

#[test]
fn a_rule_that_never_applies() {
    insta::assert_snapshot!(errors_in(
        r#"
@id("a") @guidance("Do this.") @owner("IT Security")
forbid (principal, action == Action::"send", resource is Organisation);
"#
    ));
}

#[test]
fn conditions_that_exclude_each_other() {
    insta::assert_snapshot!(errors_in(
        r#"
@id("a") @guidance("Do this.") @owner("IT Security")
forbid (principal, action == Action::"send", resource)
when { resource is Placement }
unless { principal is UseCase };
"#
    ));
}

#[test]
fn a_missing_id() {
    insta::assert_snapshot!(errors_in(
        "permit (principal, action, resource);\n@id\npermit (principal, action, resource);\n"
    ));
}

#[test]
fn a_double_id_over_two_files() {
    let text = "// A comment.\n@id(\"a\") permit (principal, action, resource);\n";
    insta::assert_snapshot!(errors(&[source("one.cedar", text), source("two.cedar", text)]));
}

#[test]
fn a_forbid_without_guidance_and_owner() {
    insta::assert_snapshot!(errors_in(
        "\n@id(\"quiet\")\nforbid (principal, action == Action::\"call\", resource);\n"
    ));
}

#[test]
fn annotations_that_are_no_plain_text() {
    insta::assert_snapshot!(errors_in(concat!(
        "@id(\"a b\") permit (principal, action, resource);\n",
        "@id(\"clearance-floor\") permit (principal, action, resource);\n",
        "@id(\"a\") @guidance(\" \") @owner(\"two\\nlines\")\n",
        "forbid (principal, action == Action::\"call\", resource);\n",
    )));
}

#[test]
fn a_template() {
    insta::assert_snapshot!(errors_in("@id(\"a\") permit (principal == ?principal, action, resource);"));
}

#[test]
fn sizes_are_bounded() {
    let large = format!("// {}\n", "x".repeat(1 << 20));
    assert!(errors_in(&large).contains("own.cedar:1:1: the file is larger than 1048576 bytes"));
    let many: String =
        (0..2_001).map(|n| format!("@id(\"p{n}\") permit (principal, action, resource);\n")).collect();
    assert!(errors_in(&many).contains("own.cedar:2001:1: there are more than 2000 policies"));
}

fn send_policy(condition: &str) -> String {
    format!("@id(\"a\") permit (principal, action == Action::\"send\", resource) when {{ {condition} }};")
}

#[test]
fn depth_is_bounded() {
    let deep = format!("{}true{}", "(".repeat(20_000), ")".repeat(20_000));
    assert!(
        errors_in(&send_policy(&deep))
            .contains("own.cedar:1:1: the brackets of the policy nest deeper than 24")
    );
    for chain in [format!("1{} > 0", "+1".repeat(20_000)), format!("context{}", ".class".repeat(20_000))] {
        assert!(
            errors_in(&send_policy(&chain)).contains("own.cedar:1:1: the policy has more than 256 operators")
        );
    }
}

/// Whatever is within the bounds is validated and evaluated to its end, on the small stack of a test
/// thread in a debug build.
#[test]
fn what_is_within_the_bounds_works() {
    let nested = |inner: &str| format!("{}{inner}{}", "(".repeat(23), ")".repeat(23));
    for condition in [
        nested("true"),
        format!("{} > 0", nested(&format!("1{}", "+1".repeat(252)))),
        format!("true{}", "||true".repeat(126)),
        format!("{}true", "if true then true else ".repeat(253)),
    ] {
        let engine = PolicyEngine::compile(&[source("own.cedar", &send_policy(&condition))]).unwrap();
        let decision = engine.propose(
            &subject(DataClass::Internal, &[]),
            &placement(Zone::OnPremises, DataClass::Internal),
            &content(DataClass::Internal),
            &|_| DataClass::Internal,
        );
        assert!(matches!(decision, Decision::Allow { .. }), "{condition}: {decision:?}");
    }
    // What is wrong stands at the bottom of the tree, and the validator gets as far as that.
    let late = format!("(context.nothing){}", "||false".repeat(125));
    assert!(errors_in(&send_policy(&late)).contains("attribute `nothing` in context"));
    let chain = format!("context{}", ".class".repeat(250));
    assert!(PolicyEngine::compile(&[source("own.cedar", &send_policy(&chain))]).is_err());
}
