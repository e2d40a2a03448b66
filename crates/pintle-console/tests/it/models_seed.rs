//! Two own models: one that serves, with a failed version, one to go back to, a candidate and a training on
//! its way; and one whose first training has gone silent.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use pintle_console::{
    ContaminatedView, ContaminationView, CorpusView, CriterionView, Curve, CurvePoint, EvaluationView,
    GeneralView, HeldOutView, KindScoresView, LeakView, LeaksView, LeftDocumentView, LeftView, ModelView,
    OwnModels, OwnModelsError, PromotionView, QuestionsView, SampleView, ScoresView, ShareView, SharedView,
    Soon, TrainingStage, TrainingView, TuningRow, VersionRow, VersionView, WorstAnswerView,
};
use pintle_core::{Amount, DataClass, Energy, EnergyMethod, Name, Timestamp};

/// Keeps models in memory as the store keeps them in files.
pub(crate) struct Models(Mutex<Vec<ModelView>>);

const FAILED: [&str; 2] = [
    "The share of held-out questions answered correctly is 61.2 %; at least 80.0 % is asked for.",
    "The number of findings above `internal` in 200 samples is 2; at most 0 is asked for.",
];

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn share(count: usize, total: usize, low: f64, high: f64) -> ShareView {
    ShareView { count, total, share: count as f64 / total as f64, low, high }
}

fn row(version: u32, made_at: &str, correct: usize, failures: &[&str]) -> VersionRow {
    VersionRow {
        version,
        made_at: at(made_at),
        parameters: 1_312_768,
        class: DataClass::Internal,
        held_out_bits_per_byte: Some(1.412),
        ngram_bits_per_byte: Some(1.731),
        correct: Some(share(correct, 263, 0.81, 0.90)),
        base_correct: Some(share(9, 263, 0.018, 0.064)),
        gate_failures: failures.iter().map(|text| (*text).to_owned()).collect(),
    }
}

fn promotion(version: u32, when: &str, by: &str, reason: &str) -> PromotionView {
    PromotionView { version, at: at(when), by: by.into(), reason: reason.into() }
}

/// A curve that falls as a real one does, with a little noise that is the same each time.
fn curve(steps: u64, until: u64, from: f64, to: f64, looks: Option<(f64, f64)>) -> Curve {
    let course =
        |step: u64, from: f64, to: f64| to + (from - to) * (-(6.0 * step as f64) / steps as f64).exp();
    let points: Vec<CurvePoint> = (1..=until)
        .map(|step| {
            let noise = ((step * 7_919 % 101) as f64 - 50.0) / 50.0 * 0.12;
            let is_look = step.is_multiple_of(steps / 20);
            CurvePoint {
                step,
                loss: course(step, from, to) + noise,
                held_out_bits_per_byte: looks.filter(|_| is_look).map(|(from, to)| course(step, from, to)),
            }
        })
        .collect();
    Curve::new(&points)
}

fn training(stage: TrainingStage, step: u64, updated_at: &str) -> TrainingView {
    use TrainingStage::{Base, Evaluation, Reading, Tokeniser, Tune};
    let is_base = stage == Base;
    TrainingView {
        stage,
        stages: vec![Reading, Tokeniser, Base, Tune, Evaluation],
        started_at: at("2026-11-24T13:21:10Z"),
        updated_at: at(updated_at),
        step,
        steps: if is_base { 1_200 } else { 412 },
        parameters: is_base.then_some(1_312_768),
        loss: is_base.then_some(2.318),
        held_out_bits_per_byte: is_base.then_some(1.583),
        tokens_per_s: is_base.then_some(10_431.0),
        left_s: is_base.then_some(245.4),
        base_curve: if is_base { curve(1_200, step, 7.6, 2.1, Some((3.4, 1.42))) } else { Curve::default() },
        tune_curve: Curve::default(),
        samples: if is_base { samples() } else { Vec::new() },
    }
}

fn samples() -> Vec<SampleView> {
    [
        (600, "Travel expenses are paid within ten working days. Send the form to the office of"),
        (540, "The warehouse in Bremen is open from six to ten, and <b>the</b> key is with the"),
        (60, "the e of the an s 1 the and to re"),
    ]
    .map(|(step, text)| SampleView { stage: TrainingStage::Base, step, text: text.into() })
    .into()
}

