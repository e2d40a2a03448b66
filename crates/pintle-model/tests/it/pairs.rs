//! Question–answer pairs from structure: what is made, bounds, and any input at all.

use pintle_model::pairs::{PairKind, PairSettings, normalised, pairs, write_jsonl};
use proptest::prelude::*;

const LEAVE: &str = "\
---
owner: people
---
# Parental leave

Parental leave is a time away from work after a child is born. Note: see below.

| Rule | Value |
|:--|--:|
| **Notice** | 7 weeks |
| Applies to | all [parents](x.md) |

## Key facts

- Contact: Mia Holm
- Phone: 4711

## Applying for leave

1. Talk to your manager
2. Send the form
3. Wait for the letter

## Who pays my wage?

- The health fund, in the first weeks
- The state, after that

## Offices

| Office | Address | Opening hours |
|---|---|---|
| Cork | 3 Quay Street | 08:00 to 17:00 |

VAT means value added tax.
";

fn questions_for(answer: &str) -> Vec<String> {
    let made = pairs("hr/leave.md", LEAVE, &PairSettings::default());
    made.into_iter().filter(|pair| pair.answer == answer).map(|pair| pair.question).collect()
}

#[test]
fn tables_lists_and_definitions_become_pairs() {
    for (answer, least) in [
        ("The notice of Parental leave is 7 weeks.", 15),
        ("Parental leave, applies to: all parents.", 12),
        ("The contact of Parental leave is Mia Holm.", 15),
        ("The phone of Parental leave is 4711.", 15),
        ("The address of Cork is 3 Quay Street.", 15),
        ("The opening hours of Cork are 08:00 to 17:00.", 15),
        ("1. Talk to your manager; 2. Send the form; 3. Wait for the letter.", 3),
        ("First: Talk to your manager.", 2),
        ("Then: Wait for the letter.", 2),
        ("Parental leave is a time away from work after a child is born.", 4),
        ("VAT means value added tax.", 4),
        ("The health fund, in the first weeks; The state, after that.", 1),
    ] {
        let questions = questions_for(answer);
        assert!(questions.len() >= least, "{answer}: {questions:?}");
    }
}

#[test]
fn questions_use_other_words_for_common_attributes() {
    let questions = questions_for("The opening hours of Cork are 08:00 to 17:00.");
    assert!(
        questions.iter().any(|question| question.contains("open") && !question.contains("hours")),
        "{questions:?}"
    );
    let asked = questions_for("The health fund, in the first weeks; The state, after that.");
    assert!(asked.iter().all(|question| normalised(question) == "who pays my wage"), "{asked:?}");
    let kinds: Vec<PairKind> =
        pairs("a.md", LEAVE, &PairSettings::default()).into_iter().map(|pair| pair.kind).collect();
    assert!(
        [PairKind::Attribute, PairKind::Steps, PairKind::Definition].iter().all(|kind| kinds.contains(kind))
    );
}

#[test]
fn the_source_names_path_and_heading() {
    let made = pairs("hr/leave.md", LEAVE, &PairSettings::default());
    let source = |value: &str| made.iter().find(|pair| pair.answer.contains(value)).unwrap().source.clone();
    assert_eq!(source("4711"), "hr/leave.md#Key facts");
    assert_eq!(source("7 weeks"), "hr/leave.md#Parental leave");
}

#[test]
fn a_bound_takes_variants_before_facts() {
    let settings = PairSettings { most_per_document: 22, ..PairSettings::default() };
    let made = pairs("hr/leave.md", LEAVE, &settings);
    assert!(made.len() <= 22);
    for value in ["7 weeks", "parents", "Holm", "4711", "Quay", "17:00"] {
        assert!(made.iter().any(|pair| pair.answer.contains(value)), "{value}");
    }
    assert!(pairs("a.md", LEAVE, &PairSettings { variants: 0, ..PairSettings::default() }).is_empty());
}

