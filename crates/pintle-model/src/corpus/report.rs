//! What became of every document: the record that a model's card and its reviewer rely on.
//!
//! Sentences here say what is the matter with a document and never quote it. Paths are masked like texts.

use std::{collections::BTreeMap, fmt::Write as _};

use pintle_core::DataClass;
use serde::{Deserialize, Serialize};

use super::document::ContentHash;

/// Documents listed for one reason; the others are counted.
const LISTED_MAX: usize = 25;

/// Why a document left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A file of a format that is not read.
    Format,
    /// A symbolic link, which is not followed, or neither a file nor a folder.
    NoFile,
    /// A file or folder that the operating system does not let us read.
    Unreadable,
    /// A folder below more folders than the recipe allows.
    TooDeep,
    /// More bytes than the recipe allows a file.
    TooLarge,
    /// A line with more bytes than the recipe allows.
    LongLine,
    /// Bytes that are not text, or text in an encoding that is not read.
    Encoding,
    /// JSONL or CSV that breaks its format, or lacks what makes a document.
    Malformed,
    /// No text at all.
    Empty,
    /// Less text than the recipe asks for.
    TooShort,
    /// Text that nobody would want to learn: broken characters, encoded data, one line over and over.
    Garbled,
    /// A class above what the recipe accepts.
    Class,
    /// The same words as an earlier document.
    Duplicate,
    /// Nearly the same words as an earlier document.
    NearDuplicate,
}

impl Reason {
    /// As a heading: "above the accepted class".
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Reason::Format => "format not read",
            Reason::NoFile => "link or special file",
            Reason::Unreadable => "cannot be read",
            Reason::TooDeep => "folder too deep",
            Reason::TooLarge => "too large",
            Reason::LongLine => "line too long",
            Reason::Encoding => "not text in a known encoding",
            Reason::Malformed => "malformed",
            Reason::Empty => "empty",
            Reason::TooShort => "too short",
            Reason::Garbled => "garbled",
            Reason::Class => "above the accepted class",
            Reason::Duplicate => "duplicate",
            Reason::NearDuplicate => "near duplicate",
        }
    }
}

/// A document that left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftDocument {
    /// As in [`super::Document::path`].
    pub path: String,
    /// The line in the file, from 1, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What is the matter with it, as the rest of a sentence about it: "has 12 characters, …".
    pub because: String,
}

/// The documents that left for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LeftOut {
    /// How many.
    pub documents: u64,
    /// The first of them.
    pub listed: Vec<LeftDocument>,
}

/// What came in, what left and why, and what there is now. Counts of bytes, characters and words are of the
/// texts kept, after masking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorpusReport {
    /// The hash of all documents kept, whatever their order: what the model was made from.
    pub hash: ContentHash,
    /// The class of the corpus.
    pub class: DataClass,
    /// The highest class that the recipe accepts in a document.
    pub accepts: DataClass,
    /// Documents found. Each is kept or has left: a file that could not be read counts as one.
    pub documents_in: u64,
    /// Documents kept.
    pub documents_kept: u64,
    /// Of them, those held out.
    pub documents_held_out: u64,
    /// Documents that left, by reason.
    pub left: BTreeMap<Reason, LeftOut>,
    /// Files and folders whose names begin with a dot. They are no documents.
    pub hidden: u64,
    /// Files that the recipe's patterns leave out. They are no documents.
    pub excluded: u64,
    /// In UTF-8.
    pub bytes: u64,
    /// Unicode scalar values.
    pub characters: u64,
    /// Runs of letters and digits; in scripts without spaces, characters.
    pub words: u64,
    /// Documents by the class that they came with.
    pub classes_found: BTreeMap<DataClass, u64>,
    /// Documents kept, by their class after masking.
    pub classes_kept: BTreeMap<DataClass, u64>,
    /// What the guard found in all documents that it saw, by type.
    pub findings: BTreeMap<String, u64>,
    /// Values masked in the documents kept, by type.
    pub masked: BTreeMap<String, u64>,
    /// What the guard still finds in the documents kept, by type.
    pub findings_kept: BTreeMap<String, u64>,
}

impl CorpusReport {
    pub(super) fn new(accepts: DataClass, class: DataClass) -> Self {
        CorpusReport {
            hash: ContentHash::of_all([]),
            class,
            accepts,
            documents_in: 0,
            documents_kept: 0,
            documents_held_out: 0,
            left: BTreeMap::new(),
            hidden: 0,
            excluded: 0,
            bytes: 0,
            characters: 0,
            words: 0,
            classes_found: BTreeMap::new(),
            classes_kept: BTreeMap::new(),
            findings: BTreeMap::new(),
            masked: BTreeMap::new(),
            findings_kept: BTreeMap::new(),
        }
    }