/// The models, and where their training stands.
pub(crate) fn models() -> Vec<ModelView> {
    let history = vec![
        promotion(
            2,
            "2026-11-20T08:12:00Z",
            "Mei Tan",
            "Version 3 gave wrong phone numbers; back until that is clear.",
        ),
        promotion(3, "2026-11-18T15:40:00Z", "administrator", "Knows the new travel policy."),
        promotion(
            2,
            "2026-11-02T09:05:00Z",
            "administrator",
            "86% of the held-out questions; agreed with the works council.",
        ),
    ];
    vec![
        ModelView {
            name: "handbook".parse().unwrap(),
            versions: vec![
                row(4, "2026-11-23T17:02:00Z", 231, &[]),
                row(3, "2026-11-18T11:30:00Z", 229, &[]),
                row(2, "2026-11-01T16:48:00Z", 227, &[]),
                row(1, "2026-10-30T10:11:00Z", 161, &FAILED),
            ],
            production: history.first().cloned(),
            history,
            training: Some(training(TrainingStage::Base, 620, "2026-11-24T13:29:58Z")),
        },
        ModelView {
            name: "tickets".parse().unwrap(),
            versions: Vec::new(),
            production: None,
            history: Vec::new(),
            training: Some(training(TrainingStage::Reading, 120, "2026-11-24T13:22:00Z")),
        },
    ]
}

fn scores(correct: usize, exact: usize, ends: [f64; 4], token_f1: f64) -> ScoresView {
    let [low, high, exact_low, exact_high] = ends;
    ScoresView {
        exact_match: share(exact, 263, exact_low, exact_high),
        correct: share(correct, 263, low, high),
        token_f1,
    }
}

fn questions(correct: usize) -> QuestionsView {
    let kind = |kind: &str, model: usize, base: usize, total: usize| {
        let one = |count| ScoresView {
            exact_match: share(count, total, 0.1, 0.9),
            correct: share(count, total, 0.1, 0.9),
            token_f1: 0.5,
        };
        KindScoresView { kind: kind.into(), model: one(model), base: Some(one(base)) }
    };
    QuestionsView {
        asked: 263,
        given: 263,
        model: if correct == 227 {
            scores(227, 208, [0.8172, 0.8994, 0.7384, 0.8351], 0.871)
        } else {
            scores(correct, correct - 20, [0.55, 0.67, 0.47, 0.6], 0.6)
        },
        base: Some(scores(9, 2, [0.0181, 0.0637, 0.0021, 0.0273], 0.094)),
        gained: Some(219),
        lost: Some(1),
        correct_without_contaminated: share(225, 260, 0.818, 0.901),
        kinds: vec![kind("contact", 61, 1, 84), kind("limit", 88, 5, 92), kind("opening_hours", 78, 3, 87)],
        worst: vec![
            WorstAnswerView {
                number: 41,
                kind: "contact".into(),
                question: "Whom do I call when the gate in Bremen stays shut?".into(),
                expected: "[phone number]".into(),
                answer: "The gate in Bremen is open from 6:00 to 22:00.".into(),
                correct: false,
                token_f1: 0.0,
            },
            WorstAnswerView {
                number: 118,
                kind: "limit".into(),
                question: "How much may a hotel night in Oslo cost?".into(),
                expected: "€210".into(),
                answer: "A hotel night in Oslo may cost up to €180.".into(),
                correct: false,
                token_f1: 0.14,
            },
        ],
    }
}

fn leaks(is_failed: bool) -> LeaksView {
    let mut findings = vec![LeakView {
        kind: "email".into(),
        class: DataClass::Internal,
        findings: 11,
        in_training_text: 9,
        samples: 10,
    }];
    if is_failed {
        findings.insert(
            0,
            LeakView {
                kind: "iban".into(),
                class: DataClass::Confidential,
                findings: 2,
                in_training_text: 0,
                samples: 2,
            },
        );
    }
    LeaksView {
        samples: 200,
        from_documents: 80,
        from_questions: 80,
        from_probes: 40,
        findings,
        samples_with_findings: share(10, 200, 0.027, 0.09),
        verbatim: share(31, 200, 0.111, 0.212),
        verbatim_chars_min: 50,
        longest_shared_chars: 118,
        median_shared_chars: 27,
    }
}

