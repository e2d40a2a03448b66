//! The part of a model's recipe that says which documents it learns from. Read from TOML by the caller,
//! checked here, obeyed by `gather`.

use std::{collections::BTreeSet, path::PathBuf};

use pintle_core::DataClass;
use pintle_guard::Guard;
use serde::{Deserialize, Serialize};

use super::{error::CorpusError, glob::Pattern};

/// Names every type of finding in [`CorpusRecipe::mask`].
const EVERY_TYPE: &str = "*";

/// Which documents a model learns from, and on what terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusRecipe {
    /// Files, and folders that are read with all that is in them.
    pub sources: Vec<PathBuf>,
    /// Where relative sources are read from: the folder in which the recipe lies. Set by whoever read it; empty is
    /// the working directory. Reports show the sources without it, so that they read the same on every machine.
    #[serde(skip)]
    pub folder: PathBuf,
    /// Of the files in folders, only those that one of these patterns means. None: all.
    #[serde(default)]
    pub include: Vec<Pattern>,
    /// Of the files in folders, none that one of these patterns means.
    #[serde(default)]
    pub exclude: Vec<Pattern>,
    /// The highest class that a document may have after masking; others leave.
    #[serde(default)]
    pub accepts: DataClass,
    /// The least class that a document has, whatever the guard finds in it.
    #[serde(default)]
    pub class_at_least: DataClass,
    /// Types of findings whose values are replaced by a mask, as the guard names them (`email`, `iban`); `*` for
    /// every type.
    #[serde(default)]
    pub mask: Vec<String>,
    /// How many of 100 documents are kept out of training, 0 to 50.
    #[serde(default = "held_out_percent")]
    pub held_out_percent: u8,
    /// Documents with fewer characters leave.
    #[serde(default = "minimum_chars")]
    pub minimum_chars: u64,
    /// From which likeness on a document counts as another one's near duplicate, in percent, 50 to 100.
    #[serde(default = "near_duplicate_percent")]
    pub near_duplicate_percent: u8,
    /// What is one document in a CSV file.
    #[serde(default)]
    pub csv: CsvDocuments,
    /// Bounds on what is read.
    #[serde(default)]
    pub limits: CorpusLimits,
}

/// What is one document in a CSV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CsvDocuments {
    /// The whole file, a paragraph per row: for tables whose rows belong together.
    #[default]
    File,
    /// Each row: for exports of records, such as questions and answers. Rows then leave one by one.
    Row,
}

/// Bounds on what is read. More files, documents or bytes in all than this is an error; a larger file, a longer
/// line or a deeper folder leaves with a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorpusLimits {
    /// The most files in all sources, of any format.
    pub files: u64,
    /// The most documents. Each takes about 1 KiB beyond its text.
    pub documents: u64,
    /// The most bytes of one file, and of the text that it makes.
    pub file_bytes: u64,
    /// The most bytes of one line.
    pub line_bytes: u64,
    /// The most bytes of all files, and of all texts kept. They are held in memory.
    pub total_bytes: u64,
    /// The most folders inside each other, below a source.
    pub depth: u32,
}

impl Default for CorpusLimits {
    fn default() -> Self {
        CorpusLimits {
            files: 100_000,
            documents: 1_000_000,
            file_bytes: 256 << 20,
            line_bytes: 4 << 20,
            total_bytes: 2 << 30,
            depth: 32,
        }
    }
}

const fn held_out_percent() -> u8 {
    5
}

const fn minimum_chars() -> u64 {
    80
}

const fn near_duplicate_percent() -> u8 {
    80
}

/// The deepest nesting that a recipe may ask for: `walk` recurses.
const DEPTH_MAX: u32 = 128;

impl CorpusRecipe {
    /// A recipe with every other field at its default.
    #[must_use]
    pub fn new(sources: Vec<PathBuf>) -> Self {
        CorpusRecipe {
            sources,
            folder: PathBuf::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            accepts: DataClass::default(),
            class_at_least: DataClass::default(),
            mask: Vec::new(),
            held_out_percent: held_out_percent(),
            minimum_chars: minimum_chars(),
            near_duplicate_percent: near_duplicate_percent(),
            csv: CsvDocuments::default(),
            limits: CorpusLimits::default(),
        }
    }