    pub(super) fn leaves(&mut self, path: &str, line: Option<u64>, left: Left) {
        self.documents_in += 1;
        let group = self.left.entry(left.reason).or_default();
        group.documents += 1;
        if group.listed.len() < LISTED_MAX {
            group.listed.push(LeftDocument { path: path.to_owned(), line, because: left.because });
        }
    }

    /// How many documents left.
    #[must_use]
    pub fn documents_left(&self) -> u64 {
        self.left.values().map(|group| group.documents).sum()
    }

    /// One line: "12 documents came in, 4 left (3 too short, 1 duplicate)".
    #[must_use]
    pub fn summary(&self) -> String {
        let mut line = format!("{} came in, {} left", documents(self.documents_in), self.documents_left());
        if !self.left.is_empty() {
            let reasons: Vec<String> = self
                .left
                .iter()
                .map(|(reason, group)| format!("{} {}", group.documents, reason.title()))
                .collect();
            line.push_str(" (");
            line.push_str(&reasons.join(", "));
            line.push(')');
        }
        line
    }

    /// The report as Markdown, to be read by a person and to stand in a model's card.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut out = String::from("# Corpus\n\n| | |\n| --- | ---: |\n");
        for (name, value) in [
            ("Documents in", self.documents_in),
            ("Documents left", self.documents_left()),
            ("Documents kept", self.documents_kept),
            ("of them held out", self.documents_held_out),
            ("Characters", self.characters),
            ("Words", self.words),
            ("Bytes", self.bytes),
        ] {
            line(&mut out, format_args!("| {name} | {value} |"));
        }
        line(&mut out, format_args!("\nClass: **{}** (accepted: up to {}).", self.class, self.accepts));
        line(&mut out, format_args!("SHA-256 of the documents: `{}`.", self.hash));
        if self.documents_held_out == 0 && self.documents_kept > 0 {
            line(
                &mut out,
                format_args!("No document is held out, so nothing can be measured on unseen text."),
            );
        }
        if self.hidden + self.excluded > 0 {
            let (hidden, excluded) = (self.hidden, self.excluded);
            line(
                &mut out,
                format_args!("Not looked at: {hidden} hidden, {excluded} excluded by the recipe."),
            );
        }
        self.classes_to_markdown(&mut out);
        self.left_to_markdown(&mut out);
        out
    }

    fn classes_to_markdown(&self, out: &mut String) {
        out.push_str("\n## Classes\n\n| class | came in with it | kept with it |\n| --- | ---: | ---: |\n");
        for class in DataClass::ALL {
            let found = self.classes_found.get(class).copied().unwrap_or_default();
            let kept = self.classes_kept.get(class).copied().unwrap_or_default();
            if found + kept > 0 {
                line(out, format_args!("| {class} | {found} | {kept} |"));
            }
        }
        if self.findings.is_empty() {
            out.push_str("\nThe guard found nothing.\n");
            return;
        }
        out.push_str("\n## Findings\n\n| type | found | masked | kept |\n| --- | ---: | ---: | ---: |\n");
        for (kind, found) in &self.findings {
            let masked = self.masked.get(kind).copied().unwrap_or_default();
            let kept = self.findings_kept.get(kind).copied().unwrap_or_default();
            line(out, format_args!("| {kind} | {found} | {masked} | {kept} |"));
        }
        out.push_str("\nFound counts every document; masked and kept count those that stayed.\n");
    }

    fn left_to_markdown(&self, out: &mut String) {
        if self.left.is_empty() {
            return;
        }
        out.push_str("\n## Left\n");
        for (reason, group) in &self.left {
            line(out, format_args!("\n### {} ({})\n", reason.title(), group.documents));
            for document in &group.listed {
                let place = place(&document.path, document.line);
                line(out, format_args!("- `{place}` {}", document.because));
            }
            let listed = u64::try_from(group.listed.len()).unwrap_or(u64::MAX);
            if group.documents > listed {
                line(out, format_args!("- and {} more", group.documents - listed));
            }
        }
    }
}

/// "1 document", "2 documents".
fn documents(count: u64) -> String {
    if count == 1 { "1 document".to_owned() } else { format!("{count} documents") }
}

/// Writing to a string does not fail.
fn line(out: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{line}");
}

/// "path" or "path:line".
pub(super) fn place(path: &str, line: Option<u64>) -> String {
    line.map_or_else(|| path.to_owned(), |line| format!("{path}:{line}"))
}

/// Why a document is left out, on its way to the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) reason: Reason,
    pub(super) because: String,
}

impl Left {
    pub(super) fn new(reason: Reason, because: impl Into<String>) -> Self {
        Left { reason, because: because.into() }
    }
}