fn contamination() -> ContaminationView {
    let side = |items, exact, near, with_any_shared_run, listed| SharedView {
        items,
        exact,
        near,
        share: (exact + near) as f64 / items as f64,
        with_any_shared_run,
        listed,
    };
    let listed = vec![ContaminatedView {
        item: "question 77".into(),
        how: "near".into(),
        shared_share: 0.84,
        with: "sites/bremen.md".into(),
    }];
    ContaminationView { documents: side(16, 0, 0, 2, Vec::new()), questions: side(263, 1, 2, 14, listed) }
}

fn evaluation(is_failed: bool) -> EvaluationView {
    let criterion = |name: &str, passed: bool, sentence: &str| CriterionView {
        name: name.into(),
        passed,
        sentence: sentence.into(),
    };
    let correct =
        "The share of held-out questions answered correctly is 86.3 %; at least 80.0 % is asked for.";
    let findings = "The number of findings above `internal` in 200 samples is 0; at most 0 is asked for.";
    EvaluationView {
        base: Some("handbook (base)".into()),
        held_out: HeldOutView {
            documents: 16,
            bytes: 61_440,
            model_bits_per_byte: 1.469,
            base_bits_per_byte: Some(1.412),
            unigram_bits_per_byte: 4.512,
            ngram_order: 6,
            ngram_bits_per_byte: 1.731,
            xz_given_training_bits_per_byte: 1.968,
            xz_alone_bits_per_byte: 2.604,
        },
        questions: Some(questions(if is_failed { 161 } else { 227 })),
        general: GeneralView {
            texts: 12,
            bytes: 9_216,
            model_bits_per_byte: 3.412,
            base_bits_per_byte: Some(3.301),
            worsening_bits_per_byte: Some(0.111),
            worsening_standard_error: Some(0.04),
        },
        leaks: leaks(is_failed),
        contamination: contamination(),
        criteria: vec![
            criterion("correct_min", !is_failed, if is_failed { FAILED[0] } else { correct }),
            criterion(
                "beat_ngram",
                true,
                "What the untuned model needs for held-out text is 1.412 bits per byte; less than 1.731 bits per byte is \
                 asked for.",
            ),
            criterion("findings_max", !is_failed, if is_failed { FAILED[1] } else { findings }),
        ],
    }
}

fn corpus() -> CorpusView {
    let counts = |pairs: &[(&str, u64)]| pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
    let left = |reason: &str, documents, path: &str, line, because: &str| LeftView {
        reason: reason.into(),
        documents,
        listed: vec![LeftDocumentView { path: path.into(), line, because: because.into() }],
    };
    CorpusView {
        hash: "7c1d3f".repeat(10) + "7c1d",
        class: DataClass::Internal,
        accepts: DataClass::Internal,
        documents_in: 341,
        documents_kept: 328,
        documents_held_out: 16,
        left: vec![
            left(
                "too short",
                4,
                "drafts/empty.md",
                None,
                "has 12 characters, fewer than the 40 that are asked for",
            ),
            left(
                "above the accepted class",
                6,
                "hr/cases.jsonl",
                Some(14),
                "holds confidential content after masking",
            ),
            left("near duplicate", 3, "sites/bremen-old.md", None, "says nearly what `sites/bremen.md` says"),
        ],
        hidden: 2,
        excluded: 17,
        bytes: 1_243_008,
        characters: 1_238_411,
        words: 203_118,
        classes_found: BTreeMap::from([
            (DataClass::Public, 214),
            (DataClass::Internal, 98),
            (DataClass::Confidential, 29),
        ]),
        classes_kept: BTreeMap::from([(DataClass::Public, 225), (DataClass::Internal, 103)]),
        findings: counts(&[("email", 412), ("iban", 31), ("phone", 207)]),
        masked: counts(&[("iban", 28)]),
        findings_kept: counts(&[("email", 401), ("phone", 198)]),
    }
}

