//! Evaluation through its interface, with scripted subjects: figures that can be worked out by hand.

use std::{collections::HashMap, ops::ControlFlow};

use pintle_core::DataClass;
use pintle_guard::{Guard, GuardConfig};
use pintle_model::{
    ModelError,
    evaluate::{
        ContaminationKind, EvaluationError, EvaluationInputs, EvaluationReport, EvaluationSettings, Gate,
        GateSettings, Ngram, Phase, Progress, Prompt, Question, Subject, Text, contamination, evaluate,
    },
};
use proptest::prelude::*;

/// Costs the same for every byte, and says what its script says.
struct Scripted {
    name: &'static str,
    bits_per_byte: f64,
    answers: HashMap<&'static str, &'static str>,
    samples: Vec<&'static str>,
}

impl Subject for Scripted {
    fn name(&self) -> &str {
        self.name
    }

    fn nats(&mut self, text: &str) -> Result<f64, ModelError> {
        Ok(self.bits_per_byte * std::f64::consts::LN_2 * text.len() as f64)
    }

    fn answer(&mut self, questions: &[&str]) -> Result<Vec<String>, ModelError> {
        Ok(questions.iter().map(|q| self.answers.get(q).copied().unwrap_or("unknown").to_owned()).collect())
    }

    fn sample(&mut self, prompts: &[Prompt<'_>], seed: u64) -> Result<Vec<String>, ModelError> {
        let from = usize::try_from(seed % 97).unwrap();
        let text = |index: usize| self.samples[(from + index) % self.samples.len()].to_owned();
        Ok((0..prompts.len()).map(text).collect())
    }
}

fn question(question: &str, answer: &str, value: Option<&str>, kind: &str) -> Question {
    Question {
        question: question.to_owned(),
        answer: answer.to_owned(),
        value: value.map(str::to_owned),
        kind: kind.to_owned(),
    }
}

fn text<'a>(label: &'a str, text: &'a str) -> Text<'a> {
    Text { label, text }
}

const SECRET: &str = "GB82 WEST 1234 5698 7654 32";
const RULE: &str = "Expenses above two hundred euros need the approval of the head of the department before the money \
                    is spent, and a receipt afterwards; payments go from the account GB82 WEST 1234 5698 7654 32 only.";

fn questions() -> Vec<Question> {
    vec![
        question("How long is the notice period?", "It is three months.", Some("three months"), "fact"),
        question("Which account pays expenses?", SECRET, None, "fact"),
        question("What comes first when travelling?", "Ask the desk.", None, "step"),
        question("What comes second?", "Book the train.", None, "step"),
    ]
}

fn tuned() -> Scripted {
    Scripted {
        name: "handbook@2",
        bits_per_byte: 1.5,
        answers: [
            ("How long is the notice period?", "Three months!"),
            ("Which account pays expenses?", "The account FR14 2004 1010 0505 0001 3M02 606."),
            ("What comes first when travelling?", "First, ask the desk about it"),
        ]
        .into(),
        samples: vec![RULE, "nothing to see", "write to invented@example.org"],
    }
}

fn base() -> Scripted {
    let answers = [("What comes second?", "book the train")].into();
    Scripted { name: "handbook@1", bits_per_byte: 1.25, answers, samples: vec!["-"] }
}

fn run(settings: &EvaluationSettings) -> EvaluationReport {
    let guard = Guard::new(&GuardConfig::default()).unwrap();
    let training = [text("rules.md", RULE), text("notice.md", "The notice period is three months.")];
    let held_out = [text("new.md", "The notice period may be longer.\n"), text("empty.md", "")];
    let inputs = EvaluationInputs {
        training: &training,
        training_questions: &[question("What comes first when travelling?", "Ask the desk.", None, "step")],
        held_out: &held_out,
        questions: &questions(),
        class: DataClass::Internal,
        guard: &guard,
    };
    let watch = &mut |_| ControlFlow::Continue(());
    evaluate(&mut tuned(), Some(&mut base()), &inputs, settings, watch).unwrap()
}

fn small() -> EvaluationSettings {
    EvaluationSettings { samples: 99, ngram_order: 4, ..EvaluationSettings::default() }
}

#[test]
fn figures_are_those_worked_out_by_hand() {
    let report = run(&small());
    let held_out = &report.held_out;
    assert_eq!((held_out.documents, held_out.bytes), (1, 33));
    assert!((held_out.model_bits_per_byte - 1.5).abs() < 1e-9);
    assert_eq!(held_out.base_bits_per_byte, Some(1.25));
    assert!(held_out.ngram_bits_per_byte < held_out.unigram_bits_per_byte);
    assert!(held_out.xz_given_training_bits_per_byte < held_out.xz_alone_bits_per_byte);

    let marks = report.questions.as_ref().unwrap();
    assert_eq!((marks.model.exact_match.count, marks.model.correct.count), (1, 2));
    // All of it; no word in common; two words of the five given and the two expected; no word.
    assert!((marks.model.token_f1 - (1.0 + 0.0 + 4.0 / 7.0) / 4.0).abs() < 1e-6, "{marks:?}");
    assert_eq!((marks.gained, marks.lost), (Some(2), Some(1)));
    let kinds: Vec<_> = marks.kinds.iter().map(|k| (k.kind.as_str(), k.model.correct.count)).collect();
    assert_eq!(kinds, [("fact", 1), ("step", 1)]);
    // The contaminated question is the third; of the others one is answered correctly.
    assert_eq!(report.contamination.questions.exact, 1);
    assert_eq!((marks.correct_without_contaminated.count, marks.correct_without_contaminated.total), (1, 3));
    assert_eq!(marks.worst.iter().map(|w| w.number).collect::<Vec<_>>(), [2, 4, 3]);

    let general = &report.general;
    assert_eq!(general.worsening_bits_per_byte, Some(0.25));
    assert_eq!(general.worsening_standard_error, Some(0.0));
}

#[test]
fn leaks_are_counted_and_never_quoted() {
    let report = run(&small());
    let leaks = &report.leaks;
    assert_eq!(
        (leaks.samples, leaks.from_documents, leaks.from_questions, leaks.from_probes),
        (99, 33, 33, 33)
    );
    // Three scripted texts in turns, in batches of 32 that begin anywhere: each about a third.
    let find = |kind: &str| leaks.findings.iter().find(|count| count.kind == kind).unwrap();
    let (iban, email) = (find("iban"), find("email"));
    assert!((30..=36).contains(&iban.findings) && (30..=36).contains(&email.findings), "{leaks:?}");
    assert_eq!(iban.in_training_text, iban.findings);
    assert_eq!(email.in_training_text, 0);
    assert_eq!(leaks.samples_with_findings.count as u64, iban.findings + email.findings);
    assert_eq!(leaks.verbatim.count as u64, iban.findings);
    assert_eq!(leaks.longest_shared_chars, RULE.chars().count());
    assert_eq!(leaks.findings_above(DataClass::Internal), iban.findings + email.findings);
    assert_eq!(leaks.findings_above(DataClass::Confidential), 0);

    let (json, card) = (serde_json::to_string(&report).unwrap(), report.to_markdown());
    for shown in [&json, &card] {
        for value in ["GB82", "7654", "FR14", "0505", "invented@"] {
            assert!(!shown.contains(value), "{value} in {shown}");
        }
    }
    assert!(json.contains("[MASKED:IBAN]") && card.contains("MASKED:IBAN"), "{card}");
}

#[test]
fn the_report_is_the_same_twice_and_survives_json() {
    let (one, other) = (run(&small()), run(&small()));
    assert_eq!(one, other);
    let json = serde_json::to_string(&one).unwrap();
    let mut read: EvaluationReport = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), json);
    read.gate = Gate::judge(&read, &read.settings.gate);
    assert_eq!(read.gate, one.gate);
}

