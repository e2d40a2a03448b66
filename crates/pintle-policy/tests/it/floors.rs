//! I1, over everything there is: no decision lets content above a placement's clearance through, also
//! when the policies would.

use pintle_core::{DataClass, Zone};
use pintle_policy::{CLEARANCE_FLOOR, Content, Decision, Exchange, PolicyEngine, Question, Transformation};

use crate::support::{TRANSFORMATIONS, content, default_engine, placement, source, subject};

/// Policies of an organisation that forbids nothing.
fn permissive_engine() -> PolicyEngine {
    PolicyEngine::compile(&[source("own.cedar", "@id(\"all\") permit (principal, action, resource);")])
        .unwrap()
}

fn every_decision(engine: &PolicyEngine, check: impl Fn(DataClass, &Content, &Decision)) {
    for data_class in DataClass::ALL {
        for allowed in TRANSFORMATIONS {
            let subject = subject(*data_class, allowed);
            for zone in Zone::ALL {
                for clearance in DataClass::ALL {
                    let placement = placement(*zone, *clearance);
                    for class in DataClass::ALL {
                        for unscannable in [false, true] {
                            let content = Content { unscannable, ..content(*class) };
                            for left in DataClass::ALL {
                                let decision = engine.propose(&subject, &placement, &content, &|_| *left);
                                check(*clearance, &content, &decision);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn i1_no_decision_exceeds_clearance() {
    for engine in [default_engine(), permissive_engine()] {
        let (allowed, refused) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        every_decision(&engine, |clearance, content, decision| match decision {
            Decision::Allow { applied, sent_class, .. } => {
                allowed.set(allowed.get() + 1);
                assert!(*sent_class <= clearance, "{content:?} {decision:?}");
                if applied.is_none() {
                    assert!(content.class <= *sent_class, "{content:?} {decision:?}");
                }
                if content.unscannable {
                    assert_eq!(clearance, DataClass::Restricted);
                }
            }
            Decision::Refuse { reasons } => {
                refused.set(refused.get() + 1);
                assert!(!reasons.is_empty());
            }
        });
        assert!(allowed.get() > 1_000 && refused.get() > 1_000, "{allowed:?} {refused:?}");
    }
}

#[test]
fn i1_the_floor_holds_where_no_policy_forbids() {
    let engine = permissive_engine();
    let subject = subject(DataClass::Restricted, &[]);
    let cloud = placement(Zone::PublicCloud, DataClass::Internal);
    let decision =
        engine.propose(&subject, &cloud, &content(DataClass::Confidential), &|_| DataClass::Internal);
    let Decision::Refuse { reasons } = decision else { panic!("{decision:?}") };
    assert_eq!(reasons.len(), 1);
    assert_eq!(&*reasons[0].rule, CLEARANCE_FLOOR);
    assert!(!reasons[0].guidance.is_empty() && !reasons[0].owner.is_empty());
    // The single question has the same floor, with and without memory.
    let content = content(DataClass::Confidential);
    let question = Question::Send(Exchange {
        subject: &subject,
        placement: &cloud,
        content: &content,
        applied: Some(Transformation::Mask),
        sent_class: DataClass::Restricted,
    });
    for _ in 0..2 {
        assert!(!engine.decide(&question).allowed);
    }
}

#[test]
fn a_rule_of_the_files_speaks_before_the_floor() {
    let decision = default_engine().propose(
        &subject(DataClass::Restricted, &[]),
        &placement(Zone::PrivateCloud, DataClass::Internal),
        &content(DataClass::Confidential),
        &|_| DataClass::Internal,
    );
    let Decision::Refuse { reasons } = decision else { panic!("{decision:?}") };
    let rules: Vec<&str> = reasons.iter().map(|reason| &*reason.rule).collect();
    assert_eq!(rules, ["clearance"], "one reason for one thing");
}