#[test]
fn an_ambiguous_question_is_left_out() {
    let text = "# Gate\n\n| Item | Value |\n|---|---|\n| Owner | Ann |\n| System owner | Bob |\n";
    let made = pairs("gate.md", text, &PairSettings { variants: 60, ..PairSettings::default() });
    let mut seen = std::collections::BTreeMap::new();
    for pair in &made {
        let before = seen.insert(pair.question.to_lowercase(), &pair.answer);
        assert!(before.is_none_or(|before| *before == pair.answer), "{pair:?}");
    }
    assert!(made.iter().any(|pair| pair.answer.contains("Ann")));
    assert!(made.iter().any(|pair| pair.answer.contains("Bob")));
}

#[test]
fn jsonl_is_chat_in_two_turns() {
    let made = pairs("hr/leave.md", LEAVE, &PairSettings::default());
    let mut out = Vec::new();
    write_jsonl(&made, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().count(), made.len());
    for (line, pair) in text.lines().zip(&made) {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["messages"][0]["role"], "user");
        assert_eq!(value["messages"][0]["content"], pair.question.as_str());
        assert_eq!(value["messages"][1]["role"], "assistant");
        assert_eq!(value["messages"][1]["content"], pair.answer.as_str());
    }
}

#[test]
fn braces_in_a_document_are_its_own() {
    let text = "# Use of {a} and {s}\n\n| Item | Value |\n|---|---|\n| Price {s} | {a} 5 |\n";
    let made = pairs("x.md", text, &PairSettings::default());
    assert!(made.iter().all(|pair| normalised(&pair.question).contains("use of a and s")), "{made:#?}");
}

#[test]
fn prose_and_noise_give_nothing() {
    for text in [
        "",
        "Only prose. It is what it is.",
        "| a |",
        "|||||\n|-|-|\n||||",
        "- \n- \n",
        "# \n#\n",
        "```\n# x\na: b",
    ] {
        assert_eq!(pairs("n.md", text, &PairSettings::default()), Vec::new(), "{text:?}");
    }
}

#[test]
fn huge_and_hostile_documents_are_read_in_bounded_time() {
    let rows = format!("|a|b|\n|-|-|\n{}", "|x y|z|\n".repeat(400_000));
    for text in [
        "[".repeat(5 << 20),
        "[\n".repeat(1 << 20),
        "<a[b](".repeat(1 << 19),
        "# a: b\n".repeat(1 << 18),
        rows,
    ] {
        let made = pairs("n.md", &text, &PairSettings { variants: usize::MAX, ..PairSettings::default() });
        assert!(made.len() <= PairSettings::default().most_per_document);
    }
}

/// Lines that look like Markdown more often than chance would.
fn markdownish() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "\\PC{0,40}",
        "#{1,7} ?[A-Za-z{}|é ]{0,20}",
        "\\|?([A-Za-z0-9é\\\\ ]{0,8}\\|){0,5}",
        "(\\|[:-]{0,4}){1,4}\\|?",
        "[ \t]{0,4}([-*+]|[0-9]{1,5}[.)]) ?[A-Za-z*:{} ]{0,20}",
        "\\*{0,2}[A-Z][a-z]{0,8}:\\*{0,2} [a-z0-9€ ]{0,12}",
        Just("```".to_owned()),
        Just("---".to_owned()),
        Just("<!--".to_owned()),
    ];
    proptest::collection::vec(line, 0..30).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_within_bounds(text in markdownish(), path in "\\PC{0,20}", seed in any::<u64>(),
                                      variants in 0usize..40, most in 0usize..200) {
        let settings = PairSettings { seed, variants, most_per_document: most };
        let made = pairs(&path, &text, &settings);
        prop_assert!(made.len() <= most);
        for pair in &made {
            prop_assert!(!pair.question.trim().is_empty() && pair.question.chars().count() <= 400);
            prop_assert!(!pair.answer.trim().is_empty() && pair.answer.chars().count() <= 600);
            prop_assert!(!pair.question.chars().any(char::is_control));
        }
        prop_assert_eq!(&made, &pairs(&path, &text, &settings));
    }
}
