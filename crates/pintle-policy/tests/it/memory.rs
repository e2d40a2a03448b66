//! What is remembered is what would be said: the memory changes the time, never the verdict.

use std::{collections::BTreeSet, sync::Arc};

use pintle_core::{Amount, DataClass, Stage, Zone};
use pintle_policy::{Content, Exchange, PlacementFacts, PolicyEngine, Question, Subject, Transformation};
use proptest::{prelude::*, sample::select, strategy::Strategy};

use crate::support::{content, default_engine, engine_with, placement, subject};

fn subjects() -> impl Strategy<Value = Subject> {
    let names = select(vec!["claims", "support"]);
    let budgets = select(vec![None, Some(0), Some(500_000_000_000), Some(500_000_000_001)]);
    let transformations = prop::collection::btree_set(select(Transformation::ALL), 0..=2);
    (names, select(Stage::ALL), select(DataClass::ALL), transformations, budgets).prop_map(
        |(name, stage, data_class, transformations, budget)| Subject {
            use_case: name.parse().unwrap(),
            stage,
            data_class,
            transformations,
            cost_centre: "4711".to_owned(),
            budget: budget.map(Amount::from_nanos),
        },
    )
}

fn placements() -> impl Strategy<Value = PlacementFacts> {
    let regions = select(vec!["eu", "us"]);
    (select(Zone::ALL), select(DataClass::ALL), regions).prop_map(|(zone, clearance, region)| {
        PlacementFacts { region: region.to_owned(), ..placement(zone, clearance) }
    })
}

fn contents() -> impl Strategy<Value = Content> {
    let labels = prop::collection::btree_set(select(vec!["iban", "credit_card"]), 0..=2);
    (select(DataClass::ALL), labels, any::<bool>()).prop_map(|(class, labels, unscannable)| Content {
        class,
        labels: labels.into_iter().map(Arc::from).collect::<BTreeSet<Arc<str>>>(),
        unscannable,
    })
}

/// The defaults, and rules over every other fact there is, so that each fact can change a verdict.
fn engine_that_looks_at_everything() -> PolicyEngine {
    engine_with(
        r#"
        @id("region") @guidance("-") @owner("-")
        forbid (principal == UseCase::"claims", action == Action::"send", resource) when { resource.region == "us" };
        @id("cards") @guidance("-") @owner("-")
        forbid (principal, action in [Action::"send", Action::"answer"], resource)
        when { context.labels.contains("credit_card") && !context.unscannable };
        @id("overflow") @guidance("-") @owner("-")
        forbid (principal, action == Action::"call", resource)
        when { principal has budget_nanos && principal.budget_nanos * 20000000 < 0 };
        "#,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_remembered_verdict_is_the_verdict(
        asked in prop::collection::vec(
            (subjects(), placements(), contents(), select(DataClass::ALL), select(vec![None, Some(Transformation::Pseudonymise), Some(Transformation::Mask)]), 0..3_u8),
            1..40,
        )
    ) {
        let engine = engine_that_looks_at_everything();
        for round in 0..2 {
            for (subject, placement, content, sent_class, applied, action) in &asked {
                let exchange = Exchange { subject, placement, content, applied: *applied, sent_class: *sent_class };
                let question = match action {
                    0 => Question::Call(subject),
                    1 => Question::Send(exchange),
                    _ => Question::Answer(exchange),
                };
                prop_assert_eq!(&*engine.decide(&question), &engine.evaluate(&question), "round {}", round);
            }
        }
    }
}

/// Everything that a question to send is made of, owned, so that one fact can be changed at a time.
#[derive(Clone)]
struct Asked {
    subject: Subject,
    placement: PlacementFacts,
    content: Content,
    applied: Option<Transformation>,
    sent_class: DataClass,
}

impl Asked {
    fn question(&self) -> Question<'_> {
        Question::Send(Exchange {
            subject: &self.subject,
            placement: &self.placement,
            content: &self.content,
            applied: self.applied,
            sent_class: self.sent_class,
        })
    }
}

/// A fact's name, what to change it to, and a rule's condition that sees the change.
type Change = (&'static str, fn(&mut Asked), &'static str);