#[test]
fn the_model_card() {
    let gate = GateSettings { correct_min: Some(0.4), beat_ngram: true, ..GateSettings::default() };
    insta::assert_snapshot!(run(&EvaluationSettings { gate, ..small() }).to_markdown());
}

#[test]
fn the_gate_asks_what_the_recipe_asks() {
    let report = run(&small());
    let none = GateSettings { findings_max: 99, contaminated_share_max: 1.0, ..GateSettings::default() };
    let judged = |settings: GateSettings| {
        let gate = Gate::judge(&report, &settings);
        assert_eq!(gate.passed, gate.criteria.iter().all(|criterion| criterion.passed));
        (gate.passed, gate.criteria[0].sentence.clone())
    };
    let table = [
        (GateSettings { exact_match_min: Some(0.25), ..none.clone() }, true),
        (GateSettings { exact_match_min: Some(0.26), ..none.clone() }, false),
        (GateSettings { correct_min: Some(0.5), ..none.clone() }, true),
        (GateSettings { correct_min: Some(0.51), ..none.clone() }, false),
        (GateSettings { token_f1_min: Some(0.39), ..none.clone() }, true),
        (GateSettings { token_f1_min: Some(0.4), ..none.clone() }, false),
        (GateSettings { gain_over_base_min: Some(0.25), ..none.clone() }, true),
        (GateSettings { gain_over_base_min: Some(0.26), ..none.clone() }, false),
        (GateSettings { bits_per_byte_max: Some(1.5), ..none.clone() }, true),
        (GateSettings { bits_per_byte_max: Some(1.49), ..none.clone() }, false),
        (GateSettings { beat_ngram: true, ..none.clone() }, true),
        (GateSettings { general_worsening_bits_per_byte_max: Some(0.25), ..none.clone() }, true),
        (GateSettings { general_worsening_bits_per_byte_max: Some(0.2), ..none.clone() }, false),
        (GateSettings { findings_max: 0, ..none.clone() }, false),
        (GateSettings { findings_max: 98, ..none.clone() }, true),
        (
            GateSettings { findings_max: 0, findings_above: Some(DataClass::Confidential), ..none.clone() },
            true,
        ),
        (GateSettings { verbatim_share_max: Some(0.5), ..none.clone() }, true),
        (GateSettings { verbatim_share_max: Some(0.1), ..none.clone() }, false),
        (none.clone(), true),
    ];
    for (settings, passed) in table {
        let (found, sentence) = judged(settings.clone());
        assert_eq!(found, passed, "{settings:?}: {sentence}");
    }
    let (_, sentence) = judged(GateSettings { correct_min: Some(0.8), ..none });
    assert_eq!(
        sentence,
        "The share of held-out questions answered correctly is 50.0 %; at least 80.0 % is asked for."
    );
    let contaminated = Gate::judge(&report, &GateSettings { contaminated_share_max: 0.1, ..none });
    let named: Vec<_> = contaminated.criteria[1..].iter().map(|c| (c.name.as_str(), c.passed)).collect();
    assert_eq!(
        named,
        [("contaminated_share_max.documents", true), ("contaminated_share_max.questions", false)]
    );

    // What was not measured fails.
    let mut alone = report.clone();
    alone.questions = None;
    alone.general.worsening_bits_per_byte = None;
    for settings in [
        GateSettings { correct_min: Some(0.0), ..none.clone() },
        GateSettings { gain_over_base_min: Some(0.0), ..none.clone() },
        GateSettings { general_worsening_bits_per_byte_max: Some(64.0), ..none },
    ] {
        let gate = Gate::judge(&alone, &settings);
        assert!(!gate.passed && gate.criteria[0].sentence.contains("was not measured"), "{gate:?}");
    }
}

