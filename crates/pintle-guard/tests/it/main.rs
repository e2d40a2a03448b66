//! The guard from the outside: each detector, redaction, restoring, and the streamed windows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod detectors;
mod field;
mod hostile;
mod redaction;
mod samples;
mod streaming;

use std::sync::Arc;

use pintle_core::DataClass;
use pintle_guard::{Dictionary, Guard, GuardConfig};

/// A guard with two dictionaries.
fn guard() -> Arc<Guard> {
    let code_names = "Blue Heron\nProject Nightjar\nProject Nightjar Two\nÄlgmark\n青い鳥計画\n";
    let config = GuardConfig {
        dictionaries: vec![
            Dictionary::parse("code-names".parse().unwrap(), DataClass::Restricted, code_names).unwrap(),
            Dictionary::parse("clients".parse().unwrap(), DataClass::Confidential, "Nordwind AG\nHeron\n")
                .unwrap(),
        ],
        ..GuardConfig::default()
    };
    Arc::new(Guard::new(&config).unwrap())
}

/// The findings as `kind=value`, for tests to read.
fn found(guard: &Guard, text: &str) -> Vec<String> {
    guard.scan(text).iter().map(|found| format!("{}={}", found.kind, &text[found.start..found.end])).collect()
}

/// Joined at run time, so that no scanner of this repository takes a test's value for a real secret.
fn secret(parts: &[&str]) -> String {
    parts.concat()
}