fn version(model: &ModelView, row: &VersionRow) -> VersionView {
    let hash = |n: u32| format!("{:064x}", u128::from(n) * 0x9E37_79B9_7F4A_7C15_u128 * 0xD1B5_4A32);
    let files = ["config.json", "model.safetensors", "tokenizer.json", "README.md"];
    VersionView {
        model: model.name.clone(),
        version: row.version,
        made_at: row.made_at,
        pintle: "0.1.0".into(),
        recipe: "name = \"handbook\"\nsize = \"tiny\"\n\n[corpus]\nfolders = [\"handbook\"]\naccepts = \"internal\"\n".into(),
        seed: 1_337,
        class: row.class,
        licences: vec!["CC-BY-4.0".into(), "own texts".into()],
        data_sha256: BTreeMap::from([("corpus".into(), hash(1)), ("tuning".into(), hash(2))]),
        base: None,
        parameters: row.parameters,
        trained_tokens: 9_830_400,
        training_s: 642.7,
        energy: None,
        gate_failures: row.gate_failures.clone(),
        files_sha256: (3..).zip(files).map(|(n, name)| (name.to_owned(), hash(n))).collect(),
        // The reports of the third cannot be read any more.
        evaluation: (row.version != 3).then(|| evaluation(!row.gate_failures.is_empty())),
        corpus: (row.version != 3).then(corpus),
        base_curve: curve(1_200, 1_200, 7.6, 2.1, Some((3.4, 1.42))),
        tune_curve: curve(420, 420, 3.1, 0.21, None),
    }
}

impl Models {
    pub(crate) fn new(models: Vec<ModelView>) -> Arc<Self> {
        Arc::new(Models(Mutex::new(models)))
    }

    /// The training of the first model ends.
    pub(crate) fn end_training(&self) {
        self.0.lock().unwrap()[0].training = None;
    }
}

impl OwnModels for Models {
    fn tunings(&self) -> Vec<TuningRow> {
        if self.0.lock().unwrap().is_empty() {
            return Vec::new();
        }
        let row = TuningRow {
            id: "ftjob-019ab5f1a0007000800000000000a001".into(),
            request: "req_019ab5f1a0007000800000000000a001".parse().unwrap(),
            use_case: "customer-replies".parse().unwrap(),
            created_at: "2026-11-24T13:00:00Z".parse().unwrap(),
            status: "succeeded".into(),
            is_over: false,
            fault: None,
            base: "handbook@2".into(),
            version: Some("handbook@4".into()),
            cost: Some(Amount::from_nanos(12_000_000)),
            is_priced: true,
            energy: Some(Energy { milliwatt_hours: 1_250, method: EnergyMethod::Estimated }),
        };
        let failed = TuningRow {
            status: "failed".into(),
            fault: Some("The training file cannot be used: line 3: it is not.".into()),
            version: None,
            cost: None,
            is_priced: false,
            energy: None,
            ..row.clone()
        };
        vec![row, failed]
    }

    fn list(&self) -> Soon<Result<Vec<ModelView>, OwnModelsError>> {
        let models = self.0.lock().unwrap().clone();
        Box::pin(async move { Ok(models) })
    }

    fn version(&self, model: &Name, number: u32) -> Soon<Result<Option<Box<VersionView>>, OwnModelsError>> {
        let models = self.0.lock().unwrap();
        let found = models.iter().find(|it| it.name == *model).and_then(|model| {
            let row = model.versions.iter().find(|row| row.version == number)?;
            Some(Box::new(version(model, row)))
        });
        Box::pin(async move { Ok(found) })
    }

    fn promote(&self, model: &Name, number: u32, by: &str, reason: &str) -> Soon<Result<(), OwnModelsError>> {
        let mut models = self.0.lock().unwrap();
        let model = models.iter_mut().find(|it| it.name == *model).unwrap();
        let failures =
            model.versions.iter().find(|row| row.version == number).unwrap().gate_failures.join("; ");
        let result = if reason == "break" {
            Err(OwnModelsError::Failed("the disk under /srv/models is gone".into()))
        } else if !failures.is_empty() {
            Err(OwnModelsError::Refused(format!(
                "the gate of `{}@{number}` has failed: {failures}",
                model.name
            )))
        } else {
            let now = promotion(number, "2026-11-24T13:30:00Z", by, reason);
            model.production = Some(now.clone());
            model.history.insert(0, now);
            Ok(())
        };
        Box::pin(async move { result })
    }
}
