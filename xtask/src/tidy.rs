//! `cargo xtask tidy`: the rules of the house, as a check.
//!
//! The rules are functions over plain data (`floors`, `licences`, `text`, `links`), tested on small
//! fixtures; this file reads the checkout and hands it to them.

mod floors;
mod licences;
mod links;
mod text;

use std::{fmt, path::Path, process::Command};

use serde_json::Value;

use crate::tools::{self, Outcome};

/// One broken rule: where, and what to do about it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Complaint {
    place: String,
    message: String,
}

impl Complaint {
    fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Complaint { place: place.into(), message: message.into() }
    }

    fn at(file: &str, line_index: usize, message: impl Into<String>) -> Self {
        Complaint::new(format!("{file}:{}", line_index + 1), message)
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// A file of the checkout, path relative to its root. Binary files have no text.
#[derive(Debug)]
struct File {
    path: String,
    text: Option<String>,
}

/// Checks the checkout; prints each complaint.
pub(crate) fn run() -> Outcome<()> {
    let root = tools::root()?;
    let files = checkout(&root)?;
    let metadata = tools::metadata(&root, true)?;
    let members = floors::members(&metadata)?;

    let mut complaints = floors::arrows(&members);
    complaints.extend(floors::purity(&members));
    complaints.extend(floors::manifests(&files));
    complaints.extend(licences::refused(&licences::dependencies(&metadata)?));
    complaints.extend(text::rules(&files));
    complaints.extend(text::forgotten_modules(&files));
    complaints.extend(links::broken(&files));
    complaints.sort();
    complaints.dedup();

    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    match complaints.len() {
        0 => {
            println!("tidy: {} crates and {} files keep the rules", members.len(), files.len());
            Ok(())
        }
        n => Err(format!("tidy: {n} rules are broken, each named above").into()),
    }
}

/// What git knows and what it would add: new files are judged before their first commit.
fn checkout(root: &Path) -> Outcome<Vec<File>> {
    let mut list = Command::new("git");
    list.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let list = tools::output(&mut list)?;
    let paths = list.split('\0').filter(|path| !path.is_empty());
    // A file that is deleted but not yet staged is listed; it is no longer there to be judged.
    let there = paths.filter(|path| root.join(path).is_file());
    there
        .map(|path| {
            let bytes = std::fs::read(root.join(path))?;
            let text = if bytes.contains(&0) { None } else { String::from_utf8(bytes).ok() };
            Ok(File { path: path.to_owned(), text })
        })
        .collect()
}

/// A string member of a JSON object.
fn string<'v>(value: &'v Value, key: &str) -> Outcome<&'v str> {
    value
        .get(key)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("cargo metadata: `{key}` is no string").into())
}

/// An array member of a JSON object.
fn array<'v>(value: &'v Value, key: &str) -> Outcome<&'v [Value]> {
    let array = value.get(key).and_then(Value::as_array);
    Ok(array.ok_or_else(|| format!("cargo metadata: `{key}` is no array"))?)
}
