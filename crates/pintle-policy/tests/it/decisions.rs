//! Decisions with policies of one's own: guidance, failing rules, slices.

use pintle_core::{DataClass, Stage, Zone};
use pintle_policy::{AnswerRule, Content, Decision, NO_PERMIT, POLICY_ERROR, PolicyEngine, Transformation};

use crate::support::{TRANSFORMATIONS, content, default_engine, engine_with, placement, source, subject};

fn to_internal(_: Transformation) -> DataClass {
    DataClass::Internal
}

fn refusal(decision: Decision) -> Vec<String> {
    match decision {
        Decision::Refuse { reasons } => reasons.iter().map(|reason| reason.rule.to_string()).collect(),
        Decision::Allow { .. } => panic!("allowed: {decision:?}"),
    }
}

#[test]
fn i7_a_refusal_names_rule_guidance_and_owner() {
    let decision = default_engine().propose(
        &subject(DataClass::Confidential, &[]),
        &placement(Zone::PublicCloud, DataClass::Internal),
        &content(DataClass::Confidential),
        &to_internal,
    );
    let Decision::Refuse { reasons } = decision else { panic!("{decision:?}") };
    assert_eq!(reasons.len(), 2);
    assert_eq!(&*reasons[0].rule, "clearance");
    assert_eq!(&*reasons[0].owner, "IT Security");
    assert!(reasons[0].guidance.starts_with("This model is not cleared"));
    assert_eq!(&*reasons[1].rule, "confidential-public-cloud");
}

#[test]
fn a_transformation_is_proposed_only_where_the_use_case_allows_it() {
    let engine = default_engine();
    let cloud = placement(Zone::PublicCloud, DataClass::Internal);
    for allowed in TRANSFORMATIONS {
        let decision = engine.propose(
            &subject(DataClass::Confidential, allowed),
            &cloud,
            &content(DataClass::Confidential),
            &to_internal,
        );
        match (allowed.first(), decision) {
            (None, Decision::Refuse { .. }) => {}
            (Some(first), Decision::Allow { applied, sent_class, rules, because }) => {
                assert_eq!(applied, Some(*first));
                assert_eq!(sent_class, DataClass::Internal);
                assert_eq!(rules, ["base-send".into()]);
                assert_eq!(&*because[0].rule, "clearance", "why it may not go raw is told");
            }
            (_, decision) => panic!("{allowed:?}: {decision:?}"),
        }
    }
}

#[test]
fn what_needs_no_transformation_gets_none() {
    let residual = |_: Transformation| -> DataClass { panic!("not needed, so not computed") };
    let decision = default_engine().propose(
        &subject(DataClass::Confidential, &[Transformation::Mask]),
        &placement(Zone::OnPremises, DataClass::Restricted),
        &content(DataClass::Confidential),
        &residual,
    );
    let Decision::Allow { applied: None, sent_class: DataClass::Confidential, because, .. } = decision else {
        panic!("{decision:?}")
    };
    assert!(because.is_empty());
}

#[test]
fn transformations_do_not_help_what_cannot_be_scanned() {
    let image = Content { class: DataClass::Public, unscannable: true, ..Content::default() };
    let subject = subject(DataClass::Restricted, &[Transformation::Pseudonymise, Transformation::Mask]);
    for zone in Zone::ALL {
        for clearance in DataClass::ALL {
            // The caller errs: it says that a mask makes the image internal.
            let decision =
                default_engine().propose(&subject, &placement(*zone, *clearance), &image, &to_internal);
            let may = *zone == Zone::OnPremises && *clearance == DataClass::Restricted;
            match decision {
                Decision::Allow { sent_class, .. } => {
                    assert!(may, "{zone} {clearance}");
                    assert_eq!(sent_class, DataClass::Restricted);
                }
                Decision::Refuse { .. } => assert!(!may, "{zone} {clearance}"),
            }
        }
    }
}

#[test]
fn i6_a_failing_policy_refuses() {
    // Valid for Cedar, but the product leaves 64 bits for confidential content.
    let engine = engine_with(
        r#"
        @id("broken") @guidance("Never.") @owner("Legal")
        forbid (principal, action == Action::"send", resource)
        when { context.class * 9223372036854775807 < 0 };
        "#,
    );
    let own = placement(Zone::OnPremises, DataClass::Restricted);
    let subject = subject(DataClass::Restricted, &[Transformation::Mask]);
    let decision = engine.propose(&subject, &own, &content(DataClass::Confidential), &to_internal);
    let Decision::Refuse { reasons } = decision else { panic!("{decision:?}") };
    assert_eq!(&*reasons[0].rule, POLICY_ERROR);
    assert_eq!(&*reasons[0].owner, "Legal", "the owner of the rule that failed is asked");
    assert_eq!(reasons.len(), 1);
    // Where the same rule can be evaluated, it does no harm.
    let decision = engine.propose(&subject, &own, &content(DataClass::Internal), &to_internal);
    assert!(matches!(decision, Decision::Allow { applied: None, .. }), "{decision:?}");
}