const CHANGES: [Change; 17] = [
    ("use case", |a| a.subject.use_case = "other".parse().unwrap(), r#"principal == UseCase::"other""#),
    ("stage", |a| a.subject.stage = Stage::Review, r#"principal.stage == "review""#),
    ("data class", |a| a.subject.data_class = DataClass::Confidential, "principal.data_class == 2"),
    (
        "transformations",
        |a| a.subject.transformations = BTreeSet::from([Transformation::Mask]),
        r#"principal.transformations.contains("mask")"#,
    ),
    ("cost centre", |a| a.subject.cost_centre = "other".to_owned(), r#"principal.cost_centre == "other""#),
    ("budget", |a| a.subject.budget = Some(Amount::ZERO), "principal.has_budget"),
    ("placement", |a| a.placement.name = "other".parse().unwrap(), r#"resource == Placement::"other""#),
    ("zone", |a| a.placement.zone = Zone::PrivateCloud, r#"resource.zone == "private_cloud""#),
    ("clearance", |a| a.placement.clearance = DataClass::Confidential, "resource.clearance == 2"),
    ("provider", |a| a.placement.provider = "other".to_owned(), r#"resource.provider == "other""#),
    ("model", |a| a.placement.model = "other".parse().unwrap(), r#"resource.model == "other""#),
    ("region", |a| a.placement.region = "us".to_owned(), r#"resource.region == "us""#),
    ("class", |a| a.content.class = DataClass::Confidential, "context.class == 2"),
    (
        "labels",
        |a| a.content.labels = BTreeSet::from(["other".into()]),
        r#"context.labels.contains("other")"#,
    ),
    ("unscannable", |a| a.content.unscannable = true, "context.unscannable"),
    ("applied", |a| a.applied = Some(Transformation::Mask), r#"context.applied.contains("mask")"#),
    ("sent class", |a| a.sent_class = DataClass::Public, "context.sent_class == 0"),
];

#[test]
fn no_fact_is_forgotten_by_the_memory() {
    let base = Asked {
        subject: subject(DataClass::Restricted, &[]),
        placement: placement(Zone::OnPremises, DataClass::Restricted),
        content: content(DataClass::Internal),
        applied: None,
        sent_class: DataClass::Internal,
    };
    for (fact, change, condition) in CHANGES {
        let engine = engine_with(&format!(
            r#"@id("sees") @guidance("-") @owner("-")
               forbid (principal, action == Action::"send", resource is Placement) when {{ {condition} }};"#
        ));
        let mut changed = base.clone();
        change(&mut changed);
        assert!(engine.decide(&base.question()).allowed, "{fact}");
        assert!(!engine.decide(&changed.question()).allowed, "{fact} is not part of what is remembered");
    }
}

#[test]
fn the_memory_is_used_and_bounded() {
    let engine = default_engine();
    let own = placement(Zone::OnPremises, DataClass::Restricted);
    let subject = subject(DataClass::Restricted, &[]);
    let ask = |content: &Content| {
        engine.decide(&Question::Send(Exchange {
            subject: &subject,
            placement: &own,
            content,
            applied: None,
            sent_class: content.class,
        }))
    };
    let known = content(DataClass::Confidential);
    assert!(Arc::ptr_eq(&ask(&known), &ask(&known)), "the second answer comes from memory");
    for number in 0..9_000 {
        let mut other = content(DataClass::Internal);
        other.labels.insert(format!("dictionary:{number}").into());
        assert!(ask(&other).allowed);
    }
    let text = format!("{engine:?}");
    let held: usize = text
        .split("len: ")
        .nth(1)
        .unwrap()
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(held > 0 && held <= 8_192, "{text}");
}

#[test]
fn a_failure_is_not_remembered() {
    let engine = engine_that_looks_at_everything();
    let mut subject = subject(DataClass::Internal, &[]);
    subject.budget = Some(Amount::from_nanos(500_000_000_000));
    let (first, second) =
        (engine.decide(&Question::Call(&subject)), engine.decide(&Question::Call(&subject)));
    assert!(first.error && !first.allowed);
    assert_eq!(first, second);
    assert!(!Arc::ptr_eq(&first, &second));
}
