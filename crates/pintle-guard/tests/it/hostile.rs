//! Texts made to be slow, and texts made to hide a value.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pintle_guard::{
    AnswerWindow, Dictionary, Guard, GuardConfig, HOLD_BACK_BYTES_MAX, Treatment, Treatments,
};

use crate::{guard, samples};

const UNITS: &[&str] = &[
    "1 ",
    "1-",
    "1.",
    "12 34-",
    "@",
    "a@",
    "@a.",
    "a.",
    "eyJ.",
    "eyJhbGciOi",
    "-----BEGIN ",
    "-----BEGIN PRIVATE KEY-----",
    "://",
    "a://b:",
    "(1",
    "+1",
    "+4420 ",
    "::",
    "a:",
    "1:",
    "[MASKED:",
    "<IBAN_",
    "\\",
    "\\u00",
    "_",
    "a_",
    "project ",
    "heron_",
    "4111 1111 1111 1111 ",
    "DE89 ",
    "sk-",
    "ghp_",
    "青",
    "é",
    "é_",
    "\u{A0}1",
    "x",
    "A",
    "anna@firm.org ",
    "=",
];

/// A quadratic scanner would take minutes for what a linear one does in a fraction of a second even unoptimised.
#[test]
fn hostile_texts_take_linear_time() {
    let guard = guard();
    for unit in UNITS {
        let text = unit.repeat(300_000 / unit.len());
        let start = Instant::now();
        let matches = guard.scan(&text);
        let took = start.elapsed();
        assert!(took < Duration::from_secs(10), "{unit:?} took {took:?}");
        assert!(matches.windows(2).all(|pair| pair[0].end <= pair[1].start), "{unit:?}");
    }
}

#[test]
fn hostile_texts_are_held_back_no_longer() {
    let guard = guard();
    for unit in UNITS {
        let mut window = AnswerWindow::new(Arc::clone(&guard), Treatments::new([Treatment::Mask; 4]));
        let mut out = String::new();
        for c in unit.repeat(3_000 / unit.len()).chars() {
            window.push(c.encode_utf8(&mut [0; 4]), &mut out);
            assert!(window.held() <= HOLD_BACK_BYTES_MAX, "{unit:?} holds {}", window.held());
        }
    }
}

#[test]
fn ranges_lie_on_characters_and_in_order() {
    let guard = guard();
    for unit in UNITS {
        for (_, before, value) in samples::positives() {
            let text = format!("{}{before}{value}{}", unit.repeat(40), unit.repeat(40));
            let mut end = 0;
            for found in guard.scan(&text) {
                assert!(found.start >= end && found.end > found.start, "{text}");
                assert!(text.get(found.start..found.end).is_some(), "{text}");
                end = found.end;
            }
        }
    }
}

#[test]
fn a_large_dictionary_of_alike_entries_is_quick() {
    let entries = (0..100_000).map(|number| format!("Project X{number:05}")).collect();
    let dictionary = Dictionary {
        name: "projects".parse().unwrap(),
        class: pintle_core::DataClass::Confidential,
        entries,
    };
    let config = GuardConfig { dictionaries: vec![dictionary], ..GuardConfig::default() };
    let guard = Guard::new(&config).unwrap();
    let text = "project x project x99999 project x1 ".repeat(2_000);
    let start = Instant::now();
    assert_eq!(guard.scan(&text).len(), 2_000);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