#[test]
fn i6_a_permit_that_fails_refuses_too() {
    let engine = PolicyEngine::compile(&[source(
        "own.cedar",
        r#"
        @id("all") permit (principal, action, resource);
        @id("broken") permit (principal, action == Action::"call", resource)
        when { principal.data_class * 9223372036854775807 > 0 };
        "#,
    )])
    .unwrap();
    assert!(engine.may_call(&subject(DataClass::Internal, &[])).is_ok());
    let reasons = engine.may_call(&subject(DataClass::Restricted, &[])).unwrap_err();
    assert_eq!(&*reasons[0].rule, POLICY_ERROR);
}

#[test]
fn i6_a_failure_after_a_transformation_refuses() {
    let engine = engine_with(
        r#"
        @id("broken-when-masked") @guidance("Never.") @owner("Legal")
        forbid (principal, action == Action::"send", resource)
        when { context.applied.contains("mask") && context.class * 9223372036854775807 < 0 };
        "#,
    );
    let reasons = refusal(engine.propose(
        &subject(DataClass::Confidential, &[Transformation::Mask]),
        &placement(Zone::PublicCloud, DataClass::Internal),
        &content(DataClass::Confidential),
        &to_internal,
    ));
    assert_eq!(reasons, ["clearance", "confidential-public-cloud", POLICY_ERROR]);
}

#[test]
fn what_no_rule_permits_is_refused_and_explained() {
    let engine = PolicyEngine::compile(&[]).unwrap();
    let subject = subject(DataClass::Restricted, &[]);
    let reasons = engine.may_call(&subject).unwrap_err();
    assert_eq!(&*reasons[0].rule, NO_PERMIT);
    assert!(!reasons[0].guidance.is_empty() && !reasons[0].owner.is_empty());
    let own = placement(Zone::OnPremises, DataClass::Restricted);
    assert_eq!(
        refusal(engine.propose(&subject, &own, &content(DataClass::Public), &to_internal)),
        [NO_PERMIT]
    );
}

#[test]
fn a_rule_for_one_use_case_binds_that_one_alone() {
    let engine = engine_with(
        r#"
        @id("claims-in-europe") @guidance("Use a model in Europe.") @owner("Legal")
        forbid (principal == UseCase::"claims", action in [Action::"send"], resource)
        when { resource.region == "eu" };
        "#,
    );
    let own = placement(Zone::OnPremises, DataClass::Restricted);
    let claims = subject(DataClass::Restricted, &[]);
    assert_eq!(
        refusal(engine.propose(&claims, &own, &content(DataClass::Confidential), &to_internal)),
        ["claims-in-europe"]
    );
    let mut other = claims.clone();
    other.use_case = "support".parse().unwrap();
    let decision = engine.propose(&other, &own, &content(DataClass::Confidential), &to_internal);
    assert!(matches!(decision, Decision::Allow { .. }), "{decision:?}");
    // The default rules still bind the use case that has rules of its own.
    let cloud = placement(Zone::PublicCloud, DataClass::Internal);
    assert_eq!(
        refusal(engine.propose(&claims, &cloud, &content(DataClass::Restricted), &to_internal)),
        ["clearance", "confidential-public-cloud", "restricted-on-premises", "claims-in-europe"]
    );
    assert!(engine.may_call(&claims).is_ok());
}

#[test]
fn labels_reach_the_rules() {
    let engine = engine_with(
        r#"
        @id("no-cards") @guidance("Leave card numbers out.") @owner("Finance")
        forbid (principal, action == Action::"send", resource)
        when { context.labels.contains("credit_card") };
        "#,
    );
    let own = placement(Zone::OnPremises, DataClass::Restricted);
    let subject = subject(DataClass::Restricted, &[]);
    let mut found = content(DataClass::Confidential);
    assert!(matches!(engine.propose(&subject, &own, &found, &to_internal), Decision::Allow { .. }));
    found.labels.insert("credit_card".into());
    assert_eq!(refusal(engine.propose(&subject, &own, &found, &to_internal)), ["no-cards"]);
}

#[test]
fn every_stage_calls_or_does_not() {
    let engine = default_engine();
    for stage in Stage::ALL {
        let mut subject = subject(DataClass::Internal, &[]);
        subject.stage = *stage;
        subject.budget = Some("500".parse().unwrap());
        let may = !matches!(stage, Stage::Idea | Stage::Retired);
        assert_eq!(engine.may_call(&subject).is_ok(), may, "{stage}");
    }
}

#[test]
fn the_answer_table_says_what_the_policies_say() {
    let engine = engine_with(
        r#"
        @id("never-restricted") @guidance("Ask on premises.") @owner("IT Security")
        forbid (principal, action == Action::"answer", resource)
        when { context.class >= 3 };
        "#,
    );
    let own = placement(Zone::OnPremises, DataClass::Restricted);
    let subject = subject(DataClass::Internal, &[]);
    let table = engine.answer_table(&subject, &own);
    let rules: Vec<AnswerRule> = DataClass::ALL.iter().map(|class| table.for_class(*class)).collect();
    assert_eq!(rules, [AnswerRule::Pass, AnswerRule::Pass, AnswerRule::Mask, AnswerRule::Stop]);
    let stopped = engine.propose_answer(&subject, &own, &content(DataClass::Restricted), DataClass::Internal);
    assert_eq!(refusal(stopped), ["answer-class", "never-restricted"]);
}