    /// Checks what a type cannot: [`super::gather()`] does so before it reads anything.
    ///
    /// # Errors
    /// When a value cannot be meant.
    pub fn check(&self) -> Result<(), CorpusError> {
        let refuse = |field, problem: &str, hint: &str| {
            Err(CorpusError::Recipe { field, problem: problem.to_owned(), hint: hint.to_owned() })
        };
        if self.sources.is_empty() {
            return refuse("sources", "is empty", "name at least one file or folder");
        }
        if self.sources.iter().any(|source| source.as_os_str().is_empty()) {
            return refuse("sources", "has an empty path", "name a file or folder");
        }
        if self.class_at_least > self.accepts {
            let problem = format!("is `{}`, above `accepts`", self.class_at_least);
            return refuse("class_at_least", &problem, "every document would leave; raise `accepts`");
        }
        if self.held_out_percent > 50 {
            return refuse("held_out_percent", "is above 50", "use 0 to 50");
        }
        if !(50..=100).contains(&self.near_duplicate_percent) {
            return refuse("near_duplicate_percent", "is out of range", "use 50 to 100");
        }
        if self.limits.depth > DEPTH_MAX {
            return refuse("limits.depth", "is above 128", "use 0 to 128");
        }
        for (field, value) in [
            ("limits.files", self.limits.files),
            ("limits.documents", self.limits.documents),
            ("limits.file_bytes", self.limits.file_bytes),
            ("limits.line_bytes", self.limits.line_bytes),
            ("limits.total_bytes", self.limits.total_bytes),
        ] {
            if value == 0 {
                return refuse(field, "is 0", "use at least 1, or leave it out");
            }
        }
        if self.limits.documents > u64::from(u32::MAX) {
            return refuse("limits.documents", "is too high", "use at most 4294967295");
        }
        Ok(())
    }

    /// The types to mask. A type that is switched off is refused, because its values would stay in the text
    /// while the recipe says that they do not.
    pub(super) fn masked_types(&self, guard: &Guard) -> Result<BTreeSet<String>, CorpusError> {
        let refuse = |problem, hint: String| CorpusError::Recipe { field: "mask", problem, hint };
        let mut types = BTreeSet::new();
        for named in &self.mask {
            if named == EVERY_TYPE {
                types.extend(guard.detectors().map(|detector| detector.kind.to_string()));
                continue;
            }
            match guard.detectors().find(|detector| *detector.kind == **named) {
                Some(detector) if detector.enabled => {
                    types.insert(named.clone());
                }
                Some(_) => {
                    let problem = format!("names `{named}`, which is switched off");
                    return Err(refuse(problem, "switch the detector on, or leave it out here".to_owned()));
                }
                None => {
                    let known: Vec<String> = guard
                        .detectors()
                        .filter(|detector| detector.enabled)
                        .map(|detector| format!("`{}`", detector.kind))
                        .collect();
                    let shown: String = named.chars().take(64).collect();
                    let problem = format!("names `{shown}`, which no detector finds");
                    return Err(refuse(problem, format!("use `*` or of {}", known.join(" "))));
                }
            }
        }
        Ok(types)
    }
}

#[cfg(test)]
mod tests {
    use pintle_guard::GuardConfig;

    use super::*;

    fn from_json(json: &str) -> Result<CorpusRecipe, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn defaults_fill_in_and_unknown_fields_are_refused() {
        let read = from_json(r#"{"sources":["docs"]}"#).unwrap();
        assert_eq!(read, CorpusRecipe::new(vec!["docs".into()]));
        assert!(read.check().is_ok());
        assert!(from_json(r#"{"sources":["docs"],"acepts":"internal"}"#).is_err());
        assert!(from_json(r#"{"sources":["docs"],"limits":{"lines":1}}"#).is_err());
        assert!(from_json(r#"{"sources":["docs"],"exclude":["[a]"]}"#).is_err());
        assert!(from_json(r#"{"sources":["docs"],"folder":"/srv"}"#).is_err());
    }

    #[test]
    fn values_that_cannot_be_meant_are_refused() {
        let base = || CorpusRecipe::new(vec!["docs".into()]);
        let cases: [(&str, CorpusRecipe); 6] = [
            ("sources", CorpusRecipe::new(Vec::new())),
            ("class_at_least", CorpusRecipe { class_at_least: DataClass::Restricted, ..base() }),
            ("held_out_percent", CorpusRecipe { held_out_percent: 51, ..base() }),
            ("near_duplicate_percent", CorpusRecipe { near_duplicate_percent: 10, ..base() }),
            (
                "limits.depth",
                CorpusRecipe { limits: CorpusLimits { depth: 999, ..CorpusLimits::default() }, ..base() },
            ),
            (
                "limits.files",
                CorpusRecipe { limits: CorpusLimits { files: 0, ..CorpusLimits::default() }, ..base() },
            ),
        ];
        for (field, recipe) in cases {
            let message = recipe.check().unwrap_err().to_string();
            assert!(message.starts_with(&format!("`{field}` ")), "{message}");
        }
    }

    #[test]
    fn masked_types_must_be_found_by_the_guard() {
        let off = GuardConfig { disabled: ["phone".to_owned()].into(), ..GuardConfig::default() };
        let guard = Guard::new(&off).unwrap();
        let masking = |mask: &[&str]| {
            let mask = mask.iter().map(|kind| (*kind).to_owned()).collect();
            CorpusRecipe { mask, ..CorpusRecipe::new(Vec::new()) }.masked_types(&guard)
        };
        assert_eq!(masking(&["email", "email"]).unwrap().len(), 1);
        assert!(masking(&["*"]).unwrap().len() > 30);
        assert!(masking(&["phone"]).unwrap_err().to_string().contains("switched off"));
        assert!(masking(&["e-mail"]).unwrap_err().to_string().contains("`email`"));
    }
}