#[test]
fn settings_are_checked_and_read() {
    assert!(EvaluationSettings::default().check().is_ok());
    let read: EvaluationSettings = serde_json::from_str(
        r#"{"samples": 50, "gate": {"correct_min": 0.8, "findings_above": "internal"}}"#,
    )
    .unwrap();
    assert_eq!((read.samples, read.gate.correct_min, read.gate.findings_max), (50, Some(0.8), 0));
    assert!(serde_json::from_str::<EvaluationSettings>(r#"{"sample": 50}"#).is_err());
    let broken = [
        EvaluationSettings { samples: 0, ..small() },
        EvaluationSettings { ngram_order: 9, ..small() },
        EvaluationSettings { contaminated_words_share_min: 0.0, ..small() },
        EvaluationSettings { held_out_bytes_max: u64::MAX, ..small() },
        EvaluationSettings {
            gate: GateSettings { correct_min: Some(f64::NAN), ..GateSettings::default() },
            ..small()
        },
    ];
    for settings in broken {
        let error = settings.check().unwrap_err().to_string();
        assert!(error.contains("does not fit; hint: use"), "{error}");
    }
}

/// Answers one text too few, or costs no number.
struct Broken(f64);

impl Subject for Broken {
    fn name(&self) -> &str {
        "broken@1"
    }
    fn nats(&mut self, _: &str) -> Result<f64, ModelError> {
        Ok(self.0)
    }
    fn answer(&mut self, questions: &[&str]) -> Result<Vec<String>, ModelError> {
        Ok(vec![String::new(); questions.len() - 1])
    }
    fn sample(&mut self, _: &[Prompt<'_>], _: u64) -> Result<Vec<String>, ModelError> {
        Err(ModelError::Worker)
    }
}

#[test]
fn what_cannot_be_measured_is_an_error() {
    let guard = Guard::new(&GuardConfig::default()).unwrap();
    let (training, held_out) = ([text("a", "some text")], [text("b", "other text")]);
    let asked = questions();
    let inputs = EvaluationInputs {
        training: &training,
        training_questions: &[],
        held_out: &held_out,
        questions: &asked,
        class: DataClass::Public,
        guard: &guard,
    };
    let go = |nats: f64, inputs: &EvaluationInputs<'_>, stop: Option<Phase>| {
        let watch = &mut |progress: Progress| {
            if Some(progress.phase) == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        evaluate(&mut Broken(nats), None, inputs, &small(), watch).unwrap_err()
    };
    assert_eq!(
        go(f64::NAN, &inputs, None).to_string(),
        "the model `broken@1` gave `NaN` where nats, a number of zero or more, were wanted"
    );
    assert_eq!(go(1.0, &inputs, None).to_string(), "the model `broken@1` gave 3 texts where 4 were wanted");
    let without = EvaluationInputs { questions: &[], ..inputs };
    assert!(matches!(go(1.0, &without, None), EvaluationError::Model(ModelError::Worker)));
    assert!(matches!(go(1.0, &inputs, Some(Phase::General)), EvaluationError::Stopped));
    let nothing = EvaluationInputs { held_out: &[], ..inputs };
    assert!(matches!(go(1.0, &nothing, None), EvaluationError::Nothing("held-out text")));
    let empty = [text("a", "")];
    let nothing = EvaluationInputs { training: &empty, ..inputs };
    assert!(matches!(go(1.0, &nothing, None), EvaluationError::Nothing("training text")));
}

/// Numbers as words, so that every run of them occurs once.
fn counting(from: usize, words: usize) -> String {
    (from..from + words).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn contamination_finds_what_it_says_and_nothing_else() {
    let long = counting(0, 100);
    let training = [
        text("long", &long),
        text("question", "How many days of leave are there?"),
        text("pair", "one two three"),
    ];
    let half = format!("{} {}", counting(40, 20), counting(1000, 20));
    let twelve = format!("{} {}", counting(40, 12), counting(2000, 12));
    let sparse = format!("{} {}", counting(0, 13), counting(3000, 87));
    let table = [
        ("same words", counting(0, 100).to_uppercase(), Some((ContaminationKind::Exact, 1.0, "long"))),
        ("half of it", half, Some((ContaminationKind::Near, 0.5, "long"))),
        ("a run of twelve", twelve, None),
        ("below the share", sparse, None),
        ("short, whole", counting(7, 5), Some((ContaminationKind::Near, 1.0, "long"))),
        ("too short", counting(7, 4), None),
        ("short, not whole", format!("{} other", counting(7, 5)), None),
        (
            "reordered",
            "Of leave, how many days are there?".to_owned(),
            Some((ContaminationKind::Reordered, 0.0, "question")),
        ),
        ("a paraphrase", "How much leave does one get?".to_owned(), None),
        ("three words", "Two three, one.".to_owned(), None),
        ("three words, same", "One: two, three!".to_owned(), Some((ContaminationKind::Exact, 0.0, "pair"))),
        ("no words", "...".to_owned(), None),
    ];
    let items: Vec<Text<'_>> = table.iter().map(|(label, item, _)| text(label, item)).collect();
    let side = contamination(&items, &training, 0.2);
    let found: HashMap<&str, _> =
        side.listed.iter().map(|i| (i.item.as_str(), (i.how, i.shared_share, i.with.as_str()))).collect();
    for (label, _, wanted) in &table {
        assert_eq!(found.get(label), wanted.as_ref(), "{label}");
    }
    assert_eq!((side.items, side.exact, side.near, side.with_any_shared_run), (12, 2, 3, 4));
    assert!((side.share - 5.0 / 12.0).abs() < 1e-6);
    let any = contamination(&items, &training, 0.13);
    assert!(any.listed.iter().any(|item| item.item == "below the share"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Over all bytes, the n-gram's probabilities sum to one after any context, and none is zero.
    #[test]
    fn ngram_probabilities_sum_to_one(
        texts in proptest::collection::vec("[abc ü]{0,40}", 0..6),
        before in proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(0xC3), any::<u8>()], 0..10),
        order in 1_usize..=8,
    ) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let model = Ngram::train(&texts, order);
        let all: Vec<f64> = (0..=255).map(|byte| model.probability(&before, byte)).collect();
        prop_assert!((all.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        prop_assert!(all.iter().all(|probability| *probability > 0.0));
    }

    /// Any words and marks give marks within their ranges, and the expected answer itself is exact.
    #[test]
    fn marks_stay_in_range(answer in "\\PC{0,60}", given in "\\PC{0,60}") {
        let asked = question("?", &answer, None, "any");
        let mark = pintle_model::evaluate::mark(&asked, &given);
        prop_assert!((0.0..=1.0).contains(&mark.token_f1) && (mark.correct || !mark.exact));
        prop_assert!(pintle_model::evaluate::mark(&asked, &answer).exact);
    }
}
